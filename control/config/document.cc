// The only file that knows the TOML library.
#include "control/config/document.h"

#include <algorithm>
#include <array>
#include <sstream>

#include <toml++/toml.h>

namespace turnpike::config {
namespace {

constexpr std::size_t kSyntaxErrorsMax = 50;
constexpr std::size_t kDescribedBytesMax = 60;

int line_of(const toml::source_region& region) {
  return static_cast<int>(region.begin.line);
}

Node convert(const toml::node& from) {
  Node node;
  node.line = line_of(from.source());
  if (const auto* table = from.as_table()) {
    for (const auto& [key, value] : *table) {
      Node member = convert(value);
      // A table that only exists as the parent of [a.b] has no line of its own.
      if (key.source().begin.line != 0 && !value.is_table()) member.line = line_of(key.source());
      node.members.push_back({std::string(key.str()), std::move(member)});
    }
  } else if (const auto* array = from.as_array()) {
    node.kind = Node::Kind::kList;
    for (const toml::node& item : *array) node.items.push_back(convert(item));
  } else if (const auto* text = from.as_string()) {
    node.kind = Node::Kind::kText;
    node.text = text->get();
  } else if (const auto* integer = from.as_integer()) {
    node.kind = Node::Kind::kInteger;
    node.integer = integer->get();
  } else if (const auto* real = from.as_floating_point()) {
    node.kind = Node::Kind::kReal;
    node.real = real->get();
  } else if (const auto* boolean = from.as_boolean()) {
    node.kind = Node::Kind::kBoolean;
    node.boolean = boolean->get();
  } else {
    node.kind = Node::Kind::kDate;
  }
  return node;
}

/// The library quotes input in its messages; a piece of input may be part of a password, so only
/// single characters and the names of keys that exist twice are let through.
std::string without_values(std::string_view description) {
  if (description.find("redefine") != std::string_view::npos) return std::string(description);
  std::string out;
  for (std::size_t i = 0; i < description.size();) {
    const std::size_t close =
        description[i] == '\'' ? description.find('\'', i + 1) : std::string_view::npos;
    if (close == std::string_view::npos) {
      out += description[i++];
    } else if (close - i <= 3) {
      out += description.substr(i, close - i + 1);
      i = close + 1;
    } else {
      out += "it";
      i = close + 1;
    }
  }
  return out;
}

std::vector<std::string> split_lines(std::string_view text) {
  std::vector<std::string> lines;
  std::size_t begin = 0;
  while (begin <= text.size()) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    lines.emplace_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return lines;
}

std::string join_lines(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  return text;
}

bool is_header(std::string_view line) {
  const std::size_t first = line.find_first_not_of(" \t");
  return first != std::string_view::npos && line[first] == '[';
}

}  // namespace

Node Node::of_text(std::string value) {
  Node node;
  node.kind = Kind::kText;
  node.text = std::move(value);
  return node;
}

Node Node::of_integer(std::int64_t value) {
  Node node;
  node.kind = Kind::kInteger;
  node.integer = value;
  return node;
}

Node Node::of_boolean(bool value) {
  Node node;
  node.kind = Kind::kBoolean;
  node.boolean = value;
  return node;
}

Node Node::of_list(std::vector<Node> values) {
  Node node;
  node.kind = Kind::kList;
  node.items = std::move(values);
  return node;
}

const Node* Node::member(std::string_view name) const {
  const auto found = std::find_if(members.begin(), members.end(),
                                  [name](const auto& entry) { return entry.name == name; });
  return found == members.end() ? nullptr : &found->value;
}

Node parse_document(std::string_view text, Findings& findings) {
  std::vector<std::string> lines = split_lines(text);
  for (std::size_t errors = 0; errors < kSyntaxErrorsMax; ++errors) {
    try {
      return convert(toml::parse(join_lines(lines)));
    } catch (const toml::parse_error& error) {
      // The parser stops at the first error: leave that line out and look for more.
      const std::size_t at = std::max<std::size_t>(error.source().begin.line, 1);
      const std::size_t index = std::min(at, lines.size()) - 1;
      findings.mistake_at(
          static_cast<int>(index + 1),
          "not valid TOML: " + without_values(error.description()) + "; correct this line");
      if (lines[index].empty() || is_header(lines[index])) return Node{};
      lines[index].clear();
    }
  }
  return Node{};
}

std::string describe(const Node& node) {
  switch (node.kind) {
    case Node::Kind::kInteger:
      return std::to_string(node.integer);
    case Node::Kind::kReal: {
      std::ostringstream out;
      out << node.real;
      return out.str();
    }
    case Node::Kind::kBoolean:
      return node.boolean ? "true" : "false";
    case Node::Kind::kList:
      return "a list";
    case Node::Kind::kTable:
      return "a section";
    case Node::Kind::kDate:
      return "a date";
    case Node::Kind::kText:
      break;
  }
  constexpr std::array<char, 17> kHex{"0123456789abcdef"};
  std::string out = "\"";
  for (const char c : node.text.substr(0, kDescribedBytesMax)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      out += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
    } else {
      out += c;
    }
  }
  return out + (node.text.size() > kDescribedBytesMax ? "…\"" : "\"");
}

}  // namespace turnpike::config
