// The rare half of the engine: commands, keys, figures, timers.
#include <algorithm>

#include "relay/core/bytes.h"
#include "relay/media/engine.h"
#include "relay/media/session_seal.h"
#include "relay/media/stream_stats.h"

namespace turnpike::media {
namespace {

/// Until what found no room is told again. Sooner, a shard would do nothing else.
constexpr Seconds kTellAgain{1};
/// Over which looking at quality is spread when all sessions begin anew at once.
constexpr std::uint32_t kMoments = 64;
constexpr std::uint8_t kNothing = 0;  // the payload of an empty datagram needs an address

std::uint32_t cache_slot_of(std::uint32_t slot, Side side, bool receive) {
  return slot * 4 + index_of(side) * 2 + (receive ? 0 : 1);
}

// ICE keeps its pairs alive itself.
bool needs_keepalive(const LegState& leg, Component component) {
  if (leg.config.ice || leg.closed) return false;
  if (leg.config.opaque && !leg.local[0].is_set()) return false;  // a flow has its own
  if (!leg.component[index_of(component)].destination.is_set()) return false;
  return component == Component::kRtp || !leg.config.rtcp_mux;
}

bool means_another_source(const LegConfig& config, const LegConfig& previous) {
  return config.remote[0] != previous.remote[0] || config.ice != previous.ice ||
         config.received_from != previous.received_from ||
         config.source_policy != previous.source_policy;
}

// Signalling does not know what DTLS has agreed on. Keys of SDES do not become those of DTLS.
void take_over_keys(LegConfig& config, const LegConfig& previous) {
  secure_wipe(&config.receive, sizeof config.receive);
  secure_wipe(&config.send, sizeof config.send);
  config.receive = previous.dtls ? previous.receive : SrtpKeying{};
  config.send = previous.dtls ? previous.send : SrtpKeying{};
}

}  // namespace

void Engine::open(const SocketTag& id, MediaKind kind,
                  const std::array<std::array<SocketAddress, 2>, 2>& local, Instant now,
                  const std::array<std::array<SocketAddress, 2>, 2>& other_local) {
  SessionState& session = arena_.session(id.slot);
  session = SessionState{};
  clients_[id.slot].reset();
  const SessionEdit edit(session);
  session.kind = kind;
  for (unsigned side = 0; side < 2; ++side) {
    session.legs[side].local = local[side];
    session.legs[side].other_local = other_local[side];
    session.legs[side].expects_since = now;
  }
  session.quality_at = now + limits_.quality_interval;
  session.generation = id.generation;
  counters_.sessions_opened.add();
  set_timer(id.slot, now);
}

void Engine::update_leg(const SocketTag& id, Side side, const LegConfig& config, Instant now) {
  SessionState* session = arena_.find(id.slot, id.generation);
  if (session == nullptr) return;
  LegState& leg = session->legs[index_of(side)];
  LegConfig previous = leg.config;
  const SessionEdit edit(*session);
  set_transport(id.slot, side, config.bundle);
  if (side == Side::kB) set_heard(id.slot, config.absent ? config.hears : HeardLeg{});
  leg.config = config;
  leg.closed = leg.closed && config.dtls;
  if (config.dtls) {
    take_over_keys(leg.config, previous);
  } else {
    past_keys_.erase(id.slot * 2 + index_of(side));
  }
  // What was an SRTP leg stays one, whatever a later offer says (docs/security.md, M6).
  leg.config.must_encrypt = config.must_encrypt || previous.must_encrypt;
  apply_signalled(leg, previous);
  if (means_another_source(config, previous)) forget_path(id.slot, side);
  if (config.opaque) know_client(id.slot, leg);
  rekey(*session, id.slot, side, previous);
  secure_wipe(&previous, sizeof previous);
  leg.expects_since = now;
  leg.timed_out = false;
  leg.silence_told = false;
  set_timer(id.slot, now);
}

void Engine::switch_media(const SocketTag& id, Side side, const MediaSwitches& switches) {
  SessionState* session = arena_.find(id.slot, id.generation);
  if (session == nullptr) return;
  const SessionEdit edit(*session);
  session->legs[index_of(side)].switches = switches;
}

void Engine::close_leg(const SocketTag& leg) {
  SessionState* session = arena_.find(leg.slot, leg.generation);
  if (session == nullptr) return;
  LegState& state = session->legs[index_of(leg.side)];
  state.closed = state.config.dtls;
}

void Engine::know_client(std::uint32_t slot, const LegState& leg) {
  if (!leg.local[0].is_set()) return;  // it is carried: the other leg is the client's
  auto& clients = clients_[slot];
  if (clients == nullptr) clients = std::make_unique<ClientSources[]>(2);
  clients[0].set_signalled(leg.config.remote[0], leg.config.received_from);
  clients[1].set_signalled(leg.config.remote[1], leg.config.received_from);
}

void Engine::restore_client(std::uint32_t slot, const LegState& leg) {
  if (!leg.local[0].is_set() || clients_[slot] != nullptr) return;
  know_client(slot, leg);
  for (unsigned component = 0; component < 2; ++component) {
    const ComponentState& state = leg.component[component];
    clients_[slot][component].restore(state.destination, state.client_number);
  }
}

const LegState* Engine::find_leg(const SocketTag& leg) {
  const SessionState* session = arena_.find(leg.slot, leg.generation);
  return session == nullptr ? nullptr : &session->legs[index_of(leg.side)];
}

void Engine::set_destination(const SocketTag& leg, const SocketAddress& destination) {
  SessionState* session = arena_.find(leg.slot, leg.generation);
  if (session == nullptr) return;
  ComponentState& state = session->legs[index_of(leg.side)].component[index_of(leg.component)];
  if (state.destination == destination) return;
  media::set_destination(state, destination);
  if (leg.component == Component::kRtp) forget_path(leg.slot, leg.side);
}

SocketTag Engine::transport_of(const SocketTag& leg) {
  const LegState* state = find_leg(leg);
  if (state == nullptr || !state->config.bundle.transport.is_set()) return leg;
  const SessionId& transport = state->config.bundle.transport;
  return {transport.slot, transport.generation, leg.side, leg.component};
}

void Engine::rekey(SessionState& session, std::uint32_t slot, Side side,
                   const LegConfig& previous) {
  LegState& leg = session.legs[index_of(side)];
  const bool new_receive = !(leg.config.receive == previous.receive);
  const bool new_send = !(leg.config.send == previous.send);
  if (new_receive) {
    transform_.forget(cache_slot_of(slot, side, true));
    wipe_srtp_context(leg.receive);
    static_cast<void>(derive_srtp_context(leg.config.receive, leg.receive));
    forget_received(leg);
    leg.evidence.received_before_keys = accepted_by(slot, side);
    leg.evidence.unverified = leg.evidence.unencrypted = 0;
  }
  if (new_send) {
    transform_.forget(cache_slot_of(slot, side, false));
    wipe_srtp_context(leg.send);
    static_cast<void>(derive_srtp_context(leg.config.send, leg.send));
    forget_sent(slot, side);
  }
}

std::uint64_t Engine::accepted_by(std::uint32_t transport, Side side) const {
  const auto accepted = [&](std::uint32_t slot) {
    const LegState& leg = arena_.session(slot).legs[index_of(side)];
    return leg.packets_received + leg.rtcp_received;
  };
  std::uint64_t sum = accepted(transport);
  for (std::uint32_t line = lines_.first(transport, side); line != kNoLine;
       line = lines_.next(line, side)) {
    if (line != transport) sum += accepted(line);
  }
  return sum;
}

LegStats Engine::leg_stats(std::uint32_t slot, Side side) const {
  const LegState& leg = arena_.session(slot).legs[index_of(side)];
  LegStats stats;
  stats.packets_received = leg.packets_received;
  stats.bytes_received = leg.bytes_received;
  stats.rtcp_received = leg.rtcp_received;
  stats.packets_sent = leg.packets_sent;
  stats.bytes_sent = leg.bytes_sent;
  stats.rtcp_sent = leg.rtcp_sent;
  stats.source_moves = leg.source_moves;
  stats.drops = leg.drops;
  stats.last_packet = leg.last_packet;
  stats.last_carried = leg.last_carried;
  stats.last_rtp = leg.last_rtp;
  stats.last_rtp_carried = leg.last_rtp_carried;
  stats.round_trip_us = leg.round_trip_us;
  stats.clock_rate_hz = leg.config.clock_rate_hz;
  const std::uint32_t transport = transport_slot(slot, side);
  if (transport == kNoLine) return stats;
  const LegState& receiver = arena_.session(transport).legs[index_of(side)];
  stats.transport.suite = receiver.receive.suite;
  stats.evidence = receiver.evidence;
  stats.evidence.destination = receiver.component[0].destination;
  stats.transport_accepted = accepted_by(transport, side);
  if (transport != slot) stats.carrier_drops = receiver.drops;
  for (std::uint32_t i = receiver.first_stream; i != kNoStream; i = arena_.stream(i).next) {
    if (arena_.stream(i).line != slot) continue;
    if (stats.stream_count == stats.streams.size()) break;
    stats.streams[stats.stream_count++] = report(arena_.stream(i));
  }
  return stats;
}

bool Engine::stats(const SocketTag& id, SessionStats& out) const {
  const SessionState* session = arena_.find(id.slot, id.generation);
  if (session == nullptr) return false;
  for (unsigned side = 0; side < 2; ++side) {
    out.legs[side] = leg_stats(id.slot, static_cast<Side>(side));
  }
  return true;
}

bool Engine::close(const SocketTag& id, SessionStats& out) {
  return stats(id, out) && close(id);
}

bool Engine::close(const SocketTag& id) {
  if (find_leg(id) == nullptr) return false;
  SessionState& session = arena_.session(id.slot);
  if (session.bundled) leave_bundles(id.slot);
  leave_subscribers(id.slot);
  session.generation = 0;
  clients_[id.slot].reset();
  timers_.cancel(id.slot);
  for (const unsigned side : {0U, 1U}) past_keys_.erase(id.slot * 2 + side);
  for (const Side side : {Side::kA, Side::kB}) {
    drop_streams(session.legs[index_of(side)]);
    transform_.forget(cache_slot_of(id.slot, side, true));
    transform_.forget(cache_slot_of(id.slot, side, false));
  }
  secure_wipe(&session, sizeof session);
  counters_.sessions_closed.add();
  return true;
}

void Engine::resume(Instant now) {
  for (std::uint32_t slot = 0; slot < arena_.session_capacity(); ++slot) {
    SessionState& session = arena_.session(slot);
    if (session.generation == 0) continue;
    // Not all in one moment, then and ever after.
    session.quality_at = now + limits_.quality_interval +
                         Nanoseconds(limits_.quality_interval) * (slot % kMoments) / kMoments;
    for (LegState& leg : session.legs) {
      resume(leg, now);
      if (leg.config.opaque) restore_client(slot, leg);
    }
    set_timer(slot, now);
  }
}

void Engine::resume(LegState& leg, Instant now) {
  // Nobody listened for a while: that is no silence of the remote end.
  leg.expects_since = now;
  leg.timed_out = false;
  leg.silence_told = false;
  // A time that is still to come would hold what waits for it up until then.
  for (Instant* time :
       {&leg.last_packet, &leg.last_carried, &leg.last_rtp, &leg.last_rtp_carried,
        &leg.round_trip_at, &leg.evidence.refused_last, &leg.evidence.unverified_last}) {
    *time = std::min(*time, now);
  }
  for (ComponentState& state : leg.component) {
    if (state.last_from_destination != Instant{}) state.last_from_destination = now;
    for (Instant* time : {&state.candidate_since, &state.candidate_last, &state.contested,
                          &state.last_move, &state.last_sent}) {
      *time = std::min(*time, now);
    }
    state.probation_until = std::min(state.probation_until, now + kRtcpPace.probation);
  }
  for (std::uint32_t i = leg.first_stream; i != kNoStream; i = arena_.stream(i).next) {
    StreamState& stream = arena_.stream(i);
    stream.last_packet = std::min(stream.last_packet, now);
    stream.last_rtp = std::min(stream.last_rtp, now);
  }
}

void Engine::not_noticed(const Notice& notice, Instant now) {
  SessionState* session = arena_.find(notice.slot, notice.generation);
  if (session == nullptr) return;
  LegState& leg = session->legs[index_of(notice.side)];
  if (notice.kind != EventKind::kMediaTimeout && notice.kind != EventKind::kSilent) return;
  if (notice.kind == EventKind::kMediaTimeout) leg.timed_out = false;
  if (notice.kind == EventKind::kSilent) leg.silence_told = false;
  timers_.set(notice.slot, now + kTellAgain);
}

Instant Engine::silence_due(const LegState& leg) const {
  if (limits_.silence_told.count() == 0 || !leg.config.expects_media || leg.silence_told) {
    return Instant::max();
  }
  return std::max(leg.last_rtp_carried, leg.expects_since) + limits_.silence_told;
}

void Engine::check_silence(std::uint32_t slot, Side side, Instant now, Notices& notices) {
  SessionState& session = arena_.session(slot);
  LegState& leg = session.legs[index_of(side)];
  if (silence_due(leg) > now) return;
  leg.silence_told = true;
  static_cast<void>(
      notices.push({EventKind::kSilent, slot, session.generation, side, Component::kRtp, {}}));
}

void Engine::set_timer(std::uint32_t slot, Instant now) {
  Instant due = Instant::max();
  if (limits_.quality_interval.count() != 0) due = arena_.session(slot).quality_at;
  for (const LegState& leg : arena_.session(slot).legs) {
    due = std::min(due, silence_due(leg));
    if (limits_.media_timeout.count() != 0 && leg.config.expects_media && !leg.timed_out) {
      due = std::min(due, std::max(leg.last_carried, leg.expects_since) + limits_.media_timeout);
    }
    if (limits_.keepalive_interval.count() == 0) continue;
    for (const Component component : {Component::kRtp, Component::kRtcp}) {
      const ComponentState& state = leg.component[index_of(component)];
      if (!needs_keepalive(leg, component)) continue;
      due =
          std::min(due, std::max(state.last_sent, leg.expects_since) + limits_.keepalive_interval);
    }
  }
  if (due == Instant::max()) {
    timers_.cancel(slot);
  } else {
    timers_.set(slot, std::max(due, now + TimerWheel::kTick));
  }
}

void Engine::on_deadline(Instant now, Outbox& out, Notices& notices) {
  std::uint32_t slot = 0;
  // Room for one session: four keep-alives, two timeouts and twice silence.
  while (out.size() + 4 <= kBatchPacketsMax && notices.items().size() + 4 <= kBatchPacketsMax &&
         timers_.pop_due(now, slot)) {
    if (arena_.session(slot).generation == 0) continue;
    for (const Side side : {Side::kA, Side::kB}) {
      check_silence(slot, side, now, notices);
      check_leg(slot, side, now, out, notices);
    }
    sample_quality(slot, now);
    set_timer(slot, now);
  }
}

void Engine::check_leg(std::uint32_t slot, Side side, Instant now, Outbox& out, Notices& notices) {
  SessionState& session = arena_.session(slot);
  LegState& leg = session.legs[index_of(side)];
  const Instant carried = std::max(leg.last_carried, leg.expects_since);
  if (limits_.media_timeout.count() != 0 && leg.config.expects_media && !leg.timed_out &&
      now - carried >= limits_.media_timeout) {
    leg.timed_out = true;
    counters_.media_timeouts.add();
    static_cast<void>(notices.push(
        {EventKind::kMediaTimeout, slot, session.generation, side, Component::kRtp, {}}));
  }
  if (limits_.keepalive_interval.count() == 0) return;
  for (const Component component : {Component::kRtp, Component::kRtcp}) {
    ComponentState& state = leg.component[index_of(component)];
    if (!needs_keepalive(leg, component)) continue;
    if (now - std::max(state.last_sent, leg.expects_since) < limits_.keepalive_interval) continue;
    state.last_sent = now;  // also when the send fails: the next try is a whole interval away
    const SocketTag tag{slot, session.generation, side, component};
    // An empty datagram opens NAT bindings and is no media (RFC 6263 section 4.1).
    static_cast<void>(out.push({&kNothing, 0, tag, state.destination, true, false}));
  }
}

}  // namespace turnpike::media
