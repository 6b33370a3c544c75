// Limits that may be others while the daemon runs: which there are, what is refused.
#include "control/config/limits.h"

#include <algorithm>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/config/schema.h"

namespace turnpike::config {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

Loaded load(const std::string& more) {
  Loaded loaded = load_text(
      "[interface.outside]\n"
      "addresses = [\"192.0.2.10\"]\n"
      "[interface.inside]\n"
      "addresses = [\"198.51.100.10\"]\n" +
          more,
      "f.toml", "/etc/turnpike");
  EXPECT_THAT(loaded.findings.mistakes(), IsEmpty());
  return loaded;
}

const Limit* find(const std::vector<Limit>& limits, const std::string& key) {
  const auto found = std::find_if(limits.begin(), limits.end(),
                                  [&key](const Limit& limit) { return limit.key == key; });
  return found == limits.end() ? nullptr : &*found;
}

std::string refusal(const Loaded& running, const std::string& key, std::int64_t value) {
  const Result<LimitPlan> plan = plan_limit(running, key, value);
  return plan ? "" : plan.error().message;
}

TEST(Limits, are_those_of_the_file_or_its_defaults) {
  const auto limits = limits_of(load("[media]\ncalls_max = 7\n"));
  ASSERT_NE(find(limits, "media.calls_max"), nullptr);
  EXPECT_EQ(find(limits, "media.calls_max")->value, 7);
  EXPECT_TRUE(find(limits, "media.calls_max")->hot);
  EXPECT_EQ(find(limits, "media.sessions_max")->value, 4000);
  EXPECT_FALSE(find(limits, "media.sessions_max")->hot) << "memory is laid out for it";
  EXPECT_EQ(find(limits, "turn.allocations_max"), nullptr) << "there is no TURN server";
}

TEST(Limits, of_turn_are_there_with_a_realm) {
  const auto limits =
      limits_of(load("[turn]\nallocations_max = 9\n"
                     "[turn.realm.guests]\nusers_file = \"/etc/turnpike/users\"\n"));
  ASSERT_NE(find(limits, "turn.allocations_max"), nullptr);
  EXPECT_EQ(find(limits, "turn.allocations_max")->value, 9);
}

TEST(Limits, one_is_planned_beside_all_else_as_it_was) {
  Loaded running = load("[media]\ncalls_max = 7\nbusy_max_percent = 50\n");
  running.settings.interfaces[0].addresses = {*parse_ip("192.0.2.200")};
  Result<LimitPlan> plan = plan_limit(running, "media.calls_max", 2);
  ASSERT_TRUE(plan) << plan.error().message;
  EXPECT_EQ(plan->before, 7);
  EXPECT_EQ(plan->next.settings.media.calls_max, 2u);
  EXPECT_EQ(plan->next.settings.media.busy_max_percent, 50u);
  EXPECT_EQ(plan->next.folder, "/etc/turnpike");
  EXPECT_EQ(to_string(plan->next.settings.interfaces[0].addresses.at(0)), "192.0.2.200")
      << "sockets are bound to it";
  const Result<LimitPlan> again = plan_limit(plan->next, "ng.client_requests_max", 3);
  ASSERT_TRUE(again) << "of a section that the file does not have: " << again.error().message;
  EXPECT_EQ(again->before, 64);
  EXPECT_EQ(again->next.settings.ng.client_requests_max, 3u);
  EXPECT_EQ(again->next.settings.media.calls_max, 2u);
}

TEST(Limits, bounds_are_those_of_the_file_and_a_refusal_names_no_file) {
  const Loaded running = load("");
  for (const std::int64_t value : {std::int64_t{0}, std::int64_t{-1}, std::int64_t{1000001}}) {
    const std::string why = refusal(running, "media.calls_max", value);
    EXPECT_TRUE(why.starts_with("media.calls_max is ")) << why;
  }
  EXPECT_EQ(refusal(running, "media.calls_max", 1), "");
  EXPECT_THAT(refusal(running, "media.sessions_max", 10), HasSubstr("restart"));
  for (const std::string key :
       {"", "media", "media.", "media.tick_us", "sip.user.a", "calls_max"}) {
    EXPECT_THAT(refusal(running, key, 10), HasSubstr("there is no limit of this name")) << key;
  }
}

}  // namespace
}  // namespace turnpike::config
