// The rules that join several keys of [front_door], those with other sections, and what comes of
// them.
#include "control/config/front_door.h"

#include <algorithm>

#include "control/config/checks.h"
#include "control/config/turn_listeners.h"

namespace turnpike::config {
namespace {

std::vector<std::string> in_lower_case(std::vector<std::string> names) {
  for (std::string& name : names) {
    std::transform(name.begin(), name.end(), name.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  }
  return names;
}

}  // namespace

std::vector<SocketAddress> front_door_addresses(const Settings& settings) {
  const FrontDoorSection& door = settings.front_door;
  std::vector<SocketAddress> all;
  for (const InterfaceSection& section : settings.interfaces) {
    if (door.port == 0 || section.name != door.interface) continue;
    for (const IpAddress& ip : section.addresses) all.push_back({ip, door.port});
  }
  return all;
}

door::Config front_door_config(const Settings& settings, const Host& host) {
  const FrontDoorSection& section = settings.front_door;
  door::Config config;
  for (const SocketAddress& address : front_door_addresses(settings)) {
    if (has_address(host, address.ip)) config.listeners.push_back(address);
  }
  const auto listeners = turn_listeners(settings);
  const bool has_tls = std::any_of(listeners.begin(), listeners.end(), [](const auto& one) {
    return one.at_door && one.transport == turn::ListenerTransport::kTls;
  });
  config.targets[static_cast<std::size_t>(door::Target::kTurn)] = {
      section.turn && has_tls, in_lower_case(section.turn_names)};
  config.connections_max = section.connections_max;
  config.connections_per_source_max = section.connections_per_source_max;
  return config;
}

void check_front_door(const Settings& settings, Findings& findings) {
  const FrontDoorSection& door = settings.front_door;
  const auto mistake = [&findings](const std::string& key, const std::string& text) {
    if (findings.sound({"front_door." + key})) {
      findings.mistake({"front_door." + key}, "front_door." + key + " " + text);
    }
  };
  check_host_names("front_door.turn_names", door.turn_names, findings);
  if (door.port == 0) return;
  if (!door.turn) {
    return mistake("port", "is given, but the door leads to nobody; set front_door.turn = true");
  }
  const bool found = std::any_of(settings.interfaces.begin(), settings.interfaces.end(),
                                 [&door](const auto& one) { return one.name == door.interface; });
  if (!found) {
    return mistake(
        "interface",
        "names no section [interface.NAME] of this file; name one with public addresses");
  }
  if (settings.turn.realms.empty()) {
    mistake("turn", "is true, but there is no TURN server; add a section [turn.realm.NAME]");
  } else if (door.interface != settings.turn.interface) {
    mistake("interface", "is \"" + door.interface + "\", but turn.interface is \"" +
                             settings.turn.interface +
                             "\"; with front_door.turn they are the same");
  }
}

}  // namespace turnpike::config
