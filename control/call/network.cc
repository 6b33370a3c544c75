// Implements network.h.
#include "control/call/network.h"

#include <charconv>

namespace turnpike::call {

bool Network::contains(const IpAddress& ip) const {
  if (ip.family != address.family || !ip.is_set()) return false;
  const unsigned whole = bits / 8;
  for (unsigned i = 0; i < whole; ++i) {
    if (ip.bytes[i] != address.bytes[i]) return false;
  }
  if (bits % 8 == 0) return true;
  const auto mask = static_cast<std::uint8_t>(0xff00 >> (bits % 8));
  return ((ip.bytes[whole] ^ address.bytes[whole]) & mask) == 0;
}

std::optional<Network> parse_network(std::string_view text) {
  const std::size_t slash = text.find('/');
  const auto ip = parse_ip(text.substr(0, slash));
  if (!ip) return std::nullopt;
  const unsigned bits_max = ip->is_v4() ? 32 : 128;
  if (slash == std::string_view::npos) return Network{*ip, bits_max};
  Network network{*ip, 0};
  const std::string_view number = text.substr(slash + 1);
  const auto [end, failure] =
      std::from_chars(number.data(), number.data() + number.size(), network.bits);
  if (failure != std::errc{} || end != number.data() + number.size()) return std::nullopt;
  if (network.bits > bits_max) return std::nullopt;
  return network;
}

}  // namespace turnpike::call
