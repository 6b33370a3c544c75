// Consent, restarts, lite mode, adoption, and what an attacker must not be able to do.
#include <gtest/gtest.h>

#include "relay/ice/agent.h"
#include "tests/support/ice_fixture.h"

namespace turnpike::test {
namespace {

using stun::Class;

class IceSession : public ::testing::Test, protected IceFixture {
 protected:
  const IceRecorder::Sent& last() const { return sink.sent.back(); }
  void connect() {
    candidate(near, 100);
    alive = {near};
    update();
    run(Milliseconds(100));
    check_from(near, true);
    ASSERT_EQ(selected(), near);
    ASSERT_EQ(state(), IceState::kConnected);
  }
  void connect_lite() {
    config.mode = IceMode::kLite;
    update();
    EXPECT_EQ(state(), IceState::kWaiting);
    check_from(near);
    EXPECT_EQ(state(), IceState::kChecking);
    EXPECT_FALSE(selected().is_set());
    check_from(near, true);
    ASSERT_EQ(selected(), near);
  }
};
using Security = IceSession;

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

// ---- Attackers

TEST_F(Security, M10_stun_without_integrity_changes_nothing) {
  connect();
  const TransportReport before = report();
  const std::size_t sent = sink.sent.size();
  std::uint64_t refused = 0;
  const auto refuse = [&](const IceCheck& bad) {
    EXPECT_FALSE(deliver(write_ice_check(bad), far));
    ++refused;
  };
  IceCheck bare = check();
  bare.integrity = false;
  bare.use_candidate = true;
  refuse(bare);
  IceCheck wrong_password = check();
  wrong_password.to = ice_credentials("ours", "not the password at all");
  wrong_password.use_candidate = true;
  refuse(wrong_password);
  IceCheck wrong_local = check();
  wrong_local.username = "other:theirs";
  refuse(wrong_local);
  IceCheck wrong_remote = check();
  wrong_remote.username = "ours:other";
  refuse(wrong_remote);
  IceCheck prefix = check();
  prefix.username = "ours";
  refuse(prefix);
  IceCheck longer = check();
  longer.username = "ours:theirs2";
  refuse(longer);
  IceCheck role = check();
  role.integrity = false;
  role.controlling = false;
  role.tie_breaker = ~0ULL;
  refuse(role);
  EXPECT_EQ(drops(DropReason::kBadStun), refused);
  EXPECT_EQ(sink.sent.size(), sent) << "nothing is answered";
  EXPECT_EQ(selected(), near);
  EXPECT_EQ(report().pair_count, before.pair_count);
  EXPECT_EQ(report().controlling, before.controlling);
  EXPECT_EQ(report().consent_until, before.consent_until);
  EXPECT_FALSE(engine().is_validated(kLeg, far));
}

TEST_F(Security, M10_answers_without_integrity_change_nothing) {
  candidate(near, 100);
  update();
  const IceCredentials wrong = ice_credentials("theirs", "not the password at all");
  EXPECT_FALSE(deliver(write_ice_answer(last().bytes, wrong, local), near));
  EXPECT_FALSE(deliver(write_ice_answer(last().bytes, wrong, local, 487), near));
  EXPECT_FALSE(deliver(write_ice_answer(last().bytes, wrong, local, 400), near));
  EXPECT_FALSE(deliver(write_ice_answer(last().bytes, ours, local), near)) << "our own key";
  EXPECT_EQ(drops(DropReason::kBadStun), 4U);
  EXPECT_FALSE(engine().is_validated(kLeg, near));
  EXPECT_EQ(report().pairs[0].state, IcePairState::kInProgress);
  EXPECT_TRUE(answer(last()));
}

TEST_F(Security, M10_a_leg_with_ice_is_deaf_to_guessed_answers) {
  connect();
  alive.clear();
  const Instant until = report().consent_until;
  std::mt19937 random(4);
  IceBytes request = sink.sent.front().bytes;
  for (int i = 0; i < 1000; ++i) {
    for (std::size_t at = 8; at < 20; ++at) request[at] = static_cast<std::uint8_t>(random());
    // A right code, as of somebody who has the password and has not seen our check.
    write_be32(&request[request.size() - 4],
               stun::crc32({request.data(), request.size() - 8}) ^ 0x5354554eU);
    EXPECT_FALSE(deliver(write_ice_answer(request, theirs, local), near));
  }
  EXPECT_EQ(report().consent_until, until);
}

TEST_F(Security, M10_response_is_not_much_larger_than_the_request) {
  for (const bool v6 : {false, true}) {
    IceFixture leg;
    leg.config.local = ice_credentials("u", "0123456789012345678901");
    leg.config.remote = {};
    leg.facts.family = v6 ? AddressFamily::kIpv6 : AddressFamily::kIpv4;
    leg.update();
    const SocketAddress from = v6 ? ice_address("[2001:db8::7]:5000") : far;
    // The shortest that is answered, and each kind of answer.
    for (const auto extra : std::array<std::uint16_t, 2>{0, 0x7ffe}) {
      for (const bool conflict : {false, true}) {
        IceCheck smallest = leg.check();
        smallest.to = leg.config.local;
        smallest.username = "u:";
        smallest.priority.reset();
        smallest.controlling.reset();
        if (conflict) smallest.controlling = false;
        smallest.tie_breaker = ~0ULL;
        smallest.extra = extra;
        const IceBytes request = write_ice_check(smallest);
        const std::size_t before = leg.sink.sent.size();
        EXPECT_TRUE(leg.deliver(request, from));
        ASSERT_EQ(leg.sink.sent.size(), before + 1);
        EXPECT_LE(leg.sink.sent.back().bytes.size() * 10, request.size() * 16);
      }
    }
  }
}

TEST_F(Security, M10_checks_to_unproven_addresses_are_bounded) {
  for (std::uint16_t i = 0; i < kRemoteCandidatesMax; ++i) {
    SocketAddress victim = far;
    victim.port = static_cast<std::uint16_t>(7000 + i);
    candidate(victim, 100U + i);
  }
  for (int i = 0; i < 100; ++i) {
    update();
    run(Seconds(1));
  }
  EXPECT_EQ(sink.sent.size(), kRemoteCandidatesMax * ice::kSendsMax);
}

TEST_F(Security, M10_a_list_of_candidates_that_changes_does_not_grow) {
  for (std::uint16_t round = 0; round < 50; ++round) {
    config.candidate_count = 0;
    for (std::uint16_t i = 0; i < kRemoteCandidatesMax; ++i) {
      SocketAddress victim = far;
      victim.port = static_cast<std::uint16_t>(7000 + 100 * round + i);
      candidate(victim, 100U + i);
    }
    update();
    run(Seconds(1));
  }
  run(Seconds(100));
  EXPECT_LE(sink.sent.size(), kRemoteCandidatesMax * ice::kSendsMax);
}

TEST_F(Security, M7_every_damaged_byte_of_a_check_is_refused) {
  update();
  const IceBytes right = write_ice_check(check());
  for (std::size_t i = 0; i < right.size(); ++i) {
    // The type of FINGERPRINT: then it is another attribute, behind what integrity covers.
    if (i == right.size() - 8 || i == right.size() - 7) continue;
    IceBytes damaged = right;
    damaged[i] ^= 0x10;
    EXPECT_FALSE(deliver(damaged, far)) << i;
  }
  EXPECT_TRUE(sink.sent.empty());
  EXPECT_EQ(report().pair_count, 0);
}

TEST_F(IceSession, repetitions_keep_their_transaction) {
  candidate(near, 200);
  candidate(far, 100);
  update();
  run(Seconds(120));
  std::vector<stun::TransactionId> seen;
  for (const auto& sent : sink.sent) {
    const auto transaction = sent.message()->transaction();
    if (std::find(seen.begin(), seen.end(), transaction) == seen.end()) seen.push_back(transaction);
  }
  EXPECT_EQ(seen.size(), 2U) << "one for each pair, repeated as it is";
  EXPECT_NE(seen[0], stun::TransactionId{});
}

}  // namespace
}  // namespace turnpike::test
