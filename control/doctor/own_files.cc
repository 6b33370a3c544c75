#include "control/doctor/own_files.h"

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

}  // namespace

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
  const pki::Judgement files = config::judge_turn_files(settings);
  tell(files, "TURN: own files", report);
  if (!is_sound(files)) return;
  report.ok("TURN: own files", "users and secrets can be read");
  if (turn.certificate_file.empty()) return;
  if (const auto facts = pki::read_certificate(turn.certificate_file)) {
    report.ok("TURN: own certificate", certificate_text(*facts, now));
  }
}

}  // namespace turnpike::doctor
