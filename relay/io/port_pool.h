// Media sockets ahead of need: UDP sockets bound in RTP/RTCP pairs inside the configured range.
// Hides: which ports are bound, random choice, quarantine, the slice of each shard, descriptors,
// what the holder keeps. This is the port_source seam: the only place that opens media sockets.
// Used by the control thread only. A free socket stays bound and is "parked": a socket filter
// makes the kernel drop what arrives, so it holds no memory and looks like one in use.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "turnpike/config.h"
#include "turnpike/ids.h"
#include "turnpike/relay.h"
#include "turnpike/result.h"
#include "turnpike/time.h"

namespace turnpike {

class HolderClient;

/// Two bound sockets: RTP on an even port, RTCP on the next. Descriptors belong to the pool.
struct PortPair {
  std::uint32_t handle = 0;  ///< names the pair in release()
  std::array<SocketAddress, 2> local{};
  std::array<int, 2> fd{-1, -1};
};

class PortPool {
 public:
  /// `holder` may be null; it outlives the pool. `shards`: slices of the range, by port modulo of
  /// equal consecutive parts. Random choice uses getrandom(2).
  PortPool(const RelayConfig& config, std::size_t shards, HolderClient* holder);
  ~PortPool();

  /// Takes a random free pair of the shard's slice on one of the interface's addresses of that
  /// family, binding a few more when none is parked. `dscp` is set on both sockets.
  /// Fails with kOutOfPorts, kOutOfDescriptors or kBadSpec (no such interface or family).
  Result<PortPair> acquire(std::size_t shard, std::size_t interface, AddressFamily family,
                           std::uint8_t dscp, Instant now, OpenFailure& failure);
  /// Parks the pair, drains it, and quarantines it for RelayConfig::port_quarantine.
  void release(std::uint32_t handle, Instant now);

  /// Takes over a socket that the holder kept. True when it is in range, bound to one of our
  /// addresses, even/odd paired with its neighbour (call for both) and not known yet.
  bool adopt(int fd);
  /// After adopt(): the pair bound to this RTP address is in use by an adopted session.
  Result<PortPair> claim(const SocketAddress& rtp_local);

  RelayUsage usage() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace turnpike
