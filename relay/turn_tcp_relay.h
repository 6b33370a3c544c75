// The TCP connections of TCP allocations (RFC 6062): with peers, to and from relayed transport
// addresses, and each spliced to its client's data connection once that has come. Nothing of a peer
// is read before: what it sends waits in the kernel.
// Hides: sockets, buffers, rates, times. Is not: who may connect to whom; an engine judges.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "relay/core/byte_stream.h"
#include "relay/io/relayed_ports.h"
#include "relay/io/stream_poll.h"
#include "relay/turn/bucket.h"
#include "relay/turn/source_gate.h"
#include "relay/turn/tcp_ports.h"
#include "relay/turn_streams.h"

namespace turnpike {

class TurnTcpRelay {
 public:
  /// Of a connection that is on its way to a peer (RFC 6062 section 5.2: at least 30 s).
  static constexpr Seconds kConnectMax{30};
  /// Until ConnectionBind (RFC 6062 sections 5.2, 5.3).
  static constexpr Seconds kBindMax{30};
  /// Once one end has said good-bye, without a byte of the other.
  static constexpr Seconds kHalfOpenMax{60};
  /// Connections that came and were not judged yet.
  static constexpr std::size_t kUnjudgedMax = 256;
  /// Of these at one relayed transport address.
  static constexpr std::size_t kUnjudgedOfHomeMax = 16;
  /// Of one relayed transport address, before others have their turn.
  static constexpr int kAcceptsMax = 8;

  struct Setup {
    std::shared_ptr<turn::Shared> shared;
    RelayedPortTable* ports = nullptr;  ///< outlives this
    turn::SourceGate gate;              ///< of client connections
  };
  using Tell = std::function<void(std::uint16_t shard, const turn::TcpEvent&)>;
  TurnTcpRelay(StreamPoll& poll, Setup setup, turn::Counters& counters, Tell tell);
  ~TurnTcpRelay();

  /// `port`: owned from now on.
  void listen(std::uint16_t shard, const SocketTag& tag, const RelayedPort& port,
              std::shared_ptr<turn::TcpTraffic> traffic);
  void close(std::uint16_t shard, const SocketTag& tag, Instant now);
  void connect(std::uint16_t shard, const SocketTag& tag, std::uint32_t id,
               const SocketAddress& peer, Instant now);
  void judged(std::uint32_t id, std::optional<turn::PeerClose> refused, Instant now);
  void end(std::uint32_t id, turn::PeerClose why);
  void bind(std::uint32_t id, std::unique_ptr<TurnTcpClient> client, Instant now);

  void on_ready(std::uint32_t item, Instant now);
  /// Those that had more than their turn, or have waited for their rate.
  void go_on(Instant now);
  /// When go_on() has something to do again; Instant::max(): not before on_ready().
  Instant next_turn() const { return next_turn_; }
  void end_late(Instant now);

 private:
  /// A relayed transport address.
  struct Home {
    std::uint16_t shard = 0;
    SocketTag tag;
    RelayedPort port;
    std::shared_ptr<turn::TcpTraffic> traffic;
    turn::Bucket to_peers;
    turn::Bucket to_clients;
    std::vector<std::uint32_t> connections;  // places
    std::size_t unjudged = 0;
    bool has_more = false;   // who waits to be accepted
    bool is_queued = false;  // in `accepting_`
  };
  struct Connection;
  using Name = std::tuple<std::uint16_t, std::uint32_t, std::uint32_t>;
  static Name name_of(std::uint16_t shard, const SocketTag& tag) {
    return {shard, tag.slot, tag.generation};
  }

  Connection* add(std::uint32_t id, std::uint32_t home, int fd);
  Connection* find(std::uint32_t id);
  void accept_some(std::uint32_t home, Instant now);
  void take(std::uint32_t home, int fd, const SocketAddress& peer, Instant now);
  void look_at_connecting(Connection& connection, Instant now);
  void carry(Connection& connection, Instant now);
  bool charge(Connection& connection, Instant now);
  void leave(const TurnTcpClient& client, turn::StreamClose why);
  void end(Connection& connection, turn::PeerClose why, bool tells = true);
  void count(turn::PeerClose why) { counters_.peer_closes[static_cast<std::size_t>(why)].add(); }

  StreamPoll& poll_;
  Setup setup_;
  turn::Counters& counters_;
  Tell tell_;
  std::map<Name, std::uint32_t> homes_by_name_;
  std::vector<std::unique_ptr<Home>> homes_;  // by place
  std::vector<std::uint32_t> free_homes_;
  std::unordered_map<std::uint32_t, std::uint32_t> by_id_;
  std::vector<std::unique_ptr<Connection>> connections_;  // by place
  std::vector<std::uint32_t> free_;
  std::vector<std::uint32_t> waiting_;    // places of connections that go_on() carries on
  std::vector<std::uint32_t> accepting_;  // places of homes at which more wait
  std::size_t unjudged_ = 0;
  Instant next_turn_ = Instant::max();
  Instant next_look_{};
};

}  // namespace turnpike
