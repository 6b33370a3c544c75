// site.cfg: this site's names, numbers, servers and peers as answers to the questions that
// routes.cfg asks. Every value has passed check().
#include <algorithm>
#include <string>

#include "control/sidecar/layout.h"

namespace turnpike::sidecar {
namespace {

std::string quoted(std::string_view text) {
  return "\"" + std::string(text) + "\"";
}

/// A route that answers yes where one of its conditions holds.
class Question {
 public:
  explicit Question(std::string_view name) : text_("route[" + std::string(name) + "] {\n") {}

  void when(const std::string& condition, const std::string& before_yes = "") {
    text_ += "    if (" + condition + ") {\n";
    if (!before_yes.empty()) text_ += "        " + before_yes + "\n";
    text_ += "        return 1;\n    }\n";
  }
  std::string done() { return text_ + "    return -1;\n}\n\n"; }
  void line(const std::string& text) { text_ += "    " + text + "\n"; }

 private:
  std::string text_;
};

/// `variable` equals one of `values`.
template <typename Values>
std::string any_of(std::string_view variable, const Values& values) {
  std::string condition;
  for (const auto& value : values) {
    if (!condition.empty()) condition += " || ";
    condition += std::string(variable) + " == " + quoted(value);
  }
  return condition;
}

std::string use_set(int number) {
  return "$var(servers) = " + std::to_string(number) + ";";
}

/// Backslashes mean something to two readers on the way; a bracket means the same without one.
std::string regex_text(const std::string& pattern) {
  std::string text;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] == '\\') {
      text += std::string("[") + pattern[++i] + "]";
    } else {
      text += pattern[i];
    }
  }
  return "^(" + text + ")$";
}

std::string sources(const SipConfig& config) {
  Question question("SOURCE_IS_INSIDE");
  if (!config.trust_local_processes) {
    question.line("# This host's own addresses are its local processes.");
    for (const auto& address : config.inside.addresses) {
      question.line("if (src_ip == " + host_text(address.local) + ") {");
      question.line("    return -1;");
      question.line("}");
    }
  }
  for (const std::string& network : config.inside_networks) {
    question.when("is_in_subnet(\"$si\", " + quoted(network) + ")");
  }
  return question.done();
}

std::string domains(const SipConfig& config) {
  Question own("IS_OWN_DOMAIN");
  own.when(any_of("$vn(domain)", config.domains));
  return own.done();
}

/// A host in a Host header, in any spelling of its port: what stands before us may have another
/// one.
std::string host_pattern(const std::string& host) {
  std::string text = "\"^";
  for (const char c : host) {
    const bool plain = c != '.' && c != '[' && c != ']';
    if (c == '[' || c == ']') text += c == '[' ? "[[]" : "[]]";
    if (c == '.') text += "[.]";
    if (plain) text += c;
  }
  return text + "(:[0-9]+)?$\"";
}

/// In $vn(host), $vn(origin) of a WebSocket handshake.
std::string browsers(const SipConfig& config) {
  Question host("IS_OWN_HOST");
  for (const std::string& domain : config.domains)
    host.when("$vn(host) =~ " + host_pattern(domain));
  for (const SniCertificate& sni : config.sni_certificates) {
    host.when("$vn(host) =~ " + host_pattern(sni.server_name));
  }
  for (const InterfaceAddress& address : config.outside.addresses) {
    host.when("$vn(host) =~ " + host_pattern(host_text(address.local)));
    if (address.advertised.is_set() && address.advertised != address.local) {
      host.when("$vn(host) =~ " + host_pattern(host_text(address.advertised)));
    }
  }
  Question origin("IS_ALLOWED_ORIGIN");
  origin.when(any_of("$vn(origin)", config.websocket_origins));
  return host.done() + origin.done();
}

std::string numbers(const SipConfig& config, const std::vector<ServerSet>& sets) {
  Question emergency("IS_EMERGENCY");
  if (!config.emergency_numbers.empty()) {
    // An edge leaves it to the core who takes them.
    const std::string servers =
        has_inside(config) ? use_set(set_number(sets, config.emergency_servers, false)) : "";
    emergency.when(any_of("$rU", config.emergency_numbers), servers);
  }
  Question servers("SERVERS_OF_NUMBER");
  for (const DialRoute& route : config.routes) {
    servers.when("$rU =~ " + quoted(regex_text(route.pattern)),
                 use_set(set_number(sets, route.servers, false)));
  }
  return emergency.done() + servers.done();
}

/// In $var(hop), $var(mark): hops of inside servers and names of TLS servers.
std::string targets(const std::vector<ServerSet>& sets) {
  Question inside("IS_INSIDE_SERVER");
  Question name("IS_NAME_OF_TARGET");
  Question some_name("IS_NAME_OF_SOME_TARGET");
  for (const ServerSet& set : sets) {
    for (const Target& target : set.targets) {
      const bool is_inside = !set.outside && set.sockets.empty();
      if (is_inside) inside.when("$var(mark) == " + quoted("<" + to_hop(target) + ">"));
      if (target.transport != Transport::kTls) continue;
      const std::vector<std::string> own_name = {target.host.starts_with('[')
                                                     ? target.host.substr(1, target.host.size() - 2)
                                                     : target.host};
      const auto& names = set.certificate_names.empty() ? own_name : set.certificate_names;
      name.when("$var(hop) == " + quoted(to_hop(target)) + " && (" + any_of("$vn(name)", names) +
                ")");
      some_name.when(any_of("$vn(name)", names));
    }
  }
  return inside.done() + name.done() + some_name.done();
}

/// In $var(hop): what is shown and trusted when a connection to it is opened. Kamailio keeps what
/// was said last.
std::string identities(const std::vector<ServerSet>& sets) {
  std::string text = "route[CHOOSE_IDENTITY] {\n";
  for (const ServerSet& set : sets) {
    for (const Target& target : set.targets) {
      if (target.transport != Transport::kTls || identity_name(set).empty()) continue;
      text += "    if ($var(hop) == " + quoted(to_hop(target)) +
              ") {\n        tls_set_connect_server_id(" + quoted(identity_name(set)) +
              ");\n        return 1;\n    }\n";
    }
  }
  return text + "    tls_set_connect_server_id(\"\");\n    return 1;\n}\n\n";
}

std::string peer_names(const SipConfig& config) {
  std::string text = "route[PEER_OF_CERTIFICATE] {\n";
  for (const SipPeer& peer : config.peers) {
    std::string condition = any_of("$vn(name)", peer.certificate_names);
    if (peer.verify_name == VerifyName::kSanOrCn) {
      // The common name counts only where there is no DNS name (RFC 6125 section 6.4.4).
      condition += " || (($vn(name) == $null || $vn(name) == \"\") && (" +
                   any_of("$vn(common_name)", peer.certificate_names) + "))";
    }
    text += "    if (" + condition + ") {\n        $avp(peer) = " + quoted(peer.name) +
            ";\n        return 1;\n    }\n";
  }
  return text + "    return -1;\n}\n\n";
}

/// In $avp(peer), $vn(domain).
std::string peer_domains(const SipConfig& config) {
  Question speaks("IS_PEER_DOMAIN");
  for (const SipPeer& peer : config.peers) {
    speaks.when("$avp(peer) == " + quoted(peer.name) + " && (" +
                any_of("$vn(domain)", peer.domains) + ")");
  }
  return speaks.done();
}

/// In $vn(domain): whom to call.
std::string called_peers(const SipConfig& config, const std::vector<ServerSet>& sets) {
  Question reached("PEER_OF_DOMAIN");
  for (const SipPeer& peer : config.peers) {
    const std::string domain = any_of("$vn(domain)", peer.domains);
    if (config.role == NodeRole::kCore) {
      reached.when(domain, use_set(set_number(sets, config.zones.front())) +
                               " $avp(peer_called) = " + quoted(peer.name) + ";");
    } else if (!peer.uri.empty()) {
      reached.when(domain, use_set(set_number(sets, peer.name, true)) +
                               " $avp(peer) = " + quoted(peer.name) + ";");
    }
  }
  return reached.done();
}

/// In $avp(peer), which the edge $avp(from_letter) names; and whether calls to $avp(peer_called)
/// may go by the edge $avp(to_letter).
std::string known_peers(const SipConfig& config) {
  Question known("IS_PEER");
  Question reaches("REACHES_PEER");
  const std::vector<ZoneSide> sides = zone_sides(config);
  for (const SipPeer& peer : config.peers) {
    std::vector<std::string> letters;
    for (const ZoneSide& side : sides) {
      if (std::count(peer.edges.begin(), peer.edges.end(), side.peer->name) != 0) {
        letters.push_back(side.letter);
      }
    }
    const std::string is_it = "$avp(peer) == " + quoted(peer.name);
    known.when(peer.edges.empty() ? is_it
                                  : is_it + " && (" + any_of("$avp(from_letter)", letters) + ")");
    const std::string calls_it = "$avp(peer_called) == " + quoted(peer.name);
    reaches.when(peer.edges.empty()
                     ? calls_it
                     : calls_it + " && (" + any_of("$avp(to_letter)", letters) + ")");
  }
  return known.done() + reaches.done();
}

/// Of an edge: who is whose zone's peer.
std::string peers_of_zones(const SipConfig& config, const std::vector<ServerSet>& sets) {
  Question cores("CORES_OF_PEER");
  Question domain("ZONE_OF_PEER_DOMAIN");
  Question name("PEER_OF_NAME");
  std::string ask =
      "route[ASK_PEERS] {\n    $var(asker) = " + quoted("sip:keepalive@" + config.domains.front()) +
      ";\n";
  for (const SipPeer& peer : config.peers) {
    const SipZone& zone = zone_of(config, peer);
    const std::string use_zone = "$var(zone) = " + quoted(zone.name) + ";";
    const std::string is_it = "$avp(peer) == " + quoted(peer.name);
    cores.when(is_it, use_set(set_number(sets, zone)) + " " + use_zone);
    domain.when(any_of("$vn(domain)", peer.domains), use_zone);
    const auto target = parse_target(peer.uri);
    if (!target) continue;
    const std::string socket = quoted(sending_socket(config, *target, true));
    const std::string uri = quoted(to_uri(*target));
    name.when(is_it, "$du = " + uri + "; $fs = " + socket + "; " + use_zone);
    ask += "    $var(peer) = " + quoted(peer.name) +
           ";\n    $var(hop) = " + quoted(to_hop(*target)) + ";\n    $var(uri) = " + uri +
           ";\n    $var(socket) = " + socket + ";\n    route(ASK_PEER);\n";
  }
  return cores.done() + domain.done() + name.done() + (asks_peers(config) ? ask + "}\n\n" : "");
}

/// A field of the credentials that are judged: of the realm, which need not be the message's first.
/// The name of a realm cannot stand in a variable here.
std::string of_digest(const SipConfig& config, const char* route, const std::string& variable,
                      const std::string& field) {
  Question question(route);
  question.line("$vn(domain) = $(fd{s.tolower});");
  for (const std::string& domain : config.domains) {
    const std::string of = "[" + quoted(domain) + "]." + field + ";";
    question.when("$vn(domain) == " + quoted(domain) + " && is_method(\"REGISTER\")",
                  variable + " = @authorization" + of);
    question.when("$vn(domain) == " + quoted(domain), variable + " = @proxy_authorization" + of);
  }
  return question.done();
}

/// What the upstream of a core must send calls for clients to.
std::string own_path(const SipConfig& config) {
  const Target upstream = *parse_target(config.upstream);
  const std::string socket = sending_socket(config, upstream, false);
  return "route[OWN_PATH] {\n    $var(path) = " +
         quoted("sip:" + socket.substr(socket.find(':') + 1) +
                ";transport=" + std::string(name_of(upstream.transport)) + ";lr") +
         ";\n}\n\n";
}

std::string upstream(const std::vector<ServerSet>& sets) {
  return "route[TO_UPSTREAM] {\n    " + use_set(set_number(sets, "", false)) +
         "\n    route(TO_SERVERS);\n}\n\n";
}

/// In $var(side), a letter: who that is, to the relay and as a hop; and the other way round.
std::string sides(const SipConfig& config) {
  Question direction("DIRECTION_OF_SIDE");
  direction.when("$var(side) =~ \"^[op]\"", "$var(direction) = \"outside\";");
  direction.when("$var(side) == \"i\"", "$var(direction) = \"inside\";");
  Question zone("ZONE_OF_SIDE");
  Question hop("HOP_OF_SIDE");
  Question side("SIDE_OF_HOP");
  for (const ZoneSide& one : zone_sides(config)) {
    const std::string letter = quoted(one.letter);
    const std::string peer = quoted(to_string(one.peer->listen));
    const std::string is_it = "$var(side) == " + letter;
    direction.when(is_it,
                   "$var(direction) = " + quoted(one.zone->name + "/" + one.peer->name) + ";");
    zone.when(is_it, "$var(zone) = " + quoted(one.zone->name) + ";");
    hop.when(is_it, "$var(hop) = " + peer + ";");
    side.when("$var(hop) == " + peer, "$var(side) = " + letter + ";");
  }
  return direction.done() + zone.done() + hop.done() + side.done();
}

/// In $vn(domain): whose cores serve it.
std::string zone_domains(const SipConfig& config, const std::vector<ServerSet>& sets) {
  Question cores("CORES_OF_DOMAIN");
  for (const SipZone& zone : config.zones) {
    const auto& domains = zone.domains.empty() ? config.domains : zone.domains;
    cores.when(any_of("$vn(domain)", domains),
               use_set(set_number(sets, zone)) + " $var(zone) = " + quoted(zone.name) + ";");
  }
  return cores.done();
}

}  // namespace

std::string site_cfg(const SipConfig& config) {
  const auto sets = server_sets(config);
  std::string text = "# Generated by turnpiked from its configuration file: do not edit.\n\n";
  if (has_inside(config)) text += sources(config);
  text += domains(config) + numbers(config, sets) + targets(sets);
  if (has_tls(config)) text += identities(sets);
  if (has_browsers(config)) text += browsers(config);
  if (has_peers(config)) text += peer_names(config);
  if (knows_peers(config)) text += peer_domains(config);
  if (knows_peers(config) && has_inside(config)) text += called_peers(config, sets);
  if (knows_peers(config) && !has_outside(config)) text += known_peers(config);
  if (knows_peers(config) && !has_inside(config)) text += peers_of_zones(config, sets);
  if (has_registrar(config)) {
    text += of_digest(config, "DIGEST_URI", "$vn(digest_uri)", "uri") +
            of_digest(config, "DIGEST_USER", "$vn(digest_user)", "username");
  }
  if (has_upstream(config)) text += upstream(sets);
  if (has_upstream(config) && is_of_pair(config)) text += own_path(config);
  if (is_of_pair(config)) text += sides(config);
  if (config.role == NodeRole::kEdge) text += zone_domains(config, sets);
  return text;
}

}  // namespace turnpike::sidecar
