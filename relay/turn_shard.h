// The TURN server of one shard: the engine with its sockets and ports, on the shard's thread, and
// what control asks of it through two mailboxes. Is not: the loop; Shard says when there is time.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "relay/core/mailbox.h"
#include "relay/core/overload_policy.h"
#include "relay/core/packet.h"
#include "relay/io/relayed_ports.h"
#include "relay/io/turn_sockets.h"
#include "relay/turn/engine.h"
#include "relay/turn/shared.h"
#include "relay/turn_dtls.h"
#include "relay/turn_streams.h"
#include "relay/turn_tcp_shard.h"
#include "relay/turn_tls_thread.h"
#include "turnpike/turn.h"

namespace turnpike {

enum class TurnRequestKind : std::uint8_t { kNone, kConfigure, kList, kEnd };

/// What crosses the mailbox to a shard's TURN server; of kList and kEnd one TurnAnswer comes back.
struct TurnRequest {
  TurnRequestKind kind = TurnRequestKind::kNone;
  std::uint64_t token = 0;
  std::shared_ptr<const turn::Credentials> credentials;  ///< kConfigure
  turn::AllocationId id;                                 ///< kEnd
};

struct TurnAnswer {
  std::uint64_t token = 0;
  bool found = false;                                               ///< kEnd
  std::shared_ptr<const std::vector<turn::AllocationReport>> list;  ///< kList, not all of them
};

struct TurnShardSetup {
  std::uint16_t index = 0;
  std::size_t shards = 1;
  std::array<std::uint8_t, 32> nonce_key{};  ///< of every shard alike
  SipHashKey source_key{};                   ///< of every shard alike
  std::shared_ptr<turn::Shared> shared;      ///< of all shards
  std::function<void(std::size_t)> wake;     ///< another shard, which then takes its requests
  RelayedPortTable* ports = nullptr;         ///< of all shards; outlives them
  TurnDtlsThread* dtls = nullptr;            ///< of all shards; outlives them. Null: no DTLS
  TurnTcpThread* tcp = nullptr;              ///< of all shards; outlives them. Null: none
  /// By turn::Config::listeners; owned from now on. -1: not of the shards.
  std::vector<int> listener_fds;
};

class TurnShard final : private turn::RelayedPorts {
 public:
  static constexpr std::size_t kRequestsMax = 64;
  static constexpr std::size_t kNewcomersMax = 64;
  /// Allocations in one answer.
  static constexpr std::size_t kListedMax = 2000;

  /// Null when the kernel has no descriptor for it.
  static std::unique_ptr<TurnShard> make(const TurnShardSetup& setup, const turn::Config& config);
  ~TurnShard() override;

  // Of the shard's thread.
  int poll_fd() const { return sockets_->poll_fd(); }
  struct Turn {
    std::size_t packets = 0;
    bool more = false;  ///< something may wait
  };
  /// Handles what waits, up to so many batches.
  Turn drain(int batches_max);
  Instant next_deadline() const {
    const Instant due = std::min(engine_->next_deadline(), streams_->next_deadline());
    return dtls_ == nullptr ? due : std::min(due, dtls_->next_deadline());
  }
  void on_deadline(Instant now);
  /// Does what control asked for; true when answers wait for it.
  bool take_requests(Instant now);

  // Of the TLS thread.
  bool push(const TurnNewcomer& newcomer) { return newcomers_.push(newcomer); }

  // Of control.
  bool push(const TurnRequest& request) { return requests_.push(request); }
  const TurnAnswer* next_answer() const { return answers_.front(); }
  void pop_answer() { answers_.pop(); }
  const turn::Counters& counters() const { return counters_; }
  /// Whether the shard has too much to do for further allocations.
  void set_busy(bool busy) { busy_.store(busy, std::memory_order_relaxed); }

 private:
  TurnShard(const TurnShardSetup& setup, const turn::Config& config,
            std::unique_ptr<TurnSockets> sockets);
  bool add_listeners(const TurnShardSetup& setup);

  // turn::RelayedPorts
  std::optional<Opened> open(const SocketTag& tag, AddressFamily family, Parity parity) override;
  std::optional<Opened> take(const SocketTag& tag, std::uint32_t reservation) override;
  void release(std::uint32_t reservation) override;
  void close(const SocketTag& tag) override;
  std::uint32_t hand_over(const SocketTag& tag) override;

  bool give(const SocketTag& tag, const RelayedPort& port);
  RelayedPort& port_of(const SocketTag& tag);
  /// Of the batch.
  void handle_all();
  void handle(Packet& packet);
  /// Notes the latency of the datagram whose arrival is known, when it was data.
  void handle_datagrams();
  void end_batch();
  void tell_errors();
  /// Of DTLS clients, as they were opened.
  void handle_messages();
  std::unique_ptr<TurnDtls> make_dtls(const TurnShardSetup& setup);
  void flush();
  /// What peers at our own addresses are called by clients is not where they are when the host is
  /// behind NAT: datagrams between our own ports never leave the host.
  void rename_own(IpAddress& ip, IpAddress turn::RelayAddress::*from,
                  IpAddress turn::RelayAddress::*to) const;
  /// Behind NAT no port of ours sends from the advertised address: nobody does, to us.
  bool is_forged(const IpAddress& ip) const;
  void send_failed(const Send& send, SendResult result);
  TurnAnswer answer(const TurnRequest& request);
  void take_newcomers();

  turn::Config config_;
  turn::Counters counters_;
  std::unique_ptr<TurnSockets> sockets_;
  std::vector<std::uint32_t> udp_listeners_;  // by the index in a shared tag: that of config_
  std::vector<turn::RelayAddress> behind_nat_;
  RelayedPortTable& table_;
  RelayedPortSlice slice_;
  std::vector<RelayedPort> ports_;     // by slot and side; what is open
  std::unique_ptr<TurnTcpShard> tcp_;  // null: no TCP allocations
  std::unique_ptr<turn::Engine> engine_;
  std::unique_ptr<TurnStreams> streams_;
  std::unique_ptr<TurnDtls> dtls_;  // null: no listener for it
  Instant now_{};                   // of the call to the engine that goes on
  Seconds wall_{0};
  Batch batch_;
  Batch messages_;
  Outbox outbox_;
  Outbox datagrams_;  // of outbox_
  std::atomic<bool> busy_{false};
  OverloadPolicy overload_;
  Mailbox<TurnRequest> requests_{kRequestsMax};
  Mailbox<TurnAnswer> answers_{kRequestsMax};
  Mailbox<TurnNewcomer> newcomers_{kNewcomersMax};
};

}  // namespace turnpike
