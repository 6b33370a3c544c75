// How long legs took to connect, as it is counted.
#include <gtest/gtest.h>

#include "tests/unit/ice/session_fixture.h"

namespace turnpike::test {
namespace {

std::uint64_t connects(const ShardCounters& counters) {
  std::uint64_t all = 0;
  for (const Counter& counter : counters.ice_connect_durations) all += counter.value();
  return all;
}

TEST_F(IceSession, the_time_to_connect_is_counted_once_for_a_leg) {
  config.remote = {};
  update();
  run(Seconds(3));
  config.remote = theirs;
  connect();
  EXPECT_EQ(connects(counters()), 1U);
  EXPECT_EQ(counters().ice_connect_us.value(), 100'000U) << "from their credentials";
  EXPECT_EQ(counters().ice_connect_durations[2].value(), 1U) << "0.1 s is within its bound";
  config.local = ice_credentials("OURS", "0123456789012345678901");
  config.remote = ice_credentials("THEIRS", "abcdefghijabcdefghijab");
  update();
  IceCheck check_after_restart = check();
  check_after_restart.from = config.remote;
  check_after_restart.to = config.local;
  check_after_restart.use_candidate = true;
  deliver(write_ice_check(check_after_restart), near);
  deliver(write_ice_answer(last().bytes, config.remote, local), near);
  EXPECT_EQ(connects(counters()), 1U);
}

TEST_F(IceSession, a_lite_leg_that_connects_before_the_answer_took_no_time) {
  config.remote = {};
  config.mode = IceMode::kLite;
  update();
  check_from(near, true);
  ASSERT_EQ(state(), IceState::kConnected);
  EXPECT_EQ(connects(counters()), 0U);
  run(Seconds(2));
  config.remote = theirs;
  update();
  EXPECT_EQ(counters().ice_connect_durations[0].value(), 1U);
  EXPECT_EQ(counters().ice_connect_us.value(), 0U);
}

TEST_F(IceSession, a_leg_taken_over_connected_is_not_timed_again) {
  facts.present = {near, {}};
  candidate(near, 100);
  alive = {near};
  update();
  run(Seconds(40));
  ASSERT_EQ(state(), IceState::kConnected);
  EXPECT_EQ(connects(counters()), 0U);
}

}  // namespace
}  // namespace turnpike::test
