// A token bucket as one instant: the time at which it will be full again.
#pragma once

#include <algorithm>

#include "turnpike/time.h"

namespace turnpike::turn {

struct Bucket {
  Instant full_at{};

  /// Whether something fits that takes `price` to refill, into a bucket that is empty when `burst`
  /// is missing.
  bool has(Instant now, Nanoseconds price, Nanoseconds burst) const {
    return std::max(full_at, now) + price - now <= burst;
  }
  bool take(Instant now, Nanoseconds price, Nanoseconds burst) {
    if (!has(now, price, burst)) return false;
    full_at = std::max(full_at, now) + price;
    return true;
  }
};

}  // namespace turnpike::turn
