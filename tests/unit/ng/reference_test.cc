// The reference: docs/ng.md holds what the program prints, what it says of a name is so, and the
// tests that it names exist.
#include "control/ng/reference.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <string>

#include <gtest/gtest.h>

#include "control/ng/ignored_names.h"
#include "control/ng/request.h"

namespace turnpike::ng {
namespace {

std::string content_of(const std::filesystem::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(Reference, stands_in_the_documentation) {
  const std::string text = content_of(TURNPIKE_SOURCE_DIR "/docs/ng.md");
  const std::string marker = "<!-- generated: turnpiked --print-ng-reference -->\n";
  const std::size_t begin = text.find(marker);
  ASSERT_NE(begin, std::string::npos);
  EXPECT_EQ(text.substr(begin + marker.size()), reference())
      << "replace what follows the marker by the output of turnpiked --print-ng-reference";
}

/// "Suite.name" of every gtest in tests/unit.
std::set<std::string> unit_tests() {
  static const std::regex pattern(R"((?:^|\n)TEST(?:_F|_P)?\((\w+),\s*(\w+)\))");
  std::set<std::string> names;
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(TURNPIKE_SOURCE_DIR "/tests/unit")) {
    if (entry.path().extension() != ".cc") continue;
    const std::string text = content_of(entry.path());
    for (auto it = std::sregex_iterator(text.begin(), text.end(), pattern);
         it != std::sregex_iterator(); ++it) {
      names.insert(it->str(1) + "." + it->str(2));
    }
  }
  return names;
}

TEST(Reference, what_acts_names_a_test_that_exists_and_nothing_else_does) {
  const std::set<std::string> tests = unit_tests();
  ASSERT_GT(tests.size(), 500u);
  for (const auto* rows : {&commands(), &keys(), &flags()}) {
    for (const NameInfo& row : *rows) {
      const bool acts = row.standing == Standing::kActs;
      EXPECT_EQ(tests.count(std::string(row.test)), acts ? 1u : 0u) << row.name << ": " << row.test;
      EXPECT_EQ(row.test.empty(), !acts) << row.name;
      EXPECT_FALSE(row.effect.empty()) << row.name;
    }
  }
}

TEST(Reference, commands_are_carried_out_or_refused_as_it_says) {
  for (const NameInfo& row : commands()) {
    const Command command = command_of(row.name);
    EXPECT_NE(command, Command::kUnrecognized) << row.name;
    EXPECT_EQ(command == Command::kUnsupported, row.standing == Standing::kRefused) << row.name;
    EXPECT_EQ(command == Command::kUnsupported ? row.name : to_string(command), row.name);
    EXPECT_EQ(why_unsupported(row.name), row.effect);
  }
}

TEST(Reference, keys_and_flags_are_known_under_the_names_that_it_has) {
  for (const NameInfo& row : keys()) {
    IgnoredNames ignored;
    to_call_request({{std::string(row.name), "x"}}, ignored);
    for (const auto& entry : ignored.entries())
      EXPECT_NE(entry.kind, IgnoredKind::kKey) << row.name;
  }
  for (const NameInfo& row : flags()) {
    if (row.name.find("…") != std::string_view::npos) continue;  // a family
    IgnoredNames ignored;
    to_call_request({{"flags", Value::List{row.name, row.name}}}, ignored);
    EXPECT_TRUE(ignored.entries().empty()) << row.name;
  }
  for (const std::string_view name : known_without_effect()) {
    IgnoredNames ignored;
    to_call_request({{std::string(name), "x"}, {"flags", Value::List{name}}}, ignored);
    EXPECT_EQ(ignored.entries().size(), 2u) << name;
  }
}

}  // namespace
}  // namespace turnpike::ng
