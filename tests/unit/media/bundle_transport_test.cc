// What m-lines that share a transport have in common with it and what not: the keys that DTLS gives
// to it and its end; their silence is their own.
#include <gtest/gtest.h>

#include "tests/unit/media/bundled_leg.h"

namespace turnpike::test {
namespace {

// The transport's keys come from DTLS; two forks of the browser's call take turns.
struct ForkedBundle : Bundle {
  ForkedBundle() {
    a.dtls = true;
    a.receive = a.send = SrtpKeying{};
    configure();
    first_has_it();
  }
  void first_has_it() { media.engine().set_keys(kAudio, from_first, to_first); }
  void second_has_it() { media.engine().set_keys(kAudio, keying(kGcm, 50), keying(kGcm, 51)); }
  // Both lines pass both ways; no index comes twice, as the end sees it.
  void talk(Peer& end, std::uint16_t number) {
    const auto audio = from_phone(kAudio, rtp_packet(number, 0x77));
    const auto video = from_phone(kVideo, rtp_packet(number, 0x88, 160, 96));
    ASSERT_EQ(audio.size() + video.size(), 2U) << number;
    EXPECT_TRUE(end.unprotect(audio[0].bytes)) << number;
    EXPECT_TRUE(end.unprotect(video[0].bytes)) << number;
    recorded = {end.protect(rtp_packet(number, 0x11)),
                end.protect(rtp_packet(number, 0x22, 160, 96))};
    const std::array<std::uint32_t, 2> lines = {kAudio.slot, kVideo.slot};
    for (const std::size_t i : {0U, 1U}) {
      queue(kAudio, Side::kA, recorded[i]);
      EXPECT_EQ(line_of(deliver()), lines[i]) << number;
    }
  }
  // The first is back: nothing of what it had before is used or heard again.
  void expect_nothing_again(const std::array<Bytes, 2>& heard, std::uint16_t number) {
    for (const Bytes& packet : heard) {
      queue(kAudio, Side::kA, packet);
      EXPECT_TRUE(deliver().empty());
    }
    EXPECT_EQ(media.drops(DropReason::kReplayed) + media.drops(DropReason::kTooOld), 2U);
    EXPECT_TRUE(from_phone(kAudio, rtp_packet(number, 0x77)).empty());
    EXPECT_TRUE(from_phone(kVideo, rtp_packet(number, 0x88, 160, 96)).empty());
    EXPECT_EQ(media.drops(DropReason::kSendIndexUsed), 2U);
  }

  SrtpKeying from_first = keying(kGcm, 40);
  SrtpKeying to_first = keying(kGcm, 41);
  Peer first{from_first, to_first};
  Peer second{keying(kGcm, 50), keying(kGcm, 51)};
  std::array<Bytes, 2> recorded;
};

TEST_F(ForkedBundle, a_fork_that_comes_back_has_the_keys_for_all_lines) {
  talk(first, 10);
  const auto heard = recorded;
  second_has_it();
  talk(second, 11);
  first_has_it();
  expect_nothing_again(heard, 10);
  talk(first, 12);
}

TEST_F(ForkedBundle, a_fork_comes_back_after_one_that_has_a_transport_for_each_line) {
  talk(first, 10);
  const auto heard = recorded;
  LegConfig apart = a;
  apart.bundle = BundleConfig{};
  update(kAudio, Side::kA, apart);
  apart.remote = {SocketAddress{IpAddress::v4(198, 51, 100, 30), 6000}, {}};
  update(kVideo, Side::kA, apart);
  second_has_it();
  media.engine().set_keys(kVideo, keying(kGcm, 60), keying(kGcm, 61));
  Peer second_video(keying(kGcm, 60), keying(kGcm, 61));
  const auto sent = from_phone(kVideo, rtp_packet(11, 0x88, 160, 96));
  ASSERT_EQ(line_of(sent), kVideo.slot);
  EXPECT_TRUE(second_video.unprotect(sent[0].bytes));
  configure();
  first_has_it();
  expect_nothing_again(heard, 10);
  talk(first, 12);
}

TEST_F(ForkedBundle, a_line_that_went_away_meanwhile_leaves_its_indices_to_the_keys) {
  talk(first, 10);
  second_has_it();
  talk(second, 11);
  SessionStats last;
  ASSERT_TRUE(media.engine().close(kVideo, last));
  // Tombstones under these keys go with them, what the first has used does not.
  media.engine().set_keys(kAudio, keying(kGcm, 52), keying(kGcm, 53));
  first_has_it();
  open(kVideo);
  update(kVideo, Side::kA, rider(line(kAudio, "v", {96, 97, 99})));
  update(kVideo, Side::kB, video_phone());
  EXPECT_TRUE(from_phone(kVideo, rtp_packet(10, 0x88, 160, 96)).empty());
  EXPECT_EQ(media.drops(DropReason::kSendIndexUsed), 1U);
  talk(first, 12);
}

TEST_F(ForkedBundle, an_end_that_has_left_is_sent_nothing_of_any_line) {
  talk(first, 10);
  media.engine().close_leg(kAudio);
  const Instant carried = stats(kVideo).legs[1].last_carried;
  media.advance(Seconds{1});
  EXPECT_TRUE(from_phone(kAudio, rtp_packet(11, 0x77)).empty());
  EXPECT_TRUE(from_phone(kVideo, rtp_packet(11, 0x88, 160, 96)).empty());
  EXPECT_TRUE(from_phone(kVideo, rtcp_packet(0x88), Component::kRtcp).empty());
  queue(kAudio, Side::kA, first.protect(rtp_packet(11, 0x22, 160, 96)));
  EXPECT_TRUE(deliver().empty());
  EXPECT_EQ(media.drops(DropReason::kPeerClosed), 4U);
  EXPECT_EQ(stats(kVideo).legs[1].last_carried, carried) << "said to nobody";
  EXPECT_EQ(stats(kVideo).legs[1].last_packet, media.now());
  // Another end takes the place: all lines are open again.
  second_has_it();
  talk(second, 12);
}

TEST_F(Bundle, a_line_tells_what_its_transport_has_seen) {
  EXPECT_EQ(from_client(rtp_packet(1, 0x11, 160, 0)).size(), 1U);
  EXPECT_EQ(from_client(rtp_packet(1, 0x22, 160, 96)).size(), 1U);
  queue(kAudio, Side::kA, Peer(keying(kGcm, 60), a.send).protect(rtp_packet(2, 0x33)));
  EXPECT_TRUE(from_client(rtp_packet(1, 0x44, 160, 50)).empty()) << "and what came before it";
  for (const SocketTag& id : {kAudio, kVideo}) {
    const LegStats leg = stats(id).legs[0];
    EXPECT_EQ(leg.evidence.unverified, 1U);
    EXPECT_EQ(leg.transport_accepted, 2U);
    EXPECT_EQ(leg.packets_received, 1U);
    const auto reason = static_cast<std::size_t>(DropReason::kNotInBundle);
    EXPECT_EQ(leg.drops[reason], id.slot == kAudio.slot ? 1U : 0U);
    EXPECT_EQ(leg.carrier_drops[reason], id.slot == kAudio.slot ? 0U : 1U);
  }
}

TEST_F(Bundle, silence_is_that_of_a_line_and_not_of_its_transport) {
  a.expects_media = true;
  a.bundle = line(kAudio, "a", {0, 99});
  update(kAudio, Side::kA, a);
  LegConfig video = rider(line(kAudio, "v", {96}));
  video.expects_media = true;
  update(kVideo, Side::kA, video);
  std::vector<std::uint32_t> silent;
  const auto pass_a_minute = [&](std::uint16_t number, std::uint32_t ssrc, std::uint8_t type) {
    silent.clear();
    for (const std::uint16_t end = number + 70; number < end; ++number) {
      media.advance(Seconds{1});
      EXPECT_EQ(from_client(rtp_packet(number, ssrc, 160, type)).size(), 1U);
      media.deadline();
      for (const media::Notice& notice : media.take_notices()) {
        const bool here = notice.kind == EventKind::kMediaTimeout && notice.side == Side::kA;
        if (here) silent.push_back(notice.slot);
      }
    }
  };
  pass_a_minute(1, 0x11, 0);
  EXPECT_EQ(silent, std::vector<std::uint32_t>{kVideo.slot});
  // It is back, and the other one, which has the transport, falls silent.
  pass_a_minute(1, 0x22, 96);
  EXPECT_EQ(silent, std::vector<std::uint32_t>{kAudio.slot});
  pass_a_minute(101, 0x11, 0);
  EXPECT_EQ(silent, std::vector<std::uint32_t>{kVideo.slot});
}

}  // namespace
}  // namespace turnpike::test
