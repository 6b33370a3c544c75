#include "control/cli/command_table.h"

#include <cctype>
#include <sstream>

namespace turnpike::cli {
namespace {

/// "TEXT:{newest,oldest}" names the words; anything else says what kind of value it is.
std::vector<std::string> choices_of(const std::string& type) {
  std::vector<std::string> choices;
  const std::size_t begin = type.find('{');
  const std::size_t end = type.find('}');
  if (begin == std::string::npos || end == std::string::npos) return choices;
  std::istringstream words(type.substr(begin + 1, end - begin - 1));
  for (std::string word; std::getline(words, word, ',');) choices.push_back(word);
  return choices;
}

OptionEntry entry_of(const CLI::Option& option) {
  OptionEntry entry;
  for (const std::string& name : option.get_snames()) entry.names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) entry.names.push_back("--" + name);
  const std::string type = option.get_type_name();
  entry.choices = choices_of(type);
  const bool is_flag = option.get_items_expected_max() == 0;
  if (entry.names.empty()) {
    entry.value = option.get_name();
  } else if (!is_flag) {
    // "UINT:POSITIVE" is a NUMBER to people.
    const bool number = type.starts_with("UINT") || type.starts_with("FLOAT");
    entry.value = !entry.choices.empty() ? "WORD" : number ? "NUMBER" : "TEXT";
  }
  entry.about = option.get_description();
  entry.initial = is_flag ? "" : option.get_default_str();
  entry.required = option.get_required();
  return entry;
}

void add(const CLI::App& app, const std::string& path, std::vector<CommandEntry>& table) {
  CommandEntry entry{path, app.get_description(), {}, {}};
  const auto options = app.get_options([](const CLI::Option*) { return true; });
  for (const CLI::Option* option : options) entry.options.push_back(entry_of(*option));
  const auto commands = app.get_subcommands([](const CLI::App*) { return true; });
  for (const CLI::App* command : commands) entry.subcommands.push_back(command->get_name());
  table.push_back(std::move(entry));
  for (const CLI::App* command : commands) {
    add(*command, path + (path.empty() ? "" : " ") + command->get_name(), table);
  }
}

}  // namespace

std::vector<CommandEntry> table_of(const CLI::App& app) {
  std::vector<CommandEntry> table;
  add(app, "", table);
  return table;
}

}  // namespace turnpike::cli
