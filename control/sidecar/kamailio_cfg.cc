// kamailio.cfg: listeners, process settings, modules and their parameters. The script itself is in
// routes.cfg and site.cfg, which it includes.
#include <algorithm>
#include <string>

#include "control/sidecar/layout.h"

namespace turnpike::sidecar {
namespace {

/// Counters of refusals, by reason; readable over the control socket ("stats.fetch all").
constexpr const char* kCounters[] = {
    "refused_malformed", "refused_source",  "refused_peer",   "refused_identity",
    "refused_digest",    "refused_rate",    "refused_method", "refused_destination",
    "refused_servers",   "refused_offline", "refused_dialog", "refused_media",
    "refused_relay",     "refused_send",    "refused_origin", "refused_http",
    "refused_strangers", "dropped_flood",
};

// Shared memory is where strangers could hurt everybody: once it is full, nobody can call. All of
// it that connections may take is here; the figures per connection are measured, and rounded up.
constexpr std::int64_t kSharedMemoryMib = 512;
constexpr std::int64_t kReadBufferBytes = 20480;  ///< holds any message that is not too large
constexpr std::int64_t kTlsConnectionKib = 96;    ///< with its read buffer and OpenSSL's memory
constexpr std::int64_t kWebsocketKib = 160;       ///< the same, and 64 for joining frames
constexpr std::int64_t kStrangersOfNetworkMax = 100;

/// Three quarters are for connections; calls and registrations have the rest.
std::int64_t connections_max(const SipConfig& config) {
  const std::int64_t each = has_browsers(config) ? kWebsocketKib : kTlsConnectionKib;
  return kSharedMemoryMib * 1024 * 3 / 4 / each;
}

/// A quarter is for WebSockets of nobody yet, so that users have half of all.
constexpr std::int64_t kStrangersMax = kSharedMemoryMib * 1024 / 4 / kWebsocketKib;

constexpr std::int64_t kWindowSeconds = 2;  ///< in which requests of a source are counted
std::int64_t window_requests_max(const SipConfig& config) {
  return kWindowSeconds * static_cast<std::int64_t>(config.requests_per_second_max);
}

constexpr std::int64_t kAnswerSeconds = 5;  ///< until a request without answer has failed
/// In which a SIP server behind a zone says that it has got a call (100 Trying); it is local there.
constexpr std::int64_t kZoneAnswerMs = 2000;
/// Hang-ups that wait for the other node, how long they wait, and their size.
constexpr std::int64_t kHangupsMax = 1000;
constexpr std::int64_t kHangupSeconds = 600;
constexpr std::int64_t kHangupBytesMax = 4000;
/// Until a call is answered or has failed; longer than tm lets it ring.
constexpr std::int64_t kRingingSeconds = 300;
/// Of connections through zones, which strangers outside cannot take.
constexpr std::int64_t kZoneConnectionsMax = 64;
/// How often an edge asks its cores whether they live.
constexpr std::int64_t kCoreKeepaliveSeconds = 1;

/// Answers to one INVITE that it rings, of all the devices that do; further ones are dropped.
constexpr std::int64_t kProvisionalMax = 100;

/// Wrong passwords of one user over one edge within five minutes, from whatever networks it says.
constexpr std::int64_t kEdgeFailuresMax = 100;
/// Of wrong passwords, all of them in use, as whoever wants to lock users out has to fill them.
constexpr std::int64_t kFailuresMib = 64;
constexpr std::int64_t kFailureBytes = 224;  ///< of a counter; measured, and rounded up

constexpr std::int64_t kCountersOfSite = 8;  ///< others for one of a site
/// Wrong passwords of one IPv4 /24 or IPv6 /48 within five minutes: twenty of its networks'.
constexpr std::int64_t kSiteFailuresMax = 1200;

/// Of one side, and one row of two: counters for sites. As many times kCountersOfSite are there for
/// users from a network, for networks, and on a core for users over an edge.
std::int64_t site_counters(const SipConfig& config) {
  const auto zones = static_cast<std::int64_t>(zone_sides(config).size());
  const std::int64_t sides = is_of_pair(config) ? 1 + zones : 2;
  const std::int64_t kinds = is_of_pair(config) ? 2 + 3 * zones : 4;
  return kFailuresMib * 1024 * 1024 / kFailureBytes / (2 * (kinds * kCountersOfSite + sides));
}

/// Of one side in a minute, each of a source and a reason.
constexpr std::int64_t kLogLinesMax = 1000;

/// Of one user, at a registrar.
constexpr std::int64_t kContactsMax = 10;

constexpr std::int64_t kCallSecondsMax = 43200;  ///< what is remembered of a call and its peers
constexpr std::int64_t kCallsUpOfRate = 10;      ///< minutes of calls at the limit that may be up
/// Calls whose end nobody told keep their caller from others for so long.
constexpr std::int64_t kCallCountedSeconds = 7200;
/// What is learnt of a call that has no answer here, over or from before a restart.
constexpr std::int64_t kUnansweredSeconds = 1800;
constexpr std::int64_t kPartiesMax = 8;     ///< of one pass of a call, with tags of their own
constexpr std::int64_t kOverSeconds = 64;   ///< that a call is over
constexpr std::int64_t kCurlTimedOut = 28;  ///< CURLE_OPERATION_TIMEDOUT

/// Of connections: whose other end stands for a node or a peer.
bool needs_closed_events(const SipConfig& config) {
  return is_of_pair(config) || has_peers(config);
}

std::string define(std::string_view name, std::string_view value = "") {
  return "#!define " + std::string(name) + (value.empty() ? "" : " ") + std::string(value) + "\n";
}
std::string define(std::string_view name, std::int64_t value) {
  return define(name, std::to_string(value));
}

/// After which an edge's peer does not count as there any longer.
std::int64_t peer_silent_seconds(const SipConfig& config) {
  return config.keepalive_interval.count() * config.keepalive_failures_max + kAnswerSeconds;
}

std::string pair_defines(const SipConfig& config) {
  std::string text;
  if (config.role == NodeRole::kEdge) {
    text += define("WITH_EDGE") + define("PEER_SILENT_SECONDS", peer_silent_seconds(config));
  }
  if (config.role == NodeRole::kCore) {
    text += define("WITH_CORE") + define("CONTACTS_MAX", kContactsMax) +
            define("EDGE_FAILURES_MAX", kEdgeFailuresMax);
  }
  if (!is_of_pair(config)) return text;
  text += define("WITH_ZONE") + define("ZONE_ANSWER_MS", kZoneAnswerMs) +
          define("HANGUPS_MAX", kHangupsMax) + define("HANGUP_BYTES_MAX", kHangupBytesMax) +
          define("REGISTRATION_SECONDS_MAX", config.registration_max.count());
  return text;
}

std::string defines(const SipConfig& config, const std::string& signing_key) {
  std::string text;
  if (has_clients(config)) text += define("WITH_CLIENTS");
  if (has_browsers(config)) {
    text += define("WITH_BROWSERS") + define("WEBSOCKET_STRANGERS_MAX", kStrangersMax) +
            define("NETWORK_STRANGERS_MAX", kStrangersOfNetworkMax);
  }
  if (knows_peers(config)) text += define("WITH_PEERS");
  if (asks_peers(config)) text += define("WITH_CALLED_PEERS");
  if (needs_closed_events(config)) text += define("WITH_CLOSED_EVENTS");
  if (has_registrar(config)) {
    text += define("WITH_REGISTRAR") +
            define("FAILURE_COUNTERS", site_counters(config) * kCountersOfSite) +
            define("SITE_COUNTERS", site_counters(config)) +
            define("SITE_FAILURES_MAX", kSiteFailuresMax);
  }
  if (has_upstream(config)) text += define("WITH_UPSTREAM");
  if (has_tls(config)) text += define("WITH_TLS");
  text += pair_defines(config);
  if (config.health.is_set()) {
    text += define("WITH_HEALTH") + define("HEALTH_TIMEOUT", kCurlTimedOut);
    text += define("HEALTH_URL", "\"http://" + to_string(config.health) + "/healthz\"");
  }
  text += define("FLAG_OUTSIDE", 1) + define("FLAG_PEER", 2) + define("FLAG_OWN", 3) +
          define("BRANCH_OUTSIDE", 1) + define("BRANCH_PEER", 2);
  if (is_of_pair(config)) text += define("FLAG_ZONE", 4) + define("BRANCH_ZONE", 3);
  text += define("MESSAGE_BYTES_MAX", 16000) + define("CALL_ID_BYTES_MAX", 512) +
          define("TAG_BYTES_MAX", 128) + define("PARTIES_MAX", kPartiesMax) +
          define("PROVISIONAL_MAX", kProvisionalMax) + define("LINES_MAX", kLogLinesMax) +
          define("UNANSWERED_SECONDS", kUnansweredSeconds);
  text += define("WINDOW_REQUESTS_MAX", window_requests_max(config));
  text += define("CALLS_PER_MINUTE_MAX", config.calls_per_minute_max);
  text += define("PEER_CALLS_PER_MINUTE_MAX", config.peer_calls_per_minute_max);
  text += define("CALLS_UP_MAX", kCallsUpOfRate * config.calls_per_minute_max) +
          define("PEER_CALLS_UP_MAX", kCallsUpOfRate * config.peer_calls_per_minute_max);
  text += define("CONNECTION_REGISTERED_SECONDS", config.registration_max.count() + 10);
  text += define("CONNECTION_PEER_SECONDS", kCallSecondsMax);
  const bool srtp = config.inside_media == InsideMedia::kSrtp;
  text += define("INSIDE_PROTOCOL", srtp ? "\"RTP/SAVP\"" : "\"RTP/AVP\"");
  if (config.outside_media == OutsideMedia::kDtls) text += define("OUTSIDE_DTLS");
  text += define("SIGNING_KEY", "\"" + signing_key + "\"");
  return text + "\n";
}

class Listeners {
 public:
  void add(const char* transport, const InterfaceAddress& address, std::uint16_t port,
           const std::string& name) {
    text_ += "listen=" + socket_text(transport, address.local, port);
    if (address.advertised.is_set() && address.advertised != address.local) {
      text_ += " advertise " + host_text(address.advertised) + ":" + std::to_string(port);
    }
    text_ += " name \"" + name + "\"\n";
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

/// The names say to the script which side a request came from.
std::string listeners(const SipConfig& config) {
  static const std::vector<InterfaceAddress> kNone;
  Listeners all;
  int index = 0;
  for (const auto& address : has_inside(config) ? config.inside.addresses : kNone) {
    const std::string number = std::to_string(index++);
    all.add("udp", address, config.inside_port, "inside_udp" + number);
    all.add("tcp", address, config.inside_port, "inside_tcp" + number);
    if (config.inside_tls_port != 0) {
      all.add("tls", address, config.inside_tls_port, "inside_tls" + number);
    }
  }
  index = 0;
  for (const auto& address : has_outside(config) ? config.outside.addresses : kNone) {
    const std::string number = std::to_string(index++);
    if (config.tls_port != 0) all.add("tls", address, config.tls_port, "clients" + number);
    if (has_browsers(config)) all.add("tls", address, config.wss_port, "browsers" + number);
    if (has_peers(config)) all.add("tls", address, config.mtls_port, "peers" + number);
  }
  if (const SocketAddress door = door_listener(config); door.is_set()) {
    all.add("tls", {door.ip, door.ip}, door.port, "browsers_door");
  }
  for (const ZoneSide& side : zone_sides(config)) {
    const IpAddress& ip = side.peer->target.ip;
    all.add("tcp", {ip, ip}, side.peer->target.port, "zone" + side.letter);
  }
  std::string text = all.text();
  for (const std::string& domain : config.domains) text += "alias=\"" + domain + "\"\n";
  return text + "\n";
}

std::string process(const SipConfig& config) {
  const std::string workers = std::to_string(config.worker_processes);
  const std::int64_t of_zones = is_of_pair(config) ? kZoneConnectionsMax : 0;
  const std::string connections = std::to_string(connections_max(config) + of_zones);
  const std::string tls_connections = std::to_string(connections_max(config));
  return "debug=1\n"
         "log_facility=LOG_DAEMON\n"
         "log_prefix_mode=1\n"
         // Its memory holds keys of calls.
         "disable_core_dump=yes\n"
         "shm_mem_size=" +
         std::to_string(kSharedMemoryMib) +
         "\n"
         "children=" +
         workers +
         "\n"
         // One process for all TCP and TLS: OpenSSL's error queue lies in memory that Kamailio
         // 5.6's processes share, so that with more of them a handshake that fails in one makes
         // another one cut off a client that did nothing.
         "tcp_children=1\n"
         "enable_tls=" +
         std::string(has_tls(config) ? "yes" : "no") +
         "\n"
         "auto_aliases=no\n"
         "mhomed=0\n"
         "server_signature=no\n"
         "user_agent_header=\"User-Agent: Turnpike\"\n"
         "pv_buffer_size=16384\n"
         "tcp_async=yes\n"
         "tcp_connect_timeout=3\n"
         "tcp_send_timeout=3\n"
         // Until a registration says otherwise: a connection that says nothing does not stay.
         "tcp_connection_lifetime=120\n"
         "tcp_max_connections=" +
         connections +
         "\n"
         "tls_max_connections=" +
         tls_connections +
         "\n"
         "tcp_keepalive=yes\n"
         "tcp_keepidle=30\n"
         "tcp_keepintvl=10\n"
         "tcp_keepcnt=3\n"
         "tcp_accept_aliases=no\n"
         "tcp_rd_buf_size=" +
         std::to_string(kReadBufferBytes) + "\n" +
         // What a browser opens a WebSocket with has no Content-Length.
         std::string(has_browsers(config) ? "tcp_accept_no_cl=yes\n" : "") +
         "dns_retr_time=1\n"
         "dns_retr_no=1\n"
         // That a name is not known is forgotten as soon.
         "dns_cache_negative_ttl=5\n"
         "use_dns_failover=no\n" +
         // Through all calls that ring.
         std::string(is_of_pair(config) ? "max_while_loops=100000\n\n" : "\n");
}

std::string modules(const SipConfig& config) {
  std::string text;
  std::string names =
      "kex corex tm tmx sl rr pv maxfwd textops siputils xlog sanity ctl htable pike statistics "
      "ipops nathelper tcpops dispatcher rtpengine";
  if (has_tls(config)) names += " tls";
  if (has_registrar(config)) names += " db_text auth auth_db usrloc registrar";
  if (has_upstream(config)) names += " path";
  if (config.health.is_set() || is_of_pair(config)) names += " rtimer";
  if (config.health.is_set()) names += " http_client debugger";
  // The script gives itself one command; nobody else can by this.
  if (is_of_pair(config)) names += " jsonrpcs";
  if (has_browsers(config)) names += " xhttp websocket";
  std::size_t start = 0;
  while (start < names.size()) {
    const std::size_t end = std::min(names.find(' ', start), names.size());
    text += "loadmodule \"" + names.substr(start, end - start) + ".so\"\n";
    start = end + 1;
  }
  return text + "\n";
}

std::string parameter(const char* module, const char* name, const std::string& value) {
  return std::string("modparam(\"") + module + "\", \"" + name + "\", \"" + value + "\")\n";
}
std::string parameter(const char* module, const char* name, std::int64_t value) {
  return std::string("modparam(\"") + module + "\", \"" + name + "\", " + std::to_string(value) +
         ")\n";
}

std::string transactions() {
  return parameter("pv", "shvset", "relay_stopped=i:0") +
         parameter("tm", "fr_timer", kAnswerSeconds * 1000) +
         parameter("tm", "fr_inv_timer", 120000) + parameter("tm", "max_inv_lifetime", 180000) +
         parameter("tm", "failure_reply_mode", 3) + parameter("rr", "enable_full_lr", 1) +
         parameter("rr", "append_fromtag", 1) + parameter("rr", "enable_double_rr", 1) +
         parameter("sanity", "autodrop", 0);
}

std::string zone_tables() {
  return parameter("htable", "htable", "lost=>size=4;autoexpire=0;") +
         parameter("htable", "htable", "heard=>size=4;autoexpire=0;") +
         parameter("htable", "htable", "sharing=>size=4;autoexpire=0;") +
         parameter("htable", "htable",
                   "ringing=>size=12;autoexpire=" + std::to_string(kRingingSeconds) + ";") +
         parameter("htable", "htable",
                   "hangups=>size=8;autoexpire=" + std::to_string(kHangupSeconds) + ";");
}

std::string tables(const SipConfig& config) {
  std::string text =
      parameter("htable", "htable", "banned=>size=12;autoexpire=300;") +
      parameter("htable", "htable", "refusals=>size=12;autoexpire=60;") +
      parameter("htable", "htable", "lines=>size=4;autoexpire=60;updateexpire=0;initval=0;") +
      parameter("htable", "htable", "left_out=>size=4;autoexpire=0;initval=0;") +
      parameter("htable", "htable",
                "hops=>size=14;autoexpire=" + std::to_string(kCallSecondsMax) + ";") +
      parameter("htable", "htable",
                "answered=>size=14;autoexpire=" + std::to_string(kCallSecondsMax) + ";") +
      parameter("htable", "htable",
                "media=>size=14;autoexpire=" + std::to_string(kCallSecondsMax) + ";") +
      parameter("htable", "htable",
                "parties=>size=12;autoexpire=" + std::to_string(kCallSecondsMax) + ";initval=0;") +
      parameter("htable", "htable",
                "up=>size=14;autoexpire=" + std::to_string(kCallCountedSeconds) + ";") +
      // Goes after the last of those that it counts.
      parameter("htable", "htable",
                "calls_up=>size=12;autoexpire=" + std::to_string(2 * kCallCountedSeconds) +
                    ";initval=0;") +
      parameter("htable", "htable",
                "over=>size=12;autoexpire=" + std::to_string(kOverSeconds) + ";") +
      parameter("htable", "htable", "tls_names=>size=8;autoexpire=86400;") +
      parameter("htable", "htable", "peer_of=>size=8;autoexpire=86400;") +
      parameter("htable", "htable", "peer_at=>size=8;autoexpire=86400;") +
      parameter("htable", "htable",
                "requests=>size=12;autoexpire=" + std::to_string(kWindowSeconds) +
                    ";updateexpire=0;initval=0;") +
      parameter("htable", "htable",
                "call_rate=>size=12;autoexpire=60;"
                "updateexpire=0;initval=0;") +
      parameter("htable", "htable",
                "failures=>size=14;autoexpire=300;"
                "updateexpire=0;initval=0;");
  const std::string registered = std::to_string(config.registration_max.count() + 10);
  for (const char* table : {"flows", "ways"}) {
    // Ways lead from a zone to a connection here.
    const bool is_kept =
        config.role == NodeRole::kEdge || (table[0] == 'f' && has_upstream(config));
    if (!is_kept) continue;
    text += parameter("htable", "htable",
                      std::string(table) + "=>size=14;autoexpire=" + registered + ";");
  }
  if (is_of_pair(config)) text += zone_tables();
  if (config.role == NodeRole::kCore && has_registrar(config)) {
    text += parameter("htable", "htable", "proved=>size=8;autoexpire=10;");
  }
  text += parameter("pike", "sampling_time_unit", kWindowSeconds) +
          parameter("pike", "reqs_density_per_unit", window_requests_max(config)) +
          parameter("pike", "remove_latency", 4) + parameter("pike", "pike_log_level", 3);
  for (const char* counter : kCounters) text += parameter("statistics", "variable", counter);
  return text;
}

std::string servers(const SipConfig& config, const std::string& directory) {
  return parameter("dispatcher", "list_file", directory + "/dispatcher.list") +
         parameter("dispatcher", "flags", 2) +
         // Names are asked for when they are used: what is not known at start may be later.
         parameter("dispatcher", "ds_dns_mode", 2) +
         (config.role == NodeRole::kEdge ? parameter("dispatcher", "hash_pvar", "$avp(share)")
                                         : "") +
         parameter("dispatcher", "ds_ping_method", "OPTIONS") +
         parameter("dispatcher", "ds_ping_from", "sip:keepalive@" + config.domains.front()) +
         parameter("dispatcher", "ds_ping_interval",
                   has_inside(config) ? config.keepalive_interval.count() : kCoreKeepaliveSeconds) +
         parameter("dispatcher", "ds_probing_threshold", config.keepalive_failures_max) +
         parameter("dispatcher", "ds_inactive_threshold", 1) +
         parameter("dispatcher", "ds_probing_mode", 1) +
         // Any answer of its own shows a living server; 408 is our own timer, 503 says "not me".
         parameter("dispatcher", "ds_ping_reply_codes",
                   "class=2;class=3;code=400;code=401;code=403;code=404;code=405;code=407;"
                   "code=415;code=420;code=480;code=481;code=483;code=486;code=488;code=501");
}

/// A process of its own asks every second, so that no SIP worker waits for the answer.
std::string health() {
  return parameter("http_client", "connection_timeout", 1) +
         parameter("rtimer", "timer", "name=health;interval=1;mode=1;") +
         parameter("rtimer", "exec", "timer=health;route=ASK_HEALTH") +
         // The script says once what this module would say each time.
         parameter("debugger", "mod_hash_size", 5) + parameter("debugger", "mod_level_mode", 1) +
         parameter("debugger", "mod_level", "http_client=-3");
}

std::string relay(const SipConfig& config) {
  return (config.health.is_set() ? health() : "") +
         parameter("rtpengine", "rtpengine_sock", config.ng_endpoint) +
         parameter("rtpengine", "rtpengine_tout_ms", 500) +
         parameter("rtpengine", "rtpengine_retr", 2) +
         parameter("rtpengine", "rtpengine_disable_tout", 1) +
         parameter("rtpengine", "queried_nodes_limit", 1);
}

/// A process of its own looks after calls whose other node is gone.
std::string zone_watch(const SipConfig& config) {
  constexpr std::int64_t kNoTransport = 8;
  std::string text;
  if (asks_peers(config)) {
    text = parameter("htable", "htable", "peers=>size=4;autoexpire=0;") +
           parameter("rtimer", "timer",
                     "name=peers;interval=" + std::to_string(config.keepalive_interval.count()) +
                         ";mode=1;") +
           parameter("rtimer", "exec", "timer=peers;route=ASK_PEERS");
  }
  return text + parameter("jsonrpcs", "transport", kNoTransport) +
         parameter("rtimer", "timer", "name=zone;interval=1;mode=1;") +
         parameter("rtimer", "exec", "timer=zone;route=ZONE_TICK");
}

/// Pings keep the way through NATs open; who does not answer one until the next is cut off.
std::string websocket() {
  constexpr std::int64_t kPingSeconds = 25;
  return parameter("websocket", "keepalive_mechanism", 1) +
         parameter("websocket", "keepalive_timeout", kPingSeconds) +
         parameter("websocket", "ping_application_data", "turnpike") +
         // Who has not registered: as long as a silent TLS connection stays.
         parameter("htable", "htable", "strangers=>size=10;autoexpire=120;") +
         parameter("htable", "htable", "waiting=>size=10;autoexpire=3600;initval=0;");
}

std::string registrar(const SipConfig& config, const std::string& directory) {
  const bool sha256 = config.digest == DigestAlgorithm::kSha256;
  const std::int64_t longest = config.registration_max.count();
  std::string text =
      // Its default makes room for 100,000 rows in each query.
      parameter("db_text", "max_result_rows", 16) +
      parameter("auth_db", "db_url", "text://" + directory + "/db") +
      parameter("auth_db", "calculate_ha1", 0) + parameter("auth_db", "password_column", "ha1") +
      parameter("auth_db", "load_credentials", "") + parameter("auth_db", "use_domain", 1) +
      parameter("auth", "nonce_expire", 300) +
      // Counts (nc) would do too, but not for who leaves out qop, or is made to.
      parameter("auth", "one_time_nonce", 1) + parameter("usrloc", "db_mode", 0) +
      parameter(
          "usrloc", "use_domain",
          1) +  // A core's connections are those of its edges, who know when a client has gone.
      parameter("usrloc", "handle_lost_tcp", is_of_pair(config) ? 0 : 1) +
      parameter("registrar", "method_filtering", 0) +
      parameter("registrar", "max_contacts", kContactsMax) +
      parameter("registrar", "max_expires", longest) +
      parameter("registrar", "default_expires", std::min<std::int64_t>(longest, 600)) +
      parameter("registrar", "min_expires", 30) + parameter("registrar", "append_branches", 1) +
      parameter("registrar", "gruu_enabled", 0) +
      parameter("registrar", "received_avp", "$avp(received)") +
      parameter("nathelper", "received_avp", "$avp(received)");
  if (is_of_pair(config)) {
    text += parameter("registrar", "use_path", 1) + parameter("registrar", "path_mode", 0) +
            // The newest is where the user is.
            parameter("usrloc", "desc_time_order", 1);
  }
  if (sha256) text += parameter("auth", "algorithm", "SHA-256");
  return text;
}

}  // namespace

std::string kamailio_cfg(const SipConfig& config, const std::string& directory,
                         const std::string& signing_key) {
  std::string text =
      "#!KAMAILIO\n"
      "# Generated by turnpiked from its configuration file: do not edit.\n\n";
  text += defines(config, signing_key) + process(config) + listeners(config) + modules(config);
  text += parameter("ctl", "binrpc", "unix:" + config.runtime_directory + "/turnpike_ctl");
  text += parameter("ctl", "mode", 0660);
  if (has_tls(config)) {
    text += parameter("tls", "config", directory + "/tls.cfg");
    text += parameter("tls", "connection_timeout", 30);
  }
  if (needs_closed_events(config)) text += parameter("tcpops", "closed_event", 1);
  text += transactions() + tables(config) + servers(config, directory) + relay(config);
  if (has_registrar(config)) text += registrar(config, directory);
  if (has_upstream(config)) {
    text += parameter("path", "use_received", 1) + parameter("path", "enable_r2", 1);
  }
  if (is_of_pair(config)) text += zone_watch(config);
  if (has_browsers(config)) text += websocket();
  text += "\n";
  for (const char* part : {"routes.cfg", "media.cfg", "websocket.cfg", "zone.cfg", "site.cfg"}) {
    if (part == std::string_view("websocket.cfg") && !has_browsers(config)) continue;
    if (part == std::string_view("zone.cfg") && !is_of_pair(config)) continue;
    text += "include_file \"" + directory + "/" + part + "\"\n";
  }
  return text;
}

}  // namespace turnpike::sidecar
