// What the NG server counts. Plain figures, written and read on the control thread.
#pragma once

#include <array>
#include <cstdint>

#include "control/ng/parse_fault.h"
#include "control/ng/refusal.h"
#include "control/ng/request.h"
#include "turnpike/time.h"

namespace turnpike::ng {

/// Upper bounds of the buckets; one more bucket holds what took longer.
constexpr std::array<Nanoseconds, 10> kDurationBounds = {
    std::chrono::microseconds{100}, std::chrono::microseconds{250},  std::chrono::microseconds{500},
    std::chrono::milliseconds{1},   std::chrono::microseconds{2500}, std::chrono::milliseconds{5},
    std::chrono::milliseconds{10},  std::chrono::milliseconds{50},   std::chrono::milliseconds{250},
    std::chrono::milliseconds{1000}};

struct DurationHistogram {
  std::array<std::uint64_t, kDurationBounds.size() + 1> buckets{};  ///< not cumulative
  Nanoseconds sum{0};

  void add(Nanoseconds duration) {
    std::size_t bucket = 0;
    while (bucket < kDurationBounds.size() && duration > kDurationBounds[bucket]) ++bucket;
    ++buckets[bucket];
    sum += duration;
  }
};

struct CommandCounters {
  std::uint64_t requests = 0;     ///< executed; repeated ones that the cache answered are not
  std::uint64_t errors = 0;       ///< answered with result "error"
  std::uint64_t load_limits = 0;  ///< answered with result "load limit"
  DurationHistogram duration;     ///< from the whole request to its reply
};

struct ServerCounters {
  std::array<CommandCounters, kCommandCount> commands{};
  std::array<std::uint64_t, kParseFaultCount> parse_faults{};
  std::array<std::uint64_t, kRefusalCount> refusals{};  ///< of guarded transports

  std::uint64_t replies_replayed = 0;  ///< repeated requests answered from the cache
  std::uint64_t duplicates_waiting =
      0;  ///< repeated requests that came while the first was in work
  std::uint64_t duplicates_dropped = 0;  ///< too many waited for one reply
  std::uint64_t requests_refused = 0;    ///< reply cache full of requests in work
  std::uint64_t requests_expired = 0;    ///< never answered by the call service
  std::uint64_t replies_unsent = 0;      ///< the peer was gone or took nothing

  std::uint64_t connections_accepted = 0;
  std::uint64_t connections_refused = 0;    ///< limit of connections reached
  std::uint64_t connections_timed_out = 0;  ///< idle, slow, or its reply did not come
  std::uint64_t connections = 0;            ///< now
};

}  // namespace turnpike::ng
