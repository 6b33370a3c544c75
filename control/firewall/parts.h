// What the rules of the three places are made of. Private to this folder.
#pragma once

#include <string>
#include <vector>

#include "control/config/settings.h"
#include "control/firewall/sets.h"
#include "control/firewall/surroundings.h"
#include "turnpike/result.h"

namespace turnpike::firewall {

inline constexpr const char* kAnswers = "    ct state established,related accept\n";
// Conntrack knows neither neighbour discovery nor errors about what it does not track.
inline constexpr const char* kNeighbours =
    "    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept\n";
inline constexpr const char* kErrors =
    "    icmp type { destination-unreachable, time-exceeded, parameter-problem } accept\n"
    "    icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem } "
    "accept\n";

// What a host has its IPv6 addresses and routes from.
inline constexpr const char* kDhcpv6 = "ip6 daddr fe80::/10 udp dport 546 accept";

/// "ip daddr 192.0.2.10 "
std::string at(const char* direction, const IpAddress& ip);
/// "36000-36011", or "36000"
std::string range(std::uint16_t first, std::uint16_t last);

/// Rules in the order in which they came, none twice.
class Rules {
 public:
  void add(const std::string& rule);
  std::string text() const;

 private:
  std::vector<std::string> lines_;
};

/// What an edge offers to cores.
struct ZonePorts {
  SocketAddress listen;
  std::string flows;  ///< "36000-36011"
};

std::vector<ZonePorts> zone_ports(const config::Settings& settings);
std::string media_ports(const config::Settings& settings);
/// Where the TURN server listens and relays; empty: there is none.
std::vector<IpAddress> turn_addresses(const config::Settings& settings);
/// Of its relayed transport addresses.
std::string turn_ports(const config::Settings& settings);
/// Of all interfaces, without loopback.
std::vector<IpAddress> own_addresses(const config::Settings& settings);

/// What is open ("tcp/22") to everybody.
Result<void> add_open(const std::vector<std::string>& open, Rules& rules);

/// A file that makes the table anew.
std::string table(const std::string& name, const std::string& about, const std::string& body);
std::string counter(const std::string& name, const std::string& meaning);
/// The chain that the kernel's hook of that name runs.
std::string chain(const std::string& hook, const std::string& rules);

/// What is not to be tracked, as it comes and as it goes.
struct Untracked {
  Rules in;
  Rules out;
};
/// The media ports of all own addresses, and TURN's.
void leave_media_untracked(const config::Settings& settings, Untracked& untracked);
std::string untracked_chains(const Untracked& untracked);

/// Who is inside, for firewall and core.
struct Inside {
  AddressSets networks{"inside"};
  bool told = false;     ///< the configuration or the operator names more than own addresses
  std::string has_edge;  ///< of the networks one that an edge lies in; empty: none
};

/// `comment`: a line for the head of the file, or empty.
Result<std::string> edge_rules(const config::Settings& settings, const Surroundings& surroundings,
                               const AddressSets& cores, const AddressSets& trusted,
                               const std::string& comment);
Result<std::string> firewall_rules(const config::Settings& settings,
                                   const Surroundings& surroundings, const AddressSets& cores,
                                   Inside inside);
Result<std::string> core_rules(const config::Settings& settings, const Surroundings& surroundings,
                               const Inside& inside, const AddressSets& trusted,
                               const std::string& comment);

}  // namespace turnpike::firewall
