// Brings captures together with the relay, the calls and the log.
#pragma once

#include <memory>

#include "control/call/call_service.h"
#include "control/capture/capture.h"
#include "control/log/log.h"
#include "turnpike/relay.h"

namespace turnpike {

/// All outlive it.
std::unique_ptr<capture::Service> make_captures(Relay& relay, const call::CallService& calls,
                                                log::Log& log);

}  // namespace turnpike
