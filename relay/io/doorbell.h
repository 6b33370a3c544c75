// Wakes one thread that sleeps until there is work or a time has come.
#pragma once

#include <atomic>

#include "turnpike/time.h"

namespace turnpike {

class Doorbell {
 public:
  Doorbell();
  ~Doorbell();
  Doorbell(const Doorbell&) = delete;
  Doorbell& operator=(const Doorbell&) = delete;

  /// From any thread, after the work is there. One system call for many rings.
  void ring();
  /// The sleeper, before it looks for work: rings from now on end the next sleep.
  void listen() { static_cast<void>(rung_.exchange(false)); }
  /// Sleeps until somebody rings, but no longer than `longest`.
  void sleep(Nanoseconds longest);

  /// For a sleeper that waits for more than rings: readable once somebody has rung. It calls
  /// answer() then, and looks for work after that.
  int fd() const { return fd_; }
  void answer();

 private:
  void clear();
  int fd_ = -1;
  std::atomic<bool> rung_{false};
};

}  // namespace turnpike
