#include "control/doctor/own_files.h"

#include "control/config/api_tokens.h"
#include "control/config/identities.h"
#include "control/config/secret_file.h"
#include "control/config/turn_products.h"
#include "control/doctor/words.h"

namespace turnpike::doctor {
namespace {

void tell(const pki::Judgement& judgement, const std::string& check, Report& report) {
  for (const std::string& text : judgement.mistakes) {
    report.sentence(Verdict::kFailed, check, text);
  }
  for (const std::string& text : judgement.warnings) {
    report.sentence(Verdict::kWarning, check, text);
  }
}

bool is_sound(const pki::Judgement& judgement) {
  return judgement.mistakes.empty() && judgement.warnings.empty();
}

/// `holds`: what its sound files say, in words.
void tell_listener(const pki::Judgement& files, const std::string& name, const char* holds,
                   const std::string& certificate_file, pki::WallTime now, Report& report) {
  tell(files, name + ": own files", report);
  if (!is_sound(files)) return;
  report.ok(name + ": own files", holds);
  if (certificate_file.empty()) return;
  if (const auto facts = pki::read_certificate(certificate_file)) {
    report.ok(name + ": own certificate", certificate_text(*facts, now));
  }
}

}  // namespace

void examine_listener_files(const config::Settings& settings, pki::WallTime now, Report& report) {
  if (settings.api.listen.is_set()) {
    tell_listener(config::judge_api_files(settings.api), "API", "tokens and authorities are right",
                  settings.api.certificate_file, now, report);
  }
  if (!settings.ng.http.is_set() && !settings.ng.tcp.is_set()) return;
  pki::Judgement files = config::judge_ng_certificates(settings);
  for (std::string& text : config::judge_ng_token(settings)) {
    files.mistakes.push_back(std::move(text));
  }
  tell_listener(files, "NG", "token and authorities are right", settings.ng.certificate_file, now,
                report);
}

void examine_zone_files(const config::ZoneSection& zone, pki::WallTime now, Report& report) {
  const std::string name = "zone " + zone.name;
  const pki::Purpose purpose{
      .names = {zone.tls_name}, .server_auth = true, .client_auth = true, .listed = true};
  pki::Judgement own =
      pki::check_identity(zone.certificate_file, zone.private_key_file, purpose, now);
  if (const std::string broken = pki::chain_trouble(zone.certificate_file, zone.trust_file);
      !broken.empty()) {
    own.warnings.push_back(broken);
  }
  tell(own, name + ": own certificate", report);
  if (is_sound(own)) {
    if (const auto facts = pki::read_certificate(zone.certificate_file)) {
      report.ok(name + ": own certificate", certificate_text(*facts, now));
    }
  }
  const pki::Judgement trust = pki::check_trust(zone.trust_file, now);
  tell(trust, name + ": trust file", report);
  if (is_sound(trust)) report.ok(name + ": trust file", zone.trust_file);
  const auto password = config::read_secret_file(zone.password_file);
  if (password) {
    report.ok(name + ": password file", zone.password_file);
  } else {
    report.sentence(Verdict::kFailed, name + ": password file", password.error().message);
  }
}

void examine_turn_files(const config::Settings& settings, pki::WallTime now, Report& report) {
  const config::TurnSection& turn = settings.turn;
  if (turn.realms.empty()) return;
  tell_listener(config::judge_turn_files(settings), "TURN", "users and secrets can be read",
                turn.certificate_file, now, report);
}

}  // namespace turnpike::doctor
