// The time of a line.
#pragma once

#include <chrono>
#include <string>

namespace turnpike::log {

/// RFC 3339, UTC, milliseconds: "2026-11-23T15:08:00.042Z".
std::string timestamp(std::chrono::system_clock::time_point when);

}  // namespace turnpike::log
