#include "control/firewall/sets.h"

#include "control/call/network.h"

namespace turnpike::firewall {

std::string family_of(const IpAddress& ip) {
  return ip.is_v6() ? "ip6" : "ip";
}

void AddressSets::add(const IpAddress& ip) {
  if (!ip.is_loopback()) add(ip, to_string(ip));
}

bool AddressSets::add(const std::string& network) {
  const auto parsed = call::parse_network(network);
  const unsigned whole = parsed && parsed->address.is_v4() ? 32 : 128;
  if (parsed) {
    add(parsed->address, to_string(parsed->address) +
                             (parsed->bits == whole ? "" : "/" + std::to_string(parsed->bits)));
  }
  return parsed.has_value();
}

std::string AddressSets::declaration() const {
  return declaration("4", "ipv4_addr", v4_) + declaration("6", "ipv6_addr", v6_);
}

std::string AddressSets::rules(const std::string& direction, const std::string& after) const {
  return "" + (v4_.empty() ? "" : "    ip " + direction + " @" + name_ + "4 " + after + "\n") +
         (v6_.empty() ? "" : "    ip6 " + direction + " @" + name_ + "6 " + after + "\n");
}

std::string AddressSets::match(const std::string& direction, const IpAddress& like) const {
  const auto& own = like.is_v6() ? v6_ : v4_;
  if (own.empty()) return {};
  return family_of(like) + " " + direction + " @" + name_ + (like.is_v6() ? "6 " : "4 ");
}

void AddressSets::add(const IpAddress& ip, const std::string& text) {
  if (ip.is_set()) (ip.is_v6() ? v6_ : v4_).insert(text);
}

std::string AddressSets::declaration(const char* family, const char* type,
                                     const std::set<std::string>& elements) const {
  if (elements.empty()) return {};
  std::string list;
  for (const std::string& element : elements) list += (list.empty() ? "" : ", ") + element;
  return "  set " + name_ + family + " {\n    type " + type +
         "\n    flags interval\n    auto-merge\n    elements = { " + list + " }\n  }\n";
}

}  // namespace turnpike::firewall
