// The thread that carries the TCP connections of TCP allocations (docs/adr/0019): what shards ask
// of it, and what it tells them, through two mailboxes each. Hides: the thread. Is not: the
// connections (turn_tcp_relay.h).
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "relay/core/mailbox.h"
#include "relay/io/doorbell.h"
#include "relay/io/stream_poll.h"
#include "relay/turn_tcp_relay.h"

namespace turnpike {

/// Crosses a mailbox, which copies. Whoever takes it owns `port` and `client`.
struct TurnTcpOrder {
  enum class Kind : std::uint8_t { kNone, kListen, kClose, kConnect, kAdmit, kRefuse, kEnd, kBind };
  Kind kind = Kind::kNone;
  SocketTag tag{};                                     ///< kListen, kClose, kConnect
  std::uint32_t id = 0;                                ///< all others, and kConnect
  SocketAddress peer{};                                ///< kConnect
  RelayedPort port{};                                  ///< kListen
  std::shared_ptr<turn::TcpTraffic> traffic{};         ///< kListen
  TurnTcpClient* client = nullptr;                     ///< kBind
  turn::PeerClose why = turn::PeerClose::kAllocation;  ///< kRefuse, kEnd
};

class TurnTcpThread {
 public:
  static constexpr std::size_t kOrdersMax = 512;
  /// What a shard takes at a time, between two looks at its media.
  static constexpr std::size_t kEventsMax = 64;

  /// Null when the kernel has no descriptor for it. `wake_shard` is called on the thread when a
  /// shard has events.
  static std::unique_ptr<TurnTcpThread> make(std::size_t shards, TurnTcpRelay::Setup setup,
                                             std::function<void(std::size_t shard)> wake_shard);
  ~TurnTcpThread();
  TurnTcpThread(const TurnTcpThread&) = delete;
  TurnTcpThread& operator=(const TurnTcpThread&) = delete;
  void start();
  void stop();
  const turn::Counters& counters() const { return counters_; }

  // A shard's side; each by that shard's thread only.
  /// False when full: nothing was taken.
  bool push(std::size_t shard, const TurnTcpOrder& order);
  const turn::TcpEvent* next_event(std::size_t shard) const {
    return lanes_[shard]->events.front();
  }
  void pop_event(std::size_t shard) { lanes_[shard]->events.pop(); }

 private:
  struct Lane {
    Mailbox<TurnTcpOrder> orders{kOrdersMax};
    Mailbox<turn::TcpEvent> events{kEventsMax};
    std::deque<turn::TcpEvent> unsent;  // the mailbox was full; no more than connections and some
    bool has_news = false;
  };

  TurnTcpThread(std::size_t shards, std::unique_ptr<StreamPoll> poll, TurnTcpRelay::Setup setup,
                std::function<void(std::size_t)> wake_shard);
  void run();
  void serve(Lane& lane, std::uint16_t shard, Instant now);
  void handle(const TurnTcpOrder& order, std::uint16_t shard, Instant now);
  void deliver();

  std::function<void(std::size_t)> wake_shard_;
  std::unique_ptr<StreamPoll> poll_;
  turn::Counters counters_;
  std::vector<std::unique_ptr<Lane>> lanes_;
  TurnTcpRelay relay_;
  Doorbell doorbell_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace turnpike
