// From the [zone.ZONE] sections to what control/zone takes.
#include <set>

#include "control/config/products.h"

namespace turnpike::config {
namespace {

zone::ZoneConfig to_zone(const ZoneSection& section) {
  zone::ZoneConfig zone;
  zone.name = section.name;
  zone.kind = section.kind == ZoneKind::kUc ? "uc" : "traversal";
  zone.listen = section.listen;
  zone.tls = {.certificate_file = section.certificate_file,
              .private_key_file = section.private_key_file,
              .trust_file = section.trust_file,
              .protocol = zone::kTlsProtocol,
              .oldest = section.tls_min_version};
  zone.tls_verify_subject = section.tls_verify_subject;
  zone.accept_common_name = section.verify_name == NameRule::kSanOrCommonName;
  zone.user = section.user;
  zone.password_file = section.password_file;
  zone.domains = section.domains;
  zone.keepalive = section.keepalive;
  zone.handshake_timeout = section.handshake_timeout;
  zone.admission.waiting_max = section.waiting_max;
  zone.admission.waiting_per_source_max = section.waiting_per_source_max;
  zone.http2.streams_max = section.streams_max;
  for (const ZonePeerSection& peer : section.peers) {
    zone.peers.push_back(
        {peer.name, peer.address, peer.tls_name, peer.sip_listen, peer.sip_target});
  }
  return zone;
}

}  // namespace

PairRole pair_role(const Settings& settings) {
  if (settings.zones.empty()) return PairRole::kNone;
  return settings.node.role == "edge" ? PairRole::kEdge : PairRole::kCore;
}

std::vector<pair::PeerConfig> pair_peers(const Settings& settings) {
  std::vector<pair::PeerConfig> peers;
  for (const ZoneSection& zone : settings.zones) {
    std::vector<std::uint16_t> ports;
    for (unsigned port = zone.flow_port_min; port <= zone.flow_port_max; ++port) {
      ports.push_back(static_cast<std::uint16_t>(port));
    }
    for (const ZonePeerSection& peer : zone.peers) {
      peers.push_back({zone.name + "/" + peer.name, peer.address.ip, ports});
    }
  }
  return peers;
}

std::vector<SocketAddress> flow_ports(const Settings& settings) {
  std::set<SocketAddress> all;
  if (pair_role(settings) != PairRole::kEdge) return {};
  for (const ZoneSection& zone : settings.zones) {
    for (unsigned port = zone.flow_port_min; port <= zone.flow_port_max; ++port) {
      all.insert({zone.listen.ip, static_cast<std::uint16_t>(port)});
    }
  }
  return {all.begin(), all.end()};
}

zone::ServiceConfig zone_config(const Settings& settings) {
  zone::ServiceConfig config;
  config.role = settings.node.role == "edge" ? zone::Role::kEdge : zone::Role::kCore;
  config.node = settings.node.name;
  config.sip_user = settings.sip.run_user;
  for (const ZoneSection& section : settings.zones) config.zones.push_back(to_zone(section));
  return config;
}

}  // namespace turnpike::config
