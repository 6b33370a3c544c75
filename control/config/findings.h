// What is wrong with a configuration file, in lines that an operator can act on.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace turnpike::config {

/// Collects mistakes (the file is refused) and warnings (the file works, but probably not as
/// meant). Knows on which line each key stands, so that checks name keys and not lines.
/// A message reads "what; what to do" and never holds the value of a secret key.
class Findings {
 public:
  explicit Findings(std::string file) : file_(std::move(file)) {}

  const std::string& file() const { return file_; }

  /// The key or section `path` ("media.port_min", "interface.outside") stands on this line.
  /// Line 0 (a section that only its subsections imply) has no place.
  void place(std::string path, int line) {
    if (line > 0) lines_[std::move(path)] = line;
  }
  /// Whether the file itself holds this key or section (as opposed to a default).
  bool given(std::string_view path) const { return lines_.find(path) != lines_.end(); }

  void mistake_at(int line, std::string message);
  /// As mistake_at, on the line of the first of `paths` that the file holds, else on the line of
  /// the nearest enclosing section, else on line 1. Marks every one of `paths` as unsound.
  void mistake(std::initializer_list<std::string_view> paths, std::string message);
  void warning(std::initializer_list<std::string_view> paths, std::string message);

  /// False when one of these keys has a mistake already: its value is not worth a further check.
  bool sound(std::initializer_list<std::string_view> paths) const;

  bool has_mistakes() const { return !mistakes_.empty(); }
  /// "FILE:LINE: what; what to do", in the order of the lines, without repetition.
  std::vector<std::string> mistakes() const { return lines_of(mistakes_); }
  std::vector<std::string> warnings() const { return lines_of(warnings_); }

 private:
  using Messages = std::set<std::pair<int, std::string>>;

  int line_of(std::initializer_list<std::string_view> paths) const;
  std::vector<std::string> lines_of(const Messages& messages) const;

  std::string file_;
  std::map<std::string, int, std::less<>> lines_;
  std::set<std::string, std::less<>> unsound_;
  Messages mistakes_;
  Messages warnings_;
};

/// The candidate that a misspelt word most probably stands for; empty when none is near.
std::string_view nearest(std::string_view word, const std::vector<std::string_view>& candidates);

}  // namespace turnpike::config
