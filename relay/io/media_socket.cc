// The system calls of media_socket.h.
#include "relay/io/media_socket.h"

#include <cerrno>
#include <limits>

#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "relay/io/sockaddr.h"

namespace turnpike {
namespace {

// The kernel raises it to its own minimum, 2304 bytes with bookkeeping.
constexpr int kParkedBufferBytes = 0;
// More than a full buffer of the default size holds: what does not end here is a flood.
constexpr int kDrainDatagramsMax = 1024;
constexpr std::uint32_t kThrownAwayMax = 512;

bool set_option(int fd, int level, int name, int value) {
  return setsockopt(fd, level, name, &value, sizeof value) == 0;
}

bool is_out_of_descriptors(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

// True when the socket is empty in the end. Errors that wait (ICMP) come out of recv and are
// forgotten too.
bool drain(int fd, int datagrams_max = kDrainDatagramsMax) {
  for (int i = 0; i < datagrams_max; ++i) {
    char nothing = 0;
    if (recv(fd, &nothing, 0, MSG_DONTWAIT | MSG_TRUNC) < 0 && errno == EAGAIN) return true;
  }
  return false;
}

}  // namespace

BindOutcome bind_outcome_of(int error) {
  if (is_out_of_descriptors(error)) return BindOutcome::kOutOfDescriptors;
  if (error == EADDRNOTAVAIL || error == EAFNOSUPPORT || error == ENODEV || error == EINVAL) {
    return BindOutcome::kAddressUnavailable;
  }
  return BindOutcome::kPortTaken;
}

int default_receive_buffer_bytes() {
  constexpr int kUsual = 106496;
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return kUsual;
  int doubled = 0;
  socklen_t size = sizeof doubled;
  const bool known = getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &doubled, &size) == 0;
  close(fd);
  return known ? doubled / 2 : kUsual;  // the kernel answers twice what it was given
}

BindOutcome open_media_socket(const SocketAddress& local, const MediaSocketOptions& options,
                              int& fd) {
  const int family = local.ip.is_v4() ? AF_INET : AF_INET6;
  const int opened = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (opened < 0) return bind_outcome_of(errno);
  if (family == AF_INET6) set_option(opened, IPPROTO_IPV6, IPV6_V6ONLY, 1);
  if (options.set_receive_buffer) {
    set_option(opened, SOL_SOCKET, SO_RCVBUF, options.receive_buffer_bytes);
  }
  if (options.send_buffer_bytes > 0) {
    set_option(opened, SOL_SOCKET, SO_SNDBUF, options.send_buffer_bytes);
  }
  sockaddr_storage storage{};
  const socklen_t size = to_sockaddr(local, storage);
  if (bind(opened, as_sockaddr(storage), size) != 0) {
    const BindOutcome outcome = bind_outcome_of(errno);
    close(opened);
    return outcome;
  }
  fd = opened;
  return BindOutcome::kBound;
}

bool inspect_media_socket(int fd, SocketAddress& local) {
  int protocol = 0;
  socklen_t size = sizeof protocol;
  if (getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size) != 0) return false;
  sockaddr_storage storage{};
  size = sizeof storage;
  if (protocol != IPPROTO_UDP || getsockname(fd, as_sockaddr(storage), &size) != 0) return false;
  local = from_sockaddr(storage);
  if (!local.is_set()) return false;
  const int flags = fcntl(fd, F_GETFL);
  return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0 &&
         fcntl(fd, F_SETFD, FD_CLOEXEC) == 0;
}

void shrink_socket(int fd) {
  set_option(fd, SOL_SOCKET, SO_RCVBUF, kParkedBufferBytes);
}

bool park_socket(int fd) {
  shrink_socket(fd);  // first: what comes now stays little
  sockaddr nobody{};
  nobody.sa_family = AF_UNSPEC;
  connect(fd, &nobody, sizeof nobody);
  if (drain(fd)) return false;
  silence_socket(fd);
  return true;
}

void unpark_socket(int fd, const MediaSocketOptions& options, bool filtered) {
  if (!filtered && !drain(fd)) {
    silence_socket(fd);
    filtered = true;
  }
  // A packet may have passed the check before the filter came and been queued after the drain.
  if (filtered) {
    drain(fd);
    set_option(fd, SOL_SOCKET, SO_DETACH_FILTER, 0);
  }
  set_option(fd, SOL_SOCKET, SO_RCVBUF, options.receive_buffer_bytes);
}

void empty_fresh_socket(int fd, const MediaSocketOptions& options) {
  if (drain(fd)) return;
  silence_socket(fd);
  unpark_socket(fd, options, true);
}

void restore_socket(int fd, const MediaSocketOptions& options) {
  set_option(fd, SOL_SOCKET, SO_DETACH_FILTER, 0);  // there may be none
  set_option(fd, SOL_SOCKET, SO_REUSEPORT, 0);      // of a twin whose making was cut short
  set_option(fd, SOL_SOCKET, SO_RCVBUF, options.receive_buffer_bytes);
}

std::uint32_t throw_away(int fd) {
  std::uint32_t count = 0;
  char nothing = 0;
  while (count < kThrownAwayMax && recv(fd, &nothing, 0, MSG_DONTWAIT | MSG_TRUNC) >= 0) ++count;
  return count;
}

void set_dscp(int fd, AddressFamily family, std::uint8_t dscp) {
  const int value = dscp << 2;
  if (family == AddressFamily::kIpv4) {
    set_option(fd, IPPROTO_IP, IP_TOS, value);
  } else {
    set_option(fd, IPPROTO_IPV6, IPV6_TCLASS, value);
  }
}

void silence_socket(int fd) {
  sock_filter drop_all = BPF_STMT(BPF_RET | BPF_K, 0);
  const sock_fprog program{1, &drop_all};
  if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0) {
    drain(fd, std::numeric_limits<int>::max());  // ends: nothing new comes in any more
  } else {
    drain(fd);  // no memory for a filter: a flood may go on, so stop after a few
  }
}

}  // namespace turnpike
