#include "relay/media/session_seal.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <type_traits>

#include "relay/crypto/srtp_index.h"

namespace turnpike::media {
namespace {

constexpr ReplayWindow kAllUsed{~std::uint64_t{0}, ~std::uint64_t{0}};
/// Far beyond any life of a host, and far from where sums of two times overflow.
constexpr Instant kTimeMax{Nanoseconds{std::int64_t{1} << 60}};
constexpr std::uint64_t kFigureMax = std::uint64_t{1} << 62;

/// Field by field: padding has no defined value.
class Digest {
 public:
  template <typename T>
  Digest& add(const T& value) {
    static_assert(std::has_unique_object_representations_v<T>);
    const auto bytes = std::bit_cast<std::array<std::uint8_t, sizeof(T)>>(value);
    for (std::size_t at = 0; at < bytes.size(); at += 8) {
      std::uint64_t word = 0;
      std::memcpy(&word, bytes.data() + at, std::min<std::size_t>(8, bytes.size() - at));
      hash_ = (hash_ ^ word) * 0x9e3779b97f4a7c15ULL;
      hash_ ^= hash_ >> 29;
    }
    return *this;
  }
  // As a byte: damaged memory holds more than true and false.
  Digest& add(const bool& value) {
    std::uint8_t byte = 0;
    std::memcpy(&byte, &value, 1);
    return add(byte);
  }
  Digest& add(const SocketAddress& address) { return add(address.ip).add(address.port); }
  Digest& add(const LegConfig& config) {
    add(config.remote[0]).add(config.remote[1]).add(config.received_from);
    add(config.source_policy).add(config.rtcp_mux).add(config.must_encrypt);
    add(config.ice).add(config.dtls).add(config.opaque);
    const Carriage& there = config.carriage;
    add(there.flow).add(there.shard).add(there.side).add(there.slot).add(there.generation);
    add(config.remote_unproven)
        .add(config.expects_media)
        .add(config.clock_rate_hz)
        .add(config.receive);
    const HeardLeg& heard = config.hears;
    add(heard.session.slot).add(heard.session.generation).add(heard.session.shard);
    add(heard.side).add(config.absent);
    return add(config.send).add(config.bundle);
  }
  Digest& add(const BundleConfig& bundle) {
    add(bundle.transport.slot).add(bundle.transport.generation).add(bundle.transport.shard);
    add(bundle.mid.size).add(bundle.mid.text).add(bundle.mid_extension);
    return add(bundle.payload_types);
  }
  Digest& add(const SrtpContext& context) {
    add(context.suite).add(context.mki_bytes).add(context.mki).add(context.serial);
    add(context.lifetime_packets).add(context.rtp_salt).add(context.rtcp_salt);
    add(context.rtp_key).add(context.rtcp_key).add(context.rtp_auth_key);
    return add(context.rtcp_auth_key);
  }
  std::uint64_t value() const { return hash_; }

 private:
  std::uint64_t hash_ = 0xcbf29ce484222325ULL;
};

bool is_bool(const bool& value) {
  std::uint8_t byte = 0;
  std::memcpy(&byte, &value, 1);
  return byte <= 1;
}

bool is_time(Instant time) {
  return time >= Instant{} && time < kTimeMax;
}

bool is_address(const SocketAddress& address) {
  const AddressFamily family = address.ip.family;
  return family == AddressFamily::kNone || family == AddressFamily::kIpv4 ||
         family == AddressFamily::kIpv6;
}

bool is_context_of(const SrtpContext& context, const SrtpKeying& keying) {
  if (context.suite != keying.suite || context.mki_bytes != keying.mki_bytes) return false;
  if (context.suite == SrtpSuite::kNone) return context.serial == 0;
  return static_cast<std::size_t>(context.suite) < kSrtpSuiteCount &&
         context.mki_bytes <= kMkiBytesMax && context.mki == keying.mki && context.serial != 0;
}

bool config_holds_together(const LegConfig& config) {
  const IpAddress& from = config.received_from;
  return is_address(config.remote[0]) && is_address(config.remote[1]) && is_address({from, 0}) &&
         config.source_policy <= SourcePolicy::kAsymmetric && is_bool(config.rtcp_mux) &&
         is_bool(config.must_encrypt) && is_bool(config.expects_media) &&
         is_bool(config.remote_unproven) && is_bool(config.ice) && is_bool(config.dtls) &&
         is_bool(config.opaque) && is_bool(config.absent) && config.hears.side <= Side::kB &&
         config.carriage.side <= Side::kB && config.bundle.mid.size <= kMidBytesMax;
}

bool component_holds_together(const ComponentState& state) {
  return is_address(state.destination) && is_address(state.previous) &&
         is_address(state.candidate) && is_bool(state.latched) && is_time(state.candidate_since) &&
         is_time(state.candidate_last) && is_time(state.contested) &&
         is_time(state.probation_until) && is_time(state.last_from_destination) &&
         is_time(state.last_move) && is_time(state.last_sent);
}

// None, or a pair of the other family.
bool other_holds_together(const LegState& leg) {
  const auto& other = leg.other_local;
  if (!is_address(other[0]) || !is_address(other[1])) return false;
  if (!other[0].is_set()) return !other[1].is_set();
  return other[1].is_set() && other[0].ip.family != leg.local[0].ip.family;
}

bool evidence_holds_together(const LegEvidence& evidence) {
  return is_address(evidence.destination) && is_address(evidence.refused_source) &&
         is_address(evidence.unverified_source) && is_time(evidence.refused_last) &&
         is_time(evidence.unverified_last) && is_time(evidence.send_error_last);
}

bool quality_holds_together(const QualityState& quality) {
  return is_time(quality.reports[0].at) && is_time(quality.reports[1].at) &&
         is_time(quality.newest) && is_time(quality.lowest.at) && is_time(quality.highest.at) &&
         quality.packets_before < kFigureMax && quality.round_trips <= quality.samples;
}

bool leg_holds_together(const LegState& leg) {
  const auto small = [](std::uint64_t figure) { return figure < kFigureMax; };
  return config_holds_together(leg.config) && is_context_of(leg.receive, leg.config.receive) &&
         is_context_of(leg.send, leg.config.send) && is_address(leg.local[0]) &&
         is_address(leg.local[1]) && leg.local[0].is_set() == leg.local[1].is_set() &&
         other_holds_together(leg) && component_holds_together(leg.component[0]) &&
         component_holds_together(leg.component[1]) && is_time(leg.last_packet) &&
         is_time(leg.last_carried) && is_time(leg.last_rtp) && is_time(leg.last_rtp_carried) &&
         is_time(leg.round_trip_at) && is_bool(leg.closed) && is_bool(leg.switches.blocked) &&
         is_bool(leg.switches.silenced) && is_time(leg.expects_since) && is_bool(leg.timed_out) &&
         small(leg.packets_received) && small(leg.bytes_received) && small(leg.rtcp_received) &&
         small(leg.packets_sent) && small(leg.bytes_sent) && small(leg.rtcp_sent) &&
         is_bool(leg.silence_told) && evidence_holds_together(leg.evidence);
}

}  // namespace

std::uint64_t checksum_of(const SessionState& session) {
  Digest digest;
  digest.add(session.generation).add(session.edits).add(session.kind);
  for (const LegState& leg : session.legs) {
    digest.add(leg.local[0]).add(leg.local[1]).add(leg.other_local[0]).add(leg.other_local[1]);
    digest.add(leg.config).add(leg.receive).add(leg.send);
    digest.add(leg.switches.blocked).add(leg.switches.silenced);
  }
  return digest.value();
}

bool holds_together(const SessionState& session) {
  return session.generation != 0 && session.edits % 2 == 0 && session.kind <= MediaKind::kOther &&
         session.checksum == checksum_of(session) && is_time(session.quality_at) &&
         std::all_of(session.legs.begin(), session.legs.end(), leg_holds_together);
}

bool holds_together(const StreamState& stream) {
  return stream.receive.rtp_highest < kSrtpIndexCount &&
         stream.receive.rtcp_highest < kSrtcpIndexCount && stream.receive.rtp_started <= 1 &&
         stream.receive.rtcp_started <= 1 && stream.send.rtp_highest < kSrtpIndexCount &&
         stream.send.rtcp_next <= kSrtcpIndexCount && stream.send.rtp_started <= 1 &&
         is_bool(stream.started) && stream.payload_type < 128 && stream.packets < kFigureMax &&
         stream.bytes < kFigureMax && stream.rtcp_packets < kFigureMax &&
         is_time(stream.first_packet) && is_time(stream.last_packet) && is_time(stream.last_rtp) &&
         stream.payload_run < kFigureMax && stream.payload_run_bytes < kFigureMax &&
         quality_holds_together(stream.quality);
}

void close_windows(StreamState& stream) {
  const auto close = [](std::uint8_t& started, auto highest, ReplayWindow& window) {
    // Not started but not blank either: the process died at the first packet.
    if (highest != 0 || window[0] != 0 || window[1] != 0) started = 1;
    window = started != 0 ? kAllUsed : ReplayWindow{};
  };
  SrtpReceiveStream& receive = stream.receive;
  close(receive.rtp_started, receive.rtp_highest, receive.rtp_window);
  close(receive.rtcp_started, receive.rtcp_highest, receive.rtcp_window);
  close(stream.send.rtp_started, stream.send.rtp_highest, stream.send.rtp_window);
  stream.newest_rtp_index = std::min(stream.newest_rtp_index, receive.rtp_highest);
  stream.newest_rtcp_index = std::min(stream.newest_rtcp_index, receive.rtcp_highest);
}

}  // namespace turnpike::media
