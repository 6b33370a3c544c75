// Names of things that cross between control and relay.
#pragma once

#include <compare>
#include <cstdint>

namespace turnpike {

/// One relay session: the media of one m-line, between two legs, on one shard. The generation
/// makes a stale id harmless: it no longer matches the slot that was given to somebody else.
struct SessionId {
  std::uint32_t slot = 0;        ///< index in the shard's session table
  std::uint32_t generation = 0;  ///< 0 is never a live session
  std::uint16_t shard = 0;

  bool is_set() const { return generation != 0; }
  auto operator<=>(const SessionId&) const = default;
};

/// The two sides of a session. A is the side that made the first offer.
enum class Side : std::uint8_t { kA = 0, kB = 1 };
constexpr Side other(Side side) {
  return side == Side::kA ? Side::kB : Side::kA;
}
constexpr unsigned index_of(Side side) {
  return static_cast<unsigned>(side);
}

/// RTP and RTCP as components of a leg (RFC 8445 section 2: component IDs 1 and 2).
enum class Component : std::uint8_t { kRtp = 0, kRtcp = 1 };
constexpr unsigned index_of(Component component) {
  return static_cast<unsigned>(component);
}

enum class MediaKind : std::uint8_t { kAudio = 0, kVideo = 1, kOther = 2 };

}  // namespace turnpike
