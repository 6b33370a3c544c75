// From the [sip] sections to the generator's input, and its judgement back to keys of the file.
#include <array>
#include <charconv>
#include <fstream>
#include <sstream>

#include "control/config/checks.h"
#include "control/config/products.h"

namespace turnpike::config {
namespace {

Interface interface_named(const Settings& settings, const std::string& name) {
  for (Interface& interface : relay_config(settings).interfaces) {
    if (interface.name == name) return std::move(interface);
  }
  return {};
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
  for (const SipUserSection& user : settings.sip.user_sections) {
    config.users.push_back({user.name, user.domain.empty() ? main_domain(settings) : user.domain,
                            std::string(user.ha1.reveal())});
  }
  for (const SipRouteSection& section : settings.sip.route_sections) {
    config.routes.push_back(section.route);
  }
  return config;
}

Result<void> add_users_of_file(const Settings& settings, sidecar::SipConfig& config) {
  const std::string& path = settings.sip.users_file;
  if (path.empty()) return {};
  std::ifstream file(path);
  if (!file)
    return Error{"sip.users_file: " + path + " cannot be read; make it or correct the key"};
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    std::istringstream words(line.substr(0, line.find('#')));
    sidecar::SipUser user;
    std::string more;
    if (!(words >> user.name)) continue;
    if (!(words >> user.domain >> user.ha1) || (words >> more)) {
      return Error{path + ":" + std::to_string(number) +
                   ": a line is name, domain and hash, separated by blanks"};
    }
    config.users.push_back(std::move(user));
  }
  return {};
}

void check_sip(const Settings& settings, Findings& findings) {
  if (!wants_sidecar(settings)) {
    if (findings.given("sip") && findings.sound({"sip.domains"})) {
      findings.mistake({"sip.domains", "sip"},
                       "[sip] has no domains; add domains = [\"example.com\"]");
    }
    return;
  }
  for (const sidecar::Mistake& one : sidecar::check(sip_config(settings))) {
    const std::string key = key_of(settings, one.key);
    if (findings.sound({key})) findings.mistake({key}, key + " " + one.message);
  }
}

}  // namespace turnpike::config
