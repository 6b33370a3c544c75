// The rules that join several keys of [turn] and [turn.realm.NAME], and those with other sections.
#include <algorithm>

#include "control/call/network.h"
#include "control/config/checks.h"
#include "control/config/document.h"
#include "control/config/turn_listeners.h"

namespace turnpike::config {
namespace {

constexpr int kPortsMin = 256;               // each shard has its share of them
constexpr std::size_t kRealmBytesMax = 127;  // RFC 8489 section 14.9

class TurnCheck {
 public:
  TurnCheck(const Settings& settings, Findings& findings)
      : settings_(settings), turn_(settings.turn), findings_(findings) {}

  void run() {
    if (turn_.realms.empty()) {
      if (!findings_.given("turn")) return;
      return findings_.mistake({"turn"},
                               "[turn] has no realm, nobody could use it; add a section "
                               "[turn.realm.NAME] with users_file or secret_files");
    }
    check_interface();
    check_ports();
    check_tls();
    check_discovery();
    if (turn_.lifetime > turn_.lifetime_max) {
      mistake("turn.lifetime_seconds", "is more than turn.lifetime_max_seconds; lower it");
    }
    for (const TurnRealmSection& realm : turn_.realms) {
      const std::string path = "turn.realm." + realm.name + ".";
      check_realm(path, realm);
      check_place(path, realm);
    }
    check_default();
  }

 private:
  void mistake(const std::string& key, const std::string& text) {
    if (findings_.sound({key})) findings_.mistake({key}, key + " " + text);
  }

  void check_interface() {
    const bool found = std::any_of(settings_.interfaces.begin(), settings_.interfaces.end(),
                                   [this](const auto& one) { return one.name == turn_.interface; });
    if (found) return;
    mistake("turn.interface",
            "names no section [interface.NAME] of this file; name one with public addresses, "
            "which a node with role \"core\" may lack");
  }

  void check_tls() {
    if (!turn_.server_name.empty()) {
      check_host_names("turn.server_name", {turn_.server_name}, findings_);
    }
    const bool has_certificate = !turn_.certificate_file.empty();
    if (has_certificate && turn_.private_key_file.empty()) {
      mistake("turn.private_key_file", "is empty; give the key of turn.certificate_file");
    } else if (!has_certificate && !turn_.private_key_file.empty()) {
      mistake("turn.certificate_file", "is empty; give the certificate of turn.private_key_file");
    }
    if (has_certificate || !turn_.private_key_file.empty()) return;
    const auto refuse = [this](const std::string& key, std::uint16_t port) {
      if (port == 0 || !findings_.given(key)) return;
      mistake(key,
              "is given, but it needs a certificate; set turn.certificate_file and "
              "turn.private_key_file, or remove it");
    };
    refuse("turn.tls_port", turn_.tls_port);
    refuse("turn.dtls_port", turn_.dtls_port);
    for (const TurnRealmSection& realm : turn_.realms) {
      refuse("turn.realm." + realm.name + ".tls_port", realm.tls_port);
      refuse("turn.realm." + realm.name + ".dtls_port", realm.dtls_port);
    }
  }

  void check_discovery() {
    if (turn_.discovery_port == 0) return;
    bool any = false;
    for (const InterfaceSection& interface : settings_.interfaces) {
      if (interface.name != turn_.interface) continue;
      for (const AddressFamily family : {AddressFamily::kIpv4, AddressFamily::kIpv6}) {
        const auto pair = discovery_pair(interface, family);
        any = any || !pair.empty();
        const auto& shown = interface.advertised;
        if (pair.empty() || pair[1] >= shown.size() || shown[pair[0]] != shown[pair[1]]) continue;
        return mistake("turn.discovery_port",
                       "needs two addresses that clients can tell apart, but "
                       "the first two of [interface." +
                           interface.name + "] are both advertised as " +
                           to_string(shown[pair[0]]) + "; give each its own");
      }
    }
    if (any) return;
    mistake("turn.discovery_port", "needs two addresses of one family, but [interface." +
                                       turn_.interface +
                                       "] has not; add one there, or remove the key");
  }

  void check_default() {
    const std::string key = "turn.default_realm";
    const std::string& named = turn_.default_realm;
    const bool found = std::any_of(turn_.realms.begin(), turn_.realms.end(),
                                   [&named](const auto& realm) { return realm.name == named; });
    if (!named.empty() && !found) {
      mistake(key, "is \"" + named + "\", but there is no section [turn.realm." + named + "]");
    } else if (named.empty() && turn_.realms.size() > 1) {
      mistake(key,
              "is empty, but there are several realms; give the NAME of the [turn.realm.NAME] that "
              "clients are told where no realm has an address or port of its own");
    }
  }

  static bool has_own_place(const TurnRealmSection& realm) {
    return realm.has_own_port() || !realm.addresses.empty();
  }

  void warn_of_shared_secrets(const std::string& path, const TurnRealmSection& realm,
                              const TurnRealmSection& other) {
    for (const std::string& file : realm.secret_files) {
      const auto& theirs = other.secret_files;
      if (std::find(theirs.begin(), theirs.end(), file) == theirs.end()) continue;
      findings_.warning({path + "secret_files"},
                        path + "secret_files holds " + file + ", as that of [turn.realm." +
                            other.name +
                            "]; what is issued for one is good in the other, give each its own");
    }
  }

  // Where the realm's clients come, and that nobody else's do.
  void check_place(const std::string& path, const TurnRealmSection& realm) {
    if (turn_.realms.size() > 1 && !has_own_place(realm) && realm.name != turn_.default_realm) {
      findings_.warning({path + "port"},
                        "[turn.realm." + realm.name +
                            "] is told to no client, as it has neither addresses nor a port; "
                            "only those that know its name beforehand can use it");
    }
    for (const TurnRealmSection& other : turn_.realms) {
      if (&other == &realm) break;
      if (other.realm_name() == realm.realm_name()) {
        mistake(path + "realm", "is \"" + realm.realm_name() + "\", as that of [turn.realm." +
                                    other.name + "]; give each its own");
      }
      warn_of_shared_secrets(path, realm, other);
      for (const IpAddress& ip : realm.addresses) {
        const bool taken =
            std::find(other.addresses.begin(), other.addresses.end(), ip) != other.addresses.end();
        if (!taken || realm.has_own_port() || other.has_own_port()) continue;
        mistake(path + "addresses", "holds " + to_string(ip) + ", as that of [turn.realm." +
                                        other.name + "]; give one of them a port");
      }
    }
    for (const IpAddress& ip : realm.addresses) {
      const bool known = std::any_of(settings_.interfaces.begin(), settings_.interfaces.end(),
                                     [&](const auto& interface) {
                                       const auto& ips = interface.addresses;
                                       return interface.name == turn_.interface &&
                                              std::find(ips.begin(), ips.end(), ip) != ips.end();
                                     });
      if (known) continue;
      mistake(path + "addresses", "holds " + to_string(ip) + ", which is none of [interface." +
                                      turn_.interface + "].addresses; give one of those");
    }
  }

  void check_ports() {
    if (!findings_.sound({"turn.port_min", "turn.port_max"})) return;
    if (turn_.port_max - turn_.port_min + 1 < kPortsMin) {
      return mistake("turn.port_max", "is " + std::to_string(turn_.port_max) + "; give at least " +
                                          std::to_string(kPortsMin) +
                                          " ports from turn.port_min (" +
                                          std::to_string(turn_.port_min) + ") on");
    }
    check_apart("media.port_min", settings_.media.port_min, settings_.media.port_max);
    if (settings_.node.role == "edge") {
      for (const ZoneSection& zone : settings_.zones) {
        check_apart("zone." + zone.name + ".flow_port_min", zone.flow_port_min, zone.flow_port_max);
      }
    }
    const auto ports = static_cast<std::uint32_t>(turn_.port_max - turn_.port_min + 1);
    if (ports >= turn_.allocations_max) return;
    findings_.warning({"turn.allocations_max", "turn.port_max"},
                      "turn.port_min to turn.port_max last for " + std::to_string(ports) +
                          " allocations on one address, fewer than turn.allocations_max (" +
                          std::to_string(turn_.allocations_max) +
                          "); widen the range or lower the limit");
  }

  void check_apart(const std::string& key, std::uint16_t first, std::uint16_t last) {
    if (turn_.port_max < first || turn_.port_min > last) return;
    mistake("turn.port_min", "to turn.port_max overlap the ports from " + key + " on (" +
                                 std::to_string(first) + "-" + std::to_string(last) +
                                 "); choose a range apart");
  }

  void check_networks(const std::string& key, const std::vector<std::string>& networks) {
    for (const std::string& text : networks) {
      if (call::parse_network(text)) continue;
      return mistake(key, "holds " + describe(Node::of_text(text)) +
                              ", which is no network; write networks like \"10.0.0.0/8\" or "
                              "\"2001:db8::/32\"");
    }
  }

  /// Our own services would be open to clients.
  void check_own(const std::string& key, const std::vector<std::string>& networks) {
    for (const std::string& text : networks) {
      const auto network = call::parse_network(text);
      for (const InterfaceSection& interface : settings_.interfaces) {
        for (const auto* ips : {&interface.addresses, &interface.advertised}) {
          if (!network || std::find(ips->begin(), ips->end(), network->address) == ips->end() ||
              network->bits < (network->address.is_v4() ? 32U : 128U)) {
            continue;
          }
          return mistake(key, "holds " + text +
                                  ", an address of this node, whose own ports would "
                                  "be open to clients; remove it");
        }
      }
    }
  }

  void check_realm(const std::string& path, const TurnRealmSection& realm) {
    const std::string& name = realm.realm_name();
    const bool quotes = name.find_first_of("\"\\") != std::string::npos;
    if (name.size() > kRealmBytesMax || quotes) {
      mistake(path + "realm", "is longer than 127 bytes or holds quotes; give a domain name");
    }
    if (realm.users_file.empty() && realm.secret_files.empty() && realm.token_keys_file.empty()) {
      mistake(path + "users_file",
              "and " + path + "secret_files are empty, nobody could use the realm; set one");
    }
    if (!realm.token_server_name.empty() && realm.token_keys_file.empty()) {
      mistake(path + "token_server_name",
              "is given, but no tokens are taken; set " + path + "token_keys_file, or remove it");
    } else if (realm.token_server_name.size() > kRealmBytesMax) {
      mistake(path + "token_server_name", "is longer than 127 bytes; give a host name");
    }
    check_networks(path + "allowed_peers", realm.allowed_peers);
    check_networks(path + "denied_peers", realm.denied_peers);
    check_own(path + "allowed_peers", realm.allowed_peers);
    if (realm.only_allowed_peers && realm.allowed_peers.empty() && !realm.own_media) {
      mistake(
          path + "only_allowed_peers",
          "is true, but allowed_peers is empty and own_media false, so nobody could be reached; "
          "name networks");
    }
  }

  const Settings& settings_;
  const TurnSection& turn_;
  Findings& findings_;
};

}  // namespace

void check_turn(const Settings& settings, Findings& findings) {
  TurnCheck(settings, findings).run();
}

}  // namespace turnpike::config
