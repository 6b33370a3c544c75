// Manual pages (man(7)), made from the tables that make --help and the configuration's reference:
// there is no second list that could go stale.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

namespace turnpike::cli {

/// What a table does not know.
struct ManPage {
  int section = 1;
  std::string description;
  /// Title and text of what follows the options: "EXIT STATUS", "FILES", "SEE ALSO". A line that
  /// holds a tab is an item: what stands before it, and what it means.
  std::vector<std::pair<std::string, std::string>> more;
};

std::string man_page(const CLI::App& app, const ManPage& page);

/// For pages about something else than a command line.
/// The head, with NAME.
std::string man_head(const std::string& name, int section, const std::string& about);
std::string man_section(const std::string& title, const std::string& text);
std::string man_item(const std::string& term, const std::string& text);
/// Text of the documentation (Markdown's `code` and [links](to.md)) as roff.
std::string roff(const std::string& text);

}  // namespace turnpike::cli
