// The Markdown reference of docs/configuration.md, made from the tables.
#include "control/config/reference.h"

#include <algorithm>
#include <cctype>
#include <sstream>

#include "control/config/load.h"
#include "control/config/schema.h"

namespace turnpike::config {
namespace {

std::string initial_of(const Key& key) {
  if (key.required) return "*required*";
  if (!key.initial_rule.empty()) return key.initial_rule;
  if (key.initial.kind == Node::Kind::kTable) return "*none*";
  if (key.initial.kind == Node::Kind::kList) return "`[]`";
  return "`" + describe(key.initial) + "`";
}

/// "interface.*" is interface.NAME; "zone.*.peer.*" is zone.ZONE.peer.PEER.
std::string title_of(std::string path) {
  const bool several = std::count(path.begin(), path.end(), '*') > 1;
  for (auto star = path.find('*'); star != std::string::npos; star = path.find('*')) {
    const auto dot = path.rfind('.', star - 2);
    const std::size_t begin = dot == std::string::npos ? 0 : dot + 1;
    std::string word = several ? path.substr(begin, star - 1 - begin) : "name";
    for (char& c : word) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    path.replace(star, 1, word);
  }
  return path;
}

}  // namespace

std::vector<SectionReference> reference_sections() {
  std::vector<SectionReference> all;
  for (const Section& section : sections()) {
    SectionReference& one = all.emplace_back();
    one.title = title_of(section.path);
    one.meaning = section.meaning;
    for (const Key& key : section.keys) {
      one.keys.push_back(
          {key.name, key.type, initial_of(key), std::string(name_of(key.effect)), key.meaning});
    }
  }
  return all;
}

std::string reference() {
  std::ostringstream out;
  for (const SectionReference& section : reference_sections()) {
    out << "### [" << section.title << "]\n\n" << section.meaning << "\n";
    out << "\n| key | value | default | change | meaning |\n|---|---|---|---|---|\n";
    for (const KeyReference& key : section.keys) {
      out << "| `" << key.name << "` | " << key.type << " | " << key.initial << " | " << key.effect
          << " | " << key.meaning << " |\n";
    }
    out << "\n";
  }
  return out.str();
}

}  // namespace turnpike::config
