#include "relay/ice/agent.h"

#include <algorithm>
#include <utility>

#include "relay/core/bytes.h"

namespace turnpike::ice {

Agent::Agent(const SocketTag& id, const RandomBytes& random) : id_(id), random_(random) {
  id_.component = Component::kRtp;
  tie_breaker_ = random_u64();
}

Agent::~Agent() {
  secure_wipe(&config_.local.password, sizeof config_.local.password);
  secure_wipe(&config_.remote.password, sizeof config_.remote.password);
  for (Keys* keys : {&keys_, &previous_}) {
    secure_wipe(&keys->local, sizeof keys->local);
    secure_wipe(&keys->remote, sizeof keys->remote);
  }
}

SocketTag Agent::socket(Component component) const {
  SocketTag tag = id_;
  tag.component = component;
  return tag;
}

void Agent::update(const IceConfig& config, const LegFacts& facts, const Turn& turn) {
  const bool begins = config_.mode == IceMode::kOff;
  family_ = facts.family;
  both_families_ = facts.both_families;
  rtcp_mux_ = facts.rtcp_mux;
  if (begins) {
    controlling_ = config.controlling && config.mode == IceMode::kFull;
    keys_.set_local(config.local);
    patience_until_ = turn.now + kPatience;
  } else if (config.mode != config_.mode || config.local != config_.local ||
             (remote_ready_ && config.remote.is_set() && config.remote != config_.remote)) {
    restart(config, turn);
  }
  // The role is as checks have settled it (RFC 8445 section 9), unless signalling changes its mind:
  // it has heard that the other end is lite, say.
  if (!begins && (config.mode != config_.mode || config.controlling != config_.controlling)) {
    const bool controlling = config.controlling && config.mode == IceMode::kFull;
    if (controlling != controlling_) switch_role();
  }
  const IceCredentials known = config_.remote;
  config_ = config;
  if (!config.remote.is_set() && !begins && remote_ready_) config_.remote = known;
  // Credentials of the session before this one say that the remote end has not heard of it yet.
  if (config.remote.is_set() && !remote_ready_) {
    keys_.set_remote(config.remote);
    const bool stale = uses_previous() && keys_.remote_ufrag == previous_.remote_ufrag &&
                       keys_.remote.inner == previous_.remote.inner;
    remote_ready_ = !stale;
    if (remote_ready_) patience_until_ = turn.now + kPatience;
    if (known_since_ == Instant{}) known_since_ = turn.now;
  }
  if (rtcp_mux_) leave_rtcp(turn);
  add_candidates(config, turn);
  if (begins) adopt(facts, turn);
  run(turn);
}

// RFC 8445 section 9: a new session beside the pairs that media uses.
void Agent::restart(const IceConfig& config, const Turn& turn) {
  const bool in_use = std::any_of(streams_.begin(), streams_.end(), [](const Stream& stream) {
    return stream.selection.active && !stream.selection.previous;
  });
  const bool nothing_in_use =
      std::none_of(streams_.begin(), streams_.end(),
                   [](const Stream& stream) { return stream.selection.active; });
  // Of several restarts in a row only the session that media uses is of interest.
  if (in_use || nothing_in_use) previous_ = keys_;
  for (Stream& stream : streams_) {
    stream.list.clear();
    stream.first_valid = Instant{};
    if (!stream.selection.active) stream.selection = Selection{};
    stream.selection.previous = stream.selection.active;
  }
  keys_ = Keys{};
  keys_.set_local(config.local);
  remote_ready_ = false;
  heard_ = false;
  lost_ = false;
  failed_ = false;
  patience_until_ = turn.now + kPatience;
}

void Agent::adopt(const LegFacts& facts, const Turn& turn) {
  for (unsigned c = 0; c < components(); ++c) {
    if (!facts.present[c].is_set() || !has_socket_towards(facts.present[c])) continue;
    timed_ = true;  // by a process before this one
    Selection& selection = streams_[c].selection;
    selection.remote = facts.present[c];
    selection.active = true;
    selection.consent_until = turn.now + kConsentLife;
    // A process that goes on with many calls spreads their first checks over a second.
    selection.next_check = turn.now + Milliseconds(random_u64() % 1000);
  }
}

void Agent::add_candidates(const IceConfig& config, const Turn& turn) {
  const std::size_t count = std::min<std::size_t>(config.candidate_count, config.candidates.size());
  for (std::size_t i = 0; i < count; ++i) {
    const IceCandidate& candidate = config.candidates[i];
    const unsigned c = index_of(candidate.component);
    if (c >= components() || !has_socket_towards(candidate.address)) continue;
    if (!may_be_checked(candidate.address)) continue;
    CheckList& list = streams_[c].list;
    const bool is_new = list.find(candidate.address) == nullptr;
    if (list.add(candidate) != nullptr && is_new) {
      failed_ = false;
      patience_until_ = std::max(patience_until_, turn.now + kPatience);
    }
  }
}

void Agent::leave_rtcp(const Turn& turn) {
  Stream& rtcp = streams_[index_of(Component::kRtcp)];
  if (rtcp.selection.active) turn.sink.selected(socket(Component::kRtcp), SocketAddress{});
  rtcp.selection = Selection{};
  rtcp.list.clear();
  rtcp.first_valid = Instant{};
}

void Agent::run(const Turn& turn) {
  last_run_ = turn.now;
  for (unsigned c = 0; c < components(); ++c) expire_consent(static_cast<Component>(c), turn);
  time_out_checks(turn);
  for (unsigned c = 0; c < components(); ++c) {
    nominate(static_cast<Component>(c), turn);
    check_consent(static_cast<Component>(c), turn);
  }
  if (may_check() && turn.now >= next_slot_ && send_one(turn)) next_slot_ = turn.now + kPace;
  judge_failure(turn);
  settle_state(turn);
  note_connect_time(turn.now);
}

void Agent::judge_failure(const Turn& turn) {
  if (!may_check() || failed_ || turn.now < patience_until_) return;
  for (unsigned c = 0; c < components(); ++c) {
    const Stream& stream = streams_[c];
    const auto pairs = stream.list.pairs();
    failed_ =
        failed_ || (!is_done(stream) && std::none_of(pairs.begin(), pairs.end(), [](auto& pair) {
          return pair.is_open() || pair.in_flight;
        }));
  }
}

bool Agent::uses_previous() const {
  return std::any_of(streams_.begin(), streams_.end(), [](const Stream& stream) {
    return stream.selection.active && stream.selection.previous;
  });
}

IceState Agent::state_now() const {
  bool connected = true;
  for (unsigned c = 0; c < components(); ++c) {
    connected = connected && streams_[c].selection.active;
  }
  if (connected) return IceState::kConnected;
  if (lost_) return IceState::kLost;
  if (failed_) return IceState::kFailed;
  return may_check() || heard_ ? IceState::kChecking : IceState::kWaiting;
}

void Agent::settle_state(const Turn& turn) {
  const IceState state = state_now();
  if (state == state_) return;
  state_ = state;
  turn.sink.changed(id_, state);
}

void Agent::note_connect_time(Instant now) {
  if (timed_ || state_ != IceState::kConnected || known_since_ == Instant{}) return;
  timed_ = true;
  connect_time_ = now - known_since_;
}

std::optional<Nanoseconds> Agent::take_connect_time() {
  return std::exchange(connect_time_, std::nullopt);
}

Instant Agent::deadline_of(const Stream& stream) const {
  Instant due = Instant::max();
  const Selection& selection = stream.selection;
  if (selection.active) {
    due = std::min(due, selection.consent_until);
    if (is_full()) due = std::min(due, selection.next_check);
  }
  if (!may_check()) return due;
  bool nominating = false;
  for (const Pair& pair : stream.list.pairs()) {
    nominating = nominating || pair.nominating;
    if (pair.triggered != 0 || (pair.state == IcePairState::kWaiting && !is_done(stream))) {
      due = std::min(due, next_slot_);
    } else if (pair.in_flight) {
      due = std::min(
          due, pair.sends < kSendsMax ? std::max(pair.next_send, next_slot_) : pair.next_send);
    }
  }
  if (controlling_ && !is_done(stream) && !nominating && stream.first_valid != Instant{}) {
    due = std::min(due, stream.first_valid + kSettling);
  }
  return due;
}

Instant Agent::deadline() const {
  Instant due = Instant::max();
  bool done = true;
  for (unsigned c = 0; c < components(); ++c) {
    due = std::min(due, deadline_of(streams_[c]));
    done = done && is_done(streams_[c]);
  }
  if (may_check() && !done && !failed_ && patience_until_ > last_run_)
    due = std::min(due, patience_until_);
  return due;
}

bool Agent::is_validated(Component component, const SocketAddress& source) const {
  if (index_of(component) >= components()) return false;
  const Stream& stream = streams_[index_of(component)];
  if (stream.selection.active && stream.selection.remote == source) return true;
  const Pair* pair = stream.list.find(source);
  return pair != nullptr && pair->has_proof();
}

void Agent::report(TransportReport& out) const {
  out.ice = state_;
  out.controlling = controlling_;
  const Selection& rtp = streams_[0].selection;
  out.consent_until = rtp.active ? rtp.consent_until : Instant{};
  out.pair_count = 0;
  for (const bool selected : {true, false}) {
    for (unsigned c = 0; c < components(); ++c) {
      const Selection& selection = streams_[c].selection;
      const auto is_selected = [&](const Pair& pair) {
        return selection.active && selection.remote == pair.remote;
      };
      const auto add = [&](const SocketAddress& remote, CandidateType type, IcePairState state) {
        if (out.pair_count == out.pairs.size()) return;
        out.pairs[out.pair_count++] = {remote, static_cast<Component>(c), type, state, selected,
                                       {}};
      };
      // One of before a restart, or of a process before this one, is in no list.
      if (selected && selection.active && streams_[c].list.find(selection.remote) == nullptr) {
        add(selection.remote, CandidateType::kPeerReflexive, IcePairState::kSucceeded);
      }
      for (const Pair& pair : streams_[c].list.pairs()) {
        if (is_selected(pair) == selected) add(pair.remote, pair.type, pair.state);
      }
    }
  }
}

}  // namespace turnpike::ice
