#include "control/ctl/text.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>

#include "control/ctl/printable.h"

namespace turnpike::ctl {

std::string printable(std::string text) {
  std::replace_if(
      text.begin(), text.end(),
      [](char c) {
        const auto byte = static_cast<unsigned char>(c);
        return byte < 0x20 || byte >= 0x7f;
      },
      '?');
  return text;
}

std::string shown(const Json& value) {
  return printable(value.is_string() ? value.get<std::string>() : value.dump());
}

std::string shown_or_dash(const Json& value) {
  const std::string text = shown(value);
  return text.empty() ? "-" : text;
}

std::string number(const Json& value) {
  return std::to_string(value.get<std::uint64_t>());
}

std::string duration(const Json& value) {
  if (value.is_null()) return "-";
  const auto total = static_cast<std::int64_t>(value.get<double>());
  std::array<char, 64> text{};
  if (total >= 3600) {
    std::snprintf(text.data(), text.size(), "%lld:%02lld:%02lld",
                  static_cast<long long>(total / 3600), static_cast<long long>(total / 60 % 60),
                  static_cast<long long>(total % 60));
  } else {
    std::snprintf(text.data(), text.size(), "%lld:%02lld", static_cast<long long>(total / 60),
                  static_cast<long long>(total % 60));
  }
  return text.data();
}

std::string ago(const Json& value) {
  if (value.is_null()) return "never";
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%.1f s ago", value.get<double>());
  return text.data();
}

std::string table(const std::vector<Row>& rows) {
  std::vector<std::size_t> widths(rows.front().size());
  for (const Row& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const Row& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      line += row[i];
      if (i + 1 < row.size()) line.append(widths[i] - row[i].size() + 2, ' ');
    }
    text += line + "\n";
  }
  return text;
}

}  // namespace turnpike::ctl
