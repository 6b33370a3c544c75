// Sockets that many sessions share: those of the flows of a traversal pair, and those at which the
// clients of a TURN server ask.
#pragma once

#include <cstdint>
#include <vector>

#include "turnpike/address.h"
#include "turnpike/result.h"

namespace turnpike {

/// One socket for each shard at one address and port. The kernel gives all datagrams of one source
/// to the same shard.
Result<std::vector<int>> open_shared_port(const SocketAddress& local, std::size_t shards);

/// As above, but it gives a datagram with a header to the shard that the byte at `shard_offset`
/// names, and every other one to the first shard.
Result<std::vector<int>> open_flow_port(const SocketAddress& local, std::size_t shards,
                                        std::size_t shard_offset);

/// A socket at any port, connected to an edge's port.
Result<int> open_flow_to(const SocketAddress& remote);

}  // namespace turnpike
