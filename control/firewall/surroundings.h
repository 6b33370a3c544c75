// What packet filter rules of a pair need that the node's configuration does not tell: from the
// operator, or from this host's kernel.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "control/config/settings.h"
#include "control/firewall/session.h"

namespace turnpike::firewall {

enum class Place : std::uint8_t {
  kEdge,      ///< on the host of the edge
  kFirewall,  ///< on the router between edge and core
  kCore,      ///< on the host of the core
};

struct Surroundings {
  /// Addresses or networks of the cores as edge and firewall see them.
  std::vector<std::string> cores{};
  /// Networks that may reach whatever is at the place: administration, monitoring.
  std::vector<std::string> trusted{};
  /// Of firewall or core: the network interfaces that lead to edges, and to nobody inside.
  std::vector<std::string> edge_interfaces{};
  /// What else edge or core offers to everybody, but a core not to an edge that the configuration
  /// names: "tcp/22", "udp/60000-61000". Empty: of an edge tcp/22, of a core nothing.
  std::vector<std::string> open{};
  /// Of the operator who loads the rules on edge or core, and is to come in again.
  std::optional<SshSession> session{};
  /// Where a core's interfaces are connected to, without networks that an edge lies in.
  std::vector<std::string> connected{};
  /// From which a core dials.
  std::uint16_t reply_port_min = 32768;
  std::uint16_t reply_port_max = 60999;
};

/// What is not told, as far as this host's kernel knows it. Of a core: `cores` from its routes to
/// its edges, for its own place `edge_interfaces` when they lead to edges only (not to `session`
/// either, nor anywhere by default), `connected` and the reply ports. Of other nodes nothing. Sends
/// no packet.
void look_around(const config::Settings& settings, Place place, Surroundings& surroundings);

}  // namespace turnpike::firewall
