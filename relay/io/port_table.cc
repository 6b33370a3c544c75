// The bookkeeping of port_table.h.
#include "relay/io/port_table.h"

#include "relay/core/check.h"

namespace turnpike {

PortTable::PortTable(const RelayConfig& config, std::size_t shards)
    : port_min(config.port_min),
      port_max(config.port_max),
      shard_count(shards),
      pairs_per_address((std::uint32_t{config.port_max} - config.port_min + 1) / 2) {
  CHECK(shards > 0 && port_min % 2 == 0 && port_min < port_max);
  for (const Interface& interface : config.interfaces) {
    auto& by_family = addresses_by_interface.emplace_back();
    for (const InterfaceAddress& address : interface.addresses) {
      const auto [known, is_new] = address_by_ip.try_emplace(address.local, addresses.size());
      if (is_new) addresses.push_back(address.local);
      by_family[address.local.is_v4() ? 0 : 1].push_back(static_cast<std::uint32_t>(known->second));
    }
  }
  pairs.resize(addresses.size() * pairs_per_address);
  slices.resize(addresses.size() * shards);
  for (std::uint32_t handle = 0; handle < pairs.size(); ++handle) {
    put(slice_of(handle).unbound, handle, PairState::kUnbound);
  }
}

SocketAddress PortTable::local_of(std::uint32_t handle, std::size_t component) const {
  const auto port = port_min + 2 * (handle % pairs_per_address) + component;
  return {addresses[address_of(handle)], static_cast<std::uint16_t>(port)};
}

std::size_t PortTable::slice_index(std::uint32_t handle) const {
  // Slice s begins at pair s * pairs / shards, rounded down; this is the inverse of it.
  const std::uint64_t pair = handle % pairs_per_address;
  const std::uint64_t shard = ((pair + 1) * shard_count - 1) / pairs_per_address;
  return address_of(handle) * shard_count + shard;
}

std::optional<std::uint32_t> PortTable::find(const SocketAddress& local) const {
  const auto address = address_by_ip.find(local.ip);
  if (address == address_by_ip.end()) return std::nullopt;
  if (local.port < port_min || local.port > port_max) return std::nullopt;
  const std::uint32_t pair = (std::uint32_t{local.port} - port_min) / 2;
  return static_cast<std::uint32_t>(address->second) * pairs_per_address + pair;
}

void PortTable::put(PairList& list, std::uint32_t handle, PairState state) {
  pairs[handle].position = static_cast<std::uint32_t>(list.size());
  pairs[handle].state = state;
  list.push_back(handle);
}

void PortTable::take(PairList& list, std::uint32_t handle, PairState state) {
  const std::uint32_t position = pairs[handle].position;
  DCHECK(list[position] == handle);
  list[position] = list.back();
  pairs[list[position]].position = position;
  list.pop_back();
  pairs[handle].state = state;
}

void PortTable::queue(std::deque<std::uint32_t>& line, std::uint32_t handle, PairState state,
                      Instant ready) {
  pairs[handle].state = state;
  pairs[handle].ready = ready;
  line.push_back(handle);
}

void PortTable::ripen(Instant now) {
  while (!quarantine.empty() && pairs[quarantine.front()].ready <= now) {
    put(slice_of(quarantine.front()).parked, quarantine.front(), PairState::kParked);
    quarantine.pop_front();
  }
  while (!set_aside.empty() && pairs[set_aside.front()].ready <= now) {
    put(slice_of(set_aside.front()).unbound, set_aside.front(), PairState::kUnbound);
    set_aside.pop_front();
  }
}

}  // namespace turnpike
