// Legs whose destinations come from ICE and whose keys come from DTLS, as the media engine sees it.
#include <algorithm>
#include <vector>

#include "tests/unit/media/secure_leg.h"

namespace turnpike::test {
namespace {

const SocketTag kLegA{MediaFixture::kId.slot, MediaFixture::kId.generation, Side::kA,
                      Component::kRtp};
const std::vector<std::uint8_t> kStun = {0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42};
const std::vector<std::uint8_t> kDtls = {22, 254, 253, 0, 0};

struct IceLeg : ::testing::Test {
  IceLeg() {
    a.ice = true;
    media.update(Side::kA, a);
    media.update(Side::kB, MediaFixture::plain(Side::kB));
  }
  std::size_t sent_to_a() { return media.arrive(Side::kB, rtp_packet(++sequence)).size(); }

  MediaFixture media;
  LegConfig a = MediaFixture::plain(Side::kA);
  std::uint16_t sequence = 0;
};

TEST_F(IceLeg, gets_nothing_before_a_pair_is_selected) {
  EXPECT_EQ(sent_to_a(), 0U);
  EXPECT_EQ(media.drops(DropReason::kNoDestination), 1U);
  media.engine().set_destination(kLegA, elsewhere(50));
  const auto sent = media.arrive(Side::kB, rtp_packet(9));
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].destination, elsewhere(50));
}

TEST_F(IceLeg, plain_media_comes_from_the_selected_pair_only) {
  EXPECT_TRUE(media.arrive(Side::kA, rtp_packet(1)).empty());
  media.engine().set_destination(kLegA, elsewhere(50));
  EXPECT_TRUE(media.arrive(Side::kA, rtp_packet(2)).empty());
  EXPECT_EQ(media.drops(DropReason::kWrongSource), 2U);
  EXPECT_EQ(media.arrive(Side::kA, rtp_packet(3), elsewhere(50)).size(), 1U);
}

TEST_F(IceLeg, a_new_description_keeps_the_pair_and_the_end_of_consent_takes_it_away) {
  media.engine().set_destination(kLegA, elsewhere(50));
  a.remote[0].port = 7000;
  media.update(Side::kA, a);
  EXPECT_EQ(sent_to_a(), 1U);
  media.engine().set_destination(kLegA, SocketAddress{});
  EXPECT_EQ(sent_to_a(), 0U);
}

TEST_F(IceLeg, without_ice_again_it_sends_to_the_signalled_address) {
  media.engine().set_destination(kLegA, elsewhere(50));
  a.ice = false;
  media.update(Side::kA, a);
  const auto sent = media.arrive(Side::kB, rtp_packet(9));
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].destination, MediaFixture::remote(Side::kA));
}

TEST_F(IceLeg, sets_stun_aside_and_counts_what_is_refused) {
  EXPECT_TRUE(media.arrive(Side::kA, kStun, elsewhere(50)).empty());
  ASSERT_EQ(media.engine().strays().size(), 1U);
  EXPECT_EQ(media.drops_total(), 0U);
  media.engine().refuse(*media.engine().strays()[0], DropReason::kBadStun);
  EXPECT_EQ(media.drops(DropReason::kBadStun), 1U);
  EXPECT_EQ(media.stats().legs[0].drops[static_cast<std::size_t>(DropReason::kBadStun)], 1U);
  EXPECT_TRUE(media.arrive(Side::kB, kStun).empty());
  EXPECT_TRUE(media.engine().strays().empty());
  EXPECT_EQ(media.drops(DropReason::kUnexpectedStun), 1U);
}

TEST_F(IceLeg, an_authentic_packet_from_elsewhere_does_not_move_it) {
  LegConfig secure = MediaFixture::secure(Side::kA, kCm, 1);
  secure.ice = true;
  SrtpPeer client(secure.receive, secure.send);
  media.update(Side::kA, secure);
  media.engine().set_destination(kLegA, elsewhere(50));
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(media.arrive(Side::kA, client.protect(rtp_packet(++sequence)), elsewhere(66)).size(),
              1U);
    media.advance(kFrame);
  }
  EXPECT_EQ(media.arrive(Side::kB, rtp_packet(9))[0].destination, elsewhere(50));
}

struct DtlsLeg : ::testing::Test {
  DtlsLeg() {
    a.dtls = true;
    a.must_encrypt = true;
    media.update(Side::kA, a);
    media.update(Side::kB, MediaFixture::plain(Side::kB));
  }

  MediaFixture media;
  LegConfig a = MediaFixture::plain(Side::kA);
  SrtpKeying from_client = keying(kGcm, 1);
  SrtpKeying to_client = keying(kGcm, 2);
};

TEST_F(DtlsLeg, nothing_passes_before_the_handshake) {
  EXPECT_TRUE(media.arrive(Side::kA, rtp_packet(1)).empty());
  EXPECT_TRUE(media.arrive(Side::kB, rtp_packet(1)).empty());
  EXPECT_EQ(media.drops(DropReason::kNotKeyed), 2U);
}

TEST_F(DtlsLeg, has_the_keys_of_the_handshake_through_new_descriptions) {
  media.engine().set_keys(kLegA, from_client, to_client);
  SrtpPeer client(from_client, to_client);
  EXPECT_EQ(media.arrive(Side::kA, client.protect(rtp_packet(1))).size(), 1U);
  // Whatever keys a description holds, they are not those of the handshake.
  a.receive = keying(kCm, 8);
  a.send = keying(kCm, 9);
  media.update(Side::kA, a);
  EXPECT_EQ(media.arrive(Side::kA, client.protect(rtp_packet(2))).size(), 1U);
  const auto sent = media.arrive(Side::kB, rtp_packet(5));
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_FALSE(client.unprotect(sent[0].bytes).empty());
  EXPECT_EQ(media.stats().legs[0].transport.suite, kGcm);
}

TEST_F(DtlsLeg, sends_rtcp_by_the_component_that_has_the_keys_only) {
  media.engine().set_keys(kLegA, from_client, to_client);
  SrtpPeer client(from_client, to_client);
  const auto report_from_b = [&] {
    return media.arrive(Side::kB, rtcp_packet(), MediaFixture::remote(Side::kB, Component::kRtcp),
                        Component::kRtcp);
  };
  EXPECT_TRUE(report_from_b().empty()) << "signalled";
  a.ice = true;
  media.update(Side::kA, a);
  media.engine().set_destination(kLegA, elsewhere(50));
  SocketTag rtcp = kLegA;
  rtcp.component = Component::kRtcp;
  media.engine().set_destination(rtcp, elsewhere(51));
  EXPECT_TRUE(report_from_b().empty()) << "found by ICE";
  EXPECT_EQ(media.drops(DropReason::kNotKeyed), 2U);
  a.rtcp_mux = true;
  media.update(Side::kA, a);
  const auto sent = report_from_b();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].destination, elsewhere(50));
  EXPECT_FALSE(client.unprotect(sent[0].bytes, true).empty());
}

TEST_F(DtlsLeg, keys_of_signalling_are_never_taken_for_its_own) {
  LegConfig sdes = MediaFixture::secure(Side::kA, kCm, 3);
  media.update(Side::kA, sdes);
  sdes.dtls = true;
  media.update(Side::kA, sdes);
  SrtpPeer client(sdes.receive, sdes.send);
  EXPECT_TRUE(media.arrive(Side::kA, client.protect(rtp_packet(1))).empty());
  EXPECT_EQ(media.drops(DropReason::kNotKeyed), 1U);
}

TEST_F(DtlsLeg, keys_for_a_leg_without_dtls_are_not_taken) {
  media.update(Side::kA, MediaFixture::secure(Side::kA, kCm, 3));
  media.engine().set_keys(kLegA, from_client, to_client);
  EXPECT_EQ(media.state().legs[0].receive.suite, kCm);
}

/// Two forks take turns.
struct ForkedLeg : DtlsLeg {
  ForkedLeg() { first_has_it(); }
  void first_has_it() { media.engine().set_keys(kLegA, from_client, to_client); }
  void second_has_it() { media.engine().set_keys(kLegA, keying(kGcm, 5), keying(kGcm, 6)); }
  /// What B says arrives at the first.
  bool first_hears(std::uint16_t number, std::uint32_t ssrc = 0x1111) {
    const auto sent = media.arrive(Side::kB, rtp_packet(number, ssrc));
    return sent.size() == 1 && !first.unprotect(sent[0].bytes).empty();
  }
  SrtpPeer first{from_client, to_client};
};

struct ForkSecurity : ForkedLeg {};

TEST_F(ForkSecurity, M9_keys_that_come_back_go_on_where_they_were) {
  // Around the first wrap of sequence numbers, so that the roll-over counter matters.
  for (std::uint32_t i = 65530; i < 65545; ++i) {
    EXPECT_TRUE(first_hears(static_cast<std::uint16_t>(i)));
  }
  auto recorded = first.protect(rtp_packet(65535));
  const auto late = first.protect(rtp_packet(0));
  EXPECT_EQ(media.arrive(Side::kA, recorded).size(), 1U);
  EXPECT_EQ(media.arrive(Side::kA, late).size(), 1U);
  second_has_it();
  EXPECT_EQ(media.arrive(Side::kB, rtp_packet(9)).size(), 1U);
  first_has_it();
  // Sent: neither an index twice, nor another roll-over counter than the fork's.
  EXPECT_FALSE(first_hears(8));
  EXPECT_EQ(media.drops(DropReason::kSendIndexUsed), 1U);
  EXPECT_TRUE(first_hears(10));
  // Received: no replay, and its roll-over counter.
  EXPECT_TRUE(media.arrive(Side::kA, recorded).empty());
  EXPECT_TRUE(media.arrive(Side::kA, late).empty());
  EXPECT_EQ(media.drops(DropReason::kReplayed), 2U);
  EXPECT_EQ(media.arrive(Side::kA, first.protect(rtp_packet(1))).size(), 1U);
}

TEST_F(ForkSecurity, M9_keys_come_back_for_new_streams_too) {
  EXPECT_TRUE(first_hears(1));
  second_has_it();
  EXPECT_EQ(media.arrive(Side::kB, rtp_packet(7, 0x2222)).size(), 1U);
  first_has_it();
  EXPECT_TRUE(first_hears(7, 0x2222));
  EXPECT_TRUE(first_hears(2));
}

TEST_F(ForkSecurity, M9_keys_come_back_with_what_was_left_behind) {
  // More SSRCs than there are streams for: the first is given up.
  for (std::uint32_t ssrc = 1; ssrc <= 9; ++ssrc) {
    EXPECT_EQ(media.arrive(Side::kB, rtp_packet(1, ssrc)).size(), 1U);
    media.advance(Seconds{10});
  }
  second_has_it();
  EXPECT_EQ(media.arrive(Side::kB, rtp_packet(2, 9)).size(), 1U);
  first_has_it();
  media.advance(Seconds{10});
  EXPECT_FALSE(first_hears(1, 1));
  EXPECT_EQ(media.drops(DropReason::kSendIndexUsed), 1U);
  EXPECT_TRUE(first_hears(2, 1));
}

TEST_F(ForkSecurity, M9_keys_come_back_when_a_stream_went_away_since) {
  EXPECT_TRUE(first_hears(1, 1));
  const auto recorded = first.protect(rtp_packet(1, 0x99));
  EXPECT_EQ(media.arrive(Side::kA, recorded).size(), 1U);
  SrtpPeer second(keying(kGcm, 5), keying(kGcm, 6));
  second_has_it();
  for (std::uint32_t ssrc = 2; ssrc <= 9; ++ssrc) {
    media.advance(Seconds{10});
    EXPECT_EQ(media.arrive(Side::kB, rtp_packet(1, ssrc)).size(), 1U);
    const auto number = static_cast<std::uint16_t>(ssrc);
    EXPECT_EQ(media.arrive(Side::kA, second.protect(rtp_packet(number, ssrc))).size(), 1U);
  }
  // Another key: its tombstones go.
  media.engine().set_keys(kLegA, keying(kGcm, 7), keying(kGcm, 8));
  EXPECT_EQ(media.state().legs[1].tombstones.count, 0U);
  first_has_it();
  media.advance(Seconds{10});
  EXPECT_FALSE(first_hears(1, 1));
  EXPECT_EQ(media.drops(DropReason::kSendIndexUsed), 1U);
  EXPECT_TRUE(media.arrive(Side::kA, recorded).empty());
  EXPECT_EQ(media.drops(DropReason::kTooOld) + media.drops(DropReason::kReplayed), 1U);
  EXPECT_TRUE(first_hears(2, 1));
}

TEST_F(ForkSecurity, M9_keys_do_not_come_back_when_too_much_would_have_to_be_remembered) {
  for (std::uint32_t ssrc = 1; ssrc <= 300; ++ssrc) {
    media.advance(Seconds{10});
    EXPECT_EQ(media.arrive(Side::kB, rtp_packet(1, ssrc)).size(), 1U);
  }
  second_has_it();
  EXPECT_EQ(media.arrive(Side::kB, rtp_packet(2, 300)).size(), 1U);
  first_has_it();
  EXPECT_TRUE(media.arrive(Side::kB, rtp_packet(3, 300)).empty());
  EXPECT_EQ(media.drops(DropReason::kNotKeyed), 1U);
  EXPECT_FALSE(media::is_keyed(media.state().legs[0].send));
  // Nor later on; others do.
  second_has_it();
  EXPECT_EQ(media.arrive(Side::kB, rtp_packet(4, 300)).size(), 1U);
  EXPECT_FALSE(media.engine().set_keys(kLegA, from_client, to_client));
  EXPECT_FALSE(media::is_keyed(media.state().legs[0].send));
}

TEST_F(ForkedLeg, the_same_keys_again_change_nothing) {
  EXPECT_TRUE(first_hears(1));
  first_has_it();
  EXPECT_FALSE(first_hears(1));
  EXPECT_TRUE(first_hears(2));
}

struct ClosedLeg : DtlsLeg {
  ClosedLeg() {
    media.engine().set_keys(kLegA, from_client, to_client);
    media.engine().close_leg(kLegA);
  }
  void expect_silence() {
    const std::uint64_t before = media.drops(DropReason::kPeerClosed);
    EXPECT_TRUE(media.arrive(Side::kA, client.protect(rtp_packet(++sequence))).empty());
    EXPECT_TRUE(media.arrive(Side::kB, rtp_packet(sequence)).empty());
    EXPECT_TRUE(media
                    .arrive(Side::kB, rtcp_packet(),
                            MediaFixture::remote(Side::kB, Component::kRtcp), Component::kRtcp)
                    .empty());
    EXPECT_EQ(media.drops(DropReason::kPeerClosed), before + 3);
  }
  SrtpPeer client{from_client, to_client};
  std::uint16_t sequence = 0;
};

TEST_F(ClosedLeg, is_neither_heard_nor_sent_anything) {
  expect_silence();
  EXPECT_EQ(media.stats().legs[0].packets_received, 0U);
  for (int i = 0; i < 4; ++i) {
    media.advance(Seconds{15});
    for (const Sent& sent : media.deadline()) EXPECT_EQ(sent.tag.side, Side::kB);
  }
}

TEST_F(ClosedLeg, stays_closed_until_there_are_other_keys) {
  media.update(Side::kA, a);
  expect_silence();
  SrtpPeer next(keying(kGcm, 5), keying(kGcm, 6));
  media.engine().set_keys(kLegA, keying(kGcm, 5), keying(kGcm, 6));
  EXPECT_EQ(media.arrive(Side::kA, next.protect(rtp_packet(1))).size(), 1U);
  EXPECT_EQ(media.arrive(Side::kB, rtp_packet(50)).size(), 1U);
}

TEST_F(ClosedLeg, is_no_matter_of_other_keying) {
  const LegConfig sdes = MediaFixture::secure(Side::kA, kCm, 3);
  media.update(Side::kA, sdes);
  SrtpPeer next(sdes.receive, sdes.send);
  EXPECT_EQ(media.arrive(Side::kA, next.protect(rtp_packet(1))).size(), 1U);
  media.engine().close_leg(kLegA);
  EXPECT_EQ(media.arrive(Side::kA, next.protect(rtp_packet(2))).size(), 1U);
}

/// Minutes in which B talks; the sides that a media timeout was told of.
std::vector<Side> silent_sides(MediaFixture& media) {
  std::vector<Side> sides;
  for (std::uint16_t i = 0; i < 70; ++i) {
    media.advance(Seconds{1});
    media.arrive(Side::kB, rtp_packet(static_cast<std::uint16_t>(100 + i)));
    media.deadline();
    for (const media::Notice& notice : media.take_notices()) {
      if (notice.kind == EventKind::kMediaTimeout) sides.push_back(notice.side);
    }
  }
  std::sort(sides.begin(), sides.end());
  return sides;
}
const std::vector<Side> kBoth = {Side::kA, Side::kB};

TEST_F(ClosedLeg, who_talks_to_it_is_as_silent_as_it_is) {
  EXPECT_EQ(silent_sides(media), kBoth);
  EXPECT_EQ(media.stats().legs[1].last_packet, media.now());
  EXPECT_EQ(media.stats().legs[1].last_carried, Instant{});
}

TEST_F(DtlsLeg, who_talks_to_one_that_hears_is_not_silent) {
  media.engine().set_keys(kLegA, from_client, to_client);
  EXPECT_EQ(silent_sides(media), std::vector<Side>{Side::kA});
  EXPECT_EQ(media.stats().legs[1].last_carried, media.now());
}

TEST_F(DtlsLeg, who_talks_to_one_without_keys_is_silent) {
  EXPECT_EQ(silent_sides(media), kBoth);
}

TEST_F(IceLeg, who_talks_to_one_without_consent_is_silent) {
  media.engine().set_destination(kLegA, elsewhere(50));
  EXPECT_EQ(sent_to_a(), 1U);
  media.engine().set_destination(kLegA, SocketAddress{});
  EXPECT_EQ(silent_sides(media), kBoth);
  // Back again, it is told again.
  media.engine().set_destination(kLegA, elsewhere(50));
  EXPECT_TRUE(silent_sides(media).empty());
  media.engine().set_destination(kLegA, SocketAddress{});
  EXPECT_EQ(silent_sides(media), std::vector<Side>{Side::kB});
}

TEST_F(DtlsLeg, sets_dtls_aside) {
  EXPECT_TRUE(media.arrive(Side::kA, kDtls).empty());
  EXPECT_EQ(media.engine().strays().size(), 1U);
  EXPECT_TRUE(media.arrive(Side::kB, kDtls).empty());
  EXPECT_EQ(media.drops(DropReason::kUnexpectedDtls), 1U);
}

}  // namespace
}  // namespace turnpike::test
