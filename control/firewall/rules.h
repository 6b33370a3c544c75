// Packet filter rules (nftables) for the three places of a traversal pair, from the configuration
// of one of its nodes. They only take away: what another table of the place refuses stays refused.
// Edge and core keep no state of media; their rules for it know no connections.
// Is not: which local accounts may use which port (control/sidecar).
#pragma once

#include <optional>
#include <string>

#include "control/config/settings.h"
#include "control/firewall/surroundings.h"
#include "turnpike/result.h"

namespace turnpike::firewall {

/// "edge", "firewall", "core".
std::optional<Place> place_of(const std::string& name);

/// The text of a file for `nft -f`; loading it again replaces it. Without cores the rules of an
/// edge are less strict. Fails when the node has no zone, when a text of `surroundings` is not what
/// it should be, and when rules for `place` need what is not told.
Result<std::string> rules(const config::Settings& settings, Place place,
                          const Surroundings& surroundings);

/// Why the operator may not come in by SSH again once the rules are loaded; empty: he may. The
/// rules say it as a comment.
std::string session_warning(const config::Settings& settings, Place place,
                            const Surroundings& surroundings);

}  // namespace turnpike::firewall
