#include "relay/io/connected_twin.h"

#include <array>
#include <cerrno>
#include <cstring>

#include <linux/errqueue.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "relay/io/loop.h"
#include "relay/io/sockaddr.h"

namespace turnpike {
namespace {

constexpr int kErrorsPerTurn = 16;

int option_of(int fd, int level, int name) {
  int value = 0;
  socklen_t size = sizeof value;
  return getsockopt(fd, level, name, &value, &size) == 0 ? value : 0;
}

bool set_option(int fd, int level, int name, int value) {
  return setsockopt(fd, level, name, &value, sizeof value) == 0;
}

void copy_options(int from, int to, bool v4) {
  // The kernel answers twice what it was given.
  set_option(to, SOL_SOCKET, SO_RCVBUF, option_of(from, SOL_SOCKET, SO_RCVBUF) / 2);
  set_option(to, SOL_SOCKET, SO_SNDBUF, option_of(from, SOL_SOCKET, SO_SNDBUF) / 2);
  const int level = v4 ? IPPROTO_IP : IPPROTO_IPV6;
  const int name = v4 ? IP_TOS : IPV6_TCLASS;
  set_option(to, level, name, option_of(from, level, name));
  if (!v4) set_option(to, IPPROTO_IPV6, IPV6_V6ONLY, 1);
  // Without it the kernel tells of "port unreachable" alone, and not of a host that is off.
  set_option(to, level, v4 ? IP_RECVERR : IPV6_RECVERR, 1);
}

bool bind_beside(int fd, int twin) {
  sockaddr_storage local{};
  socklen_t size = sizeof local;
  if (getsockname(fd, as_sockaddr(local), &size) != 0) return false;
  return bind(twin, as_sockaddr(local), size) == 0;
}

}  // namespace

int open_connected_twin(int fd, const SocketAddress& destination) {
  const bool v4 = destination.ip.is_v4();
  const int twin = socket(v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (twin < 0) return -1;
  copy_options(fd, twin, v4);
  // Only for the moment of the bind: with it, other programs of our user could share the port.
  set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
  set_option(twin, SOL_SOCKET, SO_REUSEPORT, 1);
  const bool bound = bind_beside(fd, twin);
  set_option(fd, SOL_SOCKET, SO_REUSEPORT, 0);
  set_option(twin, SOL_SOCKET, SO_REUSEPORT, 0);
  if (bound && reconnect_twin(twin, destination)) return twin;
  close(twin);
  return -1;
}

void note_send_error(int error, SendErrors& errors) {
  switch (error) {
    case ECONNREFUSED:
      ++errors.refused;
      break;
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EHOSTDOWN:
    case ENETDOWN:
    case ENONET:
    case EACCES:
    case EPERM:
      ++errors.unreachable;
      break;
    default:
      return;
  }
  errors.last = monotonic_now();
}

void take_errors(int twin, SendErrors& errors) {
  for (int i = 0; i < kErrorsPerTurn; ++i) {
    std::array<char, 512> control{};
    msghdr message{};
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    if (recvmsg(twin, &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) return;
    for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr;
         part = CMSG_NXTHDR(&message, part)) {
      const bool v4 = part->cmsg_level == IPPROTO_IP && part->cmsg_type == IP_RECVERR;
      const bool v6 = part->cmsg_level == IPPROTO_IPV6 && part->cmsg_type == IPV6_RECVERR;
      if (!v4 && !v6) continue;
      sock_extended_err error{};
      std::memcpy(&error, CMSG_DATA(part), sizeof error);
      note_send_error(static_cast<int>(error.ee_errno), errors);
    }
  }
}

bool reconnect_twin(int twin, const SocketAddress& destination) {
  sockaddr_storage to{};
  const socklen_t size = to_sockaddr(destination, to);
  return connect(twin, as_sockaddr(to), size) == 0;
}

}  // namespace turnpike
