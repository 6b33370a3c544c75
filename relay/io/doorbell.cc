#include "relay/io/doorbell.h"

#include <algorithm>
#include <cerrno>
#include <cstdint>

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "relay/core/check.h"

namespace turnpike {

Doorbell::Doorbell() : fd_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  CHECK(fd_ >= 0);
}

Doorbell::~Doorbell() {
  close(fd_);
}

void Doorbell::ring() {
  if (rung_.exchange(true)) return;
  const std::uint64_t one = 1;
  if (write(fd_, &one, sizeof one) < 0) CHECK(errno == EAGAIN);  // rung often enough
}

void Doorbell::sleep(Nanoseconds longest) {
  const auto wait = std::chrono::ceil<Milliseconds>(std::max(longest, Nanoseconds{0}));
  pollfd waiting{fd_, POLLIN, 0};
  static_cast<void>(poll(&waiting, 1, static_cast<int>(wait.count())));
  clear();
}

void Doorbell::clear() {
  std::uint64_t rings = 0;
  if (read(fd_, &rings, sizeof rings) < 0) CHECK(errno == EAGAIN);
}

// In this order: whoever rings in between has brought his work already, and the answerer looks for
// it after this. The other way round that ring would be taken away, and none would ever come again.
void Doorbell::answer() {
  clear();
  listen();
}

}  // namespace turnpike
