// What the engine remembers of packets that it does not take, when it tells of silence, and what it
// measures of a stream's quality.
#include <gtest/gtest.h>

#include "tests/unit/media/secure_leg.h"

namespace turnpike::test {
namespace {

LegEvidence evidence_of(MediaFixture& media, Side side) {
  return media.stats().legs[index_of(side)].evidence;
}

TEST(Evidence, a_refused_source_is_remembered) {
  MediaFixture media;
  media.update(Side::kA, MediaFixture::plain(Side::kA));
  media.update(Side::kB, MediaFixture::plain(Side::kB));
  media.arrive(Side::kA, rtp_packet(1));
  EXPECT_FALSE(evidence_of(media, Side::kA).refused_source.is_set());
  media.advance(kFrame);
  media.arrive(Side::kA, rtp_packet(2), elsewhere(7));
  EXPECT_EQ(evidence_of(media, Side::kA).refused_source, elsewhere(7));
  EXPECT_EQ(evidence_of(media, Side::kA).refused_last, media.now());
  EXPECT_EQ(evidence_of(media, Side::kA).destination, MediaFixture::remote(Side::kA));
  media.arrive(Side::kA, rtp_packet(3), elsewhere(8, 900));
  EXPECT_EQ(evidence_of(media, Side::kA).refused_source, elsewhere(8, 900));
}

TEST(Evidence, a_refused_source_is_no_matter_of_another_remote_end) {
  MediaFixture media;
  media.update(Side::kA, MediaFixture::plain(Side::kA));
  media.update(Side::kB, MediaFixture::plain(Side::kB));
  for (std::uint16_t i = 1; i <= 3; ++i) media.arrive(Side::kA, rtp_packet(i), elsewhere(7));
  EXPECT_EQ(evidence_of(media, Side::kA).refused, 3U);
  media.update(Side::kA, MediaFixture::plain(Side::kA));
  EXPECT_EQ(evidence_of(media, Side::kA).refused, 3U) << "the same again";
  LegConfig moved = MediaFixture::plain(Side::kA);
  moved.remote[0] = elsewhere(7);
  media.update(Side::kA, moved);
  EXPECT_EQ(evidence_of(media, Side::kA).refused, 0U);
  EXPECT_FALSE(evidence_of(media, Side::kA).refused_source.is_set());
  EXPECT_EQ(evidence_of(media, Side::kA).refused_last, Instant{});
}

TEST(Evidence, strays_of_long_ago_do_not_add_up) {
  MediaFixture media;
  media.update(Side::kA, MediaFixture::plain(Side::kA));
  media.update(Side::kB, MediaFixture::plain(Side::kB));
  for (std::uint16_t i = 1; i <= 60; ++i) media.arrive(Side::kA, rtp_packet(i), elsewhere(7));
  media.advance(Seconds{30});
  media.arrive(Side::kA, rtp_packet(61), elsewhere(7));
  EXPECT_EQ(evidence_of(media, Side::kA).refused, 61U);
  media.advance(Seconds{31});
  media.arrive(Side::kA, rtp_packet(62), elsewhere(7));
  EXPECT_EQ(evidence_of(media, Side::kA).refused, 1U);
}

TEST(Evidence, payloads_count_from_the_last_change_of_their_type) {
  MediaFixture media;
  media.update(Side::kA, MediaFixture::plain(Side::kA));
  media.update(Side::kB, MediaFixture::plain(Side::kB));
  const auto stream = [&] { return media.stats().legs[0].streams[0]; };
  for (std::uint16_t i = 1; i <= 5; ++i) media.arrive(Side::kA, rtp_packet(i));
  EXPECT_EQ(stream().payload_run, 5U);
  EXPECT_EQ(stream().payload_run_bytes, 5U * 160);
  media.arrive(Side::kA, rtp_packet(6, 0x1111, 1, 13));
  EXPECT_EQ(stream().payload_type, 13U);
  EXPECT_EQ(stream().payload_run, 1U);
  EXPECT_EQ(stream().payload_run_bytes, 1U);
  std::vector<std::uint8_t> mixed = rtp_packet(7, 0x1111, 164);
  mixed[0] |= 1;  // its first four bytes are a CSRC
  media.arrive(Side::kA, mixed);
  EXPECT_EQ(stream().payload_run_bytes, 160U);
  EXPECT_EQ(stream().packets, 7U);
}

struct EvidenceOfSrtp : Secure {
  LegEvidence evidence() { return evidence_of(media, Side::kA); }
};

TEST_F(EvidenceOfSrtp, tags_that_do_not_verify_count_since_the_key_changed) {
  talk(MediaFixture::remote(Side::kA), 3);
  EXPECT_EQ(evidence().unverified, 0U);
  LegConfig other = a;
  other.receive = keying(kCm, 50);
  media.update(Side::kA, other);
  EXPECT_EQ(evidence().received_before_keys, 3U);
  talk(MediaFixture::remote(Side::kA), 5);
  EXPECT_EQ(evidence().unverified, 5U);
  EXPECT_EQ(evidence().unencrypted, 0U) << "it is SRTP, with another key";
  EXPECT_EQ(evidence().unverified_source, MediaFixture::remote(Side::kA));
  media.advance(Seconds{31});
  talk(MediaFixture::remote(Side::kA), 1);
  EXPECT_EQ(evidence().unverified, 1U) << "long after the others";
  media.update(Side::kA, a);
  EXPECT_EQ(evidence().unverified, 0U);
}

TEST_F(EvidenceOfSrtp, plain_g711_is_told_from_srtp_with_a_wrong_key) {
  for (std::uint16_t i = 1; i <= 10; ++i) media.arrive(Side::kA, rtp_packet(i));
  EXPECT_EQ(evidence().unverified, 10U);
  EXPECT_EQ(evidence().unencrypted, 9U) << "all but the first";
}

TEST_F(EvidenceOfSrtp, plain_rtcp_is_told_from_srtcp) {
  a.rtcp_mux = true;
  media.update(Side::kA, a);
  media.arrive(Side::kA, rtcp_packet());
  EXPECT_EQ(evidence().unverified, 1U);
  EXPECT_EQ(evidence().unencrypted, 1U);
}

struct Silence : ::testing::Test {
  Silence() : media(limits()) {
    media.update(Side::kA, MediaFixture::plain(Side::kA));
    media.update(Side::kB, MediaFixture::plain(Side::kB));
  }
  static media::EngineLimits limits() {
    media::EngineLimits limits;
    limits.silence_told = Seconds{10};
    limits.keepalive_interval = Seconds{0};
    limits.media_timeout = Seconds{0};
    return limits;
  }
  // Of `side` within so long, nothing else happening.
  int told(Side side, Milliseconds span) {
    int count = 0;
    for (Milliseconds passed{0}; passed < span; passed += Milliseconds{100}) {
      media.advance(Milliseconds{100});
      media.deadline();
      for (const media::Notice& notice : media.take_notices()) {
        EXPECT_EQ(notice.kind, EventKind::kSilent);
        count += notice.side == side ? 1 : 0;
      }
    }
    return count;
  }
  MediaFixture media;
};

TEST_F(Silence, what_found_no_room_is_told_a_second_later) {
  media.advance(Seconds{11});
  media.deadline();
  const auto lost = media.take_notices();
  ASSERT_EQ(lost.size(), 2U);
  for (const media::Notice& notice : lost) media.engine().not_noticed(notice, media.now());
  EXPECT_EQ(told(Side::kA, Milliseconds{900}), 0) << "or the timer would never rest";
  EXPECT_EQ(told(Side::kA, Milliseconds{300}), 1);
  EXPECT_EQ(told(Side::kA, Milliseconds{5000}), 0);
}

TEST_F(Silence, is_told_once_and_again_after_media_came_back) {
  EXPECT_EQ(told(Side::kA, Milliseconds{9900}), 0);
  EXPECT_EQ(told(Side::kA, Milliseconds{400}), 1);
  EXPECT_EQ(told(Side::kA, Milliseconds{30000}), 0);
  media.arrive(Side::kA, rtp_packet(1));
  EXPECT_EQ(told(Side::kA, Milliseconds{9900}), 0);
  EXPECT_EQ(told(Side::kA, Milliseconds{400}), 1);
}

// Who reports and sends no media is silent, and is still there.
TEST_F(Silence, of_rtp_is_told_while_rtcp_goes_on) {
  media.arrive(Side::kA, rtp_packet(1));
  const Instant heard = media.now();
  int count = 0;
  for (int i = 0; i < 30; ++i) {
    media.arrive(Side::kA, rtcp_packet(), MediaFixture::remote(Side::kA, Component::kRtcp),
                 Component::kRtcp);
    count += told(Side::kA, Milliseconds{1000});
  }
  EXPECT_EQ(count, 1);
  const LegStats leg = media.stats().legs[0];
  EXPECT_EQ(leg.rtcp_received, 30U);
  EXPECT_EQ(leg.last_rtp, heard);
  EXPECT_EQ(leg.last_rtp_carried, heard);
  EXPECT_EQ(leg.last_packet, media.now() - Seconds{1});
  EXPECT_EQ(leg.last_carried, media.now() - Seconds{1}) << "the media timeout counts from here";
  EXPECT_EQ(leg.streams[0].last_rtp, heard);
  EXPECT_EQ(leg.streams[0].last_packet, media.now() - Seconds{1});
}

TEST_F(Silence, of_a_leg_that_may_be_silent_is_not_told) {
  LegConfig held = MediaFixture::plain(Side::kA);
  held.expects_media = false;
  media.update(Side::kA, held);
  EXPECT_EQ(told(Side::kA, Milliseconds{20000}), 0);
}

TEST_F(Silence, is_told_of_media_that_can_go_nowhere) {
  LegConfig unkeyed = MediaFixture::plain(Side::kB);
  unkeyed.must_encrypt = true;
  media.update(Side::kB, unkeyed);
  int count = 0;
  for (std::uint16_t i = 0; i < 110; ++i) {
    media.arrive(Side::kA, rtp_packet(i));
    count += told(Side::kA, Milliseconds{100});
  }
  EXPECT_EQ(count, 1);
}

}  // namespace
}  // namespace turnpike::test
