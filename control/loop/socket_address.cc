// The one place that reads and writes sockaddr_in and sockaddr_in6.
#include "control/loop/socket_address.h"

#include <algorithm>
#include <cstring>

#include <arpa/inet.h>
#include <netinet/in.h>

namespace turnpike::loop {

sockaddr_storage to_sockaddr(const SocketAddress& address) {
  sockaddr_storage storage{};
  if (address.ip.is_v4()) {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_port = htons(address.port);
    std::memcpy(&in.sin_addr, address.ip.bytes.data(), sizeof in.sin_addr);
    std::memcpy(&storage, &in, sizeof in);
  } else if (address.ip.is_v6()) {
    sockaddr_in6 in{};
    in.sin6_family = AF_INET6;
    in.sin6_port = htons(address.port);
    std::memcpy(&in.sin6_addr, address.ip.bytes.data(), sizeof in.sin6_addr);
    std::memcpy(&storage, &in, sizeof in);
  }
  return storage;
}

SocketAddress from_sockaddr(const sockaddr* address) {
  SocketAddress result;
  if (address == nullptr) return result;
  if (address->sa_family == AF_INET) {
    sockaddr_in in{};
    std::memcpy(&in, address, sizeof in);
    result.ip.family = AddressFamily::kIpv4;
    std::memcpy(result.ip.bytes.data(), &in.sin_addr, sizeof in.sin_addr);
    result.port = ntohs(in.sin_port);
  } else if (address->sa_family == AF_INET6) {
    sockaddr_in6 in{};
    std::memcpy(&in, address, sizeof in);
    result.port = ntohs(in.sin6_port);
    const auto* bytes = in.sin6_addr.s6_addr;
    if (IN6_IS_ADDR_V4MAPPED(&in.sin6_addr)) {
      result.ip = IpAddress::v4(bytes[12], bytes[13], bytes[14], bytes[15]);
    } else {
      result.ip.family = AddressFamily::kIpv6;
      std::copy_n(bytes, result.ip.bytes.size(), result.ip.bytes.begin());
    }
  }
  return result;
}

socklen_t length_of(const sockaddr_storage& address) {
  if (address.ss_family == AF_INET) return sizeof(sockaddr_in);
  if (address.ss_family == AF_INET6) return sizeof(sockaddr_in6);
  return sizeof(sockaddr_storage);
}

}  // namespace turnpike::loop
