// A changed configuration file beside the one in force: what a reload puts into force, and what
// waits for a restart. Is not: carrying it out (control/reload.h).
#pragma once

#include <string>
#include <vector>

#include "control/config/document.h"
#include "control/config/load.h"
#include "control/config/schema.h"
#include "control/config/settings.h"

namespace turnpike::config {

/// A key whose value differs, or a whole section, which is "there" or "absent".
struct Change {
  std::string key;  ///< "media.calls_max", "[interface.dmz]"
  Effect effect = Effect::kRestart;
  std::string from;  ///< as TOML, shortened; "(secret)" stands for what must not be shown
  std::string to;
};

struct Merged {
  Node document;
  std::vector<Change> changes;  ///< in the order of the reference
};

/// The file that holds after a reload: keys that are kRestart, and sections with such keys, as in
/// `running`, all others as in `wanted`.
Merged merge(const Node& running, const Node& wanted);

struct ReloadPlan {
  /// What would be in force; its findings are of no use.
  Loaded next{Settings{}, Findings(""), {}, {}};
  std::vector<Change> changes;
  /// Why nothing may be put into force, a line for each: "FILE:LINE: what; what to do".
  std::vector<std::string> mistakes;
  std::vector<std::string> warnings;
};

/// Reads `path` and holds it beside what runs. The file is judged as at a start; then what would be
/// in force, with old values of keys that need a restart, is judged in the same way.
ReloadPlan plan_reload(const Loaded& running, const std::string& path);

/// Gives what is next the addresses that the interfaces run with: "auto" is what it was at start.
void keep_addresses(const Loaded& running, Loaded& next);

}  // namespace turnpike::config
