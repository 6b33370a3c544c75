// Rules for the host of an edge.
#include "control/config/front_door.h"
#include "control/config/products.h"
#include "control/config/turn_listeners.h"
#include "control/firewall/parts.h"

namespace turnpike::firewall {
namespace {

/// What TURN's clients and their peers use.
void add_turn(const config::Settings& settings, Rules& offered) {
  for (const IpAddress& ip : turn_addresses(settings)) {
    const std::string to = at("daddr", ip);
    const auto add_listeners = [&](bool udp) {
      for (const config::TurnListener& one : config::turn_listeners(settings)) {
        if (one.local.ip != ip || one.over_udp() != udp) continue;
        offered.add(to + (udp ? "udp" : "tcp") + " dport " + std::to_string(one.local.port) +
                    " accept");
      }
    };
    add_listeners(true);
    offered.add(to + "udp dport " + turn_ports(settings) + " accept");
    if (settings.turn.tcp_allocations) {
      offered.add(to + "tcp dport " + turn_ports(settings) + " accept");
    }
    add_listeners(false);
  }
}

/// What clients and peers use, at the addresses of the interfaces.
void add_services(const config::Settings& settings, Rules& offered) {
  const auto add = [&offered](const IpAddress& ip, std::uint16_t port) {
    if (port == 0 || ip.is_loopback()) return;
    offered.add(at("daddr", ip) + "tcp dport " + std::to_string(port) + " accept");
  };
  if (config::wants_sidecar(settings)) {
    const sidecar::SipConfig sip = config::sip_config(settings);
    for (const auto& address : sip.outside.addresses) {
      add(address.local, sip.tls_port);
      add(address.local, sip.wss_port);
      if (!sip.peers.empty()) add(address.local, sip.mtls_port);
    }
  }
  for (const SocketAddress& one : config::front_door_addresses(settings)) add(one.ip, one.port);
  for (const IpAddress& ip : own_addresses(settings)) {
    offered.add(at("daddr", ip) + "udp dport " + media_ports(settings) + " accept");
  }
  add_turn(settings, offered);
  const SocketAddress& metrics = settings.api.metrics;
  if (metrics.is_set()) add(metrics.ip, metrics.port);
}

/// The chains about cores: what they may use, and that nothing else goes to them.
struct EdgeZone {
  Rules offered;
  Rules answers;
  Untracked untracked;
};

EdgeZone edge_zone(const config::Settings& settings, const AddressSets& cores) {
  EdgeZone rules;
  for (const ZonePorts& ports : zone_ports(settings)) {
    const IpAddress& ip = ports.listen.ip;
    rules.untracked.in.add(at("daddr", ip) + "udp dport " + ports.flows + " notrack");
    rules.untracked.out.add(at("saddr", ip) + "udp sport " + ports.flows + " notrack");
    if (!cores.empty() && !cores.has_family_of(ip)) continue;
    const std::string from = cores.match("saddr", ip) + at("daddr", ip);
    rules.offered.add(from + "tcp dport " + std::to_string(ports.listen.port) + " accept");
    rules.offered.add(from + "udp dport " + ports.flows + " accept");
    rules.answers.add(at("saddr", ip) + "udp sport " + ports.flows + " accept");
  }
  return rules;
}

}  // namespace

Result<std::string> edge_rules(const config::Settings& settings, const Surroundings& surroundings,
                               const AddressSets& cores, const AddressSets& trusted,
                               const std::string& comment) {
  if (settings.node.role != "edge") {
    return Error{"rules for the edge come from the edge's configuration: run this there"};
  }
  Rules offered;
  std::vector<std::string> open = surroundings.open;
  if (open.empty()) open.emplace_back("tcp/22");
  if (const auto added = add_open(open, offered); !added) return added.error();
  if (const auto& session = surroundings.session) {
    offered.add("tcp dport " + std::to_string(session->port) + " accept");
  }
  offered.add(kDhcpv6);
  add_services(settings, offered);
  EdgeZone zone = edge_zone(settings, cores);
  leave_media_untracked(settings, zone.untracked);
  std::string body = cores.declaration() + trusted.declaration() +
                     counter("refused", "came to this host, where nothing is offered") +
                     counter("to_core_new", "connections that this edge tried to open to a core") +
                     untracked_chains(zone.untracked);
  body += chain("input", "    iifname \"lo\" accept\n" + std::string(kAnswers) +
                             "    fib daddr type local jump offered\n");
  // Who has a core's or trusted address, but comes from elsewhere than the way to it, is none.
  body += "  chain offered {\n    meta l4proto { icmp, icmpv6 } accept\n" +
          cores.rules("saddr", "fib saddr . iif oif missing counter name refused drop") +
          trusted.rules("saddr", "fib saddr . iif oif missing counter name refused drop") +
          trusted.rules("saddr", "accept") + offered.text() + zone.offered.text() +
          "    counter name refused drop\n  }\n";
  if (!cores.empty()) {
    body += chain("output", zone.answers.text() + kAnswers + kNeighbours + kErrors +
                                cores.rules("daddr", "counter name to_core_new drop"));
  }
  const char* const about =
      cores.empty() ? "# The edge: this host answers to clients and cores only, and on --open. The "
                      "cores were not named\n# (--cores), so their ports are open to all, and "
                      "nothing keeps this host from them.\n"
                    : "# The edge: this host answers to clients and cores only, and on --open; it "
                      "opens nothing towards\n# a core.\n";
  return table("turnpike_edge", about + comment, body);
}

}  // namespace turnpike::firewall
