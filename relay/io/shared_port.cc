#include "relay/io/shared_port.h"

#include <cerrno>
#include <cstring>
#include <string>

#include <sys/socket.h>
#include <unistd.h>

#include "relay/io/sockaddr.h"

namespace turnpike {

bool set_option(int fd, int level, int name, int value) {
  return setsockopt(fd, level, name, &value, sizeof value) == 0;
}

Error error_at(const SocketAddress& address, const char* what) {
  const int error = errno;
  return Error{std::string(what) + " " + to_string(address) + ": " + std::strerror(error)};
}

Result<std::vector<int>> bind_group(const SocketAddress& local, std::size_t shards,
                                    int (*open)(AddressFamily family)) {
  std::vector<int> fds;
  const auto fail = [&](const char* what) {
    Error error = error_at(local, what);
    for (const int fd : fds) close(fd);
    return error;
  };
  sockaddr_storage storage{};
  const socklen_t size = to_sockaddr(local, storage);
  for (std::size_t i = 0; i < shards; ++i) {
    const int fd = open(local.ip.family);
    if (fd < 0) return fail("cannot open a socket for");
    fds.push_back(fd);
    // The first alone: with SO_REUSEPORT from the start we would join the group of another program
    // of our user, such as a second daemon.
    if (i == 0 && bind(fd, as_sockaddr(storage), size) != 0) return fail("cannot bind");
    if (shards > 1 && !set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1)) return fail("cannot share");
    if (i != 0 && bind(fd, as_sockaddr(storage), size) != 0) return fail("cannot bind");
  }
  return fds;
}

}  // namespace turnpike
