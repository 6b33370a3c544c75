// Where TURN clients over TLS come in: accepts them and makes their handshakes on a thread of its
// own, so that public-key work keeps no media waiting, then hands each to a shard for good. So come
// those of the front door, over TLS or not.
// Hides: the thread, its listening sockets, limits and times of a handshake.
// Is not: TURN, nor what is sent after the handshake (turn_streams.h).
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "relay/core/mailbox.h"
#include "relay/crypto/tls_server.h"
#include "relay/io/doorbell.h"
#include "relay/io/stream_listeners.h"
#include "relay/io/stream_poll.h"
#include "relay/turn/source_gate.h"
#include "turnpike/turn.h"

namespace turnpike {

/// A client for a shard, with its handshake done if it is one over TLS: crosses a mailbox, which
/// copies. Who takes it owns `stream`.
struct TurnNewcomer {
  ByteStream* stream = nullptr;
  SocketAddress client;
  std::uint64_t source = 0;  ///< counted at the gate
  std::uint32_t listener = 0;
  turn::ListenerTransport transport = turn::ListenerTransport::kTls;
};

/// One whom the front door has accepted for `listener`, and of whom nothing was read. Crosses a
/// mailbox; who takes it owns `fd`.
struct TurnArrival {
  int fd = -1;
  SocketAddress client;
  std::uint32_t listener = 0;
  turn::ListenerTransport transport = turn::ListenerTransport::kTls;
};

class TurnTlsThread {
 public:
  static constexpr Seconds kHandshakeMax{10};
  /// At a time. One more, and the one that takes longest is closed.
  static constexpr std::size_t kHandshakesMax = 512;
  static constexpr std::size_t kArrivalsMax = 256;

  struct Listener {
    int fd = -1;                 ///< owned from now on
    std::uint32_t listener = 0;  ///< index in turn::Config::listeners
  };
  /// `give`: on the thread; false when there is no room, and the client stays the giver's.
  /// `counters`: of the thread alone; outlives it.
  static std::unique_ptr<TurnTlsThread> start(const std::vector<Listener>& listeners,
                                              turn::SourceGate gate, turn::Counters& counters,
                                              std::function<bool(const TurnNewcomer&)> give);
  ~TurnTlsThread();
  TurnTlsThread(const TurnTlsThread&) = delete;
  TurnTlsThread& operator=(const TurnTlsThread&) = delete;

  /// Of control: for handshakes to come. Until the first one, clients are closed. False when there
  /// is no room; ask again soon.
  bool use(std::shared_ptr<const TlsServerContext> context) { return contexts_.push(context); }
  /// Of the front door's thread. False when there is no room, and the descriptor stays the giver's.
  bool push(const TurnArrival& one) {
    if (!arrivals_.push(one)) return false;
    doorbell_.ring();
    return true;
  }
  void stop();

 private:
  struct Client {
    std::unique_ptr<TlsStream> stream;
    SocketAddress address;
    std::uint64_t source = 0;
    std::uint32_t listener = 0;
    Instant due{};
    bool wants_to_write = false;
  };

  TurnTlsThread(std::unique_ptr<StreamPoll> poll, turn::SourceGate gate, turn::Counters& counters,
                std::function<bool(const TurnNewcomer&)> give);
  void run();
  void take_contexts();
  void take_arrivals(Instant now);
  void take_plain(const TurnArrival& one);
  void begin(const TurnArrival& one, Instant now);
  void make_room();
  void go_on(std::size_t place);
  void hand_over(std::size_t place);
  void end(std::size_t place, turn::StreamClose why);
  void count(turn::StreamClose why) { counters_.closes[static_cast<std::size_t>(why)].add(); }
  void end_late(Instant now);

  std::unique_ptr<StreamPoll> poll_;
  turn::SourceGate gate_;
  turn::Counters& counters_;
  std::function<bool(const TurnNewcomer&)> give_;
  StreamListeners listeners_;
  std::vector<std::uint32_t> numbers_;  // by listening socket: index in turn::Config::listeners
  Doorbell doorbell_;
  Mailbox<TurnArrival> arrivals_{kArrivalsMax};
  std::vector<Client> clients_;    // by place
  std::vector<std::size_t> free_;  // places
  std::shared_ptr<const TlsServerContext> context_;
  Mailbox<std::shared_ptr<const TlsServerContext>> contexts_{4};
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace turnpike
