// What [front_door] means for the relay.
#pragma once

#include <vector>

#include "control/config/host.h"
#include "control/config/settings.h"
#include "turnpike/front_door.h"

namespace turnpike::config {

/// Where it listens; none: there is none.
std::vector<SocketAddress> front_door_addresses(const Settings& settings);

/// Without listeners when there is none, or the host has (now) none of the addresses.
door::Config front_door_config(const Settings& settings, const Host& host);

}  // namespace turnpike::config
