// State that outlives a process: shared memory of the shards and of control, sockets, and the
// sessions that are rebuilt from them.
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <span>
#include <string_view>
#include <utility>

#include <unistd.h>

#include "relay/core/bytes.h"
#include "relay/io/loop.h"
#include "relay/relay_impl.h"

namespace turnpike {
namespace {

constexpr std::uint32_t kStreamsPerSession = 8;  // room in the arena, on average
constexpr std::size_t kRecordBytesPerSession = 8192;
constexpr std::size_t kShapeBytes = 256;  // an arena's header is among them

}  // namespace

Held::~Held() {
  for (const int fd : sockets) close(fd);
  for (const auto& [shard, fd] : arenas) {
    if (fd >= 0) close(fd);
  }
  if (records >= 0) close(records);
}

std::size_t RelayImpl::records_bytes() const {
  return std::size_t{config_.sessions_max} * kRecordBytesPerSession;
}

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

Result<void> RelayImpl::connect_holder(Held& held) {
  if (config_.holder_socket.empty()) return {};
  const auto go_without = [this](const Error& error) {
    adoption_.refused = error.message;
    return Result<void>{};
  };
  auto holder = HolderClient::open(config_.holder_socket);
  if (!holder) return go_without(holder.error());
  const auto greeted = (*holder)->greeted(HolderClient::kPatienceAtStart);
  // Its calls are not ours to take, and beside it we would only get in its way.
  if (!greeted && (*holder)->is_busy()) return greeted.error();
  if (!greeted) return go_without(greeted.error());
  if (!*greeted) return go_without(Error{"holder: no answer in time; is turnpike-holder stopped?"});
  auto found = (*holder)->fetch();
  if (!found) return go_without(found.error());
  holder_ = std::move(*holder);
  adoption_.holder_connected = true;
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
  return {};
}

// All shards or none: half of the old state with half of a new one would be neither.
bool RelayImpl::adopt_memory(Held& held) {
  if (held.arenas.empty()) return false;
  const RelayConfig configured = config_;
  const auto sessions = adopt_arenas(held);
  if (!sessions) {
    adoption_.refused = sessions.error().message;
    adoption_.sessions_damaged = 0;  // all are lost, and `refused` says so
    drop_memory();
    config_ = configured;
    return false;
  }
  tell_kept_settings(configured);
  if (*sessions > 0 || adoption_.kept_settings.empty()) return true;
  // Nobody needs the old shape.
  adoption_.kept_settings.clear();
  drop_memory();
  config_ = configured;
  return false;
}

void RelayImpl::drop_memory() {
  arenas_.clear();
  memory_.clear();
  records_.reset();
  adopted_records_.clear();
  kept_identity_.clear();
}

// The number of sessions in them.
Result<std::uint32_t> RelayImpl::adopt_arenas(Held& held) {
  std::sort(held.arenas.begin(), held.arenas.end());
  if (auto taken = take_shape(held); !taken) return taken.error();
  std::uint32_t sessions = 0;
  for (std::size_t i = 0; i < config_.shards; ++i) {
    const std::size_t bytes = media::Arena::bytes_for(shape_of(i));
    auto memory = SharedMemory::adopt(held.arenas[i].second, bytes);
    if (!memory) return memory.error();
    held.arenas[i].second = -1;
    media::ArenaReport report;
    auto arena = media::Arena::adopt(memory->data(), memory->size(), shape_of(i), report);
    if (!arena) return arena.error();
    sessions += report.sessions;
    adoption_.sessions_damaged += report.dropped;
    memory_.push_back(std::move(*memory));
    arenas_.push_back(std::move(*arena));
  }
  if (auto records = adopt_records(held); !records) return records.error();
  return sessions;
}

// Sessions know their ports and their places in the shards' tables, so they go on only in the
// shape that they were made in, whatever the configuration says by now.
Result<void> RelayImpl::take_shape(const Held& held) {
  std::array<std::uint8_t, kShapeBytes> begin;
  const ssize_t size = pread(held.arenas.front().second, begin.data(), begin.size(), 0);
  if (size < 0) return Error{std::string("cannot read session memory: ") + std::strerror(errno)};
  const auto shape = media::Arena::read_shape(std::span(begin).first(static_cast<size_t>(size)));
  if (!shape) return shape.error();
  if (shape->shards != held.arenas.size()) return Error{"session memory of a shard is missing"};
  if (shape->sessions == 0 || shape->port_min % 2 != 0 || shape->port_max % 2 != 1 ||
      shape->port_min > shape->port_max) {
    return Error{"session memory has an impossible shape"};
  }
  config_.shards = shape->shards;
  config_.sessions_max = shape->sessions;
  config_.port_min = shape->port_min;
  config_.port_max = shape->port_max;
  return {};
}

Result<void> RelayImpl::adopt_records(Held& held) {
  if (held.records < 0) return Error{"the call records are missing"};
  auto memory = SharedMemory::adopt(held.records, records_bytes());
  if (!memory) return memory.error();
  held.records = -1;
  auto records = RecordStore::open(std::move(*memory));
  if (!records) return records.error();
  records_ = std::move(*records);
  adoption_.records_damaged = static_cast<std::uint32_t>(records_->damaged());
  adopted_records_ = records_->all();
  const auto identity =
      std::find_if(adopted_records_.begin(), adopted_records_.end(),
                   [](const auto& record) { return record.first == kIdentityRecord; });
  if (identity == adopted_records_.end()) return {};
  kept_identity_ = std::move(identity->second);
  adopted_records_.erase(identity);
  return {};
}

void RelayImpl::tell_kept_settings(const RelayConfig& configured) {
  const auto tell = [&](const char* name, std::uint32_t wanted, std::uint32_t kept) {
    if (wanted != kept) adoption_.kept_settings.push_back({name, wanted, kept});
  };
  tell("shards", configured.shards, config_.shards);
  tell("sessions_max", configured.sessions_max, config_.sessions_max);
  tell("port_min", configured.port_min, config_.port_min);
  tell("port_max", configured.port_max, config_.port_max);
}

Result<void> RelayImpl::make_memory() {
  for (std::size_t i = 0; i < config_.shards; ++i) {
    auto memory = SharedMemory::create("turnpike-sessions", media::Arena::bytes_for(shape_of(i)));
    if (!memory) return memory.error();
    arenas_.push_back(media::Arena::format(memory->data(), shape_of(i)));
    memory_.push_back(std::move(*memory));
  }
  if (config_.holder_socket.empty()) return {};
  auto memory = SharedMemory::create("turnpike-records", records_bytes());
  if (!memory) return memory.error();
  auto records = RecordStore::open(std::move(*memory));
  if (!records) return records.error();
  records_ = std::move(*records);
  return {};
}

// The certificate lives on with the calls that name it; a process after this one needs its key.
void RelayImpl::keep_identity() {
  if (records_ == nullptr) return;
  const std::uint32_t id = handshakes_->identity().id;
  if (id == kept_identity_id_) return;
  const auto bytes = handshakes_->kept_identity();
  const std::string_view record(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (records_->store(kIdentityRecord, record)) kept_identity_id_ = id;
}

Result<void> RelayImpl::keep_memory(HolderClient& holder) {
  std::vector<HeldDescriptor> keep;
  for (std::size_t i = 0; i < memory_.size(); ++i) {
    keep.push_back({HeldKind::kArena, i, memory_[i].fd()});
  }
  keep.push_back({HeldKind::kRecords, 0, records_->fd()});
  return holder.keep(keep);
}

// A holder that came late or was restarted knows nothing of us: it gets everything again. What it
// keeps from others before us is no longer anybody's. Until it has answered our greeting, nothing
// here waits for it.
void RelayImpl::mind_holder(Instant now) {
  if (config_.holder_socket.empty()) return;
  const bool connected = holder_ != nullptr && holder_->connected();
  adoption_.holder_connected = connected && pool_->all_kept();
  if (adoption_.holder_connected) return;
  if (!pool_->all_kept()) adoption_.holder_trouble = pool_->keep_error();
  if (now < holder_retry_at_) return;
  if (connected) return keep_the_rest(now);
  if (holder_ != nullptr) {
    static_cast<void>(pool_->keep_all(nullptr));
    holder_.reset();  // it serves one connection only
  }
  if (holder_to_be_ == nullptr) {
    holder_retry_at_ = now + kHolderPauseMin;
    auto opened = HolderClient::open(config_.holder_socket);
    if (!opened) {
      adoption_.holder_trouble = opened.error().message;
      return;
    }
    holder_to_be_ = std::move(*opened);
    holder_retry_at_ = now;
  }
  const auto greeted = holder_to_be_->greeted(Milliseconds{0});
  if (greeted && !*greeted) return;
  auto holder = std::exchange(holder_to_be_, nullptr);
  const Result<void> given = greeted ? give_everything(*holder) : Result<void>(greeted.error());
  if (!given) adoption_.holder_trouble = given.error().message;
  // One that took all memory and not all sockets keeps the calls that it can.
  if (given || (holder->connected() && !pool_->all_kept())) holder_ = std::move(holder);
  if (given) {
    adoption_.holder_connected = true;
    holder_pause_ = kHolderPauseMin;
    return;
  }
  if (holder_ == nullptr) static_cast<void>(pool_->keep_all(nullptr));
  holder_retry_at_ = now + holder_pause_;
  holder_pause_ = std::min(2 * holder_pause_, kHolderPauseMax);
}

// A holder that is full still keeps what it has got: nothing of that is thrown away.
void RelayImpl::keep_the_rest(Instant now) {
  if (pool_->keep_all(holder_.get())) {
    adoption_.holder_connected = true;
    holder_pause_ = kHolderPauseMin;
    return;
  }
  holder_retry_at_ = now + holder_pause_;
  holder_pause_ = std::min(2 * holder_pause_, kHolderPauseMax);
}

Result<void> RelayImpl::give_everything(HolderClient& holder) {
  holder.set_patience(kHolderPatience);
  if (auto reset = holder.reset(); !reset) return reset.error();
  if (auto kept = keep_memory(holder); !kept) return kept.error();
  return pool_->keep_all(&holder);
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
  // Nobody would ever take these again, and their ports would stay bound.
  std::vector<HeldDescriptor> unwanted;
  for (const int fd : strangers) unwanted.push_back({HeldKind::kSocket, 0, fd});
  static_cast<void>(holder_->forget(unwanted));
  held.sockets = std::move(strangers);
  for (std::size_t shard = 0; shard < arenas_.size(); ++shard) {
    for (std::uint32_t slot = 0; slot < config_.sessions_max; ++slot) {
      if (arenas_[shard].session(slot).generation != 0) adopt_session(shard, slot);
    }
  }
  pool_->settle(monotonic_now());
}

// False: a socket is gone, so the session cannot go on; what was claimed for it is given back.
bool RelayImpl::claim_pairs(const media::SessionState& session, SessionPairs& pairs) {
  std::vector<std::uint32_t> claimed;
  const auto claim = [&](const SocketAddress& rtp_local) -> std::optional<PortPair> {
    auto pair = pool_->claim(rtp_local);
    if (!pair) return std::nullopt;
    claimed.push_back(pair->handle);
    return *pair;
  };
  bool whole = true;
  for (unsigned side = 0; side < 2 && whole; ++side) {
    const media::LegState& leg = session.legs[side];
    const bool carried = !leg.local[0].is_set();
    if (carried && (config_.pair_role != PairRole::kNone || leg.config.absent)) continue;
    const auto first = claim(leg.local[0]);
    whole = first.has_value();
    if (whole) pairs.first[side] = *first;
    if (!whole || !leg.other_local[0].is_set()) continue;
    pairs.other[side] = claim(leg.other_local[0]);
    whole = pairs.other[side].has_value();
  }
  if (whole) return true;
  for (const std::uint32_t handle : claimed) pool_->release(handle, monotonic_now());
  return false;
}

void RelayImpl::adopt_session(std::size_t shard, std::uint32_t slot) {
  media::SessionState& session = arenas_[shard].session(slot);
  const SocketTag tag{slot, session.generation, Side::kA, Component::kRtp};
  SessionPairs pairs;
  if (!claim_pairs(session, pairs)) {
    arenas_[shard].discard(slot);
    ++adoption_.sessions_without_sockets;
    return;
  }
  SessionSlot& known = slots_[shard].slots[slot];
  known.generation = session.generation;
  occupy(known, shard, pairs);
  ++adoption_.sessions_adopted;
  adopted_sessions_.push_back(
      {SessionId{slot, session.generation, static_cast<std::uint16_t>(shard)}, known.ports});
  Command command;
  command.kind = CommandKind::kAdopt;
  command.id = tag;
  command.other_local = known.ports.other_local;
  command.sockets = sockets_of(pairs);
  adopt_commands_.emplace_back(shard, command);
}

}  // namespace turnpike
