#include "relay/media/source.h"

namespace turnpike::media {
namespace {

bool ip_may_latch(const LegConfig& config, Component component, const SocketAddress& source) {
  if (config.source_policy == SourcePolicy::kLatchAny) return true;
  return source.ip == config.remote[index_of(component)].ip ||
         (config.received_from.is_set() && source.ip == config.received_from);
}

const Pace& pace_of(Component component) {
  return component == Component::kRtp ? kRtpPace : kRtcpPace;
}

// What signalling says for a source: nothing, its IP address, its IP address and port.
int rank_of(const LegConfig& config, Component component, const SocketAddress& source) {
  const SocketAddress& signalled = config.remote[index_of(component)];
  const bool named = source.ip == signalled.ip ||
                     (config.received_from.is_set() && source.ip == config.received_from);
  if (!named) return 0;
  return source.port == signalled.port ? 2 : 1;
}

bool within(Instant since, Nanoseconds span, Instant now) {
  return since != Instant{} && now - since < span;
}

void forget_candidate(ComponentState& state) {
  state.candidate = SocketAddress{};
  state.candidate_packets = 0;
  state.candidate_copies = 0;
}

void follow(ComponentState& state, const SocketAddress& source, Instant now) {
  state.destination = source;
  state.last_from_destination = now;
  forget_candidate(state);
}

// The decision about one packet from elsewhere than the destination.
class Contest {
 public:
  Contest(LegState& leg, Component component, const SocketAddress& source, bool copy, Instant now)
      : leg_(leg),
        component_(component),
        state_(leg.component[index_of(component)]),
        pace_(pace_of(component)),
        source_(source),
        rank_(rank_of(leg.config, component, source)),
        copy_(copy),
        on_probation_(now < state_.probation_until),
        now_(now) {}

  bool decide() {
    if (!(source_ == state_.candidate ? support() : challenge())) return false;
    state_.candidate_last = now_;
    if (within(state_.last_move, kMoveInterval, now_)) return false;
    const int rank_of_present = rank_of(leg_.config, component_, state_.destination);
    if (on_probation_ && rank_ == rank_of_present && state_.candidate_copies >= pace_.packets) {
      return retreat(), true;
    }
    if (state_.candidate_packets < pace_.packets) return false;
    const bool outranks = on_probation_ && rank_ > rank_of_present;
    if (within(state_.last_from_destination, pace_.silence, now_) && !outranks) return false;
    const bool certain = rank_ > 0 && !contested();
    if (!certain && now_ - state_.candidate_since < pace_.patience) return false;
    return move(), true;
  }

 private:
  bool contested() const { return within(state_.contested, pace_.probation, now_); }

  // False: nothing changes.
  bool support() {
    // Without a contest it is the network that copies, and one packet must not count as several.
    if (copy_ && !contested() && !on_probation_) return false;
    count();
    return true;
  }

  bool challenge() {
    if (!within(state_.candidate_last, pace_.silence, now_) || !state_.candidate.is_set()) {
      // Whose packet it copies is not known: that speaks against a destination on probation only.
      if (copy_ && !on_probation_) return false;
      return stand();
    }
    const int rank_of_candidate = rank_of(leg_.config, component_, state_.candidate);
    if (rank_ < rank_of_candidate) return false;
    if (copy_) state_.contested = now_;
    if (rank_ > rank_of_candidate || !copy_) return stand();
    if (on_probation_) return false;
    state_.candidate_packets = 0;
    state_.candidate_since = now_;
    return false;
  }

  bool stand() {
    forget_candidate(state_);
    state_.candidate = source_;
    state_.candidate_since = now_;
    count();
    return true;
  }

  void count() {
    if (state_.candidate_packets < 255) ++state_.candidate_packets;
    if (copy_ && state_.candidate_copies < 255) ++state_.candidate_copies;
  }

  void move() {
    if (!on_probation_) state_.previous = state_.destination;
    follow(state_, source_, now_);
    state_.probation_until = now_ + pace_.probation;
    state_.last_move = now_;
    ++leg_.source_moves;
  }

  void retreat() {
    const bool heard = source_ == state_.previous;
    follow(state_, state_.previous, now_);
    if (!heard) state_.last_from_destination = Instant{};
    state_.probation_until = Instant{};
    state_.contested = now_;
    state_.last_move = now_;
    ++leg_.source_moves;
  }

  LegState& leg_;
  Component component_;
  ComponentState& state_;
  const Pace& pace_;
  const SocketAddress& source_;
  int rank_;
  bool copy_;
  bool on_probation_;
  Instant now_;
};

}  // namespace

bool accept_plain(LegState& leg, Component component, const SocketAddress& source, Instant now) {
  const LegConfig& config = leg.config;
  const SocketAddress& signalled = config.remote[index_of(component)];
  ComponentState& state = leg.component[index_of(component)];
  if (config.ice) {
    if (!state.destination.is_set() || source != state.destination) return false;
    state.last_from_destination = now;
    return true;
  }
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
                        Heard heard, Instant now) {
  ComponentState& state = leg.component[index_of(component)];
  if (leg.config.ice) return false;
  // A held leg gets nothing (RFC 3264 section 8.4), wherever its client sends from.
  if (!leg.config.remote[index_of(component)].is_set()) return false;
  if (source == state.destination) {
    state.last_from_destination = now;
    // On probation it may itself be the one that copies: its packets clear nobody's record.
    if (now >= state.probation_until) forget_candidate(state);
    return false;
  }
  if (heard == Heard::kLate) return false;
  return Contest(leg, component, source, heard == Heard::kCopy, now).decide();
}

bool copy_matters(const LegState& leg, Component component, Instant now) {
  const ComponentState& state = leg.component[index_of(component)];
  if (leg.config.ice || !leg.config.remote[index_of(component)].is_set()) return false;
  return state.candidate.is_set() || now < state.probation_until;
}

void apply_signalled(LegState& leg, const LegConfig& previous) {
  for (const Component component : {Component::kRtp, Component::kRtcp}) {
    const SocketAddress& signalled = leg.config.remote[index_of(component)];
    ComponentState& state = leg.component[index_of(component)];
    state.latched = false;
    if (leg.config.ice) {
      // Only what ICE has proven; it says so by set_destination.
      if (!previous.ice) set_destination(state, SocketAddress{});
      continue;
    }
    const bool unproven = leg.config.must_encrypt && leg.config.remote_unproven;
    const bool same = !previous.ice && signalled == previous.remote[index_of(component)] &&
                      unproven == (previous.must_encrypt && previous.remote_unproven);
    if (same && state.destination.is_set()) continue;
    set_destination(state, unproven ? SocketAddress{} : signalled);
  }
}

void set_destination(ComponentState& state, const SocketAddress& destination) {
  state.destination = destination;
  state.previous = destination;
  state.probation_until = Instant{};
  state.contested = Instant{};
  state.last_from_destination = Instant{};
  forget_candidate(state);
}

}  // namespace turnpike::media
