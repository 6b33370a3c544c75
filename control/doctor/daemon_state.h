// What the running daemon says of itself, asked over its API.
#pragma once

#include <string>

#include "control/doctor/facts.h"

namespace turnpike::doctor {

/// `socket_path` empty: it has none. Never fails: what cannot be asked is told in the answer.
DaemonState ask_daemon(const std::string& socket_path);
/// The zones out of the body of /v1/zones; false when that is not what the API gives.
bool read_zones(const std::string& body, DaemonState& daemon);

}  // namespace turnpike::doctor
