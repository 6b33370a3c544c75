#include "control/firewall/surroundings.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <sstream>

#include <ifaddrs.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/call/network.h"
#include "control/config/host.h"
#include "control/loop/socket_address.h"

namespace turnpike::firewall {
namespace {

/// Connecting UDP sends no packet. Unset when there is no way there.
IpAddress source_towards(const SocketAddress& far) {
  sockaddr_storage address = loop::to_sockaddr(far);
  socklen_t size = loop::length_of(address);
  const int fd = ::socket(address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return {};
  const bool known = ::connect(fd, loop::as_sockaddr(address), size) == 0 &&
                     ::getsockname(fd, loop::as_sockaddr(address), &size) == 0;
  ::close(fd);
  return known ? loop::from_sockaddr(loop::as_sockaddr(address)).ip : IpAddress{};
}

std::vector<SocketAddress> edges_of(const config::Settings& settings) {
  std::vector<SocketAddress> edges;
  for (const config::ZoneSection& zone : settings.zones) {
    for (const config::ZonePeerSection& peer : zone.peers) {
      if (peer.address.is_set()) edges.push_back(peer.address);
    }
  }
  return edges;
}

/// Which network interface has which addresses.
std::map<IpAddress, std::string> interface_names() {
  std::map<IpAddress, std::string> names;
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return names;
  for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
    if (entry->ifa_addr == nullptr) continue;
    const IpAddress ip = loop::from_sockaddr(entry->ifa_addr).ip;
    if (ip.is_set()) names.emplace(ip, entry->ifa_name);
  }
  ::freeifaddrs(list);
  return names;
}

/// The words of each line of a table of the kernel.
std::vector<std::vector<std::string>> rows_of(const char* path) {
  std::ifstream file(path);
  std::vector<std::vector<std::string>> rows;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    rows.emplace_back(std::istream_iterator<std::string>(words),
                      std::istream_iterator<std::string>());
  }
  return rows;
}

/// The interfaces that lead wherever no other route leads to.
std::set<std::string> default_interfaces() {
  std::set<std::string> names;
  for (const auto& row : rows_of("/proc/net/route")) {
    if (row.size() > 7 && row[1] == "00000000" && row[7] == "00000000") names.insert(row[0]);
  }
  for (const auto& row : rows_of("/proc/net/ipv6_route")) {
    if (row.size() > 9 && row[0] == std::string(32, '0') && row[1] == "00") names.insert(row[9]);
  }
  return names;
}

/// The interfaces by which others than edges may come.
std::set<std::string> shared_interfaces(const config::Settings& settings,
                                        const std::optional<SshSession>& session,
                                        const std::map<IpAddress, std::string>& names) {
  std::set<std::string> shared = default_interfaces();
  const auto add = [&](const IpAddress& ip) {
    if (const auto name = names.find(ip); name != names.end()) shared.insert(name->second);
  };
  for (const config::InterfaceSection& interface : settings.interfaces) {
    for (const IpAddress& ip : interface.addresses) add(ip);
  }
  if (session) add(session->local);
  return shared;
}

/// The interfaces of `sources`; none when others may come by one of them too.
std::vector<std::string> interfaces_of(const std::vector<IpAddress>& sources,
                                       const config::Settings& settings,
                                       const std::optional<SshSession>& session) {
  const auto names = interface_names();
  const std::set<std::string> shared = shared_interfaces(settings, session, names);
  std::vector<std::string> found;
  for (const IpAddress& source : sources) {
    const auto name = names.find(source);
    if (name == names.end() || name->second == "lo" || shared.count(name->second) != 0) return {};
    if (std::find(found.begin(), found.end(), name->second) == found.end()) {
      found.push_back(name->second);
    }
  }
  return found;
}

std::vector<std::string> connected_networks(const config::Settings& settings,
                                            const std::vector<SocketAddress>& edges) {
  const config::Host host = config::Host::read(settings);
  std::vector<std::string> networks;
  for (const config::InterfaceSection& interface : settings.interfaces) {
    for (const IpAddress& ip : interface.addresses) {
      const auto place = std::find(host.addresses.begin(), host.addresses.end(), ip);
      if (place == host.addresses.end() || ip.is_loopback()) continue;
      const auto index = static_cast<std::size_t>(place - host.addresses.begin());
      const call::Network& network = host.networks.at(index);
      const bool has_edge = std::any_of(
          edges.begin(), edges.end(), [&](const auto& edge) { return network.contains(edge.ip); });
      if (has_edge) continue;
      networks.push_back(to_string(network.address) + "/" + std::to_string(network.bits));
    }
  }
  return networks;
}

void read_reply_ports(Surroundings& surroundings) {
  std::ifstream file("/proc/sys/net/ipv4/ip_local_port_range");
  std::uint16_t first = 0;
  std::uint16_t last = 0;
  if (!(file >> first >> last) || first == 0 || last < first) return;
  surroundings.reply_port_min = first;
  surroundings.reply_port_max = last;
}

}  // namespace

void look_around(const config::Settings& settings, Place place, Surroundings& surroundings) {
  const std::vector<SocketAddress> edges = edges_of(settings);
  if (settings.node.role != "core") return;
  std::vector<IpAddress> sources;
  for (const SocketAddress& edge : edges) {
    if (const IpAddress ip = source_towards(edge); ip.is_set()) sources.push_back(ip);
  }
  if (surroundings.cores.empty()) {
    for (const IpAddress& ip : sources) surroundings.cores.push_back(to_string(ip));
  }
  if (place == Place::kCore && surroundings.edge_interfaces.empty()) {
    surroundings.edge_interfaces = interfaces_of(sources, settings, surroundings.session);
  }
  surroundings.connected = connected_networks(settings, edges);
  read_reply_ports(surroundings);
}

}  // namespace turnpike::firewall
