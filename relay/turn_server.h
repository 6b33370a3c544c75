// The facade's part about TURN: settings for the shards, questions to them and their answers. Of
// the control thread. Is not: the server itself (turn_shard.h).
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "relay/front_door.h"
#include "relay/turn_shard.h"
#include "turnpike/relay.h"
#include "turnpike/result.h"
#include "turnpike/turn.h"

namespace turnpike {

class TurnServers final : public TurnServer {
 public:
  /// Opens the listeners and makes one server for each shard; they are given to the shards.
  static Result<std::unique_ptr<TurnServers>> make(const turn::Config& config, std::size_t shards);
  ~TurnServers() override;

  /// Of a shard, which runs it and does not outlive this.
  TurnShard& of_shard(std::size_t shard) { return *shards_[shard]; }
  /// `wake` makes the shard look for requests.
  void on_wake(std::function<void(std::size_t shard)> wake) { wake_ = std::move(wake); }
  /// Once the shards are there; stop() before they go.
  Result<void> start();
  void stop();
  /// Of the front door's thread, which stops before: false when there is no room, and the
  /// descriptor stays the giver's.
  bool take(const DoorNewcomer& newcomer);
  /// Whether STUN in the clear is taken there.
  bool takes_stun_at_door() const;

  /// Hands out answers that wait, and settings that found no room.
  void poll();
  /// Gives up on answers that do not come. Call about ten times a second.
  void on_tick(Instant now);

  // TurnServer
  Result<void> configure(std::shared_ptr<const turn::Settings> settings) override;
  void set_draining(bool draining) override { shared_->draining.store(draining); }
  std::uint32_t allocations() const override;
  const turn::Counters& counters(std::size_t shard) const override {
    return shards_[shard]->counters();
  }
  const turn::Counters& common_counters() const override { return common_; }
  const turn::Counters& tcp_counters() const override {
    return tcp_ == nullptr ? no_counters_ : tcp_->counters();
  }
  bool list(Listed done) override;
  bool end(const turn::AllocationId& id, Ended done) override;

 private:
  struct Question {
    std::size_t shards_left = 0;
    std::vector<turn::AllocationReport> list;
    Instant give_up_at{};
    Listed listed;
    Ended ended;
  };

  TurnServers() = default;
  bool push(std::size_t shard, const TurnRequest& request);
  void give_credentials();
  Result<void> show(const std::string& certificate, const std::string& private_key);
  void give_contexts();
  bool give_to_a_shard(const TurnNewcomer& newcomer);
  void take(const TurnAnswer& answer);
  static void finish(const Question& question, bool found);

  std::unique_ptr<RelayedPortTable> ports_;
  std::shared_ptr<turn::Shared> shared_ = std::make_shared<turn::Shared>();
  turn::Counters common_;  // of the TLS thread
  turn::Counters no_counters_;
  std::unique_ptr<TurnDtlsThread> dtls_;
  std::unique_ptr<TurnTcpThread> tcp_;  // null: no TCP allocations
  std::vector<std::unique_ptr<TurnShard>> shards_;
  std::vector<turn::Listener> listeners_;               // as turn::Config::listeners
  std::vector<TurnTlsThread::Listener> tls_listeners_;  // until start()
  std::optional<turn::SourceGate> gate_;                // of TLS
  std::size_t next_shard_ = 0;                          // the TLS thread's
  std::unique_ptr<TurnTlsThread> tls_;
  // Those that the threads were not given yet; null: none any more.
  std::optional<std::shared_ptr<const TlsServerContext>> tls_context_;
  std::optional<std::shared_ptr<const TlsServerContext>> dtls_context_;
  std::function<void(std::size_t)> wake_;
  std::array<std::uint8_t, 32> nonce_key_{};  // of every shard alike
  std::shared_ptr<const turn::Credentials> credentials_;
  std::vector<bool> has_credentials_;  // by shard: the newest
  std::map<std::uint64_t, Question> questions_;
  std::uint64_t last_token_ = 0;
};

}  // namespace turnpike
