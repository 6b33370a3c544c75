// RTP and RTCP between two plain legs: routing, source policy, figures, timers.
#include <gtest/gtest.h>

#include "tests/support/media_fixture.h"

namespace turnpike::test {
namespace {

class Plain : public ::testing::Test {
 protected:
  Plain() {
    media.update(Side::kA, MediaFixture::plain(Side::kA));
    media.update(Side::kB, MediaFixture::plain(Side::kB));
  }
  MediaFixture media;
};

SocketAddress elsewhere(std::uint8_t host, std::uint16_t port = 5000) {
  return {IpAddress::v4(203, 0, 113, host), port};
}

TEST_F(Plain, forwards_rtp_unchanged_from_the_other_legs_socket) {
  const auto packet = rtp_packet(1);
  const auto sent = media.arrive(Side::kA, packet);
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].bytes, packet);
  EXPECT_EQ(sent[0].destination, MediaFixture::remote(Side::kB));
  EXPECT_EQ(sent[0].tag.side, Side::kB);
  EXPECT_EQ(sent[0].tag.component, Component::kRtp);
  const SessionStats stats = media.stats();
  EXPECT_EQ(stats.legs[0].packets_received, 1U);
  EXPECT_EQ(stats.legs[1].packets_sent, 1U);
  EXPECT_EQ(stats.legs[1].packets_received, 0U);
}

TEST_F(Plain, what_found_no_room_is_counted_at_the_leg_that_sent_it) {
  media.queue(Side::kB, rtp_packet(1), MediaFixture::remote(Side::kB));
  media.overflowed_before_last(5);
  EXPECT_EQ(media.deliver().size(), 1U);
  EXPECT_EQ(media.drops(DropReason::kQueueFull), 5U);
  EXPECT_EQ(media.drops(DropReason::kOverload), 0U);
  const auto stats = media.stats();
  EXPECT_EQ(stats.legs[1].drops[static_cast<std::size_t>(DropReason::kQueueFull)], 5U);
}

TEST_F(Plain, what_was_shed_is_counted_at_the_leg_that_sent_it) {
  media.queue(Side::kA, rtp_packet(1), MediaFixture::remote(Side::kA));
  media.shed_behind_last(3);
  EXPECT_EQ(media.deliver().size(), 1U);
  EXPECT_EQ(media.drops(DropReason::kOverload), 3U);
  EXPECT_EQ(media.counters().packets_received.value(), 4U);
  const auto stats = media.stats();
  EXPECT_EQ(stats.legs[0].drops[static_cast<std::size_t>(DropReason::kOverload)], 3U);
  EXPECT_EQ(stats.legs[0].packets_received, 1U);
}

TEST_F(Plain, forwards_rtcp_on_its_own_port) {
  const auto sent = media.arrive(
      Side::kB, rtcp_packet(), MediaFixture::remote(Side::kB, Component::kRtcp), Component::kRtcp);
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].destination, MediaFixture::remote(Side::kA, Component::kRtcp));
  EXPECT_EQ(sent[0].tag.component, Component::kRtcp);
}

TEST_F(Plain, rtcp_mux_on_one_side_only) {
  LegConfig muxed = MediaFixture::plain(Side::kA);
  muxed.rtcp_mux = true;
  media.update(Side::kA, muxed);
  auto sent = media.arrive(Side::kA, rtcp_packet());
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].tag.component, Component::kRtcp);
  EXPECT_EQ(sent[0].destination, MediaFixture::remote(Side::kB, Component::kRtcp));
  sent = media.arrive(Side::kB, rtcp_packet(), MediaFixture::remote(Side::kB, Component::kRtcp),
                      Component::kRtcp);
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].tag.component, Component::kRtp);
  EXPECT_EQ(sent[0].destination, MediaFixture::remote(Side::kA));
}

TEST_F(Plain, rtcp_on_the_rtp_port_needs_mux) {
  EXPECT_TRUE(media.arrive(Side::kA, rtcp_packet()).empty());
  EXPECT_EQ(media.drops(DropReason::kUnexpectedComponent), 1U);
}

TEST_F(Plain, strict_refuses_another_port_and_another_host) {
  auto other_port = MediaFixture::remote(Side::kA);
  other_port.port = 5002;
  EXPECT_TRUE(media.arrive(Side::kA, rtp_packet(1), other_port).empty());
  EXPECT_TRUE(media.arrive(Side::kA, rtp_packet(2), elsewhere(1)).empty());
  EXPECT_EQ(media.drops(DropReason::kWrongSource), 2U);
  EXPECT_EQ(media.stats().legs[0].stream_count, 0U);
}

TEST_F(Plain, latch_takes_the_first_port_of_the_signalled_host_and_stays) {
  LegConfig config = MediaFixture::plain(Side::kA);
  config.source_policy = SourcePolicy::kLatch;
  media.update(Side::kA, config);
  auto natted = MediaFixture::remote(Side::kA);
  natted.port = 40000;
  EXPECT_TRUE(media.arrive(Side::kA, rtp_packet(1), elsewhere(1)).empty());
  EXPECT_EQ(media.arrive(Side::kA, rtp_packet(1), natted).size(), 1U);
  EXPECT_TRUE(media.arrive(Side::kA, rtp_packet(2)).empty());  // the signalled port is too late
  const auto back = media.arrive(Side::kB, rtp_packet(1));
  ASSERT_EQ(back.size(), 1U);
  EXPECT_EQ(back[0].destination, natted);
  media.update(Side::kA, config);  // the next offer opens the latch again
  EXPECT_EQ(media.arrive(Side::kA, rtp_packet(3)).size(), 1U);
  EXPECT_EQ(media.arrive(Side::kB, rtp_packet(2))[0].destination, MediaFixture::remote(Side::kA));
}

TEST_F(Plain, latch_accepts_the_signalling_source) {
  LegConfig config = MediaFixture::plain(Side::kA);
  config.source_policy = SourcePolicy::kLatch;
  config.received_from = elsewhere(9).ip;
  media.update(Side::kA, config);
  EXPECT_EQ(media.arrive(Side::kA, rtp_packet(1), elsewhere(9, 31000)).size(), 1U);
}

TEST_F(Plain, asymmetric_hears_other_ports_and_sends_to_the_signalled_one) {
  LegConfig config = MediaFixture::plain(Side::kA);
  config.source_policy = SourcePolicy::kAsymmetric;
  media.update(Side::kA, config);
  auto other_port = MediaFixture::remote(Side::kA);
  other_port.port = 6000;
  EXPECT_EQ(media.arrive(Side::kA, rtp_packet(1), other_port).size(), 1U);
  EXPECT_EQ(media.arrive(Side::kB, rtp_packet(1))[0].destination, MediaFixture::remote(Side::kA));
}

TEST_F(Plain, source_ports_below_1024_are_refused) {
  LegConfig config = MediaFixture::plain(Side::kA);
  config.remote[0].port = 1023;
  media.update(Side::kA, config);
  EXPECT_TRUE(media.arrive(Side::kA, rtp_packet(1), config.remote[0]).empty());
  EXPECT_EQ(media.drops(DropReason::kReservedSourcePort), 1U);
}

TEST_F(Plain, held_leg_gets_nothing_and_the_drop_is_counted_on_the_sender) {
  LegConfig held = MediaFixture::plain(Side::kB);
  held.remote = {};
  media.update(Side::kB, held);
  EXPECT_TRUE(media.arrive(Side::kA, rtp_packet(1)).empty());
  const auto reason = static_cast<std::size_t>(DropReason::kNoDestination);
  EXPECT_EQ(media.stats().legs[0].drops[reason], 1U);
}

TEST_F(Plain, every_bad_packet_has_its_reason) {
  const auto source = MediaFixture::remote(Side::kA);
  const std::vector<std::pair<std::vector<std::uint8_t>, DropReason>> cases = {
      {{}, DropReason::kTooShort},
      {{0x80}, DropReason::kTooShort},
      {{0x00, 0x01, 0x00, 0x00}, DropReason::kUnexpectedStun},
      {{0x16, 0xfe, 0xfd, 0x00}, DropReason::kUnexpectedDtls},
      {{0xff, 0xff, 0xff, 0xff}, DropReason::kUnknownProtocol},
      {{0x80, 0x00, 0x00}, DropReason::kMalformedRtp},
      {{0x80, 200, 0x00}, DropReason::kTooShort},
      {std::vector<std::uint8_t>(kPayloadBytesMax + 1, 0x80), DropReason::kTruncated},
  };
  for (const auto& [bytes, reason] : cases) {
    const std::uint64_t before = media.drops(reason);
    EXPECT_TRUE(media.arrive(Side::kA, bytes, source).empty());
    EXPECT_EQ(media.drops(reason), before + 1) << info_of(reason).label;
  }
  EXPECT_EQ(media.stats().legs[0].stream_count, 0U);
}

TEST_F(Plain, malformed_rtcp_compounds_are_dropped) {
  auto source = MediaFixture::remote(Side::kA, Component::kRtcp);
  auto longer_than_it_is = rtcp_packet();
  write_be16(longer_than_it_is.data() + 2, 7);
  auto wrong_version = rtcp_packet();
  wrong_version.insert(wrong_version.end(), {0x00, 201, 0x00, 0x00});
  auto padding_inside = rtcp_packet();
  padding_inside[0] |= 0x20;
  padding_inside.insert(padding_inside.end(), {0x80, 203, 0x00, 0x00});
  for (const auto& bytes : {longer_than_it_is, wrong_version, padding_inside}) {
    EXPECT_TRUE(media.arrive(Side::kA, bytes, source, Component::kRtcp).empty());
  }
  EXPECT_EQ(media.drops(DropReason::kMalformedRtcp), 3U);
}

TEST_F(Plain, reduced_size_rtcp_is_forwarded) {  // RFC 5506: no report in front
  const std::vector<std::uint8_t> picture_loss = {0x81, 206,  0, 2, 0,    0,
                                                  0x11, 0x11, 0, 0, 0x22, 0x22};
  const auto source = MediaFixture::remote(Side::kA, Component::kRtcp);
  const auto sent = media.arrive(Side::kA, picture_loss, source, Component::kRtcp);
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].bytes, picture_loss);
}

TEST_F(Plain, a_packet_for_a_closed_session_is_counted) {
  SessionStats last;
  EXPECT_TRUE(media.engine().close(MediaFixture::kId, last));
  EXPECT_TRUE(media.arrive(Side::kA, rtp_packet(1)).empty());
  EXPECT_EQ(media.drops(DropReason::kNoSession), 1U);
  EXPECT_FALSE(media.engine().close(MediaFixture::kId, last));
  EXPECT_EQ(media.arena().streams_in_use(), 0U);
}

TEST_F(Plain, loss_and_jitter_follow_rfc_3550) {
  for (const std::uint16_t sequence :
       std::initializer_list<std::uint16_t>{65533, 65534, 65535, 1, 2, 2}) {
    media.arrive(Side::kA, rtp_packet(sequence));
    media.advance(Milliseconds(20));
  }
  const LegStats stats = media.stats().legs[0];
  ASSERT_EQ(stats.stream_count, 1U);
  EXPECT_EQ(stats.streams[0].packets, 6U);
  EXPECT_EQ(stats.streams[0].packets_lost, 0U);  // one lost, one twice: 6 expected, 6 received
  media.arrive(Side::kA, rtp_packet(5));
  EXPECT_EQ(media.stats().legs[0].streams[0].packets_lost, 2U);
}

TEST_F(Plain, steady_arrival_has_no_jitter_and_late_arrival_has) {
  for (std::uint16_t sequence = 1; sequence < 50; ++sequence) {
    media.arrive(Side::kA, rtp_packet(sequence));
    media.advance(Milliseconds(20));
  }
  EXPECT_EQ(media.stats().legs[0].streams[0].jitter, 0U);
  media.advance(Milliseconds(40));
  media.arrive(Side::kA, rtp_packet(50));
  EXPECT_EQ(media.stats().legs[0].streams[0].jitter, 320U / 16);
}

TEST_F(Plain, many_ssrcs_replace_idle_ones_and_never_outgrow_the_limit) {
  for (std::uint32_t ssrc = 1; ssrc <= 40; ++ssrc) {
    media.arrive(Side::kA, rtp_packet(1, ssrc));
  }
  EXPECT_EQ(media.stats().legs[0].stream_count, 8U);
  EXPECT_EQ(media.drops(DropReason::kStreamLimit), 32U);
  media.advance(Seconds(6));
  media.arrive(Side::kA, rtp_packet(2, 1));  // keeps SSRC 1 alive
  EXPECT_EQ(media.arrive(Side::kA, rtp_packet(1, 99)).size(), 1U);
  EXPECT_EQ(media.stats().legs[0].stream_count, 8U);
}

TEST_F(Plain, silence_of_a_leg_that_expects_media_is_reported_once) {
  media.arrive(Side::kB, rtp_packet(1));
  for (int i = 0; i < 59; ++i) {
    media.advance(Seconds(1));
    media.arrive(Side::kB, rtp_packet(static_cast<std::uint16_t>(2 + i)));
    media.deadline();
    EXPECT_TRUE(media.take_notices().empty());
  }
  media.advance(Milliseconds(1200));
  media.arrive(Side::kB, rtp_packet(100));
  media.deadline();
  const auto notices = media.take_notices();
  ASSERT_EQ(notices.size(), 1U);
  EXPECT_EQ(notices[0].kind, EventKind::kMediaTimeout);
  EXPECT_EQ(notices[0].side, Side::kA);
  media.advance(Seconds(30));
  media.arrive(Side::kB, rtp_packet(101));
  media.deadline();
  EXPECT_TRUE(media.take_notices().empty());
}

TEST_F(Plain, a_held_leg_may_be_silent_for_ever) {
  LegConfig held = MediaFixture::plain(Side::kA);
  held.expects_media = false;
  media.update(Side::kA, held);
  for (int i = 0; i < 600; ++i) {
    media.advance(Seconds(1));
    media.arrive(Side::kB, rtp_packet(static_cast<std::uint16_t>(i)));
    media.deadline();
    EXPECT_TRUE(media.take_notices().empty());
  }
}

TEST_F(Plain, keepalive_only_where_nothing_was_sent) {
  for (int i = 0; i < 16; ++i) {
    media.advance(Seconds(1));
    media.arrive(Side::kA, rtp_packet(static_cast<std::uint16_t>(i)));
  }
  std::vector<Sent> sent = media.deadline();
  ASSERT_EQ(sent.size(), 3U);  // A's two components and B's RTCP; B's RTP was busy
  for (const Sent& send : sent) {
    EXPECT_TRUE(send.keepalive);
    EXPECT_TRUE(send.bytes.empty());
    EXPECT_FALSE(send.tag.side == Side::kB && send.tag.component == Component::kRtp);
  }
  EXPECT_EQ(media.counters().keepalives_sent.value(), 3U);
}

TEST_F(Plain, counters_add_up) {
  for (std::uint16_t i = 0; i < 200; ++i) {
    media.arrive(Side::kA, rtp_packet(i),
                 i % 3 == 0 ? elsewhere(1) : MediaFixture::remote(Side::kA));
  }
  const ShardCounters& counters = media.counters();
  EXPECT_EQ(counters.packets_received.value(), 200U);
  EXPECT_EQ(counters.packets_forwarded.value() + media.drops_total(), 200U);
}

TEST_F(Plain, a_timeout_that_could_not_be_told_is_told_later) {
  media.advance(Seconds(61));
  media.deadline();
  const auto lost = media.take_notices();
  ASSERT_EQ(lost.size(), 2U);
  for (const auto& notice : lost) media.engine().not_noticed(notice, media.now());
  media.advance(Seconds(1));
  media.deadline();
  EXPECT_EQ(media.take_notices().size(), 2U);
}

}  // namespace
}  // namespace turnpike::test
