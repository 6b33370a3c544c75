// The libuv loop of a shard: one or two readable descriptors, one timer, one wake-up from outside.
// The clock of the shard is read here, once per turn.
#pragma once

#include <functional>
#include <memory>

#include <pthread.h>

#include "turnpike/time.h"

namespace turnpike {

/// CLOCK_MONOTONIC now.
Instant monotonic_now();
/// Unix time now, for what people agree on.
Seconds wall_now();

/// Pins the calling thread to a core; false when the kernel refuses.
bool pin_to_core(int cpu);

/// CPU time that a running thread has used, user and system.
Nanoseconds cpu_time_of(pthread_t thread);

/// The calling thread gets the core only when no shard wants it much (a nice value for it alone).
void yield_to_media();
/// The calling thread gets the core sooner when it wakes, for as long as it uses it only briefly.
void ask_for_short_turns();
/// Lets the calling thread's pauses end when they should, not up to 50 us later.
void make_pauses_exact();
/// Gives the core away for that long; a signal may end it early.
void pause_for(Nanoseconds duration);

class ShardLoop {
 public:
  struct Handlers {
    std::function<void()> on_wake;      ///< after wake(), any number of calls as one
    std::function<void()> on_readable;  ///< a polled descriptor is readable
    std::function<void()> on_timer;
  };

  /// `second_fd`: polled as well; -1: none.
  ShardLoop(int poll_fd, int second_fd, Handlers handlers);
  ~ShardLoop();
  ShardLoop(const ShardLoop&) = delete;
  ShardLoop& operator=(const ShardLoop&) = delete;

  /// Runs until stop(); on the calling thread.
  void run();
  /// From any thread: on_wake runs soon.
  void wake();
  /// From any thread: run() returns soon.
  void stop();

  /// On the loop's thread: on_timer after `delay`; replaces the previous one.
  void set_timer(Milliseconds delay);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace turnpike
