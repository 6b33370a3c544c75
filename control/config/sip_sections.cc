// The tables of [sip]: the SIP sidecar, its users, servers, routes, peers and certificates.
#include "control/config/schema.h"

namespace turnpike::config {
namespace {

using sidecar::SipConfig;

constexpr Range kOptionalPort{0, 65534};
constexpr Range kPort{1024, 65534};

/// A field of SipConfig as one of the section that is made of it.
template <typename T>
constexpr T SipSection::*of(T SipConfig::*field) {
  return field;
}

using Builder = SectionOf<SipSection>;

void add_listeners(Builder& section) {
  section
      .integer("tls_port", of(&SipConfig::tls_port), 5061, kOptionalPort,
               "TLS for clients on the outside addresses. 0: no clients.")
      .integer("wss_port", of(&SipConfig::wss_port), 0, kOptionalPort,
               "SIP over secure WebSocket for browsers on the outside addresses, usually 8443. "
               "0: off.")
      .texts("websocket_origins", of(&SipConfig::websocket_origins),
             "Web pages that may connect there, as browsers name them: "
             "\"https://phone.example.com\".")
      .integer("mtls_port", of(&SipConfig::mtls_port), 5062, kOptionalPort,
               "Mutual TLS for peers on the outside addresses; opened when there are peers. "
               "0: never.")
      .integer("inside_port", of(&SipConfig::inside_port), 5060, kPort,
               "UDP and TCP on the inside addresses.")
      .integer("inside_tls_port", of(&SipConfig::inside_tls_port), 0, kOptionalPort,
               "TLS on the inside addresses. 0: off.")
      .texts("inside_networks", of(&SipConfig::inside_networks),
             "Networks such as \"10.0.0.0/8\" whose SIP is taken for the inside's.")
      .boolean("trust_local_processes", of(&SipConfig::trust_local_processes), false,
               "Take SIP from this host's own addresses for the inside's too. Every process on "
               "this host may then call.");
}

void add_identities(Builder& section) {
  section
      .path("certificate_file", of(&SipConfig::certificate_file), "",
            "Certificate chain (PEM) that clients are shown.")
      .path("private_key_file", of(&SipConfig::private_key_file), "",
            "Its private key (PEM, no passphrase).")
      .path("peer_certificate_file", of(&SipConfig::peer_certificate_file), "",
            "Certificate chain that peers and inside TLS servers are shown, for serverAuth and "
            "clientAuth. \"\": the clients' one.")
      .path("peer_private_key_file", of(&SipConfig::peer_private_key_file), "", "Its private key.")
      .path("trust_file", of(&SipConfig::trust_file), "",
            "Authorities (PEM) that sign the certificates of peers and inside TLS servers.");
}

void add_registrations(Builder& section) {
  section
      .text("upstream", of(&SipConfig::upstream), "",
            "Inside server (\"sip:10.0.0.10:5060\") that keeps the clients' registrations and "
            "authenticates them. \"\": the sidecar does it with the users below.")
      .word("digest", of(&SipConfig::digest), "md5", {"md5", "sha256"},
            "Hash of the users' passwords. Most softphones know MD5 only; it never leaves TLS.")
      .path("users_file", &SipSection::users_file, "",
            "More users, one a line: name, domain and hash, separated by blanks. \"\": none.")
      .integer("registration_seconds_max", of(&SipConfig::registration_max), 3600, {60, 86400},
               "Longest registration that is granted.");
}

void add_limits(Builder& section) {
  section
      .word("inside_media", of(&SipConfig::inside_media), "rtp", {"rtp", "srtp"},
            "Media towards the inside. Outside it is always SRTP.")
      .word("outside_media", of(&SipConfig::outside_media), "sdes", {"sdes", "dtls"},
            "How TLS clients are offered SRTP keys before their own SDP has shown what they do. "
            "Browsers: always DTLS.")
      .integer("calls_per_minute_max", of(&SipConfig::calls_per_minute_max), 30, {1, 100000},
               "Calls of one outside user; more are refused.")
      .integer("peer_calls_per_minute_max", of(&SipConfig::peer_calls_per_minute_max), 600,
               {1, 100000}, "Calls of one peer; more are refused.")
      .integer("requests_per_second_max", of(&SipConfig::requests_per_second_max), 50, {1, 100000},
               "SIP requests of one outside address; more are ignored.")
      .integer(
          "keepalive_seconds", of(&SipConfig::keepalive_interval), 10, {1, 3600},
          "How often inside servers and peers are asked whether they live (OPTIONS); at most 60 "
          "on a core and where there are TLS servers or peers with a `uri`. An edge "
          "asks its cores every second.")
      .integer("keepalive_failures_max", of(&SipConfig::keepalive_failures_max), 2, {1, 100},
               "Unanswered ones in a row after which a server counts as down.")
      .texts("emergency_numbers", of(&SipConfig::emergency_numbers),
             "Numbers that are exempt from routes and call limits.")
      .text("emergency_servers", of(&SipConfig::emergency_servers), "",
            "Name of the [sip.servers.*] that take them.");
}

void add_process(Builder& section) {
  section
      .path("directory", &SipSection::directory, "/var/lib/turnpike/sidecar",
            "Where the sidecar's files are written.")
      .integer("worker_processes", of(&SipConfig::worker_processes), 4, {1, 64},
               "Processes of the SIP server for each UDP listener. TCP and TLS have one.")
      .text("run_user", of(&SipConfig::run_user), "kamailio",
            "Account and group of the SIP server.")
      .text("relay_user", of(&SipConfig::relay_user), "turnpike", "Account of turnpiked.")
      .path("runtime_directory", of(&SipConfig::runtime_directory), "/run/kamailio",
            "Its control socket and process id.");
}

Section sip_section() {
  Builder section("sip", "The SIP sidecar: a Kamailio whose files are generated from this section.",
                  [](Settings& settings, const std::string&) { return &settings.sip; });
  section.texts("domains", of(&SipConfig::domains),
                "SIP domains of this edge, the main one first. Empty: no sidecar.");
  add_listeners(section);
  add_identities(section);
  add_registrations(section);
  add_limits(section);
  add_process(section);
  return section.done();
}

Section user_section() {
  return SectionOf<SipUserSection>("sip.user.*", "A user who may register.",
                                   [](Settings& settings, const std::string& name) {
                                     SipUserSection user;
                                     user.name = name;
                                     settings.sip.user_sections.push_back(std::move(user));
                                     return &settings.sip.user_sections.back();
                                   })
      .text("domain", &SipUserSection::domain, "", "One of `domains`. \"\": the first.")
      .secret_text("ha1", &SipUserSection::ha1,
                   "Hash of \"name:domain:password\" in lower-case hexadecimal.")
      .required("\"…\"")
      .done();
}

/// What is shown to servers or a peer, and believed of them.
template <typename S>
SectionOf<S>& with_identity(SectionOf<S>& section) {
  using sidecar::TlsIdentity;
  return section
      .path("certificate_file", &S::identity, &TlsIdentity::certificate_file,
            "Certificate chain that is shown where the edge is the TLS client. \"\": "
            "sip.peer_certificate_file.")
      .path("private_key_file", &S::identity, &TlsIdentity::private_key_file, "Its private key.")
      .path("trust_file", &S::identity, &TlsIdentity::trust_file,
            "Authorities (PEM) of the certificate that must be shown to the edge there. \"\": "
            "sip.trust_file.");
}

Section servers_section() {
  SectionOf<sidecar::InsideServers> section("sip.servers.*",
                                            "Inside servers or phones that take calls together.",
                                            [](Settings& settings, const std::string& name) {
                                              settings.sip.servers.push_back({name, {}});
                                              return &settings.sip.servers.back();
                                            });
  section
      .texts("uris", &sidecar::InsideServers::uris,
             "The first that answers is used, the next ones when it fails: "
             "\"sip:10.0.0.10:5060\", with \";transport=tcp\" or \"tls\" if wanted.")
      .required("[\"sip:10.0.0.10:5060\"]");
  return with_identity(section).done();
}

Section route_section() {
  const auto place = [](Settings& settings, const std::string& name) {
    settings.sip.route_sections.push_back({name, {}});
    return &settings.sip.route_sections.back().route;
  };
  return SectionOf<sidecar::DialRoute>(
             "sip.route.*",
             "Where calls from outside go. Routes are tried in the order of their names; what "
             "matches none is refused.",
             place)
      .text("pattern", &sidecar::DialRoute::pattern, "",
            "Extended regular expression for the whole number or name.")
      .required("\"[1-9][0-9]{3}\"")
      .text("servers", &sidecar::DialRoute::servers, "", "Name of a [sip.servers.*].")
      .required("\"pbx\"")
      .done();
}

Section peer_section() {
  SectionOf<sidecar::SipPeer> section("sip.peer.*",
                                      "A foreign SIP server that connects with mutual TLS.",
                                      [](Settings& settings, const std::string& name) {
                                        sidecar::SipPeer peer;
                                        peer.name = name;
                                        settings.sip.peers.push_back(std::move(peer));
                                        return &settings.sip.peers.back();
                                      });
  section.texts("domains", &sidecar::SipPeer::domains, "Domains that it may speak for.")
      .required("[\"partner.example\"]")
      .texts(
          "certificate_names", &sidecar::SipPeer::certificate_names,
          "DNS names; one must be the first of its certificate. Needed where it connects to: not "
          "on a core, whose edges know that.")
      .word("verify_name", &sidecar::SipPeer::verify_name, "san", {"san", "san-or-cn"},
            "Which names of the certificate count.")
      .text("uri", &sidecar::SipPeer::uri, "",
            "Where calls to its domains go: \"sip:sip.partner.example:5062;transport=tls\". \"\": "
            "nowhere. Not on a core.")
      .text("zone", &sidecar::SipPeer::zone, "",
            "On an edge: name of the [zone.*] whose cores it calls, and is called by. \"\": the "
            "only one.")
      .texts(
          "edges", &sidecar::SipPeer::edges,
          "On a core: names of the [zone.*.peer.*] by which it comes; no other edge can speak for "
          "it. Empty: any.");
  return with_identity(section).done();
}

Section certificate_section() {
  return SectionOf<sidecar::SniCertificate>(
             "sip.certificate.*",
             "A further certificate for clients, chosen by the server name that they ask for.",
             [](Settings& settings, const std::string&) {
               settings.sip.sni_certificates.emplace_back();
               return &settings.sip.sni_certificates.back();
             })
      .text("server_name", &sidecar::SniCertificate::server_name, "", "The name asked for.")
      .required("\"sip.example.com\"")
      .path("certificate_file", &sidecar::SniCertificate::certificate_file, "",
            "Certificate chain (PEM).")
      .required("\"/etc/turnpike/sip.pem\"")
      .path("private_key_file", &sidecar::SniCertificate::private_key_file, "",
            "Its private key (PEM, no passphrase).")
      .required("\"/etc/turnpike/sip.key\"")
      .done();
}

}  // namespace

std::vector<Section> sip_sections() {
  return {sip_section(),   user_section(), servers_section(),
          route_section(), peer_section(), certificate_section()};
}

}  // namespace turnpike::config
