// One daemon at a time: a lock on a file beside a socket that two daemons must not share.
// Hides: flock(2). The kernel gives the lock up with the process, however that ends, so a crash
// leaves nothing behind; the file stays and means nothing by itself.
#pragma once

#include <string>
#include <utility>

#include "turnpike/result.h"

namespace turnpike {

class RunLock {
 public:
  /// Takes the lock of `socket_path` (its path with ".lock") or says which process has it.
  static Result<RunLock> take(const std::string& socket_path);
  RunLock(RunLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  RunLock& operator=(RunLock&&) = delete;
  ~RunLock();

 private:
  explicit RunLock(int fd) : fd_(fd) {}
  int fd_;
};

}  // namespace turnpike
