#include "control/doctor/report.h"

#include <algorithm>
#include <array>
#include <utility>

#include <nlohmann/json.hpp>

namespace turnpike::doctor {
namespace {

constexpr std::array<const char*, 3> kWords{"ok", "warning", "FAILED"};
constexpr std::size_t kVerdictColumns = 9;

std::string shown(std::string text) {
  std::replace_if(
      text.begin(), text.end(),
      [](char c) {
        const auto byte = static_cast<unsigned char>(c);
        return byte < 0x20 || byte >= 0x7f;
      },
      '?');
  return text;
}

const char* word_of(Verdict verdict) {
  return kWords.at(static_cast<std::size_t>(verdict));
}

std::string line_of(const Finding& finding) {
  std::string line = word_of(finding.verdict);
  line.append(kVerdictColumns - line.size(), ' ');
  line += shown(finding.check) + ": " + shown(finding.saw) + "\n";
  if (finding.mend.empty()) return line;
  return line + std::string(kVerdictColumns, ' ') + "-> " + shown(finding.mend) + "\n";
}

}  // namespace

void Report::ok(std::string check, std::string saw) {
  findings_.push_back({Verdict::kOk, std::move(check), std::move(saw), ""});
}

void Report::warning(std::string check, std::string saw, std::string mend) {
  findings_.push_back({Verdict::kWarning, std::move(check), std::move(saw), std::move(mend)});
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
         std::to_string(report.count(Verdict::kWarning)) + " warnings, " +
         std::to_string(report.count(Verdict::kOk)) + " ok\n";
}

std::string to_json(const Report& report) {
  using Json = nlohmann::ordered_json;
  Json findings = Json::array();
  for (const Finding& one : report.findings()) {
    const auto place = static_cast<std::size_t>(one.verdict);
    findings.push_back({{"verdict", place == 2 ? "failed" : kWords.at(place)},
                        {"check", one.check},
                        {"saw", one.saw},
                        {"mend", one.mend}});
  }
  const Json body{{"failed", report.count(Verdict::kFailed)},
                  {"warnings", report.count(Verdict::kWarning)},
                  {"ok", report.count(Verdict::kOk)},
                  {"findings", std::move(findings)}};
  return body.dump(2, ' ', false, nlohmann::detail::error_handler_t::replace) + "\n";
}

}  // namespace turnpike::doctor
