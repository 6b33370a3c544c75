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
  IpAddress advertised;  ///< as clients reach it
  std::string key;       ///< that says its port
  std::string realm;     ///< that all its clients are of; empty: any

  bool over_udp() const {
    return transport == turn::ListenerTransport::kUdp ||
           transport == turn::ListenerTransport::kDtls;
  }
};

/// At one address after the other; none when there is no realm.
std::vector<TurnListener> turn_listeners(const Settings& settings);

/// The realm of clients that come to listeners of no realm; there is one.
const TurnRealmSection& default_realm(const TurnSection& turn);

}  // namespace turnpike::config
