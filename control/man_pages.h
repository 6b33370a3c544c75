// The manual pages of the daemon: turnpiked(8), turnpike.toml(5).
#pragma once

#include <string>

#include <CLI/CLI.hpp>

namespace turnpike {

/// `app`: the daemon's command line.
std::string daemon_man_page(const CLI::App& app);
std::string config_man_page();

}  // namespace turnpike
