// What the examination of a node has found, in the order in which it was looked at.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace turnpike::doctor {

/// Unclear: it was not looked at, because that might have done harm.
enum class Verdict : std::uint8_t { kOk = 0, kWarning = 1, kUnclear = 2, kFailed = 3 };

struct Finding {
  Verdict verdict = Verdict::kOk;
  std::string check;  ///< what was looked at: "zone dmz, peer edge1: TLS"
  std::string saw;
  std::string mend;  ///< what to do about it; empty when all is well
};

class Report {
 public:
  void ok(std::string check, std::string saw);
  void warning(std::string check, std::string saw, std::string mend);
  void unclear(std::string check, std::string saw, std::string mend);
  void failed(std::string check, std::string saw, std::string mend);
  void add(Finding finding) { findings_.push_back(std::move(finding)); }
  /// Of a sentence like those of --check: "what is wrong; what to do".
  void sentence(Verdict verdict, const std::string& check, std::string_view text);

  const std::vector<Finding>& findings() const { return findings_; }
  std::size_t count(Verdict verdict) const;

 private:
  std::vector<Finding> findings_;
};

/// A line for each finding and one with what to do, then a summary. Bytes of remote ends that could
/// play with a terminal are shown as '?'.
std::string to_text(const Report& report);
/// {"failed": 1, "unclear": 0, "warnings": 0, "ok": 7, "findings": [{"verdict", "check", "saw",
/// "mend"}, …]}
std::string to_json(const Report& report);

}  // namespace turnpike::doctor
