#include "control/sidecar/layout.h"

#include <algorithm>
#include <cstdint>
#include <string_view>

namespace turnpike::sidecar {
namespace {

/// No name of servers has a blank.
std::string zone_set_name(const SipZone& zone) {
  return "zone " + zone.name;
}

/// FNV-1a, 64 bits. Short and the same everywhere; the names are the operator's, nobody seeks two
/// that collide.
std::string digits_of(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (const char c : text) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  }
  std::string digits;
  for (int shift = 60; shift >= 0; shift -= 4) digits += "0123456789abcdef"[(hash >> shift) & 15U];
  return digits;
}

}  // namespace

std::vector<ServerSet> server_sets(const SipConfig& config) {
  std::vector<ServerSet> sets;
  const auto add = [&sets](std::string name, const std::vector<std::string>& uris, bool outside,
                           std::vector<std::string> certificate_names,
                           const TlsIdentity& identity) {
    ServerSet set;
    set.number = static_cast<int>(sets.size()) + 1;
    set.name = std::move(name);
    set.outside = outside;
    set.certificate_names = std::move(certificate_names);
    set.identity = identity;
    for (const std::string& uri : uris) {
      if (const auto target = parse_target(uri)) set.targets.push_back(*target);
    }
    sets.push_back(std::move(set));
  };
  for (const InsideServers& group : config.servers) {
    add(group.name, group.uris, false, {}, group.identity);
  }
  if (!config.upstream.empty()) add("", {config.upstream}, false, {}, {});
  for (const SipPeer& peer : config.peers) {
    if (!peer.uri.empty()) {
      add(peer.name, {peer.uri}, true, peer.certificate_names, peer.identity);
    }
  }
  for (const SipZone& zone : config.zones) {
    add(zone_set_name(zone), {}, false, {}, {});
    for (const ZonePeer& peer : zone.peers) {
      sets.back().targets.push_back(
          {host_text(peer.listen.ip), peer.listen.port, Transport::kTcp, true});
      sets.back().sockets.push_back(socket_text("tcp", peer.target.ip, peer.target.port));
    }
  }
  return sets;
}

std::string identity_name(const ServerSet& set) {
  // Not by number: while a changed file is taken, names of before and after are in use at once.
  if (set.identity == TlsIdentity{}) return "";
  return (set.outside ? "peer-" : "servers-") + set.name;
}

int set_number(const std::vector<ServerSet>& sets, const std::string& name, bool outside) {
  for (const ServerSet& set : sets) {
    if (set.name == name && set.outside == outside) return set.number;
  }
  return 0;
}

int set_number(const std::vector<ServerSet>& sets, const SipZone& zone) {
  return set_number(sets, zone_set_name(zone), false);
}

const SipZone& zone_of(const SipConfig& config, const SipPeer& peer) {
  for (const SipZone& zone : config.zones) {
    if (zone.name == peer.zone) return zone;
  }
  return config.zones.front();
}

std::vector<ZoneSide> zone_sides(const SipConfig& config) {
  std::vector<ZoneSide> sides;
  for (const SipZone& zone : config.zones) {
    for (const ZonePeer& peer : zone.peers) {
      sides.push_back({digits_of(zone.name + "/" + peer.name), &zone, &peer});
    }
  }
  return sides;
}

std::string host_text(const IpAddress& ip) {
  return ip.is_v6() ? "[" + to_string(ip) + "]" : to_string(ip);
}

std::string socket_text(std::string_view transport, const IpAddress& ip, std::uint16_t port) {
  return std::string(transport) + ":" + host_text(ip) + ":" + std::to_string(port);
}

std::string sending_socket(const SipConfig& config, const Target& target, bool outside) {
  const auto& addresses = outside ? config.outside.addresses : config.inside.addresses;
  const InterfaceAddress* chosen = &addresses.front();
  if (target.is_address) {
    const bool v6 = target.host.starts_with('[');
    for (const auto& address : addresses) {
      if (address.local.is_v6() == v6) {
        chosen = &address;
        break;
      }
    }
  }
  const bool tls = target.transport == Transport::kTls;
  const std::uint16_t port =
      outside ? config.mtls_port : (tls ? config.inside_tls_port : config.inside_port);
  return socket_text(name_of(target.transport), chosen->local, port);
}

bool has_clients(const SipConfig& config) {
  // To a core they come through its edges.
  return !has_outside(config) || config.tls_port != 0 || has_browsers(config);
}
bool has_browsers(const SipConfig& config) {
  return has_outside(config) && config.wss_port != 0;
}
SocketAddress door_listener(const SipConfig& config) {
  if (!has_browsers(config) || !config.wss_at_door) return {};
  return {IpAddress::v4(127, 0, 0, 1), config.wss_port};
}
bool has_peers(const SipConfig& config) {
  return has_outside(config) && config.mtls_port != 0 && !config.peers.empty();
}
bool knows_peers(const SipConfig& config) {
  return has_peers(config) || (!has_outside(config) && !config.peers.empty());
}
bool asks_peers(const SipConfig& config) {
  return config.role == NodeRole::kEdge && has_peers(config) &&
         std::any_of(config.peers.begin(), config.peers.end(),
                     [](const SipPeer& peer) { return !peer.uri.empty(); });
}
bool has_registrar(const SipConfig& config) {
  return has_inside(config) && config.upstream.empty();
}
bool has_upstream(const SipConfig& config) {
  return has_inside(config) && !config.upstream.empty();
}
bool has_inside(const SipConfig& config) {
  return config.role != NodeRole::kEdge;
}
bool has_outside(const SipConfig& config) {
  return config.role != NodeRole::kCore;
}
bool is_of_pair(const SipConfig& config) {
  return config.role != NodeRole::kSingle;
}
bool has_tls(const SipConfig& config) {
  return has_outside(config) || config.inside_tls_port != 0;
}

}  // namespace turnpike::sidecar
