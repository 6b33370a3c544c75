// A UDP socket on the control loop, for control traffic: a few thousand datagrams a second.
// Is not: media (relay/io sends in batches).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "control/loop/event_loop.h"
#include "turnpike/address.h"
#include "turnpike/result.h"

namespace turnpike::loop {

class UdpSocket {
 public:
  /// `datagram` is valid during the call only. Empty datagrams are reported too.
  using ReceiveFunction = std::function<void(std::string_view datagram, const SocketAddress& from)>;

  UdpSocket() = default;
  /// Binds to exactly this address (an IPv6 socket takes no IPv4); port 0 lets the kernel choose.
  static Result<UdpSocket> bind(EventLoop& loop, const SocketAddress& address,
                                ReceiveFunction on_receive);

  /// False when the kernel does not take it now or at all; nothing is queued.
  bool send(std::string datagram, const SocketAddress& to);
  SocketAddress local_address() const;

 private:
  struct State;
  struct Close {
    void operator()(State* state) const;
  };
  std::unique_ptr<State, Close> state_;
};

}  // namespace turnpike::loop
