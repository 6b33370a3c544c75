// When a shard throws packets away instead of handling them late: media that waited for that long
// is of no use to anybody, and a relay that works it off first stays late. No clock of its own.
#pragma once

#include <cstddef>

#include "turnpike/time.h"

namespace turnpike {

class OverloadPolicy {
 public:
  /// A shard that never had a moment's rest for so long has fallen behind.
  static constexpr Milliseconds kBehindMax{300};
  /// A shard that was not run for so long was stopped.
  static constexpr Milliseconds kStall{500};
  /// Shedding ends after so long without trouble.
  static constexpr Milliseconds kCalm{100};

  /// After a turn. `at_rest`: nothing waits any more, or there is time to wait for more.
  /// `shed`: datagrams thrown away in this turn.
  void after_turn(bool at_rest, std::size_t shed, Instant now) {
    if (at_rest || !behind_) behind_since_ = now;
    behind_ = !at_rest;
    const bool too_long = behind_ && now - behind_since_ >= kBehindMax;
    // Bursts that a shard at rest meets are no trouble: with them alone, shedding ends.
    if (too_long || (shed != 0 && !at_rest)) last_trouble_ = now;
    shedding_ = too_long || (shedding_ && now - last_trouble_ < kCalm);
  }

  /// The shard itself was not run for kStall or longer (a stopped process, a moved machine).
  void stalled(Instant now) {
    last_trouble_ = now;
    shedding_ = true;
  }

  /// Of each socket one datagram a turn is handled and what waits behind it thrown away: whoever
  /// sends most loses most, and nobody waits.
  bool shedding(Instant now) const { return shedding_ && now - last_trouble_ < kCalm; }

 private:
  bool behind_ = false;
  bool shedding_ = false;
  Instant behind_since_{};
  Instant last_trouble_{};
};

}  // namespace turnpike
