// Both shells run the same function but for a few names: it walks over the words that stand there
// to the command that they name, and offers what the table has for it.
#include "control/cli/completion.h"

#include <algorithm>

#include "control/cli/command_table.h"

namespace turnpike::cli {
namespace {

/// How a shell calls what both have.
struct Shell {
  const char* words;    ///< of the line
  const char* current;  ///< index of the one that is typed
  const char* first;    ///< index of the first one behind the program's name
  const char* offer;    ///< offers the words in $offered
  const char* files;    ///< offers files
};
constexpr Shell kBash{"COMP_WORDS", "COMP_CWORD", "1",
                      "COMPREPLY=($(compgen -W \"$offered\" -- \"$current\"))",
                      "COMPREPLY=($(compgen -f -- \"$current\"))"};
constexpr Shell kZsh{"words", "CURRENT", "2", "compadd -- ${=offered}", "_files"};

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

/// Options of a command; what every command takes is the program's.
std::vector<std::string> names_of(const CommandEntry& command) {
  std::vector<std::string> names;
  for (const OptionEntry& option : command.options) {
    names.insert(names.end(), option.names.begin(), option.names.end());
  }
  return names;
}

/// Words that may stand after the command, and after one of its options.
std::string cases_of(const std::vector<CommandEntry>& table) {
  std::string words;
  std::string values;
  for (const CommandEntry& command : table) {
    std::vector<std::string> all = command.subcommands;
    const auto names = names_of(command);
    all.insert(all.end(), names.begin(), names.end());
    if (!command.path.empty()) {
      const auto of_all = names_of(table.front());
      for (const std::string& name : of_all) {
        const bool alone = name == "--version" || name.starts_with("--print");
        const bool has = std::find(all.begin(), all.end(), name) != all.end();
        if (name.starts_with("--") && !alone && !has) {
          all.push_back(name);
        }
      }
    }
    for (const OptionEntry& option : command.options) {
      if (option.names.empty()) all.insert(all.end(), option.choices.begin(), option.choices.end());
      for (const std::string& name : option.names) {
        if (option.value.empty()) continue;
        const std::string pattern =
            command.path.empty() ? "*'|" + name + "'" : "'" + command.path + "|" + name + "'";
        values += "    " + pattern + ") choices='" + joined(option.choices) + "'; takes=1;;\n";
      }
    }
    words += "    '" + command.path + "') offered='" + joined(all) + "';;\n";
  }
  return "  case \"$command|$previous\" in\n" + values + "  esac\n" + "  case \"$command\" in\n" +
         words + "  esac\n";
}

std::string known_paths(const std::vector<CommandEntry>& table) {
  std::string pattern;
  for (const CommandEntry& command : table) {
    if (!command.path.empty()) pattern += (pattern.empty() ? "'" : "|'") + command.path + "'";
  }
  return pattern;
}

/// The walk to the command, and what may stand there.
std::string body(const std::vector<CommandEntry>& table, const Shell& shell) {
  std::string text =
      "  local command='' offered='' choices='' takes='' word='' i=" + std::string(shell.first) +
      "\n";
  text += "  local previous=\"${" + std::string(shell.words) + "[" + shell.current + "-1]}\"\n";
  const std::string paths = known_paths(table);
  if (!paths.empty()) {
    text += "  while [ \"$i\" -lt \"$" + std::string(shell.current) + "\" ]; do\n";
    text += "    word=\"$command${command:+ }${" + std::string(shell.words) + "[$i]}\"\n";
    text += "    case \"$word\" in " + paths + ") command=\"$word\";; esac\n";
    text += "    i=$((i + 1))\n  done\n";
  }
  text += cases_of(table);
  const std::string offer(shell.offer);
  text += "  if [ -z \"$takes\" ]; then " + offer + "\n";
  text += "  elif [ -n \"$choices\" ]; then offered=$choices; " + offer + "\n";
  return text + "  else " + std::string(shell.files) + "; fi\n";
}

}  // namespace

std::optional<std::string> completion(const CLI::App& app, std::string_view shell) {
  const std::string name = app.get_name();
  const auto table = table_of(app);
  const std::string made = "# Made by " + name + " --print-completion " + std::string(shell) + "\n";
  const std::string function = "_" + name;
  if (shell == "bash") {
    return made + function + "() {\n  local current=\"${COMP_WORDS[$COMP_CWORD]}\"\n" +
           body(table, kBash) + "}\ncomplete -F " + function + " " + name + "\n";
  }
  if (shell != "zsh") return std::nullopt;
  // The shell runs the file as the function when it loads it by itself, else somebody sourced it.
  return "#compdef " + name + "\n" + made + function + "() {\n" + body(table, kZsh) +
         "}\nif [ \"${funcstack[1]}\" = " + function + " ]; then " + function +
         " \"$@\"; else compdef " + function + " " + name + "; fi\n";
}

}  // namespace turnpike::cli
