// Check lists, pace, repetition and answers of one leg (RFC 8445 sections 6 and 7).
#include <gtest/gtest.h>

#include "tests/unit/ice/session_fixture.h"

namespace turnpike::test {
namespace {

using stun::Class;

TEST_F(Ice, a_check_says_what_rfc_8445_asks_for) {
  candidate(near, 100);
  update();
  ASSERT_EQ(sink.sent.size(), 1U);
  const auto message = last().message();
  ASSERT_TRUE(message);
  EXPECT_EQ(last().to, near);
  EXPECT_EQ(message->message_class(), Class::kRequest);
  EXPECT_EQ(message->username(), "theirs:ours");
  EXPECT_EQ(message->priority(), (110U << 24) | (65535U << 8) | 255U);
  EXPECT_TRUE(message->u64(stun::kIceControlled));
  EXPECT_FALSE(message->u64(stun::kIceControlling));
  EXPECT_FALSE(message->use_candidate());
  EXPECT_TRUE(message->has_fingerprint());
  EXPECT_TRUE(ice::is_authentic(*message, ice_key(theirs)));
  EXPECT_EQ(sink.states, std::vector{IceState::kChecking});
}

TEST_F(Ice, checks_are_paced_and_ordered_by_priority) {
  for (std::uint16_t i = 0; i < 5; ++i) {
    SocketAddress address = near;
    address.port = static_cast<std::uint16_t>(5000 + i);
    candidate(address, 100U + i);
  }
  update();
  run(Milliseconds(240));
  ASSERT_EQ(sink.sent.size(), 5U);
  for (std::size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(sink.sent[i].to.port, 5004 - i);
    if (i > 0) {
      EXPECT_GE(sink.sent[i].at - sink.sent[i - 1].at, ice::kPace);
    }
  }
}

TEST_F(Ice, a_check_is_sent_seven_times_and_then_fails) {
  candidate(near, 100);
  update();
  run(Seconds(60));
  ASSERT_EQ(sink.sent.size(), 7U);
  const std::array<int, 7> at_ms = {0, 500, 1500, 3500, 7500, 15500, 31500};
  for (std::size_t i = 0; i < 7; ++i) {
    EXPECT_EQ(sink.sent[i].at, Instant(Seconds(1000)) + Milliseconds(at_ms[i]));
    EXPECT_EQ(sink.sent[i].bytes, sink.sent[0].bytes);
  }
  EXPECT_EQ(state(), IceState::kFailed);
  EXPECT_EQ(report().pairs[0].state, IcePairState::kFailed);
  EXPECT_LT(wakeups, 20);
  EXPECT_EQ(engine().next_deadline(), Instant::max());
}

TEST_F(Ice, a_check_of_theirs_revives_what_has_failed) {
  candidate(near, 100);
  update();
  run(Seconds(60));
  ASSERT_EQ(state(), IceState::kFailed);
  alive = {near};
  EXPECT_TRUE(check_from(near, true));
  run(Milliseconds(100));
  EXPECT_EQ(state(), IceState::kConnected);
  EXPECT_EQ(selected(), near);
}

TEST_F(Ice, a_check_of_theirs_hastens_ours) {
  candidate(near, 100);
  update();
  run(Seconds(5));
  const std::size_t before = sink.sent.size();
  ASSERT_EQ(before, 4U);
  check_from(near);
  run(Milliseconds(2000));
  std::vector<Instant> at;
  for (const auto& sent : sink.sent) {
    if (sent.is(Class::kRequest)) at.push_back(sent.at);
  }
  ASSERT_EQ(at.size(), 7U);
  EXPECT_EQ(at[4], Instant(Seconds(1005)));
  EXPECT_EQ(at[5] - at[4], ice::kFirstTimeout);
  EXPECT_EQ(at[6] - at[5], 2 * ice::kFirstTimeout);
}

TEST_F(Ice, waits_without_remote_credentials_and_remembers_checks) {
  config.remote = {};
  update();
  EXPECT_EQ(state(), IceState::kWaiting);
  EXPECT_TRUE(check_from(near, true));
  ASSERT_EQ(sink.sent.size(), 1U);
  EXPECT_TRUE(last().is(Class::kSuccess));
  run(Seconds(5));
  EXPECT_EQ(sink.sent.size(), 1U);
  EXPECT_FALSE(selected().is_set());
  alive = {near};
  config.remote = theirs;
  update();
  run(Milliseconds(100));
  EXPECT_EQ(selected(), near);
  EXPECT_EQ(state(), IceState::kConnected);
}

TEST_F(Ice, answers_carry_the_source_and_our_code) {
  update();
  const IceBytes request = write_ice_check(check());
  deliver(request, far);
  const auto& sent = sink.sent.front();
  const auto message = sent.message();
  ASSERT_TRUE(message);
  EXPECT_EQ(message->message_class(), Class::kSuccess);
  EXPECT_EQ(message->transaction(), stun::Message::parse(request)->transaction());
  EXPECT_EQ(message->xor_address(stun::kXorMappedAddress), far);
  EXPECT_TRUE(ice::is_authentic(*message, ice_key(ours)));
  EXPECT_TRUE(message->has_fingerprint());
}

TEST_F(Ice, a_source_that_was_not_named_is_checked_in_return) {
  update();
  alive = {far};
  check_from(far, true);
  run(Milliseconds(100));
  EXPECT_EQ(selected(), far);
  EXPECT_EQ(report().pairs[0].type, CandidateType::kPeerReflexive);
  EXPECT_TRUE(engine().is_validated(kLeg, far));
  EXPECT_FALSE(engine().is_validated(kLeg, near));
}

TEST_F(Ice, peer_reflexive_pairs_are_bounded_and_the_selected_one_stays) {
  update();
  alive = {far};
  check_from(far, true);
  run(Milliseconds(100));
  ASSERT_EQ(selected(), far);
  for (std::uint16_t port = 2000; port < 2200; ++port) {
    SocketAddress address = near;
    address.port = port;
    if (port >= 2100) alive.push_back(address);
    check_from(address);
    run(Milliseconds(60));
  }
  EXPECT_EQ(report().pair_count, ice::kPeerReflexiveMax);
  EXPECT_EQ(report().pairs[0].remote, far);
  EXPECT_TRUE(report().pairs[0].selected);
}

TEST_F(Ice, an_answer_from_elsewhere_does_not_count) {
  candidate(near, 100);
  update();
  EXPECT_FALSE(deliver(write_ice_answer(last().bytes, theirs, local), far));
  EXPECT_EQ(drops(DropReason::kUnknownStun), 1U);
  EXPECT_FALSE(engine().is_validated(kLeg, near));
  EXPECT_TRUE(answer(last()));
  EXPECT_TRUE(engine().is_validated(kLeg, near));
}

TEST_F(Ice, an_answer_counts_once) {
  candidate(near, 100);
  update();
  const IceRecorder::Sent request = last();
  EXPECT_TRUE(answer(request));
  EXPECT_FALSE(answer(request));
  EXPECT_EQ(drops(DropReason::kUnknownStun), 1U);
}

TEST_F(Ice, an_error_fails_the_pair) {
  candidate(near, 100);
  update();
  EXPECT_TRUE(answer(last(), 400));
  EXPECT_EQ(report().pairs[0].state, IcePairState::kFailed);
}

TEST_F(Ice, unknown_attributes_are_refused_with_420) {
  update();
  IceCheck strange = check();
  strange.extra = 0x7ffe;
  strange.use_candidate = true;
  EXPECT_TRUE(deliver(write_ice_check(strange), near));
  ASSERT_EQ(sink.sent.size(), 1U);
  const auto message = last().message();
  EXPECT_EQ(message->error_code(), 420);
  ASSERT_TRUE(message->find(stun::kUnknownAttributes));
  EXPECT_EQ(read_be16(message->find(stun::kUnknownAttributes)->data()), 0x7ffe);
  EXPECT_TRUE(ice::is_authentic(*message, ice_key(ours)));
  EXPECT_FALSE(engine().is_validated(kLeg, near));
}

TEST_F(Ice, attributes_that_need_not_be_understood_are_ignored) {
  update();
  IceCheck strange = check();
  strange.extra = 0xc057;
  EXPECT_TRUE(deliver(write_ice_check(strange), near));
  EXPECT_TRUE(sink.sent.front().is(Class::kSuccess));
}

TEST_F(Ice, other_stun_is_counted_and_not_answered) {
  update();
  IceCheck indication = check();
  indication.message_class = Class::kIndication;
  EXPECT_FALSE(deliver(write_ice_check(indication), near));
  IceCheck allocate = check();
  allocate.method = 3;
  EXPECT_FALSE(deliver(write_ice_check(allocate), near));
  EXPECT_EQ(drops(DropReason::kUnknownStun), 2U);
  SocketAddress dns = near;
  dns.port = 53;
  EXPECT_FALSE(check_from(dns));
  EXPECT_EQ(drops(DropReason::kReservedSourcePort), 1U);
  EXPECT_FALSE(check_from(near, false, Component::kRtcp));
  EXPECT_EQ(drops(DropReason::kUnexpectedStun), 1U);
  EXPECT_TRUE(sink.sent.empty());
}

TEST_F(Ice, candidates_that_must_not_be_checked_are_not) {
  for (const char* text : {"198.51.100.7:1023", "0.0.0.0:5000", "127.0.0.1:5000", "239.1.1.1:5000",
                           "[2001:db8::7]:5000"}) {
    candidate(ice_address(text), 100);
  }
  update();
  run(Seconds(60));
  EXPECT_TRUE(sink.sent.empty());
  EXPECT_EQ(report().pair_count, 0);
}

TEST_F(Ice, ipv6_legs_check_ipv6_candidates) {
  facts.family = AddressFamily::kIpv6;
  candidate(ice_address("[2001:db8::7]:5000"), 100);
  candidate(ice_address("[ff02::1]:5000"), 100);
  candidate(near, 100);
  update();
  run(Seconds(2));
  EXPECT_EQ(report().pair_count, 1);
  EXPECT_EQ(last().to, ice_address("[2001:db8::7]:5000"));
}

TEST_F(Ice, trickled_candidates_are_added_and_known_ones_stay) {
  candidate(near, 100);
  update();
  run(Milliseconds(300));
  EXPECT_EQ(sink.sent.size(), 1U);
  candidate(far, 200);
  update();
  run(Milliseconds(100));
  EXPECT_EQ(checks_to(near), 1U);
  EXPECT_EQ(checks_to(far), 1U);
}

TEST_F(Ice, a_trickled_candidate_revives_what_has_failed) {
  candidate(near, 100);
  update();
  run(Seconds(60));
  ASSERT_EQ(state(), IceState::kFailed);
  candidate(far, 100);
  update();
  EXPECT_EQ(state(), IceState::kChecking);
}

TEST_F(Ice, both_components_need_a_pair_without_mux) {
  facts.rtcp_mux = false;
  candidate(near, 100);
  candidate(far, 100, Component::kRtcp);
  alive = {near, far};
  update();
  run(Milliseconds(300));
  check_from(near, true);
  EXPECT_EQ(state(), IceState::kChecking);
  check_from(far, true, Component::kRtcp);
  EXPECT_EQ(state(), IceState::kConnected);
  EXPECT_EQ(selected(Component::kRtcp), far);
  facts.rtcp_mux = true;
  update();
  EXPECT_FALSE(selected(Component::kRtcp).is_set());
  EXPECT_EQ(state(), IceState::kConnected);
}

TEST_F(Ice, off_and_close_forget_the_leg) {
  candidate(near, 100);
  update();
  config.mode = IceMode::kOff;
  update();
  EXPECT_EQ(sink.states.back(), IceState::kOff);
  EXPECT_EQ(engine().next_deadline(), Instant::max());
  EXPECT_FALSE(check_from(near));
  EXPECT_EQ(drops(DropReason::kUnexpectedStun), 1U);
  config.mode = IceMode::kFull;
  update();
  engine().close(kLeg);
  EXPECT_EQ(engine().next_deadline(), Instant::max());
  EXPECT_EQ(state(), IceState::kOff);
}

TEST_F(Ice, another_generation_is_another_leg) {
  update();
  SocketTag stale = kLeg;
  stale.generation = 8;
  EXPECT_FALSE(engine().is_validated(stale, near));
  engine().close(stale);
  EXPECT_EQ(state(), IceState::kChecking) << "still there";
}

TEST_F(Ice, long_passwords_and_fragments_fit) {
  config.local = ice_credentials(std::string(64, 'l'), std::string(128, 'p'));
  config.remote = ice_credentials(std::string(64, 'r'), std::string(128, 'q'));
  candidate(near, 100);
  update();
  ASSERT_EQ(sink.sent.size(), 1U);
  EXPECT_EQ(last().message()->username()->size(), 129U);
  EXPECT_TRUE(ice::is_authentic(*last().message(), ice_key(config.remote)));
}

TEST_F(Ice, the_longest_credentials_work) {
  const IceCredentials longest = ice_credentials(std::string(256, 'u'), std::string(256, 'p'));
  config.remote = longest;
  candidate(near, 100);
  update();
  ASSERT_EQ(checks_to(near), 1U);
  EXPECT_EQ(last().message()->username(), std::string(256, 'u') + ":ours");
  EXPECT_TRUE(deliver(write_ice_answer(last().bytes, longest, local), near));
  IceCheck nomination = check();
  nomination.from = longest;
  nomination.use_candidate = true;
  EXPECT_TRUE(deliver(write_ice_check(nomination), near));
  EXPECT_EQ(selected(), near);
}

}  // namespace
}  // namespace turnpike::test
