// When sockets are bound, parked, handed out and given to the holder. Where a pair is at a moment
// is PortTable's; what a socket is told is media_socket.h's.
#include "relay/io/port_pool.h"

#include <algorithm>
#include <string>

#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "relay/core/check.h"
#include "relay/io/holder_client.h"
#include "relay/io/media_socket.h"
#include "relay/io/port_table.h"
#include "relay/io/secure_random.h"

namespace turnpike {
namespace {

constexpr std::uint64_t kDescriptorReserve = 256;
constexpr std::size_t kTendSockets = 512;
constexpr std::size_t kTendPairsLookedAt = 4096;
constexpr Milliseconds kTendInterval{100};  // while calls keep the caller's own timer waiting
constexpr int kGrowthsPerAcquire = 4;
constexpr std::uint32_t kStockUpChunks = 4;
constexpr Seconds kAddressRetry{1};

std::uint64_t descriptor_limit() {
  rlimit limit{};
  return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : 2 * kDescriptorReserve;
}

}  // namespace

struct PortPool::State {
  State(const RelayConfig& relay_config, std::size_t shards, HolderClient* holder_client,
        const PortPoolTuning& pool_tuning);
  ~State();

  void share_descriptors(std::uint64_t for_others);
  BindOutcome bind_socket(std::uint32_t handle, std::size_t component);
  BindOutcome bind_pair(std::uint32_t handle);
  BindOutcome grow(std::size_t address, PortSlice& slice, Instant now);
  void shrink(std::uint32_t handle);
  void give_to_holder(const std::vector<HeldDescriptor>& held);
  PortSlice* choose(const std::vector<std::uint32_t>& candidates, std::size_t shard, Instant now);
  void hand_out(std::uint32_t handle, AddressFamily family, std::uint8_t dscp);
  void park(std::uint32_t handle, Instant now);
  PortPair describe(std::uint32_t handle) const;
  PortPair take_parked(PortSlice& slice, std::uint32_t handle, std::uint8_t dscp);
  std::uint32_t any_parked(const PortSlice& slice);
  std::optional<std::uint32_t> parked_at(const std::vector<std::uint32_t>& candidates,
                                         std::size_t shard, std::uint16_t port);

  RelayConfig config;
  PortPoolTuning tuning;
  HolderClient* holder = nullptr;
  PortTable table;
  SecureRandom random;
  MediaSocketOptions options;
  std::vector<Instant> unavailable_until;  // by local address: the host lacks it, do not try
  std::vector<bool> address_missing;       // by local address: the last bind said so
  std::uint32_t stock_per_slice = 0;
  std::uint64_t sockets_open = 0;
  std::uint64_t sockets_max = 0;
  std::uint64_t descriptor_max = 0;
  std::uint64_t bind_failures = 0;
  std::uint64_t descriptor_shortages = 0;
  std::uint64_t address_failures = 0;
  std::uint32_t pairs_in_use = 0;
  std::uint32_t tend_next = 0;  // handle
  std::size_t stock_next = 0;   // slice
  Instant tended_at{};
  bool out_of_descriptors = false;  // met by the last acquire()
  bool unsettled = false;
  bool kept = true;
  std::string keep_error;  // when not
};

PortPool::State::State(const RelayConfig& relay_config, std::size_t shards,
                       HolderClient* holder_client, const PortPoolTuning& pool_tuning)
    : config(relay_config),
      tuning(pool_tuning),
      holder(holder_client),
      table(relay_config, shards),
      unavailable_until(table.addresses.size()),
      address_missing(table.addresses.size()) {
  share_descriptors(0);
  // All stocks together take half of the descriptors at most, in equal shares: else the first
  // slices to be used would leave the others nothing.
  const auto shard_count = static_cast<std::uint32_t>(shards);
  const std::uint64_t share = sockets_max / 4 / std::max<std::size_t>(1, table.slices.size());
  stock_per_slice = std::max({1U, tuning.chunk_pairs, tuning.stock_pairs / shard_count});
  stock_per_slice =
      static_cast<std::uint32_t>(std::clamp<std::uint64_t>(share, 1, stock_per_slice));
  const auto asked =
      static_cast<int>(std::min<std::uint32_t>(config.socket_buffer_bytes, 1U << 30));
  options.receive_buffer_bytes = asked > 0 ? asked : default_receive_buffer_bytes();
  options.send_buffer_bytes = asked;
  options.set_receive_buffer = asked > 0;
}

PortPool::State::~State() {
  for (const PortPairRecord& pair : table.pairs) {
    for (const int fd : pair.fd) {
      if (fd >= 0) close(fd);
    }
  }
}

void PortPool::State::share_descriptors(std::uint64_t for_others) {
  const std::uint64_t limit = descriptor_limit();
  const std::uint64_t reserve = std::min(kDescriptorReserve + for_others, limit / 2);
  sockets_max = limit - reserve;
  descriptor_max = limit - reserve / 2;
}

BindOutcome PortPool::State::bind_socket(std::uint32_t handle, std::size_t component) {
  int& fd = table.pairs[handle].fd[component];
  if (fd >= 0) return BindOutcome::kBound;  // adopted without its neighbour
  if (sockets_open >= sockets_max) return BindOutcome::kOutOfDescriptors;
  const auto outcome = open_media_socket(table.local_of(handle, component), options, fd);
  if (outcome != BindOutcome::kBound) return outcome;
  // Descriptors are numbered from the lowest. Others, connected twins above all, use some as well;
  // half of the reserve is not for them either.
  if (static_cast<std::uint64_t>(fd) >= descriptor_max) {
    close(fd);
    fd = -1;
    return BindOutcome::kOutOfDescriptors;
  }
  ++sockets_open;
  return outcome;
}

BindOutcome PortPool::State::bind_pair(std::uint32_t handle) {
  auto& fd = table.pairs[handle].fd;
  const bool rtp_was_open = fd[0] >= 0;
  const bool both_new = !rtp_was_open && fd[1] < 0;
  auto outcome = bind_socket(handle, 0);
  if (outcome != BindOutcome::kBound) return outcome;
  outcome = bind_socket(handle, 1);
  if (outcome != BindOutcome::kBound && !rtp_was_open) {
    close(fd[0]);
    fd[0] = -1;
    --sockets_open;
  }
  if (outcome != BindOutcome::kBound) return outcome;
  table.pairs[handle].fresh = true;
  if (!both_new) {  // the other one was adopted and is parked, maybe silenced
    shrink(handle);
    table.pairs[handle].filtered = true;
  }
  return outcome;
}

void PortPool::State::shrink(std::uint32_t handle) {
  for (const int fd : table.pairs[handle].fd) shrink_socket(fd);
  table.pairs[handle].fresh = false;
}

// Binds a chunk of random pairs, or what is missing from a full stock. A taken port is set aside;
// anything else ends the chunk.
BindOutcome PortPool::State::grow(std::size_t address, PortSlice& slice, Instant now) {
  std::vector<HeldDescriptor> held;
  BindOutcome outcome = BindOutcome::kBound;
  const std::size_t missing = stock_per_slice - slice.parked.size();
  const std::size_t count = std::min<std::size_t>(tuning.chunk_pairs, missing);
  for (std::size_t i = 0; i < count && !slice.unbound.empty(); ++i) {
    const auto size = static_cast<std::uint32_t>(slice.unbound.size());
    const std::uint32_t handle = slice.unbound[random.below(size)];
    outcome = bind_pair(handle);
    if (outcome == BindOutcome::kOutOfDescriptors) break;
    if (outcome != BindOutcome::kBound) ++bind_failures;
    address_missing[address] = outcome == BindOutcome::kAddressUnavailable;
    if (address_missing[address]) {
      unavailable_until[address] = now + kAddressRetry;
      ++address_failures;
      break;
    }
    table.take(slice.unbound, handle, PairState::kSetAside);
    if (outcome == BindOutcome::kBound) {
      table.put(slice.parked, handle, PairState::kParked);
      for (const int fd : table.pairs[handle].fd) held.push_back({HeldKind::kSocket, 0, fd});
    } else {
      table.queue(table.set_aside, handle, PairState::kSetAside, now + tuning.set_aside);
    }
  }
  give_to_holder(held);
  return outcome;
}

void PortPool::State::give_to_holder(const std::vector<HeldDescriptor>& held) {
  if (holder == nullptr || held.empty()) return;
  if (const auto result = holder->keep(held); !result) {
    kept = false;
    keep_error = result.error().message;
  }
}

// A slice with something parked; every free pair of the candidates counts alike. Null when none.
PortSlice* PortPool::State::choose(const std::vector<std::uint32_t>& candidates, std::size_t shard,
                                   Instant now) {
  int growths_left = kGrowthsPerAcquire;
  out_of_descriptors = false;
  const auto may_grow = [&](std::uint32_t address) {
    return growths_left > 0 && !out_of_descriptors && unavailable_until[address] <= now;
  };
  const auto weight = [&](std::uint32_t address) {
    const PortSlice& slice = table.slice_at(address, shard);
    const auto bindable = may_grow(address) ? slice.unbound.size() : 0;
    return static_cast<std::uint32_t>(slice.parked.size() + bindable);
  };
  for (;;) {
    std::uint32_t total = 0;
    for (const auto address : candidates) total += weight(address);
    if (total == 0) return nullptr;
    std::uint32_t ticket = random.below(total);
    auto chosen = candidates.begin();
    for (; ticket >= weight(*chosen); ++chosen) ticket -= weight(*chosen);
    PortSlice& slice = table.slice_at(*chosen, shard);
    const bool is_low = 2 * slice.parked.size() < stock_per_slice && !slice.unbound.empty();
    if (is_low && may_grow(*chosen)) {
      --growths_left;
      out_of_descriptors = grow(*chosen, slice, now) == BindOutcome::kOutOfDescriptors;
    }
    if (!slice.parked.empty()) return &slice;
  }
}

void PortPool::State::hand_out(std::uint32_t handle, AddressFamily family, std::uint8_t dscp) {
  PortPairRecord& pair = table.pairs[handle];
  for (const int fd : pair.fd) {
    if (pair.fresh) {
      empty_fresh_socket(fd, options);
    } else {
      unpark_socket(fd, options, pair.filtered);
    }
    if (pair.dscp != dscp) set_dscp(fd, family, dscp);
  }
  pair.fresh = false;
  pair.filtered = false;
  pair.dscp = dscp;
  ++pairs_in_use;
}

std::uint32_t PortPool::State::any_parked(const PortSlice& slice) {
  return slice.parked[random.below(static_cast<std::uint32_t>(slice.parked.size()))];
}

PortPair PortPool::State::take_parked(PortSlice& slice, std::uint32_t handle, std::uint8_t dscp) {
  table.take(slice.parked, handle, PairState::kInUse);
  hand_out(handle, table.local_of(handle, 0).ip.family, dscp);
  return describe(handle);
}

std::optional<std::uint32_t> PortPool::State::parked_at(
    const std::vector<std::uint32_t>& candidates, std::size_t shard, std::uint16_t port) {
  for (const std::uint32_t address : candidates) {
    const auto handle = table.find({table.addresses[address], port});
    if (!handle || table.pairs[*handle].state != PairState::kParked) continue;
    if (&table.slice_of(*handle) == &table.slice_at(address, shard)) return handle;
  }
  return std::nullopt;
}

void PortPool::State::park(std::uint32_t handle, Instant now) {
  PortPairRecord& pair = table.pairs[handle];
  std::array<bool, 2> silenced{};
  for (std::size_t c = 0; c < 2; ++c) silenced[c] = park_socket(pair.fd[c]);
  pair.filtered = silenced[0] || silenced[1];
  for (std::size_t c = 0; c < 2; ++c) {
    if (pair.filtered && !silenced[c]) silence_socket(pair.fd[c]);
  }
  table.queue(table.quarantine, handle, PairState::kQuarantined, now + config.port_quarantine);
}

PortPair PortPool::State::describe(std::uint32_t handle) const {
  return {handle, {table.local_of(handle, 0), table.local_of(handle, 1)}, table.pairs[handle].fd};
}

PortPool::PortPool(const RelayConfig& config, std::size_t shards, HolderClient* holder,
                   const PortPoolTuning& tuning)
    : state_(std::make_unique<State>(config, shards, holder, tuning)) {}

PortPool::~PortPool() = default;

void PortPool::leave_for_others(std::uint64_t descriptors) {
  state_->share_descriptors(descriptors);
}

Result<PortPair> PortPool::acquire(std::size_t shard, std::size_t interface, AddressFamily family,
                                   std::uint8_t dscp, Instant now, OpenFailure& failure) {
  State& s = *state_;
  failure = OpenFailure::kBadSpec;
  if (shard >= s.table.shard_count || interface >= s.table.addresses_by_interface.size() ||
      family == AddressFamily::kNone || dscp > 63) {
    return Error{"ports: no such shard, interface, family or DSCP code point"};
  }
  const auto& candidates =
      s.table.addresses_by_interface[interface][family == AddressFamily::kIpv4 ? 0 : 1];
  const std::string& name = s.config.interfaces[interface].name;
  if (candidates.empty()) {
    return Error{"ports: interface '" + name + "' has no address of that family"};
  }
  if (s.unsettled) settle(now);
  if (now - s.tended_at >= kTendInterval) tend(now);
  s.table.ripen(now);
  PortSlice* slice = s.choose(candidates, shard, now);
  if (slice == nullptr && s.out_of_descriptors) {
    failure = OpenFailure::kOutOfDescriptors;
    ++s.descriptor_shortages;
    return Error{"ports: no file descriptor left for a socket; raise the limit (LimitNOFILE)"};
  }
  if (slice == nullptr) {
    failure = OpenFailure::kOutOfPorts;
    return Error{"ports: none free on interface '" + name + "'; widen the port range"};
  }
  return s.take_parked(*slice, s.any_parked(*slice), dscp);
}

std::optional<PortPair> PortPool::acquire_beside(const PortPair& first, std::size_t shard,
                                                 std::size_t interface, std::uint8_t dscp,
                                                 Instant now) {
  State& s = *state_;
  const bool first_is_v4 = first.local[0].ip.is_v4();
  const auto& candidates = s.table.addresses_by_interface[interface][first_is_v4 ? 1 : 0];
  if (candidates.empty()) return std::nullopt;
  s.table.ripen(now);
  if (const auto same = s.parked_at(candidates, shard, first.local[0].port)) {
    return s.take_parked(s.table.slice_of(*same), *same, dscp);
  }
  PortSlice* slice = s.choose(candidates, shard, now);
  if (slice == nullptr) return std::nullopt;
  return s.take_parked(*slice, s.any_parked(*slice), dscp);
}

void PortPool::release(std::uint32_t handle, Instant now) {
  State& s = *state_;
  CHECK(handle < s.table.pairs.size() && s.table.pairs[handle].state == PairState::kInUse);
  --s.pairs_in_use;
  s.park(handle, now);
}

void PortPool::tend(Instant now) {
  State& s = *state_;
  auto& pairs = s.table.pairs;
  s.tended_at = now;
  s.table.ripen(now);
  std::array<pollfd, kTendSockets> watched;
  std::array<std::uint32_t, kTendSockets / 2> handles;
  std::size_t count = 0;
  const std::size_t looked_at_max = std::min(pairs.size(), kTendPairsLookedAt);
  for (std::size_t i = 0; i < looked_at_max && count < handles.size(); ++i) {
    const std::uint32_t handle = s.tend_next;
    s.tend_next = handle + 1 < pairs.size() ? handle + 1 : 0;
    const PortPairRecord& pair = pairs[handle];
    const bool idle = pair.state == PairState::kParked || pair.state == PairState::kQuarantined;
    if (!idle || pair.filtered) continue;
    if (pair.fresh) s.shrink(handle);
    for (std::size_t c = 0; c < 2; ++c) watched[2 * count + c] = {pair.fd[c], POLLIN, 0};
    handles[count++] = handle;
  }
  if (count == 0 || poll(watched.data(), 2 * count, 0) <= 0) return;
  for (std::size_t i = 0; i < count; ++i) {
    if (watched[2 * i].revents == 0 && watched[2 * i + 1].revents == 0) continue;
    PortPairRecord& pair = pairs[handles[i]];
    for (const int fd : pair.fd) silence_socket(fd);
    pair.filtered = true;
  }
}

void PortPool::stock_up(Instant now) {
  State& s = *state_;
  if (!s.kept) return;  // room that the holder still has belongs to calls
  std::uint32_t chunks_left = kStockUpChunks;
  for (std::size_t i = 0; i < s.table.slices.size() && chunks_left > 0; ++i) {
    const std::size_t at = s.stock_next;
    s.stock_next = (at + 1) % s.table.slices.size();
    const std::size_t address = at / s.table.shard_count;
    PortSlice& slice = s.table.slices[at];
    const bool is_full = slice.parked.size() >= s.stock_per_slice || slice.unbound.empty();
    // Whoever needs the address tries it again; that it is missing is told once.
    if (is_full || s.address_missing[address] || 2 * s.sockets_open >= s.sockets_max) continue;
    static_cast<void>(s.grow(address, slice, now));
    --chunks_left;
  }
}

bool PortPool::adopt(int fd) {
  State& s = *state_;
  SocketAddress local;
  if (!inspect_media_socket(fd, local)) return false;
  const auto handle = s.table.find(local);
  if (!handle) return false;
  PortPairRecord& pair = s.table.pairs[*handle];
  int& place = pair.fd[local.port % 2];
  if (place >= 0) return false;
  restore_socket(fd, s.options);
  place = fd;
  ++s.sockets_open;
  s.unsettled = true;
  if (pair.fd[0] >= 0 && pair.fd[1] >= 0) {
    s.table.take(s.table.slice_of(*handle).unbound, *handle, PairState::kAdopted);
  }
  return true;
}

Result<PortPair> PortPool::claim(const SocketAddress& rtp_local) {
  State& s = *state_;
  const auto handle = s.table.find(rtp_local);
  if (!handle || rtp_local.port % 2 != 0 || s.table.pairs[*handle].state != PairState::kAdopted) {
    return Error{"ports: no pair of sockets was kept for " + to_string(rtp_local)};
  }
  s.table.pairs[*handle].state = PairState::kInUse;
  ++s.pairs_in_use;
  return s.describe(*handle);
}

void PortPool::settle(Instant now) {
  State& s = *state_;
  s.unsettled = false;
  for (std::uint32_t handle = 0; handle < s.table.pairs.size(); ++handle) {
    const PortPairRecord& pair = s.table.pairs[handle];
    if (pair.state == PairState::kAdopted) s.park(handle, now);
    if (pair.state != PairState::kUnbound) continue;
    for (const int fd : pair.fd) {  // kept without its neighbour, which a later grow() binds
      if (fd >= 0) park_socket(fd);
    }
  }
}

Result<void> PortPool::keep_all(HolderClient* holder) {
  State& s = *state_;
  s.holder = holder;
  s.kept = true;
  if (holder == nullptr) return {};
  std::vector<HeldDescriptor> held;
  held.reserve(s.sockets_open);
  // Those of calls come first: should there not be room for all, the idle ones are left out.
  for (const bool in_use : {true, false}) {
    for (const PortPairRecord& pair : s.table.pairs) {
      if ((pair.state == PairState::kInUse) != in_use) continue;
      for (const int fd : pair.fd) {
        if (fd >= 0) held.push_back({HeldKind::kSocket, 0, fd});
      }
    }
  }
  auto result = holder->keep(held);
  s.kept = result.has_value();
  if (!result) s.keep_error = result.error().message;
  return result;
}

bool PortPool::all_kept() const {
  return state_->kept;
}

const std::string& PortPool::keep_error() const {
  return state_->keep_error;
}

RelayUsage PortPool::usage() const {
  const State& s = *state_;
  RelayUsage usage;
  usage.ports_in_use = 2 * s.pairs_in_use;
  usage.ports_quarantined = static_cast<std::uint32_t>(2 * s.table.quarantine.size());
  usage.ports_total = static_cast<std::uint32_t>(2 * s.table.pairs.size());
  usage.bind_failures = s.bind_failures;
  usage.descriptor_shortages = s.descriptor_shortages;
  usage.address_failures = s.address_failures;
  return usage;
}

std::vector<PortSliceUsage> PortPool::slices() const {
  const PortTable& table = state_->table;
  std::vector<PortSliceUsage> all(table.slices.size());
  for (std::size_t i = 0; i < all.size(); ++i) {
    all[i].local = table.addresses[i / table.shard_count];
    all[i].shard = static_cast<std::uint16_t>(i % table.shard_count);
    for (const Interface& interface : state_->config.interfaces) {
      const auto has = [&](const auto& address) { return address.local == all[i].local; };
      if (std::none_of(interface.addresses.begin(), interface.addresses.end(), has)) continue;
      all[i].interfaces += (all[i].interfaces.empty() ? "" : ", ") + interface.name;
    }
  }
  for (std::uint32_t handle = 0; handle < table.pairs.size(); ++handle) {
    PortSliceUsage& slice = all[table.slice_index(handle)];
    const std::uint16_t rtp = table.local_of(handle, 0).port;
    if (slice.port_min == 0) slice.port_min = rtp;
    slice.port_max = static_cast<std::uint16_t>(rtp + 1);
    const PairState state = table.pairs[handle].state;
    const bool free = state == PairState::kUnbound || state == PairState::kParked;
    slice.free += free ? 2 : 0;
    slice.taken += state == PairState::kInUse ? 2 : 0;
    slice.quarantined += state == PairState::kQuarantined ? 2 : 0;
    slice.of_others += state == PairState::kSetAside ? 2 : 0;
  }
  return all;
}

}  // namespace turnpike
