// Walks the document beside the tables of sections.cc.
#include "control/config/load.h"

#include <algorithm>
#include <array>

#include <limits.h>
#include <unistd.h>

#include "control/config/checks.h"
#include "control/config/document.h"
#include "control/config/read_file.h"
#include "control/config/schema.h"

namespace turnpike::config {
namespace {

constexpr std::size_t kFileBytesMax = 1 << 20;
constexpr std::size_t kNamesMax = 64;

std::string join(const std::string& path, const std::string& name) {
  return path.empty() ? name : path + "." + name;
}

std::string quoted(std::string_view name) {
  return describe(Node::of_text(std::string(name)));
}

/// Takes the first name off a path: "a.b.c" gives "a" and leaves "b.c".
std::string_view take_name(std::string_view& path) {
  const std::string_view name = path.substr(0, path.find('.'));
  path.remove_prefix(std::min(path.size(), name.size() + 1));
  return name;
}

/// Whether `pattern` ("zone.*.peer.*") begins with names that match all of `path`. `rest` is then
/// what follows, `named` what of the path stands from the first "*" on.
bool matches(std::string_view pattern, std::string_view path, std::string_view& rest,
             std::string_view& named) {
  named = {};
  while (!path.empty()) {
    const std::string_view left = path;
    const std::string_view wanted = take_name(pattern);
    const std::string_view name = take_name(path);
    if (wanted != name && wanted != "*") return false;
    if (wanted == "*" && named.empty()) named = left;
  }
  rest = pattern;
  return true;
}

/// Names of the sections directly below `path`; `any` tells that every name will do.
std::vector<std::string_view> subsections(const std::string& path, bool& any) {
  std::vector<std::string_view> names;
  any = false;
  for (const Section& section : sections()) {
    std::string_view rest;
    std::string_view named;
    if (!matches(section.path, path, rest, named) || rest.empty()) continue;
    const std::string_view next = take_name(rest);
    if (next == "*") any = true;
    if (next != "*" && std::find(names.begin(), names.end(), next) == names.end()) {
      names.push_back(next);
    }
  }
  return names;
}

/// Walks the document beside the tables.
class Validator {
 public:
  Validator(Settings& settings, Findings& findings, ValueContext context)
      : settings_(settings), findings_(findings), context_(std::move(context)) {}

  void run(const Node& root) {
    // Sections that the file leaves out still have defaults.
    for (const Section& section : sections()) {
      if (!section.named()) absent_.push_back(&section);
    }
    visit(root, "");
    for (const Section* section : absent_) fill(*section, Node{}, section->path, "");
  }

 private:
  void visit(const Node& table, const std::string& path) {
    std::string section_name;
    const Section* section = path.empty() ? nullptr : find_section(path, section_name);
    if (section != nullptr) {
      absent_.erase(std::remove(absent_.begin(), absent_.end(), section), absent_.end());
      fill(*section, table, path, section_name);
    }
    bool any_name = false;
    const auto names = subsections(path, any_name);
    std::size_t named = 0;
    for (const auto& [name, node] : table.members) {
      if (is_key(section, name)) continue;
      const bool known = std::find(names.begin(), names.end(), name) != names.end();
      const std::string inner = join(path, name);
      if (!known && !any_name) {
        unknown(section, names, path, name, node);
      } else if (node.kind != Node::Kind::kTable) {
        findings_.place(inner, node.line);
        findings_.mistake(
            {inner}, inner + " is " + describe(node) + "; write it as a section [" + inner + "]");
      } else if (!known && !valid_name(name)) {
        findings_.mistake_at(node.line, "the section name " + quoted(name) +
                                            " is not usable; take 1 to 32 of a-z, 0-9, - and _");
      } else if (!known && ++named > kNamesMax) {
        findings_.mistake_at(node.line, "more than " + std::to_string(kNamesMax) + " sections [" +
                                            path + ".*]; remove some");
      } else {
        findings_.place(inner, node.line);
        visit(node, inner);
      }
    }
  }

  static bool is_key(const Section* section, const std::string& name) {
    return section != nullptr && std::any_of(section->keys.begin(), section->keys.end(),
                                             [&name](const Key& key) { return key.name == name; });
  }

  static bool valid_name(const std::string& name) {
    return !name.empty() && name.size() <= 32 &&
           name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-_") == std::string::npos;
  }

  void fill(const Section& section, const Node& table, const std::string& path,
            const std::string& name) {
    void* target = section.place(settings_, name);
    for (const Key& key : section.keys) {
      const std::string key_path = join(path, key.name);
      const Node* given = table.member(key.name);
      const bool has_initial = key.initial.kind != Node::Kind::kTable;
      if (has_initial) key.take(target, key.initial, ValueContext{});
      if (given == nullptr) {
        if (key.required && findings_.given(path)) {
          findings_.mistake({key_path}, "[" + path + "] has no " + key.name + "; add " + key.name +
                                            " = " + key.example);
        }
        continue;
      }
      findings_.place(key_path, given->line);
      std::string complaint = key.take(target, *given, context_);
      if (complaint.empty()) continue;
      if (key.secret) complaint = "is not acceptable; give text in quotes";
      findings_.mistake({key_path}, key_path + " " + complaint);
    }
  }

  void unknown(const Section* section, std::vector<std::string_view> candidates,
               const std::string& path, const std::string& name, const Node& node) {
    const bool is_table = node.kind == Node::Kind::kTable;
    if (section != nullptr) {
      for (const Key& key : section->keys) candidates.push_back(key.name);
    }
    const std::string_view near = nearest(name, candidates);
    std::string message =
        is_table ? "unknown section [" + join(path, name) + "]"
                 : "unknown key " + quoted(name) +
                       (path.empty() ? " outside of any section" : " in [" + path + "]");
    if (!near.empty()) {
      const std::string meant(near);
      message +=
          "; did you mean " + (is_table ? "[" + join(path, meant) + "]" : quoted(meant)) + "?";
    } else {
      message += "; remove it (docs/configuration.md lists what there is)";
    }
    findings_.mistake_at(node.line, std::move(message));
  }

  Settings& settings_;
  Findings& findings_;
  ValueContext context_;
  std::vector<const Section*> absent_;
};

/// The media ports of an edge begin after those of its flows, where these are the first of them.
void keep_flow_ports(Settings& settings) {
  if (settings.node.role != "edge") return;
  std::uint16_t& first = settings.media.port_min;
  for (const ZoneSection& zone : settings.zones) {
    const bool overlaps = zone.flow_port_min <= first && zone.flow_port_max >= first;
    if (overlaps && zone.flow_port_max < settings.media.port_max) {
      first = static_cast<std::uint16_t>((zone.flow_port_max | 1U) + 1U);
    }
  }
}

void validate(Loaded& loaded) {
  Validator(loaded.settings, loaded.findings, ValueContext{loaded.folder}).run(loaded.document);
  keep_flow_ports(loaded.settings);
  check(loaded.settings, loaded.findings);
}

/// Other processes, in other folders, are told the paths that start there.
std::string absolute(const std::string& folder) {
  if (folder.starts_with('/')) return folder;
  std::array<char, PATH_MAX> here{};
  return ::getcwd(here.data(), here.size()) == nullptr ? folder : here.data() + ("/" + folder);
}

}  // namespace

const Section* find_section(const std::string& path, std::string& name) {
  const Section* found = nullptr;
  std::string_view rest;
  std::string_view named;
  for (const Section& section : sections()) {
    if (!matches(section.path, path, rest, named) || !rest.empty()) continue;
    if (found != nullptr && section.path != path) continue;  // a literal name comes first
    found = &section;
    name = named;
  }
  return found;
}

Loaded load_document(Node document, const std::string& name, const std::string& folder) {
  Loaded loaded{Settings{}, Findings(name), std::move(document), folder};
  validate(loaded);
  return loaded;
}

Loaded load_text(std::string_view text, const std::string& name, const std::string& folder) {
  Loaded loaded{Settings{}, Findings(name), {}, folder};
  loaded.document = parse_document(text, loaded.findings);
  // After a broken section header nothing is known about the rest.
  if (loaded.findings.has_mistakes() && loaded.document.members.empty()) return loaded;
  validate(loaded);
  return loaded;
}

Loaded load_file(const std::string& path) {
  Loaded failed{Settings{}, Findings(path), {}, {}};
  std::string text;
  if (UnreadableFile why; !read_regular_file(path, kFileBytesMax, text, why)) {
    failed.findings.mistake_at(1, "the file cannot be read (" + why.reason +
                                      "); give an existing, readable file with --config");
    return failed;
  }
  const auto slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash);
  return load_text(text, path, absolute(folder));
}

}  // namespace turnpike::config
