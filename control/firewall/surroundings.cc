#include "control/firewall/surroundings.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <iterator>
#include <map>
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

/// The interfaces of `sources`; none when one of them has a configured address as well: by that one
/// the inside may come too.
std::vector<std::string> interfaces_of(const std::vector<IpAddress>& sources,
                                       const config::Settings& settings) {
  const auto names = interface_names();
  std::vector<std::string> found;
  for (const IpAddress& source : sources) {
    const auto name = names.find(source);
    if (name == names.end() || name->second == "lo") return {};
    for (const config::InterfaceSection& interface : settings.interfaces) {
      for (const IpAddress& ip : interface.addresses) {
        const auto own = names.find(ip);
        if (own != names.end() && own->second == name->second) return {};
      }
    }
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
    surroundings.edge_interfaces = interfaces_of(sources, settings);
  }
  surroundings.connected = connected_networks(settings, edges);
  read_reply_ports(surroundings);
}

std::uint16_t port_of_ssh_session(const char* ssh_connection) {
  if (ssh_connection == nullptr) return 0;
  std::istringstream words{std::string(ssh_connection)};
  const std::vector<std::string> fields{std::istream_iterator<std::string>(words), {}};
  if (fields.size() != 4) return 0;
  const std::string& text = fields[3];
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  return error == std::errc{} && end == text.data() + text.size() ? port : std::uint16_t{0};
}

}  // namespace turnpike::firewall
