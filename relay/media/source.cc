#include "relay/media/source.h"

namespace turnpike::media {
namespace {

bool ip_may_latch(const LegConfig& config, Component component, const SocketAddress& source) {
  if (config.source_policy == SourcePolicy::kLatchAny) return true;
  return source.ip == config.remote[index_of(component)].ip ||
         (config.received_from.is_set() && source.ip == config.received_from);
}

void follow(ComponentState& state, const SocketAddress& source, Instant now) {
  state.destination = source;
  state.candidate = SocketAddress{};
  state.candidate_packets = 0;
  state.last_from_destination = now;
}

}  // namespace

bool accept_plain(LegState& leg, Component component, const SocketAddress& source, Instant now) {
  const LegConfig& config = leg.config;
  const SocketAddress& signalled = config.remote[index_of(component)];
  ComponentState& state = leg.component[index_of(component)];
  switch (config.source_policy) {
    case SourcePolicy::kStrict:
      if (source != signalled) return false;
      break;
    case SourcePolicy::kAsymmetric:
      if (source.ip != signalled.ip) return false;
      break;
    case SourcePolicy::kLatch:
    case SourcePolicy::kLatchAny:
      if (state.latched) {
        if (source != state.destination) return false;
        break;
      }
      if (!ip_may_latch(config, component, source)) return false;
      if (!signalled.is_set()) return true;  // held: heard, but not answered
      state.latched = true;
      follow(state, source, now);
      break;
  }
  state.last_from_destination = now;
  return true;
}

bool note_authenticated(LegState& leg, Component component, const SocketAddress& source,
                        bool newest, bool rtcp, Instant now) {
  ComponentState& state = leg.component[index_of(component)];
  // A held leg gets nothing (RFC 3264 section 8.4), wherever its client sends from.
  if (!leg.config.remote[index_of(component)].is_set()) return false;
  if (source == state.destination) {
    state.last_from_destination = now;
    state.candidate_packets = 0;
    return false;
  }
  if (!newest) return false;
  if (source != state.candidate) {
    state.candidate = source;
    state.candidate_packets = 0;
  }
  if (state.candidate_packets < 255) ++state.candidate_packets;
  if (state.candidate_packets < (rtcp ? kMovePacketsRtcp : kMovePackets)) return false;
  const bool present_is_alive =
      state.last_from_destination != Instant{} && now - state.last_from_destination < kMoveSilence;
  const bool moved_lately = state.last_move != Instant{} && now - state.last_move < kMoveInterval;
  if (present_is_alive || moved_lately) return false;
  follow(state, source, now);
  state.last_move = now;
  ++leg.source_moves;
  return true;
}

void note_authentic_replay(LegState& leg, Component component, const SocketAddress& source,
                           Instant now) {
  ComponentState& state = leg.component[index_of(component)];
  if (source != state.destination) return;
  state.last_from_destination = now;
  state.candidate_packets = 0;
}

void apply_signalled(LegState& leg, const LegConfig& previous) {
  for (const Component component : {Component::kRtp, Component::kRtcp}) {
    const SocketAddress& signalled = leg.config.remote[index_of(component)];
    ComponentState& state = leg.component[index_of(component)];
    state.latched = false;
    const bool unproven = leg.config.must_encrypt && leg.config.remote_unproven;
    const bool same = signalled == previous.remote[index_of(component)] &&
                      unproven == (previous.must_encrypt && previous.remote_unproven);
    if (same && state.destination.is_set()) continue;
    state.destination = unproven ? SocketAddress{} : signalled;
    state.candidate = SocketAddress{};
    state.candidate_packets = 0;
    state.last_from_destination = Instant{};
  }
}

}  // namespace turnpike::media
