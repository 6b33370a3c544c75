#include "relay/crypto/dtls_clock.h"

#include <ctime>

#include <sys/time.h>

namespace turnpike {
namespace {

// OpenSSL takes 0 seconds for "no timer".
constexpr Seconds kOrigin{86400};
thread_local bool in_scope = false;
thread_local Nanoseconds time_in_scope{0};

}  // namespace

DtlsClock::DtlsClock(Instant now) {
  time_in_scope = now.time_since_epoch() + kOrigin;
  in_scope = true;
}

DtlsClock::~DtlsClock() {
  in_scope = false;
}

}  // namespace turnpike

// Libraries find the program's definition before the C library's.
extern "C" int gettimeofday(timeval* __restrict time, void* __restrict zone) noexcept {
  using namespace turnpike;
  if (in_scope) {
    const auto us = std::chrono::duration_cast<std::chrono::microseconds>(time_in_scope).count();
    time->tv_sec = us / 1000000;
    time->tv_usec = us % 1000000;
  } else {
    timespec real{};
    if (clock_gettime(CLOCK_REALTIME, &real) != 0) return -1;
    time->tv_sec = real.tv_sec;
    time->tv_usec = real.tv_nsec / 1000;
  }
  // Obsolete, and always zero on Linux (gettimeofday(2)).
  if (zone != nullptr) *static_cast<struct timezone*>(zone) = {};
  return 0;
}
