// What every program of ours does first: descriptors 0 to 2 are open.
#pragma once

#include <cerrno>

#include <fcntl.h>
#include <unistd.h>

namespace turnpike {

/// Opens /dev/null in place of a standard descriptor that the caller has closed (`>&-`). Otherwise
/// the first socket or event descriptor takes its number, and what is printed goes there.
inline void open_standard_descriptors() {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
    // The lowest number that is free is taken: this one, as those below are open.
    if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", O_RDWR) != fd) return;
  }
}

}  // namespace turnpike
