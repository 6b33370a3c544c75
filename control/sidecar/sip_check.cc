// Judges a SipConfig: every value that reaches a generated file is looked at here.
#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "control/sidecar/layout.h"

namespace turnpike::sidecar {
namespace {

class Judge {
 public:
  explicit Judge(const SipConfig& config) : config_(config) {}

  std::vector<Mistake> run() {
    domains();
    addresses();
    ports();
    browsers();
    identities();
    users();
    servers();
    routes();
    peers();
    emergency();
    process();
    if (is_of_pair(config_)) zones();
    if (!is_of_pair(config_)) peers_of_single();
    if (config_.role == NodeRole::kEdge) edge();
    if (config_.role == NodeRole::kCore) core();
    return std::move(mistakes_);
  }

 private:
  void mistake(std::string key, std::string message) {
    mistakes_.push_back({std::move(key), std::move(message)});
  }
  static std::string item(const char* list, std::size_t index, const char* member = "") {
    return std::string(list) + "[" + std::to_string(index) + "]" + member;
  }
  void name_once(std::set<std::string>& seen, const std::string& key, const std::string& name) {
    if (!seen.insert(name).second) mistake(key, "\"" + name + "\" is there twice; keep one");
  }
  void file(const std::string& key, const std::string& path) {
    if (path.empty()) {
      mistake(key, "is missing; name a PEM file by its absolute path");
    } else if (!is_plain_path(path)) {
      mistake(key, "must be an absolute path of letters, digits and / . _ + -");
    }
  }
  void target(const std::string& key, const std::string& uri) {
    if (!parse_target(uri)) {
      mistake(key,
              "must look like \"sip:10.0.0.10:5060\", with \";transport=udp\", \"tcp\" or "
              "\"tls\" if wanted, and no user part");
    }
  }

  void domains() {
    if (config_.domains.empty()) mistake("domains", "is empty; name the SIP domain of this edge");
    std::set<std::string> seen;
    for (std::size_t i = 0; i < config_.domains.size(); ++i) {
      if (!is_host_name(config_.domains[i])) {
        mistake(item("domains", i), "must be a DNS name in lower case");
      }
      name_once(seen, item("domains", i), config_.domains[i]);
    }
  }

  void addresses() {
    for (const auto* side : {&config_.outside, &config_.inside}) {
      const std::string key = side == &config_.outside ? "outside" : "inside";
      if (key == "outside" ? !has_outside(config_) : !has_inside(config_)) continue;
      if (side->addresses.empty()) mistake(key, "has no address; the interface needs one");
      for (const auto& address : side->addresses) {
        if (address.local.is_unspecified() || !address.local.is_set()) {
          mistake(key, "needs a certain address, not 0.0.0.0 or ::, so that sides stay apart");
        }
      }
    }
    if (config_.inside_networks.empty() && has_inside(config_)) {
      mistake("inside_networks", "is empty; name the networks of the inside servers and phones");
    }
    for (std::size_t i = 0; i < config_.inside_networks.size(); ++i) {
      if (!is_network(config_.inside_networks[i])) {
        mistake(item("inside_networks", i), "must look like \"10.0.0.0/8\" or \"2001:db8::/32\"");
      }
    }
  }

  void port(const char* key, std::uint16_t number, bool may_be_off) {
    if (number == 0 && may_be_off) return;
    if (number < 1024 || number > 65534) mistake(key, "must be 1024-65534");
    // The Cisco port plan that this edge follows keeps these for itself.
    if (number >= 5063 && number <= 5080) mistake(key, "5063-5080 are reserved; take another port");
  }

  void ports() {
    port("tls_port", config_.tls_port, true);
    port("wss_port", config_.wss_port, true);
    port("mtls_port", config_.mtls_port, true);
    port("inside_port", config_.inside_port, false);
    port("inside_tls_port", config_.inside_tls_port, true);
    if (config_.tls_port != 0 && config_.tls_port == config_.mtls_port) {
      mistake("mtls_port", "is tls_port; clients have no certificate, so the two must differ");
    }
    if (config_.wss_port != 0 && config_.wss_port == config_.tls_port) {
      mistake("wss_port", "is tls_port; take another port, for example 8443");
    }
    if (config_.wss_port != 0 && config_.wss_port == config_.mtls_port) {
      mistake("wss_port", "is mtls_port; browsers have no certificate, so the two must differ");
    }
    if (config_.inside_tls_port != 0 && config_.inside_tls_port == config_.inside_port) {
      mistake("inside_tls_port", "is inside_port; the two must differ");
    }
    if (is_of_pair(config_)) return;
    for (const auto& outside : config_.outside.addresses) {
      for (const auto& inside : config_.inside.addresses) {
        if (outside.local == inside.local) same_address();
      }
    }
  }

  void same_address() {
    const std::set<std::uint16_t> taken = {config_.tls_port, config_.mtls_port, config_.wss_port};
    if (taken.count(config_.inside_port) != 0) {
      mistake("inside_port", "is used outside on the same address; take another port");
    }
    if (config_.inside_tls_port != 0 && taken.count(config_.inside_tls_port) != 0) {
      mistake("inside_tls_port", "is used outside on the same address; take another port");
    }
  }

  void browsers() {
    if (config_.wss_port != 0 && config_.websocket_origins.empty()) {
      mistake("websocket_origins",
              "is empty, but wss_port is set; name the pages that may connect, such as "
              "\"https://phone.example.com\"");
    }
    std::set<std::string> seen;
    for (std::size_t i = 0; i < config_.websocket_origins.size(); ++i) {
      const std::string& origin = config_.websocket_origins[i];
      const std::string key = item("websocket_origins", i);
      if (origin == "*") {
        mistake(key,
                "would let every page that a user visits connect; name each one, such as "
                "\"https://phone.example.com\"");
      } else if (!is_web_origin(origin)) {
        mistake(key,
                "must be an origin as browsers name it, such as \"https://phone.example.com\" or "
                "\"https://phone.example.com:8080\": lower case, no path, no default port");
      } else {
        name_once(seen, key, origin);
      }
    }
  }

  void identities() {
    if (!has_tls(config_)) return;
    file("certificate_file", config_.certificate_file);
    file("private_key_file", config_.private_key_file);
    file("trust_file", config_.trust_file);
    if (config_.peer_certificate_file.empty() != config_.peer_private_key_file.empty()) {
      mistake("peer_certificate_file", "certificate and key of peers go together; name both");
    } else if (!config_.peer_certificate_file.empty()) {
      file("peer_certificate_file", config_.peer_certificate_file);
      file("peer_private_key_file", config_.peer_private_key_file);
    }
    std::set<std::string> seen;
    for (std::size_t i = 0; i < config_.sni_certificates.size(); ++i) {
      const SniCertificate& sni = config_.sni_certificates[i];
      const std::string key = item("sni_certificates", i);
      if (!is_host_name(sni.server_name)) {
        mistake(key + ".server_name", "must be a DNS name in lower case");
      }
      name_once(seen, key + ".server_name", sni.server_name);
      file(key + ".certificate_file", sni.certificate_file);
      file(key + ".private_key_file", sni.private_key_file);
    }
  }

  void users() {
    std::set<std::string> seen;
    const std::size_t digits = config_.digest == DigestAlgorithm::kMd5 ? 32 : 64;
    for (std::size_t i = 0; i < config_.users.size(); ++i) {
      const SipUser& user = config_.users[i];
      if (!is_user_name(user.name)) {
        mistake(item("users", i, ".name"), "must be 1-64 letters, digits and . _ + -");
      }
      if (!has_domain(user.domain)) {
        mistake(item("users", i, ".domain"), "is not one of `domains`");
      }
      if (!is_hex(user.ha1, digits)) {
        mistake(item("users", i, ".ha1"), "must be " + std::to_string(digits) +
                                              " lower-case hexadecimal digits: the hash of "
                                              "name:domain:password");
      }
      name_once(seen, item("users", i), user.name + "@" + user.domain);
    }
  }

  void servers() {
    std::set<std::string> seen;
    for (std::size_t i = 0; i < config_.servers.size(); ++i) {
      const InsideServers& group = config_.servers[i];
      if (!is_word(group.name)) {
        mistake(item("servers", i, ".name"), "must be 1-64 letters, digits, _ and -");
      }
      name_once(seen, item("servers", i, ".name"), group.name);
      if (group.uris.empty() || group.uris.size() > 6) {
        mistake(item("servers", i, ".uris"), "must name 1 to 6 servers");
      }
      for (std::size_t k = 0; k < group.uris.size(); ++k) {
        target(item("servers", i, ".uris") + "[" + std::to_string(k) + "]", group.uris[k]);
        tls_needs_listener(item("servers", i, ".uris"), group.uris[k]);
      }
      identity(item("servers", i), ".uris", group.identity, group.uris);
    }
    if (!config_.upstream.empty()) {
      target("upstream", config_.upstream);
      tls_needs_listener("upstream", config_.upstream);
    }
  }

  /// The SIP server chooses what it shows by the host and port that it connects to.
  void identity(const std::string& of, const char* uris_key, const TlsIdentity& identity,
                const std::vector<std::string>& uris) {
    const bool is_own = identity != TlsIdentity{};
    if (identity.certificate_file.empty() != identity.private_key_file.empty()) {
      mistake(of + ".certificate_file", "certificate and key go together; name both");
    } else if (!identity.certificate_file.empty()) {
      file(of + ".certificate_file", identity.certificate_file);
      file(of + ".private_key_file", identity.private_key_file);
    }
    if (!identity.trust_file.empty()) file(of + ".trust_file", identity.trust_file);
    bool is_used = false;
    for (const std::string& uri : uris) {
      const auto parsed = parse_target(uri);
      if (!parsed || parsed->transport != Transport::kTls) continue;
      is_used = true;
      const auto [known, is_new] = identity_by_hop_.emplace(to_hop(*parsed), identity);
      if (!is_new && known->second != identity) {
        mistake(of + uris_key, to_hop(*parsed) +
                                   " has another certificate or trust file in "
                                   "another section; there can be one");
      }
    }
    if (is_own && !is_used) {
      mistake(of + uris_key,
              "names no server with \";transport=tls\", but there is a "
              "certificate or trust file for it; remove that");
    }
  }

  void tls_needs_listener(const std::string& key, const std::string& uri) {
    const auto parsed = parse_target(uri);
    if (parsed && parsed->transport == Transport::kTls && config_.inside_tls_port == 0) {
      mistake(key, "is a TLS server, but inside_tls_port is 0; set it, for example to 5061");
    }
  }

  void routes() {
    for (std::size_t i = 0; i < config_.routes.size(); ++i) {
      if (!is_dial_pattern(config_.routes[i].pattern)) {
        mistake(item("routes", i, ".pattern"),
                "must be an extended regular expression of letters, digits and "
                "+ * # . _ - [ ] ( ) { } ^ | ? , with \\ only before . + * # ?");
      }
      names_servers(item("routes", i, ".servers"), config_.routes[i].servers);
    }
  }

  void names_servers(const std::string& key, const std::string& name) {
    const auto found = std::any_of(config_.servers.begin(), config_.servers.end(),
                                   [&name](const auto& group) { return group.name == name; });
    if (!found) mistake(key, "names no entry of `servers`; use the `name` of one");
  }

  void peers() {
    std::set<std::string> names;
    std::set<std::string> hops;
    for (std::size_t i = 0; i < config_.peers.size(); ++i) {
      const SipPeer& peer = config_.peers[i];
      if (!is_word(peer.name)) {
        mistake(item("peers", i, ".name"), "must be 1-64 letters, digits, _ and -");
      }
      name_once(names, item("peers", i, ".name"), peer.name);
      peer_domains(i, peer);
      if (has_outside(config_)) {
        certificate_names(i, peer);
        identity(item("peers", i), ".uri", peer.identity, {peer.uri});
      }
      if (peer.uri.empty()) continue;
      const auto parsed = parse_target(peer.uri);
      if (!parsed || parsed->transport != Transport::kTls) {
        mistake(item("peers", i, ".uri"), "must look like \"sip:host:5062;transport=tls\"");
      } else {
        // One connection per address and port: a second name there could not be told apart.
        name_once(hops, item("peers", i, ".uri"), to_hop(*parsed));
      }
    }
    if (has_outside(config_) && !config_.peers.empty() && config_.mtls_port == 0) {
      mistake("mtls_port", "is 0, but there are peers; set it, for example to 5062");
    }
  }

  void peer_domains(std::size_t index, const SipPeer& peer) {
    if (peer.domains.empty()) mistake(item("peers", index, ".domains"), "is empty");
    for (const std::string& domain : peer.domains) {
      if (!is_host_name(domain)) {
        mistake(item("peers", index, ".domains"), "must be DNS names in lower case");
      } else if (has_domain(domain)) {
        mistake(item("peers", index, ".domains"),
                "\"" + domain + "\" is ours: nobody else may speak for it");
      }
      name_once(peer_domains_, item("peers", index, ".domains"), domain);
    }
  }

  void certificate_names(std::size_t index, const SipPeer& peer) {
    const std::string key = item("peers", index, ".certificate_names");
    if (peer.certificate_names.empty()) {
      mistake(key, "is missing; name what stands in its certificate: [\"sip.partner.example\"]");
    }
    for (const std::string& name : peer.certificate_names) {
      if (!is_host_name(name)) mistake(key, "must be DNS names in lower case, no wildcards");
      name_once(certificate_names_, key, name);
    }
  }

  void emergency() {
    for (std::size_t i = 0; i < config_.emergency_numbers.size(); ++i) {
      if (!is_emergency_number(config_.emergency_numbers[i])) {
        mistake(item("emergency_numbers", i), "must be 2-15 digits");
      }
    }
    if (config_.emergency_numbers.empty()) return;
    if (!config_.upstream.empty() && config_.emergency_servers.empty()) return;
    if (!has_inside(config_)) return;
    names_servers("emergency_servers", config_.emergency_servers);
  }

  /// Calls to cores, edges and TLS servers never open a connection.
  bool needs_open_connections() const {
    // An edge asks its cores every second.
    const bool asks_zones = has_inside(config_);
    const auto sets = server_sets(config_);
    return std::any_of(sets.begin(), sets.end(), [asks_zones](const ServerSet& set) {
      return std::any_of(set.targets.begin(), set.targets.end(), [&](const Target& target) {
        return target.transport == Transport::kTls || (asks_zones && !set.sockets.empty());
      });
    });
  }

  void process() {
    const std::string& ng = config_.ng_endpoint;
    if (ng.starts_with("unix:")) {
      if (!is_plain_path(ng.substr(5)) || ng.size() > 5 + 107) {
        mistake("ng_endpoint", "needs an absolute path of at most 107 bytes after \"unix:\"");
      }
    } else if (!ng.starts_with("udp:") || !loopback(ng.substr(4))) {
      mistake("ng_endpoint", "must be \"unix:/PATH\" or \"udp:\" with a loopback address and port");
    }
    between("calls_per_minute_max", config_.calls_per_minute_max, 1, 10000);
    between("peer_calls_per_minute_max", config_.peer_calls_per_minute_max, 1, 100000);
    between("requests_per_second_max", config_.requests_per_second_max, 1, 100000);
    between("keepalive_failures_max", config_.keepalive_failures_max, 1, 100);
    between("worker_processes", config_.worker_processes, 1, 64);
    // Connections that say nothing for two minutes are closed; nothing else opens these again.
    const std::int64_t seconds_max = needs_open_connections() ? 60 : 3600;
    between("keepalive_seconds", config_.keepalive_interval.count(), 1, seconds_max);
    between("registration_seconds_max", config_.registration_max.count(), 60, 86400);
    if (!is_word(config_.run_user)) mistake("run_user", "must be an account name");
    if (!is_word(config_.relay_user)) mistake("relay_user", "must be an account name");
    if (!is_plain_path(config_.runtime_directory)) {
      mistake("runtime_directory", "must be an absolute path of letters, digits and / . _ + -");
    }
  }

  void zones() {
    std::set<std::string> ports;
    std::size_t peers = 0;
    for (const SipZone& zone : config_.zones) {
      if (!is_word(zone.name)) mistake("zones", zone_names() + zone.name);
      for (const ZonePeer& peer : zone.peers) {
        zone_peer("zone " + zone.name + ", peer " + peer.name + ": ", peer, ports);
        if (!is_word(peer.name)) mistake("zones", zone_names() + peer.name);
        ++peers;
      }
    }
    if (peers == 0) mistake("zones", "no zone has a peer, nobody could be called; add one");
    if (peers > kZoneSidesMax) {
      mistake("zones", "there are " + std::to_string(peers) + " peers, the SIP server knows " +
                           std::to_string(kZoneSidesMax) + "; remove some");
    }
  }
  static std::string zone_names() {
    return "names of zones and peers must be 1-64 letters, digits, _ and -, not ";
  }

  void zone_peer(const std::string& who, const ZonePeer& peer, std::set<std::string>& ports) {
    const std::pair<const char*, const SocketAddress&> all[] = {{"sip_listen", peer.listen},
                                                                {"sip_target", peer.target}};
    for (const auto& [key, address] : all) {
      if (!address.is_set() || !address.ip.is_loopback() || address.port < 1024) {
        mistake("zones", who + key +
                             " must be a loopback address and port such as \"127.0.0.1:7101\"; "
                             "the SIP server reaches the peer by it");
      } else if (!ports.insert(to_string(address)).second) {
        mistake("zones", who + key + " is " + to_string(address) +
                             ", which is taken; give each peer ports of its own, they tell the "
                             "SIP server who it is");
      }
    }
  }

  /// What `given` would say to a node that has no use for it.
  void misplaced(bool given, const char* key, const char* why) {
    if (given) mistake(key, why);
  }

  void peers_of_single() {
    for (std::size_t i = 0; i < config_.peers.size(); ++i) {
      edges_of_no_core(i);
      if (config_.peers[i].zone.empty()) continue;
      mistake(item("peers", i, ".zone"), "is given, but this node has no zones; remove it");
    }
  }

  void edge() {
    misplaced(!config_.inside_networks.empty(), "inside_networks",
              "is given, but an edge has no inside network; move it to the core");
    misplaced(config_.inside_tls_port != 0, "inside_tls_port",
              "is given, but an edge has no inside network; move it to the core");
    misplaced(config_.trust_local_processes, "trust_local_processes",
              "is given, but an edge has no inside network; remove it");
    misplaced(!config_.upstream.empty(), "upstream",
              "is given, but an edge sends registrations to its cores; move it to the core");
    misplaced(!config_.emergency_servers.empty(), "emergency_servers",
              "is given, but the servers are the core's; move it there");
    constexpr const char* kToCore = "belongs on the core: an edge has no passwords and no servers";
    for (std::size_t i = 0; i < config_.users.size(); ++i) mistake(item("users", i), kToCore);
    for (std::size_t i = 0; i < config_.servers.size(); ++i) mistake(item("servers", i), kToCore);
    for (std::size_t i = 0; i < config_.routes.size(); ++i) mistake(item("routes", i), kToCore);
    for (std::size_t i = 0; i < config_.peers.size(); ++i) {
      zone_of_peer(i, config_.peers[i]);
      edges_of_no_core(i);
    }
    zone_domains();
  }

  void core() {
    constexpr const char* kToEdge = "is given, but clients connect to the edge; move it there";
    misplaced(config_.wss_port != 0, "wss_port", kToEdge);
    misplaced(!config_.websocket_origins.empty(), "websocket_origins", kToEdge);
    for (std::size_t i = 0; i < config_.sni_certificates.size(); ++i) {
      mistake(item("sni_certificates", i), kToEdge);
    }
    for (std::size_t i = 0; i < config_.peers.size(); ++i) peer_of_core(i, config_.peers[i]);
  }

  void zone_of_peer(std::size_t index, const SipPeer& peer) {
    const std::string key = item("peers", index, ".zone");
    if (peer.zone.empty()) {
      if (config_.zones.size() > 1) {
        mistake(key, "is missing; name the zone whose cores this peer calls: there are several");
      }
      return;
    }
    const bool is_known = std::any_of(config_.zones.begin(), config_.zones.end(),
                                      [&](const SipZone& zone) { return zone.name == peer.zone; });
    if (!is_known) mistake(key, "is no zone of this node; name one of them");
  }

  void edges_of_no_core(std::size_t index) {
    if (config_.peers[index].edges.empty()) return;
    mistake(item("peers", index, ".edges"), "is given, but only a core has edges; remove it");
  }

  bool has_zone_peer(const std::string& name) const {
    for (const SipZone& zone : config_.zones) {
      for (const ZonePeer& peer : zone.peers) {
        if (peer.name == name) return true;
      }
    }
    return false;
  }

  /// Peers connect to edges.
  void peer_of_core(std::size_t index, const SipPeer& peer) {
    constexpr const char* kToEdge = "is given, but the peer connects to the edge; move it there";
    const auto misplaced_of = [&](bool given, const char* member) {
      if (given) mistake(item("peers", index, member), kToEdge);
    };
    misplaced_of(!peer.certificate_names.empty(), ".certificate_names");
    misplaced_of(peer.verify_name != VerifyName::kSan, ".verify_name");
    for (const std::string& edge : peer.edges) {
      if (has_zone_peer(edge)) continue;
      mistake(item("peers", index, ".edges"),
              "\"" + edge + "\" is no peer of this core's zone; name those by which it comes");
    }
    misplaced_of(!peer.uri.empty(), ".uri");
    misplaced_of(!peer.identity.certificate_file.empty(), ".certificate_file");
    misplaced_of(!peer.identity.private_key_file.empty(), ".private_key_file");
    misplaced_of(!peer.identity.trust_file.empty(), ".trust_file");
  }

  void zone_domains() {
    std::set<std::string> served;
    bool serves_all = false;
    for (const SipZone& zone : config_.zones) {
      serves_all = serves_all || zone.domains.empty();
      for (const std::string& domain : zone.domains) {
        served.insert(domain);
        if (!has_domain(domain)) {
          mistake("domains", "lacks " + domain + ", which zone " + zone.name +
                                 " serves; add it, or remove it there");
        }
      }
    }
    for (const std::string& domain : config_.domains) {
      if (serves_all || served.count(domain) != 0) continue;
      mistake("domains",
              "holds " + domain + ", which no zone serves; add it to the domains of one");
    }
  }

  static bool loopback(const std::string& text) {
    const auto address = parse_socket_address(text);
    return address && address->ip.is_loopback();
  }

  void between(const char* key, std::int64_t value, std::int64_t min, std::int64_t max) {
    if (value < min || value > max) {
      mistake(key, "must be " + std::to_string(min) + "-" + std::to_string(max));
    }
  }

  bool has_domain(const std::string& domain) const {
    return std::find(config_.domains.begin(), config_.domains.end(), domain) !=
           config_.domains.end();
  }

  const SipConfig& config_;
  std::vector<Mistake> mistakes_;
  std::set<std::string> peer_domains_;
  std::set<std::string> certificate_names_;
  std::map<std::string, TlsIdentity> identity_by_hop_;
};

}  // namespace

std::vector<Mistake> check(const SipConfig& config) {
  return Judge(config).run();
}

}  // namespace turnpike::sidecar
