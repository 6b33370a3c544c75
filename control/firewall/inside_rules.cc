// Rules for the router between edge and core, and for the host of a core.
#include <vector>

#include "control/firewall/parts.h"

namespace turnpike::firewall {
namespace {

/// What the core has its IPv6 routes and addresses from, and by what switches know that it is
/// there: from the link only.
const std::string kRouters =
    "    ip6 saddr fe80::/10 icmpv6 type { nd-router-advert, mld-listener-query } accept\n    " +
    std::string(kDhcpv6) + "\n";

/// `{ "eth1", "eth2" }`
std::string names_text(const std::vector<std::string>& names) {
  std::string list;
  for (const std::string& name : names) list += (list.empty() ? "\"" : ", \"") + name + "\"";
  return "{ " + list + " } ";
}

/// For each family of both sets: a rule about who is in `from` (or, `relation` "!= ", is not) and
/// sends to `where`; `prefix` says whose destination counts.
std::string between(const AddressSets& from, const std::string& relation, const AddressSets& where,
                    const std::string& then, const std::string& prefix = "") {
  std::string rules;
  for (const IpAddress& like : {IpAddress::v4(0, 0, 0, 0), *parse_ip("::")}) {
    std::string source = from.match("saddr", like);
    const std::string destination = where.match("daddr", like);
    if (source.empty() || destination.empty()) continue;
    source.insert(source.find('@'), relation);
    rules += "    " + source + prefix + destination + then + "\n";
  }
  return rules;
}

/// The zone's connections and flows, as the core begins them: also where this router translates
/// the edge's address.
Rules zone_accepts(const config::Settings& settings, const AddressSets& cores,
                   const std::vector<std::string>& edge_interfaces) {
  Rules accepts;
  const std::string by = edge_interfaces.empty() ? "" : "oifname " + names_text(edge_interfaces);
  for (const ZonePorts& ports : zone_ports(settings)) {
    const IpAddress& ip = ports.listen.ip;
    if (!cores.has_family_of(ip)) continue;
    const std::string place = by + cores.match("saddr", ip) + "ct original " + at("daddr", ip);
    const std::string then = " counter name core_to_edge accept";
    accepts.add(place + "meta l4proto tcp ct original proto-dst " +
                std::to_string(ports.listen.port) + then);
    accepts.add(place + "meta l4proto udp ct original proto-dst " + ports.flows + then);
  }
  return accepts;
}

/// The core's side of its media flows. Gives what lets in the answers to what it dialled.
Rules add_flows(const config::Settings& settings, const Surroundings& surroundings,
                Untracked& untracked) {
  const std::string dialled = range(surroundings.reply_port_min, surroundings.reply_port_max);
  Rules answers;
  for (const ZonePorts& ports : zone_ports(settings)) {
    const IpAddress& ip = ports.listen.ip;
    const std::string from = at("saddr", ip) + "udp sport " + ports.flows;
    untracked.in.add(from + " notrack");
    untracked.out.add(at("daddr", ip) + "udp dport " + ports.flows + " notrack");
    answers.add(from + " udp dport " + dialled + " accept");
  }
  return answers;
}

std::string about_firewall(bool by_interface) {
  return "# The firewall between edge and core: the core opens the zone's connections and media "
         "flows,\n# nothing else goes to the edge. " +
         std::string(by_interface
                         ? "What comes by the interfaces of the edges begins nothing inside.\n"
                         : "Nobody begins anything inside who is not inside himself:\n# "
                           "sip.inside_networks, the cores, --trusted.\n");
}

/// Who comes to the core itself or through it because the operator says so. Only who comes from
/// where he would be answered: an edge can write any address into its packets.
std::string trusted_accepts(const AddressSets& trusted) {
  return trusted.rules("saddr", "fib saddr . iif oif exists accept");
}

/// What else comes to the core. The session's port is not for everybody: an edge has more addresses
/// than the configuration names.
Result<Rules> core_offers(const Surroundings& surroundings) {
  Rules offers;
  if (const auto& session = surroundings.session) {
    offers.add(at("saddr", session->client) + "tcp dport " + std::to_string(session->port) +
               " accept");
  }
  if (const auto added = add_open(surroundings.open, offers); !added) return added.error();
  return offers;
}

/// What the core drops besides what comes from an edge's address, by how much is known.
struct CoreDrops {
  std::string input;
  std::string forward;
  std::string sets;
  std::string about;
};

CoreDrops core_drops(const config::Settings& settings, const Surroundings& surroundings,
                     const Inside& inside, const std::string& drop) {
  const std::vector<std::string>& ways = surroundings.edge_interfaces;
  if (!ways.empty()) {
    const std::string rule = "    iifname " + names_text(ways) + drop + "\n";
    return {rule, rule, "",
            "What comes by the\n# interfaces towards edges is of an edge, whatever address it "
            "bears.\n"};
  }
  if (!inside.told || !inside.has_edge.empty()) {
    return {"", "", "",
            "An edge is known\n# by its address only: no interface leads to edges alone "
            "(--edge-interfaces), and it is not told\n# who is inside, apart from edges "
            "(sip.inside_networks, --trusted).\n"};
  }
  AddressSets own("own");
  Rules media;
  for (const IpAddress& ip : own_addresses(settings)) {
    own.add(ip);
    media.add(at("daddr", ip) + "udp dport " + media_ports(settings) + " accept");
  }
  for (const std::string& core : surroundings.cores) own.add(core);
  return {media.text() + between(inside.networks, "!= ", own, drop),
          between(inside.networks, "!= ", inside.networks, drop),
          own.declaration() + inside.networks.declaration(),
          "Who is not inside\n# (sip.inside_networks, --trusted) reaches its media ports only.\n"};
}

}  // namespace

Result<std::string> firewall_rules(const config::Settings& settings,
                                   const Surroundings& surroundings, const AddressSets& cores,
                                   Inside inside) {
  const std::vector<std::string>& ways = surroundings.edge_interfaces;
  if (cores.empty()) {
    return Error{
        "it is not known where the cores are: run this on the core with its configuration, or "
        "name their addresses (--cores 10.20.0.10)"};
  }
  if (ways.empty() && !inside.has_edge.empty()) {
    return Error{"an edge lies in " + inside.has_edge +
                 ", which is inside; name the firewall's interfaces that lead to edges and to "
                 "nobody inside (--edge-interfaces eth1)"};
  }
  AddressSets edges("edges");
  for (const ZonePorts& ports : zone_ports(settings)) edges.add(ports.listen.ip);
  if (settings.node.role == "edge") {
    for (const IpAddress& ip : own_addresses(settings)) edges.add(ip);
  }
  for (const std::string& core : surroundings.cores) inside.networks.add(core);
  const std::string begun = "counter name edge_to_core_new drop";
  const std::string other = "counter name core_to_edge_other drop";
  std::string rules = std::string(kAnswers) +
                      "    fib saddr . iif oif missing counter name forged drop\n" +
                      zone_accepts(settings, cores, ways).text();
  // An edge in other hands has more addresses than the configuration names.
  if (ways.empty()) {
    rules += between(edges, "", inside.networks, begun) +
             between(inside.networks, "!= ", inside.networks, begun);
  } else {
    rules += inside.networks.rules("daddr", "iifname " + names_text(ways) + begun) +
             cores.rules("saddr", "oifname " + names_text(ways) + other);
  }
  rules += between(cores, "", edges, other, "ct original ");
  return table("turnpike_firewall", about_firewall(!ways.empty()),
               edges.declaration() + cores.declaration() + inside.networks.declaration() +
                   counter("core_to_edge", "the zone's connections and flows, as they began") +
                   counter("core_to_edge_other", "what else the core sent to the edge") +
                   counter("edge_to_core_new", "what the edge sent that is no answer") +
                   counter("forged", "whose source lies behind another interface") +
                   chain("forward", rules));
}

Result<std::string> core_rules(const config::Settings& settings, const Surroundings& surroundings,
                               const Inside& inside, const AddressSets& trusted,
                               const std::string& comment) {
  if (settings.node.role != "core") {
    return Error{"rules for the core come from the core's configuration: run this there"};
  }
  const Result<Rules> offers = core_offers(surroundings);
  if (!offers) return offers.error();
  AddressSets edges("edges");
  for (const ZonePorts& ports : zone_ports(settings)) edges.add(ports.listen.ip);
  Untracked untracked;
  const Rules answers = add_flows(settings, surroundings, untracked);
  leave_media_untracked(settings, untracked);
  const std::string drop = "counter name from_edge_new drop";
  const CoreDrops more = core_drops(settings, surroundings, inside, drop);
  const std::string known = edges.rules("saddr", drop);
  return table("turnpike_core",
               "# The core: takes nothing from an edge but answers, for itself or for others. " +
                   more.about + comment,
               edges.declaration() + trusted.declaration() + more.sets +
                   counter("from_edge_new", "what an edge sent that is no answer") +
                   untracked_chains(untracked) +
                   chain("input", "    iifname \"lo\" accept\n" + answers.text() + kAnswers +
                                      kNeighbours + kErrors + kRouters + known +
                                      trusted_accepts(trusted) + offers->text() + more.input) +
                   chain("forward", kAnswers + known + trusted_accepts(trusted) + more.forward));
}

}  // namespace turnpike::firewall
