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
  /// Of zone peers: the socket to send from, one for each target. Else empty.
  std::vector<std::string> sockets;
  /// Names that the certificate of a TLS target may have; empty = the host of its URI.
  std::vector<std::string> certificate_names;
  /// Towards its TLS targets.
  TlsIdentity identity;
};

/// By which a client's profile in tls.cfg is chosen; "" = the one for all.
std::string identity_name(const ServerSet& set);

/// All sets: servers first, then upstream, peers with a URI, and zones.
std::vector<ServerSet> server_sets(const SipConfig& config);
int set_number(const std::vector<ServerSet>& sets, const std::string& name, bool outside);

/// Whose cores an edge's peer calls. There is a zone.
const SipZone& zone_of(const SipConfig& config, const SipPeer& peer);

/// The set of a zone's peers.
int set_number(const std::vector<ServerSet>& sets, const SipZone& zone);

/// A zone's peer as the script names it.
struct ZoneSide {
  /// In route sets and listeners' names, beside o (outside) and i (inside): 16 hexadecimal digits
  /// made of the names of zone and peer. Other peers do not change it, so calls that are up keep
  /// theirs when the configuration grows.
  std::string letter;
  const SipZone* zone = nullptr;
  const ZonePeer* peer = nullptr;
};
/// Points into `config`.
std::vector<ZoneSide> zone_sides(const SipConfig& config);

/// "tls:198.51.100.1:5061"
std::string socket_text(std::string_view transport, const IpAddress& ip, std::uint16_t port);
/// IPv6 in brackets.
std::string host_text(const IpAddress& ip);
/// Our socket for requests to `target`, of the same family where the target is an address.
std::string sending_socket(const SipConfig& config, const Target& target, bool outside);

/// Over TLS or WebSocket.
bool has_clients(const SipConfig& config);
bool has_browsers(const SipConfig& config);
/// They connect to this node.
bool has_peers(const SipConfig& config);
/// They connect to this node, or to the edges of this core.
bool knows_peers(const SipConfig& config);
/// An edge that asks them itself whether they live: the dispatcher asks cores, each second.
bool asks_peers(const SipConfig& config);
bool has_registrar(const SipConfig& config);
bool has_upstream(const SipConfig& config);
/// An inside network: of a single node or a core.
bool has_inside(const SipConfig& config);
/// Clients' connections: of a single node or an edge.
bool has_outside(const SipConfig& config);
bool is_of_pair(const SipConfig& config);
/// Certificates are shown by, or asked of, anybody.
bool has_tls(const SipConfig& config);

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

/// Where the front door (control/config/front_door.h) brings browsers; unset: nowhere.
SocketAddress door_listener(const SipConfig& config);
std::string_view zone_cfg();

}  // namespace turnpike::sidecar
