// What the settings mean for each part of the daemon.
#pragma once

#include "control/call/call_service.h"
#include "control/config/settings.h"
#include "turnpike/config.h"

namespace turnpike::config {

RelayConfig relay_config(const Settings& settings);
call::CallServiceConfig call_config(const Settings& settings);

}  // namespace turnpike::config
