// Implements diagnosis.h. Each direction is asked in the order in which an operator would: does it
// flow, may it flow, and then the nearest cause that left a trace.
#include <algorithm>
#include <optional>
#include <utility>

#include "control/diagnosis/diagnosis.h"
#include "control/diagnosis/evidence.h"

namespace turnpike::diagnosis {
namespace {

using Found = std::optional<Verdict>;

// Shares of packets below which a fault of ours, or a codec that nobody agreed to, is no finding.
constexpr std::uint64_t kOneOf = 100;
constexpr std::uint64_t kFewPackets = 50;
// What a stray datagram or a scanner leaves is less than this; a client repeats a DTLS handshake or
// a check of ICE more slowly than media.
constexpr std::uint64_t kSeveral = 5;
constexpr std::uint64_t kSeveralTries = 3;
// A cause that left no trace for longer is a matter of the past.
constexpr Seconds kRecent{10};

/// One leg as it is looked at, with what lies behind it.
struct View {
  const Signalling& all;
  const LegSignalling& leg;
  const LegSignalling& opposite;
  const LegStats& stats;
  const LegStats& opposite_stats;
  Instant now;

  bool within_pause(Instant then) const { return then != Instant{} && now - then < kPause; }
  bool is_recent(Instant then) const { return then != Instant{} && now - then < kRecent; }
  std::uint64_t accepted() const {
    return std::max(stats.packets_received + stats.rtcp_received, stats.transport_accepted);
  }
  bool weighs(std::uint64_t count, std::uint64_t least = kSeveral) const {
    return count >= least && count * kOneOf > accepted();
  }
  /// Other m-lines use the transport too: nobody knows of which one it was what did not verify.
  bool shares() const {
    return leg.rides || stats.transport_accepted > stats.packets_received + stats.rtcp_received;
  }
  /// Whether packets that were turned away, the last one at `last`, are the media that is missing.
  /// Strays are few against what was accepted (of that, `before` is of another time), or something
  /// accepted is newer.
  bool is_media(std::uint64_t count, Instant last, std::uint64_t before = 0) const {
    if (!is_recent(last) || last <= stats.last_rtp) return false;
    if (count >= kFewPackets && !shares()) return true;
    const std::uint64_t since = accepted() - std::min(accepted(), before);
    return count >= kSeveral && count * kOneOf > since && last > stats.last_packet;
  }
};

// ---- What keeps both directions from flowing.

Found not_agreed(const View& view, bool sends, bool receives, const char* sender,
                 const char* receiver, const LegSignalling& from, const LegSignalling& to) {
  if (!view.all.answered) return Verdict{Finding::kNotAnswered, {}};
  if (!view.all.accepted) return Verdict{Finding::kRejected, {}};
  if (sends && receives) return std::nullopt;
  const LegSignalling& who = sends ? to : from;
  return Verdict{Finding::kMuted,
                 std::string(sends ? receiver : sender) + " says " + std::string(who.direction)};
}

Found transport_trouble(const View& view) {
  const TransportReport& transport = view.stats.transport;
  if (view.leg.ice && transport.ice != IceState::kOff && transport.ice != IceState::kConnected) {
    std::string text = "ICE is " + std::string(turnpike::name_of(transport.ice)) + ", " +
                       std::to_string(transport.pair_count) + " candidate pairs";
    const bool lost = transport.ice == IceState::kLost;
    return Verdict{lost ? Finding::kConsentLost : Finding::kIceNotConnected, std::move(text)};
  }
  if (view.leg.protection != Protection::kDtls) return std::nullopt;
  if (transport.dtls == DtlsState::kClosed) return Verdict{Finding::kDtlsClosed, {}};
  if (transport.dtls == DtlsState::kEstablished || transport.dtls == DtlsState::kAdopted) {
    return std::nullopt;
  }
  std::string text = "DTLS is " + std::string(turnpike::name_of(transport.dtls));
  if (transport.dtls_failure != DtlsFailure::kNone) {
    const DtlsFailureInfo& failure = turnpike::info_of(transport.dtls_failure);
    text += "; last failure: " + describe(transport.dtls_failure, transport.dtls_flights) + " (" +
            std::string(failure.label) + ")";
  }
  return Verdict{Finding::kDtlsNotDone, std::move(text)};
}

// ---- What is received.

constexpr std::uint64_t kBytesOfTenMs = 80;

/// Bytes that an SRTP tag (of 32 or 80 bits, or of GCM) adds to each payload of a codec with 8000
/// bytes a second, which else has whole tens of milliseconds; 0: there is none.
std::uint64_t tag_bytes(const StreamStats& stream) {
  const bool known =
      stream.payload_type == 0 || stream.payload_type == 8 || stream.payload_type == 9;
  const std::uint64_t run = stream.payload_run;
  if (!known || run < kFewPackets || stream.payload_run_bytes % run != 0) return 0;
  const std::uint64_t payload = stream.payload_run_bytes / run;
  const std::uint64_t extra = payload % kBytesOfTenMs;
  const bool is_tag = extra == 4 || extra == 10 || extra == 16;
  return payload > kBytesOfTenMs && is_tag ? extra : 0;
}

// Comfort noise (RFC 3389, and what stood for it before) goes with any codec, and nobody plays it
// for speech.
bool is_comfort_noise(std::uint8_t type) {
  return type == 13 || type == 19;
}

Found flaw_of_flowing(const View& view) {
  const LegStats& stats = view.stats;
  const std::size_t count = std::min<std::size_t>(stats.stream_count, stats.streams.size());
  const auto& takes = view.opposite.payload_types;
  for (std::size_t i = 0; i < count; ++i) {
    const StreamStats& stream = stats.streams[i];
    if (!view.within_pause(stream.last_rtp)) continue;
    const std::uint64_t run = stream.payload_run;
    const std::uint64_t tag = tag_bytes(stream);
    if (view.leg.protection == Protection::kPlain && tag != 0) {
      return Verdict{Finding::kSrtpNotRtp,
                     packets(run) + " in a row of payload type " +
                         std::to_string(stream.payload_type) + ", with payloads of " +
                         std::to_string(stream.payload_run_bytes / run) +
                         " bytes, which are audio and " + std::to_string(tag) + " more"};
    }
    const bool known = (takes[0] | takes[1]) != 0;
    const std::uint8_t type = stream.payload_type;
    if (known && run >= kFewPackets && type < 128 && !is_comfort_noise(type) &&
        ((takes[type >> 6U] >> (type & 63U)) & 1U) == 0) {
      return Verdict{Finding::kPayloadType,
                     "payload type " + std::to_string(type) + " in the newest " + packets(run)};
    }
  }
  const DropReason ours = foremost(stats, DropKind::kOurs);
  if (ours != DropReason::kCount && view.weighs(drops_of(stats, ours))) {
    return Verdict{Finding::kDroppedHere, drops_text(stats, ours)};
  }
  return std::nullopt;
}

Found unverified(const View& view) {
  const LegEvidence& evidence = view.stats.evidence;
  const LegStats& stats = view.stats;
  if (!view.is_media(evidence.unverified, evidence.unverified_last,
                     evidence.received_before_keys)) {
    return std::nullopt;
  }
  std::string text = packets(evidence.unverified) + " from " +
                     to_string(evidence.unverified_source) + ", the last " +
                     ago(evidence.unverified_last, view.now);
  if (evidence.unencrypted * 2 >= evidence.unverified) {
    return Verdict{Finding::kRtpNotSrtp, std::move(text)};
  }
  const std::uint64_t before = evidence.received_before_keys;
  if (before != 0 && view.accepted() <= before) {
    text += "; " + std::to_string(before) + " verified with the key before";
    return Verdict{Finding::kAuthFailedSinceRekey, std::move(text)};
  }
  text += "; " + std::to_string(view.accepted()) + " verified, the last " +
          ago(stats.last_rtp, view.now);
  return Verdict{Finding::kAuthFailed, std::move(text)};
}

Found wrong_source(const View& view) {
  const LegEvidence& evidence = view.stats.evidence;
  const std::uint64_t count = evidence.refused;
  if (!view.is_media(count, evidence.refused_last)) return std::nullopt;
  const SocketAddress& expected =
      evidence.destination.is_set() ? evidence.destination : view.leg.remote;
  return Verdict{Finding::kWrongSource,
                 packets(count) + ", the last " + ago(evidence.refused_last, view.now) + " from " +
                     to_string(evidence.refused_source) + ", expected " + to_string(expected) +
                     ", policy " + std::string(name_of(view.leg.policy))};
}

Found other_drops(const View& view) {
  const LegStats& stats = view.stats;
  const auto not_keyed = drops_of(stats, DropReason::kNotKeyed);
  if (not_keyed != 0 && view.leg.protection == Protection::kSdes &&
      stats.transport.suite == SrtpSuite::kNone) {
    return Verdict{Finding::kNoKeys, drops_text(stats, DropReason::kNotKeyed)};
  }
  for (const DropReason reason : {DropReason::kUnexpectedDtls, DropReason::kUnexpectedStun}) {
    if (!view.weighs(drops_of(stats, reason), kSeveralTries)) continue;
    return Verdict{Finding::kDtlsNotAgreed, drops_text(stats, reason)};
  }
  const DropReason ours = foremost(stats, DropKind::kOurs);
  if (ours != DropReason::kCount && view.weighs(drops_of(stats, ours))) {
    return Verdict{Finding::kDroppedHere, drops_text(stats, ours)};
  }
  const DropReason form = foremost(stats, DropKind::kForm);
  if (form != DropReason::kCount && view.weighs(drops_of(stats, form))) {
    return Verdict{Finding::kNotUnderstood, drops_text(stats, form)};
  }
  return std::nullopt;
}

// What is too old or too little to be the cause, and worth a look all the same.
std::string traces(const View& view) {
  const LegStats& stats = view.stats;
  const LegEvidence& evidence = stats.evidence;
  std::string text;
  if (evidence.unverified != 0) {
    text += "; " + packets(evidence.unverified) + " did not verify, the last " +
            ago(evidence.unverified_last, view.now);
  }
  if (evidence.refused != 0) {
    text += "; " + packets(evidence.refused) + " from another source, the last " +
            ago(evidence.refused_last, view.now);
  }
  if (evidence.sends_refused != 0 || evidence.sends_unreachable != 0) {
    text += "; what we sent was undeliverable " + ago(evidence.send_error_last, view.now);
  }
  for (const DropKind kind : {DropKind::kOurs, DropKind::kForm}) {
    const DropReason reason = foremost(stats, kind);
    if (reason != DropReason::kCount) text += "; dropped: " + drops_text(stats, reason);
  }
  return text;
}

Found send_errors(const View& view) {
  const LegEvidence& evidence = view.stats.evidence;
  const std::uint64_t count = std::uint64_t{evidence.sends_refused} + evidence.sends_unreachable;
  if (count == 0 || !view.is_recent(evidence.send_error_last)) return std::nullopt;
  const SocketAddress& to = evidence.destination.is_set() ? evidence.destination : view.leg.remote;
  return Verdict{Finding::kUnreachable,
                 to_string(to) + ": port refused " + std::to_string(evidence.sends_refused) +
                     " times, host or network unreachable " +
                     std::to_string(evidence.sends_unreachable) + " times, the last " +
                     ago(evidence.send_error_last, view.now)};
}

Found behind_nat(const View& view) {
  const SocketAddress& to = view.stats.evidence.destination;
  if (view.stats.packets_sent == 0 || !to.is_set() || view.leg.ice || view.leg.carried) {
    return std::nullopt;
  }
  // Where it named a public address, the private one is ours: that of our TURN server behind NAT.
  if (view.leg.remote.is_set() && !is_private(view.leg.remote.ip)) return std::nullopt;
  if (!is_private(to.ip) || !view.leg.from.is_set() || is_private(view.leg.from)) {
    return std::nullopt;
  }
  return Verdict{Finding::kOneWayNat, packets(view.stats.packets_sent) + " sent to " +
                                          to_string(to) + ", its signalling comes from " +
                                          to_string(view.leg.from)};
}

Verdict silence(const View& view) {
  const LegStats& stats = view.stats;
  const std::string sent =
      packets(stats.packets_sent) + " sent to " + to_string(stats.evidence.destination);
  if (stats.packets_received == 0 && stats.rtcp_received == 0) {
    if (view.now - view.all.since < kTooEarly) return {Finding::kTooEarly, {}};
    const std::string text =
        "0 packets, last offer or answer " + ago(view.all.since, view.now) + "; " + sent;
    return {Finding::kNeverReceived, text + traces(view)};
  }
  return {Finding::kStopped, packets(stats.packets_received) + ", the last " +
                                 ago(stats.last_rtp, view.now) + "; " + sent + traces(view)};
}

Verdict only_rtcp(const View& view) {
  const LegStats& stats = view.stats;
  if (view.now - view.all.since < kTooEarly) return {Finding::kTooEarly, {}};
  std::string text = packets(stats.rtcp_received) + " of RTCP, the last " +
                     ago(stats.last_packet, view.now) + "; of RTP " +
                     packets(stats.packets_received);
  if (stats.packets_received != 0) text += ", the last " + ago(stats.last_rtp, view.now);
  return {Finding::kOnlyRtcp, text + traces(view)};
}

// Who sends comfort noise alone is muted or hears nobody speak.
std::string noise_of(const View& view) {
  const LegStats& stats = view.stats;
  const std::size_t count = std::min<std::size_t>(stats.stream_count, stats.streams.size());
  for (std::size_t i = 0; i < count; ++i) {
    const StreamStats& stream = stats.streams[i];
    if (!view.within_pause(stream.last_rtp) || !is_comfort_noise(stream.payload_type)) continue;
    return "; comfort noise in the newest " + packets(stream.payload_run);
  }
  return {};
}

Verdict judge_received(const View& view) {
  if (rides_unseen(view.all)) return {Finding::kSharedTransport, {}};
  const LegStats& stats = view.stats;
  if (view.within_pause(stats.last_rtp)) {
    if (Found flaw = flaw_of_flowing(view)) return *flaw;
    const char* fate = view.leg.blocked    ? "; go no further: block media"
                       : view.leg.silenced ? "; silence media"
                                           : "";
    return {Finding::kHealthy, packets(stats.packets_received) + noise_of(view) + fate};
  }
  if (Found why = not_agreed(view, view.leg.sends, view.opposite.receives, "its end",
                             "the other end", view.leg, view.opposite)) {
    return *why;
  }
  for (const auto& look : {transport_trouble, unverified, wrong_source, other_drops}) {
    if (Found why = look(view)) return *why;
  }
  if (view.within_pause(stats.last_packet)) return only_rtcp(view);
  for (const auto& look : {behind_nat, send_errors}) {
    if (Found why = look(view)) return *why;
  }
  return silence(view);
}

// ---- What is sent.

Found kernel_refuses(const View& view) {
  // Counted where the packets came from.
  const std::uint64_t failed = drops_of(view.opposite_stats, DropReason::kSendFailed);
  const std::uint64_t blocked = drops_of(view.opposite_stats, DropReason::kSendBlocked);
  if (failed + blocked == 0 || (failed + blocked) * kOneOf < view.stats.packets_sent) {
    return std::nullopt;
  }
  const DropReason reason = failed >= blocked ? DropReason::kSendFailed : DropReason::kSendBlocked;
  return Verdict{Finding::kSendFailed, drops_text(view.opposite_stats, reason)};
}

Found switched_off(const View& view) {
  const LegStats& source = view.opposite_stats;
  if (!view.within_pause(source.last_rtp)) return std::nullopt;
  if (view.opposite.blocked) {
    return Verdict{Finding::kBlocked, drops_text(source, DropReason::kBlocked)};
  }
  if (!view.opposite.silenced) return std::nullopt;
  const std::uint64_t lost = drops_of(source, DropReason::kSilenced);
  return Verdict{Finding::kSilenced, packets(view.stats.packets_sent) + " sent; dropped: " +
                                         std::to_string(lost) + " of other payload types"};
}

Verdict judge_sent(const View& view, const Verdict& received, const Verdict& opposite_received) {
  if (rides_unseen(view.all)) return {Finding::kSharedTransport, {}};
  const LegStats& stats = view.stats;
  const LegStats& source = view.opposite_stats;
  const bool flows = view.within_pause(source.last_rtp_carried);
  if (!flows) {
    if (Found why = not_agreed(view, view.opposite.sends, view.leg.receives, "the other end",
                               "its end", view.opposite, view.leg)) {
      return *why;
    }
  }
  // A client without a valid check may be heard and reached all the same, by its SDP.
  if (!flows || !view.within_pause(stats.last_packet)) {
    if (Found why = transport_trouble(view)) return *why;
  }
  if (Found why = switched_off(view)) return *why;
  const LegEvidence& evidence = stats.evidence;
  if (flows && received.finding == Finding::kOneWayNat) return received;
  if (view.within_pause(evidence.send_error_last)) {
    if (Found why = send_errors(view)) return *why;
  }
  if (Found why = kernel_refuses(view)) return *why;
  if (!flows && view.within_pause(source.last_rtp)) {
    // Media arrives on the other leg and does not go on.
    if (view.leg.protection != Protection::kPlain && view.leg.protection != Protection::kPassed &&
        stats.transport.suite == SrtpSuite::kNone) {
      return {Finding::kNoKeys, drops_text(source, DropReason::kNotKeyed)};
    }
    if (!evidence.destination.is_set() && !view.leg.rides && !view.leg.carried) {
      return {Finding::kNoDestination, drops_text(source, DropReason::kNoDestination)};
    }
  }
  if (!flows) {
    const bool faulty = opposite_received.info().weight != Weight::kFine;
    return {faulty ? Finding::kNothingToSend : Finding::kTooEarly,
            std::string("other leg: ") + std::string(opposite_received.info().id)};
  }
  return {Finding::kHealthy,
          packets(stats.packets_sent) + " to " +
              (view.leg.carried ? std::string("the other node") : to_string(evidence.destination))};
}

}  // namespace

bool is_private(const IpAddress& address) {
  const auto& b = address.bytes;
  if (address.is_v6()) {
    return (b[0] & 0xfeU) == 0xfcU || (b[0] == 0xfe && (b[1] & 0xc0U) == 0x80U);
  }
  if (!address.is_v4()) return false;
  return b[0] == 10 || (b[0] == 172 && (b[1] & 0xf0U) == 16) || (b[0] == 192 && b[1] == 168) ||
         (b[0] == 100 && (b[1] & 0xc0U) == 64) || (b[0] == 169 && b[1] == 254);
}

SessionVerdicts judge(const Signalling& signalled, const SessionStats& stats, Instant now) {
  const View a{signalled, signalled.legs[0], signalled.legs[1], stats.legs[0], stats.legs[1], now};
  const View b{signalled, signalled.legs[1], signalled.legs[0], stats.legs[1], stats.legs[0], now};
  SessionVerdicts verdicts;
  verdicts[0].received = judge_received(a);
  verdicts[1].received = judge_received(b);
  verdicts[0].sent = judge_sent(a, verdicts[0].received, verdicts[1].received);
  verdicts[1].sent = judge_sent(b, verdicts[1].received, verdicts[0].received);
  return verdicts;
}

SessionVerdicts judge_after_goodbye(const Signalling& signalled, const SessionStats& stats,
                                    Instant now) {
  const Instant last = std::max(stats.legs[0].last_packet, stats.legs[1].last_packet);
  if (last != Instant{}) now = std::min(now, last + Milliseconds{100});
  return judge(signalled, stats, now);
}

}  // namespace turnpike::diagnosis
