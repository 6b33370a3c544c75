// A connection as StreamSession wants it, over a unix socket or TCP.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "control/loop/tcp_connection.h"
#include "control/loop/unix_socket.h"

namespace turnpike::ng {

/// Destroying it closes the connection.
class StreamLink {
 public:
  struct Handlers {
    std::function<void(std::string_view bytes)> on_data{};
    std::function<void()> on_end{};
    std::function<void()> on_drained{};
    std::function<void()> on_broken{};
  };
  virtual ~StreamLink() = default;
  virtual void start(Handlers handlers) = 0;
  virtual void write(std::string bytes) = 0;
  virtual std::size_t bytes_unsent() const = 0;
  virtual void pause_reading() = 0;
  virtual void resume_reading() = 0;
  /// Says that we send no more. False: closing does no harm to what was sent, so that there is
  /// nothing to say. (A TCP connection that is closed while bytes of the peer are unread is reset,
  /// and the peer may lose what we wrote last.)
  virtual bool end() = 0;
};

std::unique_ptr<StreamLink> link_over(std::unique_ptr<loop::StreamConnection> connection);
std::unique_ptr<StreamLink> link_over(std::unique_ptr<loop::TcpConnection> connection);

}  // namespace turnpike::ng
