// A site with one of everything.
#pragma once

#include "control/sidecar/sidecar.h"

namespace turnpike::sidecar {

inline InterfaceAddress address(const char* local, const char* advertised = nullptr) {
  return {*parse_ip(local), *parse_ip(advertised == nullptr ? local : advertised)};
}

inline SipConfig example() {
  SipConfig config;
  config.domains = {"edge.example.com", "example.com"};
  config.outside = {"outside", {address("192.0.2.10", "203.0.113.7"), address("2001:db8::10")}};
  config.inside = {"inside", {address("10.0.0.1")}};
  config.inside_networks = {"10.0.0.0/8", "fd00::/8"};
  config.inside_tls_port = 5061;
  config.wss_port = 8443;
  config.websocket_origins = {"https://phone.example.com", "http://localhost:8000"};
  config.certificate_file = "/etc/turnpike/server.pem";
  config.private_key_file = "/etc/turnpike/server.key";
  config.trust_file = "/etc/turnpike/ca.pem";
  config.sni_certificates = {{"tenant.example.com", "/etc/turnpike/t.pem", "/etc/turnpike/t.key"}};
  config.users = {{"alice", "example.com", "0123456789abcdef0123456789abcdef"}};
  config.servers = {{"pbx", {"sip:10.0.0.10:5060", "sip:pbx.example.net;transport=tls"}},
                    {"gateway", {"sip:[fd00::9];transport=tcp"}}};
  config.routes = {{"[1-9][0-9]{3}", "pbx"}, {"\\+49[0-9]+", "gateway"}};
  config.peers = {
      {"partner",
       {"partner.example"},
       {"sip.partner.example"},
       VerifyName::kSanOrCn,
       "sip:sip.partner.example:5062;transport=tls"},
      {"quiet", {"quiet.example"}, {"a.quiet.example", "b.quiet.example"}, VerifyName::kSan, ""}};
  config.emergency_numbers = {"112"};
  config.emergency_servers = "gateway";
  return config;
}

/// Two tenants; the first has two cores.
inline SipConfig edge_example() {
  const auto loopback = [](std::uint16_t port) {
    return SocketAddress{IpAddress::v4(127, 0, 0, 1), port};
  };
  SipConfig config;
  config.role = NodeRole::kEdge;
  config.domains = {"example.com", "other.example"};
  config.outside = example().outside;
  config.wss_port = 8443;
  config.websocket_origins = {"https://phone.example.com"};
  config.certificate_file = "/etc/turnpike/server.pem";
  config.private_key_file = "/etc/turnpike/server.key";
  config.trust_file = "/etc/turnpike/ca.pem";
  config.emergency_numbers = {"112"};
  config.zones = {
      {"dmz",
       {"example.com"},
       {{"core-1", loopback(7101), loopback(7201)}, {"core-2", loopback(7102), loopback(7202)}}},
      {"lab", {"other.example"}, {{"core-1", loopback(7103), loopback(7203)}}}};
  return config;
}

/// Each tenant has a peer of its own; the first one's can be called.
inline SipConfig edge_with_peers() {
  SipConfig config = edge_example();
  config.peers = example().peers;
  config.peers[0].zone = "dmz";
  config.peers[1].zone = "lab";
  return config;
}

inline SipConfig core_example() {
  SipConfig config = example();
  config.role = NodeRole::kCore;
  config.outside = {};
  config.wss_port = 0;
  config.websocket_origins.clear();
  config.sni_certificates.clear();
  config.peers.clear();
  config.inside_tls_port = 0;
  config.certificate_file = config.private_key_file = config.trust_file = "";
  config.servers[0].uris = {"sip:10.0.0.10:5060"};
  config.zones = {
      {"dmz",
       {},
       {{"edge-1", {IpAddress::v4(127, 0, 0, 1), 7101}, {IpAddress::v4(127, 0, 0, 1), 7201}}}}};
  return config;
}

inline SipConfig core_with_peers() {
  SipConfig config = core_example();
  config.peers.resize(1);
  config.peers[0].name = "partner";
  config.peers[0].domains = {"partner.example"};
  return config;
}

inline const std::string kSigningKey(64, 'a');

}  // namespace turnpike::sidecar
