// From the configuration file to validated settings, or to the list of its mistakes.
#pragma once

#include <string>
#include <string_view>

#include "control/config/document.h"
#include "control/config/findings.h"
#include "control/config/settings.h"

namespace turnpike::config {

struct Loaded {
  Settings settings;  ///< complete only when findings has no mistakes
  Findings findings;
  Node document;       ///< the file as it was read
  std::string folder;  ///< where its relative paths start
};

/// Reads and checks the file. A file that cannot be read is a mistake on line 1. Looks at nothing
/// of the host but this file and, for "auto", the address towards the default route.
Loaded load_file(const std::string& path);
/// As load_file, for text that is called `name` in messages; relative paths start at `folder`.
Loaded load_text(std::string_view text, const std::string& name, const std::string& folder);

/// The same for a file that has been read already.
Loaded load_document(Node document, const std::string& name, const std::string& folder);

/// The reference of all sections and keys, Markdown.
std::string reference();

}  // namespace turnpike::config
