#include "control/firewall/rules.h"

#include <algorithm>
#include <vector>

#include "control/call/network.h"
#include "control/config/products.h"
#include "control/firewall/parts.h"

namespace turnpike::firewall {
namespace {

constexpr std::size_t kInterfaceNameMax = 15;

bool is_interface_name(const std::string& name) {
  return !name.empty() && name.size() <= kInterfaceNameMax &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '-' || c == '_' || c == '.' || c == '@';
         });
}

Result<void> add_told(const char* option, const std::vector<std::string>& networks,
                      AddressSets& sets) {
  for (const std::string& text : networks) {
    if (!sets.add(text)) {
      return Error{std::string(option) + " " + text +
                   " is no address; give one such as 10.20.0.10 or 10.0.0.0/8"};
    }
  }
  return {};
}

/// Of the networks one that an edge of the configuration lies in; empty: none.
std::string network_with_edge(const config::Settings& settings,
                              const std::vector<std::string>& networks) {
  for (const std::string& text : networks) {
    const auto network = call::parse_network(text);
    for (const ZonePorts& ports : zone_ports(settings)) {
      if (network && network->contains(ports.listen.ip)) return text;
    }
  }
  return {};
}

Inside inside_of(const config::Settings& settings, const Surroundings& surroundings) {
  std::vector<std::string> told = surroundings.trusted;
  const auto more = [&told](const std::vector<std::string>& networks) {
    told.insert(told.end(), networks.begin(), networks.end());
  };
  if (config::wants_sidecar(settings)) more(settings.sip.inside_networks);
  const bool is_core = settings.node.role == "core";
  for (const config::InterfaceSection& interface : settings.interfaces) {
    if (is_core) more(interface.networks);
  }
  Inside inside;
  inside.told = !told.empty();
  inside.has_edge = network_with_edge(settings, told);
  more(surroundings.connected);
  for (const std::string& network : told) inside.networks.add(network);
  if (is_core) {
    for (const IpAddress& ip : own_addresses(settings)) inside.networks.add(ip);
  }
  return inside;
}

}  // namespace

std::optional<Place> place_of(const std::string& name) {
  if (name == "edge") return Place::kEdge;
  if (name == "firewall") return Place::kFirewall;
  if (name == "core") return Place::kCore;
  return std::nullopt;
}

std::string session_warning(const config::Settings& settings, Place place,
                            const Surroundings& surroundings) {
  if (place == Place::kFirewall) return {};
  if (!surroundings.session) {
    return "No SSH session was found: whoever came by one gets in again by --open or --trusted "
           "only.";
  }
  if (place == Place::kEdge) return {};
  for (const ZonePorts& ports : zone_ports(settings)) {
    if (ports.listen.ip == surroundings.session->client) {
      return "This SSH session comes from an edge, which begins nothing here: come another way.";
    }
  }
  return {};
}

Result<std::string> rules(const config::Settings& settings, Place place,
                          const Surroundings& surroundings) {
  if (settings.zones.empty()) {
    return Error{"this node is no part of a traversal pair: it has no [zone.NAME]"};
  }
  AddressSets cores("cores");
  AddressSets trusted("trusted");
  for (const auto& told : {add_told("--cores", surroundings.cores, cores),
                           add_told("--trusted", surroundings.trusted, trusted)}) {
    if (!told) return told.error();
  }
  for (const std::string& name : surroundings.edge_interfaces) {
    if (!is_interface_name(name)) {
      return Error{"--edge-interfaces " + name +
                   " is no name of an interface; give one that `ip link` shows"};
    }
  }
  std::string comment = session_warning(settings, place, surroundings);
  if (!comment.empty()) comment = "# " + comment + "\n";
  if (place == Place::kEdge) return edge_rules(settings, surroundings, cores, trusted, comment);
  const Inside inside = inside_of(settings, surroundings);
  if (place == Place::kCore) {
    return core_rules(settings, surroundings, inside, trusted, comment);
  }
  return firewall_rules(settings, surroundings, cores, inside);
}

}  // namespace turnpike::firewall
