// What the settings mean for each part of the daemon.
#pragma once

#include "control/api/http_server.h"
#include "control/call/call_service.h"
#include "control/config/host.h"
#include "control/config/settings.h"
#include "control/sidecar/sip_config.h"
#include "turnpike/config.h"

namespace turnpike::config {

RelayConfig relay_config(const Settings& settings);
call::CallServiceConfig call_config(const Settings& settings, const Host& host);
api::HttpServerOptions api_config(const Settings& settings);

/// Whether the file asks for a SIP sidecar.
bool wants_sidecar(const Settings& settings);
/// What the file itself says of the sidecar; the users of sip.users_file are not in it.
sidecar::SipConfig sip_config(const Settings& settings);
/// Adds the users of sip.users_file, if there is one. The file holds secrets: only the process
/// that writes the sidecar's files needs to read it.
Result<void> add_users_of_file(const Settings& settings, sidecar::SipConfig& config);

}  // namespace turnpike::config
