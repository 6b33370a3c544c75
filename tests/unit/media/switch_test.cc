// Media that control blocks or silences: what goes on, what does not, and what the figures say.
#include <gtest/gtest.h>

#include "relay/wire/rtp_silence.h"
#include "tests/unit/media/secure_leg.h"

namespace turnpike::test {
namespace {

struct Switch : ::testing::Test {
  Switch() {
    media.update(Side::kA, MediaFixture::plain(Side::kA));
    media.update(Side::kB, MediaFixture::plain(Side::kB));
  }
  void set(const MediaSwitches& switches, Side side = Side::kA) {
    media.engine().switch_media(MediaFixture::kId, side, switches);
  }
  MediaFixture media;
};

TEST_F(Switch, blocked_rtp_goes_nowhere_and_rtcp_does) {
  set({true, false});
  EXPECT_TRUE(media.arrive(Side::kA, rtp_packet(1)).empty());
  EXPECT_EQ(media
                .arrive(Side::kA, rtcp_packet(), MediaFixture::remote(Side::kA, Component::kRtcp),
                        Component::kRtcp)
                .size(),
            1U);
  EXPECT_EQ(media.arrive(Side::kB, rtp_packet(1)).size(), 1U) << "the other direction";
  EXPECT_EQ(media.drops(DropReason::kBlocked), 1U);
  const LegStats leg = media.stats().legs[0];
  EXPECT_EQ(leg.drops[static_cast<std::size_t>(DropReason::kBlocked)], 1U);
  EXPECT_EQ(leg.packets_received, 1U);
  EXPECT_EQ(leg.last_rtp_carried, media.now()) << "it is no silence";
  media.update(Side::kA, MediaFixture::plain(Side::kA));
  EXPECT_TRUE(media.arrive(Side::kA, rtp_packet(2)).empty()) << "signalling changes nothing of it";
  set({});
  EXPECT_EQ(media.arrive(Side::kA, rtp_packet(3)).size(), 1U);
}

TEST_F(Switch, silence_takes_the_place_of_speech) {
  set({false, true});
  for (const auto& [type, silence] : {std::pair{0, 0xff}, std::pair{8, 0xd5}}) {
    const auto packet = rtp_packet(1, 0x1111, 160, static_cast<std::uint8_t>(type));
    const auto sent = media.arrive(Side::kA, packet);
    ASSERT_EQ(sent.size(), 1U);
    std::vector<std::uint8_t> wanted(packet.begin(), packet.begin() + 12);
    wanted.resize(packet.size(), static_cast<std::uint8_t>(silence));
    EXPECT_EQ(sent[0].bytes, wanted);
  }
  const auto noise = rtp_packet(2, 0x1111, 1, 13);
  const auto sent = media.arrive(Side::kA, noise);
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].bytes, noise);
  EXPECT_TRUE(media.arrive(Side::kA, rtp_packet(3, 0x1111, 80, 96)).empty());
  EXPECT_EQ(media.drops(DropReason::kSilenced), 1U);
  set({true, true});
  EXPECT_TRUE(media.arrive(Side::kA, rtp_packet(4)).empty());
  EXPECT_EQ(media.drops(DropReason::kBlocked), 1U);
}

TEST(MakeSilent, leaves_header_and_padding) {
  std::vector<std::uint8_t> packet = rtp_packet(1, 0x1111, 20);
  packet[0] |= 0x20U;
  packet.back() = 4;
  const std::vector<std::uint8_t> before = packet;
  RtpHeader header;
  ASSERT_TRUE(parse_rtp(packet.data(), packet.size(), header));
  ASSERT_TRUE(make_silent(packet.data(), packet.size(), header));
  for (std::size_t i = 0; i < packet.size(); ++i) {
    const bool payload = i >= 12 && i < packet.size() - 4;
    EXPECT_EQ(packet[i], payload ? 0xff : before[i]) << i;
  }
  for (const unsigned padding : {0U, 21U, 255U}) {
    packet.back() = static_cast<std::uint8_t>(padding);
    EXPECT_FALSE(make_silent(packet.data(), packet.size(), header)) << padding;
  }
  packet.resize(12);
  ASSERT_TRUE(parse_rtp(packet.data(), packet.size(), header));
  EXPECT_TRUE(make_silent(packet.data(), packet.size(), header)) << "nothing to change";
}

struct SwitchOfSrtp : Secure {};

TEST_F(SwitchOfSrtp, speech_is_silenced_between_two_keys) {
  media.engine().switch_media(MediaFixture::kId, Side::kB, {false, true});
  const auto sent = media.arrive(Side::kB, rtp_packet(5));
  ASSERT_EQ(sent.size(), 1U);
  const auto heard = client.unprotect(sent[0].bytes);
  ASSERT_EQ(heard.size(), 172U);
  for (std::size_t i = 12; i < heard.size(); ++i) EXPECT_EQ(heard[i], 0xff);
  media.engine().switch_media(MediaFixture::kId, Side::kB, {});
  EXPECT_EQ(client.unprotect(media.arrive(Side::kB, rtp_packet(6))[0].bytes), rtp_packet(6));
}

}  // namespace
}  // namespace turnpike::test
