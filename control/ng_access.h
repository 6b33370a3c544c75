// NG's listeners with a token or certificates: brings the files of [ng], the door and the log
// together.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "control/api/ng_door.h"
#include "control/config/settings.h"
#include "control/log/log.h"
#include "control/loop/event_loop.h"
#include "control/ng/gate.h"
#include "turnpike/result.h"

namespace turnpike {

/// What ng.http asks for. Null without it, and when its certificate, key or authorities have a
/// fault, which is logged: calls that are up matter more. Fails when the address cannot be had.
/// `loop` and `gate` outlive it.
Result<std::unique_ptr<api::NgDoor>> open_ng_door(loop::EventLoop& loop,
                                                  const config::Settings& settings, ng::Gate& gate,
                                                  log::Log& log);

/// Reads token and certificates anew, and closes what would not be let in any more; when a file has
/// a fault, what was read before stays in use. A door that was closed at start (null) stays closed.
/// Logs and gives what could not be used.
std::vector<std::string> reload_ng(const config::Settings& settings, ng::Gate& gate,
                                   api::NgDoor* door, log::Log& log);

}  // namespace turnpike
