// Timers, signals and foreign file descriptors on the control loop. See event_loop.h for the rules
// that hold for every watcher. A default-constructed watcher is empty and does nothing.
#pragma once

#include <functional>
#include <memory>

#include "control/loop/event_loop.h"
#include "turnpike/result.h"
#include "turnpike/time.h"

namespace turnpike::loop {

class Timer {
 public:
  Timer() = default;
  Timer(EventLoop& loop, std::function<void()> on_fire);

  /// Fires `after` from now, then every `every` (0 = once). Replaces what was started before.
  void start(Milliseconds after, Milliseconds every = Milliseconds{0});
  void stop();
  bool is_active() const;

 private:
  struct State;
  struct Close {
    void operator()(State* state) const;
  };
  std::unique_ptr<State, Close> state_;
};

/// Calls back each time before the loop waits: what the callbacks of a turn have put together goes
/// out here in one piece.
class BeforeWait {
 public:
  BeforeWait() = default;
  BeforeWait(EventLoop& loop, std::function<void()> work);

 private:
  struct State;
  struct Close {
    void operator()(State* state) const;
  };
  std::unique_ptr<State, Close> state_;
};

/// Calls back on the loop for each arrival of a signal (several may become one).
class SignalWatcher {
 public:
  SignalWatcher() = default;
  static Result<SignalWatcher> watch(EventLoop& loop, int signal_number,
                                     std::function<void()> on_signal);

 private:
  struct State;
  struct Close {
    void operator()(State* state) const;
  };
  std::unique_ptr<State, Close> state_;
};

/// Watches a descriptor that somebody else owns, level-triggered. Destroy the watcher before the
/// descriptor is closed. One watcher per descriptor.
class FdWatcher {
 public:
  struct Interest {
    bool readable = true;
    bool writable = false;
  };
  using ReadyFunction = std::function<void(Interest ready)>;

  FdWatcher() = default;
  /// On an error of the descriptor both are reported as ready, so that the next read or write says
  /// what is wrong; the watcher then pauses until want() is called.
  static Result<FdWatcher> watch(EventLoop& loop, int fd, Interest interest,
                                 ReadyFunction on_ready);
  /// Changes what is watched for; none at all pauses the watcher.
  void want(Interest interest);

 private:
  struct State;
  struct Close {
    void operator()(State* state) const;
  };
  std::unique_ptr<State, Close> state_;
};

}  // namespace turnpike::loop
