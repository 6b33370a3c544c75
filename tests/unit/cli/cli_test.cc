// Manual pages and completion of the real programs: sound for those who read them, and nothing that
// the programs know is missing.
#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "control/cli/completion.h"
#include "control/cli/man_page.h"
#include "control/config/reference.h"

namespace turnpike::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

const std::string kCtl = TURNPIKECTL;
const std::string kDaemon = TURNPIKED;

/// What a command of the shell prints, errors too.
std::string output_of(const std::string& command) {
  std::FILE* const pipe = popen(("(" + command + ") 2>&1").c_str(), "r");
  std::string text;
  std::array<char, 4096> part{};
  while (const std::size_t got = fread(part.data(), 1, part.size(), pipe)) {
    text.append(part.data(), got);
  }
  EXPECT_EQ(pclose(pipe), 0) << command << "\n" << text;
  return text;
}

std::set<std::string> words_of(const std::string& text) {
  std::istringstream stream(text);
  std::set<std::string> words;
  for (std::string word; stream >> word;) words.insert(word);
  return words;
}

/// The page as people read it.
std::string shown(const std::string& print) {
  return output_of(print + " | groff -man -Tascii -P-c -P-b -P-u -rLL=200n");
}

/// Names of commands by --help: the lines below "Subcommands:".
std::vector<std::string> commands_of(const std::string& program) {
  std::istringstream help(output_of(program + " --help"));
  std::vector<std::string> names;
  bool below = false;
  for (std::string line; std::getline(help, line);) {
    if (below && line.starts_with("  ") && line[2] != ' ') {
      names.push_back(line.substr(2, line.find(' ', 2) - 2));
    }
    below = below || line == "Subcommands:";
  }
  return names;
}

TEST(ManPages, are_sound_roff) {
  for (const std::string& print : {kCtl + " --print-man", kDaemon + " --print-man turnpiked",
                                   kDaemon + " --print-man turnpike.toml"}) {
    EXPECT_EQ(output_of(print + " | groff -man -Tutf8 -ww -b -z"), "") << print;
    EXPECT_THAT(shown(print), HasSubstr("NAME\n"));
  }
}

TEST(ManPages, tell_of_every_command_and_option) {
  const std::string page = shown(kCtl + " --print-man");
  const auto commands = commands_of(kCtl);
  ASSERT_GT(commands.size(), 12u);
  for (const std::string& command : commands) {
    EXPECT_THAT(page, HasSubstr("\n   turnpikectl " + command)) << command;
    for (const std::string& word : words_of(output_of(kCtl + " " + command + " --help"))) {
      const std::string name = word.substr(0, word.find_first_of(",:"));
      if (!name.starts_with("--") || name.size() == 2) continue;
      EXPECT_THAT(page, HasSubstr(name)) << command;
    }
  }
  const std::string daemon = shown(kDaemon + " --print-man turnpiked");
  for (const char* option : {"--check", "--print-firewall", "--cores", "--make-dev-certs"}) {
    EXPECT_THAT(daemon, HasSubstr(option));
  }
}

TEST(ManPages, tell_of_every_key_of_the_configuration) {
  const std::string page = shown(kDaemon + " --print-man turnpike.toml");
  std::size_t keys = 0;
  for (const config::SectionReference& section : config::reference_sections()) {
    EXPECT_THAT(page, HasSubstr("\n   [" + section.title + "]"));
    for (const config::KeyReference& key : section.keys) {
      EXPECT_THAT(page, HasSubstr("\n       " + key.name));
      ++keys;
    }
  }
  EXPECT_GT(keys, 80u);
  EXPECT_THAT(page, Not(HasSubstr("](")));
  EXPECT_THAT(page, Not(HasSubstr("`")));
}

TEST(ManPages, text_is_never_taken_for_a_request) {
  EXPECT_EQ(roff(".SH x"), "\\&.SH x");
  EXPECT_EQ(roff("a\n.b"), "a\n\\&.b");
  EXPECT_EQ(roff("*required*, a * b"), "required, a * b");
  EXPECT_EQ(roff("a `--b` [c](d.md) \\"), "a \\fB\\-\\-b\\fR c \\e");
}

/// What bash offers for these words.
std::set<std::string> bash_offers(const std::string& program, const std::string& line) {
  const std::string name = program.substr(program.rfind('/') + 1);
  const auto count = std::count(line.begin(), line.end(), ' ');
  return words_of(output_of("bash -uc 'eval \"$(" + program + " --print-completion bash)\"; " +
                            "IFS=\" \" read -ra COMP_WORDS <<< \"" + line + "\"; " +
                            "COMP_CWORD=" + std::to_string(count) +
                            "; COMP_WORDS[COMP_CWORD]=${COMP_WORDS[COMP_CWORD]:-}; _" + name +
                            "; echo ${COMPREPLY[@]:-}'"));
}

TEST(Completion, offers_what_help_lists) {
  const auto first = bash_offers(kCtl, "turnpikectl ");
  for (const std::string& command : commands_of(kCtl)) EXPECT_TRUE(first.contains(command));
  EXPECT_EQ(bash_offers(kCtl, "turnpikectl sess"), (std::set<std::string>{"session", "sessions"}));
  EXPECT_EQ(bash_offers(kCtl, "turnpikectl top --sort "),
            (std::set<std::string>{"packets", "loss", "jitter", "drops"}));
  EXPECT_EQ(bash_offers(kCtl, "turnpikectl sessions --sort "),
            (std::set<std::string>{"newest", "oldest", "call_id"}));
  EXPECT_EQ(bash_offers(kCtl, "turnpikectl --json log-level d"), (std::set<std::string>{"debug"}));
  EXPECT_EQ(bash_offers(kCtl, "turnpikectl turn e"), (std::set<std::string>{"end"}));
  EXPECT_TRUE(bash_offers(kCtl, "turnpikectl reload -").contains("--check"));
  EXPECT_TRUE(bash_offers(kCtl, "turnpikectl reload -").contains("--json"));
  EXPECT_TRUE(bash_offers(kCtl, "turnpikectl --socket /et").contains("/etc"));
  EXPECT_EQ(bash_offers(kDaemon, "turnpiked --print-man turnpike."),
            (std::set<std::string>{"turnpike.toml"}));
}

TEST(Completion, of_zsh_does_the_same) {
  const auto offers = [](const std::string& line, int current) {
    return words_of(output_of("zsh -fc 'compdef() { : }; compadd() { shift; print -r -- $@; }; " +
                              std::string("_files() { print files }; eval \"$(") + kCtl +
                              " --print-completion zsh)\"; words=(" + line +
                              "); CURRENT=" + std::to_string(current) + "; _turnpikectl'"));
  };
  const auto first = offers("turnpikectl \"\"", 2);
  for (const std::string& command : commands_of(kCtl)) EXPECT_TRUE(first.contains(command));
  EXPECT_EQ(offers("turnpikectl top --sort \"\"", 4),
            (std::set<std::string>{"packets", "loss", "jitter", "drops"}));
  EXPECT_EQ(offers("turnpikectl --socket \"\"", 3), (std::set<std::string>{"files"}));
}

TEST(Completion, other_shells_have_none) {
  const CLI::App app{"x", "x"};
  EXPECT_FALSE(completion(app, "fish"));
}

}  // namespace
}  // namespace turnpike::cli
