// Reads addresses, limits and affinity; compares them with the settings.
#include "control/config/host.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/resource.h>

#include "control/config/checks.h"
#include "turnpike/front_door.h"
#include "turnpike/host.h"

namespace turnpike::config {
namespace {

constexpr std::uint64_t kFilesBesidesMedia = 1000;  // shards, NG connections, API, logs, spare
constexpr std::uint64_t kSocketsPerSession = 4;     // two legs with RTP and RTCP each
constexpr std::uint64_t kTwinsPerSession = 2;       // connected ones, of the RTP of each leg
constexpr std::uint64_t kSocketsPerPair = 2;

IpAddress ip_of(const sockaddr* address) {
  IpAddress ip;
  if (address == nullptr) return ip;
  if (address->sa_family == AF_INET) {
    sockaddr_in in{};
    std::memcpy(&in, address, sizeof in);
    std::memcpy(ip.bytes.data(), &in.sin_addr, 4);
    ip.family = AddressFamily::kIpv4;
  } else if (address->sa_family == AF_INET6) {
    sockaddr_in6 in{};
    std::memcpy(&in, address, sizeof in);
    std::memcpy(ip.bytes.data(), &in.sin6_addr, 16);
    ip.family = AddressFamily::kIpv6;
  }
  return ip;
}

void read_addresses(Host& host) {
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return;
  for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
    const IpAddress ip = ip_of(entry->ifa_addr);
    if (!ip.is_set()) continue;
    call::Network network{ip, 0};
    for (const std::uint8_t byte : ip_of(entry->ifa_netmask).bytes) {
      network.bits += static_cast<unsigned>(std::popcount(byte));
    }
    host.addresses.push_back(ip);
    host.networks.push_back(network);
  }
  freeifaddrs(list);
}

bool has_both_families(const InterfaceSection& interface) {
  const auto has = [&](AddressFamily family) {
    return std::any_of(interface.addresses.begin(), interface.addresses.end(),
                       [&](const IpAddress& ip) { return ip.family == family; });
  };
  return has(AddressFamily::kIpv4) && has(AddressFamily::kIpv6);
}

}  // namespace

Host Host::read(const Settings& settings) {
  Host host;
  read_addresses(host);
  host.port_advice = port_range_advice(settings.media.port_min, settings.media.port_max);
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) host.open_files_max = limit.rlim_max;
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) {
    host.cores = static_cast<unsigned>(CPU_COUNT(&set));
  }
  return host;
}

bool has_address(const Host& host, const IpAddress& ip) {
  const bool known =
      std::find(host.addresses.begin(), host.addresses.end(), ip) != host.addresses.end();
  return known || (ip.is_v4() && ip.is_loopback());  // all of 127.0.0.0/8 can be bound
}

std::uint64_t open_files_needed(const Settings& settings) {
  const MediaSection& media = settings.media;
  std::uint64_t addresses = 0;
  std::uint64_t per_session = kSocketsPerSession;
  for (const InterfaceSection& interface : settings.interfaces) {
    addresses += interface.addresses.size();
    // With ICE both legs may be of an interface of both families, and have sockets of each.
    if (has_both_families(interface)) per_session = 2 * kSocketsPerSession;
  }
  // No more than there are ports, however many sessions are allowed and pairs are kept in stock.
  const std::uint64_t ports =
      media.port_max < media.port_min
          ? 0
          : addresses * (std::uint64_t{media.port_max} - media.port_min + 1);
  const std::uint64_t sockets = std::uint64_t{media.sessions_max} * per_session +
                                addresses * kPortPairsInStock * kSocketsPerPair;
  const std::uint64_t twins =
      media.connect_after == 0 ? 0 : std::uint64_t{media.sessions_max} * kTwinsPerSession;
  // An allocation may have a relayed address of each family.
  const TurnSection& turn = settings.turn;
  const std::uint64_t turn_sockets =
      turn.realms.empty() ? 0
                          : std::uint64_t{turn.allocations_max} * 2 + turn.connections_max +
                                (turn.tcp_allocations ? turn.tcp_connections_max : 0);
  const FrontDoorSection& front = settings.front_door;
  const std::uint64_t at_door =
      front.port == 0 ? 0 : door::descriptors_max(front.connections_max, front.sip);
  return std::min(ports, sockets) + std::min(ports, twins) + turn_sockets + at_door +
         kFilesBesidesMedia;
}

std::vector<std::string> missing_addresses(const Settings& settings, const Host& host) {
  std::vector<std::string> missing;
  for (const InterfaceSection& interface : settings.interfaces) {
    for (const IpAddress& ip : interface.addresses) {
      if (has_address(host, ip)) continue;
      missing.push_back("interface." + interface.name + ".addresses: " + to_string(ip) +
                        " is not an address of this host; give one of those that `ip address` "
                        "shows");
    }
  }
  return missing;
}

std::vector<std::string> interfaces_without_address(const Settings& settings, const Host& host) {
  std::vector<std::string> without;
  for (const InterfaceSection& interface : settings.interfaces) {
    std::string missing;
    bool has_one = false;
    for (const IpAddress& ip : interface.addresses) {
      has_one = has_one || has_address(host, ip);
      missing += (missing.empty() ? "" : ", ") + to_string(ip);
    }
    if (has_one) continue;
    without.push_back("interface." + interface.name + ".addresses: none of " + missing +
                      " is an address of this host; give one of those that `ip address` shows");
  }
  return without;
}

namespace {

/// Listeners that cannot be bound. Those at addresses of interfaces are named by these already.
void check_listeners(const Settings& settings, const Host& host, Findings& findings) {
  for (const Listener& listener : listeners(settings)) {
    const IpAddress& ip = listener.address.ip;
    const bool of_interface =
        listener.path.starts_with("sip.") || listener.path.starts_with("turn.");
    if (of_interface || ip.is_unspecified() || ip.is_loopback() || has_address(host, ip)) continue;
    findings.warning({listener.path},
                     listener.path + ": " + to_string(ip) +
                         " is not an address of this host; give one of those that `ip address` "
                         "shows");
  }
}

}  // namespace

void check_host(const Settings& settings, const Host& host, Findings& findings) {
  for (const std::string& message : missing_addresses(settings, host)) {
    findings.warning({std::string_view(message).substr(0, message.find(':'))}, message);
  }
  check_listeners(settings, host, findings);
  for (const ZoneSection& zone : settings.zones) {
    for (const ZonePeerSection& peer : zone.peers) {
      if (!peer.address.is_set() || peer.address.ip.is_loopback() ||
          !has_address(host, peer.address.ip)) {
        continue;
      }
      const std::string key = "zone." + zone.name + ".peer." + peer.name + ".address";
      findings.warning({key}, key + ": " + to_string(peer.address.ip) +
                                  " is an address of this host itself; give that of the edge");
    }
  }
  const MediaSection& media = settings.media;
  if (!host.port_advice.empty()) {
    findings.warning({"media.port_min", "media.port_max"}, host.port_advice);
  }
  const std::uint64_t needed = open_files_needed(settings);
  if (host.open_files_max < needed) {
    findings.warning({"media.sessions_max"},
                     "media.sessions_max = " + std::to_string(media.sessions_max) + " needs " +
                         std::to_string(needed) + " open files, but the limit is " +
                         std::to_string(host.open_files_max) +
                         "; raise it (LimitNOFILE= in the unit, ulimit -Hn) or lower sessions_max");
  }
  for (const TurnRealmSection& realm : settings.turn.realms) {
    for (const std::string& text : realm.allowed_peers) {
      const auto network = call::parse_network(text);
      const bool alone = network && network->bits == (network->address.is_v4() ? 32U : 128U);
      if (!alone || !has_address(host, network->address)) continue;
      const std::string key = "turn.realm." + realm.name + ".allowed_peers";
      findings.warning({key}, key + " holds " + text +
                                  ", an address of this host, which is never opened; remove it");
    }
  }
  if (media.shards > host.cores) {
    findings.warning({"media.shards"}, "media.shards = " + std::to_string(media.shards) +
                                           " is more than the " + std::to_string(host.cores) +
                                           " cores that may be used; lower it or leave it at 0");
  }
}

}  // namespace turnpike::config
