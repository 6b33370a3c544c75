// Where the TURN server of a configuration is asked: each transport at each address and port. What
// opens listeners, checks them, tells clients and the packet filter of them takes them from here.
#pragma once

#include <string>
#include <vector>

#include "control/config/settings.h"
#include "turnpike/turn.h"

namespace turnpike::config {

struct TurnListener {
  turn::ListenerTransport transport = turn::ListenerTransport::kUdp;
  SocketAddress local;
  IpAddress advertised;    ///< as clients reach it
  std::string key;         ///< that says its port
  std::string realm;       ///< that all its clients are of; empty: any
  bool is_second = false;  ///< of turn.discovery_port: clients are told to come to another
  bool at_door = false;    ///< they come by the front door

  bool over_udp() const { return turn::over_datagrams(transport); }
};

/// At one address after the other; none when there is no realm.
std::vector<TurnListener> turn_listeners(const Settings& settings);

/// The first two addresses of a family of turn.interface, by number in its list; empty when it has
/// fewer. They are those of turn.discovery_port.
std::vector<std::size_t> discovery_pair(const InterfaceSection& interface, AddressFamily family);

/// Whether any of them shows the certificate of [turn].
bool shows_turn_certificate(const Settings& settings);

/// The realm of clients that come to listeners of no realm; there is one.
const TurnRealmSection& default_realm(const TurnSection& turn);

}  // namespace turnpike::config
