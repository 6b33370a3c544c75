// What became of the calls of this process, and how much is relayed now: the figures of NG
// "statistics". Plain sums, of the control thread. Is not: the figures of a call (statistics.h).
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "control/call/call.h"
#include "control/call/statistics.h"
#include "control/ng/value.h"
#include "turnpike/time.h"

namespace turnpike::call {

/// For the log.
const char* text_of(Ending ending);

/// What shards have done so far.
struct Relayed {
  std::uint64_t packets = 0;
  std::uint64_t bytes = 0;
  std::uint64_t errors = 0;  ///< packets that were dropped
};

/// One local address of an interface, with ports of its own.
struct PortsInUse {
  std::string interface;
  std::string address;
  std::uint32_t port_min = 0;
  std::uint32_t port_max = 0;
  std::uint32_t used = 0;
};

class Tally {
 public:
  explicit Tally(Instant start) : start_(start), sampled_(start), minute_began_(start) {}

  /// A new call for which there was no room.
  void refused() { ++refused_; }
  void ended(Ending ending, Nanoseconds duration);
  /// The last figures of an m-line of a call that ended, one for each.
  void media(const SessionStats& session);
  /// The same of one that was given up while its call went on.
  void given_up(const SessionStats& session);
  /// About once a second.
  void sample(const Relayed& relayed, std::size_t calls, Instant now);

  /// `sessions`: of the relay, now. With currentstatistics, totalstatistics, intervalstatistics,
  /// mos, voip_metrics, interfaces.
  ng::Value::Dict tree(const Relayed& relayed, std::size_t calls, std::uint32_t sessions,
                       const std::vector<PortsInUse>& ports, Instant now) const;

 private:
  struct Minute {
    std::uint64_t calls_min = 0;
    std::uint64_t calls_max = 0;
    double seconds_ended = 0;  ///< durations of the calls that ended in it
  };

  ng::Value::Dict current(std::size_t calls, std::uint32_t sessions) const;
  ng::Value::Dict total(const Relayed& relayed, Instant now) const;

  Instant start_;
  std::uint64_t refused_ = 0;
  std::array<std::uint64_t, static_cast<std::size_t>(Ending::kCount)> ended_{};
  double seconds_ = 0;
  double seconds_squared_ = 0;
  std::uint64_t zero_way_ = 0;
  std::uint64_t one_way_ = 0;
  std::uint64_t packets_lost_ = 0;
  std::uint64_t mos_samples_ = 0;
  double mos_sum_ = 0;

  Relayed last_;  // at sampled_
  Relayed rate_;  // a second
  Instant sampled_;
  Minute minute_;  // that goes on
  Minute before_;  // the last whole one
  Instant minute_began_;
};

}  // namespace turnpike::call
