// The rules that join several keys of [front_door], those with other sections, and what comes of
// them.
#include "control/config/front_door.h"

#include <algorithm>

#include "control/call/network.h"
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
  const auto rule_of = [&config](door::Target target) -> door::TargetRule& {
    return config.targets[static_cast<std::size_t>(target)];
  };
  rule_of(door::Target::kTurn) = {section.turn && has_tls, in_lower_case(section.turn_names)};
  rule_of(door::Target::kSip) = {section.sip, in_lower_case(section.sip_names)};
  rule_of(door::Target::kApi) = {section.api, in_lower_case(section.api_names)};
  config.sip = {IpAddress::v4(127, 0, 0, 1), settings.sip.wss_port};
  for (const std::string& text : section.proxies) {
    const auto network = call::parse_network(text);
    if (!network) continue;
    config.proxies.push_back({network->address, static_cast<std::uint8_t>(network->bits)});
  }
  config.connections_max = section.connections_max;
  config.connections_per_source_max = section.connections_per_source_max;
  return config;
}

namespace {

class FrontDoorCheck {
 public:
  FrontDoorCheck(const Settings& settings, Findings& findings)
      : settings_(settings), door_(settings.front_door), findings_(findings) {}

  void run() {
    check_names("turn", door_.turn, door_.turn_names);
    check_names("sip", door_.sip, door_.sip_names);
    check_names("api", door_.api, door_.api_names);
    check_proxies();
    if (door_.port == 0) return;
    if (!door_.turn && !door_.sip && !door_.api) {
      return mistake("port",
                     "is given, but the door leads to nobody; set front_door.turn, .sip or .api to "
                     "true");
    }
    const bool found = std::any_of(settings_.interfaces.begin(), settings_.interfaces.end(),
                                   [this](const auto& one) { return one.name == door_.interface; });
    if (!found) {
      return mistake(
          "interface",
          "names no section [interface.NAME] of this file; name one with public addresses");
    }
    if (door_.turn) check_turn();
    if (door_.sip) check_sip();
    if (door_.api) check_api();
  }

 private:
  void mistake(const std::string& key, const std::string& text) {
    const std::string path = "front_door." + key;
    if (findings_.sound({path})) findings_.mistake({path}, path + " " + text);
  }

  void check_names(const std::string& target, bool open, const std::vector<std::string>& names) {
    check_host_names("front_door." + target + "_names", names, findings_);
    if (open || names.empty()) return;
    mistake(target + "_names", "is given, but front_door." + target + " is false; set it to true");
  }

  void check_proxies() {
    for (const std::string& text : door_.proxies) {
      const auto network = call::parse_network(text);
      // They may claim any source: nobody has that many.
      if (network && network->bits >= (network->address.is_v6() ? 32U : 8U)) continue;
      return mistake("proxies", "holds \"" + text +
                                    "\", which is no network of load balancers; write networks "
                                    "like \"192.0.2.8/31\", none wider than /8 (IPv6: /32)");
    }
  }

  void check_turn() {
    if (settings_.turn.realms.empty()) {
      mistake("turn", "is true, but there is no TURN server; add a section [turn.realm.NAME]");
    } else if (door_.interface != settings_.turn.interface) {
      mistake("interface", "is \"" + door_.interface + "\", but turn.interface is \"" +
                               settings_.turn.interface +
                               "\"; with front_door.turn they are the same");
    }
  }

  void check_sip() {
    if (settings_.sip.domains.empty() || settings_.node.role == "core") {
      mistake("sip", "is true, but there is no SIP server with clients here; set sip.domains");
    } else if (settings_.sip.wss_port == 0) {
      mistake("sip", "is true, but sip.wss_port is 0; set it, for example to 8443");
    }
  }

  void check_api() {
    if (!settings_.api.listen.is_set() || settings_.api.certificate_file.empty()) {
      mistake("api",
              "is true, but api.listen or api.certificate_file is \"\"; set both, for example "
              "api.listen = \"127.0.0.1:8444\"");
    }
    if (!door_.sip) return;
    const auto theirs = in_lower_case(door_.sip_names);
    const auto names = in_lower_case(door_.api_names);
    const bool same = std::any_of(names.begin(), names.end(), [&theirs](const auto& name) {
      return std::find(theirs.begin(), theirs.end(), name) != theirs.end();
    });
    if (same || (names.empty() && theirs.empty())) {
      mistake("api_names",
              "tells clients of the API and of front_door.sip_names not apart, both speak HTTP; "
              "give different names");
    }
  }

  const Settings& settings_;
  const FrontDoorSection& door_;
  Findings& findings_;
};

}  // namespace

void check_front_door(const Settings& settings, Findings& findings) {
  FrontDoorCheck(settings, findings).run();
}

}  // namespace turnpike::config
