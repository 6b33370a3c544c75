// What an attacker must not be able to do to a leg with ICE.
#include <gtest/gtest.h>

#include "tests/unit/ice/session_fixture.h"

namespace turnpike::test {
namespace {

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
  EXPECT_LT(wakeups, 200);
  // With many checks under way each waits longer (RFC 8445 section 14.3).
  std::vector<Instant> first;
  for (const auto& sent : sink.sent) {
    if (sent.to == sink.sent.front().to) first.push_back(sent.at);
  }
  EXPECT_GE(first[2] - first[1], 2 * kRemoteCandidatesMax * ice::kPace);
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
