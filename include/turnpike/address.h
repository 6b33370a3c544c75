// IP addresses and transport addresses as plain data: trivially copyable, comparable, hashable,
// independent of the socket API.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "turnpike/result.h"

namespace turnpike {

enum class AddressFamily : std::uint8_t { kNone = 0, kIpv4 = 4, kIpv6 = 6 };

/// An IPv4 or IPv6 address, or none. IPv4 lies in the first four bytes; the rest is zero.
/// An IPv4-mapped IPv6 address (::ffff:a.b.c.d) is stored as the IPv4 address that it names.
struct IpAddress {
  std::array<std::uint8_t, 16> bytes{};
  AddressFamily family = AddressFamily::kNone;

  static IpAddress v4(std::uint8_t a, std::uint8_t b, std::uint8_t c, std::uint8_t d) {
    return IpAddress{{a, b, c, d}, AddressFamily::kIpv4};
  }

  bool is_set() const { return family != AddressFamily::kNone; }
  bool is_v4() const { return family == AddressFamily::kIpv4; }
  bool is_v6() const { return family == AddressFamily::kIpv6; }
  /// 0.0.0.0 or :: (in SDP: an RFC 3264 section 8.4 "hold" by null connection address).
  bool is_unspecified() const;
  bool is_loopback() const;
  bool is_multicast() const;

  auto operator<=>(const IpAddress&) const = default;
};

/// A transport address (RFC 8489 section 4): an IP address and a port. Port 0 means "none".
struct SocketAddress {
  IpAddress ip;
  std::uint16_t port = 0;

  bool is_set() const { return ip.is_set() && port != 0; }
  auto operator<=>(const SocketAddress&) const = default;
};

/// Parses a literal address without brackets, scope or port: "192.0.2.1", "2001:db8::1".
Result<IpAddress> parse_ip(std::string_view text);
/// Parses "192.0.2.1:5061" or "[2001:db8::1]:5061"; the port must be 1-65535.
Result<SocketAddress> parse_socket_address(std::string_view text);

/// "192.0.2.1", "2001:db8::1"; "none" when unset.
std::string to_string(const IpAddress& ip);
/// "192.0.2.1:36000", "[2001:db8::1]:36000".
std::string to_string(const SocketAddress& address);

}  // namespace turnpike

template <>
struct std::hash<turnpike::IpAddress> {
  std::size_t operator()(const turnpike::IpAddress& ip) const noexcept;
};
