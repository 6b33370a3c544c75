// From the [sip] sections to the generator's input, and its judgement back to keys of the file.
#include <array>
#include <charconv>
#include <map>
#include <sstream>

#include "control/config/checks.h"
#include "control/config/products.h"
#include "control/config/read_file.h"

namespace turnpike::config {
namespace {

constexpr std::size_t kUsersBytesMax = std::size_t{64} << 20;

Interface interface_named(const Settings& settings, const std::string& name) {
  for (Interface& interface : relay_config(settings).interfaces) {
    if (interface.name == name) return std::move(interface);
  }
  return {};
}

sidecar::NodeRole role_of(const Settings& settings) {
  if (settings.node.role == "edge") return sidecar::NodeRole::kEdge;
  if (settings.node.role == "core") return sidecar::NodeRole::kCore;
  return sidecar::NodeRole::kSingle;
}

std::string main_domain(const Settings& settings) {
  return settings.sip.domains.empty() ? "" : settings.sip.domains.front();
}

/// The section that an entry of one of SipConfig's lists came from.
std::string section_of(const Settings& settings, std::string_view list, std::size_t index) {
  const SipSection& sip = settings.sip;
  if (list == "users" && index < sip.user_sections.size()) {
    return "sip.user." + sip.user_sections[index].name;
  }
  if (list == "routes" && index < sip.route_sections.size()) {
    return "sip.route." + sip.route_sections[index].name;
  }
  if (list == "servers" && index < sip.servers.size()) {
    return "sip.servers." + sip.servers[index].name;
  }
  if (list == "peers" && index < sip.peers.size()) return "sip.peer." + sip.peers[index].name;
  if (list == "sni_certificates") return "sip.certificate";
  return "sip." + std::string(list);
}

/// "routes[0].pattern" is "sip.route.NAME.pattern"; "domains[1]" is "sip.domains".
std::string key_of(const Settings& settings, const std::string& key) {
  const std::size_t open = key.find('[');
  if (open == std::string::npos) {
    if (key == "outside" || key == "inside") return "interface." + key + ".addresses";
    return "sip." + key;
  }
  std::size_t index = 0;
  std::from_chars(key.data() + open + 1, key.data() + key.size(), index);
  const std::size_t close = key.find(']', open);
  std::string member = close == std::string::npos ? "" : key.substr(close + 1);
  member = member.substr(0, member.find('['));
  return section_of(settings, std::string_view(key).substr(0, open), index) + member;
}

/// The lines that the added users stand on.
std::vector<int> parse_users(const std::string& text, sidecar::SipConfig& config,
                             std::multimap<int, std::string>& mistakes) {
  std::vector<int> lines;
  std::istringstream rest(text);
  std::string line;
  for (int number = 1; std::getline(rest, line); ++number) {
    std::istringstream words(line.substr(0, line.find('#')));
    sidecar::SipUser user;
    std::string more;
    if (!(words >> user.name)) continue;
    if (!(words >> user.domain >> user.ha1) || (words >> more)) {
      mistakes.emplace(number, "a line is name, domain and hash, separated by blanks");
      continue;
    }
    config.users.push_back(std::move(user));
    lines.push_back(number);
  }
  return lines;
}

/// 3 for "users[3].ha1"; a huge number for what is no user's key.
std::size_t user_index(std::string_view key) {
  constexpr std::string_view kList = "users[";
  std::size_t index = SIZE_MAX;
  if (key.starts_with(kList)) {
    std::from_chars(key.data() + kList.size(), key.data() + key.size(), index);
  }
  return index;
}

}  // namespace

bool wants_sidecar(const Settings& settings) {
  return !settings.sip.domains.empty();
}

sidecar::SipConfig sip_config(const Settings& settings) {
  sidecar::SipConfig config = settings.sip;
  config.outside = interface_named(settings, "outside");
  config.inside = interface_named(settings, "inside");
  config.ng_endpoint = settings.ng.unix_path.empty() ? "udp:" + to_string(settings.ng.udp)
                                                     : "unix:" + settings.ng.unix_path;
  config.health = settings.api.metrics;
  config.role = role_of(settings);
  config.wss_at_door = settings.front_door.port != 0 && settings.front_door.sip;
  for (const ZoneSection& section : settings.zones) {
    sidecar::SipZone zone{section.name, section.domains, {}};
    for (const ZonePeerSection& peer : section.peers) {
      zone.peers.push_back({peer.name, peer.sip_listen, peer.sip_target});
    }
    config.zones.push_back(std::move(zone));
  }
  for (const SipUserSection& user : settings.sip.user_sections) {
    config.users.push_back({user.name, user.domain.empty() ? main_domain(settings) : user.domain,
                            std::string(user.ha1.reveal())});
  }
  for (const SipRouteSection& section : settings.sip.route_sections) {
    config.routes.push_back(section.route);
  }
  return config;
}

UsersFile add_users_of_file(const Settings& settings, sidecar::SipConfig& config) {
  UsersFile file;
  const std::string& path = settings.sip.users_file;
  if (path.empty()) return file;
  std::string text;
  if (UnreadableFile why; !read_regular_file(path, kUsersBytesMax, text, why)) {
    file.out_of_reach = why.out_of_reach;
    file.mistakes.push_back("sip.users_file: " + path + " cannot be read (" + why.reason +
                            "); make it or correct the key");
    return file;
  }
  const std::size_t before = config.users.size();
  std::multimap<int, std::string> mistakes;
  const std::vector<int> lines = parse_users(text, config, mistakes);
  for (const sidecar::Mistake& one : sidecar::check(config)) {
    const std::size_t index = user_index(one.key);
    if (index < before || index - before >= lines.size()) continue;
    const std::size_t dot = one.key.rfind('.');
    const std::string member = dot == std::string::npos ? "" : one.key.substr(dot + 1) + " ";
    mistakes.emplace(lines[index - before], member + one.message);
  }
  for (const auto& [line, message] : mistakes) {
    file.mistakes.push_back(path + ":" + std::to_string(line) + ": " + message);
  }
  return file;
}

void check_sip(const Settings& settings, Findings& findings) {
  if (!wants_sidecar(settings)) {
    if (findings.given("sip") && findings.sound({"sip.domains"})) {
      findings.mistake({"sip.domains", "sip"},
                       "[sip] has no domains; add domains = [\"example.com\"]");
    }
    return;
  }
  if (!findings.sound({"node.role"})) return;
  if (settings.node.role == "edge" && !settings.sip.users_file.empty()) {
    findings.mistake({"sip.users_file"},
                     "sip.users_file is given, but an edge has no passwords; move it to the core");
  }
  for (const sidecar::Mistake& one : sidecar::check(sip_config(settings))) {
    if (one.key == "zones") {
      findings.mistake({"zone", "sip"}, one.message);
      continue;
    }
    const std::string key = key_of(settings, one.key);
    if (findings.sound({key})) findings.mistake({key}, key + " " + one.message);
  }
}

}  // namespace turnpike::config
