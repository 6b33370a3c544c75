// The rules that join several keys of [zone.ZONE], and zones with each other.
#include <algorithm>
#include <map>
#include <set>

#include "control/config/checks.h"
#include "control/zone/config.h"

namespace turnpike::config {
namespace {

constexpr std::size_t kPeersMax = 6;
constexpr int kFlowPortsMax = 64;

/// A name as certificates have it: a DNS name in lower case, or an address.
bool is_tls_name(const std::string& name) {
  if (parse_ip(name)) return true;
  return !name.empty() && name.size() <= 253 &&
         name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-.") == std::string::npos;
}

/// By what its zones say of addresses, which only one role needs: "edge", "core", or "" where they
/// do not agree.
std::string role_of_zones(const Settings& settings) {
  bool is_edge = true;
  bool is_core = true;
  for (const ZoneSection& zone : settings.zones) {
    if (zone.peers.empty()) return {};
    is_edge = is_edge && zone.listen.is_set();
    is_core = is_core && !zone.listen.is_set();
    for (const ZonePeerSection& peer : zone.peers) {
      is_edge = is_edge && !peer.address.is_set();
      is_core = is_core && peer.address.is_set();
    }
  }
  return is_edge ? "edge" : is_core ? "core" : "";
}

class ZoneCheck {
 public:
  ZoneCheck(const Settings& settings, Findings& findings)
      : settings_(settings), findings_(findings), is_edge_(settings.node.role == "edge") {}

  void run() {
    if (!findings_.sound({"node.role"}) || settings_.node.role == "single") return;
    check_count();
    for (const ZoneSection& zone : settings_.zones) {
      prefix_ = "zone." + zone.name + ".";
      own_name_ = zone.tls_name;
      check_zone(zone);
      check_peers(zone);
    }
    check_each_other();
  }

 private:
  void mistake(const std::string& key, const std::string& text) {
    const std::string path = prefix_ + key;
    if (findings_.sound({path})) findings_.mistake({path}, path + " " + text);
  }

  void check_count() {
    const std::size_t count = settings_.zones.size();
    if (count == 0) {
      findings_.mistake({"node.role"}, "node.role is \"" + settings_.node.role +
                                           "\", but there is no zone; add a section [zone.NAME], "
                                           "or use \"single\"");
    } else if (!is_edge_ && count > 1) {
      findings_.mistake({"zone." + settings_.zones.back().name},
                        "a core has exactly one zone, here are " + std::to_string(count) +
                            "; remove the others, or run a core for each");
    }
  }

  void check_zone(const ZoneSection& zone) {
    if (is_edge_ && !zone.listen.is_set()) {
      mistake("listen",
              "is empty, no core could connect; give an address and port such as "
              "\"192.0.2.10:7001\"");
    }
    if (!is_edge_ && zone.listen.is_set()) {
      mistake("listen",
              "is set, but a core listens for nobody; remove it and give each peer an "
              "address");
    }
    if (zone.kind == ZoneKind::kUc && zone.verify_name != NameRule::kSan) {
      mistake("verify_name",
              "would weaken a zone of kind \"uc\", whose peers are always judged by "
              "subject alternative names; remove it, or use kind = \"traversal\" "
              "for a system that has no such certificate");
    }
    if (zone.kind == ZoneKind::kUc && is_edge_ && zone.tls_verify_subject.empty()) {
      mistake("tls_verify_subject",
              "is empty; a zone of kind \"uc\" needs the name that all "
              "certificates of its cores share");
    }
    check_texts(zone);
    if (is_edge_) check_flow_ports(zone);
    if (zone.waiting_per_source_max > zone.waiting_max) {
      mistake("waiting_per_source_max", "is more than waiting_max; lower it");
    }
  }

  void check_flow_ports(const ZoneSection& zone) {
    if (zone.flow_port_max < zone.flow_port_min ||
        zone.flow_port_max - zone.flow_port_min >= kFlowPortsMax) {
      mistake("flow_port_max", "is " + std::to_string(zone.flow_port_max) +
                                   "; give flow_port_min (" + std::to_string(zone.flow_port_min) +
                                   ") or up to " + std::to_string(kFlowPortsMax - 1) + " more");
    }
    if (zone.flow_port_max >= settings_.media.port_min &&
        zone.flow_port_min <= settings_.media.port_max) {
      mistake("flow_port_min",
              "and flow_port_max lie within the media ports; give ports outside of "
              "media.port_min to media.port_max");
    }
    if (zone.listen.is_set() && zone.listen.ip.is_unspecified()) {
      mistake("listen",
              "stands for every address of this host, but media of the cores is answered from "
              "one; give that address");
    }
  }

  void check_texts(const ZoneSection& zone) {
    // Of a section that only its subsections imply, nothing was asked for yet.
    const std::pair<const char*, const std::string&> needed[] = {
        {"tls_name", zone.tls_name},
        {"certificate_file", zone.certificate_file},
        {"private_key_file", zone.private_key_file},
        {"trust_file", zone.trust_file},
        {"password_file", zone.password_file},
        {"user", zone.user},
    };
    for (const auto& [key, text] : needed) {
      if (text.empty()) mistake(key, "is missing; the zone cannot be connected without it");
    }
    if (zone.user.size() > zone::kNameBytesMax) mistake("user", "is too long; shorten it");
    if (!zone.tls_name.empty()) check_name("tls_name", zone.tls_name);
    if (!zone.tls_verify_subject.empty()) {
      check_name("tls_verify_subject", zone.tls_verify_subject);
    }
    for (const std::string& domain : zone.domains) check_name("domains", domain);
    if (is_edge_ && settings_.zones.size() > 1 && zone.domains.empty()) {
      mistake("domains", "is empty, but this edge has several zones; name the domains of each");
    }
  }

  void check_name(const std::string& key, const std::string& name) {
    if (is_tls_name(name)) return;
    mistake(key,
            "holds a text that is no name; give DNS names in lower case without wildcards, "
            "such as \"edge.example.com\", or addresses");
  }

  void check_peers(const ZoneSection& zone) {
    if (zone.peers.empty() || zone.peers.size() > kPeersMax) {
      const std::string section = "[zone." + zone.name + ".peer.NAME]";
      findings_.mistake({"zone." + zone.name},
                        "zone " + zone.name + " has " + std::to_string(zone.peers.size()) +
                            " peers; give one to " + std::to_string(kPeersMax) + " sections " +
                            section);
    }
    std::set<std::string> names;
    for (const ZonePeerSection& peer : zone.peers) {
      prefix_ = "zone." + zone.name + ".peer." + peer.name + ".";
      check_peer(peer);
      if (!peer.tls_name.empty() && !names.insert(peer.tls_name).second) {
        mistake("tls_name", "is that of another peer too; the names must differ");
      }
    }
    prefix_ = "zone." + zone.name + ".";
  }

  void check_peer(const ZonePeerSection& peer) {
    if (peer.tls_name.empty()) {
      mistake("tls_name", "is missing; give the name of the peer's certificate");
    } else {
      check_name("tls_name", peer.tls_name);
    }
    if (!peer.tls_name.empty() && peer.tls_name == own_name_) {
      mistake("tls_name",
              "is \"" + own_name_ +
                  "\", which is this node's own; give the name in the certificate of the "
                  "other node");
    }
    if (is_edge_ && peer.address.is_set()) {
      mistake("address", "is set, but an edge never dials; remove it");
    }
    if (!is_edge_ && !peer.address.is_set()) {
      mistake("address", "is empty; give where this edge listens, such as \"192.0.2.10:7001\"");
    }
    for (const auto& [key, address] :
         {std::pair{"sip_listen", peer.sip_listen}, std::pair{"sip_target", peer.sip_target}}) {
      if (!address.is_set() || address.ip.is_loopback()) continue;
      mistake(key, "is " + to_string(address) +
                       ", which others could reach; use a loopback address such as 127.0.0.1");
    }
    if (peer.sip_listen.is_set() && peer.sip_listen == peer.sip_target) {
      mistake("sip_target", "is the same as sip_listen; connections would come back in a circle");
    }
  }

  void check_each_other() {
    std::map<std::string, std::string> zone_by_domain;
    std::map<std::string, std::string> zone_by_trust;
    for (const ZoneSection& zone : settings_.zones) {
      prefix_ = "zone." + zone.name + ".";
      for (const std::string& domain : zone.domains) {
        const auto [entry, is_new] = zone_by_domain.emplace(domain, zone.name);
        if (!is_new) {
          mistake("domains", "claims " + domain + ", as zone " + entry->second +
                                 " does; a domain belongs to one zone");
        }
      }
      const auto [entry, is_new] = zone_by_trust.emplace(zone.trust_file, zone.name);
      if (!is_new && !zone.trust_file.empty()) {
        mistake("trust_file", "is that of zone " + entry->second +
                                  " too; each zone trusts authorities of its own");
      }
    }
  }

  const Settings& settings_;
  Findings& findings_;
  bool is_edge_;
  std::string prefix_;
  std::string own_name_;  ///< of the zone that is looked at
};

}  // namespace

void check_role(const Settings& settings, Findings& findings) {
  if (settings.zones.empty() || !findings.sound({"node.role"})) return;
  const std::string& role = settings.node.role;
  const std::string meant = role_of_zones(settings);
  const std::string section = "[zone." + settings.zones.front().name + "]";
  if (role == "single") {
    findings.mistake({"node.role"},
                     "node.role is \"single\", but " + section +
                         " needs a node of a traversal pair; set node.role to " +
                         (meant.empty() ? "\"edge\" or \"core\"" : "\"" + meant + "\"") +
                         ", or remove the section");
  } else if (!meant.empty() && meant != role) {
    findings.mistake({"node.role"},
                     "node.role is \"" + role + "\", but the zones are those of the other node: " +
                         (meant == "edge" ? "they listen" : "their peers have addresses") +
                         "; set node.role to \"" + meant + "\", or use this node's own file");
  }
}

void check_zones(const Settings& settings, Findings& findings) {
  ZoneCheck(settings, findings).run();
}

}  // namespace turnpike::config
