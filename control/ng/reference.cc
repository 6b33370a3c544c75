// The reference as Markdown tables.
#include "control/ng/reference.h"

#include "control/ng/ignored_names.h"

namespace turnpike::ng {
namespace {

constexpr std::size_t kColumns = 100;

std::string code(std::string_view text) {
  return "`" + std::string(text) + "`";
}

void append_rows(const std::vector<NameInfo>& rows, bool with_takes, std::string& out) {
  for (const NameInfo& row : rows) {
    out += "| " + code(row.name) + " | " + std::string(to_string(row.standing)) + " | ";
    if (with_takes) out += std::string(row.takes) + " | ";
    out += std::string(row.effect) + " | " + (row.test.empty() ? "" : code(row.test)) + " |\n";
  }
}

/// In lines of ordinary length.
void append_list(const std::vector<std::string_view>& names, std::string& out) {
  std::size_t line = 0;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const std::string item = code(names[i]) + (i + 1 < names.size() ? "," : ".");
    const bool fits = line + item.size() < kColumns;
    if (i > 0) out += fits ? ' ' : '\n';
    line = (fits ? line + 1 : 0) + item.size();
    out += item;
  }
  out += '\n';
}

}  // namespace

std::string_view to_string(Standing standing) {
  switch (standing) {
    case Standing::kActs:
      return "acts";
    case Standing::kAccepted:
      return "accepted";
    case Standing::kRefused:
      return "refused";
    case Standing::kIgnored:
      return "ignored, counted";
  }
  return "";
}

std::string reference() {
  std::string out = "### Commands\n\n| command | standing | needs | does, or why not | test |\n";
  out += "|---|---|---|---|---|\n";
  append_rows(commands(), true, out);
  out += "\n### Keys\n\n| key | standing | value | effect | test |\n|---|---|---|---|---|\n";
  append_rows(keys(), true, out);
  out += "\n### Flags\n\n| flag | standing | effect | test |\n|---|---|---|---|\n";
  append_rows(flags(), false, out);
  out += "\n### Keys and flags without effect\n\nIgnored and counted, each under its name:\n";
  append_list(known_without_effect(), out);
  out +=
      "Every flag that begins with `codec-`, `transcode-`, `t38-`, `t.38-` or `osrtp-` is one of "
      "these.\n\nEvery other name is unknown: ignored and counted likewise.\n";
  return out;
}

}  // namespace turnpike::ng
