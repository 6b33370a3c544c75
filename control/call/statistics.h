// The tree of figures that NG "query" and "delete" reply with.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "control/call/call.h"
#include "control/ng/value.h"
#include "turnpike/stats.h"

namespace turnpike::call {

/// Figures of a call's sessions, as far as they came.
using StatsBySession = std::map<SessionId, SessionStats>;

/// Both clocks at one moment, to turn the relay's instants into dates.
struct Moment {
  Instant monotonic{};
  std::int64_t unix_us = 0;
};

/// Somebody who hears what one side of a call sends.
struct Subscriber {
  Side heard = Side::kA;
  std::string tag;
};

Totals totals_of(const StatsBySession& stats);

/// created, created_us, `last signal`, SSRC, tags, totals. Without `result`.
ng::Value::Dict statistics_of(const Call& call, const StatsBySession& stats, const Moment& now,
                              const std::vector<Subscriber>& subscribers);

}  // namespace turnpike::call
