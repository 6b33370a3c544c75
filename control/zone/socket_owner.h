// Which account holds the other end of a loopback TCP connection, as the kernel knows it.
#pragma once

#include <optional>

#include <sys/types.h>

#include "turnpike/address.h"

namespace turnpike::zone {

/// The owner of the socket of this host that is bound to `local` and connected to `remote`. Unset
/// when there is none, or none any more: a socket that its process has closed belongs to nobody,
/// although the kernel would say root.
std::optional<uid_t> owner_of(const SocketAddress& local, const SocketAddress& remote);

}  // namespace turnpike::zone
