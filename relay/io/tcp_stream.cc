#include "relay/io/tcp_stream.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "relay/io/shared_port.h"
#include "relay/io/sockaddr.h"

namespace turnpike {
namespace {

constexpr int kBacklog = 512;
constexpr int kRelayedBacklog = 32;  // of one allocation's peers
// What is on its way: some 20 Mbit/s over 50 ms.
constexpr int kSendBufferBytes = 128 << 10;
// What is not on its way yet is nothing but delay, for a client that does not keep up.
constexpr int kUnsentBytesMax = 16 << 10;
constexpr int kReceiveBufferBytes = 64 << 10;
constexpr unsigned kUnacknowledgedMs = 30000;
// Of a connection that is silent, as one with an idle allocation is.
constexpr int kProbeAfterSeconds = 30;
constexpr int kProbeEverySeconds = 10;

// A connection has the options of its listening socket.
int open_socket(AddressFamily family) {
  const int fd = socket(family == AddressFamily::kIpv4 ? AF_INET : AF_INET6,
                        SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return fd;
  if (family == AddressFamily::kIpv6) set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
  set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  set_option(fd, SOL_SOCKET, SO_SNDBUF, kSendBufferBytes);
  set_option(fd, SOL_SOCKET, SO_RCVBUF, kReceiveBufferBytes);
  set_option(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, kUnsentBytesMax);
  set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, kProbeAfterSeconds);
  set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, kProbeEverySeconds);
  set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, static_cast<int>(kUnacknowledgedMs));
  set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  return fd;
}

StreamMoved result_of(ssize_t moved) {
  if (moved > 0) return {StreamState::kMoved, static_cast<std::size_t>(moved)};
  if (moved == 0) return {StreamState::kEnded, 0};
  const bool later = errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR || errno == ENOBUFS;
  return {later ? StreamState::kWait : StreamState::kFailed, 0};
}

class TcpStream final : public ByteStream {
 public:
  explicit TcpStream(int fd) : fd_(fd) {}
  ~TcpStream() override { close(fd_); }

  int fd() const override { return fd_; }
  StreamMoved read(std::span<std::uint8_t> into) override {
    return result_of(recv(fd_, into.data(), into.size(), MSG_DONTWAIT));
  }
  StreamMoved write(std::span<const std::uint8_t> bytes) override {
    return result_of(send(fd_, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL));
  }
  bool end_writing() override {
    shutdown(fd_, SHUT_WR);
    return true;
  }

 private:
  int fd_;
};

}  // namespace

Result<std::vector<int>> open_stream_port(const SocketAddress& local, std::size_t shards) {
  auto fds = bind_group(local, shards, open_socket);
  if (!fds) return fds;
  for (const int fd : *fds) {
    if (listen(fd, kBacklog) == 0) continue;
    Error error = error_at(local, "cannot listen at");
    for (const int opened : *fds) close(opened);
    return error;
  }
  return fds;
}

Accepted accept_stream(int listener) {
  Accepted accepted;
  sockaddr_storage source{};
  socklen_t size = sizeof source;
  accepted.fd = accept4(listener, as_sockaddr(source), &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (accepted.fd >= 0) {
    accepted.state = AcceptState::kAccepted;
    accepted.source = from_sockaddr(source);
    return accepted;
  }
  switch (errno) {
    case EAGAIN:
      break;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOBUFS:
      accepted.state = AcceptState::kExhausted;
      break;
    default:
      accepted.state = AcceptState::kNoLongerThere;
  }
  return accepted;
}

StreamMoved peek_stream(int fd, std::span<std::uint8_t> into) {
  return result_of(recv(fd, into.data(), into.size(), MSG_DONTWAIT | MSG_PEEK));
}

void wait_for_bytes(int fd, std::size_t bytes) {
  set_option(fd, SOL_SOCKET, SO_RCVLOWAT, static_cast<int>(bytes));
}

bool skip_stream(int fd, std::size_t bytes) {
  std::array<std::uint8_t, 256> some;
  while (bytes > 0) {
    const ssize_t taken = recv(fd, some.data(), std::min(bytes, some.size()), MSG_DONTWAIT);
    if (taken <= 0) return false;
    bytes -= static_cast<std::size_t>(taken);
  }
  return true;
}

int connect_from(const SocketAddress& local, const SocketAddress& remote) {
  const int fd = open_socket(remote.ip.family);
  if (fd < 0) return fd;
  if (local.port == 0) {
    set_option(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);  // a port is needed once it connects
  } else {
    set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
  }
  sockaddr_storage from{};
  sockaddr_storage to{};
  const socklen_t from_size = to_sockaddr(local, from);
  const socklen_t to_size = to_sockaddr(remote, to);
  if (bind(fd, as_sockaddr(from), from_size) == 0 &&
      (connect(fd, as_sockaddr(to), to_size) == 0 || errno == EINPROGRESS)) {
    return fd;
  }
  close(fd);
  return -1;
}

ConnectState connect_state(int fd) {
  int error = 0;
  socklen_t size = sizeof error;
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0) {
    return ConnectState::kFailed;
  }
  sockaddr_storage remote{};
  size = sizeof remote;
  if (getpeername(fd, as_sockaddr(remote), &size) == 0) return ConnectState::kConnected;
  return ConnectState::kConnecting;
}

BindOutcome open_relayed_listener(const SocketAddress& local, int& fd) {
  const int opened = open_socket(local.ip.family);
  if (opened < 0) return bind_outcome_of(errno);
  sockaddr_storage from{};
  const socklen_t size = to_sockaddr(local, from);
  // Shared with its own connections, only then: before, we would join a group that there is.
  if (bind(opened, as_sockaddr(from), size) != 0 ||
      !set_option(opened, SOL_SOCKET, SO_REUSEPORT, 1) || listen(opened, kRelayedBacklog) != 0) {
    const BindOutcome outcome = bind_outcome_of(errno);
    close(opened);
    return outcome;
  }
  fd = opened;
  return BindOutcome::kBound;
}

std::unique_ptr<ByteStream> make_tcp_stream(int fd) {
  return std::make_unique<TcpStream>(fd);
}

}  // namespace turnpike
