// The running daemon: relay, calls, control protocol and signals on one loop.
// Hides: the order of start and stop. Is not: configuration or command line (main.cc).
#pragma once

#include <string>

#include "control/config/load.h"
#include "control/log/log.h"

namespace turnpike {

/// Exit codes of turnpiked; docs/configuration.md explains them.
constexpr int kExitDone = 0;
constexpr int kExitFailed = 1;
constexpr int kExitMisconfigured = 2;

/// `loaded` is what was read from `config_path`, without mistakes; a reload replaces it.
/// Starts everything and runs until SIGTERM or SIGINT has let the calls drain, or SIGUSR1 has left
/// them to the holder. Gives the exit code; what went wrong is in the log. Call with the stop
/// signals held (process.h); they are held again when it returns.
int run_daemon(config::Loaded& loaded, const std::string& config_path, log::Log& log);

}  // namespace turnpike
