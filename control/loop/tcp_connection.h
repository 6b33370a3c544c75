// A TCP connection on the control loop, accepted or dialled. Knows no framing.
// See event_loop.h for the rules that hold for every watcher.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "control/loop/event_loop.h"
#include "turnpike/address.h"
#include "turnpike/result.h"

namespace turnpike::loop {

/// Destroying it closes it; what the kernel has not taken yet is lost.
class TcpConnection {
 public:
  /// Each may be empty. After on_broken nothing more is called.
  struct Handlers {
    std::function<void()> on_connected{};                   ///< only of a dialled one
    std::function<void(std::string_view bytes)> on_data{};  ///< `bytes` valid during the call only
    std::function<void()> on_end{};      ///< the peer sends no more; it may still read
    std::function<void()> on_drained{};  ///< the kernel has taken everything that was written
    std::function<void(const std::string& why)> on_broken{};  ///< reset, refused, failed
  };

  /// Takes over `fd`: connected, non-blocking.
  static std::unique_ptr<TcpConnection> adopt(EventLoop& loop, int fd);
  /// Begins to connect. Fails at once only when the host itself has no way there.
  static Result<std::unique_ptr<TcpConnection>> dial(EventLoop& loop, const SocketAddress& to);
  ~TcpConnection();
  TcpConnection(const TcpConnection&) = delete;
  TcpConnection& operator=(const TcpConnection&) = delete;

  /// Begins to read, and to call. Call once.
  void start(Handlers handlers);
  /// Queues without limit: watch bytes_unsent() and stop producing when it grows.
  void write(std::string_view bytes);
  std::size_t bytes_unsent() const;
  /// Tells the peer, after what is queued, that we send no more.
  void end();
  /// The destructor then resets the connection instead of closing it in order.
  void reset_on_close();
  /// What is sent from now on gives way to others, on this host and where routers heed it: the
  /// lower-effort per-hop behaviour (RFC 8622), and little of it waits in the kernel.
  void yield_to_others();
  void pause_reading();
  void resume_reading();

  SocketAddress local_address() const;
  SocketAddress remote_address() const;

 private:
  struct State;
  explicit TcpConnection(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace turnpike::loop
