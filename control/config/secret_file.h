// A secret that stands in a file of its own.
#pragma once

#include <string>

#include "control/config/secret.h"
#include "turnpike/result.h"

namespace turnpike::config {

/// The first line of the file. Fails when it is missing, empty or shorter than 16 characters, has
/// further lines, or when others than its owner and group may read it. No error holds any of it.
Result<Secret> read_secret_file(const std::string& path);

}  // namespace turnpike::config
