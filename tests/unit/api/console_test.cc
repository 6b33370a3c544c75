// The console's files and the description of the API, as the program carries them.
#include <regex>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "control/api/endpoints.h"
#include "control/api/page.h"

namespace turnpike::api {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(Console, every_file_that_the_page_names_is_there) {
  const std::regex reference(R"re((?:src|href)="(/[^"]*)"|from "\.(/[^"]*)")re");
  std::set<std::string> named;
  for (const char* path : {"/", "/console.js", "/call.js"}) {
    const PageFile* const file = find_page_file(path);
    ASSERT_NE(file, nullptr) << path;
    const std::string text(file->text);
    for (auto it = std::sregex_iterator(text.begin(), text.end(), reference);
         it != std::sregex_iterator(); ++it) {
      named.insert((*it)[1].matched ? (*it)[1] : (*it)[2]);
    }
  }
  EXPECT_EQ(named.size(), 6u);
  for (const std::string& path : named) EXPECT_NE(find_page_file(path), nullptr) << path;
}

TEST(Console, nothing_inline_and_nothing_of_others) {
  for (const char* path :
       {"/", "/console.js", "/call.js", "/view.js", "/api.js", "/console.css", "/icon.svg"}) {
    const PageFile* const file = find_page_file(path);
    ASSERT_NE(file, nullptr) << path;
    const std::string text(file->text);
    EXPECT_FALSE(
        std::regex_search(text, std::regex(R"(<script>|\son[a-z]+="|\sstyle="|innerHTML)")))
        << path;
    EXPECT_FALSE(std::regex_search(text, std::regex(R"(https?://(?!www\.w3\.org/2000/svg))")))
        << path;
  }
}

TEST(Console, T19_the_browser_is_told_to_run_nothing_else) {
  const Response response = page_response(*find_page_file("/"));
  ASSERT_EQ(response.headers.front().first, "content-security-policy");
  const std::string& policy = response.headers.front().second;
  EXPECT_THAT(policy, HasSubstr("default-src 'none'; script-src 'self';"));
  EXPECT_THAT(policy, HasSubstr("frame-ancestors 'none'"));
  EXPECT_THAT(policy, Not(HasSubstr("unsafe")));
}

TEST(Openapi, each_path_of_the_program_is_in_it_and_no_other) {
  const auto description = nlohmann::json::parse(openapi_text());
  std::set<std::string> described;
  std::set<std::string> served;
  for (const auto& [path, operations] : description.at("paths").items()) {
    for (const auto& [method, operation] : operations.items()) described.insert(method + path);
  }
  for (const Endpoints::Route& route : Endpoints::routes()) {
    served.insert((route.method == Method::kPost ? "post" : "get") + std::string(route.path));
  }
  EXPECT_EQ(described, served);
}

TEST(Openapi, each_of_its_paths_says_which_scope_it_needs_and_the_program_agrees) {
  const auto description = nlohmann::json::parse(openapi_text());
  EXPECT_EQ(description.at("openapi"), "3.1.0");
  for (const auto& [path, operations] : description.at("paths").items()) {
    for (const auto& [method, operation] : operations.items()) {
      Request request{Door::kApi, path, method == "post" ? Method::kPost : Method::kGet};
      const auto scope = Endpoints::needs(request);
      const std::string said = operation.value("x-scope", "none");
      EXPECT_EQ(said, !scope ? "none" : *scope == Scope::kRead ? "read" : "operate") << path;
    }
  }
}

}  // namespace
}  // namespace turnpike::api
