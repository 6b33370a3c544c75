// The relay's configuration, already validated by control. Units are in the names.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "turnpike/address.h"
#include "turnpike/flow.h"
#include "turnpike/keying.h"
#include "turnpike/time.h"
#include "turnpike/turn.h"

namespace turnpike {

/// One local address of an interface and what peers must be told instead of it (1:1 NAT).
struct InterfaceAddress {
  IpAddress local;
  IpAddress advertised;  ///< equals `local` unless there is a NAT in front of us
  bool operator==(const InterfaceAddress&) const = default;
};

/// A named network side: "outside", "inside", more. Several addresses of one family extend the
/// port range: ports are keyed by address and port.
struct Interface {
  std::string name;
  std::vector<InterfaceAddress> addresses;
  bool operator==(const Interface&) const = default;
};

/// Port pairs that are kept bound ahead of need, for each local address.
constexpr std::uint32_t kPortPairsInStock = 2048;

struct RelayConfig {
  std::vector<Interface> interfaces;

  unsigned shards = 0;     ///< threads; 0 = one per core that the process may run on
  bool pin_shards = true;  ///< pin shard i to the i-th allowed core

  std::uint16_t port_min = 36000;         ///< even: RTP ports are even, RTCP is RTP + 1
  std::uint16_t port_max = 59999;         ///< odd
  Seconds port_quarantine{5};             ///< a released port is not given out again before
  std::uint32_t sessions_max = 4000;      ///< of the whole relay; more are refused
  std::uint32_t streams_per_leg_max = 8;  ///< SSRCs, 1-kStreamsPerLegMax

  Seconds media_timeout{60};              ///< silence of a leg that expects media; 0 = never
  Seconds keepalive_interval{15};         ///< when nothing was sent to a remote end; 0 = never
  std::uint32_t socket_buffer_bytes = 0;  ///< SO_RCVBUF, SO_SNDBUF of media sockets; 0 = kernel's

  SrtpLibrary srtp_library = SrtpLibrary::kAuto;
  /// While packets come often, they are collected this long and handled together; 0 = each when it
  /// comes. At most 5 ms: it adds to the delay.
  std::chrono::microseconds tick{500};

  /// Datagrams in a row from one port to one address after which a connected socket sends them,
  /// which is cheaper for each and takes one more descriptor; 0 = never.
  std::uint32_t connect_after = 100;

  /// Share of a core's time from which a shard takes no new sessions; 100 = it always does.
  unsigned busy_max_percent = 90;

  /// Which end of a traversal pair this is, and at an edge the shared ports of its flows: each of
  /// these local addresses and ports gets a socket of every shard.
  PairRole pair_role = PairRole::kNone;
  std::vector<SocketAddress> flow_ports;

  turn::Config turn;

  /// Unix socket of the holder that keeps sockets and state over a restart; empty = none.
  std::string holder_socket;
};

/// What of RelayConfig may change while sessions are up.
struct RelayTuning {
  std::vector<Interface> interfaces;  ///< as at start but for what is advertised
  std::uint32_t streams_per_leg_max = 8;
  Seconds media_timeout{60};
  Seconds keepalive_interval{15};
  unsigned busy_max_percent = 90;
  bool operator==(const RelayTuning&) const = default;
};

}  // namespace turnpike
