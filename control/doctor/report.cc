#include "control/doctor/report.h"

#include <algorithm>
#include <array>
#include <utility>

#include <nlohmann/json.hpp>

#include "control/ctl/printable.h"

namespace turnpike::doctor {
namespace {

constexpr std::array<const char*, 4> kWords{"ok", "warning", "UNCLEAR", "FAILED"};
constexpr std::size_t kVerdictColumns = 9;

const char* word_of(Verdict verdict) {
  return kWords.at(static_cast<std::size_t>(verdict));
}

const char* json_word_of(Verdict verdict) {
  if (verdict == Verdict::kFailed) return "failed";
  return verdict == Verdict::kUnclear ? "unclear" : word_of(verdict);
}

std::string line_of(const Finding& finding) {
  std::string line = word_of(finding.verdict);
  line.append(kVerdictColumns - line.size(), ' ');
  line += ctl::printable(finding.check) + ": " + ctl::printable(finding.saw) + "\n";
  if (finding.mend.empty()) return line;
  return line + std::string(kVerdictColumns, ' ') + "-> " + ctl::printable(finding.mend) + "\n";
}

}  // namespace

void Report::ok(std::string check, std::string saw) {
  findings_.push_back({Verdict::kOk, std::move(check), std::move(saw), ""});
}

void Report::warning(std::string check, std::string saw, std::string mend) {
  findings_.push_back({Verdict::kWarning, std::move(check), std::move(saw), std::move(mend)});
}

void Report::unclear(std::string check, std::string saw, std::string mend) {
  findings_.push_back({Verdict::kUnclear, std::move(check), std::move(saw), std::move(mend)});
}

void Report::failed(std::string check, std::string saw, std::string mend) {
  findings_.push_back({Verdict::kFailed, std::move(check), std::move(saw), std::move(mend)});
}

void Report::sentence(Verdict verdict, const std::string& check, std::string_view text) {
  const std::size_t semicolon = text.find("; ");
  const std::string saw(text.substr(0, semicolon));
  const std::string mend(semicolon == std::string_view::npos ? "" : text.substr(semicolon + 2));
  findings_.push_back({verdict, check, saw, mend});
}

std::size_t Report::count(Verdict verdict) const {
  const auto number =
      std::count_if(findings_.begin(), findings_.end(),
                    [verdict](const Finding& one) { return one.verdict == verdict; });
  return static_cast<std::size_t>(number);
}

std::string to_text(const Report& report) {
  std::string text;
  for (const Finding& finding : report.findings()) text += line_of(finding);
  return text + std::to_string(report.count(Verdict::kFailed)) + " failed, " +
         std::to_string(report.count(Verdict::kUnclear)) + " unclear, " +
         std::to_string(report.count(Verdict::kWarning)) + " warnings, " +
         std::to_string(report.count(Verdict::kOk)) + " ok\n";
}

std::string to_json(const Report& report) {
  using Json = nlohmann::ordered_json;
  Json findings = Json::array();
  for (const Finding& one : report.findings()) {
    findings.push_back({{"verdict", json_word_of(one.verdict)},
                        {"check", one.check},
                        {"saw", one.saw},
                        {"mend", one.mend}});
  }
  const Json body{{"failed", report.count(Verdict::kFailed)},
                  {"unclear", report.count(Verdict::kUnclear)},
                  {"warnings", report.count(Verdict::kWarning)},
                  {"ok", report.count(Verdict::kOk)},
                  {"findings", std::move(findings)}};
  return body.dump(2, ' ', false, nlohmann::detail::error_handler_t::replace) + "\n";
}

}  // namespace turnpike::doctor
