#include "relay/turn/allocations.h"

#include <algorithm>
#include <bit>

#include "relay/core/bytes.h"

namespace turnpike::turn {
namespace {

bool same(const SocketTag& a, const SocketTag& b) {
  return a.slot == b.slot && a.generation == b.generation && a.side == b.side &&
         a.component == b.component;
}

// Looks at every place once, from `first` on; the first that `fits`, or null.
template <typename T, typename Fits>
T* probe(std::span<T> places, std::size_t first, Fits fits) {
  std::size_t at = first % places.size();
  for (std::size_t i = 0; i < places.size(); ++i) {
    if (fits(places[at])) return &places[at];
    if (++at == places.size()) at = 0;
  }
  return nullptr;
}

std::size_t first_place(const IpAddress& ip) {
  const std::size_t low = ip.is_v4() ? 0 : 12;
  return std::size_t{ip.bytes[low]} + ip.bytes[low + 1] + ip.bytes[low + 2] + ip.bytes[low + 3];
}

}  // namespace

Allocations::Allocations(std::uint32_t allocations_max, std::uint32_t permissions_max,
                         const SipHashKey& key)
    : key_(key),
      permissions_max_(std::clamp(permissions_max, 1U, 255U)),
      allocations_(allocations_max),
      peers_(std::size_t{allocations_max} * permissions_max_),
      channels_(std::size_t{allocations_max} * permissions_max_),
      users_(allocations_max),
      by_tuple_(std::bit_ceil(std::size_t{2} * allocations_max + 1)) {
  free_slots_.reserve(allocations_max);
}

std::size_t Allocations::bytes_each(std::uint32_t permissions_max) {
  return sizeof(Allocation) + permissions_max * (sizeof(Peer) + sizeof(Channel)) +
         sizeof(std::string) + (2 * 2 + 1) * sizeof(std::uint32_t);
}

std::uint64_t Allocations::hash_of(const Tuple& tuple) const {
  std::array<std::uint8_t, 29> message{};
  write_be32(message.data(), tuple.tag.slot);
  write_be32(message.data() + 4, tuple.tag.generation);
  message[8] = static_cast<std::uint8_t>(tuple.tag.side);
  message[9] = static_cast<std::uint8_t>(tuple.tag.component);
  if (tuple.transport == ListenerTransport::kUdp) {
    message[10] = static_cast<std::uint8_t>(tuple.client.ip.family);
    write_be16(message.data() + 11, tuple.client.port);
    std::copy(tuple.client.ip.bytes.begin(), tuple.client.ip.bytes.end(), message.begin() + 13);
  }
  return siphash_2_4(key_, message);
}

Allocation* Allocations::find(const Tuple& tuple) {
  const std::uint64_t hash = hash_of(tuple);
  for (std::size_t at = home(hash); by_tuple_[at] != 0; at = home(at + 1)) {
    Allocation& found = allocations_[by_tuple_[at] - 1];
    if (found.tuple_hash == hash && same(found.client_tag, tuple.tag) &&
        (tuple.transport != ListenerTransport::kUdp || found.client == tuple.client)) {
      return &found;
    }
  }
  return nullptr;
}

Allocation* Allocations::at(std::uint32_t slot, std::uint32_t serial) {
  if (slot >= used_slots_ || serial == 0 || allocations_[slot].serial != serial) return nullptr;
  return &allocations_[slot];
}

Allocation* Allocations::at_slot(std::uint32_t slot) {
  return slot < used_slots_ && allocations_[slot].serial != 0 ? &allocations_[slot] : nullptr;
}

Allocation* Allocations::open(const Tuple& tuple) {
  std::uint32_t slot = used_slots_;
  if (!free_slots_.empty()) {
    slot = free_slots_.back();
    free_slots_.pop_back();
  } else if (used_slots_ < allocations_.size()) {
    ++used_slots_;
  } else {
    return nullptr;
  }
  const std::uint32_t serial = std::max(allocations_[slot].last_serial + 1, 1U);
  Allocation& allocation = allocations_[slot];
  allocation = Allocation{};
  allocation.slot = slot;
  allocation.serial = serial;
  allocation.last_serial = serial;
  std::fill_n(&peers_[std::size_t{slot} * permissions_max_], permissions_max_, Peer{});
  std::fill_n(&channels_[std::size_t{slot} * permissions_max_], permissions_max_, Channel{});
  link(allocation, tuple);
  ++size_;
  return &allocation;
}

void Allocations::link(Allocation& allocation, const Tuple& tuple) {
  allocation.tuple_hash = hash_of(tuple);
  allocation.client_tag = tuple.tag;
  allocation.client = tuple.client;
  allocation.transport = tuple.transport;
  allocation.away = false;
  std::size_t at = home(allocation.tuple_hash);
  while (by_tuple_[at] != 0) at = home(at + 1);
  by_tuple_[at] = allocation.slot + 1;
}

void Allocations::rebind(Allocation& allocation, const Tuple& tuple) {
  unbind(allocation);
  link(allocation, tuple);
}

void Allocations::unbind(Allocation& allocation) {
  if (allocation.away) return;
  allocation.away = true;
  std::size_t hole = home(allocation.tuple_hash);
  while (by_tuple_[hole] != allocation.slot + 1) hole = home(hole + 1);
  // What lies behind, and may lie in the hole, moves there: no look-up ends too early.
  for (std::size_t at = home(hole + 1); by_tuple_[at] != 0; at = home(at + 1)) {
    const std::size_t wanted = home(allocations_[by_tuple_[at] - 1].tuple_hash);
    if (home(at - wanted) >= home(at - hole)) {
      by_tuple_[hole] = by_tuple_[at];
      hole = at;
    }
  }
  by_tuple_[hole] = 0;
}

void Allocations::close(Allocation& allocation) {
  unbind(allocation);
  users_[allocation.slot].clear();
  users_[allocation.slot].shrink_to_fit();
  secure_wipe(allocation.session_key.data(), allocation.session_key.size());
  allocation.serial = 0;
  free_slots_.push_back(allocation.slot);
  --size_;
}

Allocations::Counts Allocations::counts(const Allocation& allocation, Tick now) const {
  Counts counts;
  const std::size_t first = std::size_t{allocation.slot} * permissions_max_;
  for (std::size_t i = first; i < first + permissions_max_; ++i) {
    if (peers_[i].ip.is_set() && now < peers_[i].permitted_until) ++counts.permissions;
    if (channels_[i].number != 0 && now < channels_[i].until) ++counts.channels;
  }
  return counts;
}

Peer* Allocations::find_peer(const Allocation& allocation, const IpAddress& ip) {
  return probe(peers(allocation), first_place(ip),
               [&ip](const Peer& peer) { return peer.ip == ip; });
}

Channel* Allocations::find_channel(const Allocation& allocation, std::uint16_t number) {
  return probe(channels(allocation), number,
               [number](const Channel& channel) { return channel.number == number; });
}

Channel* Allocations::channel_to(const Allocation& allocation, Peer& peer, std::uint16_t port) {
  const std::span<Channel> all = channels(allocation);
  const auto index = static_cast<std::uint8_t>(&peer - peers(allocation).data());
  Channel* const found = probe(all, peer.channel, [index, port](const Channel& channel) {
    return channel.number != 0 && channel.peer == index && channel.port == port;
  });
  if (found != nullptr) peer.channel = static_cast<std::uint8_t>(found - all.data());
  return found;
}

std::uint32_t Allocations::reclaim(const Allocation& allocation, Tick now) {
  std::array<bool, 256> in_use{};
  for (Channel& channel : channels(allocation)) {
    if (channel.number != 0 && now >= channel.until) channel = {};
    if (channel.number != 0) in_use[channel.peer] = true;
  }
  std::uint32_t free = 0;
  for (std::size_t i = 0; Peer & peer : peers(allocation)) {
    if (!in_use[i++] && now >= peer.permitted_until) peer = {};
    if (!peer.ip.is_set()) ++free;
  }
  return free;
}

Peer* Allocations::add_peer(const Allocation& allocation, const IpAddress& ip) {
  Peer* const place =
      probe(peers(allocation), first_place(ip), [](const Peer& peer) { return !peer.ip.is_set(); });
  if (place != nullptr) *place = Peer{.ip = ip};
  return place;
}

bool Allocations::has_channel_room(const Allocation& allocation) {
  const std::span<const Channel> all = channels(allocation);
  return std::any_of(all.begin(), all.end(),
                     [](const Channel& channel) { return channel.number == 0; });
}

Channel* Allocations::add_channel(const Allocation& allocation, std::uint16_t number) {
  Channel* const place = probe(channels(allocation), number,
                               [](const Channel& channel) { return channel.number == 0; });
  if (place != nullptr) *place = Channel{.number = number};
  return place;
}

void Allocations::remove_peer(const Allocation& allocation, Peer& peer) {
  const auto index = static_cast<std::uint8_t>(&peer - peers(allocation).data());
  for (Channel& channel : channels(allocation)) {
    if (channel.number != 0 && channel.peer == index) channel = {};
  }
  peer = {};
}

}  // namespace turnpike::turn
