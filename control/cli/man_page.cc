#include "control/cli/man_page.h"

#include <cctype>
#include <regex>
#include <sstream>

#include "control/cli/command_table.h"

namespace turnpike::cli {
namespace {

std::string upper(std::string text) {
  for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return text;
}

std::string bold(const std::string& text) {
  return "\\fB" + roff(text) + "\\fR";
}

std::string term_of(const OptionEntry& option) {
  std::string term;
  for (const std::string& name : option.names) term += (term.empty() ? "" : ", ") + bold(name);
  if (option.value.empty()) return term;
  const std::string value = "\\fI" + roff(option.value) + "\\fR";
  return term.empty() ? value : term + " " + value;
}

std::string about(const OptionEntry& option) {
  std::string text = roff(option.about);
  if (!option.choices.empty()) {
    std::string words;
    for (const std::string& word : option.choices)
      words += (words.empty() ? "" : ", ") + bold(word);
    text += " (" + words + ")";
  }
  if (!option.initial.empty()) text += "; default " + bold(option.initial);
  return text;
}

std::string options_of(const CommandEntry& command) {
  std::string text;
  for (const OptionEntry& option : command.options) {
    if (option.names == std::vector<std::string>{"-h", "--help"} && !command.path.empty()) continue;
    text += ".TP\n" + term_of(option) + "\n" + about(option) + "\n";
  }
  return text;
}

std::string synopsis(const std::string& name, const CommandEntry& command) {
  std::string text = bold(name + (command.path.empty() ? "" : " " + command.path));
  if (command.options.size() > 1) text += " [\\fIOPTION\\fR]...";
  for (const OptionEntry& option : command.options) {
    if (!option.names.empty()) continue;
    text += option.required ? " " + term_of(option) : " [" + term_of(option) + "]";
  }
  if (!command.subcommands.empty()) text += " \\fICOMMAND\\fR";
  return text;
}

}  // namespace

std::string roff(const std::string& text) {
  static const std::regex link(R"(\[([^\]]*)\]\([^)]*\))");
  static const std::regex stressed(R"(\*([a-z]+)\*)");
  const std::string plain =
      std::regex_replace(std::regex_replace(text, link, "$1"), stressed, "$1");
  std::string out;
  bool code = false;
  for (const char c : plain) {
    if (c == '`') {
      out += code ? "\\fR" : "\\fB";
      code = !code;
    } else if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else if (c == '\'') {
      out += "\\(aq";
    } else {
      // A dot at the beginning of a line would be a request.
      if (c == '.' && (out.empty() || out.back() == '\n')) out += "\\&";
      out += c;
    }
  }
  return code ? out + "\\fR" : out;
}

std::string man_head(const std::string& name, int section, const std::string& about) {
  return ".TH \"" + upper(name) + "\" " + std::to_string(section) + " \"\" \"Turnpike " +
         TURNPIKE_VERSION + "\"\n.SH NAME\n" + roff(name) + " \\- " + roff(about) + "\n";
}

std::string man_section(const std::string& title, const std::string& text) {
  std::string out = ".SH " + title + "\n";
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t tab = line.find('\t');
    out += tab == std::string::npos ? roff(line) + "\n"
                                    : man_item(line.substr(0, tab), line.substr(tab + 1));
  }
  return out;
}

std::string man_item(const std::string& term, const std::string& text) {
  return ".TP\n" + bold(term) + "\n" + roff(text) + "\n";
}

std::string man_page(const CLI::App& app, const ManPage& page) {
  const std::string name = app.get_name();
  const auto table = table_of(app);
  std::string text = man_head(name, page.section, app.get_description());
  text += ".SH SYNOPSIS\n" + synopsis(name, table.front()) + "\n";
  text += man_section("DESCRIPTION", page.description);
  text += ".SH OPTIONS\n" + options_of(table.front());
  if (table.size() > 1) text += ".SH COMMANDS\n";
  for (std::size_t i = 1; i < table.size(); ++i) {
    text += ".SS " + synopsis(name, table[i]) + "\n" + roff(table[i].about) + "\n";
    text += options_of(table[i]);
  }
  for (const auto& [title, words] : page.more) text += man_section(title, words);
  return text;
}

}  // namespace turnpike::cli
