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
