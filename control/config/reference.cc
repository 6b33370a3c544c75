// The Markdown reference of docs/configuration.md, made from the tables.
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

}  // namespace

std::string reference() {
  std::ostringstream out;
  for (const Section& section : sections()) {
    std::string title = section.path;
    if (section.named()) title.replace(title.size() - 1, 1, "NAME");
    out << "### [" << title << "]\n\n" << section.meaning << "\n";
    out << "\n| key | value | default | meaning |\n|---|---|---|---|\n";
    for (const Key& key : section.keys) {
      out << "| `" << key.name << "` | " << key.type << " | " << initial_of(key) << " | "
          << key.meaning << " |\n";
    }
    out << "\n";
  }
  return out.str();
}

}  // namespace turnpike::config
