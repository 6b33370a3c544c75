// Consent, restarts, lite mode and adoption.
#include <gtest/gtest.h>

#include "tests/unit/ice/session_fixture.h"

namespace turnpike::test {
namespace {

using stun::Class;

// ---- Consent

TEST_F(IceSession, consent_is_asked_for_every_five_seconds_or_so) {
  connect();
  const std::size_t before = sink.sent.size();
  run(Seconds(500));
  std::vector<Instant> at;
  for (std::size_t i = before; i < sink.sent.size(); ++i) {
    if (sink.sent[i].is(Class::kRequest)) at.push_back(sink.sent[i].at);
  }
  ASSERT_GE(at.size(), 80U);
  ASSERT_LE(at.size(), 125U);
  bool varies = false;
  for (std::size_t i = 1; i < at.size(); ++i) {
    EXPECT_GE(at[i] - at[i - 1], Milliseconds(4000));
    EXPECT_LE(at[i] - at[i - 1], Milliseconds(6020));
    varies = varies || at[i] - at[i - 1] != at[1] - at[0];
  }
  EXPECT_TRUE(varies);
  EXPECT_EQ(state(), IceState::kConnected);
}

TEST_F(Security, M10_sending_stops_without_consent) {
  connect();
  run(Seconds(100));
  alive.clear();
  const Instant until = report().consent_until;
  EXPECT_LE(until, now + Seconds(30));
  run(until - now - Milliseconds(1));
  EXPECT_EQ(selected(), near);
  run(Milliseconds(20));
  EXPECT_FALSE(selected().is_set());
  EXPECT_EQ(state(), IceState::kLost);
  EXPECT_EQ(report().consent_until, Instant{});
  const std::size_t sent = sink.sent.size();
  run(Seconds(600));
  EXPECT_EQ(sink.sent.size(), sent) << "neither are checks sent there any more";
}

TEST_F(Security, M10_their_checks_alone_are_no_consent) {
  connect();
  alive.clear();
  for (int i = 0; i < 40; ++i) {
    check_from(near, true);
    run(Seconds(1));
  }
  EXPECT_FALSE(selected().is_set());
}

TEST_F(IceSession, a_later_check_revives_lost_consent) {
  connect();
  alive.clear();
  run(Seconds(40));
  ASSERT_EQ(state(), IceState::kLost);
  alive = {near};
  check_from(near);
  run(Milliseconds(100));
  EXPECT_EQ(selected(), near);
  EXPECT_EQ(state(), IceState::kConnected);
}

TEST_F(IceSession, a_check_from_elsewhere_revives_lost_consent) {
  connect();
  alive.clear();
  run(Seconds(40));
  ASSERT_EQ(state(), IceState::kLost);
  alive = {far};
  check_from(far);
  run(Milliseconds(100));
  EXPECT_EQ(selected(), far);
  EXPECT_EQ(state(), IceState::kConnected);
}

TEST_F(IceSession, a_late_answer_revives_lost_consent) {
  connect();
  alive.clear();
  run(Seconds(40));
  ASSERT_EQ(state(), IceState::kLost);
  EXPECT_TRUE(answer(last()));
  EXPECT_EQ(selected(), near);
  EXPECT_EQ(state(), IceState::kConnected);
}

TEST_F(Security, M10_an_answer_renews_consent_once) {
  connect();
  alive.clear();
  run(Seconds(7));
  const IceRecorder::Sent asked = last();
  ASSERT_TRUE(answer(asked));
  const Instant until = report().consent_until;
  run(Seconds(1));
  EXPECT_FALSE(answer(asked)) << "somebody repeats what he saw";
  EXPECT_EQ(report().consent_until, until);
}

TEST_F(IceSession, controlling_nominates_again_with_each_consent_check) {
  config.controlling = true;
  candidate(near, 100);
  alive = {near};
  update();
  run(Seconds(1));
  ASSERT_EQ(selected(), near);
  run(Seconds(7));
  EXPECT_TRUE(last().message()->use_candidate());
}

TEST_F(IceSession, forbidden_revokes_consent_at_once) {
  connect();
  alive.clear();
  run(Seconds(7));
  ASSERT_TRUE(answer(last(), 403));
  EXPECT_FALSE(selected().is_set());
  EXPECT_EQ(state(), IceState::kLost);
}

// ---- Restart

TEST_F(IceSession, media_stays_where_it_was_until_the_new_session_has_a_pair) {
  connect();
  const IceCredentials new_ours = ice_credentials("ours2", "9876543210987654321098");
  const IceCredentials new_theirs = ice_credentials("theirs2", "jihgfedcbajihgfedcbaji");
  config.local = new_ours;  // our offer: the remote end does not know it yet
  update();
  EXPECT_EQ(selected(), near);
  EXPECT_EQ(state(), IceState::kConnected);
  EXPECT_TRUE(check_from(near)) << "with the old credentials";
  EXPECT_TRUE(last().is(Class::kSuccess));
  const std::size_t before = checks_to(near);
  run(Seconds(60));
  EXPECT_EQ(selected(), near) << "old consent goes on";
  EXPECT_EQ(state(), IceState::kConnected);
  EXPECT_LE(checks_to(near) - before, 16U);
  for (const auto& sent : sink.sent) {
    EXPECT_NE(sent.message()->username(), "theirs:ours2") << "credentials of two sessions";
  }
  config.remote = new_theirs;
  candidate(far, 100);
  update();
  alive.clear();
  run(Milliseconds(200));
  EXPECT_EQ(checks_to(far), 1U);
  ASSERT_TRUE(deliver(write_ice_answer(last().bytes, new_theirs, local), last().to));
  IceCheck check_there = check();
  check_there.to = new_ours;
  check_there.from = new_theirs;
  check_there.use_candidate = true;
  for (const auto& sent : std::vector(sink.sent)) {
    if (sent.to == far && sent.is(Class::kRequest)) {
      deliver(write_ice_answer(sent.bytes, new_theirs, local), far);
    }
  }
  EXPECT_TRUE(deliver(write_ice_check(check_there), far));
  EXPECT_EQ(selected(), far);
  EXPECT_FALSE(check_from(near)) << "the old credentials are gone";
}

TEST_F(IceSession, a_check_that_is_early_in_a_restart_is_remembered) {
  connect();
  const IceCredentials new_ours = ice_credentials("ours2", "9876543210987654321098");
  const IceCredentials new_theirs = ice_credentials("theirs2", "jihgfedcbajihgfedcbaji");
  config.local = new_ours;
  config.remote = {};
  update();
  IceCheck early = check();
  early.to = new_ours;
  early.from = new_theirs;
  early.use_candidate = true;
  EXPECT_TRUE(deliver(write_ice_check(early), far));
  EXPECT_EQ(selected(), near);
  config.remote = new_theirs;
  update();
  run(Milliseconds(100));
  for (const auto& sent : std::vector(sink.sent)) {
    if (sent.to == far && sent.is(Class::kRequest)) {
      deliver(write_ice_answer(sent.bytes, new_theirs, local), far);
    }
  }
  EXPECT_EQ(selected(), far);
}

TEST_F(IceSession, a_remote_end_that_keeps_its_credentials_is_recognised_by_its_checks) {
  connect();
  config.local = ice_credentials("ours2", "9876543210987654321098");
  update();
  run(Seconds(1));
  const std::size_t before = checks_to(far);
  IceCheck kept = check();
  kept.to = config.local;
  kept.use_candidate = true;
  alive = {near, far};
  EXPECT_TRUE(deliver(write_ice_check(kept), far));
  run(Milliseconds(100));
  EXPECT_GT(checks_to(far), before);
  EXPECT_EQ(selected(), far);
}

TEST_F(IceSession, consent_is_lost_during_a_restart_too) {
  connect();
  config.local = ice_credentials("ours2", "9876543210987654321098");
  config.remote = {};
  update();
  alive.clear();
  run(Seconds(40));
  EXPECT_FALSE(selected().is_set());
  EXPECT_EQ(state(), IceState::kLost);
}

TEST_F(IceSession, of_several_restarts_in_a_row_media_keeps_the_first_session) {
  connect();
  for (const char* ufrag : {"ours2", "ours3", "ours4"}) {
    config.local = ice_credentials(ufrag, "9876543210987654321098");
    update();
    run(Seconds(25));
  }
  EXPECT_EQ(selected(), near) << "with the consent of the first session's credentials";
  EXPECT_TRUE(check_from(near));
}

TEST_F(IceSession, the_same_configuration_again_changes_nothing) {
  connect();
  const std::size_t sent = sink.sent.size();
  const int selections = sink.selections;
  for (int i = 0; i < 10; ++i) update();
  EXPECT_EQ(sink.sent.size(), sent);
  EXPECT_EQ(sink.selections, selections);
  EXPECT_EQ(state(), IceState::kConnected);
}

// ---- Lite

TEST_F(IceSession, lite_answers_and_never_checks) {
  candidate(far, 100);
  connect_lite();
  EXPECT_EQ(state(), IceState::kConnected);
  run(Seconds(20));
  for (const auto& sent : sink.sent) EXPECT_TRUE(sent.is(Class::kSuccess));
  EXPECT_EQ(sink.sent.size(), 2U);
}

TEST_F(Security, M10_lite_stops_thirty_seconds_after_the_last_check) {
  connect_lite();
  for (int i = 0; i < 20; ++i) {
    run(Seconds(10));
    check_from(near);
  }
  EXPECT_EQ(selected(), near);
  run(Seconds(29));
  EXPECT_EQ(selected(), near);
  run(Seconds(2));
  EXPECT_FALSE(selected().is_set());
  EXPECT_EQ(state(), IceState::kLost);
  check_from(near);
  EXPECT_EQ(selected(), near);
  EXPECT_EQ(state(), IceState::kConnected);
}

TEST_F(Security, M10_checks_from_elsewhere_are_no_consent) {
  connect_lite();
  for (int i = 0; i < 29; ++i) {
    run(Seconds(1));
    check_from(far);
  }
  EXPECT_EQ(selected(), near);
  run(Seconds(2));
  EXPECT_NE(selected(), near);
}

TEST_F(IceSession, lite_moves_with_a_nomination) {
  connect_lite();
  check_from(far);
  EXPECT_EQ(selected(), near);
  check_from(far, true);
  EXPECT_EQ(selected(), far);
}

TEST_F(IceSession, lite_stays_controlled) {
  config.mode = IceMode::kLite;
  update();
  IceCheck controlled = check();
  controlled.controlling = false;
  controlled.tie_breaker = 0;
  controlled.use_candidate = true;
  EXPECT_TRUE(deliver(write_ice_check(controlled), near));
  EXPECT_EQ(last().message()->error_code(), 487);
  EXPECT_FALSE(selected().is_set());
  EXPECT_FALSE(report().controlling);
}

TEST_F(IceSession, lite_restart_keeps_media_and_takes_the_new_session) {
  connect_lite();
  config.local = ice_credentials("ours2", "9876543210987654321098");
  config.remote = {};
  update();
  EXPECT_EQ(selected(), near);
  for (int i = 0; i < 5; ++i) {
    run(Seconds(10));
    EXPECT_TRUE(check_from(near)) << "old credentials";
  }
  EXPECT_EQ(selected(), near);
  IceCheck fresh = check();
  fresh.to = config.local;
  fresh.from = ice_credentials("theirs2", "jihgfedcbajihgfedcbaji");
  fresh.use_candidate = true;
  EXPECT_TRUE(deliver(write_ice_check(fresh), far));
  EXPECT_EQ(selected(), far);
}

// ---- A process after another

TEST_F(IceSession, what_media_uses_counts_until_consent_expires) {
  facts.present[0] = near;
  update();
  EXPECT_EQ(state(), IceState::kConnected);
  EXPECT_TRUE(engine().is_validated(kLeg, near));
  EXPECT_EQ(sink.selections, 0);
  run(Seconds(29));
  EXPECT_EQ(state(), IceState::kConnected);
  EXPECT_GE(checks_to(near), 4U);
  run(Seconds(2));
  EXPECT_EQ(state(), IceState::kLost);
  EXPECT_EQ(sink.selections, 1);
  EXPECT_FALSE(selected().is_set());
}

TEST_F(IceSession, any_answer_of_what_media_uses_is_consent) {
  facts.present[0] = near;
  update();
  run(Seconds(20));
  check_from(near);
  run(Milliseconds(100));
  answer(last());
  run(Seconds(20));
  EXPECT_EQ(state(), IceState::kConnected);
}

TEST_F(IceSession, many_calls_of_before_are_not_checked_all_at_once) {
  facts.present[0] = near;
  IceRecorder other;
  SocketTag tag = kLeg;
  for (tag.slot = 2; tag.slot < 4; ++tag.slot) {
    engine().update(tag, config, facts, now, other);
  }
  update();
  std::vector<Instant> due;
  run(Milliseconds(1));
  while (due.size() < 3) {
    due.push_back(engine().next_deadline());
    now = due.back();
    engine().on_deadline(now, other);
  }
  EXPECT_NE(due[0], due[1]);
  EXPECT_NE(due[1], due[2]);
  EXPECT_LE(due[2], Instant(Milliseconds(1'001'010)));
}

TEST_F(IceSession, what_media_uses_stays_when_it_answers) {
  facts.present[0] = near;
  alive = {near};
  update();
  run(Seconds(300));
  EXPECT_EQ(state(), IceState::kConnected);
  EXPECT_EQ(sink.selections, 0);
  check_from(near, true);
  EXPECT_EQ(sink.selections, 0);
}

TEST_F(IceSession, a_role_that_changed_before_is_found_again_by_consent) {
  facts.present[0] = near;
  config.controlling = true;
  update();
  run(Seconds(2));
  ASSERT_GE(checks_to(near), 1U);
  EXPECT_TRUE(answer(last(), 487));
  EXPECT_FALSE(report().controlling);
  alive = {near};
  run(Seconds(60));
  EXPECT_EQ(state(), IceState::kConnected);
}

}  // namespace
}  // namespace turnpike::test
