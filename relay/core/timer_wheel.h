// Timers of an engine: one per item, named by a dense index. Setting, moving and cancelling are
// O(1); so is the next deadline, which is exact to one tick and never late by more than one.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "turnpike/time.h"

namespace turnpike {

class TimerWheel {
 public:
  static constexpr Milliseconds kTick{100};

  explicit TimerWheel(std::uint32_t items);

  /// Item `index` is due at `when` (rounded up to a tick); replaces its previous timer.
  void set(std::uint32_t index, Instant when);
  void cancel(std::uint32_t index);

  /// Not later than the first due timer; Instant::max() when none is set.
  Instant next_deadline() const;

  /// Takes one due item, or returns false. Call until false; set() may be called in between.
  bool pop_due(Instant now, std::uint32_t& index);

 private:
  static constexpr std::uint32_t kSlots = 1024;  // 102 s; what lies beyond goes round again
  static constexpr std::uint32_t kNone = 0xffffffff;
  struct Node {
    std::uint32_t next = kNone;
    std::uint32_t previous = kNone;
    std::uint64_t tick = 0;  // 0 = not set
  };

  static std::uint64_t tick_at(Instant when);
  void unlink(std::uint32_t index);

  std::vector<Node> nodes_;
  std::array<std::uint32_t, kSlots> heads_;
  std::uint64_t current_tick_ = 0;  // every earlier slot has been emptied of what was due
  std::uint32_t count_ = 0;
};

}  // namespace turnpike
