// Which peers a client may be relayed to: one answer for every method and direction (docs/
// security.md, T1-T9). Hides: special-purpose ranges, IPv4 addresses inside IPv6 addresses.
// Is not: permissions; those are a client's choice among what is allowed here.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "turnpike/address.h"
#include "turnpike/turn.h"

namespace turnpike::turn {

/// Our own addresses. Some ports at those of `relays` are relayed transport addresses, and may be
/// peers: clients reach each other over two allocations. Others are media ports: clients make calls
/// through us from where nothing but TURN gets through.
struct OwnAddresses {
  std::span<const IpAddress> ips;
  std::span<const IpAddress> relays;
  std::uint16_t relay_port_min = 0;
  std::uint16_t relay_port_max = 0;
  std::uint16_t media_port_min = 0;
  std::uint16_t media_port_max = 0;

  bool is_media_port(std::uint16_t port) const {
    return port >= media_port_min && port <= media_port_max;
  }
};

bool contains(const Prefix& prefix, const IpAddress& ip);

/// An address and every IPv4 address that it stands for: IPv4-mapped and -compatible, 6to4, NAT64
/// with either prefix, both of Teredo, ISATAP. `forms[0]` is the address itself.
struct CanonicalAddress {
  std::array<IpAddress, 3> forms;
  std::uint32_t count = 0;
};
CanonicalAddress canonical(const IpAddress& ip);

/// Whether some port at `ip` may be a peer: what CreatePermission asks.
bool may_be_peer(const IpAddress& ip, const PeerRules& rules, const OwnAddresses& own);
/// Whether exactly this transport address may be: what each send asks.
bool may_be_peer(const SocketAddress& peer, const PeerRules& rules, const OwnAddresses& own);

/// The ports that may be a peer's at an address for which may_be_peer() is true: from `min` to
/// `max`, none when that is lower, and our media ports when `own_media`.
struct PeerPorts {
  std::uint16_t min = 0;
  std::uint16_t max = 0;
  bool own_media = false;
};
PeerPorts peer_ports(const IpAddress& ip, const PeerRules& rules, const OwnAddresses& own);

}  // namespace turnpike::turn
