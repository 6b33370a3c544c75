#include "control/config/identities.h"

#include <chrono>
#include <map>

#include "control/config/products.h"
#include "control/config/secret_file.h"

namespace turnpike::config {
namespace {

void append(pki::Judgement& to, const pki::Judgement& from) {
  to.mistakes.insert(to.mistakes.end(), from.mistakes.begin(), from.mistakes.end());
  to.warnings.insert(to.warnings.end(), from.warnings.begin(), from.warnings.end());
}

bool talks_tls_as_client(const sidecar::SipConfig& sip) {
  const bool has_peers = sip.role != sidecar::NodeRole::kCore && !sip.peers.empty();
  return has_peers || sip.inside_tls_port != 0;
}

/// The main domain must be in the clients' certificate; a further one may have its own by SNI.
pki::Judgement judge_client_identity(const sidecar::SipConfig& sip, pki::WallTime now) {
  pki::Purpose purpose;
  purpose.names = {sip.domains.front()};
  purpose.client_auth = talks_tls_as_client(sip) && sip.peer_certificate_file.empty();
  return pki::check_identity(sip.certificate_file, sip.private_key_file, purpose, now);
}

/// What is shown to one server or peer, as its client.
pki::Judgement judge_identity(const sidecar::TlsIdentity& identity, pki::WallTime now) {
  pki::Judgement judgement;
  if (!identity.certificate_file.empty()) {
    judgement = pki::check_identity(identity.certificate_file, identity.private_key_file,
                                    {{}, false, true}, now);
  }
  if (!identity.trust_file.empty()) append(judgement, pki::check_trust(identity.trust_file, now));
  return judgement;
}

/// Both nodes of a zone show a certificate for both purposes.
pki::Purpose zone_purpose(const ZoneSection& zone) {
  return {.names = {zone.tls_name}, .server_auth = true, .client_auth = true, .listed = true};
}

}  // namespace

pki::Judgement judge_sip_identities(const Settings& settings) {
  pki::Judgement judgement;
  if (!wants_sidecar(settings)) return judgement;
  const sidecar::SipConfig sip = sip_config(settings);
  const pki::WallTime now = std::chrono::system_clock::now();
  if (sip.role == sidecar::NodeRole::kCore && sip.inside_tls_port == 0) return judgement;
  append(judgement, judge_client_identity(sip, now));
  if (!sip.peer_certificate_file.empty()) {
    append(judgement, pki::check_identity(sip.peer_certificate_file, sip.peer_private_key_file,
                                          {{}, true, true}, now));
  }
  for (const auto& sni : sip.sni_certificates) {
    append(judgement, pki::check_identity(sni.certificate_file, sni.private_key_file,
                                          {{sni.server_name}, true, false}, now));
  }
  append(judgement, pki::check_trust(sip.trust_file, now));
  for (const auto& group : sip.servers) append(judgement, judge_identity(group.identity, now));
  for (const auto& peer : sip.peers) append(judgement, judge_identity(peer.identity, now));
  return judgement;
}

pki::Judgement judge_tls_files(const api::HttpTls& files) {
  pki::Judgement judgement;
  const pki::WallTime now = std::chrono::system_clock::now();
  if (files.is_on()) {
    append(judgement, pki::check_identity(files.certificate_file, files.private_key_file, {}, now));
  }
  if (files.wants_certificates()) {
    append(judgement, pki::check_trust(files.client_trust_file, now));
  }
  return judgement;
}

pki::Judgement judge_ng_certificates(const Settings& settings) {
  if (!settings.ng.http.is_set()) return {};
  return judge_tls_files(ng_door_options(settings).tls);
}

namespace {

std::vector<std::string> judge_secret(const std::string& key, const std::string& path) {
  if (path.empty()) return {};
  const auto secret = read_secret_file(path);
  if (secret) return {};
  return {key + ": " + secret.error().message};
}

}  // namespace

std::vector<std::string> judge_ng_token(const Settings& settings) {
  return judge_secret("ng.token_file", settings.ng.token_file);
}

std::vector<std::string> judge_homer_key(const Settings& settings) {
  return judge_secret("homer.key_file", settings.homer.key_file);
}

std::string trust_clash(const Settings& settings) {
  std::map<std::string, std::string> zone_by_authority;
  for (const ZoneSection& zone : settings.zones) {
    const auto authorities = pki::read_certificates(zone.trust_file);
    if (!authorities) continue;
    for (const pki::CertificateFacts& authority : *authorities) {
      const auto [entry, is_new] = zone_by_authority.emplace(authority.sha256, zone.name);
      if (is_new || entry->second == zone.name) continue;
      return "zone " + zone.name + ": its trust file holds " + authority.subject + ", which zone " +
             entry->second + " trusts too; each zone needs authorities of its own";
    }
  }
  return {};
}

pki::Judgement judge_zone_files(const Settings& settings) {
  pki::Judgement judgement;
  const pki::WallTime now = std::chrono::system_clock::now();
  for (const ZoneSection& zone : settings.zones) {
    append(judgement, pki::check_identity(zone.certificate_file, zone.private_key_file,
                                          zone_purpose(zone), now));
    append(judgement, pki::check_trust(zone.trust_file, now));
    if (const auto password = read_secret_file(zone.password_file); !password) {
      judgement.mistakes.push_back(password.error().message);
    }
  }
  if (const std::string clash = trust_clash(settings); !clash.empty()) {
    judgement.mistakes.push_back(clash);
  }
  return judgement;
}

}  // namespace turnpike::config
