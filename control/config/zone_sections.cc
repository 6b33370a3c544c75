// The tables of [zone.ZONE] and what lies below.
#include <algorithm>

#include "control/config/schema.h"

namespace turnpike::config {
namespace {

ZoneSection* find_zone(Settings& settings, const std::string& name) {
  const auto found = std::find_if(settings.zones.begin(), settings.zones.end(),
                                  [&name](const ZoneSection& zone) { return zone.name == name; });
  return found == settings.zones.end() ? nullptr : &*found;
}

/// Times, limits and ports: the keys that are mostly left alone.
void zone_limits(SectionOf<ZoneSection>& section) {
  section
      .integer("keepalive_seconds", &ZoneSection::keepalive, 10, {2, 20},
               "Interval of keep-alives. The connection is given up when nothing came for two to "
               "three of them. Shorter than the time after which firewalls forget a connection.")
      .integer("handshake_timeout_seconds", &ZoneSection::handshake_timeout, 10, {1, 60},
               "A connection that has not proved itself after this time is closed.")
      .integer("waiting_max", &ZoneSection::waiting_max, 64, {1, 10000},
               "Connections that may be in their handshake at a time; more are closed at once.")
      .integer("waiting_per_source_max", &ZoneSection::waiting_per_source_max, 16, {1, 10000},
               "The same for one address (IPv6: for one /64).")
      .integer("streams_max", &ZoneSection::streams_max, 256, {2, 10000},
               "Byte streams at a time on one connection.")
      .boolean("require_dtls", &ZoneSection::require_dtls, false,
               "Take calls over this zone only with keys from DTLS, which the edge never sees. "
               "Keys in the SDP (a=crypto) pass through its signalling.")
      .integer("flow_port_min", &ZoneSection::flow_port_min, 36000, {1024, 65535},
               "First UDP port, at the address of `listen`, of the media that edge and cores "
               "exchange. Of the edge; a core asks for them. Zones may share them. Media ports of "
               "clients begin after them.")
      .integer("flow_port_max", &ZoneSection::flow_port_max, 36011, {1024, 65535},
               "The last of these ports; at most 64 of them.");
}

Section zone_section() {
  const auto place = [](Settings& settings, const std::string& name) {
    settings.zones.push_back({});
    settings.zones.back().name = name;
    return &settings.zones.back();
  };
  SectionOf<ZoneSection> section(
      "zone.*",
      "A zone: the trusted connection between the nodes of a traversal pair. Its name must "
      "be the same on both. `node.role` \"core\" has exactly one, \"edge\" one for each "
      "tenant. See [traversal.md](traversal.md).",
      place);
  section
      .word("kind", &ZoneSection::kind, "uc", {"uc", "traversal"},
            "\"uc\": for calls of remote users; who the peer is, is always judged by subject "
            "alternative names, which no other key can weaken. \"traversal\": for inside systems "
            "whose certificates need `verify_name`.")
      .socket_address("listen", &ZoneSection::listen, "",
                      "Address and TCP port on which the edge waits for its cores, such as "
                      "\"192.0.2.10:7001\"; 7002 and so on for further zones. Not on the core, "
                      "which listens for nobody.")
      .text("tls_name", &ZoneSection::tls_name, "",
            "The name that this node's own certificate must have, as the peers expect it.")
      .required("\"edge.example.com\"")
      .path("certificate_file", &ZoneSection::certificate_file, "",
            "This node's certificate, PEM, with its chain; purposes clientAuth and serverAuth.")
      .required("\"zone-dmz/node.pem\"")
      .path("private_key_file", &ZoneSection::private_key_file, "",
            "Its private key, PEM, without passphrase.")
      .required("\"zone-dmz/node.key\"")
      .path("trust_file", &ZoneSection::trust_file, "",
            "The authorities that peers' certificates must come from, PEM. Nothing else is "
            "trusted. Each zone has its own.")
      .required("\"zone-dmz/ca.pem\"")
      .text("tls_verify_subject", &ZoneSection::tls_verify_subject, "",
            "A name that every peer's certificate must have besides its own: that of the cluster. "
            "An edge with a zone of kind \"uc\" needs it.")
      .word("verify_name", &ZoneSection::verify_name, "san", {"san", "san-or-cn"},
            "Where a certificate's name is looked for. \"san-or-cn\" also takes the common name "
            "of a certificate without subject alternative names; refused in zones of kind "
            "\"uc\".")
      .word("tls_min_version", &ZoneSection::tls_min_version, "1.2", {"1.2", "1.3"},
            "The oldest TLS version that is spoken.")
      .text("user", &ZoneSection::user, "zone", "Both nodes must give the same.")
      .path("password_file", &ZoneSection::password_file, "",
            "A file with the zone's password, the same on both nodes: one line, 16 characters at "
            "least, best random ones. It never goes over the connection.")
      .required("\"zone-dmz/password\"")
      .texts("domains", &ZoneSection::domains,
             "The SIP domains of this tenant: an edge sends their registrations and calls to this "
             "zone's cores. A domain belongs to one zone. Empty, with one zone: all of "
             "`sip.domains`.");
  zone_limits(section);
  return section.done();
}

Section zone_peer_section() {
  const auto place = [](Settings& settings, const std::string& name) {
    // The zone's own table was visited before those below it.
    ZoneSection& zone = *find_zone(settings, name.substr(0, name.find('.')));
    zone.peers.push_back({});
    zone.peers.back().name = name.substr(name.rfind('.') + 1);
    return &zone.peers.back();
  };
  return SectionOf<ZonePeerSection>(
             "zone.*.peer.*", "A node at the other end of the zone; one to six of them.", place)
      .text("tls_name", &ZonePeerSection::tls_name, "",
            "The name that this peer's certificate must have; by it the edge tells peers apart.")
      .required("\"core-1.example.com\"")
      .socket_address("address", &ZonePeerSection::address, "",
                      "Where the core dials this edge, as its `listen` says: \"192.0.2.10:7001\"; "
                      "\"127.0.0.1:7001\" where both nodes try this on one host. Not on the edge, "
                      "which never dials.")
      .socket_address("sip_listen", &ZonePeerSection::sip_listen, "",
                      "Loopback address and TCP port: what the SIP server of this node connects "
                      "to here reaches the peer's SIP server. Only the account `sip.run_user` is "
                      "let in. \"\": none.")
      .socket_address("sip_target", &ZonePeerSection::sip_target, "",
                      "Loopback address and TCP port of the SIP server of this node to which "
                      "connections of the peer's SIP server are made. \"\": none are.")
      .done();
}

}  // namespace

std::vector<Section> zone_sections() {
  return {zone_section(), zone_peer_section()};
}

}  // namespace turnpike::config
