#include "control/doctor/examine.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <optional>

#include <pwd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/config/accounts.h"
#include "control/config/identities.h"
#include "control/config/load.h"
#include "control/config/products.h"
#include "control/config/secret_file.h"
#include "control/doctor/daemon_state.h"
#include "control/doctor/judge.h"
#include "control/doctor/look.h"
#include "control/doctor/own_files.h"
#include "control/doctor/probe.h"
#include "control/doctor/signs.h"
#include "control/ng/client.h"
#include "control/sidecar/grammar.h"

namespace turnpike::doctor {
namespace {

constexpr Milliseconds kPingTime{2000};
constexpr const char* kRelay = "turnpiked";
constexpr const char* kSipServer = "kamailio";

std::string name_of_account(uid_t uid) {
  const passwd* const entry = ::getpwuid(uid);
  return entry == nullptr ? std::to_string(uid) : entry->pw_name;
}

/// Of the running daemon, else the one that it is to have, else ours.
std::string account_of(const DaemonState& daemon, const std::string& configured) {
  struct stat status {};
  const std::string place = "/proc/" + std::to_string(daemon.pid);
  if (daemon.pid != 0 && ::stat(place.c_str(), &status) == 0) {
    return name_of_account(status.st_uid);
  }
  if (::geteuid() == 0 && ::getpwnam(configured.c_str()) != nullptr) return configured;
  return name_of_account(::geteuid());
}

/// Empty when the answer is a pong.
std::string ping(Result<ng::Client> client) {
  if (!client) return client.error().message;
  const auto answer = client->request({{"command", "ping"}}, kPingTime);
  if (!answer) return answer.error().message;
  for (const auto& [key, value] : *answer) {
    const std::string* const text = value.as_string();
    if (key == "result" && text != nullptr && *text == "pong") return {};
  }
  return "the answer to a ping is no pong";
}

class Examination {
 public:
  Examination(const ExamineOptions& options, config::Settings settings, Report& report)
      : options_(options),
        settings_(std::move(settings)),
        host_(config::Host::read(settings_)),
        is_core_(settings_.node.role == "core"),
        report_(report) {}

  void run() {
    const std::string& path =
        options_.socket_path.empty() ? settings_.api.unix_path : options_.socket_path;
    daemon_ = ask_daemon(path);
    sockets_ = read_bound_sockets();
    if (daemon_.has_api && !daemon_.running && !daemon_.forbidden) {
      daemon_.signs = signs_of_life(settings_, sockets_);
    }
    judge_daemon(daemon_, path, report_);
    examine_files();
    examine_addresses();
    judge_limits(look_at_limits(settings_, host_, daemon_.pid), report_);
    judge_media_ports(look_at_media_ports(settings_, host_, sockets_), report_);
    examine_listeners();
    examine_ng();
    if (const std::string& holder = settings_.holder.unix_path; !holder.empty()) {
      judge_holder(holder, daemon_, daemon_.running ? ConnectFacts{} : try_holder(holder), report_);
    }
    examine_names();
    examine_listener_files(settings_, std::chrono::system_clock::now(), report_);
    examine_turn_files(settings_, std::chrono::system_clock::now(), report_);
    examine_sip_files();
    if (const std::string clash = config::trust_clash(settings_); !clash.empty()) {
      report_.sentence(Verdict::kFailed, "zones", clash);
    }
    for (const config::ZoneSection& zone : settings_.zones) examine_zone(zone);
  }

 private:
  void examine_files() {
    std::vector<FileFacts> files{{"--config", options_.config_path}};
    for (const config::ZoneSection& zone : settings_.zones) {
      const std::string prefix = "zone." + zone.name + ".";
      files.push_back({prefix + "certificate_file", zone.certificate_file});
      files.push_back({prefix + "private_key_file", zone.private_key_file});
      files.push_back({prefix + "trust_file", zone.trust_file});
      files.push_back({prefix + "password_file", zone.password_file});
    }
    const std::string account =
        options_.account.empty() ? account_of(daemon_, settings_.sip.relay_user) : options_.account;
    try_files(account, files);
    judge_files(files, account, report_);
    for (const std::string& text : config::key_access_warnings(settings_)) {
      report_.sentence(Verdict::kFailed, "files", text);
    }
    judge_clock(look_at_clock(files), report_);
  }

  void examine_addresses() {
    const std::string check = "addresses";
    const auto without = config::interfaces_without_address(settings_, host_);
    for (const std::string& text : without) report_.sentence(Verdict::kFailed, check, text);
    const auto missing = config::missing_addresses(settings_, host_);
    if (without.empty()) {
      for (const std::string& text : missing) report_.sentence(Verdict::kWarning, check, text);
    }
    if (missing.empty()) {
      report_.ok(check, "those of all " + std::to_string(settings_.interfaces.size()) +
                            " interfaces are addresses of this host");
    }
  }

  void listener(const std::string& key, const SocketAddress& address, const char* program,
                bool is_udp = false) {
    if (!address.is_set()) return;
    ListenerFacts facts{.key = key, .address = address, .is_udp = is_udp, .program = program};
    look_at_listener(sockets_, facts);
    judge_listener(facts, daemon_, report_);
  }

  /// A dozen ports that are well are one line.
  void examine_flow_ports() {
    const std::vector<SocketAddress> ports = config::flow_ports(settings_);
    if (ports.empty()) return;
    Report each;
    for (const SocketAddress& address : ports) {
      ListenerFacts facts{
          .key = "flow ports", .address = address, .is_udp = true, .program = kRelay};
      look_at_listener(sockets_, facts);
      judge_listener(facts, daemon_, each);
    }
    for (const Verdict verdict : {Verdict::kFailed, Verdict::kWarning}) {
      const auto& all = each.findings();
      const auto first = std::find_if(
          all.begin(), all.end(), [verdict](const Finding& one) { return one.verdict == verdict; });
      if (first == all.end()) continue;
      const std::size_t more = each.count(verdict) - 1;
      const std::string saw =
          first->saw + (more == 0 ? "" : ", and so with " + std::to_string(more) + " more");
      report_.add({verdict, first->check, saw, first->mend});
    }
    if (each.count(Verdict::kOk) != ports.size()) return;
    report_.ok("flow ports", std::to_string(ports.size()) + " from " + to_string(ports.front()) +
                                 (daemon_.running ? " are taken by turnpiked" : " are free"));
  }

  void examine_listeners() {
    examine_flow_ports();
    for (const config::ZoneSection& zone : settings_.zones) {
      const std::string prefix = "zone." + zone.name + ".";
      listener(prefix + "listen", zone.listen, kRelay);
      for (const config::ZonePeerSection& peer : zone.peers) {
        listener(prefix + "peer." + peer.name + ".sip_listen", peer.sip_listen, kRelay);
      }
    }
    listener("api.metrics", settings_.api.metrics, kRelay);
    listener("api.listen", settings_.api.listen, kRelay);
    listener("ng.udp", settings_.ng.udp, kRelay, true);
    listener("ng.tcp", settings_.ng.tcp, kRelay);
    listener("ng.http", settings_.ng.http, kRelay);
    if (!config::wants_sidecar(settings_)) return;
    const sidecar::SipConfig sip = config::sip_config(settings_);
    if (sip.role != sidecar::NodeRole::kCore) examine_outside_listeners(sip);
    if (sip.role != sidecar::NodeRole::kEdge) examine_inside_listeners(sip);
  }

  void examine_outside_listeners(const sidecar::SipConfig& sip) {
    for (const auto& address : sip.outside.addresses) {
      listener("sip.tls_port", {address.local, sip.tls_port}, kSipServer);
      listener("sip.wss_port", {address.local, sip.wss_port}, kSipServer);
      if (sip.peers.empty()) continue;
      listener("sip.mtls_port", {address.local, sip.mtls_port}, kSipServer);
    }
  }

  void examine_inside_listeners(const sidecar::SipConfig& sip) {
    for (const auto& address : sip.inside.addresses) {
      listener("sip.inside_port", {address.local, sip.inside_port}, kSipServer, true);
      listener("sip.inside_port", {address.local, sip.inside_port}, kSipServer);
      listener("sip.inside_tls_port", {address.local, sip.inside_tls_port}, kSipServer);
    }
  }

  void examine_ng() {
    if (!daemon_.running) return;
    const std::string& path = settings_.ng.unix_path;
    if (!path.empty() && ::access(path.c_str(), W_OK) != 0 && errno == EACCES) {
      report_.warning("NG", "this account may not ask on " + path, "run doctor as root");
    } else if (!path.empty()) {
      judge_ng(path, ping(ng::Client::connect_unix(path)), report_);
    }
    if (settings_.ng.udp.is_set()) {
      judge_ng("UDP " + to_string(settings_.ng.udp),
               ping(ng::Client::connect_udp(settings_.ng.udp)), report_);
    }
  }

  void resolve(const std::string& uri, Verdict verdict) {
    const auto target = sidecar::parse_target(uri);
    if (!target || target->is_address) return;
    const std::string trouble = resolve_trouble(target->host);
    if (trouble.empty()) {
      report_.ok("names", target->host + " has an address");
    } else {
      report_.sentence(verdict, "names",
                       target->host + ": " + trouble + "; correct the name in " + uri +
                           ", or what /etc/resolv.conf names");
    }
  }

  void examine_names() {
    if (!config::wants_sidecar(settings_)) return;
    const sidecar::SipConfig sip = config::sip_config(settings_);
    for (const auto& servers : sip.servers) {
      for (const std::string& uri : servers.uris) resolve(uri, Verdict::kFailed);
    }
    if (!sip.upstream.empty()) resolve(sip.upstream, Verdict::kFailed);
    for (const auto& peer : sip.peers) {
      if (!peer.uri.empty()) resolve(peer.uri, Verdict::kWarning);
    }
  }

  void examine_sip_files() {
    if (!config::wants_sidecar(settings_)) return;
    const pki::Judgement files = config::judge_sip_identities(settings_);
    for (const std::string& text : files.mistakes) {
      report_.sentence(Verdict::kFailed, "SIP certificates", text);
    }
    for (const std::string& text : files.warnings) {
      report_.sentence(Verdict::kWarning, "SIP certificates", text);
    }
    if (files.mistakes.empty() && files.warnings.empty()) {
      report_.ok("SIP certificates", "names, keys, dates and authorities are right");
    }
    sidecar::SipConfig sip = config::sip_config(settings_);
    if (!sip.upstream.empty()) return;
    for (const std::string& text : config::add_users_of_file(settings_, sip).mistakes) {
      report_.sentence(Verdict::kFailed, "SIP users", text);
    }
  }

  const ZoneState* state_of(const std::string& zone) const {
    const auto& all = daemon_.zones;
    const auto found =
        std::find_if(all.begin(), all.end(), [&](const auto& one) { return one.name == zone; });
    return found == all.end() ? nullptr : &*found;
  }

  void examine_zone(const config::ZoneSection& zone) {
    examine_zone_files(zone, std::chrono::system_clock::now(), report_);
    const ZoneState* const state = state_of(zone.name);
    if (state != nullptr && !state->files_trouble.empty()) {
      report_.failed("zone " + zone.name + ": files in use",
                     "turnpiked could not load them: " + state->files_trouble,
                     "mend them, then systemctl reload turnpiked");
    }
    const zone::ServiceConfig service = config::zone_config(settings_);
    const auto of_service =
        std::find_if(service.zones.begin(), service.zones.end(),
                     [&](const zone::ZoneConfig& one) { return one.name == zone.name; });
    for (std::size_t i = 0; i < zone.peers.size(); ++i) {
      const config::ZonePeerSection& peer = zone.peers[i];
      examine_peer(zone, peer, *of_service, of_service->peers[i], state);
      if (!peer.sip_target.is_set()) continue;
      // Not tried: the packet filter may let in nobody but turnpiked.
      ListenerFacts target{.key = "zone." + zone.name + ".peer." + peer.name + ".sip_target",
                           .address = peer.sip_target,
                           .program = config::wants_sidecar(settings_) ? kSipServer : ""};
      look_at_listener(sockets_, target);
      judge_sip_target(target, report_);
    }
  }

  void examine_peer(const config::ZoneSection& zone, const config::ZonePeerSection& peer,
                    const zone::ZoneConfig& zone_config, const zone::PeerConfig& peer_config,
                    const ZoneState* state) {
    const PeerState* known = nullptr;
    if (state != nullptr) {
      for (const PeerState& one : state->peers) {
        if (one.name == peer.name) known = &one;
      }
    }
    if (known != nullptr && known->up) {
      judge_peer_up(zone.name, *known, report_);
      return judge_flows(zone, *known, report_);
    }
    if (is_core_) return try_peer(zone, peer, zone_config, peer_config, state, known);
    if (known != nullptr) judge_peer_missing(zone, peer, *state, *known, report_);
  }

  /// A connection of ours would replace one that the daemon may have.
  void leave_peer_alone(const config::ZoneSection& zone, const config::ZonePeerSection& peer,
                        const std::string& why) {
    report_.unclear("zone " + zone.name + ", edge " + peer.name,
                    "not tried, for " + why + " and may have a connection, which would be lost",
                    "do what the line \"daemon\" says, or restart turnpiked if it runs with an "
                    "older state of this file; then run doctor again");
  }

  /// A whole connection would replace one that the daemon may have.
  void try_tcp_only(const config::ZoneSection& zone, const config::ZonePeerSection& peer) {
    ProbeFacts facts;
    facts.to = peer.address;
    facts.connect = try_tcp(facts.to);
    if (facts.connect.error != 0) {
      return judge_probe(zone, peer, facts, nullptr, nullptr, std::chrono::system_clock::now(),
                         report_);
    }
    report_.unclear("zone " + zone.name + ", edge " + peer.name,
                    to_string(facts.to) +
                        " takes connections; more was not tried, for turnpiked "
                        "may have one and does not tell",
                    "make it possible to ask turnpiked, as the line \"daemon\" says");
  }

  /// As far as this node's files allow.
  void try_peer(const config::ZoneSection& zone, const config::ZonePeerSection& peer,
                const zone::ZoneConfig& zone_config, const zone::PeerConfig& peer_config,
                const ZoneState* state, const PeerState* known) {
    if (!daemon_.signs.empty()) {
      return leave_peer_alone(zone, peer, "a turnpiked seems to run");
    }
    if (daemon_.unclear) return try_tcp_only(zone, peer);
    if (daemon_.running && known == nullptr) {
      return leave_peer_alone(zone, peer, "the turnpiked that runs has no such peer");
    }
    const auto context = tls::Context::load(zone_config.tls);
    const auto password = config::read_secret_file(zone_config.password_file);
    ProbeFacts facts;
    facts.to = peer_config.address;
    if (context && password) {
      // One of its connections may be up: the other one is missing then.
      const bool first_is_up =
          known != nullptr && !known->connections.empty() && known->connections.front().up;
      facts = probe_edge(
          zone_config, peer_config, settings_.node.name,
          first_is_up ? zone::Purpose::kSignallingByEdge : zone::Purpose::kSignallingByCore,
          {*context, std::make_shared<const Secret>(*password)});
    } else if (facts.connect = try_tcp(facts.to); facts.connect.error == 0) {
      return report_.failed("zone " + zone.name + ", edge " + peer.name,
                            to_string(facts.to) +
                                " takes connections; more was not tried, for "
                                "this node's own files cannot be used",
                            "mend what is told above");
    }
    judge_probe(zone, peer, facts, state, known, std::chrono::system_clock::now(), report_);
  }

  const ExamineOptions& options_;
  config::Settings settings_;
  config::Host host_;
  bool is_core_;
  Report& report_;
  DaemonState daemon_;
  std::vector<BoundSocket> sockets_;
};

}  // namespace

Report examine(const ExamineOptions& options) {
  Report report;
  // Keys and the zones' passwords are read into this process.
  const rlimit none{0, 0};
  if (::setrlimit(RLIMIT_CORE, &none) != 0 || ::prctl(PR_SET_DUMPABLE, 0) != 0) {
    report.failed("memory", "core dumps cannot be switched off; they would hold keys",
                  "run doctor where the kernel allows that");
    return report;
  }
  const std::string check = "configuration";
  config::Loaded loaded = config::load_file(options.config_path);
  if (!loaded.findings.has_mistakes()) config::check_accounts(loaded.settings, loaded.findings);
  for (const std::string& text : loaded.findings.mistakes()) {
    report.sentence(Verdict::kFailed, check, text);
  }
  if (loaded.findings.has_mistakes()) return report;
  report.ok(check, options.config_path + ", role " + loaded.settings.node.role);
  for (const std::string& text : loaded.findings.warnings()) {
    report.sentence(Verdict::kWarning, check, text);
  }
  Examination(options, std::move(loaded.settings), report).run();
  return report;
}

}  // namespace turnpike::doctor
