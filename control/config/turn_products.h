// What [turn] means for the TURN server, with the users and secrets of its files.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "control/config/host.h"
#include "control/config/settings.h"
#include "turnpike/result.h"
#include "turnpike/turn.h"

namespace turnpike::config {

/// What does not change while the daemon runs; without listeners when there is no realm.
turn::Config turn_config(const Settings& settings, const Host& host);

/// Reads the files of the realms. The error names file and line, never what stands there. Secrets
/// are wiped with the value.
Result<std::shared_ptr<turn::Settings>> turn_settings(const Settings& settings);

/// Another of the same; its secrets are wiped as well.
std::shared_ptr<turn::Settings> copy_of(const turn::Settings& settings);

/// Why the files cannot be used, if they cannot.
std::vector<std::string> judge_turn_files(const Settings& settings);

}  // namespace turnpike::config
