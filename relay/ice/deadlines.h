// One deadline per item, named by a dense index, in a heap: the next one is known exactly, so a
// shard that has nothing to do sleeps on. Deadlines are rounded up to a grid, so that many items
// share a wake-up. The timer wheel of relay/core is cheaper per item, but turns in steps that are
// longer than the pace of connectivity checks (50 ms).
#pragma once

#include <cstdint>
#include <vector>

#include "turnpike/time.h"

namespace turnpike::ice {

class Deadlines {
 public:
  static constexpr Milliseconds kGrid{10};

  explicit Deadlines(std::uint32_t items);

  /// Item `index` is due at `when`, rounded up to the grid; replaces its previous deadline.
  /// Instant::max(): never.
  void set(std::uint32_t index, Instant when);
  void cancel(std::uint32_t index) { set(index, Instant::max()); }
  /// Instant::max() when none is set.
  Instant next() const { return heap_.empty() ? Instant::max() : heap_.front().when; }
  /// Takes one due item, or returns false.
  bool pop_due(Instant now, std::uint32_t& index);

 private:
  static constexpr std::uint32_t kNone = 0xffffffff;
  struct Entry {
    Instant when;
    std::uint32_t index;
  };

  void put(std::uint32_t place, const Entry& entry);
  void move_up(std::uint32_t place);
  void move_down(std::uint32_t place);
  void remove(std::uint32_t place);

  std::vector<Entry> heap_;           // never reallocated: reserved for all items
  std::vector<std::uint32_t> place_;  // of each item in the heap
};

}  // namespace turnpike::ice
