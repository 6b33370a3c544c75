// When a shard collects packets for a tick instead of handling each as it comes: waking up costs
// more than handling a packet, and ciphers work on several at a time. No clock of its own.
#pragma once

#include <algorithm>
#include <cstddef>

#include "turnpike/time.h"

namespace turnpike {

class TickPolicy {
 public:
  /// `tick`: how long packets are collected; 0 = never.
  explicit TickPolicy(Nanoseconds tick) : tick_(tick) {}

  /// After every socket that had something was read, `packets` of them: how long after the begin of
  /// that to look again. Zero: wait for the next packet.
  Nanoseconds after_drain(std::size_t packets, Instant now) {
    if (packets == 0) return Nanoseconds{0};
    const Nanoseconds since = std::min<Nanoseconds>(now - last_drain_, kGapMax);
    last_drain_ = now;
    const Nanoseconds gap = since / static_cast<std::int64_t>(packets);
    mean_gap_ += (gap - mean_gap_) / kMeanOver;
    return mean_gap_ * kPacketsWorthwhile <= tick_ ? tick_ : Nanoseconds{0};
  }

 private:
  /// Fewer packets a tick than this save no wake-up.
  static constexpr std::int64_t kPacketsWorthwhile = 2;
  static constexpr std::int64_t kMeanOver = 8;
  /// A longer silence counts as this: traffic that comes back is met within a few packets.
  static constexpr Nanoseconds kGapMax = Milliseconds{20};

  Nanoseconds tick_;
  Nanoseconds mean_gap_ = kGapMax;
  Instant last_drain_{};
};

}  // namespace turnpike
