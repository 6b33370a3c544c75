// Who may ask the API of this daemon: brings the files of [api], the gate and the log together.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "control/api/gate.h"
#include "control/api/http_server.h"
#include "control/config/settings.h"
#include "control/log/log.h"
#include "turnpike/result.h"

namespace turnpike {

/// Fails when a file that the section names cannot be used. Without api.listen nobody is admitted.
Result<std::unique_ptr<api::Gate>> make_gate(const config::ApiSection& section, log::Log& log);

/// Reads tokens and certificates anew; when a file has a fault, what was read before stays in use.
/// A door that was closed at start stays closed. Logs and gives what could not be used.
std::vector<std::string> reload_api(const config::ApiSection& section, api::Gate& gate,
                                    api::HttpServer& server, log::Log& log);

}  // namespace turnpike
