// What the relay counts. Every packet that goes nowhere has exactly one DropReason.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "turnpike/address.h"
#include "turnpike/ids.h"
#include "turnpike/keying.h"
#include "turnpike/time.h"
#include "turnpike/transport.h"

namespace turnpike {

// name, metric label, meaning
#define TURNPIKE_DROP_REASONS(X)                                                                   \
  X(kTooShort, "too_short", "shorter than the smallest packet of its kind")                        \
  X(kTooLong, "too_long", "longer than a slot can hold with the tag that protecting adds")         \
  X(kUnknownProtocol, "unknown_protocol", "first byte is no RTP, RTCP, STUN or DTLS (RFC 7983)")   \
  X(kUnexpectedStun, "unexpected_stun", "STUN on a leg without ICE")                               \
  X(kUnexpectedDtls, "unexpected_dtls", "DTLS on a leg without DTLS")                              \
  X(kBadStun, "bad_stun", "STUN that is malformed, or whose MESSAGE-INTEGRITY does not verify")    \
  X(kUnknownStun, "unknown_stun", "STUN that is no ICE check, or answers no check of ours")        \
  X(kDtlsRefused, "dtls_refused", "DTLS from a source that is not validated, or too much of it")   \
  X(kMalformedRtp, "malformed_rtp", "RTP header does not add up (RFC 3550 section 5)")             \
  X(kMalformedRtcp, "malformed_rtcp", "RTCP compound does not add up (RFC 3550 appendix A.2)")     \
  X(kUnexpectedComponent, "unexpected_component", "RTP on the RTCP port or the reverse")           \
  X(kReservedSourcePort, "reserved_source_port", "source port below 1024")                         \
  X(kWrongSource, "wrong_source", "source is not the one that the leg's policy allows")            \
  X(kPeerClosed, "peer_closed", "from or to a remote end that has ended its DTLS association")     \
  X(kNotKeyed, "not_keyed", "leg must be SRTP and has no key yet")                                 \
  X(kAuthFailed, "auth_failed", "SRTP or SRTCP tag does not verify")                               \
  X(kWrongMki, "wrong_mki", "packet names another master key")                                     \
  X(kReplayed, "replayed", "index was received already")                                           \
  X(kTooOld, "too_old", "index lies behind the replay window")                                     \
  X(kSendIndexUsed, "send_index_used", "protecting would use an index twice")                      \
  X(kKeyExhausted, "key_exhausted", "lifetime of the master key is used up")                       \
  X(kStreamLimit, "stream_limit", "leg has its maximum of SSRCs")                                  \
  X(kNotInBundle, "not_in_bundle", "bundled transport: packet of no m-line that it carries")       \
  X(kSsrcInUse, "ssrc_in_use", "bundled transport: another m-line sends with this SSRC")           \
  X(kNoDestination, "no_destination", "other leg has no address yet, or is held")                  \
  X(kBlocked, "blocked_by_command", "control has blocked the media of this side")                  \
  X(kSilenced, "silenced_by_command", "control has silenced this side, and not this payload type") \
  X(kNotHeard, "not_heard", "published, and nobody subscribes to it")                              \
  X(kFromSubscriber, "from_subscriber", "sent by one who subscribes: it only receives")            \
  X(kNoSession, "no_session", "port belongs to no session (any more)")                             \
  X(kSendBlocked, "send_blocked", "socket buffer full (EAGAIN, ENOBUFS)")                          \
  X(kSendFailed, "send_failed", "kernel refused the send (no route, permission)")                  \
  X(kOverload, "overload", "waited behind another when the shard had fallen behind for long")      \
  X(kQueueFull, "queue_full", "receive buffer of the port was full: a flood, or a stalled shard")  \
  X(kFlowMalformed, "flow_malformed", "on a shared port: no header of ours, or another version")   \
  X(kFlowUnknown, "flow_unknown", "on a shared port: names a flow that there is not")              \
  X(kFlowTag, "flow_tag", "on a shared port: tag does not verify")                                 \
  X(kFlowForeign, "flow_foreign", "session is not one of that flow or not of this shard")          \
  X(kFlowBinding, "flow_binding", "Binding that is malformed, replayed or not authentic")          \
  X(kFlowUnbound, "flow_unbound", "the other node of the pair has no address on this flow")        \
  X(kTruncated, "truncated", "datagram longer than a slot")

enum class DropReason : std::uint8_t {
#define X(name, label, help) name,
  TURNPIKE_DROP_REASONS(X)
#undef X
      kCount
};
constexpr std::size_t kDropReasonCount = static_cast<std::size_t>(DropReason::kCount);

struct DropReasonInfo {
  std::string_view label;  ///< value of the metric label `reason`
  std::string_view help;
};
constexpr std::array<DropReasonInfo, kDropReasonCount> kDropReasons = {{
#define X(name, label, help) {label, help},
    TURNPIKE_DROP_REASONS(X)
#undef X
}};
constexpr const DropReasonInfo& info_of(DropReason reason) {
  return kDropReasons[static_cast<std::size_t>(reason)];
}

/// A counter with one writer (the shard) and any readers. Relaxed: figures, not synchronisation.
class Counter {
 public:
  void add(std::uint64_t n = 1) {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

/// Upper bounds of how long ICE took; what took longer stands in one more bucket.
constexpr std::array<Milliseconds, 9> kIceConnectDurations = {
    Milliseconds{20},   Milliseconds{50},   Milliseconds{100},
    Milliseconds{200},  Milliseconds{500},  Milliseconds{1000},
    Milliseconds{2000}, Milliseconds{5000}, Milliseconds{15000}};

/// What one shard has done since it started. Read from any thread.
struct ShardCounters {
  Counter packets_received;
  Counter bytes_received;  ///< UDP payload bytes
  Counter packets_forwarded;
  Counter bytes_forwarded;
  /// What subscribers are sent beside the packets that came: received + copied = forwarded + taken
  /// + dropped.
  Counter packets_copied;
  Counter keepalives_sent;
  Counter batches;  ///< packets_received / batches = mean batch size
  Counter wakeups;  ///< turns of the loop that found something to read
  Counter source_moves;
  Counter sessions_opened;
  Counter sessions_closed;
  Counter media_timeouts;
  Counter commands;
  Counter cpu_us;            ///< CPU time of the thread in microseconds, ten times a second
  Counter events_dropped;    ///< event mailbox full: an event was lost
  Counter ice_connected;     ///< legs that came to a selected pair, or back to one
  Counter ice_failed;        ///< legs whose last pair has failed
  Counter ice_consent_lost;  ///< legs that were sent nothing any more (RFC 7675 section 5.1)
  /// By kIceConnectDurations, not cumulative: once for each leg, from the first credentials of its
  /// remote end to a selected pair for each component in use.
  std::array<Counter, kIceConnectDurations.size() + 1> ice_connect_durations;
  Counter ice_connect_us;      ///< sum of them
  Counter transport_received;  ///< STUN and DTLS datagrams that were taken: neither forwarded nor
                               ///< dropped
  Counter transport_send_failures;  ///< STUN and DTLS datagrams that the kernel did not take
  std::array<Counter, kDropReasonCount> drops;
};

constexpr Seconds kQualityInterval{5};

/// How a stream of audio was over kQualityInterval.
struct QualitySample {
  Instant at{};
  std::uint16_t mos_hundredths = 0;   ///< 100-450; 0: there is no sample
  std::uint16_t loss_hundredths = 0;  ///< of a percent: 10000 = nothing arrived
  std::uint32_t jitter_us = 0;
  std::uint32_t round_trip_us = 0;  ///< between both ends; 0: no RTCP told
};

/// The quality of one stream so far.
struct StreamQuality {
  std::uint32_t samples = 0;
  QualitySample average;  ///< `at`: of the newest sample
  QualitySample lowest;   ///< by its MOS, the first such
  QualitySample highest;
};

/// One SSRC received on one leg, as reported at query and at the end of a session.
struct StreamStats {
  std::uint32_t ssrc = 0;
  std::uint8_t payload_type = 0;
  std::uint64_t packets = 0;
  std::uint64_t bytes = 0;         ///< RTP packets as received, UDP payload bytes
  std::uint32_t packets_lost = 0;  ///< RFC 3550 appendix A.3, never below 0
  std::uint32_t jitter = 0;        ///< RFC 3550 section 6.4.1, in RTP timestamp units
  std::uint64_t rtcp_packets = 0;
  std::uint32_t replays = 0;        ///< SRTP, SRTCP: received already, or too old to tell
  std::uint32_t auth_failures = 0;  ///< packets that name this SSRC, with a tag that is not right
  std::uint32_t rollover_counter = 0;
  std::uint64_t payload_run = 0;        ///< newest packets in a row with `payload_type`
  std::uint64_t payload_run_bytes = 0;  ///< of their payloads, without headers and extensions
  Instant first_packet{};
  Instant last_packet{};  ///< RTP or RTCP
  Instant last_rtp{};
  StreamQuality quality;
};

constexpr std::size_t kStreamsPerLegMax = 16;

/// What explains that media is missing on a leg; none of it costs a packet that is good.
struct LegEvidence {
  SocketAddress destination;  ///< where its RTP goes now; unset: nowhere
  /// RTP and RTCP from a wrong source since the right one became what it is, or after 30 s of none.
  std::uint32_t refused = 0;
  SocketAddress refused_source;     ///< of the newest of them
  Instant refused_last{};           ///< when that was
  SocketAddress unverified_source;  ///< of the newest packet whose tag did not verify
  Instant unverified_last{};
  /// RTP and RTCP accepted before the remote end's present key came into use.
  std::uint64_t received_before_keys = 0;
  std::uint32_t unverified = 0;   ///< whose tag did not verify since then, or after 30 s of none
  std::uint32_t unencrypted = 0;  ///< of these, what was plain RTP or RTCP beyond doubt
  // Of media to `destination`:
  std::uint32_t sends_refused = 0;      ///< ICMP said that nobody listens where we send
  std::uint32_t sends_unreachable = 0;  ///< ICMP or the kernel said that there is no way there
  Instant send_error_last{};
};

/// One leg's figures. "received" is from its remote end, "sent" is towards it.
struct LegStats {
  std::uint64_t packets_received = 0;  ///< RTP accepted from the remote end
  std::uint64_t bytes_received = 0;
  std::uint64_t rtcp_received = 0;
  std::uint64_t packets_sent = 0;  ///< RTP sent to the remote end
  std::uint64_t bytes_sent = 0;
  std::uint64_t rtcp_sent = 0;
  std::uint32_t source_moves = 0;
  std::array<std::uint32_t, kDropReasonCount> drops{};
  Instant last_packet{};   ///< RTP or RTCP
  Instant last_carried{};  ///< newest packet that could go on to the other leg's remote end
  Instant last_rtp{};
  Instant last_rtp_carried{};
  /// Between us and the remote end, by RTCP of the last 30 s; 0: not known.
  std::uint32_t round_trip_us = 0;
  std::uint32_t clock_rate_hz = 0;  ///< that its jitter is counted in
  LegEvidence evidence;             ///< of its transport, which may be another m-line's
  TransportReport transport;
  /// RTP and RTCP accepted on its transport, of all m-lines that share it.
  std::uint64_t transport_accepted = 0;
  /// Of a leg on the transport of another m-line: what that one has dropped. Some of it was never
  /// known to be of any m-line.
  std::array<std::uint32_t, kDropReasonCount> carrier_drops{};
  std::uint32_t stream_count = 0;
  std::array<StreamStats, kStreamsPerLegMax> streams{};
};

struct SessionStats {
  std::array<LegStats, 2> legs{};  ///< by index_of(Side)
};

}  // namespace turnpike
