// One connection to an edge, through every step that the daemon's own would take, by the same
// engines; ended when the other end has answered over HTTP/2. Blocks for some seconds at most.
#pragma once

#include <string>

#include "control/doctor/facts.h"
#include "control/zone/config.h"
#include "control/zone/connection.h"

namespace turnpike::doctor {

/// `node`: what this node calls itself. The edge takes the connection for this node's own of that
/// purpose and gives up an older one: do not call it while the daemon has one that is up.
ProbeFacts probe_edge(const zone::ZoneConfig& zone, const zone::PeerConfig& peer,
                      const std::string& node, zone::Purpose purpose,
                      const zone::Credentials& credentials);

}  // namespace turnpike::doctor
