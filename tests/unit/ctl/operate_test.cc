// turnpikectl: what a reload did, in words; values for a query.
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/ctl/client.h"
#include "control/ctl/print.h"

namespace turnpike::ctl {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

TEST(CtlReload, changes_are_told_by_when_they_hold) {
  const std::string body = R"({"applied": true, "mistakes": [], "warnings": ["w\u001b[2J"],
    "changes": [{"key": "media.port_min", "effect": "restart", "from": "1", "to": "2"},
                {"key": "log.level", "effect": "hot", "from": "\"info\"", "to": "\"debug\""},
                {"key": "sip.domains", "effect": "sidecar", "from": "[]", "to": "[a]"}]})";
  EXPECT_EQ(*print_reload(body, false),
            "in force now:\n  log.level: \"info\" -> \"debug\"\n"
            "holds from the next restart of turnpiked on:\n  media.port_min: 1 -> 2\n"
            "holds when turnpike-sip is restarted:\n  sip.domains: [] -> [a]\n"
            "warning: w?[2J\n");
  EXPECT_THAT(*print_reload(body, true), HasSubstr("a reload would put into force:\n"));
}

TEST(CtlReload, a_refusal_names_every_mistake) {
  const std::string body =
      R"({"applied": false, "mistakes": ["f:1: a", "f:2: b"], "warnings": [], "changes": [],
          "error": "no"})";
  EXPECT_EQ(*print_reload(body, false),
            "f:1: a\nf:2: b\nnothing has changed: mend the file first\n");
  EXPECT_FALSE(print_reload("{}", false)) << "of another version";
}

TEST(CtlReload, nothing_to_do_is_said) {
  const std::string body = R"({"applied": true, "mistakes": [], "warnings": [], "changes": []})";
  EXPECT_EQ(*print_reload(body, false), "the configuration has not changed\n");
}

TEST(CtlLimits, each_is_a_line_that_says_whether_it_was_set) {
  const std::string body = R"({"limits": [
    {"key": "a.x_max", "value": 5, "in_use": 3, "settable": true, "configured": 9},
    {"key": "a.y_max", "value": 7, "in_use": null, "settable": true, "configured": 7},
    {"key": "a.z_max", "value": 8, "in_use": 0, "settable": false, "configured": 8}]})";
  const std::string text = *print_limits(body);
  EXPECT_THAT(text, ContainsRegex("a.x_max +5 +3 +the file says 9: until the next reload"));
  EXPECT_THAT(text, ContainsRegex("a.y_max +7 +- *\n"));
  EXPECT_THAT(text, ContainsRegex("a.z_max +8 +0 +changes with a restart"));
  EXPECT_FALSE(print_limits("{}")) << "of another version";
}

TEST(CtlClient, values_of_a_query_are_escaped) {
  EXPECT_EQ(escaped("a-Z_0.~"), "a-Z_0.~");
  EXPECT_EQ(escaped("x@h&call_id=y z\n%"), "x%40h%26call_id%3Dy%20z%0A%25");
}

}  // namespace
}  // namespace turnpike::ctl
