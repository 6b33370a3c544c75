// The structure of the tree as tests: layers, owners of libraries, banned names, sizes, file heads,
// links in documents. The limits and the exceptions from them stand here; how the tree is read
// stands in tidy/source_tree.h.

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <regex>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/tidy/source_tree.h"

namespace {

using namespace tidy;  // the test is about nothing else
namespace fs = std::filesystem;

// The ratchets. An entry names a place that is over a limit and what it has now; it may only
// shrink, and goes when the place is within the limit.
constexpr std::size_t kFileLinesMax = 600;
constexpr std::size_t kFunctionLinesMax = 70;
constexpr std::size_t kLineColumnsMax = 100;
const std::map<std::string, std::size_t> kLongFiles = {};
const std::map<std::string, std::size_t> kLongFunctions = {};

// reinterpret_cast, by folder or file: the socket API and libraries with C callbacks need it.
const std::map<std::string, std::size_t> kReinterpretCastBudget = {
    {"include", 0},     {"relay/core", 0}, {"relay/wire", 0},
    {"relay/media", 2}, {"relay", 8},      {"control", 8},
};

struct Include {
  std::string target;
  bool quoted = false;
  std::size_t offset = 0;
};

std::vector<Include> includes_of(const SourceFile& file) {
  static const std::regex pattern(R"re((?:^|\n)#include ([<"])([^>"]+)[>"])re");
  std::vector<Include> found;
  for (auto it = std::sregex_iterator(file.text.begin(), file.text.end(), pattern);
       it != std::sregex_iterator(); ++it) {
    found.push_back({(*it)[2], (*it)[1] == "\"", static_cast<std::size_t>(it->position(2))});
  }
  return found;
}

// Which folders the files of a folder may include from (besides include/turnpike and itself).
// The longest folder that matches rules.
const std::map<std::string, std::vector<std::string>> kArrows = {
    {"include/turnpike", {}},
    {"relay/core", {}},
    {"relay/wire", {"relay/core"}},
    {"relay/crypto", {"relay/core"}},
    {"relay/io", {"relay/core"}},
    {"relay/media", {"relay/core", "relay/wire", "relay/crypto"}},
    {"relay/dtls", {"relay/core", "relay/wire", "relay/crypto"}},
    {"relay/ice", {"relay/core", "relay/wire", "relay/crypto"}},
    {"relay/mux", {"relay/core", "relay/wire", "relay/crypto"}},
    {"relay/turn", {"relay/core", "relay/wire", "relay/crypto"}},
    {"relay", {"relay"}},
    {"control", {"control"}},
};

TEST(Tidy, layers_include_only_downwards) {
  for (const SourceFile& file : tree()) {
    const std::string folder = folder_of(file.path);
    const std::vector<std::string>* allowed = nullptr;
    std::string ruling;
    for (const auto& [place, targets] : kArrows) {
      if (is_cpp(file.path) && under(folder, place) && place.size() >= ruling.size()) {
        ruling = place;
        allowed = &targets;
      }
    }
    if (allowed == nullptr) {
      continue;
    }
    for (const Include& include : includes_of(file)) {
      if (!include.quoted) {
        continue;
      }
      const std::string from = folder_of(include.target);
      EXPECT_TRUE(from == "turnpike" || from == folder || under(from, ruling) ||
                  under_any(from, *allowed))
          << at(file, include.offset) << " includes " << include.target;
    }
  }
}

TEST(Tidy, contract_headers_need_only_the_standard_library) {
  static const std::regex standard("[a-z_]+");
  for (const SourceFile& file : tree()) {
    if (!under(file.path, "include/turnpike")) {
      continue;
    }
    for (const Include& include : includes_of(file)) {
      EXPECT_TRUE(include.quoted || std::regex_match(include.target, standard))
          << at(file, include.offset) << " includes <" << include.target << ">";
    }
  }
}

struct Owner {
  std::string header;  // prefix of what stands in <>
  std::vector<std::string> places;
};

TEST(Tidy, libraries_stay_with_their_owners) {
  const std::vector<Owner> owners = {
      {"uv.h", {"relay/io", "relay/shard.", "control/loop", "control/loop."}},
      {"openssl/", {"relay/crypto", "control/pki", "control/tls"}},
      {"nghttp2/", {"control/zone"}},
      {"srtp2/", {"relay/crypto"}},
      {"intel-ipsec-mb.h", {"relay/crypto"}},
      {"prometheus/", {"control/metrics", "control/metrics.", "control/metrics_families."}},
      {"libwebsockets", {"control/api"}},
      {"toml++/", {"control/config"}},
      {"pthread.h", {"relay/io"}},
  };
  for (const SourceFile& file : tree()) {
    if (!is_cpp(file.path) || !under_any(file.path, {"include", "relay", "control"})) {
      continue;
    }
    for (const Include& include : includes_of(file)) {
      for (const Owner& owner : owners) {
        EXPECT_FALSE(!include.quoted && include.target.starts_with(owner.header) &&
                     !under_any(file.path, owner.places))
            << at(file, include.offset) << " includes <" << include.target << ">";
      }
    }
  }
}

struct BannedName {
  std::string pattern;              // of code without comments and strings
  std::vector<std::string> within;  // where it is banned
  std::vector<std::string> except;
  std::string why;
};

const std::vector<BannedName>& banned_names() {
  static const std::string c_call = R"((?:^|[^\w.>:])(?:std::)?)";
  static const std::vector<BannedName> names = {
      {c_call + R"((?:strcpy|strcat|sprintf|vsprintf|gets|strtok|alloca|atoi|atol|tmpnam)\s*\()",
       {"include", "relay", "control", "tests"},
       {},
       "has no bounds, no errors or hidden state"},
      {c_call + R"((?:rand|srand|random|drand48|rand_r)\s*\()",
       {"include", "relay", "control"},
       {},
       "predictable (security ID T16): use getrandom(2)"},
      {R"(\b(?:mt19937|mt19937_64|random_device|minstd_rand0?|default_random_engine)\b)",
       {"include", "relay", "control"},
       {},
       "predictable (security ID T16): use getrandom(2)"},
      {c_call + R"((?:system|popen)\s*\()",
       {"include", "relay", "control"},
       {},
       "a shell where no shell belongs"},
      {R"(\bstd::(?:j?thread|async)\b(?!::id))",
       {"include", "relay", "control"},
       {"relay/shard.", "relay/relay.", "relay/handshake_thread.", "relay/turn_tls_thread.",
        "relay/front_door.", "relay/turn_dtls_thread.", "relay/turn_tcp_thread.", "control/loop",
        "control/main.cc", "control/log/log.cc", "control/log/record_file.cc"},
       "threads belong to the shards"},
      {R"(\bstd::(?:mutex|shared_mutex|lock_guard|unique_lock|scoped_lock|condition_variable)\b)",
       {"include", "relay"},
       {},
       "no locks on or beside the packet path"},
      {R"(\b(?:steady_clock|system_clock|high_resolution_clock|clock_gettime|gettimeofday)\b)",
       {"include", "relay/core", "relay/wire", "relay/crypto", "relay/dtls", "relay/ice",
        "relay/media"},
       {"relay/crypto/dtls_clock."},
       "engines are given the time"},
      {R"(\b(?:throw|try|catch)\b)", {"include", "relay"}, {}, "relay/ has no exceptions"},
      {R"(\bstd::(?:cout|cerr|clog)\b|(?:^|[^\w])f?printf\s*\()",
       {"include", "relay"},
       {"relay/core/check.h", "relay/core/check.cc"},
       "the relay does not print"},
      {R"(\b(?:sleep_for|sleep_until|usleep|nanosleep)\b)",
       {"include", "relay", "control", "tests"},
       {},
       "wait for what you wait for"},
      {R"(\bconst_cast\b|\bgoto\b|\busing namespace std\b)",
       {"include", "relay", "control"},
       {},
       "style"},
      {R"(\b\w*(?:Manager|Helper|Utils?)\b)",
       {"include", "relay", "control", "tests", "bench"},
       {},
       "name what it does"},
  };
  return names;
}

TEST(Tidy, banned_names_do_not_appear) {
  for (const BannedName& banned : banned_names()) {
    const std::regex pattern(banned.pattern, std::regex::optimize);
    for (const SourceFile& file : tree()) {
      if (!is_cpp(file.path) || !under_any(file.path, banned.within) ||
          under_any(file.path, banned.except)) {
        continue;
      }
      for (std::size_t i = 0; const std::string& line : split_lines(file.code)) {
        ++i;
        EXPECT_FALSE(std::regex_search(line, pattern))
            << file.path << ":" << i << ": " << file.lines[i - 1] << "\n  " << banned.why;
      }
    }
  }
}

TEST(Tidy, accessors_are_not_called_get) {
  static const std::regex pattern(R"((?:^|[^\w:.>])get_\w+\s*\()");
  for (const SourceFile& file : tree()) {
    if (!file.path.ends_with(".h") || !under_any(file.path, {"include", "relay", "control"})) {
      continue;
    }
    for (std::size_t i = 0; const std::string& line : split_lines(file.code)) {
      ++i;
      EXPECT_FALSE(std::regex_search(line, pattern)) << file.path << ":" << i << ": " << line;
    }
  }
}

TEST(Tidy, reinterpret_casts_stay_within_their_budget) {
  static const std::regex pattern(R"(\breinterpret_cast\b)");
  std::map<std::string, std::vector<std::string>> found;
  for (const SourceFile& file : tree()) {
    std::string owner;
    for (const auto& [place, budget] : kReinterpretCastBudget) {
      if (is_cpp(file.path) && under(file.path, place) && place.size() > owner.size()) {
        owner = place;
      }
    }
    if (owner.empty()) {
      continue;
    }
    for (auto it = std::sregex_iterator(file.code.begin(), file.code.end(), pattern);
         it != std::sregex_iterator(); ++it) {
      found[owner].push_back(at(file, static_cast<std::size_t>(it->position())));
    }
  }
  for (const auto& [place, budget] : kReinterpretCastBudget) {
    EXPECT_LE(found[place].size(), budget)
        << place << ": " << ::testing::PrintToString(found[place]);
  }
}

TEST(Tidy, files_stay_short) {
  for (const SourceFile& file : tree()) {
    if (!has_extension(file.path, {".h", ".cc", ".py", ".sh"})) {
      continue;
    }
    const auto named = kLongFiles.find(file.path);
    EXPECT_LE(file.lines.size(), named == kLongFiles.end() ? kFileLinesMax : named->second)
        << file.path;
    if (named != kLongFiles.end()) {
      EXPECT_EQ(file.lines.size(), named->second) << file.path << " shrank: lower its entry";
      EXPECT_GT(file.lines.size(), kFileLinesMax) << file.path << " is short now: drop its entry";
    }
  }
}

TEST(Tidy, lines_stay_short) {
  for (const SourceFile& file : tree()) {
    if (!has_extension(file.path, {".h", ".cc", ".py", ".sh"})) {
      continue;
    }
    for (std::size_t i = 0; const std::string& line : file.lines) {
      ++i;
      const auto columns = static_cast<std::size_t>(
          std::count_if(line.begin(), line.end(), [](char c) { return (c & '\xC0') != '\x80'; }));
      EXPECT_LE(columns, kLineColumnsMax) << file.path << ":" << i;
    }
  }
}

TEST(Tidy, function_reader_finds_functions) {
  SourceFile file;
  file.path = "example.cc";
  file.text =
      "namespace a {\n// {\nstruct S {\n  int f() const {\n    return 1;\n  }\n  int g = {0};\n};\n"
      "template <class T>\nvoid h(T) { if (x) { \"}\"; } }\n}\n";
  file.code = without_comments_and_strings(file.text);
  const std::vector<Function> found = functions_of(file);
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[0].lines, 3U);
  EXPECT_EQ(found[1].lines, 1U);
}

TEST(Tidy, functions_stay_short) {
  for (const SourceFile& file : tree()) {
    if (!is_cpp(file.path)) {
      continue;
    }
    for (const Function& function : functions_of(file)) {
      if (function.lines > kFunctionLinesMax) {
        const auto named = kLongFunctions.find(at(file, function.offset));
        EXPECT_TRUE(named != kLongFunctions.end() && function.lines <= named->second)
            << at(file, function.offset) << ": " << function.lines << " lines:" << function.head;
      }
    }
  }
}

bool has_header(const std::string& stem) {
  return std::any_of(tree().begin(), tree().end(),
                     [&](const SourceFile& file) { return file.path == stem + ".h"; });
}

TEST(Tidy, files_say_what_they_are) {
  for (const SourceFile& file : tree()) {
    ASSERT_FALSE(file.lines.empty()) << file.path << " is empty";
    const std::string& first = file.lines[0];
    const std::string second = file.lines.size() > 1 ? file.lines[1] : "";
    if (is_cpp(file.path)) {
      // A source file may leave it to the header of its name, a test to its folder.
      const std::string stem = file.path.substr(0, file.path.rfind('.'));
      const bool told_elsewhere = file.path.ends_with("_test.cc") || has_header(stem);
      EXPECT_TRUE(first.starts_with("// ") || (file.path.ends_with(".cc") && told_elsewhere))
          << file.path << " has no comment at its head";
    } else if (file.path.ends_with(".py")) {
      EXPECT_TRUE(first.starts_with("\"\"\"") || second.starts_with("\"\"\"") ||
                  second.starts_with("# "))
          << file.path << " has no docstring at its head";
    } else if (file.path.ends_with(".sh")) {
      EXPECT_TRUE(second.starts_with("# ") || first.starts_with("# "))
          << file.path << " has no comment at its head";
    }
  }
}

TEST(Tidy, headers_are_guarded) {
  for (const SourceFile& file : tree()) {
    if (file.path.ends_with(".h")) {
      EXPECT_NE(file.code.find("#pragma once"), std::string::npos) << file.path;
    }
  }
}

TEST(Tidy, nothing_is_left_for_later) {
  static const std::regex pattern(
      "\\b(?:TO"
      "DO|FIX"
      "ME|X"
      "XX)\\b|not imple"
      "mented");
  for (const SourceFile& file : tree()) {
    for (std::size_t i = 0; const std::string& line : file.lines) {
      ++i;
      EXPECT_FALSE(std::regex_search(line, pattern)) << file.path << ":" << i << ": " << line;
    }
  }
}

TEST(Tidy, no_paths_of_one_machine) {
  static const std::regex pattern(
      "(?:^|[^\\w.$}])/(?:w"
      "ork|f"
      "arm|r"
      "oot|home)/");
  for (const SourceFile& file : tree()) {
    for (std::size_t i = 0; const std::string& line : file.lines) {
      ++i;
      EXPECT_FALSE(std::regex_search(line, pattern)) << file.path << ":" << i << ": " << line;
    }
  }
}

// The acceptance list of docs/security.md: each ID has a test that is named after it.
TEST(Tidy, every_security_id_has_a_test) {
  const std::vector<std::string> ids = {"M1",  "M2",  "M3",  "M4",  "M5",  "M6",
                                        "M7",  "M8",  "M9",  "M10", "M12", "T10",
                                        "T12", "T13", "T16", "T18", "T20", "T23"};
  for (const std::string& id : ids) {
    const std::regex name(R"((?:TEST(?:_F|_P)?\(\s*\w+,\s*|def (?:test_)?))" + id + "_[a-z]");
    EXPECT_TRUE(std::any_of(tree().begin(), tree().end(),
                            [&](const SourceFile& file) {
                              return under(file.path, "tests") &&
                                     std::regex_search(file.text, name);
                            }))
        << id << " has no test";
  }
}

TEST(Tidy, links_in_documents_resolve) {
  static const std::regex link(R"(\]\(([^)#\s]+)(?:#[^)\s]*)?\))");
  const fs::path root = TURNPIKE_SOURCE_DIR;
  for (const SourceFile& file : tree()) {
    if (!file.path.ends_with(".md")) {
      continue;
    }
    for (auto it = std::sregex_iterator(file.text.begin(), file.text.end(), link);
         it != std::sregex_iterator(); ++it) {
      const std::string target = (*it)[1];
      if (target.find("://") != std::string::npos || target.starts_with("mailto:")) {
        continue;
      }
      EXPECT_TRUE(fs::exists(root / folder_of(file.path) / target))
          << file.path << " links to " << target;
    }
  }
}

TEST(Tidy, code_is_formatted) {
  if (std::system("command -v clang-format >/dev/null 2>&1") != 0) {
    GTEST_SKIP() << "no clang-format";
  }
  std::string command = "cd '" TURNPIKE_SOURCE_DIR "' && clang-format --dry-run -Werror";
  for (const SourceFile& file : tree()) {
    if (is_cpp(file.path)) {
      command += " '" + file.path + "'";
    }
  }
  EXPECT_EQ(std::system(command.c_str()), 0) << "run clang-format -i on what is named above";
}

}  // namespace
