// The header in front of each packet that a traversal pair exchanges over a shared UDP flow: which
// session it belongs to, and a tag that only the two ends of the flow can make. The packet behind
// it (SRTP, SRTCP, DTLS) is untouched.
// Is not: encryption, or protection of the packet itself; that is SRTP's.
//
//   0                   1                   2                   3
//  |1 1|  version  |     shard     |             flow              |
//  |     0     |S|C|    source     |      session slot (24) ...    |
//  |               |       low 24 bits of the generation           |
//  |                        tag (64 bits)                          |
//  |                                                               |
//
// S is the side of the session, C its component. The first two bits tell it from STUN on the same
// port (RFC 7983).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "relay/crypto/siphash.h"
#include "turnpike/flow.h"
#include "turnpike/ids.h"

namespace turnpike::mux {

constexpr std::size_t kHeaderBytes = 20;
constexpr std::uint8_t kHeaderVersion = 1;
constexpr std::size_t kShardOffset = 1;  ///< where a selector of sockets finds the shard
constexpr std::uint32_t kSlotsMax = kCarriedSlotsMax;

/// Of the session, as the receiver numbers them.
struct Header {
  std::uint8_t shard = 0;
  /// The receiver's number of the flow; names the key of the tag.
  std::uint16_t flow = 0;
  Side side = Side::kA;
  Component component = Component::kRtp;
  /// Which of the sources that the edge has heard: where the packet came from, or shall go.
  std::uint8_t source = 0;
  std::uint32_t slot = 0;
  std::uint32_t generation = 0;  ///< its low 24 bits
};

enum class HeaderFault : std::uint8_t { kNone, kTooShort, kVersion, kKind };

/// Whether a datagram is meant to have such a header; STUN is not.
inline bool has_header(std::span<const std::uint8_t> datagram) {
  return !datagram.empty() && (datagram[0] & 0xc0) == 0xc0;
}

/// Reads a header without judging its tag.
HeaderFault read_header(std::span<const std::uint8_t> datagram, Header& header);

/// Whether the tag is right for this header and this length of datagram. Equal time.
bool tag_is_right(const SipHashKey& key, std::span<const std::uint8_t> datagram);

/// Writes header and tag into the kHeaderBytes in front of a packet of `payload_bytes`.
void write_header(const SipHashKey& key, const Header& header, std::size_t payload_bytes,
                  std::uint8_t* out);

/// The part of a generation that a header carries.
constexpr std::uint32_t short_generation(std::uint32_t generation) {
  return generation & 0xffffff;
}

}  // namespace turnpike::mux
