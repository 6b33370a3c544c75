// Loss, jitter and round trip of streams against naive models, and the opinion score by its
// formula.
#include "relay/media/quality.h"

#include <cmath>
#include <random>
#include <set>
#include <vector>

#include <gtest/gtest.h>

#include "relay/media/stream_stats.h"
#include "tests/support/media_fixture.h"

namespace turnpike::test {
namespace {

using media::StreamState;

// RFC 3550 section 6.4.1 as it stands there, in floating point; loss by counting.
struct Naive {
  double jitter = 0;
  double transit = 0;
  std::uint64_t received = 0;
  std::uint32_t first = 0;
  std::uint32_t highest = 0;

  void take(std::uint32_t sequence, std::uint32_t timestamp, double arrival_s, double rate) {
    const double now = arrival_s * rate - timestamp;
    if (received != 0) jitter += (std::abs(now - transit) - jitter) / 16;
    transit = now;
    if (received == 0) first = highest = sequence;
    highest = std::max(highest, sequence);
    ++received;
  }
  std::int64_t lost() const {
    const std::int64_t expected = std::int64_t{highest} - first + 1;
    return std::max<std::int64_t>(0, expected - static_cast<std::int64_t>(received));
  }
};

class QualityModel : public ::testing::TestWithParam<unsigned> {};

TEST_P(QualityModel, loss_and_jitter_agree) {
  std::mt19937 engine(GetParam());
  const auto random = [&] { return static_cast<std::uint32_t>(engine()); };
  const std::uint32_t rate = std::vector<std::uint32_t>{8000, 16000, 48000, 90000}[random() % 4];
  const std::uint32_t per_packet = rate / 50;
  const unsigned loss = random() % 20;
  const unsigned spread_ms = 1 + random() % 60;
  struct Arrival {
    std::uint32_t sequence;
    double at;
  };
  std::vector<Arrival> arrivals;
  const std::uint32_t begin = random() % 70000;  // the 16 bits wrap on the way
  for (std::uint32_t i = 0; i < 3000; ++i) {
    if (random() % 100 < loss) continue;
    arrivals.push_back({begin + i, 100 + i * 0.02 + (random() % (spread_ms * 1000)) / 1e6});
  }
  std::stable_sort(arrivals.begin(), arrivals.end(),
                   [](const Arrival& x, const Arrival& y) { return x.at < y.at; });
  StreamState stream;
  Naive naive;
  for (const Arrival& arrival : arrivals) {
    RtpHeader header;
    header.sequence = static_cast<std::uint16_t>(arrival.sequence);
    header.timestamp = arrival.sequence * per_packet + 12345;
    const Instant now{Nanoseconds(static_cast<std::int64_t>(arrival.at * 1e9))};
    media::count_rtp(stream, header, 172, rate, now);
    naive.take(arrival.sequence, header.timestamp, arrival.at, rate);
  }
  const StreamStats stats = media::report(stream);
  // Packets that overtook the first one are before the base: not lost, and not expected either.
  std::int64_t before_base = 0;
  for (const Arrival& arrival : arrivals) before_base += arrival.sequence < arrivals[0].sequence;
  EXPECT_EQ(stats.packets, naive.received);
  EXPECT_NEAR(static_cast<double>(stats.packets_lost), static_cast<double>(naive.lost()),
              static_cast<double>(before_base));
  // Ours counts in whole units, which loses less than one in each of 16 steps.
  EXPECT_NEAR(stats.jitter, naive.jitter, 2 + naive.jitter / 50) << "rate " << rate;
}

INSTANTIATE_TEST_SUITE_P(Seeds, QualityModel, ::testing::Range(1U, 65U));

// What a sender does that begins its timestamps anew, here and there, in a stream that the network
// spreads: the jitter is that of the network all the same.
TEST_P(QualityModel, jumps_of_the_timestamps_are_no_jitter) {
  std::mt19937 engine(GetParam());
  const auto random = [&] { return static_cast<std::uint32_t>(engine()); };
  const std::uint32_t rate = std::vector<std::uint32_t>{8000, 16000, 48000, 90000}[random() % 4];
  const unsigned spread_ms = 1 + random() % 15;
  StreamState stream;
  Naive naive;
  std::uint32_t shift = random();
  for (std::uint32_t i = 0; i < 1000; ++i) {
    const std::uint32_t jumps = i % 200 == 50 ? 1 : 0;
    shift += jumps * (rate * 3 + random() % (0xffffffffU - rate * 6));
    const double at = 100 + i * 0.02 + (random() % (spread_ms * 1000)) / 1e6;
    RtpHeader header;
    header.sequence = static_cast<std::uint16_t>(i);
    header.timestamp = i * rate / 50 + shift;
    const Instant now{Nanoseconds(static_cast<std::int64_t>(at * 1e9))};
    media::count_rtp(stream, header, 172, rate, now);
    naive.take(i, i * rate / 50, at, rate);
    // The model has the distance at a jump too, which nobody can measure.
    EXPECT_LE(media::report(stream).jitter, spread_ms * rate / 1000);
  }
  const double jitter = media::report(stream).jitter;
  EXPECT_NEAR(jitter, naive.jitter, 2 + naive.jitter / 50) << "rate " << rate;
}

TEST(Quality, another_clock_rate_is_no_jitter) {
  StreamState stream;
  Instant now{Seconds{100}};
  for (std::uint16_t i = 0; i < 200; ++i) {
    const std::uint32_t rate = i < 100 ? 8000 : 48000;
    RtpHeader header;
    header.sequence = i;
    header.timestamp = i * (rate / 50);
    media::count_rtp(stream, header, 172, rate, now);
    now += Milliseconds{20};
    EXPECT_LE(media::report(stream).jitter, 1U) << i;
  }
}

TEST(Quality, mos_by_the_formula) {
  EXPECT_EQ(media::mos_hundredths(0, 0, 0), 440);
  EXPECT_EQ(media::mos_hundredths(100, 0, 0), 100);
  EXPECT_EQ(media::mos_hundredths(0, 0, 1e9), 100);
  // R = 93.2 - (100 + 20 + 10) / 40 - 2.5 = 87.45
  EXPECT_EQ(media::mos_hundredths(1, 10, 200), 427);
  // From 160 ms on: R = 93.2 - (210 - 120) / 10 = 84.2
  EXPECT_EQ(media::mos_hundredths(0, 0, 400), 417);
}

TEST(Quality, mos_never_rises_with_loss_jitter_or_delay) {
  for (double value = 0; value < 300; value += 1) {
    EXPECT_GE(media::mos_hundredths(value, 5, 50), media::mos_hundredths(value + 1, 5, 50));
    EXPECT_GE(media::mos_hundredths(1, value, 50), media::mos_hundredths(1, value + 1, 50));
    EXPECT_GE(media::mos_hundredths(1, 5, 4 * value), media::mos_hundredths(1, 5, 4 * value + 4));
  }
}

struct Sampled : ::testing::Test {
  void play(std::uint16_t from, std::uint16_t to, unsigned skip_every = 0) {
    for (std::uint16_t i = from; i < to; ++i) {
      now += Milliseconds{20};
      if (skip_every != 0 && i % skip_every == 0) continue;
      RtpHeader header;
      header.sequence = i;
      header.timestamp = i * 160U;
      media::count_rtp(stream, header, 172, 8000, now);
    }
  }
  void sample() { media::sample_quality(stream, 8000, 30000, now); }
  StreamState stream;
  Instant now{Seconds{100}};
};

TEST_F(Sampled, each_interval_stands_for_itself) {
  play(0, 250);
  sample();
  const Instant first = now;
  play(250, 500, 10);
  sample();
  const Instant second = now;
  play(500, 751);
  sample();
  const StreamQuality quality = media::report(stream).quality;
  EXPECT_EQ(quality.samples, 3U);
  EXPECT_EQ(quality.highest.at, first);
  EXPECT_EQ(quality.highest.loss_hundredths, 0);
  EXPECT_EQ(quality.lowest.at, second);
  EXPECT_NEAR(quality.lowest.loss_hundredths, 1000, 50);
  EXPECT_EQ(quality.average.at, now);
  EXPECT_LT(quality.lowest.mos_hundredths, quality.average.mos_hundredths);
  EXPECT_LT(quality.average.mos_hundredths, quality.highest.mos_hundredths);
  EXPECT_EQ(quality.average.round_trip_us, 30000U);
}

TEST_F(Sampled, silence_has_no_quality) {
  sample();
  EXPECT_EQ(media::report(stream).quality.samples, 0U);
  play(0, 50);
  sample();
  sample();
  EXPECT_EQ(media::report(stream).quality.samples, 1U);
}

// A sender report of `ssrc` and a report on it by `reporter`.
std::vector<std::uint8_t> sender_report(std::uint32_t ssrc, std::uint32_t ntp_middle) {
  auto packet = rtcp_packet(ssrc);
  write_be32(packet.data() + 10, ntp_middle);
  return packet;
}
std::vector<std::uint8_t> receiver_report(std::uint32_t reporter, std::uint32_t about,
                                          std::uint32_t last_report, std::uint32_t delay) {
  std::vector<std::uint8_t> packet(32);
  packet[0] = 0x81;
  packet[1] = 201;
  write_be16(packet.data() + 2, 7);
  write_be32(packet.data() + 4, reporter);
  write_be32(packet.data() + 8, about);
  write_be32(packet.data() + 24, last_report);
  write_be32(packet.data() + 28, delay);
  return packet;
}

struct RoundTrip : ::testing::Test {
  static constexpr std::uint32_t kCaller = 0x1111;
  RoundTrip() {
    media.update(Side::kA, MediaFixture::plain(Side::kA));
    media.update(Side::kB, MediaFixture::plain(Side::kB));
    media.arrive(Side::kA, rtp_packet(1, kCaller));
  }
  void rtcp(Side side, const std::vector<std::uint8_t>& packet) {
    media.arrive(side, packet, MediaFixture::remote(side, Component::kRtcp), Component::kRtcp);
  }
  std::uint32_t measured() { return media.stats().legs[1].round_trip_us; }
  void measure() {
    rtcp(Side::kA, sender_report(kCaller, 0xabcd0123));
    media.advance(Milliseconds{40});
    rtcp(Side::kB, receiver_report(0x2222, kCaller, 0xabcd0123, 0));
    ASSERT_NEAR(measured(), 40000, 20);
  }
  static media::EngineLimits limits() {
    media::EngineLimits limits;
    limits.quality_interval = Seconds{5};
    return limits;
  }
  MediaFixture media{limits()};
};

TEST_F(RoundTrip, is_forgotten_when_nobody_reports_any_more) {
  measure();
  const auto wait = [&](int seconds) {
    for (int i = 0; i < seconds; ++i) {
      media.advance(Seconds{1});
      media.deadline();
    }
  };
  wait(29);
  EXPECT_NE(measured(), 0U);
  wait(7);
  EXPECT_EQ(measured(), 0U);
}

TEST_F(RoundTrip, is_that_to_one_address) {
  measure();
  media.update(Side::kB, MediaFixture::plain(Side::kB));
  EXPECT_NE(measured(), 0U);
  LegConfig moved = MediaFixture::plain(Side::kB);
  ++moved.remote[0].port;
  media.update(Side::kB, moved);
  EXPECT_EQ(measured(), 0U);
}

TEST_F(RoundTrip, is_what_passes_less_what_the_receiver_kept) {
  rtcp(Side::kA, sender_report(kCaller, 0xabcd0123));
  media.advance(Milliseconds{540});
  rtcp(Side::kB, receiver_report(0x2222, kCaller, 0xabcd0123, 0x8000));  // half a second
  EXPECT_NEAR(measured(), 40000, 20);
  EXPECT_EQ(media.stats().legs[0].round_trip_us, 0U) << "nobody reported to the other leg";
}

TEST_F(RoundTrip, a_report_on_the_one_before_counts_too) {
  rtcp(Side::kA, sender_report(kCaller, 1));
  media.advance(Milliseconds{30});
  rtcp(Side::kA, sender_report(kCaller, 2));
  rtcp(Side::kB, receiver_report(0x2222, kCaller, 1, 0));
  EXPECT_NEAR(measured(), 30000, 20);
}

TEST_F(RoundTrip, reports_that_cannot_be_are_passed_over) {
  rtcp(Side::kB, receiver_report(0x2222, kCaller, 77, 0));
  rtcp(Side::kA, sender_report(kCaller, 1));
  media.advance(Milliseconds{100});
  rtcp(Side::kB, receiver_report(0x2222, kCaller, 2, 0));       // on a report that never was
  rtcp(Side::kB, receiver_report(0x2222, 0x9999, 1, 0));        // on a stream that is not
  rtcp(Side::kB, receiver_report(0x2222, kCaller, 1, 0x8000));  // kept longer than it took
  rtcp(Side::kB, receiver_report(0x2222, kCaller, 0, 0));       // none came
  media.advance(Seconds{60});
  rtcp(Side::kB, receiver_report(0x2222, kCaller, 1, 0));  // too old
  EXPECT_EQ(measured(), 0U);
}

// A process that takes over thousands of calls does not look at all of them in one moment.
TEST(SampledByTheEngine, not_all_at_once_after_a_restart) {
  media::EngineLimits limits;
  limits.quality_interval = Seconds{5};
  MediaFixture media(limits);
  for (std::uint32_t slot = 4; slot < 8; ++slot) {
    media.engine().open({slot, 1, Side::kA, Component::kRtp}, MediaKind::kAudio, {}, media.now());
  }
  media.engine().resume(media.now());
  std::set<Instant> moments;
  for (std::uint32_t slot = 3; slot < 8; ++slot) {
    const Instant at = media.arena().session(slot).quality_at;
    EXPECT_GE(at, media.now() + limits.quality_interval);
    EXPECT_LT(at, media.now() + 2 * limits.quality_interval);
    moments.insert(at);
  }
  EXPECT_EQ(moments.size(), 5U);
}

TEST(SampledByTheEngine, every_interval_while_media_flows) {
  media::EngineLimits limits;
  limits.quality_interval = Seconds{5};
  MediaFixture media(limits);
  media.update(Side::kA, MediaFixture::plain(Side::kA));
  media.update(Side::kB, MediaFixture::plain(Side::kB));
  for (std::uint16_t i = 0; i < 1100; ++i) {
    media.arrive(Side::kA, rtp_packet(i));
    media.advance(Milliseconds{20});
    media.deadline();
  }
  const StreamStats stream = media.stats().legs[0].streams[0];
  EXPECT_EQ(stream.quality.samples, 4U);
  EXPECT_EQ(stream.quality.average.mos_hundredths, 440);
}

}  // namespace
}  // namespace turnpike::test
