// SRTP legs: mixes of plain and keyed, restarted senders, and the security IDs that the engine
// answers for, but for M1 (follow_test.cc).
#include "tests/unit/media/secure_leg.h"

namespace turnpike::test {
namespace {

TEST_F(Secure, srtp_to_rtp_and_back) {
  const auto plain = rtp_packet(7);
  auto sent = media.arrive(Side::kA, client.protect(plain));
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].bytes, plain);
  sent = media.arrive(Side::kB, plain);
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_NE(sent[0].bytes, plain);
  EXPECT_EQ(client.unprotect(sent[0].bytes), plain);
}

TEST_F(Secure, srtcp_to_rtcp_and_back) {
  const auto plain = rtcp_packet();
  auto sent = media.arrive(Side::kA, client.protect(plain, true),
                           MediaFixture::remote(Side::kA, Component::kRtcp), Component::kRtcp);
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].bytes, plain);
  sent = media.arrive(Side::kB, plain, MediaFixture::remote(Side::kB, Component::kRtcp),
                      Component::kRtcp);
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(client.unprotect(sent[0].bytes, true), plain);
}

TEST_F(Secure, different_keys_and_suites_on_the_two_legs) {
  const LegConfig b = MediaFixture::secure(Side::kB, kGcm, 9);
  media.update(Side::kB, b);
  SrtpPeer peer(b.receive, b.send);
  for (std::uint16_t i = 1; i < 100; ++i) {
    const auto plain = rtp_packet(i);
    const auto sent = media.arrive(Side::kA, client.protect(plain));
    ASSERT_EQ(sent.size(), 1U);
    EXPECT_EQ(peer.unprotect(sent[0].bytes), plain);
    const auto back = media.arrive(Side::kB, peer.protect(plain));
    ASSERT_EQ(back.size(), 1U);
    EXPECT_EQ(client.unprotect(back[0].bytes), plain);
  }
}

TEST_F(Secure, a_batch_with_new_and_old_streams_keeps_their_order) {
  for (std::uint16_t i = 65530; i != 20; ++i) {
    media.queue(Side::kA, client.protect(rtp_packet(i)), MediaFixture::remote(Side::kA));
  }
  const auto sent = media.deliver();
  ASSERT_EQ(sent.size(), 26U);
  EXPECT_EQ(media.stats().legs[0].stream_count, 1U);
  EXPECT_EQ(media.stats().legs[0].streams[0].rollover_counter, 1U);
}

TEST_F(Secure, an_unkeyed_secure_leg_drops_both_ways) {
  LegConfig b = MediaFixture::plain(Side::kB);
  b.must_encrypt = true;
  media.update(Side::kB, b);
  EXPECT_TRUE(media.arrive(Side::kB, rtp_packet(1)).empty());
  EXPECT_TRUE(client_sends().empty());
  EXPECT_EQ(media.drops(DropReason::kNotKeyed), 2U);
}

TEST_F(Secure, a_new_key_starts_anew_and_the_old_one_is_gone) {
  client_sends();
  const auto old_key_packet = client.protect(rtp_packet(5000));
  a.receive = keying(kCm, 77);
  media.update(Side::kA, a);
  EXPECT_TRUE(media.arrive(Side::kA, old_key_packet).empty());
  EXPECT_EQ(media.drops(DropReason::kAuthFailed), 1U);
  SrtpPeer renewed(a.receive, a.send);
  EXPECT_EQ(media.arrive(Side::kA, renewed.protect(rtp_packet(1))).size(), 1U);
}

TEST_F(Secure, a_sender_that_restarts_its_sequence_is_heard_again) {
  for (std::uint16_t i = 1000; i < 1200; ++i) {
    const auto sent = media.arrive(Side::kB, rtp_packet(i));
    ASSERT_EQ(sent.size(), 1U);
    ASSERT_FALSE(client.unprotect(sent[0].bytes).empty());
  }
  unsigned heard = 0;
  for (std::uint16_t i = 1; i <= 50; ++i) {  // behind the window: an index may not be used again
    const auto sent = media.arrive(Side::kB, rtp_packet(i));
    if (!sent.empty() && !client.unprotect(sent[0].bytes).empty()) ++heard;
  }
  EXPECT_EQ(heard, 48U);
  EXPECT_EQ(media.drops(DropReason::kSendIndexUsed), 2U);
}

TEST_F(Secure, a_network_that_duplicates_packets_does_not_look_like_a_restart) {
  for (std::uint16_t i = 1; i <= 50; ++i) {
    const auto sent = media.arrive(Side::kB, rtp_packet(i));
    ASSERT_EQ(sent.size(), 1U);
    EXPECT_EQ(client.unprotect(sent[0].bytes), rtp_packet(i));  // its number is not shifted
    EXPECT_TRUE(media.arrive(Side::kB, rtp_packet(i)).empty());
  }
  EXPECT_EQ(media.drops(DropReason::kSendIndexUsed), 50U);
}

TEST_F(Secure, random_ssrcs_without_a_key_leave_no_state) {
  for (std::uint32_t ssrc = 0; ssrc < 10000; ++ssrc) {
    media.queue(Side::kA, rtp_packet(1, ssrc), elsewhere(1));
    if (ssrc % 50 == 49) {
      EXPECT_TRUE(media.deliver().empty());
    }
  }
  EXPECT_EQ(media.drops(DropReason::kAuthFailed), 10000U);
  EXPECT_EQ(media.arena().streams_in_use(), 0U);
  EXPECT_EQ(client_sends().size(), 1U);
}

TEST_F(Security, T1_an_unproven_address_gets_nothing) {
  LegConfig other = a;
  other.remote_unproven = true;
  other.remote[0] = elsewhere(7);
  other.received_from = elsewhere(8).ip;
  media.update(Side::kA, other);
  const auto to_client = [&](std::uint16_t n) { return media.arrive(Side::kB, rtp_packet(n)); };
  EXPECT_FALSE(destination().is_set());
  EXPECT_TRUE(to_client(1).empty());
  EXPECT_EQ(media.drops(DropReason::kNoDestination), 1U);
  media.advance(Seconds(40));
  EXPECT_FALSE(destination().is_set());
  // Forged packets prove nothing, authentic ones from behind the client's NAT do.
  for (std::uint16_t i = 0; i < 10; ++i) media.arrive(Side::kA, rtp_packet(i), elsewhere(7));
  EXPECT_TRUE(to_client(2).empty());
  for (int i = 0; i < 3; ++i) EXPECT_EQ(client_sends(elsewhere(8)).size(), 1U);
  EXPECT_EQ(destination(), elsewhere(8));
  EXPECT_EQ(to_client(3).size(), 1U);
  // A re-offer with the same address keeps what was proven, one with another asks for proof again.
  media.update(Side::kA, other);
  EXPECT_EQ(destination(), elsewhere(8));
  other.remote[0] = elsewhere(9);
  media.update(Side::kA, other);
  EXPECT_FALSE(destination().is_set());
}

TEST_F(Security, M2_no_trust_in_first_packets_and_short_rtcp_is_refused) {
  for (std::uint16_t i = 0; i < 5; ++i) {
    EXPECT_TRUE(media.arrive(Side::kA, rtp_packet(i), elsewhere(66)).empty());
  }
  EXPECT_EQ(destination(), MediaFixture::remote(Side::kA));
  const std::vector<std::uint8_t> four_bytes = {0x80, 200, 0x00, 0x00};
  for (const Side side : {Side::kA, Side::kB}) {
    EXPECT_TRUE(media
                    .arrive(side, four_bytes, MediaFixture::remote(side, Component::kRtcp),
                            Component::kRtcp)
                    .empty());
  }
  EXPECT_EQ(media.drops(DropReason::kTooShort), 2U);
}

TEST_F(Security, M3_srtp_without_a_valid_tag_has_no_effect) {
  auto packet = client.protect(rtp_packet(++sequence));
  packet.back() ^= 1;
  EXPECT_TRUE(media.arrive(Side::kA, packet).empty());
  auto cut = client.protect(rtp_packet(++sequence));
  cut.resize(cut.size() - 10);
  EXPECT_TRUE(media.arrive(Side::kA, cut).empty());
  EXPECT_EQ(media.drops(DropReason::kAuthFailed), 2U);
  const LegStats stats = media.stats().legs[0];
  EXPECT_EQ(stats.packets_received, 0U);
  EXPECT_EQ(stats.stream_count, 0U);
  EXPECT_EQ(stats.last_packet, Instant{});
}

TEST_F(Security, M3_plain_leg_accepts_only_the_signalled_source) {
  MediaFixture plain;
  plain.update(Side::kA, MediaFixture::plain(Side::kA));
  plain.update(Side::kB, MediaFixture::plain(Side::kB));
  for (std::uint16_t i = 0; i < 1000; ++i) {
    const SocketAddress attacker{IpAddress::v4(203, 0, 113, 5),
                                 static_cast<std::uint16_t>(2000 + i)};
    EXPECT_TRUE(plain.arrive(Side::kA, rtp_packet(i), attacker).empty());
  }
  const auto sent = plain.arrive(Side::kB, rtp_packet(1));
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].destination, MediaFixture::remote(Side::kA));
}

TEST_F(Security, M5_a_thousand_auth_failures_end_nothing) {
  for (std::uint16_t i = 0; i < 1000; ++i) {
    auto packet = client.protect(rtp_packet(++sequence));
    packet[20] ^= 0xff;
    EXPECT_TRUE(media.arrive(Side::kA, packet).empty());
    EXPECT_TRUE(media.take_notices().empty());
  }
  EXPECT_EQ(client_sends().size(), 1U);
}

TEST_F(Security, M6_srtp_leg_refuses_plain_rtp_for_good) {
  EXPECT_TRUE(media.arrive(Side::kA, rtp_packet(1)).empty());
  LegConfig downgraded = MediaFixture::plain(Side::kA);
  media.update(Side::kA, downgraded);
  EXPECT_TRUE(media.arrive(Side::kA, rtp_packet(2)).empty());
  EXPECT_TRUE(media.arrive(Side::kB, rtp_packet(3)).empty());
  EXPECT_EQ(media.drops(DropReason::kNotKeyed), 2U);
}

TEST_F(Security, M9_replays_are_dropped) {
  const auto packet = client.protect(rtp_packet(++sequence));
  EXPECT_EQ(media.arrive(Side::kA, packet).size(), 1U);
  EXPECT_TRUE(media.arrive(Side::kA, packet).empty());
  EXPECT_TRUE(media.arrive(Side::kA, packet, elsewhere(1)).empty());
  EXPECT_EQ(media.drops(DropReason::kReplayed), 2U);
}

TEST_F(Security, M9_a_repeated_sequence_is_not_encrypted_twice) {
  const auto first = media.arrive(Side::kB, rtp_packet(10, 0x22, 160, 0));
  auto other_payload = rtp_packet(10, 0x22, 160, 0);
  other_payload[50] ^= 0xff;
  EXPECT_EQ(first.size(), 1U);
  EXPECT_TRUE(media.arrive(Side::kB, other_payload).empty());
  EXPECT_EQ(media.drops(DropReason::kSendIndexUsed), 1U);
}

TEST_F(Security, M9_same_key_after_an_offer_keeps_its_indices) {
  EXPECT_EQ(media.arrive(Side::kB, rtp_packet(10)).size(), 1U);
  media.update(Side::kA, a);
  EXPECT_TRUE(media.arrive(Side::kB, rtp_packet(10)).empty());
  EXPECT_EQ(media.drops(DropReason::kSendIndexUsed), 1U);
}

TEST_F(Security, M9_ssrcs_are_limited_and_used_indices_are_never_forgotten) {
  // Music on hold, announcements, transfers: each brings an SSRC of its own.
  for (std::uint32_t ssrc = 1; ssrc <= 24; ++ssrc) {
    const auto sent = media.arrive(Side::kB, rtp_packet(100, ssrc));
    EXPECT_EQ(sent.size(), 1U) << ssrc;
    media.advance(Seconds(10));
  }
  EXPECT_EQ(media.stats().legs[1].stream_count, 8U);
  // All at once they are still too many.
  for (std::uint32_t ssrc = 100; ssrc < 120; ++ssrc) media.arrive(Side::kB, rtp_packet(1, ssrc));
  EXPECT_EQ(media.drops(DropReason::kStreamLimit), 20U - 8U);
}

TEST_F(Security, M9_a_returning_ssrc_finds_its_used_indices) {
  EXPECT_EQ(media.arrive(Side::kB, rtp_packet(100, 1)).size(), 1U);
  const auto recorded = client.protect(rtp_packet(500, 77));
  EXPECT_EQ(media.arrive(Side::kA, recorded).size(), 1U);
  for (std::uint32_t ssrc = 1000; ssrc < 1016; ++ssrc) {
    media.advance(Seconds(10));
    media.arrive(Side::kB, rtp_packet(1, ssrc));
    media.arrive(Side::kA, client.protect(rtp_packet(1, ssrc)));
  }
  const std::uint64_t used = media.drops(DropReason::kSendIndexUsed);
  auto other_payload = rtp_packet(100, 1);
  other_payload[30] ^= 0xff;
  EXPECT_TRUE(media.arrive(Side::kB, other_payload).empty());
  EXPECT_EQ(media.drops(DropReason::kSendIndexUsed), used + 1);
  EXPECT_TRUE(media.arrive(Side::kA, recorded).empty());
  EXPECT_EQ(media.drops(DropReason::kReplayed) + media.drops(DropReason::kTooOld), 1U);
  EXPECT_EQ(media.arrive(Side::kB, rtp_packet(101, 1)).size(), 1U);
}

}  // namespace
}  // namespace turnpike::test
