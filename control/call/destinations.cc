// Implements destinations.h.
#include "control/call/destinations.h"

#include <algorithm>

namespace turnpike::call {
namespace {

constexpr std::uint16_t kPortMin = 1024;

/// The IPv4 address that an IPv6 address carries to whoever translates it: IPv4-compatible
/// (RFC 4291), 6to4 (RFC 3056), NAT64 (RFC 6052), ISATAP (RFC 5214). Others as they are.
IpAddress embedded_or_self(const IpAddress& ip) {
  if (!ip.is_v6()) return ip;
  const auto& b = ip.bytes;
  const auto from = [&b](std::size_t i) {
    return IpAddress::v4(b[i], b[i + 1], b[i + 2], b[i + 3]);
  };
  const auto zero = [&b](std::size_t begin, std::size_t end) {
    return std::all_of(b.begin() + static_cast<std::ptrdiff_t>(begin),
                       b.begin() + static_cast<std::ptrdiff_t>(end),
                       [](std::uint8_t byte) { return byte == 0; });
  };
  if (zero(0, 12)) return ip.is_loopback() || ip.is_unspecified() ? ip : from(12);
  if (b[0] == 0x20 && b[1] == 0x02) return from(2);
  if (b[0] == 0 && b[1] == 0x64 && b[2] == 0xff && b[3] == 0x9b && zero(4, 12)) return from(12);
  const bool isatap = (b[8] & 0xfd) == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe;
  return isatap ? from(12) : ip;
}

bool is_link_local(const IpAddress& ip) {
  const auto& b = ip.bytes;
  if (ip.is_v4()) return b[0] == 169 && b[1] == 254;
  return ip.is_v6() && b[0] == 0xfe && (b[1] & 0xc0) == 0x80;
}

bool is_no_host(const IpAddress& ip) {
  // "This network" and the reserved block with the broadcast address (RFC 6890).
  if (ip.is_v4()) return ip.bytes[0] == 0 || ip.bytes[0] >= 240;
  return !ip.is_set() || ip.is_unspecified();
}

template <typename Is>
bool has_address(const Interface& interface, Is is) {
  return std::any_of(interface.addresses.begin(), interface.addresses.end(),
                     [&](const InterfaceAddress& a) { return is(a.local); });
}

}  // namespace

bool Destinations::requires_srtp(std::uint16_t interface_index) const {
  return config_.srtp_interfaces.contains(config_.interfaces[interface_index].name);
}

bool Destinations::is_own(const IpAddress& ip) const {
  const auto& host = config_.host_addresses;
  if (std::find(host.begin(), host.end(), ip) != host.end()) return true;
  return std::any_of(config_.interfaces.begin(), config_.interfaces.end(), [&](const auto& one) {
    return std::any_of(one.addresses.begin(), one.addresses.end(),
                       [&](const auto& a) { return a.local == ip || a.advertised == ip; });
  });
}

const InterfaceAddress* Destinations::relay_of(const SocketAddress& address) const {
  const OwnRelays& relays = config_.relays;
  if (address.port < relays.port_min || address.port > relays.port_max) return nullptr;
  const auto found =
      std::find_if(relays.addresses.begin(), relays.addresses.end(),
                   [&](const InterfaceAddress& one) { return one.advertised == address.ip; });
  return found == relays.addresses.end() ? nullptr : &*found;
}

SocketAddress Destinations::route(const SocketAddress& address) const {
  const InterfaceAddress* const relay = relay_of(address);
  return relay == nullptr ? address : SocketAddress{relay->local, address.port};
}

std::string_view Destinations::refusal(std::uint16_t interface_index,
                                       const SocketAddress& address) const {
  const Interface& interface = config_.interfaces[interface_index];
  const IpAddress ip = embedded_or_self(address.ip);
  if (is_no_host(ip)) return "media address is no host's";
  if (ip.is_multicast()) return "multicast is not relayed";
  if (ip.is_loopback() && !has_address(interface, [](auto& a) { return a.is_loopback(); })) {
    return "media address is a loopback address";
  }
  if (is_link_local(ip) && !has_address(interface, is_link_local)) {
    return "media address is link-local";
  }
  if (address.port < kPortMin) return "media port is below 1024";
  const bool is_media_port =
      address.port >= config_.media_port_min && address.port <= config_.media_port_max;
  // An inside server may rightly pass on what we told it of another call (direct media).
  if (is_media_port && requires_srtp(interface_index) && is_own(ip)) {
    return "media address is one of the relay's own";
  }
  return {};
}

bool Destinations::needs_proof(std::uint16_t interface_index, const SocketAddress& address) const {
  if (!address.is_set() || !requires_srtp(interface_index)) return false;
  const IpAddress ip = embedded_or_self(address.ip);
  if (is_own(ip)) return true;
  const std::string& name = config_.interfaces[interface_index].name;
  return std::any_of(config_.networks.begin(), config_.networks.end(), [&](const auto& entry) {
    return entry.first != name &&
           std::any_of(entry.second.begin(), entry.second.end(),
                       [&](const Network& network) { return network.contains(ip); });
  });
}

}  // namespace turnpike::call
