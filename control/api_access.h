// Who may ask the API of this daemon: brings the files of [api], the gate and the log together.
#pragma once

#include <memory>

#include "control/api/gate.h"
#include "control/config/settings.h"
#include "control/log/log.h"
#include "turnpike/result.h"

namespace turnpike {

/// Fails when a file that the section names cannot be used. Without api.listen nobody is admitted.
Result<std::unique_ptr<api::Gate>> make_gate(const config::ApiSection& section, log::Log& log);

/// Reads the tokens anew; when the file has a fault, those read before go on to admit.
void reload_tokens(const config::ApiSection& section, api::Gate& gate, log::Log& log);

}  // namespace turnpike
