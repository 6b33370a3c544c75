// Every section and key of the configuration in words, for the reference and the manual page.
#pragma once

#include <string>
#include <vector>

namespace turnpike::config {

struct KeyReference {
  std::string name;
  std::string type;
  std::string initial;  ///< Markdown: `value`, *none*
  std::string effect;   ///< "hot", "restart", "sidecar"
  std::string meaning;  ///< Markdown
};

struct SectionReference {
  std::string title;    ///< "interface.NAME"
  std::string meaning;  ///< Markdown
  std::vector<KeyReference> keys;
};

/// In the order of the sections' table.
std::vector<SectionReference> reference_sections();

}  // namespace turnpike::config
