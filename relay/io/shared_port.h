// Sockets that share one address and port, one for each shard. Private to relay/io.
#pragma once

#include <cstddef>
#include <vector>

#include "turnpike/address.h"
#include "turnpike/result.h"

namespace turnpike {

bool set_option(int fd, int level, int name, int value);

/// Of errno: what could not be done, at which address, why.
Error error_at(const SocketAddress& address, const char* what);

/// `shards` bound sockets; `open` makes each, or gives -1.
Result<std::vector<int>> bind_group(const SocketAddress& local, std::size_t shards,
                                    int (*open)(AddressFamily family));

}  // namespace turnpike
