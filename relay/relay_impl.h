// The facade's implementation, shared by relay.cc (sessions, commands, events) and adoption.cc
// (what the holder keeps). Private to this folder.
#pragma once

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "relay/front_door.h"
#include "relay/handshake_thread.h"
#include "relay/io/holder_client.h"
#include "relay/io/port_pool.h"
#include "relay/io/record_store.h"
#include "relay/io/shared_memory.h"
#include "relay/media/arena.h"
#include "relay/mux/edge_flows.h"
#include "relay/pending_commands.h"
#include "relay/shard.h"
#include "relay/turn_server.h"
#include "turnpike/capture.h"
#include "turnpike/relay.h"

namespace turnpike {

// A holder that is away may come back at any time; one that does not keep up is asked seldom,
// because each time costs the control thread kHolderPatience at most.
constexpr Milliseconds kHolderPatience{50};
constexpr Milliseconds kHolderPauseMin{2000};
constexpr Milliseconds kHolderPauseMax{60000};

// Ours among the records, whose other keys control draws at random.
constexpr std::uint64_t kIdentityRecord = 0x44544c53'6b657931;

// What control remembers of a session slot of a shard.
struct SessionSlot {
  std::uint32_t generation = 0;
  bool in_use = false;
  bool closing = false;
  std::array<std::uint32_t, 2> port_handles{};
  std::array<std::optional<std::uint32_t>, 2> other_handles{};  // of the second address family
  SessionPorts ports;
};

// The sockets of a session, by side.
struct SessionPairs {
  std::array<PortPair, 2> first;
  std::array<std::optional<PortPair>, 2> other;  // of the second address family
};

SessionSockets sockets_of(const SessionPairs& pairs);

struct ShardSlots {
  std::vector<SessionSlot> slots;
  std::vector<std::uint32_t> free;  // last one is taken first
  std::uint32_t in_use = 0;
};

// What the holder gave back, sorted by kind. Closes what nobody takes.
struct Held {
  std::vector<int> sockets;
  std::vector<std::pair<std::uint64_t, int>> arenas;
  int records = -1;

  Held() = default;
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;
  ~Held();
};

class RelayImpl final : public Relay, public Captures, private Flows {
 public:
  explicit RelayImpl(const RelayConfig& config) : config_(config) {}
  ~RelayImpl() override;

  Result<void> start();

  Result<Opened> open_session(const SessionSpec& spec, OpenFailure& failure) override;
  void update_leg(SessionId id, Side side, const LegConfig& config) override;
  void update_transport(SessionId id, Side side, const TransportConfig& config) override;
  void switch_media(SessionId id, Side side, const MediaSwitches& switches) override;
  DtlsIdentity dtls_identity() const override { return handshakes_->identity(); }
  const HandshakeCounters* handshake_counters() const override { return &handshakes_->counters(); }
  Result<FlowNumber> add_flow(const FlowKeys& keys) override;
  void remove_flow(FlowNumber number) override;
  FlowReport edge_report(FlowNumber number) const override;
  Result<void> set_flow(const CoreFlow& flow) override;
  FlowReport core_report(std::uint16_t edge, std::uint16_t shard) const override;
  Flows* flows() override { return config_.pair_role == PairRole::kNone ? nullptr : this; }
  TurnServer* turn() override { return turn_.get(); }
  Result<FrontDoor*> open_front_door(const door::Config& config) override;
  void close_session(SessionId id, std::uint64_t token) override;
  bool query_session(SessionId id, std::uint64_t token) override;
  void retune(const RelayTuning& tuning) override;
  void flush() override;
  int event_fd() const override { return event_fd_; }
  void poll_events(const std::function<void(const Event&)>& sink) override;
  void on_tick() override;
  RelayUsage usage() const override;
  bool add(const CaptureTap& tap) override;
  void remove(const CaptureTap& tap) override;
  std::uint64_t missed(std::uint8_t tap) const override;
  void poll(const std::function<void(const CapturedPacket&)>& sink) override;
  std::vector<PortSliceUsage> port_slices() const { return pool_->slices(); }
  std::size_t shard_count() const override { return shards_.size(); }
  const ShardCounters& shard_counters(std::size_t shard) const override {
    return shards_[shard]->counters();
  }
  const AdoptionReport& adoption() const override { return adoption_; }
  std::vector<Opened> adopted_sessions() const override { return adopted_sessions_; }
  bool store_record(std::uint64_t key, const std::string& bytes) override {
    return records_ == nullptr || records_->store(key, bytes);
  }
  void erase_record(std::uint64_t key) override {
    if (records_ != nullptr) records_->erase(key);
  }
  std::vector<std::pair<std::uint64_t, std::string>> adopted_records() const override {
    return adopted_records_;
  }

 private:
  media::ArenaShape shape_of(std::size_t shard) const;
  std::size_t records_bytes() const;
  Result<void> connect_holder(Held& held);
  void keep_identity();
  bool adopt_memory(Held& held);
  Result<std::uint32_t> adopt_arenas(Held& held);
  Result<void> take_shape(const Held& held);
  Result<void> adopt_records(Held& held);
  void drop_memory();
  void tell_kept_settings(const RelayConfig& configured);
  Result<void> make_memory();
  void adopt_sockets(Held& held);
  void adopt_session(std::size_t shard, std::uint32_t slot);
  bool claim_pairs(const media::SessionState& session, SessionPairs& pairs);
  Result<void> start_shards();
  media::EngineLimits media_limits() const;
  Result<std::vector<std::vector<int>>> open_flow_ports();
  Result<void> keep_memory(HolderClient& holder);
  void mind_holder(Instant now);
  void keep_the_rest(Instant now);
  Result<void> give_everything(HolderClient& holder);
  void send(std::size_t shard, const Command& command);
  void flush_pending(std::size_t shard);
  std::uint32_t next_generation(std::uint32_t last) const;
  SessionSlot* find(SessionId id);
  bool is_busy(std::size_t shard) const;
  int choose_shard(int wanted) const;
  SocketAddress advertised(const SocketAddress& local) const;
  SessionPorts ports_of(const SessionPairs& pairs) const;
  Result<SessionPairs> acquire_pairs(const SessionSpec& spec, std::size_t shard,
                                     OpenFailure& failure);
  void occupy(SessionSlot& slot, std::size_t shard, const SessionPairs& pairs);
  void release(std::size_t shard, std::uint32_t slot);

  RelayConfig config_;
  std::vector<int> cores_;
  std::unique_ptr<HolderClient> holder_;
  std::unique_ptr<PortPool> pool_;
  std::unique_ptr<RecordStore> records_;
  std::vector<SharedMemory> memory_;  // by shard; outlives arenas_
  std::vector<media::Arena> arenas_;
  std::unique_ptr<mux::EdgeFlows> edge_flows_;       // outlives shards_
  std::unique_ptr<TurnServers> turn_;                // outlives shards_
  std::unique_ptr<FrontDoorThread> front_door_;      // null: closed
  std::vector<std::unique_ptr<TapRing>> tap_rings_;  // by shard, made when needed; outlive shards_
  std::vector<std::unique_ptr<Shard>> shards_;
  std::unique_ptr<HandshakeThread> handshakes_;
  std::vector<ShardSlots> slots_;
  std::vector<PendingCommands> pending_;  // by shard: what did not fit into the mailbox
  std::vector<bool> wake_due_;            // by shard: it has commands that it does not know of
  std::uint64_t overload_refusals_ = 0;
  std::uint64_t commands_refused_ = 0;
  std::vector<std::pair<std::size_t, Command>> adopt_commands_;
  int event_fd_ = -1;
  std::unique_ptr<HolderClient> holder_to_be_;  // has not answered yet
  Instant holder_retry_at_{};
  Milliseconds holder_pause_ = kHolderPauseMin;
  std::uint32_t sessions_ = 0;
  AdoptionReport adoption_;
  std::vector<Opened> adopted_sessions_;
  std::vector<std::pair<std::uint64_t, std::string>> adopted_records_;
  std::string kept_identity_;  // of the process before, until it was taken over
  std::uint32_t kept_identity_id_ = 0;
};

}  // namespace turnpike
