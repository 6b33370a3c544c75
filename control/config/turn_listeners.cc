#include "control/config/turn_listeners.h"

#include <algorithm>

namespace turnpike::config {
namespace {

using turn::ListenerTransport;

/// Whose clients come to the ports of [turn] at this address; null: anybody's.
const TurnRealmSection* realm_at(const TurnSection& turn, const IpAddress& ip) {
  for (const TurnRealmSection& realm : turn.realms) {
    const auto& ips = realm.addresses;
    if (!realm.has_own_port() && std::find(ips.begin(), ips.end(), ip) != ips.end()) {
      return &realm;
    }
  }
  return nullptr;
}

class AtAddress {
 public:
  AtAddress(const Settings& settings, const IpAddress& local, const IpAddress& advertised,
            std::vector<TurnListener>& into)
      : turn_(settings.turn),
        door_(settings.front_door),
        local_(local),
        advertised_(advertised),
        into_(into) {}

  void add_shared() {
    const TurnRealmSection* const owner = realm_at(turn_, local_);
    const std::string realm = owner == nullptr ? "" : owner->realm_name();
    const bool has_certificate = !turn_.certificate_file.empty();
    if (door_.turn && door_.interface == turn_.interface) {
      add_at_door(ListenerTransport::kTcp, realm);
      if (has_certificate) add_at_door(ListenerTransport::kTls, realm);
    }
    add(ListenerTransport::kUdp, turn_.udp_port, "turn.udp_port", realm);
    add(ListenerTransport::kTcp, turn_.tcp_port, "turn.tcp_port", realm);
    if (!has_certificate) return;
    add(ListenerTransport::kTls, turn_.tls_port, "turn.tls_port", realm);
    add(ListenerTransport::kDtls, turn_.dtls_port, "turn.dtls_port", realm);
  }
  void add_second() {
    const TurnRealmSection* const owner = realm_at(turn_, local_);
    add(ListenerTransport::kUdp, turn_.discovery_port, "turn.discovery_port",
        owner == nullptr ? "" : owner->realm_name(), true);
  }
  void add_of(const TurnRealmSection& realm) {
    const auto& ips = realm.addresses;
    if (!ips.empty() && std::find(ips.begin(), ips.end(), local_) == ips.end()) return;
    const std::string path = "turn.realm." + realm.name + ".";
    add(ListenerTransport::kUdp, realm.port, path + "port", realm.realm_name());
    if (turn_.tcp_port != 0) {
      add(ListenerTransport::kTcp, realm.port, path + "port", realm.realm_name());
    }
    if (turn_.certificate_file.empty()) return;
    add(ListenerTransport::kTls, realm.tls_port, path + "tls_port", realm.realm_name());
    add(ListenerTransport::kDtls, realm.dtls_port, path + "dtls_port", realm.realm_name());
  }

 private:
  void add(ListenerTransport transport, std::uint16_t port, const std::string& key,
           const std::string& realm, bool is_second = false) {
    if (port == 0) return;
    into_.push_back({transport, {local_, port}, advertised_, key, realm, is_second});
  }

  void add_at_door(ListenerTransport transport, const std::string& realm) {
    add(transport, door_.port, "front_door.port", realm);
    if (door_.port != 0) into_.back().at_door = true;
  }

  const TurnSection& turn_;
  const FrontDoorSection& door_;
  const IpAddress& local_;
  const IpAddress& advertised_;
  std::vector<TurnListener>& into_;
};

}  // namespace

std::vector<std::size_t> discovery_pair(const InterfaceSection& interface, AddressFamily family) {
  std::vector<std::size_t> pair;
  for (std::size_t i = 0; i < interface.addresses.size() && pair.size() < 2; ++i) {
    if (interface.addresses[i].family == family) pair.push_back(i);
  }
  if (pair.size() < 2) pair.clear();
  return pair;
}

std::vector<TurnListener> turn_listeners(const Settings& settings) {
  const TurnSection& turn = settings.turn;
  std::vector<TurnListener> all;
  for (const InterfaceSection& section : settings.interfaces) {
    if (turn.realms.empty() || section.name != turn.interface) continue;
    for (std::size_t i = 0; i < section.addresses.size(); ++i) {
      const IpAddress& local = section.addresses[i];
      AtAddress here(settings, local, i < section.advertised.size() ? section.advertised[i] : local,
                     all);
      here.add_shared();
      const auto pair = discovery_pair(section, local.family);
      if (std::find(pair.begin(), pair.end(), i) != pair.end()) here.add_second();
      for (const TurnRealmSection& realm : turn.realms) here.add_of(realm);
    }
  }
  return all;
}

bool shows_turn_certificate(const Settings& settings) {
  const auto all = turn_listeners(settings);
  return std::any_of(all.begin(), all.end(), [](const TurnListener& one) {
    return one.transport == ListenerTransport::kTls || one.transport == ListenerTransport::kDtls;
  });
}

const TurnRealmSection& default_realm(const TurnSection& turn) {
  const auto named =
      std::find_if(turn.realms.begin(), turn.realms.end(),
                   [&turn](const auto& realm) { return realm.name == turn.default_realm; });
  return named == turn.realms.end() ? turn.realms.front() : *named;
}

}  // namespace turnpike::config
