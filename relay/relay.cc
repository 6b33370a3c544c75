// The facade: owns shards, ports, session slots and what the holder keeps. Runs on the control
// thread; everything about packets happens in the shards.
#include "turnpike/relay.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <deque>

#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "relay/core/bytes.h"
#include "relay/core/check.h"
#include "relay/io/holder_client.h"
#include "relay/io/port_pool.h"
#include "relay/io/record_store.h"
#include "relay/io/shared_memory.h"
#include "relay/io/sockets_io.h"
#include "relay/media/arena.h"
#include "relay/shard.h"

namespace turnpike {
namespace {

constexpr std::uint32_t kStreamsPerSession = 8;  // room in the arena, on average
constexpr std::size_t kRecordBytesPerSession = 8192;

std::vector<int> allowed_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> cores;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return {0};
  for (unsigned i = 0; i < CPU_SETSIZE; ++i) {
    if (CPU_ISSET(i, &set)) cores.push_back(static_cast<int>(i));
  }
  return cores;
}

// What control remembers of a session slot of a shard.
struct SessionSlot {
  std::uint32_t generation = 0;
  bool in_use = false;
  bool closing = false;
  std::array<std::uint32_t, 2> port_handles{};
  SessionPorts ports;
};

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
  ~Held() {
    for (const int fd : sockets) close(fd);
    for (const auto& [shard, fd] : arenas) {
      if (fd >= 0) close(fd);
    }
    if (records >= 0) close(records);
  }
};

class RelayImpl final : public Relay {
 public:
  explicit RelayImpl(const RelayConfig& config) : config_(config) {}
  ~RelayImpl() override {
    for (auto& shard : shards_) shard->stop();
    if (event_fd_ >= 0) close(event_fd_);
  }

  Result<void> start();

  Result<Opened> open_session(const SessionSpec& spec, OpenFailure& failure) override;
  void update_leg(SessionId id, Side side, const LegConfig& config) override;
  void close_session(SessionId id, std::uint64_t token) override;
  bool query_session(SessionId id, std::uint64_t token) override;
  int event_fd() const override { return event_fd_; }
  void poll_events(const std::function<void(const Event&)>& sink) override;
  RelayUsage usage() const override;
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
  std::size_t records_bytes() const {
    return std::size_t{config_.sessions_max} * kRecordBytesPerSession;
  }
  void connect_holder(Held& held);
  bool adopt_memory(Held& held);
  Result<void> make_memory();
  void adopt_sockets(Held& held);
  void adopt_session(std::size_t shard, std::uint32_t slot);
  Result<void> start_shards();
  Result<void> keep_memory();
  void send(std::size_t shard, const Command& command);
  void flush_pending(std::size_t shard);
  SessionSlot* find(SessionId id);
  int choose_shard(int wanted) const;
  SocketAddress advertised(const SocketAddress& local) const;
  SessionPorts ports_of(const std::array<PortPair, 2>& pairs) const;
  void release(std::size_t shard, std::uint32_t slot);

  RelayConfig config_;
  std::vector<int> cores_;
  std::unique_ptr<HolderClient> holder_;
  std::unique_ptr<PortPool> pool_;
  std::unique_ptr<RecordStore> records_;
  std::vector<SharedMemory> memory_;  // by shard; outlives arenas_
  std::vector<media::Arena> arenas_;
  std::vector<std::unique_ptr<Shard>> shards_;
  std::vector<ShardSlots> slots_;
  std::vector<std::deque<Command>> pending_;  // by shard: what did not fit into the mailbox
  std::vector<std::pair<std::size_t, Command>> adopt_commands_;
  int event_fd_ = -1;
  std::uint32_t sessions_ = 0;
  AdoptionReport adoption_;
  std::vector<Opened> adopted_sessions_;
  std::vector<std::pair<std::uint64_t, std::string>> adopted_records_;
};

media::ArenaShape RelayImpl::shape_of(std::size_t shard) const {
  media::ArenaShape shape;
  shape.sessions = config_.sessions_max;
  shape.streams = config_.sessions_max * kStreamsPerSession;
  shape.shard = static_cast<std::uint16_t>(shard);
  shape.shards = static_cast<std::uint16_t>(config_.shards);
  shape.port_min = config_.port_min;
  shape.port_max = config_.port_max;
  return shape;
}

Result<void> RelayImpl::start() {
  cores_ = allowed_cores();
  if (config_.shards == 0) config_.shards = static_cast<unsigned>(cores_.size());
  event_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (event_fd_ < 0) return Error{std::string("cannot make an eventfd: ") + strerror(errno)};
  Held held;
  connect_holder(held);
  const bool adopted = adopt_memory(held);
  if (!adopted) {
    if (holder_ != nullptr) {
      if (auto reset = holder_->reset(); !reset) return reset.error();
    }
    if (auto made = make_memory(); !made) return made.error();
  }
  for (std::size_t i = 0; i < config_.shards; ++i) {
    ShardSlots slots;
    slots.slots.resize(config_.sessions_max);
    slots_.push_back(std::move(slots));
  }
  pending_.resize(config_.shards);
  pool_ = std::make_unique<PortPool>(config_, config_.shards, holder_.get());
  if (adopted) adopt_sockets(held);
  for (ShardSlots& shard : slots_) {
    for (std::uint32_t i = config_.sessions_max; i-- > 0;) {
      if (!shard.slots[i].in_use) shard.free.push_back(i);
    }
  }
  if (!adopted) {
    if (auto kept = keep_memory(); !kept) return kept.error();
  }
  return start_shards();
}

void RelayImpl::connect_holder(Held& held) {
  if (config_.holder_socket.empty()) return;
  auto holder = HolderClient::connect(config_.holder_socket);
  if (!holder) {
    adoption_.refused = holder.error().message;
    return;
  }
  holder_ = std::move(*holder);
  adoption_.holder_connected = true;
  auto found = holder_->fetch();
  if (!found) {
    adoption_.refused = found.error().message;
    return;
  }
  for (const HeldDescriptor& item : *found) {
    switch (item.kind) {
      case HeldKind::kSocket:
        held.sockets.push_back(item.fd);
        break;
      case HeldKind::kArena:
        held.arenas.emplace_back(item.key, item.fd);
        break;
      case HeldKind::kRecords:
        held.records = item.fd;
        break;
    }
  }
}

// All shards or none: half of the old state with half of a new one would be neither.
bool RelayImpl::adopt_memory(Held& held) {
  if (held.arenas.empty()) return false;
  const auto refuse = [&](const std::string& why) {
    adoption_.refused = why;
    arenas_.clear();
    memory_.clear();
    records_.reset();
    return false;
  };
  if (held.arenas.size() != config_.shards) return refuse("the number of shards has changed");
  std::sort(held.arenas.begin(), held.arenas.end());
  for (std::size_t i = 0; i < config_.shards; ++i) {
    const std::size_t bytes = media::Arena::bytes_for(shape_of(i));
    auto memory = SharedMemory::adopt(held.arenas[i].second, bytes);
    if (!memory) return refuse(memory.error().message);
    held.arenas[i].second = -1;
    media::ArenaReport report;
    auto arena = media::Arena::adopt(memory->data(), memory->size(), shape_of(i), report);
    if (!arena) return refuse(arena.error().message);
    memory_.push_back(std::move(*memory));
    arenas_.push_back(std::move(*arena));
  }
  if (held.records < 0) return refuse("the call records are missing");
  auto memory = SharedMemory::adopt(held.records, records_bytes());
  if (!memory) return refuse(memory.error().message);
  held.records = -1;
  auto records = RecordStore::open(std::move(*memory));
  if (!records) return refuse(records.error().message);
  records_ = std::move(*records);
  adopted_records_ = records_->all();
  return true;
}

Result<void> RelayImpl::make_memory() {
  for (std::size_t i = 0; i < config_.shards; ++i) {
    auto memory = SharedMemory::create("turnpike-sessions", media::Arena::bytes_for(shape_of(i)));
    if (!memory) return memory.error();
    arenas_.push_back(media::Arena::format(memory->data(), shape_of(i)));
    memory_.push_back(std::move(*memory));
  }
  if (holder_ == nullptr) return {};
  auto memory = SharedMemory::create("turnpike-records", records_bytes());
  if (!memory) return memory.error();
  auto records = RecordStore::open(std::move(*memory));
  if (!records) return records.error();
  records_ = std::move(*records);
  return {};
}

Result<void> RelayImpl::keep_memory() {
  if (holder_ == nullptr) return {};
  std::vector<HeldDescriptor> keep;
  for (std::size_t i = 0; i < memory_.size(); ++i) {
    keep.push_back({HeldKind::kArena, i, memory_[i].fd()});
  }
  keep.push_back({HeldKind::kRecords, 0, records_->fd()});
  return holder_->keep(keep);
}

void RelayImpl::adopt_sockets(Held& held) {
  std::vector<int> strangers;
  for (const int fd : held.sockets) {
    if (pool_->adopt(fd)) {
      ++adoption_.sockets_adopted;
    } else {
      strangers.push_back(fd);
    }
  }
  held.sockets = std::move(strangers);
  for (std::size_t shard = 0; shard < arenas_.size(); ++shard) {
    for (std::uint32_t slot = 0; slot < config_.sessions_max; ++slot) {
      if (arenas_[shard].session(slot).generation != 0) adopt_session(shard, slot);
    }
  }
}

void RelayImpl::adopt_session(std::size_t shard, std::uint32_t slot) {
  media::SessionState& session = arenas_[shard].session(slot);
  const SocketTag tag{slot, session.generation, Side::kA, Component::kRtp};
  std::array<PortPair, 2> pairs;
  for (unsigned side = 0; side < 2; ++side) {
    auto pair = pool_->claim(session.legs[side].local[0]);
    if (!pair) {
      // Its socket is gone, so the session cannot go on: give back what was claimed for it.
      if (side == 1) pool_->release(pairs[0].handle, monotonic_now());
      secure_wipe(&session, sizeof session);
      return;
    }
    pairs[side] = *pair;
  }
  SessionSlot& known = slots_[shard].slots[slot];
  known.generation = session.generation;
  known.in_use = true;
  known.port_handles = {pairs[0].handle, pairs[1].handle};
  known.ports = ports_of(pairs);
  ++slots_[shard].in_use;
  ++sessions_;
  ++adoption_.sessions_adopted;
  adopted_sessions_.push_back(
      {SessionId{slot, session.generation, static_cast<std::uint16_t>(shard)}, known.ports});
  Command command;
  command.kind = CommandKind::kAdopt;
  command.id = tag;
  command.fd = {pairs[0].fd, pairs[1].fd};
  adopt_commands_.emplace_back(shard, command);
}

Result<void> RelayImpl::start_shards() {
  for (std::size_t i = 0; i < config_.shards; ++i) {
    auto io = make_sockets_io(config_.sessions_max);
    if (io == nullptr) return Error{std::string("cannot make an epoll set: ") + strerror(errno)};
    ShardSetup setup;
    setup.index = static_cast<std::uint16_t>(i);
    setup.cpu = config_.pin_shards ? cores_[i % cores_.size()] : -1;
    setup.limits.streams_per_leg_max = config_.streams_per_leg_max;
    setup.limits.media_timeout = config_.media_timeout;
    setup.limits.keepalive_interval = config_.keepalive_interval;
    const int fd = event_fd_;
    shards_.push_back(std::make_unique<Shard>(setup, arenas_[i], std::move(io), [fd] {
      const std::uint64_t one = 1;
      // EAGAIN: the counter is full, so the reader is awake already.
      if (write(fd, &one, sizeof one) < 0) CHECK(errno == EAGAIN);
    }));
  }
  for (const auto& [shard, command] : adopt_commands_) send(shard, command);
  adopt_commands_.clear();
  return {};
}

void RelayImpl::send(std::size_t shard, const Command& command) {
  if (pending_[shard].empty() && shards_[shard]->push(command)) {
    shards_[shard]->wake();
    return;
  }
  pending_[shard].push_back(command);
  shards_[shard]->wake_for_room();
}

void RelayImpl::flush_pending(std::size_t shard) {
  auto& pending = pending_[shard];
  if (pending.empty()) {
    return;
  }
  while (!pending.empty() && shards_[shard]->push(pending.front())) {
    secure_wipe(&pending.front().leg, sizeof(LegConfig));
    pending.pop_front();
  }
  if (pending.empty()) {
    shards_[shard]->wake();
  } else {
    shards_[shard]->wake_for_room();
  }
}

SessionSlot* RelayImpl::find(SessionId id) {
  if (id.shard >= slots_.size() || id.slot >= slots_[id.shard].slots.size()) return nullptr;
  SessionSlot& slot = slots_[id.shard].slots[id.slot];
  return slot.in_use && !slot.closing && slot.generation == id.generation ? &slot : nullptr;
}

int RelayImpl::choose_shard(int wanted) const {
  if (wanted >= 0) return wanted;
  const auto least = std::min_element(
      slots_.begin(), slots_.end(),
      [](const ShardSlots& a, const ShardSlots& b) { return a.in_use < b.in_use; });
  return static_cast<int>(least - slots_.begin());
}

SocketAddress RelayImpl::advertised(const SocketAddress& local) const {
  for (const Interface& interface : config_.interfaces) {
    for (const InterfaceAddress& address : interface.addresses) {
      if (address.local == local.ip) return {address.advertised, local.port};
    }
  }
  return local;
}

SessionPorts RelayImpl::ports_of(const std::array<PortPair, 2>& pairs) const {
  SessionPorts ports;
  for (unsigned side = 0; side < 2; ++side) {
    ports.local[side] = pairs[side].local;
    for (unsigned component = 0; component < 2; ++component) {
      ports.advertised[side][component] = advertised(pairs[side].local[component]);
    }
  }
  return ports;
}

Result<Relay::Opened> RelayImpl::open_session(const SessionSpec& spec, OpenFailure& failure) {
  if (spec.shard >= static_cast<int>(shards_.size())) {
    failure = OpenFailure::kBadSpec;
    return Error{"no such shard: " + std::to_string(spec.shard)};
  }
  const auto shard = static_cast<std::size_t>(choose_shard(spec.shard));
  if (sessions_ >= config_.sessions_max || slots_[shard].free.empty()) {
    failure = OpenFailure::kSessionLimit;
    return Error{"the limit of " + std::to_string(config_.sessions_max) +
                 " sessions is reached; raise media.sessions_max"};
  }
  std::array<PortPair, 2> pairs;
  for (unsigned side = 0; side < 2; ++side) {
    auto pair = pool_->acquire(shard, spec.interface_index[side], spec.family[side],
                               spec.dscp[side], monotonic_now(), failure);
    if (!pair) {
      if (side == 1) pool_->release(pairs[0].handle, monotonic_now());
      return pair.error();
    }
    pairs[side] = *pair;
  }
  const std::uint32_t index = slots_[shard].free.back();
  slots_[shard].free.pop_back();
  SessionSlot& slot = slots_[shard].slots[index];
  slot.generation = slot.generation == 0xffffffff ? 1 : slot.generation + 1;
  slot.in_use = true;
  slot.closing = false;
  slot.port_handles = {pairs[0].handle, pairs[1].handle};
  slot.ports = ports_of(pairs);
  ++slots_[shard].in_use;
  ++sessions_;

  Command command;
  command.kind = CommandKind::kOpen;
  command.id = {index, slot.generation, Side::kA, Component::kRtp};
  command.media = spec.kind;
  command.local = slot.ports.local;
  command.fd = {pairs[0].fd, pairs[1].fd};
  send(shard, command);
  return Opened{SessionId{index, slot.generation, static_cast<std::uint16_t>(shard)}, slot.ports};
}

void RelayImpl::update_leg(SessionId id, Side side, const LegConfig& config) {
  if (find(id) == nullptr) return;
  Command command;
  command.kind = CommandKind::kUpdateLeg;
  command.id = {id.slot, id.generation, side, Component::kRtp};
  command.leg = config;
  send(id.shard, command);
  secure_wipe(&command.leg, sizeof command.leg);
}

void RelayImpl::close_session(SessionId id, std::uint64_t token) {
  SessionSlot* slot = find(id);
  if (slot == nullptr) return;
  slot->closing = true;
  Command command;
  command.kind = CommandKind::kClose;
  command.id = {id.slot, id.generation, Side::kA, Component::kRtp};
  command.token = token;
  send(id.shard, command);
}

bool RelayImpl::query_session(SessionId id, std::uint64_t token) {
  if (find(id) == nullptr) return false;
  Command command;
  command.kind = CommandKind::kQuery;
  command.id = {id.slot, id.generation, Side::kA, Component::kRtp};
  command.token = token;
  send(id.shard, command);
  return true;
}

void RelayImpl::release(std::size_t shard, std::uint32_t index) {
  SessionSlot& slot = slots_[shard].slots[index];
  for (const std::uint32_t handle : slot.port_handles) pool_->release(handle, monotonic_now());
  slot.in_use = false;
  slot.closing = false;
  slots_[shard].free.push_back(index);
  --slots_[shard].in_use;
  --sessions_;
}

void RelayImpl::poll_events(const std::function<void(const Event&)>& sink) {
  std::uint64_t count = 0;
  if (read(event_fd_, &count, sizeof count) < 0) CHECK(errno == EAGAIN);  // nothing new: fine
  for (std::size_t shard = 0; shard < shards_.size(); ++shard) {
    bool any = false;
    while (const Event* event = shards_[shard]->next_event()) {
      if (event->kind == EventKind::kSessionClosed) release(shard, event->session.slot);
      sink(*event);
      shards_[shard]->pop_event();
      any = true;
    }
    flush_pending(shard);
    // A shard with a full event queue has left commands waiting.
    if (any) shards_[shard]->wake();
  }
}

RelayUsage RelayImpl::usage() const {
  RelayUsage usage = pool_->usage();
  usage.sessions = sessions_;
  usage.sessions_max = config_.sessions_max;
  return usage;
}

}  // namespace

Result<std::unique_ptr<Relay>> Relay::start(const RelayConfig& config) {
  auto relay = std::make_unique<RelayImpl>(config);
  if (auto started = relay->start(); !started) return started.error();
  return std::unique_ptr<Relay>(std::move(relay));
}

}  // namespace turnpike
