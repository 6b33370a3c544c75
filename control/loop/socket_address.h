// Between SocketAddress and the socket API's sockaddr.
#pragma once

#include <sys/socket.h>

#include "turnpike/address.h"

namespace turnpike::loop {

/// AF_UNSPEC when the address has no IP. IPv6 scopes are not kept.
sockaddr_storage to_sockaddr(const SocketAddress& address);
/// Unset for families other than AF_INET and AF_INET6.
SocketAddress from_sockaddr(const sockaddr* address);
/// What the socket calls take: a pointer to any member of the sockaddr family.
template <typename Address>
const sockaddr* as_sockaddr(const Address& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}
template <typename Address>
sockaddr* as_sockaddr(Address& address) {
  return reinterpret_cast<sockaddr*>(&address);
}

/// The size that bind(), connect() and sendto() want for what to_sockaddr() made.
socklen_t length_of(const sockaddr_storage& address);

}  // namespace turnpike::loop
