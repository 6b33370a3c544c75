// The one time axis of the relay: CLOCK_MONOTONIC, which all processes of one boot share, so that
// instants kept in shared memory stay meaningful to the process that adopts them.
#pragma once

#include <chrono>
#include <cstdint>

namespace turnpike {

using Nanoseconds = std::chrono::nanoseconds;
using Milliseconds = std::chrono::milliseconds;
using Seconds = std::chrono::seconds;

/// Tag for the monotonic axis. It has no now(): engines are given the time, they never ask.
struct MonotonicAxis {
  using duration = Nanoseconds;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<MonotonicAxis>;
  static constexpr bool is_steady = true;
};

/// A point on the monotonic axis, nanosecond resolution. Instant{} means "never".
using Instant = MonotonicAxis::time_point;

}  // namespace turnpike
