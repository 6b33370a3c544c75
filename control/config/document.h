// A configuration file as a tree of values with line numbers.
// Hides: the TOML library. Is not: validation; any well-formed file makes a document.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "control/config/findings.h"

namespace turnpike::config {

/// One value of the file, or a table of them. Only the field that `kind` names is meaningful.
struct Node {
  enum class Kind : std::uint8_t { kText, kInteger, kReal, kBoolean, kList, kTable, kDate };

  Kind kind = Kind::kTable;
  int line = 0;  ///< of the key, or of the section's header; 0 = not from a file
  std::string text;
  std::int64_t integer = 0;
  double real = 0;
  bool boolean = false;
  struct Member;
  std::vector<Node> items;      ///< kList
  std::vector<Member> members;  ///< kTable, in no particular order

  static Node of_text(std::string value);
  static Node of_integer(std::int64_t value);
  static Node of_boolean(bool value);
  static Node of_list(std::vector<Node> values);

  const Node* member(std::string_view name) const;
};

struct Node::Member {
  std::string name;
  Node value;
};

/// Parses TOML 1.0. Every syntax error becomes a mistake in `findings`; the lines that hold one
/// are then left out, so that the rest of the file can still be checked. A file in which a section
/// header is broken gives an empty table, because what follows would be judged wrongly.
Node parse_document(std::string_view text, Findings& findings);

/// How a value reads in an error message: `"abc"`, `12`, `a list`; shortened, control bytes
/// escaped.
std::string describe(const Node& node);

}  // namespace turnpike::config
