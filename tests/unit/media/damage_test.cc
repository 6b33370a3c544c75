// Memory that a dead process left damaged: adoption and everything after it must stand it.
#include <algorithm>
#include <functional>
#include <random>

#include "relay/media/session_seal.h"
#include "tests/unit/media/left_behind.h"

namespace turnpike::test {
namespace {

struct Damaged : Left {
  Damaged() {
    media.update(Side::kB, MediaFixture::secure(Side::kB, SrtpSuite::kAeadAes128Gcm, 5));
    for (std::uint32_t ssrc = 1; ssrc <= 20; ++ssrc) {  // some are given up
      media.advance(Seconds(6));
      media.arrive(Side::kA, client.protect(rtp_packet(1, ssrc)));
      media.arrive(Side::kA, client.protect(rtcp_packet(ssrc), true),
                   MediaFixture::remote(Side::kA, Component::kRtcp), Component::kRtcp);
    }
    whole = image_of(media);
  }
  std::size_t offset_of(const void* place) {
    const auto* first = reinterpret_cast<const std::uint8_t*>(&media.arena().session(0));
    return session_offset() +
           static_cast<std::size_t>(static_cast<const std::uint8_t*>(place) - first);
  }
  static std::size_t session_offset() {
    std::vector<std::uint8_t> blank(media::Arena::bytes_for(kShape));
    media::Arena arena = media::Arena::format(blank.data(), kShape);
    return static_cast<std::size_t>(reinterpret_cast<std::uint8_t*>(&arena.session(0)) -
                                    blank.data());
  }
  // Everything that happens to a session afterwards.
  void live_on(media::Arena& arena) {
    Successor next(arena, media.now());
    const auto traffic = [&] {
      for (std::uint16_t i = 30; i < 34; ++i) {
        next.arrive(Side::kA, rtp_packet(i));
        next.arrive(Side::kA, client.protect(rtp_packet(i)));
        next.arrive(Side::kA, client.protect(rtp_packet(i, 0x7777)));
        next.arrive(Side::kB, rtp_packet(i, 0x2222));
      }
      next.arrive(Side::kA, client.protect(rtcp_packet(), true), Component::kRtcp);
      next.arrive(Side::kB, rtcp_packet(0x2222), Component::kRtcp);
    };
    traffic();
    next.deadline(Seconds(20));
    next.engine().update_leg(MediaFixture::kId, Side::kB, MediaFixture::plain(Side::kB),
                             next.now());
    traffic();
    next.deadline(Seconds(100));
    SessionStats stats;
    static_cast<void>(next.engine().stats(MediaFixture::kId, stats));
    if (next.engine().close(MediaFixture::kId, stats)) {
      EXPECT_EQ(arena.streams_in_use(), 0U);
    }
  }
  std::vector<std::uint8_t> whole;
};

TEST_F(Damaged, random_bytes_never_make_adoption_or_later_packets_crash) {
  std::mt19937 random(1);
  const std::size_t first = session_offset();
  const std::size_t body = offset_of(&media.state());
  unsigned adopted = 0;
  for (int round = 0; round < 3000; ++round) {
    image = whole;
    const std::size_t low = round % 2 == 0 ? body : first;  // the session, or anything
    const std::size_t high = round % 2 == 0 ? body + sizeof(media::SessionState) : image.size();
    for (std::uint32_t bytes = 1 + random() % 4; bytes > 0; --bytes) {
      image[low + random() % (high - low)] ^= static_cast<std::uint8_t>(1 + random() % 255);
    }
    auto arena = adopt();
    ASSERT_TRUE(arena);
    EXPECT_GE(report.sessions + report.dropped, 1U) << round;
    adopted += report.sessions;
    if (report.sessions == 0) {
      EXPECT_EQ(arena->streams_in_use(), 0U);
    }
    live_on(*arena);
  }
  EXPECT_GT(adopted, 500U);
}

// Damage that the checksum covers up for: the second line of defence.
TEST_F(Damaged, random_bytes_under_a_right_checksum_are_survived) {
  std::mt19937 random(2);
  const std::size_t body = offset_of(&media.state());
  unsigned refused = 0;
  for (int round = 0; round < 3000; ++round) {
    image = whole;
    for (std::uint32_t bytes = 1 + random() % 8; bytes > 0; --bytes) {
      image[body + random() % sizeof(media::SessionState)] = static_cast<std::uint8_t>(random());
    }
    auto& session = *reinterpret_cast<media::SessionState*>(image.data() + body);
    session.checksum = media::checksum_of(session);
    auto arena = adopt();
    ASSERT_TRUE(arena);
    refused += report.dropped;
    live_on(*arena);
  }
  EXPECT_GT(refused, 100U);
}

TEST_F(Damaged, every_changed_byte_of_configuration_and_keys_is_noticed) {
  const media::LegState& leg = media.state().legs[0];
  const auto changed_is_refused = [&](const void* place, std::size_t bytes) {
    for (std::size_t i = 0; i < bytes; ++i) {
      image = whole;
      image[offset_of(place) + i] ^= 0x01;
      ASSERT_TRUE(adopt());
      EXPECT_EQ(report.dropped, 1U) << i;
    }
  };
  changed_is_refused(&leg.config.remote[0].ip, sizeof(IpAddress));
  changed_is_refused(&leg.config.must_encrypt, 1);
  changed_is_refused(&leg.config.receive, sizeof(SrtpKeying));
  changed_is_refused(&leg.receive.rtp_key, sizeof leg.receive.rtp_key);
  changed_is_refused(&leg.send.rtcp_auth_key, sizeof leg.send.rtcp_auth_key);
  changed_is_refused(&leg.receive.serial, sizeof leg.receive.serial);
  changed_is_refused(&media.state().generation, 4);
}

TEST_F(Damaged, values_that_would_break_the_engine_are_refused) {
  const auto refused = [&](const std::function<void(media::SessionState&)>& damage) {
    image = whole;
    auto arena = media::Arena::adopt(image.data(), image.size(), kShape, report);
    ASSERT_TRUE(arena);
    media::SessionState& session = arena->session(MediaFixture::kId.slot);
    damage(session);
    session.checksum = media::checksum_of(session);
    ASSERT_TRUE(adopt());
    EXPECT_EQ(report.dropped, 1U);
  };
  refused([](auto& s) { s.legs[0].receive.serial = 0; });
  refused([](auto& s) { s.legs[1].send.suite = static_cast<SrtpSuite>(7); });
  refused([](auto& s) { s.legs[1].send.mki_bytes = 17; });
  refused([](auto& s) { s.legs[0].receive.suite = SrtpSuite::kNone; });
  refused([](auto& s) { s.legs[0].config.source_policy = static_cast<SourcePolicy>(9); });
  refused([](auto& s) { s.legs[0].component[1].last_sent = Instant::min(); });
  refused([](auto& s) { s.legs[0].expects_since = Instant::max(); });
  refused([](auto& s) { s.legs[0].other_local = s.legs[0].local; });
  refused([](auto& s) { s.legs[0].other_local[1] = {*parse_ip("2001:db8::1"), 36001}; });
  refused([](auto& s) { std::memset(&s.legs[1].timed_out, 2, 1); });
  refused([](auto& s) { std::memset(&s.legs[1].config.rtcp_mux, 0x80, 1); });
  refused([](auto& s) {
    s.legs[0].component[0].destination.ip.family = static_cast<AddressFamily>(5);
  });
}

TEST_F(Damaged, a_refused_second_leg_gives_the_streams_of_the_first_back) {
  image = whole;
  auto arena = adopt();
  ASSERT_TRUE(arena);
  media::SessionState& session = arena->session(MediaFixture::kId.slot);
  session.legs[1].local[0] = {};
  session.checksum = media::checksum_of(session);
  arena = adopt();
  ASSERT_TRUE(arena);
  EXPECT_EQ(report.dropped, 1U);
  EXPECT_EQ(arena->streams_in_use(), 0U);
}

TEST_F(Damaged, what_died_while_it_closed_leaves_no_key) {
  image = whole;
  auto& session = *reinterpret_cast<media::SessionState*>(image.data() + offset_of(&media.state()));
  session.generation = 0;
  ASSERT_TRUE(adopt());
  EXPECT_EQ(report.sessions + report.dropped, 0U);
  const auto& key = a.receive.master_key;
  EXPECT_EQ(std::search(image.begin(), image.end(), key.begin(), key.begin() + 16), image.end());
}

TEST_F(Left, a_torn_replay_window_never_lets_an_index_be_used_again) {
  media.arrive(Side::kB, rtp_packet(500, 0x2222));
  image = image_of(media);
  auto arena = adopt();
  ASSERT_TRUE(arena);
  for (std::uint32_t i = arena->session(MediaFixture::kId.slot).legs[1].first_stream;
       i != media::kNoStream; i = arena->stream(i).next) {
    arena->stream(i).send.rtp_window = {};
    arena->stream(i).send.rtp_started = 0;
  }
  arena = adopt();
  ASSERT_TRUE(arena);
  ASSERT_EQ(report.sessions, 1U);
  Successor next(*arena, media.now());
  EXPECT_EQ(next.arrive(Side::kB, rtp_packet(500, 0x2222)), 0U);
  EXPECT_EQ(next.arrive(Side::kB, rtp_packet(499, 0x2222)), 0U);
  EXPECT_EQ(next.arrive(Side::kB, rtp_packet(501, 0x2222)), 1U);
}

TEST_F(Damaged, times_that_are_still_to_come_hold_nothing_up) {
  image = whole;
  auto arena = adopt();
  ASSERT_TRUE(arena);
  media::SessionState& session = arena->session(MediaFixture::kId.slot);
  for (media::LegState& leg : session.legs) leg.last_packet = media.now() + Seconds(1'000'000);
  arena = adopt();
  ASSERT_TRUE(arena);
  ASSERT_EQ(report.sessions, 1U);
  Successor next(*arena, media.now());
  next.deadline(Seconds(61));
  EXPECT_TRUE(arena->session(MediaFixture::kId.slot).legs[0].timed_out);
}

}  // namespace
}  // namespace turnpike::test
