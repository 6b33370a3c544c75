// The rules that join several keys, one function for each section.
#include "control/config/checks.h"

#include <algorithm>
#include <map>
#include <set>

#include "control/call/network.h"
#include "control/config/front_door.h"
#include "control/config/turn_listeners.h"

namespace turnpike::config {
namespace {

constexpr std::uint16_t kReservedMin = 5063;  // kept free for SIP endpoints' own use
constexpr std::uint16_t kReservedMax = 5080;
constexpr std::uint16_t kListenerPortMin = 1024;
constexpr std::uint16_t kListenerPortMax = 65534;
constexpr std::uint16_t kSipPortMin = 5060;
constexpr std::size_t kInterfacesMax = 16;
constexpr const char* kFrontDoorPort = "front_door.port";  // 443 is one

bool is_link_local_v6(const IpAddress& ip) {
  return ip.is_v6() && ip.bytes[0] == 0xfe && (ip.bytes[1] & 0xc0) == 0x80;
}

bool is_broadcast(const IpAddress& ip) {
  return ip == IpAddress::v4(255, 255, 255, 255);
}

/// RFC 1918, RFC 6598, RFC 3927, RFC 4193 and RFC 4291 link-local: not reachable from the internet.
bool is_private(const IpAddress& ip) {
  const auto& b = ip.bytes;
  if (ip.is_v4()) {
    return b[0] == 10 || (b[0] == 172 && (b[1] & 0xf0) == 16) || (b[0] == 192 && b[1] == 168) ||
           (b[0] == 100 && (b[1] & 0xc0) == 64) || (b[0] == 169 && b[1] == 254);
  }
  return ip.is_v6() && ((b[0] & 0xfe) == 0xfc || is_link_local_v6(ip));
}

/// Why an address cannot stand for one of this host's or its NAT's; empty when it can.
std::string unusable(const IpAddress& ip) {
  if (ip.is_unspecified()) return "means every address; name the addresses one by one";
  if (ip.is_multicast()) return "is a multicast address; give a unicast one";
  if (is_broadcast(ip)) return "is the broadcast address; give a unicast one";
  if (is_link_local_v6(ip)) return "is link-local; give a global or unique local address";
  return {};
}

void check_node(const Settings& settings, Findings& findings) {
  if (settings.node.name.empty()) {
    findings.mistake({"node.name"}, "node.name is empty; give the node a name or leave it out");
  }
}

void check_addresses(const InterfaceSection& interface, Findings& findings) {
  const std::string path = "interface." + interface.name;
  const std::string key = path + ".addresses";
  if (!findings.sound({key})) return;
  if (interface.addresses.empty()) {
    findings.mistake({key}, key + " is empty; give at least one address");
  }
  std::set<IpAddress> seen;
  for (const IpAddress& ip : interface.addresses) {
    if (const std::string why = unusable(ip); !why.empty()) {
      findings.mistake({key}, key + ": " + to_string(ip) + " " + why);
    } else if (!seen.insert(ip).second) {
      findings.mistake({key}, key + " holds " + to_string(ip) + " twice; remove one");
    } else if (ip.is_loopback()) {
      findings.warning({key}, key + ": " + to_string(ip) +
                                  " is a loopback address; only this host can send media to it");
    }
  }
}

void check_advertised(const InterfaceSection& interface, Findings& findings) {
  const std::string key = "interface." + interface.name + ".advertised";
  const std::string local = "interface." + interface.name + ".addresses";
  if (!findings.sound({key, local}) || interface.advertised.empty()) return;
  if (interface.advertised.size() != interface.addresses.size()) {
    findings.mistake({key}, key + " has " + std::to_string(interface.advertised.size()) +
                                " entries for " + std::to_string(interface.addresses.size()) +
                                " addresses; give one for each address, in the same order");
    return;
  }
  for (std::size_t i = 0; i < interface.advertised.size(); ++i) {
    const IpAddress& ip = interface.advertised[i];
    if (const std::string why = unusable(ip); !why.empty()) {
      findings.mistake({key}, key + ": " + to_string(ip) + " " + why);
    } else if (ip.family != interface.addresses[i].family) {
      findings.mistake({key}, key + ": " + to_string(ip) + " stands for " +
                                  to_string(interface.addresses[i]) +
                                  ", which is of another family; advertise an address of the same");
    } else if (std::find(interface.advertised.begin(),
                         interface.advertised.begin() + static_cast<std::ptrdiff_t>(i),
                         ip) != interface.advertised.begin() + static_cast<std::ptrdiff_t>(i)) {
      findings.mistake({key}, key + " holds " + to_string(ip) +
                                  " twice; one port there cannot lead to two addresses");
    }
  }
}

void check_networks(const InterfaceSection& interface, Findings& findings) {
  const std::string key = "interface." + interface.name + ".networks";
  if (!findings.sound({key})) return;
  for (const std::string& text : interface.networks) {
    if (call::parse_network(text)) continue;
    findings.mistake({key}, key +
                                " holds a text that is no network; write networks like "
                                "\"10.0.0.0/8\" or \"2001:db8::/32\"");
  }
}

void check_interfaces(const Settings& settings, Findings& findings) {
  for (const char* name : {"outside", "inside"}) {
    if (!findings.sound({"node.role"})) break;
    // Each node of a traversal pair has one of both; the zone is its other side.
    if (settings.node.role == (name == std::string_view("inside") ? "edge" : "core")) continue;
    const bool found = std::any_of(settings.interfaces.begin(), settings.interfaces.end(),
                                   [name](const auto& one) { return one.name == name; });
    if (found) continue;
    const std::string section = std::string("[interface.") + name + "]";
    findings.mistake({"interface"}, "there is no " + section + "; add the section " + section +
                                        " with addresses = [\"192.0.2.10\"]");
  }
  if (settings.interfaces.size() > kInterfacesMax) {
    findings.mistake({"interface"}, "there are more than " + std::to_string(kInterfacesMax) +
                                        " interfaces; join some");
  }
  for (const InterfaceSection& interface : settings.interfaces) {
    check_addresses(interface, findings);
    check_advertised(interface, findings);
    check_networks(interface, findings);
  }
}

void check_port_range(const MediaSection& media, Findings& findings) {
  if (!findings.sound({"media.port_min", "media.port_max"})) return;
  if (media.port_min % 2 != 0) {
    findings.mistake({"media.port_min"}, "media.port_min is odd (" +
                                             std::to_string(media.port_min) +
                                             "); RTP ports are even, give an even number");
  }
  if (media.port_max % 2 == 0) {
    findings.mistake({"media.port_max"}, "media.port_max is even (" +
                                             std::to_string(media.port_max) +
                                             "); RTCP ports are odd, give an odd number");
  }
  if (media.port_min >= media.port_max) {
    findings.mistake({"media.port_max", "media.port_min"},
                     "media.port_max (" + std::to_string(media.port_max) +
                         ") is not above media.port_min (" + std::to_string(media.port_min) +
                         "); give a range from low to high");
  } else if (media.port_min <= kReservedMax && media.port_max >= kSipPortMin) {
    findings.mistake({"media.port_min", "media.port_max"},
                     "the media ports overlap 5060-5080, which belong to SIP; choose a range "
                     "above, such as 36000-59999");
  }
}

void check_capacity(const Settings& settings, Findings& findings) {
  const MediaSection& media = settings.media;
  if (!findings.sound({"media.port_min", "media.port_max", "media.sessions_max"})) return;
  const std::uint32_t pairs = (media.port_max - media.port_min + 1u) / 2;
  for (const InterfaceSection& interface : settings.interfaces) {
    std::map<AddressFamily, std::uint32_t> addresses;
    for (const IpAddress& ip : interface.addresses) ++addresses[ip.family];
    for (const auto& [family, count] : addresses) {
      if (pairs * count >= media.sessions_max) continue;
      findings.warning({"media.sessions_max", "media.port_max"},
                       "the media ports last for " + std::to_string(pairs * count) +
                           " sessions on [interface." + interface.name +
                           "], fewer than "
                           "media.sessions_max (" +
                           std::to_string(media.sessions_max) +
                           "); widen the range, add addresses or lower the limit");
    }
  }
}

void check_srtp_backend(const MediaSection& media, Findings& findings) {
  if (!findings.sound({"media.srtp_backend"})) return;
  const std::string name(name_of(media.srtp_backend));
  if (!srtp_library_available(media.srtp_backend)) {
    findings.mistake({"media.srtp_backend"},
                     "media.srtp_backend is \"" + name +
                         "\", which this build or this processor does not have; use \"auto\"");
  } else if (media.srtp_backend == SrtpLibrary::kLibsrtp2) {
    findings.warning({"media.srtp_backend"},
                     "media.srtp_backend \"libsrtp2\" costs several times as much per packet as "
                     "\"" +
                         std::string(name_of(best_srtp_library())) +
                         "\", more with every stream; use \"auto\" unless rules ask for it");
  }
}

void check_media(const Settings& settings, Findings& findings) {
  check_port_range(settings.media, findings);
  check_capacity(settings, findings);
  check_srtp_backend(settings.media, findings);
  if (settings.media.source_policy == SourcePolicy::kLatchAny) {
    findings.warning({"media.source_policy"},
                     "media.source_policy \"latch-any\" lets anyone take over plain RTP media; "
                     "use \"latch\" unless remote ends signal wrong addresses");
  }
}

bool is_host_name(const std::string& name) {
  return !name.empty() && name.size() <= 253 &&
         name.find_first_not_of(
             "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.") ==
             std::string::npos;
}

/// Certificate, key and authorities of a listener, which belong together.
template <typename Section>
void check_tls_files(const std::string& path, const Section& section, Findings& findings) {
  const auto mistake = [&](const std::string& name, const std::string& text) {
    findings.mistake({path + "." + name}, path + "." + name + " " + text);
  };
  const bool encrypts = !section.certificate_file.empty();
  if (encrypts && section.private_key_file.empty()) {
    mistake("private_key_file", "is empty; give the key of " + path + ".certificate_file");
  }
  if (!encrypts && !section.private_key_file.empty()) {
    mistake("certificate_file", "is empty; give the certificate of " + path + ".private_key_file");
  }
  if (!encrypts && !section.client_trust_file.empty()) {
    mistake("client_trust_file", "is set, but without TLS no client shows a certificate; set " +
                                     path + ".certificate_file and " + path + ".private_key_file");
  }
}

void check_ng_http(const NgSection& ng, Findings& findings) {
  const std::string key = "ng.http";
  if (!ng.http.is_set()) return;
  if (!ng.http.ip.is_loopback() && ng.certificate_file.empty()) {
    findings.mistake({key}, key + " is " + to_string(ng.http) +
                                ", but the listener has no TLS and messages carry keys; set "
                                "ng.certificate_file and ng.private_key_file, or use a loopback "
                                "address such as 127.0.0.1");
  } else if (!ng.http.ip.is_loopback() && ng.clients.empty()) {
    findings.mistake({"ng.clients", key},
                     "ng.clients is empty, so only loopback addresses may connect, and " + key +
                         " is " + to_string(ng.http) +
                         "; name the networks of the SIP servers in ng.clients");
  }
  if (ng.token_file.empty() && ng.client_trust_file.empty()) {
    findings.mistake({key, "ng.token_file"},
                     key +
                         " needs a token, since every process of this host may connect; put one "
                         "into a file and name it in ng.token_file, or set ng.client_trust_file");
  }
}

/// The transports that have a token.
void check_guarded_ng(const NgSection& ng, Findings& findings) {
  if (!findings.sound({"ng.tcp", "ng.http", "ng.token_file"})) return;
  check_tls_files("ng", ng, findings);
  check_ng_http(ng, findings);
  if (ng.tcp.is_set() && !ng.tcp.ip.is_loopback()) {
    findings.mistake({"ng.tcp"}, "ng.tcp is " + to_string(ng.tcp) +
                                     ", but the listener has no TLS and messages carry keys; use a "
                                     "loopback address such as 127.0.0.1, and ng.http with a "
                                     "certificate for clients elsewhere");
  }
  if (ng.tcp.is_set() && ng.token_file.empty()) {
    findings.mistake({"ng.tcp", "ng.token_file"},
                     "ng.tcp needs a token, since every process of this host may connect; put one "
                     "into a file and name it in ng.token_file");
  }
  for (const std::string& text : ng.clients) {
    if (call::parse_network(text)) continue;
    findings.mistake({"ng.clients"},
                     "ng.clients holds a text that is no network; write networks like "
                     "\"127.0.0.1/32\" or \"::1\"");
  }
  check_host_names("ng.host_names", ng.host_names, findings);
}

void check_ng(const Settings& settings, Findings& findings) {
  const NgSection& ng = settings.ng;
  if (!findings.sound({"ng.unix", "ng.udp"})) return;
  if (ng.unix_path.empty() && !ng.udp.is_set()) {
    findings.mistake({"ng.unix", "ng.udp"},
                     "ng.unix and ng.udp are both empty, no SIP server could ask for media; set "
                     "one of them");
  }
  if (ng.udp.is_set() && !ng.udp.ip.is_loopback()) {
    findings.mistake({"ng.udp"}, "ng.udp is " + to_string(ng.udp) +
                                     ", but the protocol has no authentication; use a loopback "
                                     "address such as 127.0.0.1");
  }
  check_guarded_ng(ng, findings);
}

/// What listens for everybody's requests must know who asks, and hide what it tells.
void check_api_listener(const ApiSection& api, Findings& findings) {
  const auto mistake = [&findings](const char* key, const std::string& text) {
    findings.mistake({key}, std::string(key) + " " + text);
  };
  const bool encrypts = !api.certificate_file.empty();
  check_tls_files("api", api, findings);
  const std::string where = "is " + to_string(api.listen);
  if (!findings.sound({"api.listen"}) || !api.listen.is_set()) return;
  if (!encrypts && !api.listen.ip.is_loopback()) {
    mistake("api.listen", where +
                              ", which others reach, and has no TLS: tokens and calls could be "
                              "read on the way; set api.certificate_file and "
                              "api.private_key_file, or use a loopback address");
  }
  if (api.tokens_file.empty() && api.client_trust_file.empty()) {
    mistake("api.listen", where +
                              ", but nothing tells who may ask; set api.tokens_file or "
                              "api.client_trust_file");
  }
}

void check_api(const Settings& settings, Findings& findings) {
  const ApiSection& api = settings.api;
  check_host_names("api.host_names", api.host_names, findings);
  check_api_listener(api, findings);
  if (!findings.sound({"api.metrics", "api.metrics_public"}) || !api.metrics.is_set()) return;
  const bool reachable = !api.metrics.ip.is_loopback() && !is_private(api.metrics.ip);
  if (!reachable) return;
  if (!api.metrics_public) {
    findings.mistake({"api.metrics"},
                     "api.metrics is " + to_string(api.metrics) +
                         ", open to the internet; use a loopback or management address, or set "
                         "metrics_public = true");
  } else {
    findings.warning({"api.metrics_public"},
                     "the metrics listener " + to_string(api.metrics) +
                         " may be open to the internet; guard it with a firewall");
  }
}

bool overlaps(const IpAddress& a, const IpAddress& b) {
  return a == b || a.is_unspecified() || b.is_unspecified();
}

void check_listener(const Settings& settings, const Listener& listener, Findings& findings) {
  const std::uint16_t port = listener.address.port;
  const std::string where = listener.path + " uses port " + std::to_string(port);
  const bool is_door = listener.path == kFrontDoorPort;
  if ((port < kListenerPortMin && !is_door) || port > kListenerPortMax) {
    findings.mistake({listener.path}, where + "; give a port from 1024 to 65534");
  } else if (port >= kReservedMin && port <= kReservedMax) {
    findings.mistake({listener.path}, where + ", which is reserved (5063-5080); choose another");
  }
  const MediaSection& media = settings.media;
  const TurnSection& turn = settings.turn;
  const auto within = [port](std::uint16_t first, std::uint16_t last) {
    return port >= first && port <= last;
  };
  const bool in_media = within(media.port_min, media.port_max);
  const bool in_turn = !turn.realms.empty() && within(turn.port_min, turn.port_max);
  const bool is_udp = listener.transport == Transport::kUdp;
  if (is_udp ? !in_media && !in_turn : !in_turn || !turn.tcp_allocations) return;
  for (const InterfaceSection& interface : settings.interfaces) {
    for (const IpAddress& ip : interface.addresses) {
      if (!overlaps(ip, listener.address.ip)) continue;
      if ((!in_media || !is_udp) && interface.name != turn.interface) continue;
      findings.mistake({listener.path}, where + ", which lies in the " +
                                            (in_media && is_udp ? "media" : "TURN") +
                                            " ports of [interface." + interface.name +
                                            "]; choose one outside of them");
    }
  }
}

void check_listeners(const Settings& settings, Findings& findings) {
  std::vector<Listener> sound;
  for (Listener& one : listeners(settings)) {
    if (findings.sound({one.path})) sound.push_back(std::move(one));
  }
  for (std::size_t i = 0; i < sound.size(); ++i) {
    check_listener(settings, sound[i], findings);
    for (std::size_t j = 0; j < i; ++j) {
      const bool clash = sound[i].transport == sound[j].transport &&
                         sound[i].address.port == sound[j].address.port &&
                         overlaps(sound[i].address.ip, sound[j].address.ip);
      if (!clash) continue;
      findings.mistake({sound[i].path}, sound[i].path + " and " + sound[j].path +
                                            " both listen on " + to_string(sound[i].address) +
                                            "; give them different ports");
    }
  }
}

void check_unix_paths(const Settings& settings, Findings& findings) {
  const std::vector<std::pair<std::string, std::string>> paths = {
      {"ng.unix", settings.ng.unix_path},
      {"api.unix", settings.api.unix_path},
      {"holder.unix", settings.holder.unix_path},
  };
  for (std::size_t i = 0; i < paths.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      if (paths[i].second.empty() || paths[i].second != paths[j].second) continue;
      findings.mistake({paths[i].first}, paths[i].first + " and " + paths[j].first +
                                             " name the same socket; give each its own path");
    }
  }
}

}  // namespace

void check_host_names(const std::string& key, const std::vector<std::string>& names,
                      Findings& findings) {
  for (const std::string& name : names) {
    if (is_host_name(name)) continue;
    findings.mistake({key}, key +
                                " holds a text that is no host name; give names without port, such "
                                "as \"edge.example.com\"");
  }
}

std::vector<Listener> listeners(const Settings& settings) {
  std::vector<Listener> all;
  const auto add = [&all](const std::string& path, Transport transport,
                          const SocketAddress& address) {
    if (address.is_set()) all.push_back({path, transport, address});
  };
  add("ng.udp", Transport::kUdp, settings.ng.udp);
  add("ng.tcp", Transport::kTcp, settings.ng.tcp);
  add("ng.http", Transport::kTcp, settings.ng.http);
  add("api.metrics", Transport::kTcp, settings.api.metrics);
  add("api.listen", Transport::kTcp, settings.api.listen);
  for (const ZoneSection& zone : settings.zones) {
    add("zone." + zone.name + ".listen", Transport::kTcp, zone.listen);
    for (const ZonePeerSection& peer : zone.peers) {
      add("zone." + zone.name + ".peer." + peer.name + ".sip_listen", Transport::kTcp,
          peer.sip_listen);
    }
  }
  for (const SocketAddress& address : front_door_addresses(settings)) {
    add(kFrontDoorPort, Transport::kTcp, address);
  }
  if (settings.front_door.port != 0 && settings.front_door.sip) {
    add("sip.wss_port", Transport::kTcp, front_door_config(settings, {}).sip);
  }
  for (const TurnListener& one : turn_listeners(settings)) {
    if (one.at_door) continue;
    add(one.key, one.over_udp() ? Transport::kUdp : Transport::kTcp, one.local);
  }
  if (settings.sip.domains.empty()) return all;
  for (const InterfaceSection& interface : settings.interfaces) {
    for (const IpAddress& ip : interface.addresses) {
      if (interface.name == "outside" && settings.node.role != "core") {
        add("sip.tls_port", Transport::kTcp, {ip, settings.sip.tls_port});
        add("sip.wss_port", Transport::kTcp, {ip, settings.sip.wss_port});
        if (!settings.sip.peers.empty()) {
          add("sip.mtls_port", Transport::kTcp, {ip, settings.sip.mtls_port});
        }
      } else if (interface.name == "inside" && settings.node.role != "edge") {
        add("sip.inside_port", Transport::kTcp, {ip, settings.sip.inside_port});
        add("sip.inside_port", Transport::kUdp, {ip, settings.sip.inside_port});
        add("sip.inside_tls_port", Transport::kTcp, {ip, settings.sip.inside_tls_port});
      }
    }
  }
  return all;
}

void check(const Settings& settings, Findings& findings) {
  check_node(settings, findings);
  check_role(settings, findings);
  check_interfaces(settings, findings);
  check_media(settings, findings);
  check_ng(settings, findings);
  check_api(settings, findings);
  check_listeners(settings, findings);
  check_unix_paths(settings, findings);
  check_sip(settings, findings);
  check_zones(settings, findings);
  check_turn(settings, findings);
  check_front_door(settings, findings);
}

}  // namespace turnpike::config
