// An IP network: a prefix that an address lies in or not.
#pragma once

#include <optional>
#include <string_view>

#include "turnpike/address.h"

namespace turnpike::call {

struct Network {
  IpAddress address;
  unsigned bits = 0;  ///< of `address` that count; at most 32 or 128
  bool operator==(const Network&) const = default;

  /// False for addresses of the other family.
  bool contains(const IpAddress& ip) const;
};

/// "10.0.0.0/8", "2001:db8::/32"; without a slash, that one address.
std::optional<Network> parse_network(std::string_view text);

}  // namespace turnpike::call
