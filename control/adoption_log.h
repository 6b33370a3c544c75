// What a start says in the log of the calls, sessions and settings of the process before.
#pragma once

#include "control/call/call_service.h"
#include "control/log/log.h"
#include "turnpike/relay.h"

namespace turnpike {

/// Settings that calls which are up hold to their old values.
void log_kept_settings(const AdoptionReport& adoption, log::Log& log);
/// A warning when something was lost.
void log_adoption(const AdoptionReport& relay, const call::CallAdoption& calls, log::Log& log);

}  // namespace turnpike
