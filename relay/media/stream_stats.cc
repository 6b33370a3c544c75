#include "relay/media/stream_stats.h"

#include "relay/media/quality.h"

namespace turnpike::media {
namespace {

constexpr std::uint16_t kMaxDropout = 3000;  // RFC 3550 appendix A.1
constexpr std::uint16_t kMaxMisorder = 100;
// Timestamps further off than this have begun anew (another source behind the same SSRC, another
// clock): no network is that late, and one such distance would stand for seconds of jitter.
constexpr std::uint64_t kJumpSeconds = 2;

void restart(StreamState& stream, std::uint16_t sequence) {
  stream.sequence_base = sequence;
  stream.sequence_highest = sequence;
  stream.sequence_cycles = 0;
  stream.transit_last = 0;
}

void count_sequence(StreamState& stream, std::uint16_t sequence) {
  const auto delta = static_cast<std::uint16_t>(sequence - stream.sequence_highest);
  if (delta < kMaxDropout) {
    if (sequence < stream.sequence_highest) stream.sequence_cycles += 0x10000;
    stream.sequence_highest = sequence;
  } else if (delta <= 0xffffU - kMaxMisorder) {
    // A jump: the sender began anew. What was lost so far stays counted through the base.
    const std::uint32_t expected = expected_packets(stream);
    restart(stream, sequence);
    stream.sequence_base = sequence - expected;
  }
}

}  // namespace

void count_rtp(StreamState& stream, const RtpHeader& header, std::uint32_t bytes,
               std::uint32_t clock_rate_hz, Instant now) {
  if (!stream.started) {
    stream.started = true;
    stream.first_packet = now;
    restart(stream, header.sequence);
  } else {
    count_sequence(stream, header.sequence);
  }
  if (stream.payload_type != header.payload_type) {
    stream.payload_type = header.payload_type;
    stream.payload_run = stream.payload_run_bytes = 0;
  }
  ++stream.payload_run;
  stream.payload_run_bytes += bytes - header.header_bytes;
  ++stream.packets;
  stream.bytes += bytes;
  stream.last_packet = stream.last_rtp = now;

  const auto ns = static_cast<std::uint64_t>(now.time_since_epoch().count());
  const auto arrival = static_cast<std::uint32_t>(ns / 1000 * clock_rate_hz / 1000000);
  const std::uint32_t transit = arrival - header.timestamp;
  if (stream.packets > 1 && stream.transit_last != 0) {
    const std::int64_t difference = static_cast<std::int32_t>(transit - stream.transit_last);
    const auto distance = static_cast<std::uint32_t>(difference < 0 ? -difference : difference);
    if (distance <= kJumpSeconds * clock_rate_hz) {
      stream.jitter_scaled += distance - ((stream.jitter_scaled + 8) >> 4);
    }
  }
  stream.transit_last = transit;
}

StreamStats report(const StreamState& stream) {
  StreamStats stats;
  stats.ssrc = stream.ssrc;
  stats.payload_type = stream.payload_type;
  stats.packets = stream.packets;
  stats.bytes = stream.bytes;
  stats.rtcp_packets = stream.rtcp_packets;
  stats.replays = stream.replays;
  stats.auth_failures = stream.auth_failures;
  stats.jitter = stream.jitter_scaled >> 4;
  stats.first_packet = stream.first_packet;
  stats.last_packet = stream.last_packet;
  stats.last_rtp = stream.last_rtp;
  stats.payload_run = stream.payload_run;
  stats.payload_run_bytes = stream.payload_run_bytes;
  stats.rollover_counter = static_cast<std::uint32_t>(stream.receive.rtp_highest >> 16);
  stats.quality = report(stream.quality);
  if (stream.started) {
    const auto lost = static_cast<std::int64_t>(expected_packets(stream)) -
                      static_cast<std::int64_t>(stream.packets);
    stats.packets_lost = lost > 0 ? static_cast<std::uint32_t>(lost) : 0;
  }
  return stats;
}

}  // namespace turnpike::media
