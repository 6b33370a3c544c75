// The time that OpenSSL's DTLS timers see. They ask gettimeofday(2), which is the wall clock: it
// jumps, and nothing can be simulated with it. This file answers that call for the whole program:
// with the time in scope on this thread, and with the wall clock where there is none.
#pragma once

#include "turnpike/time.h"

namespace turnpike {

/// While it lives, gettimeofday on this thread says `now`, on an axis of its own.
class DtlsClock {
 public:
  explicit DtlsClock(Instant now);
  ~DtlsClock();
  DtlsClock(const DtlsClock&) = delete;
  DtlsClock& operator=(const DtlsClock&) = delete;
};

}  // namespace turnpike
