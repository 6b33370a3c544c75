// Brings captures together with the relay, the calls and the log.
#pragma once

#include <memory>
#include <string>

#include "control/call/call_service.h"
#include "control/capture/capture.h"
#include "control/log/log.h"
#include "control/loop/event_loop.h"
#include "turnpike/relay.h"

namespace turnpike {

/// What api.captures says.
capture::Allowed allowed_captures(const std::string& word);

/// All outlive it. `allowed`: as above.
std::unique_ptr<capture::Service> make_captures(Relay& relay, const call::CallService& calls,
                                                log::Log& log, const std::string& allowed);

/// Before the daemon ends: readers get the last blocks while the server is still there, but nobody
/// waits for a slow one. Runs a few turns of the loop.
void end_captures(capture::Service& captures, loop::EventLoop& loop);

}  // namespace turnpike
