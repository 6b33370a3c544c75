// Where an SRTP leg sends (security ID M1): whom it follows, how fast, and what somebody who sees
// and copies every packet cannot make it do.
#include <set>

#include "tests/unit/media/secure_leg.h"

namespace turnpike::test {
namespace {

struct Follow : Secure {};

TEST_F(Follow, a_named_address_after_several_newest_packets) {
  const auto natted = rebound(31000);
  EXPECT_EQ(client_sends(natted).size(), 1U);
  EXPECT_EQ(client_sends(natted).size(), 1U);
  EXPECT_EQ(destination(), MediaFixture::remote(Side::kA));
  client_sends(natted);
  EXPECT_EQ(destination(), natted);
  const auto notices = media.take_notices();
  ASSERT_EQ(notices.size(), 1U);
  EXPECT_EQ(notices[0].kind, EventKind::kSourceMoved);
  EXPECT_EQ(notices[0].source, natted);
  EXPECT_EQ(media.arrive(Side::kB, rtp_packet(1))[0].destination, natted);
}

TEST_F(Follow, the_address_of_the_signalling_is_a_named_one) {
  a.received_from = elsewhere(50).ip;
  media.update(Side::kA, a);
  for (int i = 0; i < 3; ++i) client_sends(elsewhere(50, 31000));
  EXPECT_EQ(destination(), elsewhere(50, 31000));
}

TEST_F(Follow, any_other_address_only_when_nobody_contests_it_for_a_while) {
  talk(elsewhere(50), 25);
  EXPECT_EQ(destination(), MediaFixture::remote(Side::kA));
  talk(elsewhere(50), 1);
  EXPECT_EQ(destination(), elsewhere(50));
}

TEST_F(Follow, an_unauthenticated_packet_teaches_nothing) {
  for (std::uint16_t i = 0; i < 1000; ++i) {
    EXPECT_TRUE(media.arrive(Side::kA, rtp_packet(i), elsewhere(66)).empty());
  }
  EXPECT_EQ(destination(), MediaFixture::remote(Side::kA));
  EXPECT_EQ(media.state().legs[0].component[0].candidate_packets, 0U);
}

TEST_F(Follow, a_live_source_is_not_replaced) {
  for (int i = 0; i < 10; ++i) client_sends();
  for (int i = 0; i < 100; ++i) {
    media.advance(kFrame);
    client_sends(rebound(31000));
    client_sends();
  }
  EXPECT_EQ(destination(), MediaFixture::remote(Side::kA));
}

TEST_F(Follow, rtcp_does_not_move_rtp) {
  for (int i = 0; i < 10; ++i) {
    media.arrive(Side::kA, client.protect(rtcp_packet(), true), elsewhere(50), Component::kRtcp);
    media.advance(Milliseconds(100));
  }
  EXPECT_EQ(destination(), MediaFixture::remote(Side::kA));
  EXPECT_EQ(media.state().legs[0].component[1].destination, elsewhere(50));
}

TEST_F(Follow, a_learned_source_survives_an_unchanged_offer_and_yields_to_a_changed_one) {
  for (int i = 0; i < 3; ++i) client_sends(rebound(31000));
  media.update(Side::kA, a);
  EXPECT_EQ(destination(), rebound(31000));
  a.remote[0] = elsewhere(60, 7000);
  media.update(Side::kA, a);
  EXPECT_EQ(destination(), elsewhere(60, 7000));
}

TEST_F(Follow, copies_of_one_packet_are_one_packet) {
  for (int round = 0; round < 2; ++round) {
    const auto packet = client.protect(rtp_packet(++sequence));
    for (int i = 0; i < 10; ++i) media.arrive(Side::kA, packet, rebound(31000));
  }
  EXPECT_EQ(destination(), MediaFixture::remote(Side::kA));
  client_sends(rebound(31000));
  EXPECT_EQ(destination(), rebound(31000));
}

TEST_F(Security, M1_raced_copy_does_not_move) {
  talk(MediaFixture::remote(Side::kA), 50);
  // An attacker on the path gets a copy of every packet to us before the original arrives.
  for (int i = 0; i < 500; ++i) {
    const auto packet = client.protect(rtp_packet(++sequence));
    EXPECT_EQ(media.arrive(Side::kA, packet, elsewhere(66)).size(), 1U);
    EXPECT_TRUE(media.arrive(Side::kA, packet).empty());
    media.advance(kFrame);
  }
  EXPECT_EQ(destination(), MediaFixture::remote(Side::kA));
  EXPECT_EQ(media.drops(DropReason::kReplayed), 500U);
  EXPECT_EQ(media.stats().legs[0].source_moves, 0U);
}

TEST_F(Security, M1_moves_are_bounded) {
  // Two copies of the client take turns: at most one move a second, whatever they do.
  for (int i = 0; i < 3; ++i) client_sends(rebound(6001));
  EXPECT_EQ(media.stats().legs[0].source_moves, 1U);
  for (int turn = 0; turn < 100; ++turn) {
    media.advance(Milliseconds(100));
    for (int i = 0; i < 3; ++i) {
      client_sends(rebound(static_cast<std::uint16_t>(6002 + turn / 6 % 2)));
    }
  }
  EXPECT_LE(media.stats().legs[0].source_moves, 11U);
  EXPECT_GE(media.stats().legs[0].source_moves, 2U);
}

TEST_F(Security, M1_racer_at_call_start_loses_against_the_address_of_the_signalling) {
  sign_private_address();
  a.received_from = client_at.ip;
  start();
  for (const std::size_t lead : {0U, 1U, 5U, 20U}) race(lead, 100);
  EXPECT_EQ(destination(), client_at);
  EXPECT_EQ(held_by_racer, 0U);
}

TEST_F(Security, M1_racer_at_call_start_gets_nothing_where_signalling_names_nobody) {
  sign_private_address();
  start();
  for (const std::size_t lead : {0U, 1U, 5U, 20U}) race(lead, 100);
  // Two equals claim the same packets: neither gets media, until one of them gives up.
  EXPECT_EQ(seen, std::set<SocketAddress>{a.remote[0]});
  talk(client_at, 60);
  EXPECT_EQ(destination(), client_at);
}

TEST_F(Security, M1_racer_with_a_long_lead_does_not_keep_the_leg) {
  sign_private_address();
  start();
  race(40, 40);  // 800 ms: nobody could know better
  EXPECT_EQ(destination(), racer);
  race(40, 500);
  EXPECT_EQ(destination(), a.remote[0]);
  EXPECT_LE(held_by_racer, 2U * 75U);  // a second and a half, of twelve
  talk(client_at, 60);
  EXPECT_EQ(destination(), client_at);
}

TEST_F(Security, M1_racer_behind_the_same_nat_does_not_keep_the_leg) {
  sign_private_address();
  a.received_from = client_at.ip;
  racer = {client_at.ip, 6666};
  start();
  race(5, 1000);
  EXPECT_EQ(destination(), a.remote[0]);
  EXPECT_LE(held_by_racer, 2U * 60U);
}

TEST_F(Security, M1_racer_behind_the_same_nat_loses_against_a_port_that_the_nat_kept) {
  sign_private_address();
  a.received_from = client_at.ip;
  client_at.port = a.remote[0].port;
  racer = {client_at.ip, 6666};
  start();
  race(5, 300);
  EXPECT_EQ(destination(), client_at);
  EXPECT_LE(held_by_racer, 2U * 60U);
}

TEST_F(Security, M1_late_copies_do_not_take_a_leg_from_its_client) {
  sign_private_address();
  start();
  talk(client_at, 300);
  ASSERT_EQ(destination(), client_at);
  std::swap(client_at, racer);  // now the client is first and the attacker second
  race(3, 500);
  EXPECT_EQ(destination(), racer);
  EXPECT_EQ(media.stats().legs[0].source_moves, 1U);
}

TEST_F(Security, M1_late_copies_from_nowhere_do_not_hold_a_named_client_up) {
  sign_private_address();
  a.received_from = client_at.ip;
  start();
  std::swap(client_at, racer);
  race(1, 3);
  EXPECT_EQ(destination(), racer);
  race(1, 500);
  EXPECT_EQ(destination(), racer);
  EXPECT_EQ(media.stats().legs[0].source_moves, 1U);
}

TEST_F(Security, M1_client_gets_its_leg_back_after_a_burst_of_loss) {
  sign_private_address();
  start();
  talk(client_at, 300);
  race(1000, 60);  // of the originals none arrives, of the copies all
  EXPECT_EQ(destination(), racer);
  delayed.clear();
  race(1, 500);
  EXPECT_EQ(destination(), client_at);
  EXPECT_LE(held_by_racer, 60U + 2U * 55U);
}

TEST_F(Security, M1_racer_does_not_get_the_leg_when_the_nat_rebinds) {
  client_at = MediaFixture::remote(Side::kA);
  race(1, 300);
  delayed.clear();
  client_at.port = 40000;
  race(1, 300);
  EXPECT_EQ(destination(), client_at);
  EXPECT_EQ(held_by_racer, 0U);
  EXPECT_EQ(media.stats().legs[0].source_moves, 1U);
}

TEST_F(Security, M1_racer_gets_no_rtcp_though_an_original_is_lost) {
  sign_private_address();
  a.received_from = client_at.ip;
  start();
  unsigned held = 0;
  for (int i = 0; i < 60; ++i) {
    const auto packet = client.protect(rtcp_packet(), true);
    media.arrive(Side::kA, packet, racer, Component::kRtcp);
    if (i % 5 != 4) media.arrive(Side::kA, packet, client_at, Component::kRtcp);
    held += media.state().legs[0].component[1].destination == racer ? 1 : 0;
    media.advance(Seconds(5));
  }
  EXPECT_EQ(held, 0U);
  EXPECT_EQ(media.state().legs[0].component[1].destination, client_at);
}

TEST_F(Security, M1_a_new_offer_ends_an_undecided_contest) {
  sign_private_address();
  start();
  race(5, 100);
  a.remote[0] = client_at;
  media.update(Side::kA, a);
  race(5, 100);
  EXPECT_EQ(destination(), client_at);
  EXPECT_EQ(held_by_racer, 0U);
}

TEST_F(Security, M1_a_held_leg_is_not_followed) {
  LegConfig held = a;
  held.remote = {};
  media.update(Side::kA, held);
  for (int i = 0; i < 20; ++i) client_sends(elsewhere(50));
  EXPECT_FALSE(destination().is_set());
  EXPECT_TRUE(media.arrive(Side::kB, rtp_packet(1)).empty());
  LegConfig latching = MediaFixture::plain(Side::kB);
  latching.source_policy = SourcePolicy::kLatch;
  latching.received_from = elsewhere(9).ip;
  latching.remote = {};
  media.update(Side::kB, latching);
  media.update(Side::kA, a);
  EXPECT_EQ(media.arrive(Side::kB, rtp_packet(2), elsewhere(9)).size(), 1U);
  EXPECT_TRUE(client_sends().empty());
}

}  // namespace
}  // namespace turnpike::test
