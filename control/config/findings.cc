// Where a mistake stands, and what was probably meant.
#include "control/config/findings.h"

#include <algorithm>

namespace turnpike::config {
namespace {

constexpr std::size_t kWordBytesMax = 64;

/// Edits (insert, delete, replace, swap of neighbours) that turn one word into the other.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<std::size_t>> cost(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) {
    for (std::size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        cost[i][j] = i + j;
        continue;
      }
      const std::size_t replace = cost[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      cost[i][j] = std::min({cost[i - 1][j] + 1, cost[i][j - 1] + 1, replace});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) cost[i][j] = std::min(cost[i][j], cost[i - 2][j - 2] + 1);
    }
  }
  return cost[a.size()][b.size()];
}

}  // namespace

void Findings::mistake_at(int line, std::string message) {
  mistakes_.emplace(std::max(line, 1), std::move(message));
}

void Findings::mistake(std::initializer_list<std::string_view> paths, std::string message) {
  mistakes_.emplace(line_of(paths), std::move(message));
  for (const std::string_view path : paths) unsound_.emplace(path);
}

void Findings::warning(std::initializer_list<std::string_view> paths, std::string message) {
  warnings_.emplace(line_of(paths), std::move(message));
}

bool Findings::sound(std::initializer_list<std::string_view> paths) const {
  return std::none_of(paths.begin(), paths.end(), [this](std::string_view path) {
    return unsound_.find(path) != unsound_.end();
  });
}

int Findings::line_of(std::initializer_list<std::string_view> paths) const {
  for (const std::string_view path : paths) {
    if (const auto found = lines_.find(path); found != lines_.end()) return found->second;
  }
  for (std::string_view path : paths) {
    for (auto dot = path.rfind('.'); dot != std::string_view::npos; dot = path.rfind('.')) {
      path = path.substr(0, dot);
      if (const auto found = lines_.find(path); found != lines_.end()) return found->second;
    }
  }
  return 1;
}

std::vector<std::string> Findings::lines_of(const Messages& messages) const {
  std::vector<std::string> lines;
  for (const auto& [line, message] : messages) {
    lines.push_back(file_ + ":" + std::to_string(line) + ": " + message);
  }
  return lines;
}

std::string_view nearest(std::string_view word, const std::vector<std::string_view>& candidates) {
  // Longer input than any key is no misspelling; it only costs time.
  if (word.empty() || word.size() > kWordBytesMax) return {};
  std::string_view best;
  std::size_t best_distance = kWordBytesMax;
  for (const std::string_view candidate : candidates) {
    const std::size_t distance = edit_distance(word, candidate);
    const std::size_t near = std::max(word.size(), candidate.size()) * 2 / 5;
    // Half a name is a mistake too: "quarantine" for "quarantine_seconds".
    const bool prefix = word.size() >= 3 && candidate.starts_with(word);
    if ((distance <= near || prefix) && distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

}  // namespace turnpike::config
