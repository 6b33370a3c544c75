// The tables of [turn] and [turn.realm.NAME].
#include "control/config/schema.h"

namespace turnpike::config {
namespace {

constexpr Range kLifetime{60, 86400};

/// Times that are mostly left alone.
void add_times(SectionOf<TurnSection>& section) {
  section
      .integer("lifetime_seconds", &TurnSection::lifetime, 600, kLifetime,
               "Lifetime of an allocation whose client asks for none.")
      .hot()
      .integer("lifetime_max_seconds", &TurnSection::lifetime_max, 3600, kLifetime,
               "The longest that a client gets at a time; it may refresh it.")
      .hot()
      .integer("allocation_age_max_seconds", &TurnSection::allocation_age_max, 86400, {0, 2592000},
               "Allocations older than this are not refreshed; their clients make new ones, with "
               "credentials that are good then. 0: as long as the client wants.")
      .hot()
      .integer("nonce_seconds", &TurnSection::nonce_lifetime, 1800, {60, 3600},
               "How long a nonce is good; then the client is given a new one.")
      .hot()
      .boolean("mobility", &TurnSection::mobility, false,
               "Clients that ask for it keep their allocation when their address changes (RFC "
               "8016). Without, they are answered 405.")
      .hot()
      .boolean("strict_expiry", &TurnSection::strict_expiry, false,
               "End an allocation when the time-limited credentials that made it are over. "
               "Without, they make none any more, and those that there are go on up to "
               "`allocation_age_max_seconds`.")
      .hot()
      .integer("credentials_max_seconds", &TurnSection::credentials_max, 3600, {60, 86400},
               "The longest life of credentials that the API issues.")
      .hot()
      .socket_address("alternate", &TurnSection::alternate, "",
                      "While this node drains, clients that ask for an allocation are sent to the "
                      "TURN server there. \"\": they are refused.")
      .hot();
}

Section turn_section() {
  const auto place = [](Settings& settings, const std::string&) { return &settings.turn; };
  SectionOf<TurnSection> section(
      "turn",
      "The TURN and STUN server, for clients that no other way connects. It is there when at least "
      "one [turn.realm.NAME] is. See [turn.md](turn.md).",
      place);
  section
      .text("interface", &TurnSection::interface, "outside",
            "The `[interface.NAME]` at whose addresses it listens and relays.")
      .text("default_realm", &TurnSection::default_realm, "",
            "With several realms: the NAME of the [turn.realm.NAME] that clients are told at the "
            "ports below. They may be of any other realm, too, if they name it.")
      .hot()
      .integer("udp_port", &TurnSection::udp_port, 3478, {1024, 65534},
               "UDP port at which clients ask.")
      .integer("tcp_port", &TurnSection::tcp_port, 3478, {0, 65534},
               "TCP port at which clients ask that no UDP gets through from. 0: none.")
      .integer("tls_port", &TurnSection::tls_port, 5349, {0, 65534},
               "TCP port at which they ask over TLS, once there is a certificate. 0: none.")
      .integer("dtls_port", &TurnSection::dtls_port, 5349, {0, 65534},
               "UDP port at which they ask over DTLS 1.2, once there is a certificate. 0: none.")
      .integer("discovery_port", &TurnSection::discovery_port, 0, {0, 65534},
               "A second UDP port at which clients find out how NATs on their way behave (RFC "
               "5780), at the first two addresses of each family of `turn.interface`. 0: they "
               "cannot.")
      .path("certificate_file", &TurnSection::certificate_file, "",
            "Certificate of `tls_port` and `dtls_port` with its chain, PEM. A reload reads it "
            "anew; the first one waits for a restart. \"\": neither TLS nor DTLS.")
      .hot()
      .path("private_key_file", &TurnSection::private_key_file, "",
            "Private key of `certificate_file`, PEM without passphrase.")
      .hot()
      .text("server_name", &TurnSection::server_name, "",
            "Host name of this node that its certificate has: in `turns:` URIs that the API gives, "
            "since browsers take no address there. \"\": the address.")
      .hot()
      .integer("port_min", &TurnSection::port_min, 24000, {1024, 65534},
               "First UDP port of relayed transport addresses, apart from `media`'s.")
      .integer("port_max", &TurnSection::port_max, 29999, {1025, 65535}, "The last of them.")
      .integer("quarantine_seconds", &TurnSection::quarantine, 5, {0, 3600},
               "How long such a port rests before another allocation may get it.")
      .integer("allocations_max", &TurnSection::allocations_max, 4000, {1, 200000},
               "Allocations at a time; more are refused. Each needs a port and a file descriptor, "
               "with both address families two.")
      .integer("permissions_max", &TurnSection::permissions_max, 32, {1, 256},
               "Peers that one allocation may have permissions or channels for at a time.")
      .integer("connections_max", &TurnSection::connections_max, 4000, {1, 200000},
               "TCP and TLS connections and DTLS associations of clients at a time. A connection "
               "has a file descriptor and up to 24 KiB of memory (with TLS 64) besides the "
               "kernel's, an association 10 KiB; more are closed at once.")
      .integer("connections_per_source_max", &TurnSection::connections_per_source_max, 100,
               {0, 200000}, "Of these, from one IPv4 address or one /64 of IPv6. 0: any number.")
      .boolean(
          "tcp_allocations", &TurnSection::tcp_allocations, false,
          "Clients over TCP and TLS may have relayed TCP ports, connect to peers from them and "
          "be connected to (RFC 6062). Open TCP `port_min` to `port_max` then, too.")
      .integer("tcp_connections_max", &TurnSection::tcp_connections_max, 1000, {1, 20000},
               "TCP connections with peers at a time. Each has a file descriptor and, once data "
               "flow, 16 KiB of memory besides the kernel's.")
      .integer("tcp_connections_per_allocation_max",
               &TurnSection::tcp_connections_per_allocation_max, 32, {1, 10000},
               "Of these, of one allocation.");
  add_times(section);
  return section.done();
}

void add_peer_keys(SectionOf<TurnRealmSection>& section) {
  section
      .texts("allowed_peers", &TurnRealmSection::allowed_peers,
             "Networks of peers that are open although they are private or otherwise "
             "special-purpose. Loopback, multicast and this host's own addresses stay closed.")
      .hot()
      .texts("denied_peers", &TurnRealmSection::denied_peers,
             "Networks of peers that are closed, also where `allowed_peers` opens them.")
      .hot()
      .boolean("only_allowed_peers", &TurnRealmSection::only_allowed_peers, false,
               "Relay to `allowed_peers` and to nobody else, but for `own_media`.")
      .hot()
      .boolean("own_media", &TurnRealmSection::own_media, true,
               "Clients make calls through this node: they reach its media ports at the addresses "
               "of `turn.interface`, as anybody does without TURN.")
      .hot()
      .integer("peer_port_min", &TurnRealmSection::peer_port_min, 1024, {1, 65535},
               "Lower ports of peers are closed.")
      .hot()
      .integer("allocations_max", &TurnRealmSection::allocations_max, 0, {0, 200000},
               "Allocations of the realm at a time. 0: as many as `turn.allocations_max`.")
      .hot()
      .integer("allocations_per_user_max", &TurnRealmSection::allocations_per_user_max, 10,
               {0, 200000}, "Allocations of one user at a time. 0: any number.")
      .hot()
      .integer("new_peers_per_minute_max", &TurnRealmSection::new_peers_per_minute_max, 60,
               {0, 100000}, "Further peers of one allocation in a minute. 0: any number.")
      .hot()
      .integer("tcp_connections_per_user_max", &TurnRealmSection::tcp_connections_per_user_max, 64,
               {0, 200000}, "TCP connections of one user with peers at a time. 0: any number.")
      .hot()
      .integer("bytes_per_second_max", &TurnRealmSection::bytes_per_second_max, 2500000,
               {0, 1000000000}, "Data of one allocation in each direction. 0: no limit.")
      .hot();
}

/// Where its clients come, when there are several realms.
void add_place_keys(SectionOf<TurnRealmSection>& section) {
  section
      .addresses("addresses", &TurnRealmSection::addresses,
                 "Of the addresses of `turn.interface`, those that are for this realm alone; with "
                 "`port`, `tls_port` or `dtls_port` only these ports of them. Clients are told the "
                 "realm there, and of others none gets in.")
      .integer("port", &TurnRealmSection::port, 0, {0, 65534},
               "UDP port, and TCP port unless `turn.tcp_port` is 0, for this realm alone: at "
               "`addresses`, or at all of `turn.interface`. 0: none.")
      .integer("tls_port", &TurnRealmSection::tls_port, 0, {0, 65534},
               "TLS port for this realm alone, with the certificate of [turn]. 0: none.")
      .integer("dtls_port", &TurnRealmSection::dtls_port, 0, {0, 65534},
               "DTLS port for this realm alone, with the same certificate. 0: none.");
}

Section turn_realm_section() {
  const auto place = [](Settings& settings, const std::string& name) {
    settings.turn.realms.push_back({});
    settings.turn.realms.back().name = name;
    return &settings.turn.realms.back();
  };
  SectionOf<TurnRealmSection> section("turn.realm.*",
                                      "A realm (tenant) of the TURN server: who may ask, and for "
                                      "what. A reload reads its files anew.",
                                      place);
  section.text(
      "realm", &TurnRealmSection::realm, "",
      "Its name as clients are told it, such as \"example.org\". \"\": the section's name.");
  add_place_keys(section);
  section
      .path("users_file", &TurnRealmSection::users_file, "",
            "Users, one a line: `NAME PASSWORD`. Neither readable nor writable by everybody.")
      .hot()
      .paths("secret_files", &TurnRealmSection::secret_files,
             "Files with a secret each, shared with who hands out time-limited credentials: one "
             "line of 16 to 256 characters, not readable by everybody. All are taken; the API "
             "issues with the first.")
      .hot()
      .word("secret_hash", &TurnRealmSection::secret_hash, "sha1", {"sha1", "sha256"},
            "HMAC by which passwords are made from these secrets; nearly everybody has \"sha1\".")
      .hot()
      .path("token_keys_file", &TurnRealmSection::token_keys_file, "",
            "Keys shared with an authorization server, whose access tokens are then taken (RFC "
            "7635), one a line: `KID ALGORITHM KEY FROM-UNTIL`, with A256GCM or A128GCM, base64, "
            "and Unix seconds, which may be left out. Neither readable nor writable by everybody. "
            "\"\": no tokens.")
      .hot()
      .text(
          "token_server_name", &TurnRealmSection::token_server_name, "",
          "What clients and that server call this one; tokens hold for this name alone. \"\": the "
          "realm's name.")
      .hot();
  add_peer_keys(section);
  return section.done();
}

}  // namespace

std::vector<Section> turn_sections() {
  return {turn_section(), turn_realm_section()};
}

}  // namespace turnpike::config
