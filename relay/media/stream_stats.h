// Sequence, loss and jitter of a received stream (RFC 3550 appendices A.1, A.3 and A.8).
#pragma once

#include "relay/media/state.h"
#include "relay/wire/rtp.h"
#include "turnpike/time.h"

namespace turnpike::media {

/// Counts one accepted RTP packet. `clock_rate_hz` is the RTP clock of the stream's media.
void count_rtp(StreamState& stream, const RtpHeader& header, std::uint32_t bytes,
               std::uint32_t clock_rate_hz, Instant now);

/// The figures as reported; `rollover_counter` comes from the SRTP receive index.
StreamStats report(const StreamState& stream);

}  // namespace turnpike::media
