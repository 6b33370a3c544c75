// The NG server: its listening sockets, their connections and limits, on the control loop.
// Is not: the protocol's meaning (dispatcher.h, control/call).
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include <sys/types.h>

#include "control/call/call_service.h"
#include "control/loop/event_loop.h"
#include "control/ng/dispatcher.h"
#include "control/ng/gate.h"
#include "control/ng/reading.h"
#include "control/ng/reply_cache.h"
#include "control/ng/stream_session.h"
#include "turnpike/address.h"
#include "turnpike/result.h"

namespace turnpike::ng {

struct ServerConfig {
  std::string unix_path{};           ///< empty = no unix socket
  std::string unix_group{};          ///< name or number; empty = the process's
  mode_t unix_mode = 0660;           ///< bits for "others" are refused
  std::vector<SocketAddress> udp{};  ///< port 0 lets the kernel choose
  /// NG has no authentication and carries keys: an address that is not loopback needs this, and
  /// a network that nobody else can reach.
  bool udp_beyond_loopback = false;
  /// Loopback addresses; each connection begins with the token of the gate.
  std::vector<SocketAddress> tcp{};
  GateRules gate{};  ///< of TCP, and of the transports that ask for gate()

  MessageLimits message{};
  ReplyCacheLimits reply_cache{};  ///< of each UDP socket
  StreamLimits stream{};
};

class Server {
 public:
  /// `loop` and `calls` outlive the server. `log` is told rare events, never per message; it may
  /// be empty.
  static Result<std::unique_ptr<Server>> create(loop::EventLoop& loop, const ServerConfig& config,
                                                call::CallService& calls, Dispatcher::Log log);
  virtual ~Server() = default;

  virtual const ServerCounters& counters() const = 0;
  virtual const IgnoredNames& ignored() const = 0;
  /// Where the UDP sockets are bound, in the order of the configuration.
  virtual std::vector<SocketAddress> udp_addresses() const = 0;
  /// The same of the TCP listeners.
  virtual std::vector<SocketAddress> tcp_addresses() const = 0;
  /// Replies kept for repetitions, over all UDP sockets.
  virtual std::size_t cached_replies() const = 0;

  /// For transports that lie elsewhere (HTTP, WebSocket). Lives as long as the server.
  virtual Gate& gate() = 0;
};

}  // namespace turnpike::ng
