// A shard's side of TCP allocations (RFC 6062): opens their relayed transport addresses, passes on
// what its engine decides, and gives clients' data connections away. Is not: the connections
// themselves; a thread has those (turn_tcp_thread.h).
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "relay/io/relayed_ports.h"
#include "relay/turn/engine.h"
#include "relay/turn/tcp_ports.h"
#include "relay/turn_streams.h"
#include "relay/turn_tcp_thread.h"

namespace turnpike {

class TurnTcpShard final : public turn::TcpPorts {
 public:
  /// `relays`: where relayed transport addresses are, and what is advertised for them. What is
  /// given outlives this.
  TurnTcpShard(std::size_t shard, TurnTcpThread& thread, RelayedPortTable& table,
               RelayedPortSlice& slice, std::vector<turn::RelayAddress> relays);
  ~TurnTcpShard() override;

  // turn::TcpPorts
  std::optional<SocketAddress> listen(const SocketTag& tag, AddressFamily family,
                                      std::shared_ptr<turn::TcpTraffic> traffic) override;
  void close(const SocketTag& tag) override;
  Begun connect(const SocketTag& tag, std::uint32_t id, const SocketAddress& peer) override;
  void judged(std::uint32_t id, std::optional<turn::PeerClose> refused) override;
  void end(std::uint32_t id, turn::PeerClose why) override;
  void bind(const SocketTag& stream, std::uint32_t id) override;

  /// Gives away the streams that have become data connections, their responses with them.
  void hand_over(TurnStreams& streams);
  /// Gives the engine what has happened; `flush` sends what it then wants sent.
  void take_events(turn::Engine& engine, Instant now, Outbox& out,
                   const std::function<void()>& flush);

 private:
  struct Binding {
    SocketTag stream;
    std::uint32_t id = 0;
  };
  /// What must not be lost waits for room.
  void order(TurnTcpOrder order);
  void send_orders();

  std::size_t shard_;
  TurnTcpThread& thread_;
  RelayedPortTable& table_;
  RelayedPortSlice& slice_;
  std::vector<turn::RelayAddress> relays_;
  std::deque<TurnTcpOrder> orders_;  // that found no room
  std::vector<Binding> bindings_;
};

}  // namespace turnpike
