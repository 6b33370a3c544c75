// Everything that a session needs to go on, as plain data in the shard's arena: addresses, keys,
// indices, windows, figures. No pointers, no library handles: another process can carry on from it.
// Who changes these structures raises kStateVersion, or an old arena would be misread.
#pragma once

#include <array>
#include <cstdint>
#include <type_traits>

#include "relay/crypto/srtp.h"
#include "turnpike/address.h"
#include "turnpike/command.h"
#include "turnpike/stats.h"
#include "turnpike/time.h"

namespace turnpike::media {

constexpr std::uint32_t kStateVersion = 17;
constexpr std::uint32_t kNoStream = 0xffffffff;
constexpr std::uint32_t kNoLine = 0xffffffff;
/// SSRCs of a transport that several m-lines share, however many they are.
constexpr std::uint32_t kStreamsPerTransportMax = 64;
static_assert(kStreamsPerTransportMax >= kStreamsPerLegMax);

/// A sender report that went by: what a report on it says gives a round trip.
struct PassedReport {
  std::uint32_t ntp_middle = 0;  ///< of its NTP time (RFC 3550 section 6.4.1, LSR)
  Instant at{};
};

/// How a stream was so far (rules: quality.h).
struct QualityState {
  std::array<PassedReport, 2> reports{};  ///< the newest first
  // Since the last sample.
  std::uint64_t packets_before = 0;
  std::uint32_t expected_before = 0;
  // Over all samples.
  std::uint32_t samples = 0;
  std::uint64_t mos_sum = 0;
  std::uint64_t loss_sum = 0;
  std::uint64_t jitter_sum = 0;
  std::uint64_t round_trip_sum = 0;
  std::uint32_t round_trips = 0;
  Instant newest{};
  QualitySample lowest;
  QualitySample highest;
};

/// One SSRC received on a leg and sent on to the other: both directions of its SRTP state.
struct StreamState {
  std::uint32_t ssrc = 0;
  std::uint32_t next = kNoStream;  ///< next stream of the same leg
  /// Slot of the session whose other leg it is sent to: of a bundled transport, the m-line that the
  /// SSRC was last seen to belong to.
  std::uint32_t line = 0;
  SrtpReceiveStream receive;
  SrtpSendStream send;

  // Newest authenticated indices: what "newer than any seen" means for following a source.
  std::uint64_t newest_rtp_index = 0;
  std::uint32_t newest_rtcp_index = 0;

  // Sequence numbers on the sending side = received + offset. Moves when a sender restarts its
  // sequence under the same SSRC, because an index must not be used twice (RFC 3711 section 9.1).
  std::uint16_t sequence_offset = 0;
  std::uint16_t restart_next = 0;
  std::uint8_t restart_run = 0;

  std::uint8_t payload_type = 0;
  bool started = false;
  std::uint64_t payload_run = 0;  ///< newest packets in a row with that payload type
  std::uint64_t payload_run_bytes = 0;
  std::uint16_t sequence_highest = 0;
  std::uint32_t sequence_cycles = 0;  ///< RFC 3550 appendix A.1, shifted by 16
  std::uint32_t sequence_base = 0;
  std::uint32_t transit_last = 0;
  std::uint32_t jitter_scaled = 0;  ///< times 16, RFC 3550 appendix A.8
  std::uint64_t packets = 0;
  std::uint64_t bytes = 0;
  std::uint64_t rtcp_packets = 0;
  std::uint32_t replays = 0;
  std::uint32_t auth_failures = 0;
  Instant first_packet{};
  Instant last_packet{};  ///< RTP or RTCP
  Instant last_rtp{};
  QualityState quality;
};

/// The SSRCs of a leg whose streams were given up: see tombstones.h.
struct TombstoneList {
  std::uint32_t first = 0;
  std::uint32_t count = 0;
};

/// Where one component of a leg sends, and what may change that (rules: source.h).
struct ComponentState {
  SocketAddress destination;           ///< signalled, or followed
  SocketAddress previous;              ///< where it goes back to when following was a mistake
  SocketAddress candidate;             ///< another source that has proven itself lately
  std::uint8_t candidate_packets = 0;  ///< what speaks for it since candidate_since
  std::uint8_t client_number = 0;      ///< opaque: of `destination` (client_sources.h)
  std::uint8_t candidate_copies = 0;   ///< of these, packets that had come from elsewhere before
  bool latched = false;                ///< plain RTP with a latch policy: destination is fixed
  Instant candidate_since{};
  Instant candidate_last{};
  Instant contested{};              ///< when two sources last delivered one packet
  Instant probation_until{};        ///< until then a followed destination may be given up again
  Instant last_from_destination{};  ///< newest accepted packet from `destination`
  Instant last_move{};
  Instant last_sent{};
};

/// The newest packet whose tag did not verify: two in sequence tell whether they are encrypted.
struct UnverifiedPacket {
  std::uint32_t ssrc = 0;
  std::uint32_t timestamp = 0;
  std::uint16_t sequence = 0;
};

struct LegState {
  LegConfig config;
  MediaSwitches switches;
  bool closed = false;  ///< the remote end has said goodbye (DTLS): neither heard nor sent anything
  SrtpContext receive;  ///< suite kNone: plain, or not keyed yet
  SrtpContext send;
  std::array<SocketAddress, 2> local{};
  std::array<SocketAddress, 2> other_local{};  ///< of the other address family; unset: none
  std::array<ComponentState, 2> component{};
  std::uint32_t first_stream = kNoStream;
  std::uint32_t stream_count = 0;
  TombstoneList tombstones;

  // RTP or RTCP: who still reports is still there, and the call goes on.
  Instant last_packet{};
  Instant last_carried{};   ///< newest packet that could go on to the other leg's remote end
  Instant expects_since{};  ///< the media timeout counts from here or from last_carried
  // RTP alone: what is to be heard or seen.
  Instant last_rtp{};
  Instant last_rtp_carried{};  ///< silence counts from here or from expects_since
  std::uint64_t packets_received = 0;
  std::uint64_t bytes_received = 0;
  std::uint64_t rtcp_received = 0;
  std::uint64_t packets_sent = 0;
  std::uint64_t bytes_sent = 0;
  std::uint64_t rtcp_sent = 0;
  std::uint32_t source_moves = 0;
  std::uint32_t round_trip_us = 0;
  Instant round_trip_at{};  ///< when that was measured
  bool timed_out = false;
  bool silence_told = false;
  std::array<std::uint32_t, kDropReasonCount> drops{};
  LegEvidence evidence;  ///< but for what the sockets know
  UnverifiedPacket unverified;
};

struct SessionState {
  std::uint32_t generation = 0;  ///< 0 = free
  /// Odd while a command rewrites the legs: a process killed then leaves a session not to be used.
  std::uint32_t edits = 0;
  std::uint64_t checksum = 0;  ///< see session_seal.h; right between two edits
  MediaKind kind = MediaKind::kAudio;
  /// A leg shares its transport with those of other sessions (bundle.cc). Rebuilt at adoption.
  bool bundled = false;
  Instant quality_at{};  ///< when its streams are looked at next
  std::array<LegState, 2> legs;
};

inline bool is_keyed(const SrtpContext& context) {
  return context.suite != SrtpSuite::kNone;
}
/// Media can go to its remote end.
inline bool is_reachable(const LegState& leg) {
  return !leg.closed && leg.component[0].destination.is_set() &&
         (!leg.config.must_encrypt || is_keyed(leg.send));
}

static_assert(std::is_trivially_copyable_v<StreamState>);
static_assert(std::is_trivially_copyable_v<SessionState>);

}  // namespace turnpike::media
