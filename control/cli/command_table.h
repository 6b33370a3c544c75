// A command line as a table, read out of the parser: for completion.cc and man_page.cc.
#pragma once

#include <string>
#include <vector>

#include <CLI/CLI.hpp>

namespace turnpike::cli {

struct OptionEntry {
  std::vector<std::string> names;    ///< "--sort", "-h"; none: positional
  std::string value;                 ///< how its value is called; "" for a flag
  std::vector<std::string> choices;  ///< the only words it takes; none: any
  std::string about;
  std::string initial;  ///< "" without one
  bool required = false;
};

struct CommandEntry {
  std::string path;  ///< "turn end"; "" for the program itself
  std::string about;
  std::vector<OptionEntry> options;
  std::vector<std::string> subcommands;  ///< their last words
};

/// The program, then each command before its subcommands, as --help lists them.
std::vector<CommandEntry> table_of(const CLI::App& app);

}  // namespace turnpike::cli
