// How much of its core a thread uses, judged second by second from the CPU time that it has used in
// all. No clock of its own.
#pragma once

#include "turnpike/time.h"

namespace turnpike {

class LoadWatch {
 public:
  static constexpr Milliseconds kWindow{1000};

  /// CPU time used since the start of the thread. Call it some times a second.
  void note(Nanoseconds used, Instant now) {
    const Nanoseconds elapsed = now - since_;
    if (elapsed < kWindow) return;
    // After a pause (a stopped process, a first call) the window says nothing.
    if (elapsed < 2 * kWindow) percent_ = static_cast<unsigned>(100 * (used - used_) / elapsed);
    since_ = now;
    used_ = used;
  }

  /// Of the last window; 0-100, a little more when clocks disagree.
  unsigned percent() const { return percent_; }

 private:
  Instant since_{};
  Nanoseconds used_{0};
  unsigned percent_ = 0;
};

}  // namespace turnpike
