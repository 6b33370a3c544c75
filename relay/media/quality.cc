#include "relay/media/quality.h"

#include <algorithm>
#include <cmath>

#include "relay/core/bytes.h"
#include "relay/media/stream_stats.h"

namespace turnpike::media {
namespace {

constexpr std::uint8_t kSenderReport = 200;
constexpr std::size_t kSenderReportBytes = 28;
constexpr std::uint64_t kRoundTripMaxUs = 10'000'000;

std::uint16_t loss_hundredths(std::uint32_t expected, std::uint64_t received) {
  const std::uint64_t lost = expected - std::min<std::uint64_t>(expected, received);
  return static_cast<std::uint16_t>(lost * 10000 / expected);
}

void add(QualityState& quality, const QualitySample& sample) {
  ++quality.samples;
  quality.newest = sample.at;
  quality.mos_sum += sample.mos_hundredths;
  quality.loss_sum += sample.loss_hundredths;
  quality.jitter_sum += sample.jitter_us;
  if (sample.round_trip_us != 0) {
    quality.round_trip_sum += sample.round_trip_us;
    ++quality.round_trips;
  }
  if (quality.samples == 1 || sample.mos_hundredths < quality.lowest.mos_hundredths) {
    quality.lowest = sample;
  }
  if (quality.samples == 1 || sample.mos_hundredths > quality.highest.mos_hundredths) {
    quality.highest = sample;
  }
}

}  // namespace

void note_sender_report(StreamState& stream, const std::uint8_t* data, std::size_t length,
                        Instant now) {
  if (length < kSenderReportBytes || data[1] != kSenderReport) return;
  QualityState& quality = stream.quality;
  const std::uint32_t middle = read_be32(data + 10);
  if (middle == quality.reports[0].ntp_middle) return;  // told twice
  quality.reports[1] = quality.reports[0];
  quality.reports[0] = {middle, now};
}

std::uint32_t round_trip_us(const QualityState& quality, const ReportBlock& block, Instant now) {
  if (block.last_report == 0) return 0;
  for (const PassedReport& passed : quality.reports) {
    if (passed.at == Instant{} || passed.ntp_middle != block.last_report) continue;
    const auto ns = (now - passed.at).count();
    // In units of 1/65536 s, as the block has it.
    const std::int64_t held_us = (std::int64_t{block.delay_since} * 1'000'000) >> 16;
    const std::int64_t us = ns / 1000 - held_us;
    // Clocks of two hosts drift apart, and the relay reads in batches: just below 0 is next to
    // none.
    if (us < -2000 || us > static_cast<std::int64_t>(kRoundTripMaxUs)) return 0;
    return static_cast<std::uint32_t>(std::max<std::int64_t>(us, 1));
  }
  return 0;
}

std::uint16_t mos_hundredths(double loss_percent, double jitter_ms, double round_trip_ms) {
  const double delay = round_trip_ms / 2 + jitter_ms * 2 + 10;
  double r = 93.2 - (delay < 160 ? delay / 40 : (delay - 120) / 10);
  r = std::clamp(r - 2.5 * loss_percent, 0.0, 100.0);
  const double mos = 1 + 0.035 * r + 0.000007 * r * (r - 60) * (100 - r);
  return static_cast<std::uint16_t>(std::lround(std::clamp(mos, 1.0, 4.5) * 100));
}

void sample_quality(StreamState& stream, std::uint32_t clock_rate_hz, std::uint32_t round_trip_us,
                    Instant now) {
  if (!stream.started) return;
  QualityState& quality = stream.quality;
  const std::uint32_t expected = expected_packets(stream) - quality.expected_before;
  const std::uint64_t received = stream.packets - quality.packets_before;
  // A silent sender has no quality; a jump of its sequence is none of the network's doing.
  if (received == 0 || expected == 0 || expected > 0x7fffffff) return;
  quality.expected_before += expected;
  quality.packets_before = stream.packets;
  QualitySample sample;
  sample.at = now;
  sample.loss_hundredths = loss_hundredths(expected, received);
  const std::uint64_t jitter = stream.jitter_scaled >> 4;
  const std::uint64_t jitter_us = clock_rate_hz == 0 ? 0 : jitter * 1'000'000 / clock_rate_hz;
  sample.jitter_us = static_cast<std::uint32_t>(std::min<std::uint64_t>(jitter_us, UINT32_MAX));
  sample.round_trip_us = round_trip_us;
  sample.mos_hundredths = mos_hundredths(sample.loss_hundredths / 100.0, sample.jitter_us / 1000.0,
                                         round_trip_us / 1000.0);
  add(quality, sample);
}

StreamQuality report(const QualityState& quality) {
  StreamQuality report;
  report.samples = quality.samples;
  if (quality.samples == 0) return report;
  report.lowest = quality.lowest;
  report.highest = quality.highest;
  QualitySample& average = report.average;
  average.at = quality.newest;
  average.mos_hundredths = static_cast<std::uint16_t>(quality.mos_sum / quality.samples);
  average.loss_hundredths = static_cast<std::uint16_t>(quality.loss_sum / quality.samples);
  average.jitter_us = static_cast<std::uint32_t>(quality.jitter_sum / quality.samples);
  if (quality.round_trips != 0) {
    average.round_trip_us =
        static_cast<std::uint32_t>(quality.round_trip_sum / quality.round_trips);
  }
  return report;
}

}  // namespace turnpike::media
