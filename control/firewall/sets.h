// Named sets of addresses and networks in a table of nftables. Private to this folder.
#pragma once

#include <set>
#include <string>

#include "turnpike/address.h"

namespace turnpike::firewall {

/// "ip" or "ip6"
std::string family_of(const IpAddress& ip);

/// Addresses and networks of both families, as two sets of a table: NAME4 and NAME6.
class AddressSets {
 public:
  explicit AddressSets(std::string name) : name_(std::move(name)) {}

  /// Nothing when it is unset or of loopback.
  void add(const IpAddress& ip);
  /// "10.20.0.10" or "10.0.0.0/8"; false when it is neither.
  bool add(const std::string& network);

  bool empty() const { return v4_.empty() && v6_.empty(); }
  bool has_family_of(const IpAddress& like) const { return !(like.is_v6() ? v6_ : v4_).empty(); }
  std::string declaration() const;
  /// One rule for each family that has addresses: "ip saddr @name4" `after`.
  std::string rules(const std::string& direction, const std::string& after) const;
  /// "ip saddr @name4 " for a rule about an address of this family; empty: nobody, "" is no match.
  std::string match(const std::string& direction, const IpAddress& like) const;

 private:
  void add(const IpAddress& ip, const std::string& text);
  std::string declaration(const char* family, const char* type,
                          const std::set<std::string>& elements) const;

  std::string name_;
  std::set<std::string> v4_;
  std::set<std::string> v6_;
};

}  // namespace turnpike::firewall
