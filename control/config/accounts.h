// What of the host's accounts matters to a configuration: groups and users that it names.
#pragma once

#include <string>
#include <vector>

#include "control/config/findings.h"
#include "control/config/settings.h"

namespace turnpike::config {

/// Groups of the unix sockets that the host does not have are mistakes: the daemon would not start.
/// A missing account of the SIP server is a warning, for it may be on the way.
void check_accounts(const Settings& settings, Findings& findings);

/// What is wrong with who may read the SIP server's private keys, one sentence for each: its own
/// account cannot, or everybody can. Looks at modes and groups, not at access control lists.
std::vector<std::string> key_access_warnings(const Settings& settings);

}  // namespace turnpike::config
