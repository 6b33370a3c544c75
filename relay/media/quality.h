// How good a stream is, over intervals of some seconds: loss and jitter as received here, the round
// trip from sender reports that go by and the reports on them that come back (RFC 3550 section
// 6.4.1), and a mean opinion score after the simplified E-model of ITU-T G.107.
//
// R = 93.2 - delay / 40 (from 160 ms on: - (delay - 120) / 10) - 2.5 for each percent lost, with
// delay = half the round trip + twice the jitter + 10 ms; MOS = 1 + 0.035 R + 7e-6 R (R - 60)
// (100 - R), in 1.0-4.5. The codec is not looked at: it is G.711's best that 4.4 stands for.
#pragma once

#include <cstdint>

#include "relay/media/state.h"
#include "relay/wire/rtcp.h"
#include "turnpike/stats.h"
#include "turnpike/time.h"

namespace turnpike::media {

/// Takes note of the first sender report of a compound that passes towards the other leg.
void note_sender_report(StreamState& stream, const std::uint8_t* data, std::size_t length,
                        Instant now);

/// Between us and who sent the block, or 0: it is about no report that passed lately, or says what
/// cannot be. 1 us to 10 s.
std::uint32_t round_trip_us(const QualityState& quality, const ReportBlock& block, Instant now);

/// Of a whole path, from those of its two legs; 0 when neither is known.
inline std::uint32_t round_trip_of(std::uint32_t one_us, std::uint32_t other_us) {
  return one_us + other_us;
}

/// 100-450 for a loss in percent and times in milliseconds, none of them negative.
std::uint16_t mos_hundredths(double loss_percent, double jitter_ms, double round_trip_ms);

/// Ends an interval: one sample, if anything was expected in it. Loss that a late packet makes good
/// in the next interval is not taken back.
void sample_quality(StreamState& stream, std::uint32_t clock_rate_hz, std::uint32_t round_trip_us,
                    Instant now);

StreamQuality report(const QualityState& quality);

}  // namespace turnpike::media
