// Connections that are made to see whether somebody answers.
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "control/doctor/look.h"
#include "control/loop/socket_address.h"

namespace turnpike::doctor {
namespace {

constexpr int kConnectMilliseconds = 4000;

int error_of(int fd) {
  int error = 0;
  socklen_t size = sizeof error;
  return ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 ? error : errno;
}

/// Waits for a connection that has begun.
void wait_connected(int fd, ConnectFacts& facts) {
  pollfd entry{.fd = fd, .events = POLLOUT, .revents = 0};
  int ready = 0;
  do {
    ready = ::poll(&entry, 1, kConnectMilliseconds);
  } while (ready < 0 && errno == EINTR);
  facts.timed_out = ready == 0;
  facts.error = ready == 0 ? ETIMEDOUT : error_of(fd);
  // The kernel's own patience ended first.
  if (facts.error == ETIMEDOUT) facts.timed_out = true;
}

}  // namespace

int connect_tcp(const SocketAddress& address, ConnectFacts& facts, SocketAddress& from) {
  const sockaddr_storage to = loop::to_sockaddr(address);
  const int fd = ::socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) {
    facts.error = errno;
    return -1;
  }
  if (::connect(fd, loop::as_sockaddr(to), loop::length_of(to)) != 0) {
    facts.error = errno;
    if (facts.error == EINPROGRESS) wait_connected(fd, facts);
  }
  sockaddr_storage own{};
  socklen_t size = sizeof own;
  if (facts.error == 0 && ::getsockname(fd, loop::as_sockaddr(own), &size) == 0) {
    from = loop::from_sockaddr(loop::as_sockaddr(own));
    return fd;
  }
  ::close(fd);
  return -1;
}

ConnectFacts try_tcp(const SocketAddress& address) {
  ConnectFacts facts;
  SocketAddress from;
  const int fd = connect_tcp(address, facts, from);
  if (fd >= 0) ::close(fd);
  return facts;
}

ConnectFacts try_holder(const std::string& path) {
  ConnectFacts facts;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return {ENAMETOOLONG, false};
  std::memcpy(address.sun_path, path.data(), path.size());
  const int fd = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0 || ::connect(fd, loop::as_sockaddr(address), sizeof address) != 0) {
    facts.error = errno;
  }
  if (fd >= 0) ::close(fd);
  return facts;
}

}  // namespace turnpike::doctor
