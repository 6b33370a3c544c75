// Sequence, loss and jitter of a received stream (RFC 3550 appendices A.1, A.3 and A.8).
#pragma once

#include "relay/media/state.h"
#include "relay/wire/rtp.h"
#include "turnpike/time.h"

namespace turnpike::media {

/// Counts one accepted RTP packet. `clock_rate_hz` is the RTP clock of the stream's media.
void count_rtp(StreamState& stream, const RtpHeader& header, std::uint32_t bytes,
               std::uint32_t clock_rate_hz, Instant now);

/// Packets that a stream that has started should have had by its sequence numbers.
inline std::uint32_t expected_packets(const StreamState& stream) {
  return stream.sequence_cycles + stream.sequence_highest - stream.sequence_base + 1;
}

/// The figures as reported; `rollover_counter` comes from the SRTP receive index.
StreamStats report(const StreamState& stream);

}  // namespace turnpike::media
