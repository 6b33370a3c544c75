// Several m-lines on one transport (RFC 9143): which m-line a packet is of, and that no index is
// used twice under the keys of the transport.
#include <optional>

#include <gtest/gtest.h>

#include "tests/unit/media/bundled_leg.h"
#include "tests/unit/media/left_behind.h"

namespace turnpike::test {
namespace {

TEST_F(Bundle, a_packet_goes_where_its_mid_says) {
  const auto audio = from_client(with_mid(rtp_packet(1, 0x11, 160, 99), "a"));
  EXPECT_EQ(line_of(audio), kAudio.slot);
  EXPECT_EQ(audio[0].destination, MediaFixture::remote(Side::kB));
  const auto video = from_client(with_mid(rtp_packet(1, 0x22, 160, 99), "v", true));
  EXPECT_EQ(line_of(video), kVideo.slot);
  EXPECT_EQ(video[0].destination, video_at);
  EXPECT_EQ(media.drops_total(), 0U);
}

TEST_F(Bundle, a_packet_without_mid_goes_where_its_ssrc_went) {
  from_client(with_mid(rtp_packet(1, 0x22, 160, 99), "v"));
  EXPECT_EQ(line_of(from_client(rtp_packet(2, 0x22, 160, 99))), kVideo.slot);
  // Its payload type would be the other line's alone.
  EXPECT_EQ(line_of(from_client(rtp_packet(3, 0x22, 160, 0))), kVideo.slot);
}

TEST_F(Bundle, an_unknown_ssrc_goes_by_a_payload_type_that_one_line_has) {
  EXPECT_EQ(line_of(from_client(rtp_packet(1, 0x11, 160, 0))), kAudio.slot);
  EXPECT_EQ(line_of(from_client(rtp_packet(1, 0x22, 160, 96))), kVideo.slot);
  EXPECT_EQ(line_of(from_client(rtp_packet(1, 0x23, 160, 97))), kVideo.slot);  // its RTX
  EXPECT_EQ(stats(kAudio).legs[0].stream_count, 1U);
  EXPECT_EQ(stats(kVideo).legs[0].stream_count, 2U);
  EXPECT_EQ(stats(kVideo).legs[0].packets_received, 2U);
  EXPECT_EQ(stats(kVideo).legs[1].packets_sent, 2U);
  EXPECT_EQ(stats(kVideo).legs[0].transport.suite, kGcm);
}

TEST_F(Bundle, what_belongs_to_no_line_is_counted_and_leaves_nothing_behind) {
  EXPECT_TRUE(from_client(rtp_packet(1, 0x11, 160, 99)).empty());  // two lines have it
  EXPECT_TRUE(from_client(rtp_packet(1, 0x12, 160, 50)).empty());  // none has it
  EXPECT_TRUE(from_client(with_mid(rtp_packet(1, 0x13), "x")).empty());
  EXPECT_EQ(media.drops(DropReason::kNotInBundle), 3U);
  EXPECT_EQ(media.arena().streams_in_use(), 0U);
}

TEST_F(Bundle, a_mid_of_another_line_wins_over_everything_else) {
  from_client(rtp_packet(1, 0x11, 160, 0));
  EXPECT_EQ(line_of(from_client(with_mid(rtp_packet(2, 0x11, 160, 0), "v"))), kVideo.slot);
  EXPECT_EQ(line_of(from_client(rtp_packet(3, 0x11, 160, 0))), kVideo.slot);
  EXPECT_EQ(stats(kAudio).legs[0].stream_count, 0U);
  // What the transport's key has received it has received, whichever line it was for.
  const Bytes again = client.protect(rtp_packet(4, 0x11));
  queue(kAudio, Side::kA, again);
  EXPECT_EQ(deliver().size(), 1U);
  queue(kAudio, Side::kA, again);
  EXPECT_TRUE(deliver().empty());
  EXPECT_EQ(media.drops(DropReason::kReplayed), 1U);
}

TEST_F(Bundle, only_packets_that_verify_teach_anything) {
  Bytes forged = client.protect(with_mid(rtp_packet(1, 0x11, 160, 99), "v"));
  forged.back() ^= 1;
  queue(kAudio, Side::kA, forged);
  EXPECT_TRUE(deliver().empty());
  EXPECT_EQ(media.drops(DropReason::kAuthFailed), 1U);
  EXPECT_TRUE(from_client(rtp_packet(2, 0x11, 160, 99)).empty());
  EXPECT_EQ(media.drops(DropReason::kNotInBundle), 1U);
}

TEST_F(Bundle, rtcp_goes_by_its_sender_then_by_whom_it_speaks_of) {
  from_client(rtp_packet(1, 0x22, 160, 96));
  from_phone(kAudio, rtp_packet(1, 0x77));
  from_phone(kVideo, rtp_packet(1, 0x88, 160, 96));
  EXPECT_EQ(line_of(from_client(rtcp_packet(0x22), true)), kVideo.slot);
  // Receivers that send nothing all call themselves 1.
  EXPECT_EQ(line_of(from_client(receiver_report(1, 0x77), true)), kAudio.slot);
  EXPECT_EQ(line_of(from_client(receiver_report(1, 0x88), true)), kVideo.slot);
  EXPECT_EQ(line_of(from_client(feedback(206, 1, 1, 0x88), true)), kVideo.slot);          // PLI
  EXPECT_EQ(line_of(from_client(feedback(205, 1, 1, 0x77, {0}), true)), kAudio.slot);     // NACK
  EXPECT_EQ(line_of(from_client(feedback(206, 4, 1, 0, {0x88, 0}), true)), kVideo.slot);  // FIR
  const std::uint32_t remb = 0x52454d42;
  EXPECT_EQ(line_of(from_client(feedback(206, 15, 1, 0, {remb, 0x01000000, 0x77}), true)),
            kAudio.slot);
  EXPECT_EQ(line_of(from_client(feedback(206, 15, 1, 0, {remb, 0x01000000, 0x99}), true)),
            kAudio.slot);  // as its sender's last one
  EXPECT_TRUE(from_client(receiver_report(5, 0x99), true).empty());
  EXPECT_EQ(media.drops(DropReason::kNotInBundle), 1U);
}

TEST_F(Bundle, damaged_rtcp_is_dropped) {
  Bytes report = receiver_report(1, 0x77);
  write_be16(report.data() + 2, 9);
  EXPECT_TRUE(from_client(report, true).empty());
  EXPECT_EQ(media.drops(DropReason::kMalformedRtcp), 1U);
}

TEST_F(Bundle, everything_to_the_client_leaves_from_one_socket_under_one_key) {
  const auto audio = from_phone(kAudio, rtp_packet(1, 0x77));
  const auto video = from_phone(kVideo, rtp_packet(1, 0x88, 160, 96));
  const auto report = from_phone(kVideo, rtcp_packet(0x88), Component::kRtcp);
  for (const auto* sent : {&audio, &video, &report}) {
    ASSERT_EQ(sent->size(), 1U);
    EXPECT_EQ(sent->at(0).tag.slot, kAudio.slot);
    EXPECT_EQ(sent->at(0).tag.generation, kAudio.generation);
    EXPECT_EQ(sent->at(0).tag.component, Component::kRtp);
    EXPECT_EQ(sent->at(0).destination, MediaFixture::remote(Side::kA));
  }
  EXPECT_TRUE(client.unprotect(audio[0].bytes));
  EXPECT_TRUE(client.unprotect(video[0].bytes));
  EXPECT_TRUE(client.unprotect(report[0].bytes, true));
  EXPECT_EQ(stats(kVideo).legs[0].packets_sent, 1U);
  EXPECT_EQ(stats(kVideo).legs[0].rtcp_sent, 1U);
  EXPECT_EQ(stats(kAudio).legs[0].packets_sent, 1U);
}

TEST_F(Bundle, two_lines_never_send_with_one_ssrc) {
  ASSERT_EQ(from_phone(kAudio, rtp_packet(1, 0x77)).size(), 1U);
  EXPECT_TRUE(from_phone(kVideo, rtp_packet(1, 0x77, 100, 96)).empty());
  EXPECT_TRUE(from_phone(kVideo, rtcp_packet(0x77), Component::kRtcp).empty());
  EXPECT_EQ(media.drops(DropReason::kSsrcInUse), 2U);
  EXPECT_EQ(from_phone(kAudio, rtp_packet(2, 0x77)).size(), 1U);
}

TEST_F(Bundle, an_ssrc_that_comes_back_on_another_line_uses_no_index_again) {
  Bytes first;
  for (std::uint16_t i = 1; i <= 50; ++i) {
    const auto sent = from_phone(kAudio, rtp_packet(i, 0x77));
    ASSERT_EQ(sent.size(), 1U);
    ASSERT_TRUE(client.unprotect(sent[0].bytes));
  }
  // The audio line ends; the transport goes on for video.
  LegConfig carrier = a;
  carrier.bundle = BundleConfig{};
  update(kAudio, Side::kA, carrier);
  update(kVideo, Side::kA, rider(line(kAudio, "v", {96})));
  open(kSlides);
  update(kSlides, Side::kA, rider(line(kAudio, "s", {98})));
  LegConfig phone = MediaFixture::plain(Side::kB);
  update(kSlides, Side::kB, phone);
  EXPECT_TRUE(from_phone(kAudio, rtp_packet(51, 0x77)).empty());
  unsigned passed = 0;
  for (std::uint16_t i = 1; i <= 20; ++i) {
    for (const Sent& sent : from_phone(kSlides, rtp_packet(i, 0x77))) {
      ++passed;
      EXPECT_TRUE(client.unprotect(sent.bytes)) << "index used twice";
    }
  }
  EXPECT_GT(passed, 0U);
}

TEST_F(Bundle, a_line_that_closes_leaves_its_indices_behind) {
  open(kSlides);
  update(kSlides, Side::kA, rider(line(kAudio, "s", {98})));
  LegConfig phone;
  phone.remote = {MediaFixture::remote(Side::kB), {}};
  update(kSlides, Side::kB, phone);
  const Bytes heard = client.protect(rtp_packet(7, 0x22, 160, 96));
  queue(kAudio, Side::kA, heard);
  ASSERT_EQ(line_of(deliver()), kVideo.slot);
  for (std::uint16_t i = 1; i <= 30; ++i) {
    const auto sent = from_phone(kVideo, rtp_packet(i, 0x88, 160, 96));
    ASSERT_EQ(sent.size(), 1U);
    ASSERT_TRUE(client.unprotect(sent[0].bytes));
  }
  SessionStats last;
  ASSERT_TRUE(media.engine().close(kVideo, last));
  EXPECT_EQ(last.legs[0].stream_count, 1U);
  queue(kAudio, Side::kA, heard);
  EXPECT_TRUE(deliver().empty());
  EXPECT_EQ(media.drops(DropReason::kReplayed), 1U);
  // The same SSRC from elsewhere: either refused, or at indices that were never used.
  unsigned passed = 0;
  for (std::uint16_t i = 1; i <= 20; ++i) {
    for (const Sent& sent : from_phone(kSlides, rtp_packet(i, 0x88, 160, 98))) {
      ++passed;
      EXPECT_TRUE(client.unprotect(sent.bytes)) << "index used twice";
    }
  }
  EXPECT_GT(passed, 0U);
  EXPECT_EQ(line_of(from_client(rtp_packet(8, 0x22, 160, 98))), kSlides.slot);
}

TEST_F(Bundle, a_new_key_begins_anew_for_all_lines) {
  ASSERT_EQ(from_phone(kAudio, rtp_packet(40000, 0x77)).size(), 1U);
  ASSERT_EQ(from_phone(kVideo, rtp_packet(40000, 0x88, 160, 96)).size(), 1U);
  ASSERT_EQ(from_client(rtp_packet(40000, 0x22, 160, 96)).size(), 1U);
  a.receive = keying(kGcm, 8);
  a.send = keying(kGcm, 9);
  update(kAudio, Side::kA, a);
  Peer renewed(a.receive, a.send);
  const auto audio = from_phone(kAudio, rtp_packet(1, 0x77));
  const auto video = from_phone(kVideo, rtp_packet(1, 0x88, 160, 96));
  ASSERT_EQ(audio.size() + video.size(), 2U);
  EXPECT_TRUE(renewed.unprotect(audio[0].bytes));
  EXPECT_TRUE(renewed.unprotect(video[0].bytes));
  queue(kAudio, Side::kA, renewed.protect(rtp_packet(1, 0x22, 160, 96)));
  EXPECT_EQ(line_of(deliver()), kVideo.slot);
}

TEST_F(Bundle, packets_at_the_port_of_a_bundled_line_are_dropped) {
  queue(kVideo, Side::kA, client.protect(rtp_packet(1, 0x22, 160, 96)));
  EXPECT_TRUE(deliver().empty());
  EXPECT_EQ(media.drops(DropReason::kNotKeyed), 1U);
}

TEST_F(Bundle, a_line_whose_transport_has_closed_sends_nothing) {
  SessionStats last;
  ASSERT_TRUE(media.engine().close(kAudio, last));
  EXPECT_TRUE(from_phone(kVideo, rtp_packet(1, 0x88, 160, 96)).empty());
  EXPECT_EQ(media.drops(DropReason::kNoDestination), 1U);
  EXPECT_EQ(stats(kVideo).legs[0].stream_count, 0U);
  ASSERT_TRUE(media.engine().close(kVideo, last));
  EXPECT_EQ(media.arena().streams_in_use(), 0U);
}

TEST_F(Bundle, a_plain_transport_does_not_carry_an_srtp_line) {
  open(kSlides);
  update(kSlides, Side::kB, rider(line(kVideo, "s", {98})));
  LegConfig secure = MediaFixture::secure(Side::kA, kGcm, 20);
  update(kSlides, Side::kA, secure);
  Peer other(secure.receive, secure.send);
  queue(kSlides, Side::kA, other.protect(rtp_packet(1, 0x33, 160, 98)));
  EXPECT_TRUE(deliver().empty());
  EXPECT_EQ(media.drops(DropReason::kNotKeyed), 1U);
}

TEST_F(Bundle, ssrcs_of_a_transport_are_bounded) {
  for (std::uint32_t ssrc = 1; ssrc <= 40; ++ssrc) {
    from_client(rtp_packet(1, ssrc, 20, ssrc % 2 == 0 ? 0 : 96));
  }
  EXPECT_EQ(media.arena().streams_in_use(), 16U);  // eight for each line
  EXPECT_EQ(media.drops(DropReason::kStreamLimit), 24U);
}

TEST_F(Bundle, a_line_that_leaves_and_comes_back_is_heard_again) {
  ASSERT_EQ(line_of(from_client(rtp_packet(1, 0x22, 160, 96))), kVideo.slot);
  update(kVideo, Side::kA, rider(BundleConfig{}));
  EXPECT_TRUE(from_client(rtp_packet(2, 0x22, 160, 96)).empty());
  EXPECT_EQ(media.drops(DropReason::kNotInBundle), 1U);
  update(kVideo, Side::kA, rider(line(kAudio, "v", {96})));
  EXPECT_EQ(line_of(from_client(rtp_packet(3, 0x22, 160, 96))), kVideo.slot);
}

// Both sides bundle.
struct BothBundled : Bundle {
  BothBundled() {
    b.rtcp_mux = true;
    b.bundle = line(kAudio, "a", {0, 99});
    update(kAudio, Side::kB, b);
    update(kVideo, Side::kB, rider(line(kAudio, "v", {96, 97, 99})));
  }
  std::optional<Bytes> to_callee(const std::vector<Sent>& sent, bool rtcp = false) {
    if (sent.size() != 1 || sent[0].tag.slot != kAudio.slot) return std::nullopt;
    return callee.unprotect(sent[0].bytes, rtcp);
  }
  LegConfig b = MediaFixture::secure(Side::kB, kCm, 5);
  Peer callee{b.receive, b.send};
};

TEST_F(BothBundled, both_lines_pass_both_ways) {
  EXPECT_TRUE(to_callee(from_client(with_mid(rtp_packet(1, 0x11, 160, 99), "a"))));
  EXPECT_TRUE(to_callee(from_client(with_mid(rtp_packet(1, 0x22, 160, 99), "v"))));
  EXPECT_TRUE(to_callee(from_client(receiver_report(0x11, 0x99), true), true));
  queue(kAudio, Side::kB, callee.protect(with_mid(rtp_packet(1, 0x88, 160, 99), "v")));
  const auto sent = deliver();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_TRUE(client.unprotect(sent[0].bytes));
  EXPECT_EQ(stats(kVideo).legs[1].packets_received, 1U);
  EXPECT_EQ(stats(kVideo).legs[0].packets_sent, 1U);
}

TEST_F(BothBundled, an_ssrc_that_moves_goes_on_at_its_index) {
  for (std::uint16_t i = 1; i <= 10; ++i) {
    ASSERT_TRUE(to_callee(from_client(with_mid(rtp_packet(i, 0x11, 160, 99), "a"))));
  }
  EXPECT_TRUE(to_callee(from_client(with_mid(rtp_packet(11, 0x11, 160, 99), "v"))));
  EXPECT_TRUE(to_callee(from_client(with_mid(rtp_packet(12, 0x11, 160, 99), "a"))));
}

// Inside ends with keys of their own for each line.
struct ApartInside : Bundle {
  ApartInside() {
    update(kAudio, Side::kB, b);
    LegConfig phone = video_phone();
    phone.must_encrypt = true;
    phone.receive = keying(kCm, 30);
    phone.send = keying(kCm, 31);
    video_peer.emplace(phone.receive, phone.send);
    update(kVideo, Side::kB, phone);
  }
  LegConfig b = MediaFixture::secure(Side::kB, kCm, 5);
  Peer audio_peer{b.receive, b.send};
  std::optional<Peer> video_peer;
};

TEST_F(ApartInside, reports_of_one_receiver_go_to_both_lines_at_indices_of_their_own) {
  from_phone(kAudio, audio_peer.protect(rtp_packet(1, 0x77)));
  from_phone(kVideo, video_peer->protect(rtp_packet(1, 0x88, 160, 96)));
  for (int i = 0; i < 5; ++i) {
    for (const std::uint32_t about : {0x77U, 0x88U, 0x77U}) {
      queue(kAudio, Side::kA, client.protect(receiver_report(1, about), true));
    }
    const auto sent = deliver();  // as one batch
    ASSERT_EQ(sent.size(), 3U);
    EXPECT_TRUE(audio_peer.unprotect(sent[0].bytes, true));
    EXPECT_TRUE(video_peer->unprotect(sent[1].bytes, true));
    EXPECT_TRUE(audio_peer.unprotect(sent[2].bytes, true));
  }
}

TEST_F(ApartInside, a_new_key_of_one_line_lets_the_other_repeat_nothing) {
  from_phone(kAudio, audio_peer.protect(rtp_packet(1, 0x77)));
  from_phone(kVideo, video_peer->protect(rtp_packet(1, 0x88, 160, 96)));
  const auto report = [&](std::uint32_t about) {
    return from_client(receiver_report(1, about), true);
  };
  for (int i = 0; i < 3; ++i) {
    const auto sent = report(0x77);
    ASSERT_EQ(sent.size(), 1U);
    ASSERT_TRUE(audio_peer.unprotect(sent[0].bytes, true));
  }
  ASSERT_EQ(report(0x88).size(), 1U);
  LegConfig phone = video_phone();
  phone.must_encrypt = true;
  phone.receive = keying(kCm, 40);
  phone.send = keying(kCm, 41);
  update(kVideo, Side::kB, phone);
  const auto sent = report(0x77);
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_TRUE(audio_peer.unprotect(sent[0].bytes, true)) << "index used twice";
}

TEST_F(ApartInside, an_ssrc_that_moves_to_and_fro_repeats_no_index) {
  for (std::uint16_t i = 1; i <= 60; ++i) {
    const std::string_view mid = (i / 10) % 2 == 0 ? "a" : "v";
    for (const Sent& sent : from_client(with_mid(rtp_packet(i, 0x11, 160, 99), mid))) {
      Peer& peer = sent.tag.slot == kAudio.slot ? audio_peer : *video_peer;
      EXPECT_TRUE(peer.unprotect(sent.bytes)) << i;
    }
  }
  EXPECT_EQ(media.drops_total(), 0U);
}

TEST_F(Bundle, a_successor_goes_on_with_what_was_learned) {
  from_client(with_mid(rtp_packet(1, 0x22, 160, 99), "v"));
  const Bytes heard = client.protect(with_mid(rtp_packet(2, 0x22, 160, 99), "v"));
  queue(kAudio, Side::kA, heard);
  ASSERT_EQ(line_of(deliver()), kVideo.slot);
  constexpr media::ArenaShape kWide{MediaFixture::kSessions, 128, 0, 1, 36000, 59999};
  const std::size_t bytes = media::Arena::bytes_for(kWide);
  std::vector<std::uint8_t> image(bytes);
  std::vector<std::uint8_t> blank(bytes);
  media::Arena fresh = media::Arena::format(blank.data(), kWide);
  const auto offset = reinterpret_cast<const std::uint8_t*>(&fresh.session(0)) - blank.data();
  std::memcpy(image.data(),
              reinterpret_cast<const std::uint8_t*>(&media.arena().session(0)) - offset, bytes);
  media::ArenaReport report;
  auto arena = media::Arena::adopt(image.data(), image.size(), kWide, report);
  ASSERT_TRUE(arena);
  EXPECT_EQ(report.sessions, 2U);
  Successor successor(*arena, media.now());
  // The payload type alone would not say which line it is of.
  EXPECT_EQ(successor.arrive(Side::kA, client.protect(rtp_packet(3, 0x22, 160, 99))), 1U);
  EXPECT_EQ(successor.arrive(Side::kA, heard), 0U);
  EXPECT_EQ(successor.arrive(Side::kA, client.protect(rtp_packet(1, 0x33, 160, 99))), 0U);
}

}  // namespace
}  // namespace turnpike::test
