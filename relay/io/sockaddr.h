// Between SocketAddress and the kernel's sockaddr.
#pragma once

#include <cstring>

#include <netinet/in.h>
#include <sys/socket.h>

#include "relay/core/bytes.h"
#include "turnpike/address.h"

namespace turnpike {

/// Fills `out`, returns its length; 0 for an unset address.
inline socklen_t to_sockaddr(const SocketAddress& address, sockaddr_storage& out) {
  if (address.ip.is_v4()) {
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    v4.sin_port = htons(address.port);
    std::memcpy(&v4.sin_addr, address.ip.bytes.data(), 4);
    std::memcpy(&out, &v4, sizeof v4);
    return sizeof v4;
  }
  if (!address.ip.is_v6()) return 0;
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(address.port);
  std::memcpy(&v6.sin6_addr, address.ip.bytes.data(), 16);
  std::memcpy(&out, &v6, sizeof v6);
  return sizeof v6;
}

/// What the socket calls want to see.
inline sockaddr* as_sockaddr(sockaddr_storage& storage) {
  return reinterpret_cast<sockaddr*>(&storage);
}
inline const sockaddr* as_sockaddr(const sockaddr_storage& storage) {
  return reinterpret_cast<const sockaddr*>(&storage);
}

/// Unset for a family that is neither IPv4 nor IPv6.
inline SocketAddress from_sockaddr(const sockaddr_storage& in) {
  SocketAddress address;
  if (in.ss_family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, &in, sizeof v4);
    address.ip.family = AddressFamily::kIpv4;
    std::memcpy(address.ip.bytes.data(), &v4.sin_addr, 4);
    address.port = ntohs(v4.sin_port);
  } else if (in.ss_family == AF_INET6) {
    sockaddr_in6 v6{};
    std::memcpy(&v6, &in, sizeof v6);
    address.ip.family = AddressFamily::kIpv6;
    std::memcpy(address.ip.bytes.data(), &v6.sin6_addr, 16);
    address.port = ntohs(v6.sin6_port);
  }
  return address;
}

}  // namespace turnpike
