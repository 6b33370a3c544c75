#include "control/api/tls_json.h"

#include <chrono>

#include <nlohmann/json.hpp>

#include "control/api/certificate_json.h"
#include "control/api/zones_json.h"

namespace turnpike::api {
namespace {

using Json = nlohmann::ordered_json;

Json text(const std::string& value) {
  return value.empty() ? Json() : Json(value);
}

/// Chain, dates and purposes are always checked; what differs is which name counted.
const char* verified_by(const zone::TlsReport& security) {
  const pki::CertificateFacts& facts = security.certificate;
  return facts.dns_names.empty() && facts.ip_addresses.empty() ? "common name"
                                                               : "subject alternative name";
}

Json connection_json(const zone::ZoneReport& zone, const zone::PeerReport& peer,
                     const zone::ConnectionReport& one, Instant now, pki::WallTime wall_now) {
  const zone::TlsReport& security = one.security;
  const auto age = std::chrono::duration_cast<Milliseconds>(now - one.since);
  return {{"zone", zone.name},
          {"peer", peer.name},
          {"node", text(peer.node)},
          {"purpose", words_of(one.purpose)},
          {"dialled_by", security.dialled ? "this node" : "the peer"},
          {"address", text(one.address)},
          {"version", security.version},
          {"cipher", security.cipher},
          {"verified", verified_by(security)},
          {"matched_name", text(security.matched_name)},
          {"server_name", text(security.server_name)},
          {"certificate", certificate_json(security.certificate, wall_now)},
          {"age_seconds", static_cast<double>(age.count()) / 1000.0}};
}

}  // namespace

std::string tls_connections_json(const std::vector<zone::ZoneReport>& zones, Instant now,
                                 pki::WallTime wall_now) {
  Json list = Json::array();
  std::size_t waiting = 0;
  for (const zone::ZoneReport& zone : zones) {
    waiting += zone.waiting;
    for (const zone::PeerReport& peer : zone.peers) {
      for (const zone::ConnectionReport& one : peer.connections) {
        if (one.up) list.push_back(connection_json(zone, peer, one, now, wall_now));
      }
      if (peer.bulk && peer.bulk->up) {
        list.push_back(connection_json(zone, peer, *peer.bulk, now, wall_now));
      }
    }
  }
  const Json body{{"connections", std::move(list)}, {"handshakes_waiting", waiting}};
  // What a remote end named (certificates, SNI) may be no UTF-8: replaced, never thrown.
  return body.dump(2, ' ', false, nlohmann::detail::error_handler_t::replace) + "\n";
}

}  // namespace turnpike::api
