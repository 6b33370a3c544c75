// Implements statistics.h.
#include "control/call/statistics.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "control/call/bundle.h"
#include "control/call/dict.h"
#include "control/call/signalling.h"

namespace turnpike::call {
namespace {

using Value = ng::Value;

std::int64_t unix_seconds(Instant instant, const Moment& now) {
  if (instant == Instant{}) return 0;
  const auto ago = std::chrono::duration_cast<std::chrono::microseconds>(now.monotonic - instant);
  return (now.unix_us - ago.count()) / 1'000'000;
}

std::uint64_t errors_of(const LegStats& leg) {
  return std::accumulate(leg.drops.begin(), leg.drops.end(), std::uint64_t{0});
}

Value::Dict endpoint_of(const SocketAddress& address) {
  Value::Dict dict;
  put_text(dict, "family", address.ip.is_v6() ? "IPv6" : "IPv4");
  put_text(dict, "address", to_string(address.ip));
  put_number(dict, "port", address.port);
  return dict;
}

// In the units that clients of the protocol know: MOS in tenths, milliseconds, microseconds, whole
// percents.
Value::Dict quality_of(const QualitySample& sample, const LegStats& leg) {
  Value::Dict dict;
  put_number(dict, "MOS", (sample.mos_hundredths + 5) / 10);
  put_number(dict, "round-trip time", sample.round_trip_us);
  put_number(dict, "round-trip time leg", leg.round_trip_us);
  put_number(dict, "jitter", sample.jitter_us / 1000);
  put_number(dict, "packet loss", (sample.loss_hundredths + 50) / 100);
  return dict;
}

void put_quality(Value::Dict& figures, const StreamQuality& quality, const LegStats& leg,
                 const Moment& now) {
  if (quality.samples == 0) return;
  Value::Dict average = quality_of(quality.average, leg);
  put_number(average, "samples", quality.samples);
  put_dict(figures, "average MOS", std::move(average));
  for (const auto& [name, sample] :
       {std::pair{"lowest MOS", &quality.lowest}, std::pair{"highest MOS", &quality.highest}}) {
    Value::Dict extreme = quality_of(*sample, leg);
    put_number(extreme, "reported at", unix_seconds(sample->at, now));
    put_dict(figures, name, std::move(extreme));
  }
}

Value::Dict ssrcs_of(const LegStats& leg, const Moment& now) {
  Value::Dict dict;
  for (std::uint32_t i = 0; i < leg.stream_count && i < kStreamsPerLegMax; ++i) {
    const StreamStats& stream = leg.streams[i];
    Value::Dict figures;
    put_number(figures, "packets", stream.packets);
    put_number(figures, "bytes", stream.bytes);
    put_number(figures, "packets lost", stream.packets_lost);
    put_number(figures, "jitter", stream.jitter);
    put_number(figures, "payload type", stream.payload_type);
    put_quality(figures, stream.quality, leg, now);
    put_dict(dict, std::to_string(stream.ssrc), std::move(figures));
  }
  return dict;
}

/// SSRCs of one direction as a list: clients look up their figures in the SSRC tree of the call.
Value::List ssrc_list_of(const LegStats& leg) {
  Value::List list;
  for (std::uint32_t i = 0; i < leg.stream_count && i < kStreamsPerLegMax; ++i) {
    Value::Dict entry;
    put_number(entry, "SSRC", leg.streams[i].ssrc);
    put_number(entry, "packets", leg.streams[i].packets);
    put_number(entry, "bytes", leg.streams[i].bytes);
    list.emplace_back(std::move(entry));
  }
  return list;
}

Value::List flags_of(const MediaSide& side, Component component, std::uint64_t received) {
  Value::List flags;
  flags.emplace_back(component == Component::kRtp ? "RTP" : "RTCP");
  if (side.rtcp_mux && component == Component::kRtp) flags.emplace_back("RTCP");
  if (side.rtcp_mux) flags.emplace_back("mux");
  if (side.remote.address.rtp.is_set() || side.ice.in_use) flags.emplace_back("filled");
  if (received != 0) flags.emplace_back("confirmed");
  if (side.ice.in_use) flags.emplace_back("ICE");
  return flags;
}

Value::List media_flags_of(const CallMedia& transport, Side which) {
  const MediaSide& side = transport.sides[index_of(which)];
  Value::List flags;
  if (transport.answered) flags.emplace_back("initialized");
  if (side.rtcp_mux) flags.emplace_back("rtcp-mux");
  if (side.keying == Keying::kDtls) flags.emplace_back("DTLS-SRTP");
  if (side.keying == Keying::kSdes) flags.emplace_back("SDES");
  if (is_passed(side.keying)) flags.emplace_back("passthrough");
  if (side.ice.in_use) flags.emplace_back("ICE");
  return flags;
}

/// `transport`: the m-line, or the one on whose transport it is.
Value::Dict stream_of(const CallMedia& transport, Side which, Component component,
                      const SessionStats& session, const Moment& now) {
  const LegStats& leg = session.legs[index_of(which)];
  const LegStats& opposite = session.legs[index_of(other(which))];
  const MediaSide& side = transport.sides[index_of(which)];
  const bool is_rtp = component == Component::kRtp;
  const SocketAddress& local = transport.ports.local[index_of(which)][index_of(component)];
  const SocketAddress& remote = is_rtp ? side.goes_to().rtp : side.goes_to().rtcp;
  Value::Dict dict;
  put_number(dict, "local port", local.port);
  put_text(dict, "local address", to_string(local.ip));
  put_text(dict, "family", local.ip.is_v6() ? "IPv6" : "IPv4");
  if (remote.is_set()) put_dict(dict, "endpoint", endpoint_of(remote));
  if (remote.is_set()) put_dict(dict, "advertised endpoint", endpoint_of(remote));
  if (side.suite != SrtpSuite::kNone) {
    put_text(dict, "crypto suite", info_of(side.suite).name);
  }
  if (is_rtp) put_number(dict, "last packet", unix_seconds(leg.last_rtp, now));
  const std::uint64_t received = is_rtp ? leg.packets_received : leg.rtcp_received;
  put_list(dict, "flags", flags_of(side, component, received));
  Value::Dict stats;
  put_number(stats, "packets", received);
  if (is_rtp) put_number(stats, "bytes", leg.bytes_received);
  if (is_rtp) put_number(stats, "errors", errors_of(leg));
  put_dict(dict, "stats", std::move(stats));
  Value::Dict sent;
  put_number(sent, "packets", is_rtp ? leg.packets_sent : leg.rtcp_sent);
  if (is_rtp) put_number(sent, "bytes", leg.bytes_sent);
  put_dict(dict, "stats_out", std::move(sent));
  if (!is_rtp) return dict;
  put_dict(dict, "SSRC", ssrcs_of(leg, now));
  put_list(dict, "ingress SSRCs", ssrc_list_of(leg));
  put_list(dict, "egress SSRCs", ssrc_list_of(opposite));
  return dict;
}

void put_verdict(Value::Dict& dict, const char* key, const diagnosis::Verdict& verdict) {
  Value::Dict entry;
  put_text(entry, "verdict", verdict.info().id);
  put_text(entry, "meaning", verdict.info().text);
  put_text(entry, "evidence", verdict.evidence);
  put_text(entry, "remedy", verdict.info().remedy);
  put_dict(dict, key, std::move(entry));
}

Value::Dict diagnosis_of(const Call& call, const CallMedia& media, Side which,
                         const StatsBySession& stats, const Moment& now) {
  Value::Dict dict;
  const auto found = stats.find(media.session);
  if (found == stats.end()) return dict;
  const auto verdicts = diagnosis::judge(signalling_of(call, media), found->second, now.monotonic);
  put_verdict(dict, "received", verdicts[index_of(which)].received);
  put_verdict(dict, "sent", verdicts[index_of(which)].sent);
  return dict;
}

/// Who hears whom: the ends of a call each other, and those who subscribe.
Value::Dict relation(const std::string& tag, const char* type) {
  Value::Dict entry;
  put_text(entry, "tag", tag);
  put_text(entry, "type", type);
  return entry;
}

Value::Dict tag_of(const Call& call, Side which, const StatsBySession& stats, const Moment& now,
                   const std::vector<Subscriber>& subscribers) {
  const CallSide& side = call.side(which);
  Value::Dict dict;
  put_text(dict, "tag", side.tag);
  if (!side.label.empty()) put_text(dict, "label", side.label);
  put_number(dict, "created", unix_seconds(side.since, now));
  if (!call.side(other(which)).tag.empty()) {
    put_text(dict, "in dialogue with", call.side(other(which)).tag);
  }
  Value::List heard_by;
  if (!call.side(other(which)).tag.empty()) {
    heard_by.emplace_back(relation(call.side(other(which)).tag, "offer/answer"));
  }
  put_list(dict, "subscriptions", heard_by);
  for (const Subscriber& one : subscribers) {
    if (one.heard == which) heard_by.emplace_back(relation(one.tag, "pub/sub"));
  }
  put_list(dict, "subscribers", std::move(heard_by));
  Value::List medias;
  for (std::size_t i = 0; i < call.media.size(); ++i) {
    const CallMedia& media = call.media[i];
    if (!media.has_session()) continue;
    const auto found = stats.find(media.session);
    const SessionStats session = found == stats.end() ? SessionStats{} : found->second;
    Value::List streams;
    for (const Component component : {Component::kRtp, Component::kRtcp}) {
      streams.emplace_back(
          stream_of(transport_of_line(call, media, which), which, component, session, now));
    }
    Value::Dict entry;
    put_number(entry, "index", i + 1);
    put_text(entry, "type", media.kind);
    put_text(entry, "protocol", sdp::name_of(media.sides[index_of(which)].profile));
    put_list(entry, "flags", media_flags_of(transport_of_line(call, media, which), which));
    put_list(entry, "streams", std::move(streams));
    put_dict(entry, "diagnosis", diagnosis_of(call, media, which, stats, now));
    medias.emplace_back(std::move(entry));
  }
  put_list(dict, "medias", std::move(medias));
  return dict;
}

}  // namespace

Totals totals_of(const StatsBySession& stats) {
  Totals totals;
  for (const auto& [id, session] : stats) {
    for (const LegStats& leg : session.legs) {
      totals.rtp_packets += leg.packets_received;
      totals.rtp_bytes += leg.bytes_received;
      totals.rtp_errors += errors_of(leg);
      totals.rtcp_packets += leg.rtcp_received;
    }
  }
  return totals;
}

Value::Dict statistics_of(const Call& call, const StatsBySession& stats, const Moment& now,
                          const std::vector<Subscriber>& subscribers) {
  Value::Dict dict;
  put_number(dict, "created", call.created_unix_us / 1'000'000);
  put_number(dict, "created_us", call.created_unix_us % 1'000'000);
  put_number(dict, "last signal", call.last_signal_unix_us / 1'000'000);

  Value::Dict ssrcs;
  for (const auto& [id, session] : stats) {
    for (const LegStats& leg : session.legs) {
      for (auto& [ssrc, figures] : ssrcs_of(leg, now)) {
        const bool known =
            std::any_of(ssrcs.begin(), ssrcs.end(),
                        [&name = ssrc](const auto& entry) { return entry.first == name; });
        if (!known) ssrcs.emplace_back(ssrc, std::move(figures));
      }
    }
  }
  put_dict(dict, "SSRC", std::move(ssrcs));

  Value::Dict tags;
  for (const Side side : {Side::kA, Side::kB}) {
    const std::string& tag = call.side(side).tag;
    if (!tag.empty()) put_dict(tags, tag, tag_of(call, side, stats, now, subscribers));
  }
  put_dict(dict, "tags", std::move(tags));

  Totals totals = totals_of(stats);
  totals += call.past;
  Value::Dict rtp;
  put_number(rtp, "packets", totals.rtp_packets);
  put_number(rtp, "bytes", totals.rtp_bytes);
  put_number(rtp, "errors", totals.rtp_errors);
  Value::Dict rtcp;
  put_number(rtcp, "packets", totals.rtcp_packets);
  Value::Dict both;
  put_dict(both, "RTP", std::move(rtp));
  put_dict(both, "RTCP", std::move(rtcp));
  put_dict(dict, "totals", std::move(both));
  return dict;
}

}  // namespace turnpike::call
