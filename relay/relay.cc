// The facade: sessions, ports and commands, events back. Runs on the control thread; everything
// about packets happens in the shards.
#include "turnpike/relay.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "relay/core/bytes.h"
#include "relay/core/check.h"
#include "relay/io/loop.h"
#include "relay/io/secure_random.h"
#include "relay/io/sockets_io.h"
#include "relay/mux/header.h"
#include "relay/relay_impl.h"

namespace turnpike {
namespace {

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

bool has_ports(const SessionSpec& spec, unsigned side) {
  return !spec.carried[side] && !(spec.one_sided && side == index_of(Side::kB));
}

}  // namespace

SessionSockets sockets_of(const SessionPairs& pairs) {
  SessionSockets sockets;
  for (unsigned side = 0; side < 2; ++side) {
    sockets.fd[side] = pairs.first[side].fd;
    if (pairs.other[side]) sockets.other_fd[side] = pairs.other[side]->fd;
  }
  return sockets;
}

RelayImpl::~RelayImpl() {
  if (front_door_ != nullptr) front_door_->stop();  // before those go to whom it passes on
  if (turn_ != nullptr) turn_->stop();              // before the shards go that it wakes
  for (auto& shard : shards_) shard->stop();
  if (handshakes_ != nullptr) handshakes_->stop();  // before the shards go that it wakes
  if (event_fd_ >= 0) close(event_fd_);
}

Result<void> RelayImpl::start() {
  cores_ = allowed_cores();
  if (config_.shards == 0) config_.shards = static_cast<unsigned>(cores_.size());
  event_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (event_fd_ < 0) return Error{std::string("cannot make an eventfd: ") + strerror(errno)};
  Held held;
  if (auto connected = connect_holder(held); !connected) return connected.error();
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
  wake_due_.resize(config_.shards);
  pool_ = std::make_unique<PortPool>(config_, config_.shards, holder_.get());
  if (adopted) adopt_sockets(held);
  for (ShardSlots& shard : slots_) {
    for (std::uint32_t i = config_.sessions_max; i-- > 0;) {
      if (!shard.slots[i].in_use) shard.free.push_back(i);
    }
  }
  if (!adopted && holder_ != nullptr) {
    if (auto kept = keep_memory(*holder_); !kept) return kept.error();
  }
  // From now on calls wait while we wait.
  if (holder_ != nullptr) holder_->set_patience(kHolderPatience);
  return start_shards();
}

Result<void> RelayImpl::start_shards() {
  shards_.reserve(config_.shards);
  const auto* kept = reinterpret_cast<const std::uint8_t*>(kept_identity_.data());
  handshakes_ = std::make_unique<HandshakeThread>(
      config_.shards, [this](std::size_t shard) { shards_[shard]->wake(); },
      std::span(kept, kept_identity_.size()));
  secure_wipe(kept_identity_.data(), kept_identity_.size());
  kept_identity_.clear();
  keep_identity();
  auto flow_fds = open_flow_ports();
  if (!flow_fds) return flow_fds.error();
  if (!config_.turn.listeners.empty()) {
    if (config_.turn.media_port_max != 0) {  // those of calls that were adopted win
      config_.turn.media_port_min = config_.port_min;
      config_.turn.media_port_max = config_.port_max;
    }
    auto turn = TurnServers::make(config_.turn, config_.shards);
    // Without it there are calls all the same: turn() tells.
    if (turn) turn_ = std::move(*turn);
    if (turn_ != nullptr) turn_->on_wake([this](std::size_t shard) { shards_[shard]->wake(); });
  }
  for (std::size_t i = 0; i < config_.shards; ++i) {
    auto io = make_sockets_io(config_.sessions_max, config_.connect_after);
    if (io == nullptr) return Error{std::string("cannot make an epoll set: ") + strerror(errno)};
    ShardSetup setup;
    setup.index = static_cast<std::uint16_t>(i);
    setup.cpu = config_.pin_shards ? cores_[i % cores_.size()] : -1;
    setup.tick = config_.tick;
    setup.limits = media_limits();
    setup.pair_role = config_.pair_role;
    setup.edge_flows = edge_flows_.get();
    setup.flow_fds = (*flow_fds)[i];
    if (turn_ != nullptr) setup.turn = &turn_->of_shard(i);
    const int fd = event_fd_;
    shards_.push_back(std::make_unique<Shard>(setup, arenas_[i], std::move(io), *handshakes_, [fd] {
      const std::uint64_t one = 1;
      // EAGAIN: the counter is full, so the reader is awake already.
      if (write(fd, &one, sizeof one) < 0) CHECK(errno == EAGAIN);
    }));
  }
  for (const auto& [shard, command] : adopt_commands_) send(shard, command);
  adopt_commands_.clear();
  flush();
  if (turn_ != nullptr) return turn_->start();
  return {};
}

Result<FrontDoor*> RelayImpl::open_front_door(const door::Config& config) {
  CHECK(front_door_ == nullptr);
  FrontDoorThread::Targets targets;
  door::Config here = config;
  here.targets[static_cast<std::size_t>(door::Target::kTurn)].open &= turn_ != nullptr;
  if (turn_ != nullptr) {
    targets.turn = [this](const DoorNewcomer& newcomer) { return turn_->take(newcomer); };
    targets.turn_takes_stun = turn_->takes_stun_at_door();
  }
  fill_random(targets.source_key.data(), targets.source_key.size());
  auto opened = FrontDoorThread::start(here, std::move(targets));
  if (!opened) return opened.error();
  const bool carries = here.targets[static_cast<std::size_t>(door::Target::kSip)].open;
  // Strangers take none of calls.
  pool_->leave_for_others(door::descriptors_max(here.connections_max, carries));
  front_door_ = std::move(*opened);
  return front_door_.get();
}

media::EngineLimits RelayImpl::media_limits() const {
  media::EngineLimits limits;
  limits.srtp_library = config_.srtp_library;
  limits.streams_per_leg_max = config_.streams_per_leg_max;
  limits.media_timeout = config_.media_timeout;
  limits.keepalive_interval = config_.keepalive_interval;
  limits.silence_told = kSilenceTold;
  limits.quality_interval = kQualityInterval;
  return limits;
}

void RelayImpl::send(std::size_t shard, const Command& command) {
  if (pending_[shard].empty() && shards_[shard]->push(command)) {
    wake_due_[shard] = true;  // a wake costs the shard a turn of its loop: one for many commands
    return;
  }
  pending_[shard].push(command);
  shards_[shard]->wake_for_room();
}

void RelayImpl::flush() {
  for (std::size_t shard = 0; shard < shards_.size(); ++shard) {
    if (wake_due_[shard]) shards_[shard]->wake();
    wake_due_[shard] = false;
  }
}

void RelayImpl::flush_pending(std::size_t shard) {
  auto& pending = pending_[shard];
  if (pending.empty()) {
    return;
  }
  while (!pending.empty() && shards_[shard]->push(pending.front())) pending.pop();
  if (pending.empty()) {
    shards_[shard]->wake();
  } else {
    shards_[shard]->wake_for_room();
  }
}

// The other node of a pair knows a session by it: what that node still remembers of a process
// before this one must not fit.
std::uint32_t RelayImpl::next_generation(std::uint32_t last) const {
  std::uint32_t next = last + 1;
  if (last == 0 && config_.pair_role != PairRole::kNone) fill_random(&next, sizeof next);
  while (mux::short_generation(next) == 0) ++next;
  return next;
}

SessionSlot* RelayImpl::find(SessionId id) {
  if (id.shard >= slots_.size() || id.slot >= slots_[id.shard].slots.size()) return nullptr;
  SessionSlot& slot = slots_[id.shard].slots[id.slot];
  return slot.in_use && !slot.closing && slot.generation == id.generation ? &slot : nullptr;
}

bool RelayImpl::is_busy(std::size_t shard) const {
  if (config_.busy_max_percent >= 100) return false;
  // Where others use its core as well it may fall behind without being busy.
  const Shard& one = *shards_[shard];
  return one.load_percent() >= config_.busy_max_percent || one.has_shed(monotonic_now());
}

// The one with the fewest sessions of those that are not too busy; -1: all are. What belongs to a
// call that is up goes where the call is.
int RelayImpl::choose_shard(int wanted) const {
  if (wanted >= 0) return wanted;
  int least = -1;
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    if (is_busy(i)) continue;
    if (least < 0 || slots_[i].in_use < slots_[static_cast<std::size_t>(least)].in_use) {
      least = static_cast<int>(i);
    }
  }
  return least;
}

SocketAddress RelayImpl::advertised(const SocketAddress& local) const {
  for (const Interface& interface : config_.interfaces) {
    for (const InterfaceAddress& address : interface.addresses) {
      if (address.local == local.ip) return {address.advertised, local.port};
    }
  }
  return local;
}

SessionPorts RelayImpl::ports_of(const SessionPairs& pairs) const {
  SessionPorts ports;
  for (unsigned side = 0; side < 2; ++side) {
    ports.local[side] = pairs.first[side].local;
    if (pairs.other[side]) ports.other_local[side] = pairs.other[side]->local;
    for (unsigned component = 0; component < 2; ++component) {
      ports.advertised[side][component] = advertised(ports.local[side][component]);
      ports.other_advertised[side][component] = advertised(ports.other_local[side][component]);
    }
  }
  return ports;
}

Result<SessionPairs> RelayImpl::acquire_pairs(const SessionSpec& spec, std::size_t shard,
                                              OpenFailure& failure) {
  const Instant now = monotonic_now();
  SessionPairs pairs;
  for (unsigned side = 0; side < 2; ++side) {
    if (!has_ports(spec, side)) continue;
    auto pair = pool_->acquire(shard, spec.interface_index[side], spec.family[side],
                               spec.dscp[side], now, failure);
    if (!pair) {
      if (pairs.first[0].handle != kNoPorts) pool_->release(pairs.first[0].handle, now);
      return pair.error();
    }
    pairs.first[side] = *pair;
  }
  for (unsigned side = 0; side < 2; ++side) {
    if (!spec.both_families[side] || !has_ports(spec, side)) continue;
    pairs.other[side] = pool_->acquire_beside(pairs.first[side], shard, spec.interface_index[side],
                                              spec.dscp[side], now);
  }
  return pairs;
}

void RelayImpl::occupy(SessionSlot& slot, std::size_t shard, const SessionPairs& pairs) {
  slot.in_use = true;
  slot.closing = false;
  for (unsigned side = 0; side < 2; ++side) {
    slot.port_handles[side] = pairs.first[side].handle;
    slot.other_handles[side].reset();
    if (pairs.other[side]) slot.other_handles[side] = pairs.other[side]->handle;
  }
  slot.ports = ports_of(pairs);
  ++slots_[shard].in_use;
  ++sessions_;
}

Result<Relay::Opened> RelayImpl::open_session(const SessionSpec& spec, OpenFailure& failure) {
  if ((spec.carried[0] || spec.carried[1]) && config_.pair_role == PairRole::kNone) {
    failure = OpenFailure::kBadSpec;
    return Error{"a leg without ports needs the other node of a traversal pair"};
  }
  if (spec.shard >= static_cast<int>(shards_.size())) {
    failure = OpenFailure::kBadSpec;
    return Error{"no such shard: " + std::to_string(spec.shard)};
  }
  const int chosen = choose_shard(spec.shard);
  if (chosen < 0) {
    ++overload_refusals_;
    failure = OpenFailure::kOverloaded;
    return Error{"every shard is busier than media.busy_max_percent allows"};
  }
  const auto shard = static_cast<std::size_t>(chosen);
  if (sessions_ >= config_.sessions_max || slots_[shard].free.empty()) {
    failure = OpenFailure::kSessionLimit;
    return Error{"the limit of " + std::to_string(config_.sessions_max) +
                 " sessions is reached; raise media.sessions_max"};
  }
  if (pending_[shard].full()) {
    ++commands_refused_;
    failure = OpenFailure::kSessionLimit;
    return Error{"the shard does not keep up with its commands; the host is overloaded"};
  }
  const auto pairs = acquire_pairs(spec, shard, failure);
  if (!pairs) return pairs.error();
  const std::uint32_t index = slots_[shard].free.back();
  slots_[shard].free.pop_back();
  SessionSlot& slot = slots_[shard].slots[index];
  slot.generation = next_generation(slot.generation);
  occupy(slot, shard, *pairs);

  Command command;
  command.kind = CommandKind::kOpen;
  command.id = {index, slot.generation, Side::kA, Component::kRtp};
  command.media = spec.kind;
  command.local = slot.ports.local;
  command.other_local = slot.ports.other_local;
  command.sockets = sockets_of(*pairs);
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

void RelayImpl::update_transport(SessionId id, Side side, const TransportConfig& config) {
  if (find(id) == nullptr) return;
  Command command;
  command.kind = CommandKind::kUpdateTransport;
  command.id = {id.slot, id.generation, side, Component::kRtp};
  command.transport = config;
  send(id.shard, command);
  secure_wipe(&command.transport.ice, sizeof command.transport.ice);
}

void RelayImpl::switch_media(SessionId id, Side side, const MediaSwitches& switches) {
  if (find(id) == nullptr) return;
  Command command;
  command.kind = CommandKind::kSwitchMedia;
  command.id = {id.slot, id.generation, side, Component::kRtp};
  command.switches = switches;
  send(id.shard, command);
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
  if (pending_[id.shard].full()) {
    ++commands_refused_;
    return false;
  }
  Command command;
  command.kind = CommandKind::kQuery;
  command.id = {id.slot, id.generation, Side::kA, Component::kRtp};
  command.token = token;
  send(id.shard, command);
  return true;
}

void RelayImpl::retune(const RelayTuning& tuning) {
  config_.interfaces = tuning.interfaces;
  config_.busy_max_percent = tuning.busy_max_percent;
  config_.streams_per_leg_max = tuning.streams_per_leg_max;
  config_.media_timeout = tuning.media_timeout;
  config_.keepalive_interval = tuning.keepalive_interval;
  Command command;
  command.kind = CommandKind::kSetLimits;
  command.limits = media_limits();
  for (std::size_t shard = 0; shard < shards_.size(); ++shard) send(shard, command);
  flush();
}

void RelayImpl::release(std::size_t shard, std::uint32_t index) {
  SessionSlot& slot = slots_[shard].slots[index];
  for (const std::uint32_t handle : slot.port_handles) {
    if (handle != kNoPorts) pool_->release(handle, monotonic_now());
  }
  for (auto& handle : slot.other_handles) {
    if (handle) pool_->release(*handle, monotonic_now());
    handle.reset();
  }
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
  if (turn_ != nullptr) turn_->poll();
  flush();
}

void RelayImpl::on_tick() {
  const Instant now = monotonic_now();
  for (const auto& shard : shards_) shard->note_load(now, config_.busy_max_percent);
  pool_->tend(now);
  pool_->stock_up(now);
  keep_identity();
  mind_holder(now);
  if (turn_ != nullptr) turn_->on_tick(now);
  flush();
}

RelayUsage RelayImpl::usage() const {
  RelayUsage usage = pool_->usage();
  usage.sessions = sessions_;
  usage.sessions_max = config_.sessions_max;
  for (const PendingCommands& pending : pending_) usage.commands_waiting += pending.size();
  usage.commands_refused = commands_refused_;
  usage.overload_refusals = overload_refusals_;
  return usage;
}

std::vector<PortSliceUsage> port_usage(const Relay& relay) {
  return static_cast<const RelayImpl&>(relay).port_slices();
}

Result<std::unique_ptr<Relay>> Relay::start(const RelayConfig& config) {
  auto relay = std::make_unique<RelayImpl>(config);
  if (auto started = relay->start(); !started) return started.error();
  return std::unique_ptr<Relay>(std::move(relay));
}

}  // namespace turnpike
