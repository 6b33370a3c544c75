// Which pair of ports is where: pure bookkeeping of the port pool, no system calls.
// Every pair is in exactly one place: unbound or parked in its slice, in use, in the quarantine
// queue, set aside, or adopted and not settled yet. Every step is O(1), the queues amortised.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <optional>
#include <unordered_map>
#include <vector>

#include "turnpike/config.h"
#include "turnpike/time.h"

namespace turnpike {

enum class PairState : std::uint8_t {
  kUnbound,
  kParked,
  kInUse,
  kQuarantined,
  kSetAside,
  kAdopted,
};

struct PortPairRecord {
  std::array<int, 2> fd{-1, -1};
  std::uint32_t position = 0;  ///< in its slice's list, while unbound or parked
  PairState state = PairState::kUnbound;
  std::uint8_t dscp = 0xff;  ///< as last set; 0xff = unknown
  bool filtered = false;     ///< both sockets have the drop filter
  bool fresh = false;        ///< both sockets are bound but were neither parked nor used yet
  Instant ready{};           ///< end of quarantine or of being set aside
};

/// Handles of pairs.
using PairList = std::vector<std::uint32_t>;

/// The free pairs of one local address that one shard may use.
struct PortSlice {
  PairList unbound;
  PairList parked;
};

struct PortTable {
  /// `shards` > 0. Addresses that several interfaces name are one.
  PortTable(const RelayConfig& config, std::size_t shards);

  std::size_t address_of(std::uint32_t handle) const { return handle / pairs_per_address; }
  SocketAddress local_of(std::uint32_t handle, std::size_t component) const;
  std::optional<std::uint32_t> find(const SocketAddress& local) const;
  std::size_t slice_index(std::uint32_t handle) const;
  PortSlice& slice_of(std::uint32_t handle) { return slices[slice_index(handle)]; }
  PortSlice& slice_at(std::size_t address, std::size_t shard) {
    return slices[address * shard_count + shard];
  }

  /// Into one of its slice's lists, or out of the one that it is in; `state` says where it is then.
  void put(PairList& list, std::uint32_t handle, PairState state);
  void take(PairList& list, std::uint32_t handle, PairState state);
  /// Into the quarantine or set_aside until `ready`, which never goes back within a queue.
  void queue(std::deque<std::uint32_t>& line, std::uint32_t handle, PairState state, Instant ready);
  /// Out of the queues what is ready: to parked and to unbound.
  void ripen(Instant now);

  std::uint16_t port_min;
  std::uint16_t port_max;
  std::size_t shard_count;
  std::uint32_t pairs_per_address;
  std::vector<IpAddress> addresses;
  std::unordered_map<IpAddress, std::size_t> address_by_ip;
  /// By interface, then family (0: IPv4, 1: IPv6): positions in `addresses`.
  std::vector<std::array<std::vector<std::uint32_t>, 2>> addresses_by_interface;
  std::vector<PortPairRecord> pairs;  ///< by handle
  std::vector<PortSlice> slices;      ///< by address, then shard
  std::deque<std::uint32_t> quarantine;
  std::deque<std::uint32_t> set_aside;
};

}  // namespace turnpike
