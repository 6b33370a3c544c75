// How the operator came who asks for rules: by SSH, from where, to which port of this host.
// Is not: whether rules let him in again (rules.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "turnpike/address.h"

namespace turnpike::firewall {

struct SshSession {
  IpAddress client;
  IpAddress local;
  std::uint16_t port = 0;  ///< at `local`
};

/// What SSH_CONNECTION says: "192.0.2.1 50000 192.0.2.2 22".
std::optional<SshSession> parse_session(const std::string& ssh_connection);

/// SSH_CONNECTION of `process` (0: none) or of the nearest of its ancestors that has one, as far as
/// they may be read below `proc`; empty: none.
std::string connection_of_ancestors(const std::string& proc, int process);

/// Of this process: from its environment; where that lacks it (sudo drops it), from its ancestors,
/// when it runs under sudo or at a terminal.
std::optional<SshSession> find_session();

}  // namespace turnpike::firewall
