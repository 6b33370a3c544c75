// A plain descriptor under an FdWatcher.
#include "control/loop/tcp_connection.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include <linux/pkt_sched.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/loop/socket_address.h"
#include "control/loop/watchers.h"

namespace turnpike::loop {
namespace {

constexpr std::size_t kReadBytesMax = 65536;
constexpr int kLowerEffort = 1 << 2;  // RFC 8622: DSCP 000001
constexpr int kNotSentBytesMax = 65536;

void set_option(int fd, int level, int option, int value) {
  ::setsockopt(fd, level, option, &value, sizeof value);
}

SocketAddress address_of(int fd, int (*ask)(int, sockaddr*, socklen_t*)) {
  sockaddr_storage storage{};
  socklen_t length = sizeof storage;
  return ask(fd, as_sockaddr(storage), &length) == 0 ? from_sockaddr(as_sockaddr(storage))
                                                     : SocketAddress{};
}

}  // namespace

struct TcpConnection::State : std::enable_shared_from_this<TcpConnection::State> {
  int fd = -1;
  FdWatcher watcher;
  Handlers handlers;
  std::string unsent;
  SocketAddress remote;
  bool connecting = false;
  bool started = false;
  bool reading = true;
  bool they_ended = false;
  bool we_end = false;
  bool shut = false;
  bool open = true;

  void watch() {
    if (!open) return;
    watcher.want({.readable = started && reading && !they_ended && !connecting,
                  .writable = connecting || !unsent.empty()});
  }
  void on_ready(FdWatcher::Interest ready);
  void on_connected();
  void read();
  void flush();
  void fail(int code);
};

void TcpConnection::State::fail(int code) {
  if (!open) return;
  open = false;
  watcher = {};
  if (handlers.on_broken) handlers.on_broken(std::strerror(code));
}

void TcpConnection::State::on_connected() {
  int code = 0;
  socklen_t length = sizeof code;
  ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &length);
  if (code != 0) return fail(code);
  connecting = false;
  if (handlers.on_connected) handlers.on_connected();
}

void TcpConnection::State::on_ready(FdWatcher::Interest ready) {
  const auto keep = shared_from_this();  // a handler may destroy the connection
  if (connecting && ready.writable) on_connected();
  if (open && !connecting && ready.writable) flush();
  if (open && !connecting && ready.readable && reading && !they_ended) read();
  watch();
}

void TcpConnection::State::read() {
  // One buffer per thread is enough: a handler that runs the loop would break the rules anyway.
  thread_local std::array<char, kReadBytesMax> bytes;
  const ssize_t count = ::read(fd, bytes.data(), bytes.size());
  if (count > 0) {
    if (handlers.on_data) handlers.on_data({bytes.data(), static_cast<std::size_t>(count)});
  } else if (count == 0) {
    they_ended = true;
    if (handlers.on_end) handlers.on_end();
  } else if (errno != EAGAIN && errno != EINTR) {
    fail(errno);
  }
}

void TcpConnection::State::flush() {
  const bool had = !unsent.empty();
  std::size_t sent = 0;
  while (sent < unsent.size()) {
    const ssize_t count = ::send(fd, unsent.data() + sent, unsent.size() - sent, MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno != EAGAIN) return fail(errno);
    if (count < 0) break;
    sent += static_cast<std::size_t>(count);
  }
  unsent.erase(0, sent);
  if (!unsent.empty()) return;
  if (we_end && !std::exchange(shut, true)) ::shutdown(fd, SHUT_WR);
  if (had && handlers.on_drained) handlers.on_drained();
}

TcpConnection::TcpConnection(std::shared_ptr<State> state) : state_(std::move(state)) {}

TcpConnection::~TcpConnection() {
  state_->open = false;
  state_->watcher = {};
  if (state_->fd >= 0) ::close(state_->fd);
}

std::unique_ptr<TcpConnection> TcpConnection::adopt(EventLoop& loop, int fd) {
  auto state = std::make_shared<State>();
  state->fd = fd;
  set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  state->remote = address_of(fd, ::getpeername);
  auto watcher = FdWatcher::watch(loop, fd, {.readable = false},
                                  [raw = state.get()](auto ready) { raw->on_ready(ready); });
  if (watcher) state->watcher = std::move(*watcher);
  return std::unique_ptr<TcpConnection>(new TcpConnection(std::move(state)));
}

Result<std::unique_ptr<TcpConnection>> TcpConnection::dial(EventLoop& loop,
                                                           const SocketAddress& to) {
  const sockaddr_storage storage = to_sockaddr(to);
  const int fd = ::socket(storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return Error{std::strerror(errno)};
  const int result = ::connect(fd, as_sockaddr(storage), length_of(storage));
  if (result != 0 && errno != EINPROGRESS) {
    const Error error{std::strerror(errno)};
    ::close(fd);
    return error;
  }
  auto connection = adopt(loop, fd);
  connection->state_->remote = to;
  connection->state_->connecting = true;  // also when it is already: the loop reports it
  return connection;
}

void TcpConnection::start(Handlers handlers) {
  state_->handlers = std::move(handlers);
  state_->started = true;
  state_->watch();
}

void TcpConnection::write(std::string_view bytes) {
  State& state = *state_;
  if (!state.open || state.we_end) return;
  std::size_t sent = 0;
  if (state.unsent.empty() && !state.connecting) {
    // A failure is reported by the loop, not inside this call.
    const ssize_t count = ::send(state.fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count > 0) sent = static_cast<std::size_t>(count);
  }
  state.unsent += bytes.substr(sent);
  state.watch();
}

std::size_t TcpConnection::bytes_unsent() const {
  return state_->unsent.size();
}

void TcpConnection::end() {
  State& state = *state_;
  if (!state.open || std::exchange(state.we_end, true)) return;
  if (state.unsent.empty() && !state.connecting && !std::exchange(state.shut, true)) {
    ::shutdown(state.fd, SHUT_WR);
  }
}

void TcpConnection::reset_on_close() {
  const linger now{1, 0};
  ::setsockopt(state_->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

void TcpConnection::yield_to_others() {
  const int fd = state_->fd;
  set_option(fd, state_->remote.ip.is_v6() ? IPPROTO_IPV6 : IPPROTO_IP,
             state_->remote.ip.is_v6() ? IPV6_TCLASS : IP_TOS, kLowerEffort);
  set_option(fd, SOL_SOCKET, SO_PRIORITY, TC_PRIO_BULK);  // after the other, which sets it as well
  set_option(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, kNotSentBytesMax);
}

void TcpConnection::pause_reading() {
  state_->reading = false;
  state_->watch();
}

void TcpConnection::resume_reading() {
  state_->reading = true;
  state_->watch();
}

SocketAddress TcpConnection::local_address() const {
  return address_of(state_->fd, ::getsockname);
}

SocketAddress TcpConnection::remote_address() const {
  return state_->remote;
}

}  // namespace turnpike::loop
