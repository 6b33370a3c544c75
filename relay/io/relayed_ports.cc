// A handle is the place's index times the range's ports, plus the port's index in the range.
#include "relay/io/relayed_ports.h"

#include <algorithm>
#include <limits>

#include <sys/resource.h>
#include <unistd.h>

#include "relay/core/check.h"
#include "relay/io/tcp_stream.h"

namespace turnpike {
namespace {

constexpr int kRandomTries = 16;            // before every port is looked at, from a random one on
constexpr int kBindTries = 8;               // ports that others have, for one asker
constexpr rlim_t kDescriptorReserve = 256;  // for calls, control and everybody else
constexpr std::uint32_t kBusy = 1;          // a reservation's name while it is written or read

// Below this descriptors may be used; what media needs was raised before the relay was started.
int descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  constexpr rlim_t kMax = std::numeric_limits<int>::max();
  const rlim_t most = std::min(limit.rlim_cur, kMax);
  return static_cast<int>(most - std::min(kDescriptorReserve, most / 2));
}

std::uint32_t seconds_of(Instant now) {
  return static_cast<std::uint32_t>(
      std::chrono::duration_cast<Seconds>(now.time_since_epoch()).count());
}

}  // namespace

RelayedPortTable::RelayedPortTable(std::vector<Place> places, std::uint16_t port_min,
                                   std::uint16_t port_max, Seconds quarantine)
    : places_(std::move(places)),
      port_min_(port_min),
      port_max_(port_max),
      quarantine_(quarantine) {
  CHECK(port_min_ != 0 && port_min_ <= port_max_);
  free_at_ = std::make_unique<std::atomic<std::uint32_t>[]>(places_.size() * count());
}

RelayedPortTable::~RelayedPortTable() {
  for (const Reservation& reservation : reservations_) {
    if (reservation.name.load() != 0) close(reservation.port.fd);
  }
}

void RelayedPortTable::give_back(const RelayedPort& port, Instant now) {
  close(port.fd);
  // Rounded up, so that it rests no shorter than that.
  state(port.handle)
      .store(quarantine_.count() == 0 ? 0 : seconds_of(now + quarantine_) + 1,
             std::memory_order_release);
}

std::uint32_t RelayedPortTable::reserve(const RelayedPort& port) {
  for (std::uint32_t i = 0; i < kReservationsMax; ++i) {
    std::uint32_t free = 0;
    if (!reservations_[i].name.compare_exchange_strong(free, kBusy, std::memory_order_acquire)) {
      continue;
    }
    reservations_[i].port = port;
    // Two of one place come 2^24 reservations apart.
    const std::uint32_t serial = last_name_.fetch_add(1, std::memory_order_relaxed) + 1;
    const std::uint32_t name = (std::max(serial & 0xffffffU, 1U) << 8) | i;
    reservations_[i].name.store(name, std::memory_order_release);
    return name;
  }
  return 0;
}

std::optional<RelayedPort> RelayedPortTable::take(std::uint32_t reservation) {
  if (reservation >> 8 == 0) return std::nullopt;
  Reservation& place = reservations_[reservation & 0xff];
  std::uint32_t name = reservation;
  if (!place.name.compare_exchange_strong(name, kBusy, std::memory_order_acquire)) {
    return std::nullopt;
  }
  const RelayedPort port = place.port;
  place.name.store(0, std::memory_order_release);
  return port;
}

bool RelayedPortTable::is_of_streams(const SocketAddress& local) const {
  if (local.port < port_min_ || local.port > port_max_) return false;
  for (std::uint32_t i = 0; i < places_.size(); ++i) {
    if (places_[i].local != local.ip) continue;
    const std::uint32_t handle = i * count() + local.port - port_min_;
    return state(handle).load(std::memory_order_relaxed) == kTakenForStreams;
  }
  return false;
}

RelayedPortSlice::RelayedPortSlice(RelayedPortTable& table, std::size_t shard, std::size_t shards)
    : table_(table), descriptor_max_(descriptor_limit()) {
  CHECK(shard < shards);
  options_.set_receive_buffer = false;
  // Cut between pairs, so that the port above an even one is of the same slice.
  const std::size_t pair_min = table.port_min_ / 2;
  const std::size_t pairs = table.port_max_ / 2U + 1U - pair_min;
  const std::size_t begin = pair_min + pairs * shard / shards;
  const std::size_t end = pair_min + pairs * (shard + 1) / shards;
  if (begin == end) return;
  first_ = std::max(table.port_min_, static_cast<std::uint16_t>(begin * 2));
  last_ = std::min(table.port_max_, static_cast<std::uint16_t>(end * 2 - 1));
}

bool RelayedPortSlice::fits(std::uint32_t handle, bool even, bool with_next, Instant now) const {
  const auto is_free = [&](std::uint32_t one) {
    return table_.state(one).load(std::memory_order_acquire) <= seconds_of(now);
  };
  if (!is_free(handle)) return false;
  const std::uint32_t port = table_.port_min_ + handle % table_.count();
  if ((even || with_next) && port % 2 != 0) return false;
  return !with_next || (port < last_ && is_free(handle + 1));
}

std::optional<std::uint32_t> RelayedPortSlice::choose(AddressFamily family, bool even,
                                                      bool with_next, Instant now) {
  if (last_ < first_) return std::nullopt;
  const std::uint32_t each = last_ - first_ + 1U;
  std::vector<std::uint32_t> begins;  // of the slice at each place of this family
  for (std::uint32_t i = 0; i < table_.places_.size(); ++i) {
    if (table_.places_[i].local.family != family) continue;
    begins.push_back(i * table_.count() + first_ - table_.port_min_);
  }
  const auto ports = static_cast<std::uint32_t>(begins.size()) * each;
  if (ports == 0) return std::nullopt;
  const auto handle_of = [&](std::uint32_t i) { return begins[i / each] + i % each; };
  for (int i = 0; i < kRandomTries; ++i) {
    const std::uint32_t handle = handle_of(random_.below(ports));
    if (fits(handle, even, with_next, now)) return handle;
  }
  const std::uint32_t start = random_.below(ports);
  for (std::uint32_t i = 0; i < ports; ++i) {
    const std::uint32_t handle = handle_of((start + i) % ports);
    if (fits(handle, even, with_next, now)) return handle;
  }
  return std::nullopt;
}

bool RelayedPortSlice::bind(std::uint32_t handle, RelayedPort& port, RelayedKind kind,
                            Instant now) {
  const RelayedPortTable::Place& place = table_.places_[handle / table_.count()];
  port.handle = handle;
  port.local = {place.local,
                static_cast<std::uint16_t>(table_.port_min_ + handle % table_.count())};
  port.advertised = place.advertised;
  const bool streams = kind == RelayedKind::kStreams;
  const BindOutcome outcome = streams ? open_relayed_listener(port.local, port.fd)
                                      : open_media_socket(port.local, options_, port.fd);
  if (outcome == BindOutcome::kBound && port.fd < descriptor_max_) {
    table_.state(handle).store(
        streams ? RelayedPortTable::kTakenForStreams : RelayedPortTable::kTaken,
        std::memory_order_relaxed);
    return true;
  }
  if (outcome == BindOutcome::kBound) close(port.fd);
  port.fd = -1;
  out_of_descriptors_ = outcome == BindOutcome::kBound || outcome == BindOutcome::kOutOfDescriptors;
  if (!out_of_descriptors_) table_.state(handle).store(seconds_of(now + kSetAside) + 1);
  return false;
}

std::optional<RelayedPort> RelayedPortSlice::open(AddressFamily family, bool even,
                                                  RelayedPort* next, Instant now,
                                                  RelayedKind kind) {
  out_of_descriptors_ = false;
  for (int i = 0; i < kBindTries && !out_of_descriptors_; ++i) {
    const auto handle = choose(family, even, next != nullptr, now);
    if (!handle) return std::nullopt;
    RelayedPort port;
    if (!bind(*handle, port, kind, now)) continue;
    if (next == nullptr || bind(*handle + 1, *next, kind, now)) return port;
    close(port.fd);
    table_.state(*handle).store(0);  // nobody has seen it
  }
  return std::nullopt;
}

}  // namespace turnpike
