#include "control/reload.h"

#include <string_view>
#include <tuple>
#include <utility>

#include "control/api_access.h"
#include "control/capture_service.h"
#include "control/config/limits.h"
#include "control/ng_access.h"

namespace turnpike {
namespace {

api::ReloadReport report_of(const config::ReloadPlan& plan) {
  api::ReloadReport report;
  report.mistakes = plan.mistakes;
  report.warnings = plan.warnings;
  for (const config::Change& change : plan.changes) {
    report.changes.push_back(
        {change.key, std::string(config::name_of(change.effect)), change.from, change.to});
  }
  return report;
}

std::vector<std::string> keys_of(const api::ReloadReport& report, std::string_view effect) {
  std::vector<std::string> keys;
  for (const auto& change : report.changes) {
    if (change.effect == effect) keys.push_back(change.key);
  }
  return keys;
}

std::string listed(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text.empty() ? "none" : text;
}

}  // namespace

log::Level level_of(const config::LogSection& section) {
  return log::parse_level(section.level).value_or(log::Level::kInfo);
}

api::ReloadReport Reloader::check() const {
  return report_of(config::plan_reload(running_, path_));
}

api::ReloadReport Reloader::reload(const std::string& asker) {
  config::ReloadPlan plan = config::plan_reload(running_, path_);
  api::ReloadReport report = report_of(plan);
  last_refused_ = !report.mistakes.empty();
  if (last_refused_) {
    log_refusal(report, asker);
    return report;
  }
  running_ = std::move(plan.next);
  limits_before_.clear();
  apply(config::live_settings(running_.settings, parts_.host));
  waiting_ = keys_of(report, "restart");
  report.applied = true;
  for (std::string& warning : read_files()) report.warnings.push_back(std::move(warning));
  parts_.captures.end_remote("tokens were read anew");
  log_changes(report, asker);
  return report;
}

void Reloader::apply(const config::LiveSettings& live) {
  parts_.log.set_level(level_of(running_.settings.log));
  parts_.records.set(live.records);  // also the same file, which may have been moved away
  apply_limits(live);
  if (parts_.ng_door != nullptr) parts_.ng_door->set_host_names(live.ng.host_names);
  parts_.http.set_host_names(live.api.host_names);
  parts_.captures.allow(allowed_captures(live.api.captures));
}

void Reloader::apply_limits(const config::LiveSettings& live) {
  parts_.relay.retune(live.relay);
  call::CallServiceConfig calls = live.calls;
  // A holder's sessions may have kept another range than the file's.
  std::tie(calls.media_port_min, calls.media_port_max) = parts_.calls.media_ports();
  parts_.endpoints.set_calls_max(calls.calls_max);
  parts_.calls.reconfigure(std::move(calls));
  parts_.ng.gate().set_rules(config::gate_rules(live.ng));
}

Result<std::int64_t> Reloader::set_limit(const std::string& key, std::int64_t value) {
  Result<config::LimitPlan> plan = config::plan_limit(running_, key, value);
  if (!plan) return plan.error();
  running_ = std::move(plan->next);
  apply_limits(config::live_settings(running_.settings, parts_.host));
  limits_before_.emplace(key, plan->before);
  return plan->before;
}

std::vector<std::string> Reloader::read_files() {
  const config::Settings& settings = running_.settings;
  std::vector<std::string> warnings =
      reload_api(settings.api, parts_.gate, parts_.http, parts_.log);
  if (parts_.pairing != nullptr) parts_.pairing->reload();
  if (parts_.turn != nullptr) {
    if (const auto read = parts_.turn->reload(settings); !read) {
      warnings.push_back(read.error().message);
    }
  }
  for (std::string& kept : reload_ng(settings, parts_.ng.gate(), parts_.ng_door, parts_.log)) {
    warnings.push_back(std::move(kept));
  }
  return warnings;
}

void Reloader::log_refusal(const api::ReloadReport& report, const std::string& asker) {
  parts_.log.error("reload_refused",
                   {{"by", asker},
                    {"mistakes", report.mistakes.size()},
                    {"reason", report.mistakes.front()},
                    {"hint", "nothing has changed; turnpikectl reload --check names them all"}});
}

void Reloader::log_changes(const api::ReloadReport& report, const std::string& asker) {
  parts_.log.info("reload", {{"by", asker},
                             {"in_force", listed(keys_of(report, "hot"))},
                             {"for_the_sidecar", listed(keys_of(report, "sidecar"))},
                             {"warnings", report.warnings.size()}});
  if (waiting_.empty()) return;
  parts_.log.warning(
      "restart_wanted",
      {{"keys", listed(waiting_)}, {"hint", "the old values hold until turnpiked is restarted"}});
}

}  // namespace turnpike
