// Media sockets ahead of need: UDP sockets bound in RTP/RTCP pairs inside the configured range.
// Hides: which ports are bound, random choice, quarantine, the slice of each shard, descriptors,
// what the holder keeps. This is the port_source seam: the only place that opens media sockets.
// Used by the control thread only. A free socket stays bound and is "parked" (media_socket.h): it
// answers a port scan as one in use does and holds next to no memory.
//
// A slice keeps a stock of parked pairs, bound in random order, and gives out a random one; when
// half of the stock is gone it binds a chunk more; stock_up() fills it while there is time. So
// sockets grow with the load, not with the range, and once bound a pair is never closed before the
// pool is.
// docs/adr/0003-ports-bound-ahead.md says why.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "turnpike/config.h"
#include "turnpike/ids.h"
#include "turnpike/port_usage.h"
#include "turnpike/relay.h"
#include "turnpike/result.h"
#include "turnpike/time.h"

namespace turnpike {

class HolderClient;

/// The handle of no pair.
constexpr std::uint32_t kNoPorts = 0xffffffff;

/// Two bound sockets: RTP on an even port, RTCP on the next. Descriptors belong to the pool.
struct PortPair {
  std::uint32_t handle = kNoPorts;  ///< names the pair in release()
  std::array<SocketAddress, 2> local{};
  std::array<int, 2> fd{-1, -1};
};

/// How the pool grows; the defaults were measured (bench/micro/port_pool_bench.cc).
struct PortPoolTuning {
  std::uint32_t chunk_pairs = 32;  ///< bound at once while less than half of the stock is there
  /// Parked per local address, shared out between the shards.
  std::uint32_t stock_pairs = kPortPairsInStock;
  Seconds set_aside{30};  ///< how long a port that could not be bound is left alone
};

class PortPool {
 public:
  /// `holder` may be null; it outlives the pool. The pairs of the range are cut into `shards`
  /// equal consecutive slices. Uses descriptors up to RLIMIT_NOFILE's soft limit minus a reserve
  /// of 256 (or half, when it is lower than 512) for everybody else.
  PortPool(const RelayConfig& config, std::size_t shards, HolderClient* holder,
           const PortPoolTuning& tuning = {});
  ~PortPool();
  PortPool(const PortPool&) = delete;
  PortPool& operator=(const PortPool&) = delete;

  /// So many more descriptors are for somebody else, half of all at most. Before any is used.
  void leave_for_others(std::uint64_t descriptors);

  /// Takes a random free pair of the shard's slice on one of the interface's addresses of that
  /// family, binding a few more when the stock is low. `dscp` (0-63) is set on both sockets.
  /// What arrived before is never delivered. Fails with kOutOfPorts, kOutOfDescriptors or
  /// kBadSpec (no such shard, interface, family or code point); then nothing is held.
  Result<PortPair> acquire(std::size_t shard, std::size_t interface, AddressFamily family,
                           std::uint8_t dscp, Instant now, OpenFailure& failure);
  /// A pair of the other family beside `first`, of the same slice: with its port numbers if they
  /// are parked, else any. Nothing when the interface has no such address or no pair is free;
  /// nobody's session is refused by that, and none is counted.
  std::optional<PortPair> acquire_beside(const PortPair& first, std::size_t shard,
                                         std::size_t interface, std::uint8_t dscp, Instant now);
  /// Parks the pair, drains it, and quarantines it for RelayConfig::port_quarantine. Nobody reads
  /// or polls its descriptors any more when this is called.
  void release(std::uint32_t handle, Instant now);

  /// Looks after a part of the parked sockets: silences those that unsolicited packets reach.
  /// Call it about ten times a second while idle, too; bounded work (up to 512 sockets).
  void tend(Instant now);

  /// Binds a few chunks ahead where a stock is not full, so that a burst of calls finds it full;
  /// uses half of the descriptors at most. Call it where nobody waits; bounded work.
  void stock_up(Instant now);

  /// Takes over a socket that the holder kept. True when it is in range, bound to one of our
  /// addresses and not known yet: then the pool owns `fd`, otherwise the caller still does.
  bool adopt(int fd);
  /// After adopt(): the pair bound to this RTP address is in use by an adopted session. What
  /// arrived meanwhile still lies in its sockets.
  Result<PortPair> claim(const SocketAddress& rtp_local);
  /// After claim(): parks and quarantines every adopted pair that nobody claimed. The first
  /// acquire() does it if it was forgotten.
  void settle(Instant now);

  /// Gives every socket into the keeping of `holder` (a new one, or one that was reset), which
  /// is used from then on; null: none any more.
  Result<void> keep_all(HolderClient* holder);
  /// False when the holder did not take a socket: a crash would now lose calls. See keep_all().
  bool all_kept() const;
  const std::string& keep_error() const;  ///< why the holder did not take the last one refused

  /// Counts ports, not pairs; sessions and sessions_max stay 0.
  RelayUsage usage() const;
  /// The same by address and shard. Looks at every pair: for who asks now and then.
  std::vector<PortSliceUsage> slices() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace turnpike
