// How long to wait before the next try: twice as long after each failure, and never the same for
// two nodes, so that they do not all come back at one moment. An engine: randomness is given.
#pragma once

#include <algorithm>
#include <cstdint>

#include "turnpike/time.h"

namespace turnpike::zone {

class Backoff {
 public:
  Backoff(Milliseconds first, Milliseconds longest) : first_(first), longest_(longest) {}

  /// Between half of the present step and all of it; the step then doubles.
  Milliseconds next(std::uint64_t random) {
    if (step_ == Milliseconds{0}) step_ = first_;
    const auto half = static_cast<std::uint64_t>(step_.count()) / 2;
    const Milliseconds wait{static_cast<Milliseconds::rep>(half + random % (half + 1))};
    step_ = std::min(step_ * 2, longest_);
    return wait;
  }
  /// At least so long from now on, for failures that do not mend themselves.
  void at_least(Milliseconds step) { step_ = std::clamp(step, step_, longest_); }
  void reset() { step_ = Milliseconds{0}; }

 private:
  Milliseconds first_;
  Milliseconds longest_;
  Milliseconds step_{0};
};

}  // namespace turnpike::zone
