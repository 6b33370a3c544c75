// The tables: every section and key of the configuration file, declared once.
// To add a section: a struct in settings.h, a function here, and its place in sections().
#include "control/config/schema.h"

namespace turnpike::config {
namespace {

constexpr Range kPorts{1024, 65534};
constexpr Range kDscp{0, 63};
constexpr Range kDay{0, 86400};

template <typename S>
auto single(S Settings::*field) {
  return [field](Settings& settings, const std::string&) { return &(settings.*field); };
}

Section node_section() {
  return SectionOf<NodeSection>("node", "This host.", single(&Settings::node))
      .text("name", &NodeSection::name, "turnpike",
            "Name of this node in logs and in the API's answers.")
      .word("role", &NodeSection::role, "single", {"single", "edge", "core"},
            "What this node is: \"single\" has the outside and the inside network on one host. "
            "\"edge\" and \"core\" are the nodes of a traversal pair: they keep the zones of "
            "[zone.ZONE] connected and carry SIP and media between them. See "
            "[traversal.md](traversal.md).")
      .integer("drain_timeout_seconds", &NodeSection::drain_timeout, 30, kDay,
               "How long a stopping daemon waits for its calls to end. New calls are refused "
               "meanwhile; a second signal ends the wait.")
      .hot()
      .done();
}

Section interface_section() {
  const auto place = [](Settings& settings, const std::string& name) {
    settings.interfaces.push_back({});
    InterfaceSection& section = settings.interfaces.back();
    section.name = name;
    section.srtp = name == "outside" ? SrtpRule::kRequired : SrtpRule::kOptional;
    return &section;
  };
  return SectionOf<InterfaceSection>("interface.*",
                                     "One network side. `outside` (clients) and `inside` (servers) "
                                     "must be there, on an edge "
                                     "only the former, on a core only the latter; more may "
                                     "be added and are named by a SIP server's `direction`.",
                                     place)
      .local_addresses(
          "addresses", &InterfaceSection::addresses,
          "Local addresses that media is received on. Several of one family extend "
          "the number of ports, because ports are counted per address. \"auto\" is the "
          "address that this host uses towards its default route.")
      .required("[\"192.0.2.10\"]")
      .addresses("advertised", &InterfaceSection::advertised,
                 "What remote ends are told instead, one for each of `addresses`: the public "
                 "addresses of a 1:1 NAT in front of this host. Empty: the addresses themselves. "
                 "New calls have a changed one at once; the SIP sidecar and TURN when they are "
                 "restarted.")
      .hot()
      .word("srtp", &InterfaceSection::srtp, "", {"required", "optional"},
            "\"required\": media of this side must be SRTP, a call that would carry plain RTP "
            "here is refused. \"optional\": as the SIP server asks.")
      .hot()
      .initial_by_name("`\"required\"` for `outside`, else `\"optional\"`")
      .texts(
          "networks", &InterfaceSection::networks,
          "Networks of this side, such as \"10.0.0.0/8\", besides those that its addresses are "
          "connected to and, for `inside`, those of `sip.inside_networks`. On other sides with "
          "`srtp = \"required\"` nothing is sent there because a client names it as its address, "
          "only once authentic packets come from there.")
      .hot()
      .done();
}

/// How the media section's packets find their way, and what marks they bear.
SectionOf<MediaSection>& add_network_keys(SectionOf<MediaSection>& section) {
  return section
      .word("ice_prefer", &MediaSection::ice_prefer, "ipv6", {"ipv6", "ipv4"},
            "With ICE, an interface that has addresses of both families offers both; this one is "
            "tried first.")
      .hot()
      .integer("dscp_audio", &MediaSection::dscp_audio, 46, kDscp,
               "DSCP of audio packets (46 is EF).")
      .hot()
      .integer("dscp_video", &MediaSection::dscp_video, 34, kDscp,
               "DSCP of video packets (34 is AF41).")
      .hot()
      .integer("dscp_other", &MediaSection::dscp_other, 0, kDscp, "DSCP of other media.")
      .hot();
}

/// How long calls and their media may be silent.
SectionOf<MediaSection>& add_time_keys(SectionOf<MediaSection>& section) {
  return section
      .integer("media_timeout_seconds", &MediaSection::media_timeout, 60, kDay,
               "A call ends after this much silence on every leg that should send. Held and "
               "one-way legs may be silent. 0: never.")
      .hot()
      .integer("offer_timeout_seconds", &MediaSection::offer_timeout, 180, kDay,
               "A call that nobody answered ends this long after its last offer. Longer than the "
               "SIP server lets a call ring. 0: never.")
      .hot()
      .integer("hold_timeout_seconds", &MediaSection::hold_timeout, 3600, kDay,
               "An answered call without any leg that should send (held, inactive) ends this long "
               "after its last offer or answer. 0: never.")
      .hot()
      .integer("keepalive_seconds", &MediaSection::keepalive, 15, {0, 3600},
               "A remote end that was sent nothing for this long is sent a keep-alive, so that "
               "NATs and firewalls stay open. 0: never.")
      .hot()
      .integer("delete_delay_seconds", &MediaSection::delete_delay, 0, {0, 3600},
               "How long media still flows after the SIP server has deleted a call.")
      .hot();
}

Section media_section() {
  SectionOf<MediaSection> section("media", "The relay of RTP and RTCP.", single(&Settings::media));
  section
      .integer("port_min", &MediaSection::port_min, 36000, kPorts,
               "First UDP port for media; even. RTP uses even ports, RTCP the next odd one.")
      .integer("port_max", &MediaSection::port_max, 59999, {1025, 65535},
               "Last UDP port for media; odd.")
      .integer("quarantine_seconds", &MediaSection::quarantine, 5, {0, 3600},
               "How long a released port rests before another call may get it.")
      .integer("shards", &MediaSection::shards, 0, {0, 256},
               "Threads that relay media; each has its own slice of the ports. 0: one for each "
               "core that the process may use.")
      .boolean("pin", &MediaSection::pin_shards, true, "Bind each shard to its own core.")
      .integer("sessions_max", &MediaSection::sessions_max, 4000, {1, 1000000},
               "Relayed media (m-lines of calls) at a time; more are refused. Each needs four "
               "ports and file descriptors; with ICE on interfaces of both address families up "
               "to eight.")
      .integer("calls_max", &MediaSection::calls_max, 4000, {1, 1000000},
               "Calls at a time; more are refused.")
      .hot()
      .integer("streams_per_leg_max", &MediaSection::streams_per_leg_max, 8,
               {1, static_cast<std::int64_t>(kStreamsPerLegMax)},
               "RTP streams (SSRCs) that one remote end may send in one session; packets of "
               "further ones are dropped.")
      .hot();
  add_time_keys(section)
      .integer("socket_buffer_bytes", &MediaSection::socket_buffer_bytes, 0, {0, 16777216},
               "Send and receive buffer of each media socket. 0: the kernel's default.")
      .integer("tick_us", &MediaSection::tick_us, 500, {0, 5000},
               "While packets come often, a shard collects them for this many microseconds and "
               "handles them together: less work for each, at most this much more delay. 0: each "
               "when it comes.")
      .integer("busy_max_percent", &MediaSection::busy_max_percent, 90, {10, 100},
               "New calls are refused while every shard uses this share of its core or more, so "
               "that those that are up stay undisturbed. 100: never.")
      .hot()
      .integer("connect_after_packets", &MediaSection::connect_after, 100, {0, 1000000},
               "After so many packets in a row from a port to one address, a second socket on the "
               "port that is connected to it sends them: cheaper for each, and one more file "
               "descriptor. 0: never.")
      .word("srtp_backend", &MediaSection::srtp_backend, "auto",
            {"auto", "ipsec-mb", "openssl", "libsrtp2"},
            "Library for SRTP's ciphers. \"ipsec-mb\" handles several packets at a time. "
            "\"openssl\" and \"libsrtp2\" handle one after the other; choose the latter only "
            "where rules ask for it: as packaged its cost grows with the number of streams. "
            "\"auto\": \"ipsec-mb\" where the processor has AES instructions and the build the "
            "library, else \"openssl\".")
      .word("source_policy", &MediaSection::source_policy, "strict",
            {"strict", "latch", "latch-any", "asymmetric"},
            "From where a plain RTP leg accepts packets unless the SIP server says otherwise. "
            "\"strict\": only the signalled address and port. \"latch\": the first packet from the "
            "signalled address decides the port. \"asymmetric\": any port of the signalled "
            "address, media still goes to the signalled one. \"latch-any\": the first packet from "
            "anywhere decides, which lets strangers take over media. SRTP legs trust keys, not "
            "addresses, and ignore this.")
      .hot();
  return add_network_keys(section).done();
}

Section ng_section() {
  return SectionOf<NgSection>(
             "ng", "The control protocol through which SIP servers ask for relayed media.",
             single(&Settings::ng))
      .socket_path("unix", &NgSection::unix_path, "/run/turnpike/ng.sock",
                   "Unix stream socket, mode 0660. Who may write to it controls all calls. "
                   "\"\": none.")
      .text("unix_group", &NgSection::unix_group, "",
            "Group that owns the socket: the SIP server's. \"\": the daemon's own group.")
      .socket_address("udp", &NgSection::udp, "",
                      "UDP listener, loopback only. It cannot tell who sends: prefer the unix "
                      "socket. \"\": none.")
      .socket_address("tcp", &NgSection::tcp, "",
                      "TCP listener, loopback only. A connection begins with the line "
                      "`Authorization: Bearer TOKEN`. \"\": none.")
      .socket_address("http", &NgSection::http, "",
                      "Listener for HTTP (POST /ng) and WebSocket (protocol ng.rtpengine.com). "
                      "Needs `token_file` or `client_trust_file`, and a certificate unless it is a "
                      "loopback address. \"\": none.")
      .path("token_file", &NgSection::token_file, "",
            "File with the token of `tcp` and `http`: one line of 16 characters or more, not "
            "readable by others. Requests show it as `Authorization: Bearer TOKEN`. A reload reads "
            "it anew.")
      .hot()
      .boolean(
          "token_in_path", &NgSection::token_in_path, false,
          "A WebSocket may have the token at the end of its path instead, "
          "`wss://ADDRESS:PORT/ng/TOKEN`: for Kamailio's module `lwsc`, which sends no header. "
          "Whoever connects so may write the path into logs of its own.")
      .path(
          "certificate_file", &NgSection::certificate_file, "",
          "Certificate of `http` with its chain, PEM: https and wss only then. A reload reads it, "
          "its key and the authorities anew. \"\": no TLS.")
      .path("private_key_file", &NgSection::private_key_file, "",
            "Private key of `certificate_file`, PEM without passphrase.")
      .path("client_trust_file", &NgSection::client_trust_file, "",
            "Authorities, PEM: clients of `http` must show a certificate of one of them. Besides "
            "`token_file` both are needed; alone it admits.")
      .texts("clients", &NgSection::clients,
             "Networks whose addresses may use `tcp` and `http`. None: loopback addresses only.")
      .hot()
      .texts("host_names", &NgSection::host_names,
             "Names under which `http` may be asked, besides its address and localhost; other "
             "Host headers are refused.")
      .hot()
      .integer("client_requests_max", &NgSection::client_requests_max, 64, {1, 4096},
               "Requests of one client address over `tcp` and `http` that may be in work.")
      .hot()
      .integer("client_requests_per_second_max", &NgSection::client_requests_per_second_max, 500,
               {1, 100000},
               "Requests a second of one client address over `tcp` and `http`; as many may come "
               "at once.")
      .hot()
      .done();
}

Section api_section() {
  return SectionOf<ApiSection>("api", "Status, sessions and metrics over HTTP.",
                               single(&Settings::api))
      .socket_path("unix", &ApiSection::unix_path, "/run/turnpike/api.sock",
                   "Unix socket of the API, mode 0660; `turnpikectl` uses it. \"\": none.")
      .text("unix_group", &ApiSection::unix_group, "",
            "Group that owns the socket: the operators'. \"\": the daemon's own group.")
      .socket_address("metrics", &ApiSection::metrics, "127.0.0.1:9464",
                      "TCP listener for /metrics, /healthz and /readyz, and nothing else. "
                      "\"\": none.")
      .boolean("metrics_public", &ApiSection::metrics_public, false,
               "Allow a `metrics` address that is neither loopback nor private. Anyone who "
               "reaches it can read the figures.")
      .texts("host_names", &ApiSection::host_names,
             "Names under which the TCP listeners may be asked, besides their addresses and "
             "localhost; other Host headers are refused.")
      .hot()
      .word(
          "captures", &ApiSection::captures, "on", {"off", "headers", "on"},
          "Whether packets of calls may be captured: not at all, headers of RTP only, or as they "
          "are on the wire and what is said on plain legs if asked for. `listen` gives headers at "
          "most. A reload ends what is not allowed any more.")
      .hot()
      .socket_address("listen", &ApiSection::listen, "",
                      "TCP listener for the whole API and the console. Needs `tokens_file` or "
                      "`client_trust_file`, and a certificate unless it is a loopback address. "
                      "\"\": none. See [api.md](api.md).")
      .path("tokens_file", &ApiSection::tokens_file, "",
            "Tokens that admit to `listen`, one a line: `NAME SCOPE TOKEN`, SCOPE `read` or "
            "`operate`. Neither readable nor writable by everybody. A reload reads it anew.")
      .hot()
      .path("certificate_file", &ApiSection::certificate_file, "",
            "Certificate of `listen` with its chain, PEM. \"\": no TLS.")
      .path("private_key_file", &ApiSection::private_key_file, "",
            "Private key of `certificate_file`, PEM without passphrase.")
      .path("client_trust_file", &ApiSection::client_trust_file, "",
            "Authorities, PEM: clients of `listen` must show a certificate of one of them. Besides "
            "`tokens_file` both are needed; alone it admits for reading.")
      .done();
}

Section log_section() {
  return SectionOf<LogSection>("log", "What is written about the daemon's work.",
                               single(&Settings::log))
      .word("level", &LogSection::level, "info", {"debug", "info", "warning", "error"},
            "The least important lines that are written.")
      .hot()
      .word("target", &LogSection::target, "stdout", {"stdout", "journal"},
            "Where lines go: standard output, or the systemd journal with its priorities.")
      .socket_path(
          "syslog_unix", &LogSection::syslog_unix, "",
          "Unix datagram socket of a syslog receiver, such as /dev/log, that lines go to as "
          "well, by RFC 5424. \"\": none.")
      .socket_address("syslog_udp", &LogSection::syslog_udp, "",
                      "Address of a syslog receiver that they go to over UDP (RFC 5426, port 514 "
                      "as a rule): readable on their way. \"\": none.")
      .word("syslog_facility", &LogSection::syslog_facility, "daemon",
            {"daemon", "user", "local0", "local1", "local2", "local3", "local4", "local5", "local6",
             "local7"},
            "Facility of these messages.")
      .done();
}

Section records_section() {
  return SectionOf<RecordsSection>("records",
                                   "A record of each call that has ended, for billing and quality: "
                                   "[records.md](records.md).",
                                   single(&Settings::records))
      .path("file", &RecordsSection::file, "",
            "File of the records, one line of JSON each, mode 0640; its folder must be there and "
            "turnpiked's to write to. \"\": no records.")
      .hot()
      .integer("file_bytes_max", &RecordsSection::file_bytes_max, 67108864,
               {4096, std::int64_t{1} << 40},
               "A larger file is renamed to `file`.1, the one before to `file`.2, and so on.")
      .hot()
      .integer("files_max", &RecordsSection::files_max, 10, {1, 1000},
               "Files in all; the oldest is removed.")
      .hot()
      .done();
}

Section homer_section() {
  return SectionOf<HomerSection>("homer",
                                 "Reports on the quality of streams to a capture server such as "
                                 "Homer, by HEP version 3: [homer.md](homer.md).",
                                 single(&Settings::homer))
      .socket_address("address", &HomerSection::address, "",
                      "UDP address of the capture server, port 9060 as a rule. Who can read the "
                      "network on the way can read the reports. \"\": none.")
      .integer("capture_id", &HomerSection::capture_id, 1, {0, 4294967295},
               "Number under which the capture server knows this node.")
      .path("key_file", &HomerSection::key_file, "",
            "File with the key that the capture server wants in each report: one line of 16 "
            "characters or more, not readable by others. It is sent as it is. \"\": none.")
      .integer("interval_seconds", &HomerSection::interval, 30, {0, 3600},
               "How often each stream of a call is reported while the call is up. 0: only when it "
               "ends.")
      .integer("reports_per_second_max", &HomerSection::reports_per_second_max, 500, {1, 100000},
               "Reports a second; more are lost and counted.")
      .done();
}

Section holder_section() {
  return SectionOf<HolderSection>(
             "holder", "The process that keeps sockets and state while the daemon restarts.",
             single(&Settings::holder))
      .socket_path("unix", &HolderSection::unix_path, "",
                   "Its unix socket. \"\": none, calls end with the daemon.")
      .done();
}

}  // namespace

const std::vector<Section>& sections() {
  static const std::vector<Section> all = [] {
    std::vector<Section> list = {
        node_section(), interface_section(), media_section(), ng_section(),     api_section(),
        log_section(),  records_section(),   homer_section(), holder_section(),
    };
    for (Section& section : sip_sections()) {
      for (Key& key : section.keys) key.effect = Effect::kSidecar;
      list.push_back(std::move(section));
    }
    for (Section& section : zone_sections()) list.push_back(std::move(section));
    for (Section& section : turn_sections()) list.push_back(std::move(section));
    for (Section& section : front_door_sections()) list.push_back(std::move(section));
    return list;
  }();
  return all;
}

}  // namespace turnpike::config
