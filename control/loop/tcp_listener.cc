// Listening on TCP with a plain descriptor under an FdWatcher.
#include "control/loop/tcp_listener.h"

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include <netinet/in.h>
#include <unistd.h>

#include "control/loop/socket_address.h"
#include "control/loop/watchers.h"

namespace turnpike::loop {
namespace {

constexpr int kBacklog = 64;
constexpr int kAcceptsPerTurn = 16;  // so that a flood of connections leaves time for the rest

Error fail(const SocketAddress& address) {
  std::string hint;
  if (errno == EADDRINUSE) hint = "; stop what uses it (`ss -ltnp` shows it) or choose another";
  if (errno == EADDRNOTAVAIL) hint = "; this host does not have the address";
  return Error{"cannot listen on tcp " + to_string(address) + ": " + std::strerror(errno) + hint};
}

}  // namespace

struct TcpListener::State {
  int fd = -1;
  AcceptFunction on_accept;
  FdWatcher watcher;

  void accept_waiting() {
    for (int i = 0; i < kAcceptsPerTurn; ++i) {
      const int accepted = ::accept4(fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (accepted < 0) return;
      on_accept(accepted);
    }
  }
};

void TcpListener::Close::operator()(State* state) const {
  if (state == nullptr) return;
  state->watcher = {};
  if (state->fd >= 0) ::close(state->fd);
  delete state;
}

Result<TcpListener> TcpListener::listen(EventLoop& loop, const SocketAddress& address,
                                        AcceptFunction on_accept) {
  TcpListener listener;
  listener.state_.reset(new State);
  State& state = *listener.state_;
  state.on_accept = std::move(on_accept);
  const sockaddr_storage storage = to_sockaddr(address);
  state.fd = ::socket(storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (state.fd < 0) return fail(address);
  const int one = 1;
  // A closed connection that lingers must not stop the next start.
  ::setsockopt(state.fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (address.ip.is_v6()) ::setsockopt(state.fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
  if (::bind(state.fd, as_sockaddr(storage), length_of(storage)) != 0 ||
      ::listen(state.fd, kBacklog) != 0) {
    return fail(address);
  }
  auto watcher = FdWatcher::watch(loop, state.fd, {.readable = true},
                                  [&state](auto) { state.accept_waiting(); });
  if (!watcher) return watcher.error();
  state.watcher = std::move(*watcher);
  return listener;
}

SocketAddress TcpListener::local_address() const {
  if (!state_) return {};
  sockaddr_storage storage{};
  socklen_t length = sizeof storage;
  const int result = ::getsockname(state_->fd, as_sockaddr(storage), &length);
  return result < 0 ? SocketAddress{} : from_sockaddr(as_sockaddr(storage));
}

}  // namespace turnpike::loop
