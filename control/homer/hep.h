// Packets of HEP version 3 (also EEP), which capture servers such as Homer read: a payload with the
// addresses, time and call that it is about. Pure. Is not: sending them (control/homer_service.h).
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "turnpike/address.h"

namespace turnpike::homer {

/// What the payload is.
enum class HepPayload : std::uint8_t {
  kRtcp = 5,      ///< an RTCP report as JSON
  kQuality = 34,  ///< figures of an RTP stream as JSON
};

struct HepPacket {
  HepPayload type = HepPayload::kRtcp;
  SocketAddress source;  ///< of what the payload is about
  SocketAddress destination;
  std::chrono::system_clock::time_point when{};
  std::uint32_t capture_id = 0;
  std::string_view node_name;
  std::string_view key;             ///< "": none; it is sent as it is
  std::string_view correlation_id;  ///< the Call-ID
  std::string_view payload;
};

/// Longer values than this are cut; a payload is never.
constexpr std::size_t kHepTextBytesMax = 512;

/// The bytes of one datagram; "" when the payload does not fit into one. An address that is not set
/// becomes the unspecified one of the other's family.
std::string to_hep(const HepPacket& packet);

}  // namespace turnpike::homer
