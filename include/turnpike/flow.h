// The shared UDP flows between the two nodes of a traversal pair, and sessions that use them
// instead of ports of their own: plain data between control and the relay.
#pragma once

#include <array>
#include <cstdint>

#include "turnpike/address.h"
#include "turnpike/ids.h"
#include "turnpike/time.h"

namespace turnpike {

/// Which end of a traversal pair a relay is.
enum class PairRole : std::uint8_t {
  kNone = 0,
  kEdge = 1,  ///< outside the firewall: is asked, never asks
  kCore = 2,  ///< inside: opens every flow
};

/// What only the two ends of a flow know. The core draws them at random for each flow of each of
/// its processes.
struct FlowKeys {
  std::array<std::uint8_t, 16> to_edge{};  ///< of the tags in headers, by direction
  std::array<std::uint8_t, 16> to_core{};
  std::array<std::uint8_t, 32> binding{};  ///< of the Bindings
};

/// The edge's number of a flow; 0 is none.
using FlowNumber = std::uint16_t;

/// At a core: one flow for each of its shards to each edge.
struct CoreFlow {
  std::uint16_t edge = 0;  ///< of several
  std::uint16_t shard = 0;
  FlowNumber number = 0;  ///< that the edge gave it
  SocketAddress remote;   ///< the edge's port
  FlowKeys keys;
};
constexpr std::uint16_t kEdgesMax = 6;

/// Where a leg without ports has its media: the flow, and the session as the other node numbers it.
struct Carriage {
  std::uint16_t flow = 0;  ///< at an edge FlowNumber, at a core CoreFlow::edge
  std::uint8_t shard = 0;
  Side side = Side::kA;
  std::uint32_t slot = 0;
  std::uint32_t generation = 0;  ///< 0: not known yet; nothing is sent
  bool operator==(const Carriage&) const = default;
};

/// Slots that a header can name.
constexpr std::uint32_t kCarriedSlotsMax = 1U << 24;

/// How a flow stands.
struct FlowReport {
  SocketAddress address;  ///< of the core, as the edge sees it; unset while it is not bound
  Instant bound_until{};
  Nanoseconds round_trip{0};     ///< core only
  std::uint32_t unanswered = 0;  ///< core only: Bindings since the last answer
};

/// A source that an edge has heard, as an address that can be no host's: in 100::/64 (RFC 6666),
/// with the source's number as its port. What a core is told of where a client is. Sources at an
/// IP address that signalling knows share one IP address here too, so that the rules of who is
/// believed more apply; those from elsewhere have numbers from kStrangersFrom on.
constexpr std::uint16_t kSourcePortBase = 1024;
constexpr std::uint8_t kStrangersFrom = 128;
inline SocketAddress address_of_source(std::uint8_t source) {
  SocketAddress address;
  address.ip.family = AddressFamily::kIpv6;
  address.ip.bytes[0] = 0x01;
  address.ip.bytes[15] = source >= kStrangersFrom ? 1 : 0;
  address.port = static_cast<std::uint16_t>(kSourcePortBase + source);
  return address;
}
inline std::uint8_t source_of_address(const SocketAddress& address) {
  return static_cast<std::uint8_t>(address.port - kSourcePortBase);
}

}  // namespace turnpike
