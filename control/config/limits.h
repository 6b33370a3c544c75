// The keys of the configuration that bound what the daemon takes on, and other values for them
// while it runs. Is not: carrying that out (control/reload.h).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "control/config/load.h"
#include "turnpike/result.h"

namespace turnpike::config {

struct Limit {
  std::string key;         ///< "media.calls_max"
  std::int64_t value = 0;  ///< in force
  bool hot = false;        ///< may be another one without a restart
};

/// Those of sections that are in use, in the order of the reference.
std::vector<Limit> limits_of(const Loaded& running);

struct LimitPlan {
  Loaded next;              ///< what would be in force
  std::int64_t before = 0;  ///< what is
};

/// One key with another value and nothing else, or why not: "what; what to do". Bounds hold as in
/// a file.
Result<LimitPlan> plan_limit(const Loaded& running, std::string_view key, std::int64_t value);

}  // namespace turnpike::config
