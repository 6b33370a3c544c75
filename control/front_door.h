// Opens the front door of the configuration. Is not: the door (relay/front_door.h).
#pragma once

#include "control/api/http_server.h"
#include "control/config/host.h"
#include "control/config/settings.h"
#include "control/log/log.h"
#include "control/loop/event_loop.h"
#include "control/loop/watchers.h"
#include "turnpike/front_door.h"
#include "turnpike/relay.h"

namespace turnpike {

/// Null when there is none, or it cannot be opened: then the log says why, and all else goes on.
FrontDoor* open_front_door(const config::Settings& settings, const config::Host& host, Relay& relay,
                           log::Log& log);

/// Gives those who come for the API to `http`, which outlives what is returned.
Result<loop::FdWatcher> serve_callers(FrontDoor& door, loop::EventLoop& loop,
                                      api::HttpServer& http);

}  // namespace turnpike
