// A TCP listener on the control loop that hands out accepted descriptors, for a library that reads
// and writes them itself. Knows no protocol.
#pragma once

#include <functional>
#include <memory>

#include "control/loop/event_loop.h"
#include "turnpike/address.h"
#include "turnpike/result.h"

namespace turnpike::loop {

class TcpListener {
 public:
  /// Takes over `fd`: non-blocking, close-on-exec.
  using AcceptFunction = std::function<void(int fd)>;

  TcpListener() = default;
  /// Port 0 takes a free one. IPv6 sockets serve IPv6 only.
  static Result<TcpListener> listen(EventLoop& loop, const SocketAddress& address,
                                    AcceptFunction on_accept);
  SocketAddress local_address() const;

 private:
  struct State;
  struct Close {
    void operator()(State* state) const;
  };
  std::unique_ptr<State, Close> state_;
};

}  // namespace turnpike::loop
