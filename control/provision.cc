#include "control/provision.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>

#include <grp.h>
#include <unistd.h>

#include "control/config/accounts.h"
#include "control/config/identities.h"
#include "control/daemon.h"
#include "control/pki/development.h"
#include "control/sidecar/sidecar.h"

namespace turnpike {
namespace {

void append(std::vector<std::string>& to, const std::vector<std::string>& from) {
  to.insert(to.end(), from.begin(), from.end());
}

int say_error(const std::string& text) {
  std::fprintf(stderr, "turnpiked: %s\n", text.c_str());
  return kExitFailed;
}

}  // namespace

pki::Judgement judge_sidecar_files(const config::Settings& settings) {
  if (!config::wants_sidecar(settings)) return {};
  pki::Judgement judgement = config::judge_sip_identities(settings);
  const sidecar::SipConfig sip = config::sip_config(settings);
  const bool has_keys = sip.role != sidecar::NodeRole::kCore || sip.inside_tls_port != 0;
  if (has_keys) append(judgement.warnings, config::key_access_warnings(settings));
  return judgement;
}

config::UsersFile judge_users_file(const config::Settings& settings) {
  if (!config::wants_sidecar(settings) || !settings.sip.upstream.empty()) return {};
  sidecar::SipConfig sip = config::sip_config(settings);
  return config::add_users_of_file(settings, sip);
}

int write_sidecar_files(const config::Settings& settings, const std::string& directory) {
  if (!config::wants_sidecar(settings)) {
    return say_error("the configuration has no [sip] section; there is no sidecar to write");
  }
  const std::string& place = directory.empty() ? settings.sip.directory : directory;
  sidecar::SipConfig sip = config::sip_config(settings);
  pki::Judgement judgement = judge_sidecar_files(settings);
  if (sip.upstream.empty()) {
    append(judgement.mistakes, config::add_users_of_file(settings, sip).mistakes);
  }
  for (const std::string& mistake : judgement.mistakes) say_error(mistake);
  for (const std::string& warning : judgement.warnings) say_error("warning: " + warning);
  if (!judgement.mistakes.empty()) return kExitFailed;

  std::error_code ignored;
  const std::string absolute = std::filesystem::absolute(place, ignored).lexically_normal();
  if (const auto written = sidecar::write_sidecar(sip, absolute); !written) {
    return say_error(written.error().message);
  }
  std::printf("sidecar: %s/kamailio.cfg, %zu users, %zu peers\n", absolute.c_str(),
              sip.users.size(), sip.peers.size());
  return kExitDone;
}

namespace {

Result<pki::DevelopmentFiles> make_sip_certificates(const config::Settings& settings,
                                                    const std::string& directory) {
  const sidecar::SipConfig sip = config::sip_config(settings);
  pki::DevelopmentOptions options;
  options.directory = directory;
  options.names = sip.domains;
  for (const auto& address : sip.outside.addresses) {
    const std::string text = to_string(address.advertised);
    if (std::find(options.names.begin(), options.names.end(), text) == options.names.end()) {
      options.names.push_back(text);
    }
  }
  // The SIP server reads its keys; only root can give them to its group.
  if (::geteuid() == 0 && ::getgrnam(sip.run_user.c_str()) != nullptr) {
    options.key_group = sip.run_user;
  }
  for (const auto& peer : sip.peers) {
    if (peer.certificate_names.empty()) continue;
    options.peers.push_back({"peer-" + peer.name, peer.certificate_names});
  }
  return pki::make_development_pki(options, std::chrono::system_clock::now());
}

/// For this node and its peers, who take their files from here.
Result<pki::DevelopmentFiles> make_zone_certificates(const config::ZoneSection& zone,
                                                     const std::string& directory) {
  pki::ZonePkiOptions options{directory, {{"node", {zone.tls_name}}}};
  for (const config::ZonePeerSection& peer : zone.peers) {
    options.nodes.push_back({"peer-" + peer.name, {peer.tls_name}});
  }
  for (auto& node : options.nodes) {
    const std::string& cluster = zone.tls_verify_subject;
    if (!cluster.empty() && cluster != node.dns_names.front()) node.dns_names.push_back(cluster);
  }
  return pki::make_zone_pki(options, std::chrono::system_clock::now());
}

int tell_made(const Result<pki::DevelopmentFiles>& files, const std::string& directory) {
  if (!files) return say_error(files.error().message);
  for (const std::string& name : files->made) {
    std::printf("made %s/%s\n", directory.c_str(), name.c_str());
  }
  std::printf("certificates: %zu files made, %zu kept in %s\n", files->made.size(),
              files->kept.size(), directory.c_str());
  return kExitDone;
}

}  // namespace

int make_development_certificates(const config::Settings& settings, const std::string& directory) {
  int code = kExitDone;
  if (config::wants_sidecar(settings) || settings.zones.empty()) {
    code = tell_made(make_sip_certificates(settings, directory), directory);
  }
  for (const config::ZoneSection& zone : settings.zones) {
    if (code != kExitDone) return code;
    std::error_code failed;
    std::filesystem::create_directories(directory, failed);
    const std::string place = directory + "/zone-" + zone.name;
    code = tell_made(make_zone_certificates(zone, place), place);
  }
  return code;
}

}  // namespace turnpike
