// Opens the front door of the configuration. Is not: the door (relay/front_door.h).
#pragma once

#include "control/config/host.h"
#include "control/config/settings.h"
#include "control/log/log.h"
#include "turnpike/front_door.h"
#include "turnpike/relay.h"

namespace turnpike {

/// Null when there is none, or it cannot be opened: then the log says why, and all else goes on.
FrontDoor* open_front_door(const config::Settings& settings, const config::Host& host, Relay& relay,
                           log::Log& log);

}  // namespace turnpike
