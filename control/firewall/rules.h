// Packet filter rules (nftables) for the three places of a traversal pair, from the configuration
// of one of its nodes. They only take away: what another table of the place refuses stays refused.
// Is not: which local accounts may use which port (control/sidecar).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "control/config/settings.h"
#include "turnpike/result.h"

namespace turnpike::firewall {

enum class Place : std::uint8_t {
  kEdge,      ///< on the host of the edge
  kFirewall,  ///< on the router between edge and core
  kCore,      ///< on the host of the core
};

/// "edge", "firewall", "core".
std::optional<Place> place_of(const std::string& name);

/// The text of a file for `nft -f`; loading it again replaces it. `cores`: addresses or networks of
/// the cores as the others see them; may be empty for the edge, whose rules are less strict then.
/// Fails when the node has no zone, when a text of `cores` is no address, and when rules for
/// `place` need what is not told.
Result<std::string> rules(const config::Settings& settings, Place place,
                          const std::vector<std::string>& cores);

/// From which addresses this host reaches the edges of its configuration: those of this core, where
/// no NAT is between. Asks the kernel's routing table, sends nothing.
std::vector<std::string> addresses_towards_edges(const config::Settings& settings);

}  // namespace turnpike::firewall
