// Nomination and roles of one leg (RFC 8445 sections 7.3.1.1 and 8).
#include <gtest/gtest.h>

#include "tests/unit/ice/session_fixture.h"

namespace turnpike::test {
namespace {

TEST_F(Ice, controlled_follows_a_nomination_only_when_its_own_check_succeeds) {
  candidate(near, 100);
  update();
  check_from(near, true);
  run(Seconds(50));
  EXPECT_FALSE(selected().is_set());
  EXPECT_EQ(sink.selections, 0);
}

TEST_F(Ice, controlled_follows_a_nomination_of_a_valid_pair_at_once) {
  candidate(near, 100);
  alive = {near};
  update();
  run(Milliseconds(100));
  EXPECT_FALSE(selected().is_set());
  check_from(near, true);
  EXPECT_EQ(selected(), near);
}

TEST_F(Ice, renomination_moves_media_at_once) {
  candidate(near, 200);
  candidate(far, 100);
  alive = {near, far};
  update();
  run(Milliseconds(200));
  check_from(near, true);
  ASSERT_EQ(selected(), near);
  check_from(far, true);
  EXPECT_EQ(selected(), far);
  check_from(far);
  check_from(near);
  EXPECT_EQ(selected(), far);
  check_from(near, true);
  EXPECT_EQ(selected(), near);
}

TEST_F(Ice, a_client_that_moves_continues_within_one_check) {
  candidate(near, 200);
  alive = {near};
  update();
  run(Milliseconds(200));
  check_from(near, true);
  ASSERT_EQ(selected(), near);
  run(Seconds(20));
  alive = {far};
  check_from(far, true);
  run(Milliseconds(60));
  EXPECT_EQ(selected(), far);
  EXPECT_EQ(state(), IceState::kConnected);
}

TEST_F(Ice, aggressive_nomination_ends_on_the_best_pair_and_stays_there) {
  candidate(near, 200);
  candidate(far, 100);
  alive = {near, far};
  update();
  run(Milliseconds(200));
  for (int round = 0; round < 20; ++round) {
    check_from(far, true);
    check_from(near, true);
    run(Seconds(2));
  }
  EXPECT_EQ(selected(), near);
  EXPECT_LE(sink.selections, 2);
}

TEST_F(Ice, a_nomination_is_followed_late_when_the_pair_in_use_is_forgotten) {
  candidate(near, 200);
  candidate(far, 100);
  alive = {near, far};
  update();
  run(Milliseconds(200));
  check_from(far, true);
  check_from(near, true);
  ASSERT_EQ(selected(), near);
  run(Seconds(1));
  check_from(far, true);  // neither new nor better: two pairs, both nominated
  EXPECT_EQ(selected(), near);
  run(Seconds(12));
  EXPECT_EQ(selected(), far);
}

TEST_F(Ice, a_nomination_that_is_said_again_and_again_is_followed_too) {
  candidate(near, 200);
  candidate(far, 100);
  alive = {near, far};
  update();
  run(Milliseconds(200));
  check_from(far, true);
  check_from(near, true);
  ASSERT_EQ(selected(), near);
  for (int i = 0; i < 30; ++i) {
    check_from(far, true);
    run(Milliseconds(500));
  }
  EXPECT_EQ(selected(), far);
}

TEST_F(Ice, controlling_nominates_the_best_valid_pair_when_the_rest_has_settled) {
  config.controlling = true;
  candidate(near, 100);
  candidate(far, 200);
  update();
  ASSERT_EQ(last().to, far);
  run(Milliseconds(60));
  ASSERT_EQ(last().to, near);
  answer(last());
  EXPECT_FALSE(last().message()->use_candidate());
  run(Milliseconds(80));
  EXPECT_EQ(sink.sent.size(), 2U) << "a better pair is still open";
  run(Milliseconds(100));
  ASSERT_EQ(last().to, near);
  EXPECT_TRUE(last().message()->use_candidate());
  EXPECT_TRUE(last().message()->u64(stun::kIceControlling));
  EXPECT_FALSE(selected().is_set());
  answer(last());
  EXPECT_EQ(selected(), near);
}

TEST_F(Ice, controlling_nominates_at_once_when_nothing_better_is_open) {
  config.controlling = true;
  candidate(near, 100);
  update();
  answer(last());
  run(Milliseconds(60));
  EXPECT_TRUE(last().message()->use_candidate());
}

TEST_F(Ice, controlling_takes_the_next_pair_when_a_nomination_fails) {
  config.controlling = true;
  candidate(near, 200);
  candidate(far, 100);
  update();
  answer(last());
  run(Milliseconds(60));
  run(Milliseconds(60));
  alive = {far};
  for (const auto& sent : std::vector(sink.sent)) {
    if (sent.to == far) answer(sent);
  }
  run(Seconds(4));
  EXPECT_EQ(selected(), far);
}

TEST_F(Ice, controlling_asks_again_what_was_valid_long_ago) {
  candidate(near, 200);
  alive = {near};
  update();
  run(Seconds(50));
  EXPECT_FALSE(selected().is_set()) << "nobody has nominated it";
  IceCheck weaker = check();
  weaker.controlling = false;
  weaker.tie_breaker = 0;
  EXPECT_TRUE(deliver(write_ice_check(weaker), far));
  ASSERT_TRUE(report().controlling);
  run(Seconds(1));
  EXPECT_EQ(selected(), near);
}

TEST_F(Ice, controlling_leaves_a_pair_that_falls_silent_for_one_that_answers) {
  config.controlling = true;
  candidate(near, 200);
  alive = {near};
  update();
  run(Seconds(1));
  ASSERT_EQ(selected(), near);
  alive = {far};
  check_from(far);
  run(Seconds(3));
  EXPECT_EQ(selected(), far);
}

TEST_F(Ice, works_with_a_lite_remote_end) {
  config.controlling = true;
  candidate(near, 100);
  alive = {near};  // answers, and never checks
  update();
  run(Seconds(300));
  EXPECT_EQ(selected(), near);
  EXPECT_EQ(state(), IceState::kConnected);
  EXPECT_EQ(sink.selections, 1);
}

TEST_F(Ice, the_answer_may_tell_that_the_other_end_is_lite) {
  config.remote = {};
  update();
  EXPECT_FALSE(report().controlling);
  config.remote = theirs;
  config.controlling = true;
  candidate(near, 100);
  alive = {near};
  update();
  EXPECT_TRUE(report().controlling);
  run(Seconds(1));
  EXPECT_EQ(selected(), near);
}

TEST_F(Ice, a_role_that_checks_have_settled_stays_over_updates_and_restarts) {
  config.controlling = true;
  candidate(near, 100);
  update();
  ASSERT_TRUE(answer(last(), 487));
  ASSERT_FALSE(report().controlling);
  candidate(far, 50);
  update();
  EXPECT_FALSE(report().controlling);
  config.local = ice_credentials("ours2", "9876543210987654321098");
  config.remote = ice_credentials("theirs2", "jihgfedcbajihgfedcbaji");
  update();
  EXPECT_FALSE(report().controlling);
}

TEST_F(Ice, role_conflict_is_settled_by_the_tie_breaker) {
  config.controlling = true;
  candidate(near, 100);
  update();
  IceCheck weaker = check();
  weaker.controlling = true;
  weaker.tie_breaker = 0;
  EXPECT_TRUE(deliver(write_ice_check(weaker), near));
  EXPECT_EQ(last().message()->error_code(), 487);
  EXPECT_TRUE(report().controlling);
  IceCheck stronger = weaker;
  stronger.tie_breaker = ~0ULL;
  EXPECT_TRUE(deliver(write_ice_check(stronger), near));
  EXPECT_FALSE(report().controlling);
}

TEST_F(Ice, role_conflict_of_two_controlled_agents) {
  update();
  IceCheck stronger = check();
  stronger.controlling = false;
  stronger.tie_breaker = ~0ULL;
  EXPECT_TRUE(deliver(write_ice_check(stronger), near));
  EXPECT_EQ(sink.sent.front().message()->error_code(), 487);
  EXPECT_FALSE(report().controlling);
  IceCheck weaker = stronger;
  weaker.tie_breaker = 0;
  EXPECT_TRUE(deliver(write_ice_check(weaker), near));
  EXPECT_TRUE(report().controlling);
}

TEST_F(Ice, a_487_changes_our_role_and_the_check_is_repeated) {
  config.controlling = true;
  candidate(near, 100);
  update();
  EXPECT_TRUE(answer(last(), 487));
  EXPECT_FALSE(report().controlling);
  run(Milliseconds(60));
  ASSERT_EQ(sink.sent.size(), 2U);
  EXPECT_TRUE(last().message()->u64(stun::kIceControlled));
  EXPECT_NE(last().message()->transaction(), sink.sent[0].message()->transaction());
}

TEST_F(Ice, several_487_for_one_conflict_change_the_role_once) {
  config.controlling = true;
  candidate(near, 200);
  candidate(far, 100);
  update();
  run(Milliseconds(60));
  ASSERT_EQ(sink.sent.size(), 2U);
  const std::vector<IceRecorder::Sent> requests = sink.sent;
  EXPECT_TRUE(answer(requests[0], 487));
  EXPECT_TRUE(answer(requests[1], 487));
  EXPECT_FALSE(report().controlling);
}

}  // namespace
}  // namespace turnpike::test
