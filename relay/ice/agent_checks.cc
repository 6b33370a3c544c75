// What a leg with ICE sends and selects: checks in the pace of RFC 8445 section 14, nomination
// (section 8), consent (RFC 7675).
#include <algorithm>

#include "relay/core/bytes.h"
#include "relay/ice/agent.h"

namespace turnpike::ice {
namespace {

// A nomination that neither a new claim nor a higher priority speaks for is followed when the pair
// in use has not been nominated again for that long: peers that nominate every pair of theirs
// repeat it more often on the one that they use.
constexpr Seconds kNominationSettles{3};
constexpr std::uint8_t kSuspectUnanswered = 2;
// A nomination that is not answered gives way to another valid pair after so many sends.
constexpr std::uint8_t kNominationSends = 3;

}  // namespace

void Agent::transmit(Component component, const SocketAddress& destination, stun::Bytes message,
                     const Turn& turn) {
  if (message.empty()) return;
  Send send;
  send.data = message.data();
  send.length = static_cast<std::uint32_t>(message.size());
  send.tag = socket(component);
  send.destination = destination;
  turn.sink.send(send);
}

std::uint64_t Agent::random_u64() {
  std::array<std::uint8_t, 8> bytes{};
  random_(bytes);
  return (std::uint64_t{read_be32(bytes.data())} << 32) | read_be32(bytes.data() + 4);
}

stun::TransactionId Agent::new_transaction() {
  stun::TransactionId transaction{};
  random_(transaction);
  return transaction;
}

Nanoseconds Agent::jittered(Nanoseconds interval) {
  return interval * static_cast<std::int64_t>(800 + random_u64() % 401) / 1000;
}

std::uint64_t Agent::priority_of(const Pair& pair, Component component) const {
  const std::uint32_t local = priority_towards(pair.remote, CandidateType::kHost, component);
  return pair_priority(pair.remote_priority, local, controlling_);
}

std::uint32_t Agent::priority_towards(const SocketAddress& remote, CandidateType type,
                                      Component component) const {
  const bool lesser = both_families_ && remote.ip.family != config_.preferred_family;
  return candidate_priority(type, component, lesser ? kLesserLocalPreference : kLocalPreference);
}

bool Agent::is_valid(const Pair& pair, Instant now) const {
  return pair.state == IcePairState::kSucceeded && pair.validated_at != Instant{} &&
         now < pair.validated_at + kConsentLife;
}

void Agent::trigger(Pair& pair) {
  if (pair.triggered == 0) pair.triggered = ++trigger_count_;
}

std::size_t Agent::open_checks() const {
  std::size_t open = 0;
  for (const Stream& stream : streams_) {
    for (const Pair& pair : stream.list.pairs()) open += pair.is_open() ? 1 : 0;
  }
  return open;
}

void Agent::send_check(Pair& pair, Component component, const Turn& turn) {
  const bool use_candidate = controlling_ && pair.nominating;
  if (!pair.in_flight || pair.sends == 0 || pair.sent_controlling != controlling_ ||
      pair.sent_use_candidate != use_candidate) {
    pair.transaction = new_transaction();
    pair.sent_controlling = controlling_;
    pair.sent_use_candidate = use_candidate;
    pair.sends = 0;
  }
  if (pair.triggered != 0) pair.sends = 0;
  pair.triggered = 0;
  const Nanoseconds paced = kPace * static_cast<std::int64_t>(open_checks());
  pair.timeout = pair.sends == 0 ? std::max<Nanoseconds>(kFirstTimeout, paced) : 2 * pair.timeout;
  ++pair.sends;
  // The last wait is counted in first timeouts, of which this one is 2^(sends - 1).
  pair.next_send =
      turn.now + (pair.sends < kSendsMax ? pair.timeout
                                         : pair.timeout * kLastWaitFactor / (1 << (kSendsMax - 1)));
  pair.in_flight = true;
  if (pair.state != IcePairState::kSucceeded) pair.state = IcePairState::kInProgress;
  CheckFields fields;
  fields.transaction = pair.transaction;
  fields.priority = priority_towards(pair.remote, CandidateType::kPeerReflexive, component);
  fields.tie_breaker = tie_breaker_;
  fields.controlling = controlling_;
  fields.use_candidate = use_candidate;
  MessageBuffer buffer;
  transmit(component, pair.remote, write_check(buffer, keys_, fields), turn);
}

// The next check in order: triggered ones, new ones by priority, repetitions that are due.
bool Agent::send_one(const Turn& turn) {
  Pair* triggered = nullptr;
  Pair* fresh = nullptr;
  Pair* repeat = nullptr;
  std::array<Component, 3> component{};
  for (unsigned c = 0; c < components(); ++c) {
    const auto at = static_cast<Component>(c);
    for (Pair& pair : streams_[c].list.pairs()) {
      if (pair.triggered != 0) {
        if (triggered == nullptr || pair.triggered < triggered->triggered) {
          triggered = &pair;
          component[0] = at;
        }
      } else if (pair.state == IcePairState::kWaiting && !is_done(streams_[c])) {
        if (fresh == nullptr || priority_of(pair, at) > priority_of(*fresh, component[1])) {
          fresh = &pair;
          component[1] = at;
        }
      } else if (pair.in_flight && pair.sends < kSendsMax && pair.next_send <= turn.now) {
        if (repeat == nullptr || pair.next_send < repeat->next_send) {
          repeat = &pair;
          component[2] = at;
        }
      }
    }
  }
  const std::array<Pair*, 3> order = {triggered, fresh, repeat};
  for (std::size_t i = 0; i < order.size(); ++i) {
    if (order[i] == nullptr) continue;
    send_check(*order[i], component[i], turn);
    return true;
  }
  return false;
}

void Agent::time_out_checks(const Turn& turn) {
  for (Stream& stream : streams_) {
    for (Pair& pair : stream.list.pairs()) {
      if (!pair.in_flight || pair.sends < kSendsMax || turn.now < pair.next_send) continue;
      pair.in_flight = false;
      pair.nominating = false;
      pair.sends = 0;
      pair.state = IcePairState::kFailed;
    }
  }
}

bool Agent::has_rival(const Stream& stream, Instant now) const {
  const auto pairs = stream.list.pairs();
  return std::any_of(pairs.begin(), pairs.end(), [&](const Pair& pair) {
    return pair.remote != stream.selection.remote && is_valid(pair, now);
  });
}

bool Agent::nomination_goes_on(Stream& stream, Instant now) {
  for (Pair& pair : stream.list.pairs()) {
    if (!pair.nominating) continue;
    const auto others = stream.list.pairs();
    const bool other = std::any_of(others.begin(), others.end(), [&](const Pair& rest) {
      return &rest != &pair && is_valid(rest, now);
    });
    if (pair.triggered != 0 || pair.sends < kNominationSends || now < pair.next_send || !other) {
      return true;
    }
    pair.nominating = false;
    pair.in_flight = false;
    pair.state = IcePairState::kFailed;
  }
  return false;
}

// As the controlling agent (RFC 8445 section 8.1.1): the best valid pair, when no better one is
// still open or it has had its time; and another one when the pair in use falls silent.
void Agent::nominate(Component component, const Turn& turn) {
  Stream& stream = streams_[index_of(component)];
  if (!controlling_ || !may_check()) return;
  const bool suspect = is_done(stream) && stream.selection.unanswered >= kSuspectUnanswered &&
                       turn.now >= stream.selection.next_check;
  if (is_done(stream) && !suspect) return;
  if (nomination_goes_on(stream, turn.now)) return;
  Pair* best = nullptr;
  for (Pair& pair : stream.list.pairs()) {
    if (!is_valid(pair, turn.now) || (suspect && pair.remote == stream.selection.remote)) continue;
    if (best == nullptr || priority_of(pair, component) > priority_of(*best, component)) {
      best = &pair;
    }
  }
  if (best == nullptr) {
    stream.first_valid = Instant{};
    // What was valid once, and so long ago that it says nothing any more, is asked again.
    for (Pair& pair : stream.list.pairs()) {
      const bool stale = pair.state == IcePairState::kSucceeded && !is_valid(pair, turn.now);
      if (stale && !pair.in_flight) trigger(pair);
    }
    return;
  }
  const auto pairs = stream.list.pairs();
  const bool better_is_open = std::any_of(pairs.begin(), pairs.end(), [&](const Pair& pair) {
    return (pair.state == IcePairState::kWaiting || pair.state == IcePairState::kInProgress) &&
           priority_of(pair, component) > priority_of(*best, component);
  });
  if (better_is_open && turn.now < stream.first_valid + kSettling) return;
  best->nominating = true;
  trigger(*best);
}

// As the controlled agent: a pair that the remote end nominates and that is valid. A pair that it
// newly nominates, or one that is better than the pair in use, is taken at once.
void Agent::follow(Pair& pair, Component component, const Turn& turn) {
  Stream& stream = streams_[index_of(component)];
  if (!pair.flagged || !is_valid(pair, turn.now)) return;
  const Pair* current = stream.list.find(stream.selection.remote);
  if (!is_done(stream) || pair.claims || current == nullptr ||
      priority_of(pair, component) >= priority_of(*current, component)) {
    select(pair, component, turn);
  }
  pair.claims = false;
}

void Agent::follow_overdue(Component component, const Turn& turn) {
  Stream& stream = streams_[index_of(component)];
  if (controlling_ || !is_done(stream)) return;
  const Pair* current = stream.list.find(stream.selection.remote);
  Instant latest = current == nullptr ? Instant{} : current->flagged_at;
  Pair* wanted = nullptr;
  for (Pair& pair : stream.list.pairs()) {
    if (!pair.flagged || pair.flagged_at <= latest || !is_valid(pair, turn.now)) continue;
    latest = pair.flagged_at;
    wanted = &pair;
  }
  if (wanted == nullptr) {
    stream.wanted = SocketAddress{};
    return;
  }
  // From when it was wanted first: a remote end may say so again and again.
  if (stream.wanted != wanted->remote) {
    stream.wanted = wanted->remote;
    stream.wanted_since = wanted->flagged_at;
  }
  if (turn.now >= stream.wanted_since + kNominationSettles) select(*wanted, component, turn);
}

void Agent::select(Pair& pair, Component component, const Turn& turn) {
  Stream& stream = streams_[index_of(component)];
  Selection& selection = stream.selection;
  if (is_done(stream) && selection.remote == pair.remote) return;
  const bool moves = !selection.active || selection.remote != pair.remote;
  selection = Selection{};
  selection.remote = pair.remote;
  selection.active = true;
  selection.consent_until = pair.validated_at + kConsentLife;
  selection.next_check = turn.now + jittered(kConsentInterval);
  failed_ = false;
  // RFC 8445 section 8.1.2: the rest of the list need not be checked. Answers still count.
  for (Pair& rest : stream.list.pairs()) {
    if (&rest == &pair || rest.flagged) continue;
    rest.in_flight = false;
    rest.triggered = 0;
    rest.nominating = false;
    if (rest.state == IcePairState::kInProgress) rest.state = IcePairState::kWaiting;
  }
  bool all_active = true;
  bool all_done = true;
  for (unsigned c = 0; c < components(); ++c) {
    all_active = all_active && streams_[c].selection.active;
    all_done = all_done && is_done(streams_[c]);
  }
  if (all_active) lost_ = false;
  if (all_done && previous_.has_local()) {
    secure_wipe(&previous_.local, sizeof previous_.local);
    secure_wipe(&previous_.remote, sizeof previous_.remote);
    previous_ = Keys{};
  }
  if (moves) turn.sink.selected(socket(component), pair.remote);
}

void Agent::expire_consent(Component component, const Turn& turn) {
  const Selection& selection = streams_[index_of(component)].selection;
  if (selection.active && turn.now >= selection.consent_until) lose(component, turn);
}

// Nothing more is sent to where media went, until it answers or asks again.
void Agent::lose(Component component, const Turn& turn) {
  Stream& stream = streams_[index_of(component)];
  Selection& selection = stream.selection;
  if (Pair* pair = stream.list.find(selection.remote);
      pair != nullptr && !selection.previous && is_full()) {
    pair->state = IcePairState::kFailed;
    pair->in_flight = false;
    pair->nominating = false;
  }
  const bool was_active = selection.active;
  selection.active = false;
  lost_ = true;
  if (was_active) turn.sink.selected(socket(component), SocketAddress{});
}

void Agent::check_consent(Component component, const Turn& turn) {
  Stream& stream = streams_[index_of(component)];
  Selection& selection = stream.selection;
  if (!is_full() || !selection.active || turn.now < selection.next_check) return;
  follow_overdue(component, turn);
  selection.next_check = turn.now + jittered(kConsentInterval);
  const Keys& keys = selection.previous ? previous_ : keys_;
  if (!keys.has_remote() || (!selection.previous && !remote_ready_)) return;
  if (controlling_ && !selection.previous && has_rival(stream, turn.now)) {
    selection.next_check = turn.now + kProbeInterval;
  }
  selection.unanswered = static_cast<std::uint8_t>(std::min(selection.unanswered + 1, 255));
  CheckFields fields;
  fields.transaction = new_transaction();
  fields.priority = priority_towards(selection.remote, CandidateType::kPeerReflexive, component);
  fields.tie_breaker = tie_breaker_;
  fields.controlling = controlling_;
  // A NAT may have given us another address: the remote end then follows with this check.
  fields.use_candidate = controlling_ && !selection.previous;
  selection.checks[selection.sent++ % selection.checks.size()] = fields.transaction;
  MessageBuffer buffer;
  transmit(component, selection.remote, write_check(buffer, keys, fields), turn);
}

}  // namespace turnpike::ice
