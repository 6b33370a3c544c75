// When a daemon that is to end may end: calls have their time, and what is said of those that are
// over must not be lost.
#pragma once

#include <cstddef>

#include "turnpike/time.h"

namespace turnpike {

struct Drain {
  /// Longer than figures of a call that is over are waited for.
  static constexpr Milliseconds kLastFigures{3000};
  enum class Step {
    kWait,
    kDone,  ///< nothing is left
    kLate,  ///< calls are left, and their time is over
  };

  Instant until{};  ///< the time of calls

  /// `left`: what goes on; `ending`: what is over, and whose figures are awaited.
  Step step(std::size_t left, std::size_t ending, Instant now) const {
    if (left > 0 && now < until) return Step::kWait;
    // Where calls go on to end, the last moment cannot wait for all of them.
    if (ending > 0 && (left == 0 || now < until + kLastFigures)) return Step::kWait;
    return left > 0 ? Step::kLate : Step::kDone;
  }
};

}  // namespace turnpike
