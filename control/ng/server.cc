// Sockets of the NG server.
#include "control/ng/server.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "control/loop/tcp_connection.h"
#include "control/loop/tcp_listener.h"
#include "control/loop/unix_socket.h"
#include "control/loop/watchers.h"
#include "control/ng/stream_link.h"
#include "control/ng/udp_endpoint.h"

namespace turnpike::ng {
namespace {

Result<void> check(const ServerConfig& config) {
  if (config.unix_path.empty() && config.udp.empty() && config.tcp.empty()) {
    return Error{"NG: neither a unix socket nor a UDP or TCP address is configured; name one"};
  }
  if ((config.unix_mode & ~mode_t{0770}) != 0) {
    return Error{"NG: the mode of " + config.unix_path +
                 " lets other users in; the protocol has no password, use 0660 and a group"};
  }
  for (const SocketAddress& address : config.udp) {
    if (!address.ip.is_set()) return Error{"NG: a UDP address is empty"};
    if (address.ip.is_loopback() || config.udp_beyond_loopback) continue;
    return Error{"NG: " + to_string(address) +
                 " is not a loopback address and the protocol has no password; use 127.0.0.1 or "
                 "::1, or allow it explicitly"};
  }
  for (const SocketAddress& address : config.tcp) {
    if (!address.ip.is_loopback()) {
      return Error{"NG: " + to_string(address) +
                   " is not a loopback address and raw TCP is not encrypted; use 127.0.0.1 or ::1"};
    }
  }
  if (!config.tcp.empty() && config.gate.token.empty()) {
    return Error{"NG: a TCP listener needs a token; name a file with one"};
  }
  return {};
}

class RunningServer final : public Server {
 public:
  RunningServer(loop::EventLoop& loop, const ServerConfig& config, call::CallService& calls,
                Dispatcher::Log log)
      : loop_(loop),
        config_(config),
        log_(std::move(log)),
        dispatcher_(calls, &loop::EventLoop::now, log_),
        gate_(std::move(config_.gate), config.message, dispatcher_),
        sweep_timer_(loop, [this] { sweep(); }) {}

  Result<void> start() {
    for (const SocketAddress& address : config_.udp) {
      auto endpoint =
          UdpEndpoint::create(loop_, address, config_.message, config_.reply_cache, dispatcher_);
      if (!endpoint) return endpoint.error();
      udp_.push_back(*std::move(endpoint));
    }
    if (!config_.unix_path.empty()) {
      auto listener = loop::UnixListener::listen(
          loop_,
          {.path = config_.unix_path, .mode = config_.unix_mode, .group = config_.unix_group},
          [this](auto connection) { accept(link_over(std::move(connection)), {}); });
      if (!listener) return Error{"NG: " + listener.error().message};
      listener_ = *std::move(listener);
    }
    for (const SocketAddress& address : config_.tcp) {
      auto listener = loop::TcpListener::listen(loop_, address, [this](int fd) { accept_tcp(fd); });
      if (!listener) return Error{"NG: " + listener.error().message};
      tcp_.push_back(*std::move(listener));
    }
    const Milliseconds interval = sweep_interval();
    sweep_timer_.start(interval, interval);
    return {};
  }

  const ServerCounters& counters() const override { return dispatcher_.counters(); }
  const IgnoredNames& ignored() const override { return dispatcher_.ignored(); }

  std::vector<SocketAddress> udp_addresses() const override {
    std::vector<SocketAddress> addresses;
    for (const auto& endpoint : udp_) addresses.push_back(endpoint->local_address());
    return addresses;
  }

  std::vector<SocketAddress> tcp_addresses() const override {
    std::vector<SocketAddress> addresses;
    for (const auto& listener : tcp_) addresses.push_back(listener.local_address());
    return addresses;
  }

  std::size_t cached_replies() const override {
    std::size_t count = 0;
    for (const auto& endpoint : udp_) count += endpoint->cache().size();
    return count;
  }

  Gate& gate() override { return gate_; }

 private:
  /// Often enough for the shortest time that is configured, at most once a second.
  Milliseconds sweep_interval() const {
    const StreamLimits& stream = config_.stream;
    const Milliseconds shortest =
        std::min({stream.idle_timeout, stream.request_timeout, stream.reply_timeout});
    return std::clamp(shortest / 4, Milliseconds{10}, Milliseconds{1000});
  }

  void accept_tcp(int fd) {
    auto connection = loop::TcpConnection::adopt(loop_, fd);
    const IpAddress client = connection->remote_address().ip;
    if (gate_.admits(client)) accept(link_over(std::move(connection)), {&gate_, client});
  }

  void accept(std::unique_ptr<StreamLink> link, Guard guard) {
    ServerCounters& counters = dispatcher_.counters();
    // A budget for each: who may only reach TCP never keeps the SIP server off its socket.
    std::size_t& open_here = guard.gate != nullptr ? tcp_sessions_ : unix_sessions_;
    if (open_here >= config_.stream.connections_max) {
      if (guard.gate != nullptr) gate_.count(Refusal::kConnections);
      if (counters.connections_refused++ == 0 && log_) {
        log_("NG: limit of " + std::to_string(config_.stream.connections_max) +
             " connections reached, more are closed");
      }
      return;
    }
    ++open_here;
    ++counters.connections_accepted;
    const std::uint64_t number = ++last_session_;
    auto session =
        std::make_shared<StreamSession>(std::move(link), guard, config_.message, config_.stream,
                                        dispatcher_, [this, number, &open_here] {
                                          --open_here;
                                          drop(number);
                                        });
    sessions_.emplace(number, session);
    counters.connections = sessions_.size();
    session->start();
  }

  void drop(std::uint64_t number) {
    sessions_.erase(number);
    dispatcher_.counters().connections = sessions_.size();
  }

  void sweep() {
    const Instant now = loop::EventLoop::now();
    for (const auto& endpoint : udp_) endpoint->sweep(now);
    // A session that closes leaves the table while we walk through it.
    std::vector<std::shared_ptr<StreamSession>> sessions;
    for (const auto& [number, session] : sessions_) sessions.push_back(session);
    for (const auto& session : sessions) session->sweep(now);
  }

  loop::EventLoop& loop_;
  ServerConfig config_;
  Dispatcher::Log log_;
  Dispatcher dispatcher_;
  Gate gate_;
  std::vector<std::unique_ptr<UdpEndpoint>> udp_;
  std::vector<loop::TcpListener> tcp_;
  std::size_t unix_sessions_ = 0;
  std::size_t tcp_sessions_ = 0;
  std::unordered_map<std::uint64_t, std::shared_ptr<StreamSession>> sessions_;
  std::uint64_t last_session_ = 0;
  loop::UnixListener listener_;
  loop::Timer sweep_timer_;
};

}  // namespace

Result<std::unique_ptr<Server>> Server::create(loop::EventLoop& loop, const ServerConfig& config,
                                               call::CallService& calls, Dispatcher::Log log) {
  if (const auto checked = check(config); !checked) return checked.error();
  auto server = std::make_unique<RunningServer>(loop, config, calls, std::move(log));
  if (const auto started = server->start(); !started) return started.error();
  return std::unique_ptr<Server>(std::move(server));
}

}  // namespace turnpike::ng
