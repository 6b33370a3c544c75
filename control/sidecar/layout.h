// What the parts of the generator share: numbers of server sets, sockets, and each part itself.
// Private to this folder.
#pragma once

#include <string>
#include <vector>

#include "control/sidecar/grammar.h"
#include "control/sidecar/sip_config.h"

namespace turnpike::sidecar {

/// A set of servers of the dispatcher; OPTIONS go to each of its targets.
struct ServerSet {
  int number = 0;
  std::string name;  ///< of the servers entry or the peer; "" = upstream
  std::vector<Target> targets;
  bool outside = false;
  /// Names that the certificate of a TLS target may have; empty = the host of its URI.
  std::vector<std::string> certificate_names;
};

/// All sets: servers first, then upstream, then peers with a URI.
std::vector<ServerSet> server_sets(const SipConfig& config);
int set_number(const std::vector<ServerSet>& sets, const std::string& name, bool outside);

/// "tls:198.51.100.1:5061"
std::string socket_text(std::string_view transport, const IpAddress& ip, std::uint16_t port);
/// IPv6 in brackets.
std::string host_text(const IpAddress& ip);
/// Our socket for requests to `target`, of the same family where the target is an address.
std::string sending_socket(const SipConfig& config, const Target& target, bool outside);

/// Over TLS or WebSocket.
bool has_clients(const SipConfig& config);
bool has_browsers(const SipConfig& config);
bool has_peers(const SipConfig& config);
bool has_registrar(const SipConfig& config);

std::string kamailio_cfg(const SipConfig& config, const std::string& directory,
                         const std::string& signing_key);
std::string site_cfg(const SipConfig& config);
std::string tls_cfg(const SipConfig& config);
std::string dispatcher_list(const SipConfig& config);
std::string subscriber_table(const SipConfig& config);
std::string firewall_rules(const SipConfig& config);
/// The static parts of the script, built into the program.
std::string_view routes_cfg();
std::string_view media_cfg();
std::string_view websocket_cfg();

}  // namespace turnpike::sidecar
