// Reads /proc, getifaddrs(3), limits and affinity; compares them with the settings.
#include "control/config/host.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <fstream>

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/resource.h>

namespace turnpike::config {
namespace {

constexpr std::uint64_t kFilesBesidesMedia = 1000;  // shards, NG connections, API, logs, spare
constexpr std::uint64_t kSocketsPerSession = 4;     // two legs with RTP and RTCP each

std::vector<IpAddress> read_addresses() {
  std::vector<IpAddress> addresses;
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return addresses;
  for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
    if (entry->ifa_addr == nullptr) continue;
    IpAddress ip;
    if (entry->ifa_addr->sa_family == AF_INET) {
      sockaddr_in in{};
      std::memcpy(&in, entry->ifa_addr, sizeof in);
      std::memcpy(ip.bytes.data(), &in.sin_addr, 4);
      ip.family = AddressFamily::kIpv4;
    } else if (entry->ifa_addr->sa_family == AF_INET6) {
      sockaddr_in6 in{};
      std::memcpy(&in, entry->ifa_addr, sizeof in);
      std::memcpy(ip.bytes.data(), &in.sin6_addr, 16);
      ip.family = AddressFamily::kIpv6;
    } else {
      continue;
    }
    addresses.push_back(ip);
  }
  freeifaddrs(list);
  return addresses;
}

bool has_address(const Host& host, const IpAddress& ip) {
  const bool known =
      std::find(host.addresses.begin(), host.addresses.end(), ip) != host.addresses.end();
  return known || (ip.is_v4() && ip.is_loopback());  // all of 127.0.0.0/8 can be bound
}

bool take_number(std::string_view& text, unsigned& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{}) return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return true;
}

}  // namespace

bool covers(std::string_view reserved_ports, std::uint16_t min, std::uint16_t max) {
  unsigned next = min;  // every port before it is covered; the kernel keeps the list sorted
  while (!reserved_ports.empty() && next <= max) {
    unsigned first = 0;
    if (!take_number(reserved_ports, first)) break;
    unsigned last = first;
    if (reserved_ports.starts_with('-')) {
      reserved_ports.remove_prefix(1);
      if (!take_number(reserved_ports, last)) break;
    }
    if (first <= next && last >= next) next = last + 1;
    if (!reserved_ports.starts_with(',')) break;
    reserved_ports.remove_prefix(1);
  }
  return next > max;
}

Host Host::read() {
  Host host;
  host.addresses = read_addresses();
  std::ifstream reserved("/proc/sys/net/ipv4/ip_local_reserved_ports");
  std::getline(reserved, host.reserved_ports);
  std::ifstream range("/proc/sys/net/ipv4/ip_local_port_range");
  range >> host.ephemeral_ports.first >> host.ephemeral_ports.second;
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) host.open_files_max = limit.rlim_max;
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) {
    host.cores = static_cast<unsigned>(CPU_COUNT(&set));
  }
  return host;
}

std::uint64_t open_files_needed(const Settings& settings) {
  return settings.media.sessions_max * kSocketsPerSession + kFilesBesidesMedia;
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

void check_host(const Settings& settings, const Host& host, Findings& findings) {
  for (const std::string& message : missing_addresses(settings, host)) {
    findings.warning({std::string_view(message).substr(0, message.find(':'))}, message);
  }
  const MediaSection& media = settings.media;
  const std::uint16_t first = std::max(media.port_min, host.ephemeral_ports.first);
  const std::uint16_t last = std::min(media.port_max, host.ephemeral_ports.second);
  if (first <= last && !covers(host.reserved_ports, first, last)) {
    const std::string range = std::to_string(media.port_min) + "-" + std::to_string(media.port_max);
    findings.warning({"media.port_min", "media.port_max"},
                     "the kernel hands out media ports to other programs; reserve them with: "
                     "sysctl -w net.ipv4.ip_local_reserved_ports=" +
                         range);
  }
  const std::uint64_t needed = open_files_needed(settings);
  if (host.open_files_max < needed) {
    findings.warning({"media.sessions_max"},
                     "media.sessions_max = " + std::to_string(media.sessions_max) + " needs " +
                         std::to_string(needed) + " open files, but the limit is " +
                         std::to_string(host.open_files_max) +
                         "; raise it (LimitNOFILE= in the unit, ulimit -Hn) or lower sessions_max");
  }
  if (media.shards > host.cores) {
    findings.warning({"media.shards"}, "media.shards = " + std::to_string(media.shards) +
                                           " is more than the " + std::to_string(host.cores) +
                                           " cores that may be used; lower it or leave it at 0");
  }
}

}  // namespace turnpike::config
