// Implements run_lock.h.
#include "control/run_lock.h"

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

namespace turnpike {
namespace {

/// The number that the owner of the lock wrote into it.
std::string owner_of(int fd) {
  char text[16] = {};
  const ssize_t got = pread(fd, text, sizeof text - 1, 0);
  const std::string number(text, got > 0 ? static_cast<std::size_t>(got) : 0);
  const bool sound = !number.empty() && number.find_first_not_of("0123456789") == std::string::npos;
  return sound ? "process " + number : "another process";
}

}  // namespace

Result<RunLock> RunLock::take(const std::string& socket_path) {
  const std::string path = socket_path + ".lock";
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) {
    return Error{"cannot open the lock file " + path + ": " + std::strerror(errno) +
                 "; its folder must be there, and file and folder be ours to write"};
  }
  RunLock lock(fd);
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return Error{"cannot lock " + path + ": " + std::strerror(errno)};
    return Error{"turnpiked runs already for " + socket_path + " (" + owner_of(fd) +
                 "); stop it first, or give this one sockets of its own"};
  }
  const std::string number = std::to_string(getpid());
  const auto size = static_cast<ssize_t>(number.size());
  if (ftruncate(fd, 0) != 0 || pwrite(fd, number.data(), number.size(), 0) != size) {
    return Error{"cannot write to the lock file " + path + ": " + std::strerror(errno)};
  }
  return lock;
}

RunLock::~RunLock() {
  if (fd_ >= 0) close(fd_);
}

}  // namespace turnpike
