// Implements include/turnpike/address.h.
#include "turnpike/address.h"

#include <algorithm>
#include <charconv>
#include <cstring>

#include <arpa/inet.h>

namespace turnpike {
namespace {

constexpr std::array<std::uint8_t, 12> kMappedPrefix = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

std::size_t hash_bytes(const std::uint8_t* data, std::size_t size, std::uint64_t seed) {
  std::uint64_t hash = seed ^ 0x9e3779b97f4a7c15ULL;
  for (std::size_t i = 0; i < size; i += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, data + i, std::min<std::size_t>(8, size - i));
    hash = (hash ^ word) * 0xff51afd7ed558ccdULL;
    hash ^= hash >> 32;
  }
  return static_cast<std::size_t>(hash);
}

}  // namespace

bool IpAddress::is_unspecified() const {
  return is_set() && std::all_of(bytes.begin(), bytes.end(), [](auto byte) { return byte == 0; });
}

bool IpAddress::is_loopback() const {
  if (is_v4()) return bytes[0] == 127;
  return is_v6() && bytes[15] == 1 &&
         std::all_of(bytes.begin(), bytes.begin() + 15, [](auto byte) { return byte == 0; });
}

bool IpAddress::is_multicast() const {
  return is_v4() ? (bytes[0] & 0xf0) == 0xe0 : is_v6() && bytes[0] == 0xff;
}

Result<IpAddress> parse_ip(std::string_view text) {
  char buffer[INET6_ADDRSTRLEN] = {};
  if (text.size() >= sizeof buffer) return Error{"not an IP address: too long"};
  std::memcpy(buffer, text.data(), text.size());
  IpAddress ip;
  if (inet_pton(AF_INET, buffer, ip.bytes.data()) == 1) {
    ip.family = AddressFamily::kIpv4;
    return ip;
  }
  if (inet_pton(AF_INET6, buffer, ip.bytes.data()) != 1) {
    return Error{"not an IP address: '" + std::string(text) + "'"};
  }
  ip.family = AddressFamily::kIpv6;
  if (std::equal(kMappedPrefix.begin(), kMappedPrefix.end(), ip.bytes.begin())) {
    return IpAddress::v4(ip.bytes[12], ip.bytes[13], ip.bytes[14], ip.bytes[15]);
  }
  return ip;
}

Result<SocketAddress> parse_socket_address(std::string_view text) {
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos) {
    return Error{"'" + std::string(text) + "' has no port; write ADDRESS:PORT"};
  }
  std::string_view host = text.substr(0, colon);
  const std::string_view port_text = text.substr(colon + 1);
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return Error{"'" + std::string(text) + "': write an IPv6 address in brackets, [::1]:5061"};
  }
  unsigned port = 0;
  const auto [end, failure] =
      std::from_chars(port_text.data(), port_text.data() + port_text.size(), port);
  if (failure != std::errc{} || end != port_text.data() + port_text.size() || port == 0 ||
      port > 65535) {
    return Error{"'" + std::string(text) + "': the port must be 1-65535"};
  }
  auto ip = parse_ip(host);
  if (!ip) return ip.error();
  return SocketAddress{*ip, static_cast<std::uint16_t>(port)};
}

std::string to_string(const IpAddress& ip) {
  if (!ip.is_set()) return "none";
  char buffer[INET6_ADDRSTRLEN] = {};
  inet_ntop(ip.is_v4() ? AF_INET : AF_INET6, ip.bytes.data(), buffer, sizeof buffer);
  return buffer;
}

std::string to_string(const SocketAddress& address) {
  const std::string ip = to_string(address.ip);
  return (address.ip.is_v6() ? "[" + ip + "]" : ip) + ":" + std::to_string(address.port);
}

}  // namespace turnpike

std::size_t std::hash<turnpike::IpAddress>::operator()(
    const turnpike::IpAddress& ip) const noexcept {
  return turnpike::hash_bytes(ip.bytes.data(), ip.bytes.size(),
                              static_cast<std::uint64_t>(ip.family));
}
