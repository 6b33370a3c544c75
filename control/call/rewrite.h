// Turns a description from one side into the one that the other side gets: our addresses, our
// keys, nothing of the sender's that would let media or keys pass us by.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "control/sdp/crypto.h"
#include "control/sdp/media.h"
#include "control/sdp/sdp.h"
#include "control/sdp/transport.h"
#include "turnpike/address.h"
#include "turnpike/flow.h"

namespace turnpike::call {

struct OutgoingCrypto {
  unsigned tag = 0;
  sdp::SecretKeying key;
};

/// One m-line as it is to be written.
struct OutgoingMedia {
  bool accepted = false;  ///< false: port 0 and nothing but mid and label
  std::string protocol;
  SocketAddress rtp;
  std::uint16_t rtcp_port = 0;  ///< equals the RTP port when muxed
  sdp::Direction direction = sdp::Direction::kSendRecv;
  bool rtcp_mux = false;
  std::vector<OutgoingCrypto> crypto;
  std::optional<sdp::DtlsDescription> dtls;
  std::optional<sdp::LocalIce> ice;
  /// Keys and a=rtcp-mux stay as the sender wrote them, for the end that has the media.
  bool passes_keys = false;
  std::optional<Carriage> carriage;  ///< for another node of the pair
  bool ice_lite = false;             ///< said at session level as soon as one m-line has it
  bool bundled = false;              ///< in our BUNDLE group (RFC 9143)
  std::uint16_t bundle_rank = 0;     ///< place in it; among equals that of the m-lines counts
  bool folded = false;  ///< on the transport of another one: says nothing of it (section 7.1.3)
  std::string mid;      ///< in place of its own, and in our group; empty: its own
};

/// Session-level lines that are ours. Empty = leave the sender's.
struct Replacements {
  std::string origin_address;
  std::string origin_address_type;
  std::string username;
  std::string session_name;
};

/// `outgoing` has one entry for each m-line of `description`. The result holds keys.
void rewrite(sdp::Session& description, const std::vector<OutgoingMedia>& outgoing,
             const Replacements& replacements);

}  // namespace turnpike::call
