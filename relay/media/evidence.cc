// What the engine remembers of packets that it did not take, and of reports that went by. All of it
// on the way of packets that are dropped, or of RTCP.
#include "relay/core/bytes.h"
#include "relay/media/engine.h"
#include "relay/media/quality.h"
#include "relay/wire/rtcp.h"

namespace turnpike::media {
namespace {

// Reports come every 5 s or so. Looked at whenever quality is.
constexpr Seconds kRoundTripLife{30};
// Media leaves no such gaps, nor do its reports.
constexpr Seconds kStrayGap{30};

}  // namespace

void Engine::note_refused_source(LegState& leg, const SocketAddress& source, Instant now) {
  if (now - leg.evidence.refused_last > kStrayGap) leg.evidence.refused = 0;
  ++leg.evidence.refused;
  leg.evidence.refused_source = source;
  leg.evidence.refused_last = now;
}

// Codecs of one byte for each tick of their clock (G.711, G.722) show whether they are encrypted:
// a tag would make the payload longer than what the timestamps say. RTCP shows it always, unless
// the cipher has worked on it before the tag.
void Engine::note_unverified(const Work& work, Instant now) {
  LegState& leg = *work.receiver;
  const Packet& packet = *work.packet;
  if (now - leg.evidence.unverified_last > kStrayGap) {
    leg.evidence.unverified = leg.evidence.unencrypted = 0;
  }
  leg.evidence.unverified_source = packet.source;
  leg.evidence.unverified_last = now;
  ++leg.evidence.unverified;
  if (work.rtcp) {
    if (rtcp_compound_is_valid(packet.data, packet.length)) ++leg.evidence.unencrypted;
    return;
  }
  UnverifiedPacket& last = leg.unverified;
  const std::uint32_t payload = packet.length - work.rtp.header_bytes;
  const bool next =
      work.ssrc == last.ssrc && work.rtp.sequence == static_cast<std::uint16_t>(last.sequence + 1);
  if (next && payload != 0 && work.rtp.timestamp - last.timestamp == payload) {
    ++leg.evidence.unencrypted;
  }
  last = {work.ssrc, work.rtp.timestamp, work.rtp.sequence};
}

// A sender report passes from one leg to the other, and a report on that sender comes back.
void Engine::note_reports(const Work& work, Instant now) {
  const Packet& packet = *work.packet;
  if (work.stream != nullptr) note_sender_report(*work.stream, packet.data, packet.length, now);
  visit_report_blocks(packet.data, packet.length, [&](const ReportBlock& block) {
    const StreamState* stream = find_stream(*work.sender, block.ssrc);
    if (stream == nullptr) return;
    const std::uint32_t round_trip = round_trip_us(stream->quality, block, now);
    if (round_trip == 0) return;
    work.from->round_trip_us = round_trip;
    work.from->round_trip_at = now;
  });
}

// The leg's RTP goes to another address: what was measured and refused before says nothing of it.
void Engine::forget_path(std::uint32_t slot, Side side) {
  LegState& leg = arena_.session(slot).legs[index_of(side)];
  leg.evidence.refused = 0;
  leg.evidence.refused_source = SocketAddress{};
  leg.evidence.refused_last = Instant{};
  leg.round_trip_us = 0;
  for (std::uint32_t line = lines_.first(slot, side); line != kNoLine;
       line = lines_.next(line, side)) {
    arena_.session(line).legs[index_of(side)].round_trip_us = 0;
  }
}

void Engine::sample_quality(std::uint32_t slot, Instant now) {
  SessionState& session = arena_.session(slot);
  if (limits_.quality_interval.count() == 0 || now < session.quality_at) return;
  for (LegState& leg : session.legs) {
    if (now - leg.round_trip_at > kRoundTripLife) leg.round_trip_us = 0;
  }
  session.quality_at = now + limits_.quality_interval;
  if (session.kind != MediaKind::kAudio) return;
  const std::uint32_t both =
      round_trip_of(session.legs[0].round_trip_us, session.legs[1].round_trip_us);
  for (const Side side : {Side::kA, Side::kB}) {
    const std::uint32_t transport = transport_slot(slot, side);
    if (transport == kNoLine) continue;
    const LegState& receiver = arena_.session(transport).legs[index_of(side)];
    const std::uint32_t clock_rate = session.legs[index_of(side)].config.clock_rate_hz;
    for (std::uint32_t i = receiver.first_stream; i != kNoStream; i = arena_.stream(i).next) {
      StreamState& stream = arena_.stream(i);
      if (stream.line == slot) media::sample_quality(stream, clock_rate, both, now);
    }
  }
}

}  // namespace turnpike::media
