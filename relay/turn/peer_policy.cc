#include "relay/turn/peer_policy.h"

#include <algorithm>

namespace turnpike::turn {
namespace {

struct Range {
  std::array<std::uint8_t, 16> bytes;
  std::uint8_t length;
};

// IANA's special-purpose registries (RFC 6890) and what is not globally reachable beside them.
constexpr Range kSpecialV4[] = {
    {{0}, 8},              // this network
    {{10}, 8},             // private use
    {{100, 64}, 10},       // shared address space (carrier NAT)
    {{127}, 8},            // loopback
    {{169, 254}, 16},      // link-local, and metadata services of clouds
    {{172, 16}, 12},       // private use
    {{192, 0, 0}, 24},     // IETF protocol assignments
    {{192, 0, 2}, 24},     // documentation
    {{192, 88, 99}, 24},   // 6to4 relays
    {{192, 168}, 16},      // private use
    {{198, 18}, 15},       // benchmarks
    {{198, 51, 100}, 24},  // documentation
    {{203, 0, 113}, 24},   // documentation
    {{224}, 4},            // multicast
    {{240}, 4},            // reserved, and the limited broadcast
};
constexpr Range kSpecialV6[] = {
    {{0}, 3},                        // ::, ::1, mapped, compatible, both NAT64, 100::
    {{0x20, 0x01, 0x00}, 23},        // IETF assignments: Teredo, ORCHID, benchmarks
    {{0x20, 0x01, 0x0d, 0xb8}, 32},  // documentation
    {{0x20, 0x02}, 16},              // 6to4
    {{0x3f, 0xff, 0x00}, 20},        // documentation
    {{0x40}, 2},                     // not given out (0x40-0x7f), segment routing
    {{0x80}, 2},                     // not given out (0x80-0xbf)
    {{0xc0}, 3},                     // not given out (0xc0-0xdf)
    {{0xe0}, 3},                     // unique local, link-local, site-local, multicast
};

bool matches(const std::uint8_t* bytes, const std::uint8_t* prefix, unsigned length) {
  const unsigned whole = length / 8;
  if (!std::equal(bytes, bytes + whole, prefix)) return false;
  if (length % 8 == 0) return true;
  const auto mask = static_cast<std::uint8_t>(0xffU << (8 - length % 8));
  return ((bytes[whole] ^ prefix[whole]) & mask) == 0;
}

bool is_special(const IpAddress& ip) {
  const std::span<const Range> ranges =
      ip.is_v4() ? std::span<const Range>(kSpecialV4) : std::span<const Range>(kSpecialV6);
  return std::any_of(ranges.begin(), ranges.end(), [&ip](const Range& range) {
    return matches(ip.bytes.data(), range.bytes.data(), range.length);
  });
}

bool is_in(const std::vector<Prefix>& prefixes, const IpAddress& ip) {
  return std::any_of(prefixes.begin(), prefixes.end(),
                     [&ip](const Prefix& prefix) { return contains(prefix, ip); });
}

bool is_one_of(std::span<const IpAddress> ips, const IpAddress& ip) {
  return std::find(ips.begin(), ips.end(), ip) != ips.end();
}

bool is_relay(const IpAddress& ip, const OwnAddresses& own) {
  return own.relay_port_max != 0 && is_one_of(own.relays, ip);
}

bool is_own(const IpAddress& ip, const OwnAddresses& own) {
  return is_one_of(own.ips, ip) || is_one_of(own.relays, ip);
}

bool has_open_media(const IpAddress& ip, const PeerRules& rules, const OwnAddresses& own) {
  return rules.own_media && own.media_port_max != 0 && is_relay(ip, own);
}

bool is_listed(const IpAddress& ip, const PeerRules& rules) {
  return !rules.only_allowed || is_in(rules.allowed, ip);
}

bool zero(const IpAddress& ip, std::size_t from, std::size_t to) {
  return std::all_of(ip.bytes.begin() + static_cast<std::ptrdiff_t>(from),
                     ip.bytes.begin() + static_cast<std::ptrdiff_t>(to),
                     [](std::uint8_t byte) { return byte == 0; });
}

// RFC 6052 section 2.2: where the IPv4 address lies depends on the prefix's length, which the
// address does not tell; what follows the IPv4 address is zero.
IpAddress embedded_nat64(const IpAddress& ip) {
  const auto& b = ip.bytes;
  if (zero(ip, 11, 16) && !zero(ip, 6, 11)) return IpAddress::v4(b[6], b[7], b[9], b[10]);
  if (zero(ip, 12, 16) && !zero(ip, 7, 12)) return IpAddress::v4(b[7], b[9], b[10], b[11]);
  if (zero(ip, 13, 16) && !zero(ip, 9, 13)) return IpAddress::v4(b[9], b[10], b[11], b[12]);
  return IpAddress::v4(b[12], b[13], b[14], b[15]);
}

constexpr std::uint8_t kNat64[] = {0x00, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0};
constexpr std::uint8_t kNat64Local[] = {0x00, 0x64, 0xff, 0x9b, 0x00, 0x01};
constexpr std::uint8_t k6to4[] = {0x20, 0x02};
constexpr std::uint8_t kTeredo[] = {0x20, 0x01, 0x00, 0x00};

// What no rule opens.
bool is_never_peer(const IpAddress& ip) {
  return !ip.is_set() || ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() ||
         (ip.is_v4() && zero(ip, 0, 1)) || ip == IpAddress::v4(255, 255, 255, 255);
}

}  // namespace

bool contains(const Prefix& prefix, const IpAddress& ip) {
  const unsigned bits = ip.is_v4() ? 32 : 128;
  return ip.is_set() && prefix.ip.family == ip.family && prefix.length <= bits &&
         matches(ip.bytes.data(), prefix.ip.bytes.data(), prefix.length);
}

CanonicalAddress canonical(const IpAddress& ip) {
  CanonicalAddress found;
  found.forms[found.count++] = ip;
  if (!ip.is_v6()) return found;
  const auto& b = ip.bytes;
  const IpAddress last = IpAddress::v4(b[12], b[13], b[14], b[15]);
  const bool mapped = zero(ip, 0, 10) && b[10] == 0xff && b[11] == 0xff;
  const bool compatible = zero(ip, 0, 12);
  if (mapped || compatible || matches(b.data(), kNat64, 96)) {
    found.forms[found.count++] = last;
  } else if (matches(b.data(), kNat64Local, 48)) {
    found.forms[found.count++] = embedded_nat64(ip);
  } else if (matches(b.data(), k6to4, 16)) {
    found.forms[found.count++] = IpAddress::v4(b[2], b[3], b[4], b[5]);
  } else if (matches(b.data(), kTeredo, 32)) {  // RFC 4380 section 4: server, inverted client
    found.forms[found.count++] = IpAddress::v4(b[4], b[5], b[6], b[7]);
    const auto inverted = [&b](std::size_t i) { return static_cast<std::uint8_t>(~b[i]); };
    found.forms[found.count++] =
        IpAddress::v4(inverted(12), inverted(13), inverted(14), inverted(15));
    return found;
  }
  // ISATAP (RFC 5214 section 6.1): the interface identifier, under any prefix.
  if ((b[8] & 0xfd) == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe) {
    found.forms[found.count++] = last;
  }
  return found;
}

bool may_be_peer(const IpAddress& ip, const PeerRules& rules, const OwnAddresses& own) {
  const CanonicalAddress address = canonical(ip);
  if (!is_listed(ip, rules) && !has_open_media(ip, rules, own)) return false;
  for (std::uint32_t i = 0; i < address.count; ++i) {
    const IpAddress& form = address.forms[i];
    if (is_never_peer(form) || is_in(rules.denied, form)) return false;
    if (is_own(form, own)) {
      // No rule opens what listens on this host (T6); inside another address even a relayed one
      // would lead here past the rule for ports.
      if (i != 0 || !is_relay(form, own)) return false;
    } else if (is_special(form) && !is_in(rules.allowed, form)) {
      return false;  // also inside a special range that is opened
    }
  }
  return true;
}

PeerPorts peer_ports(const IpAddress& ip, const PeerRules& rules, const OwnAddresses& own) {
  const std::uint16_t min = std::max<std::uint16_t>(rules.port_min, 1);
  if (!is_own(ip, own)) return {min, 0xffff, false};
  const bool media = has_open_media(ip, rules, own);
  if (!is_listed(ip, rules)) return {1, 0, media};
  return {std::max(min, own.relay_port_min), own.relay_port_max, media};
}

bool may_be_peer(const SocketAddress& peer, const PeerRules& rules, const OwnAddresses& own) {
  if (!may_be_peer(peer.ip, rules, own)) return false;
  const PeerPorts ports = peer_ports(peer.ip, rules, own);
  return (peer.port >= ports.min && peer.port <= ports.max) ||
         (ports.own_media && own.is_media_port(peer.port));
}

}  // namespace turnpike::turn
