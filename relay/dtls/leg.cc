#include "relay/dtls/leg.h"

#include <algorithm>
#include <utility>

#include "relay/core/bytes.h"

namespace turnpike {
namespace {

/// What a cookie is bound to: leg, source and the client's random number.
using Binding = std::array<std::uint8_t, 11 + 19 + 32>;

Binding bind(const LegKey& key, const SocketAddress& source, const HelloStart& hello) {
  Binding binding{};
  std::uint8_t* at = binding.data();
  write_be16(at, key.shard);
  write_be32(at + 2, key.slot);
  write_be32(at + 6, key.generation);
  at[10] = static_cast<std::uint8_t>(key.side);
  at[11] = static_cast<std::uint8_t>(source.ip.family);
  std::copy(source.ip.bytes.begin(), source.ip.bytes.end(), at + 12);
  write_be16(at + 28, source.port);
  std::copy(hello.random.begin(), hello.random.end(), at + 30);
  return binding;
}

/// Failures that a forged plaintext message could have caused.
bool may_be_forged(DtlsFailure failure) {
  return failure == DtlsFailure::kProtocol || failure == DtlsFailure::kVersion ||
         failure == DtlsFailure::kNoCipher || failure == DtlsFailure::kAlert;
}

}  // namespace

void HandshakeLeg::Out::datagram(std::span<const std::uint8_t> bytes) {
  std::span<const std::uint8_t> rest = bytes;
  DtlsRecord record;
  const bool is_alert =
      take_record(rest, record) && judge(record, DtlsRole::kUndecided) == RecordVerdict::kAlert;
  if (!to_.is_set() || (is_alert && !is_last_)) return;
  std::uint8_t& sent = candidate_.flights.sent;
  sent = std::max(sent, flight_of(record, candidate_.active));
  sink_.send(key_, to_, bytes);
}

bool HandshakeLeg::is_for(const Candidate& candidate, const SocketAddress& source,
                          bool ice_validated) const {
  if (candidate.active) return ice_validated || source == peer_;
  if (source == candidate.source) return true;
  // An end may move to another address that ICE has validated, but not to one of another fork.
  return ice_validated && candidate.ice_validated && !is_taken(source);
}

bool HandshakeLeg::is_taken(const SocketAddress& source) const {
  const auto is_there = [&](const CandidatePtr& candidate) { return candidate->source == source; };
  return std::any_of(candidates_.begin(), candidates_.end(), is_there) ||
         std::any_of(reserve_.begin(), reserve_.end(), is_there) ||
         (established_ != nullptr && is_there(established_));
}

SocketAddress HandshakeLeg::address_of(const Candidate& candidate) const {
  return candidate.active ? peer_ : candidate.source;
}

HandshakeLeg::Out HandshakeLeg::out_of(Candidate& candidate, HandshakeSink& sink) const {
  const bool is_last =
      candidates_.size() <= 1 && !has_present_keys() && (!is_active() || attempts_ >= kAttemptsMax);
  return {key_, address_of(candidate), is_last, candidate, sink};
}

// ---- What signalling says

void HandshakeLeg::update(DtlsConfig config, const SocketAddress& peer, Instant now,
                          HandshakeSink& sink) {
  const bool is_first = !config_.enabled;
  const bool same_number = !is_first && config.association == config_.association;
  // An offer within a session says actpass again, and may come without a fingerprint.
  if (same_number && config.role == DtlsRole::kUndecided) config.role = config_.role;
  if (same_number && !config.remote.is_set()) config.remote = config_.remote;
  const bool role_changed = (config.role == DtlsRole::kActive) != is_active();
  const bool is_new = !same_number || role_changed || config.identity != config_.identity ||
                      (config_.remote.is_set() && config.remote != config_.remote);
  const bool peer_moved = peer.is_set() && peer != peer_;
  const DtlsConfig before = std::exchange(config_, config);
  if (peer.is_set()) peer_ = peer;
  if (is_new) {
    begin_anew(before, now, sink);
  } else {
    go_on(peer_moved, now, sink);
  }
  expect_hello(now);
}

void HandshakeLeg::go_on(bool peer_moved, Instant now, HandshakeSink& sink) {
  for (std::size_t i = 0; i < candidates_.size();) {
    const bool held = candidates_[i]->association->phase() == DtlsAssociation::Phase::kComplete;
    const Fate fate = held ? settle(i, now, sink) : Fate::kStays;
    if (fate == Fate::kWon) return;
    if (fate == Fate::kStays) ++i;
  }
  if (is_active() && peer_moved) {
    for (const auto& candidate : candidates_) {
      Out out = out_of(*candidate, sink);
      candidate->association->resend(now, out);
    }
  }
  const bool idle = candidates_.empty() && !has_present_keys() && retry_at_ == Instant::max();
  if (is_active() && idle && (peer_moved || report_.state != DtlsState::kFailed)) {
    attempts_ = 0;
    earlier_failure_ = DtlsFailure::kNone;
    start_active(now, sink);
  }
}

void HandshakeLeg::begin_anew(const DtlsConfig& before, Instant now, HandshakeSink& sink) {
  const bool same_identity = config_.identity == before.identity;
  // Another fork has been answered, it seems: what the forks have done so far counts.
  const bool fork = same_identity && before.remote.is_set() && config_.remote.is_set() &&
                    before.remote != config_.remote;
  const bool both_passive = before.role == DtlsRole::kPassive && config_.role == DtlsRole::kPassive;
  if (!fork || !both_passive) part_with_candidates(sink);
  if (!same_identity) empty_reserve(sink);
  goodbyes_changed_ = goodbyes_changed_ || keys_are_present_;
  keys_are_present_ = false;
  attempts_ = 0;
  retry_at_ = Instant::max();
  hello_due_ = Instant::max();
  earlier_failure_ = DtlsFailure::kNone;
  has_alert_ = false;
  if (fork && reinstate(now, sink)) return;
  if (certificate() == nullptr) {
    fail(DtlsFailure::kNoIdentity, sink);
    return;
  }
  note(candidates_.empty() ? DtlsState::kWaiting : DtlsState::kHandshaking, sink);
  if (is_active()) start_active(now, sink);
}

/// From when on a passive leg lacks nothing but the ClientHello.
void HandshakeLeg::expect_hello(Instant now) {
  const bool waits = config_.role == DtlsRole::kPassive && config_.remote.is_set() &&
                     peer_.is_set() && candidates_.empty() && report_.state == DtlsState::kWaiting;
  if (!waits) {
    hello_due_ = Instant::max();
  } else if (hello_due_ == Instant::max()) {
    hello_due_ = now + Handshakes::kPatience;
    has_asked_for_cookie_ = false;
  }
}

std::shared_ptr<const DtlsCertificate> HandshakeLeg::certificate() const {
  const auto found = shared_.certificates.find(config_.identity);
  return found == shared_.certificates.end() ? nullptr : found->second;
}

void HandshakeLeg::start_active(Instant now, HandshakeSink& sink) {
  retry_at_ = Instant::max();
  if (!peer_.is_set()) return;
  auto ours = certificate();
  if (ours == nullptr) {
    fail(DtlsFailure::kNoIdentity, sink);
    return;
  }
  if (shared_.half_open >= shared_.limits.half_open_max) {
    shared_.counters.failed[static_cast<std::size_t>(DtlsFailure::kBusy)].add();
    retry_at_ = now + kRetryAfter;
    note({report_.state, DtlsFailure::kBusy, {}}, sink);
    return;
  }
  if (attempts_++ == 0) {
    first_attempt_ = now;
    shared_.counters.started.add();
  }
  auto candidate = std::make_unique<Candidate>();
  candidate->association = std::make_unique<DtlsAssociation>(std::move(ours), DtlsRole::kActive);
  candidate->active = true;
  candidate->started = first_attempt_;
  candidate->gives_up = first_attempt_ + Handshakes::kPatience;
  candidates_.push_back(std::move(candidate));
  ++shared_.half_open;
  note(DtlsState::kHandshaking, sink);
  Out out = out_of(*candidates_.back(), sink);
  candidates_.back()->association->start(now, out);
}

void HandshakeLeg::close(HandshakeSink& sink) {
  part_with_candidates(sink);
  empty_reserve(sink);
  if (established_ != nullptr) part_with(*established_, sink);
  established_.reset();
}

// ---- What comes in

void HandshakeLeg::handle(const SocketAddress& source, bool ice_validated,
                          std::span<const std::uint8_t> datagram, Instant now,
                          HandshakeSink& sink) {
  std::span<const std::uint8_t> rest = datagram;
  DtlsRecord first;
  if (!take_record(rest, first)) {
    drop_datagram();
    return;
  }
  HelloStart hello;
  if (!is_active() && parse_hello(first, hello)) {
    handle_hello(first, hello, source, ice_validated, datagram, now, sink);
    return;
  }
  // Several candidates may be at the same place: those that it is not for can only end themselves.
  bool taken = false;
  for (std::size_t i = 0; i < candidates_.size();) {
    Fate fate = Fate::kStays;
    if (is_for(*candidates_[i], source, ice_validated)) {
      taken = true;
      // Whose it is of several only the records of each could tell.
      if (ice_validated && candidates_.size() == 1) candidates_[i]->source = source;
      fate = feed(i, datagram, now, sink);
    }
    if (fate == Fate::kWon) return;
    if (fate == Fate::kStays) ++i;
  }
  const bool late = handle_finished(source, ice_validated, datagram, now, sink);
  if (taken) return;
  if (late) {
    note_plain_alerts(datagram);
  } else {
    drop_datagram();
  }
}

void HandshakeLeg::handle_hello(const DtlsRecord& record, const HelloStart& hello,
                                const SocketAddress& source, bool ice_validated,
                                std::span<const std::uint8_t> datagram, Instant now,
                                HandshakeSink& sink) {
  for (std::size_t i = 0; i < candidates_.size(); ++i) {
    if (candidates_[i]->random == hello.random && is_for(*candidates_[i], source, ice_validated)) {
      if (ice_validated) candidates_[i]->source = source;
      feed(i, datagram, now, sink);
      return;
    }
  }
  if (has_present_keys() && !may_begin_again(hello, ice_validated)) {
    drop_datagram();
    return;
  }
  const Binding binding = bind(key_, source, hello);
  const bool proven = shared_.cookies.verify(hello.cookie, binding, now);
  const bool needs_no_cookie =
      ice_validated && candidates_.empty() && hello.cookie.empty() && !has_present_keys();
  if (!proven && !needs_no_cookie) {
    ask_for_cookie(record, hello, source, now, sink);
    return;
  }
  Candidate* candidate = add_passive(source, now, sink);
  if (candidate == nullptr) {
    drop_datagram();
    return;
  }
  candidate->ice_validated = ice_validated;
  candidate->random = hello.random;
  if (proven) candidate->association->expect_cookie(hello.cookie, record.sequence, now);
  if (!has_present_keys()) note(DtlsState::kHandshaking, sink);
  feed(candidates_.size() - 1, datagram, now, sink);
}

/// A browser that gives its transport up begins anew with all that signalling has said, and at a
/// place that ICE has validated. The association that has keys goes on until then.
bool HandshakeLeg::may_begin_again(const HelloStart& hello, bool ice_validated) const {
  return ice_validated && hello.random != established_->random;
}

void HandshakeLeg::ask_for_cookie(const DtlsRecord& record, const HelloStart& hello,
                                  const SocketAddress& source, Instant now, HandshakeSink& sink) {
  const Cookie cookie = shared_.cookies.make(bind(key_, source, hello), now);
  std::array<std::uint8_t, kHelloVerifyBytesMax> reply;
  const std::size_t bytes = write_hello_verify(record, cookie, reply);
  if (bytes > record.whole.size()) {
    drop_datagram();
    return;
  }
  shared_.counters.cookies_sent.add();
  has_asked_for_cookie_ = true;
  sink.send(key_, source, std::span(reply).first(bytes));
}

HandshakeLeg::Candidate* HandshakeLeg::add_passive(const SocketAddress& source, Instant now,
                                                   HandshakeSink& sink) {
  auto ours = certificate();
  if (ours == nullptr || !make_room(source, now)) return nullptr;
  hello_due_ = Instant::max();
  if (shared_.half_open >= shared_.limits.half_open_max) {
    shared_.counters.failed[static_cast<std::size_t>(DtlsFailure::kBusy)].add();
    note({report_.state, DtlsFailure::kBusy, {}}, sink);
    return nullptr;
  }
  if (candidates_.empty()) has_alert_ = false;
  auto candidate = std::make_unique<Candidate>();
  candidate->association = std::make_unique<DtlsAssociation>(std::move(ours), DtlsRole::kPassive);
  candidate->source = source;
  candidate->started = now;
  candidate->gives_up = now + Handshakes::kPatience;
  candidates_.push_back(std::move(candidate));
  ++shared_.half_open;
  shared_.counters.started.add();
  return candidates_.back().get();
}

/// Whoever can receive here may take a place; nobody can keep the signalled address from one.
bool HandshakeLeg::make_room(const SocketAddress& source, Instant now) {
  if (candidates_.size() < shared_.limits.half_open_per_leg_max) return true;
  for (std::size_t i = 0; i < candidates_.size(); ++i) {  // oldest first
    const Candidate& candidate = *candidates_[i];
    if (candidate.source == peer_) continue;
    const bool stale = now - candidate.started >= kStale &&
                       candidate.association->phase() == DtlsAssociation::Phase::kHandshaking;
    if (stale || source == peer_) {
      shared_.counters.failed[static_cast<std::size_t>(DtlsFailure::kBusy)].add();
      take_candidate(i);
      return true;
    }
  }
  return false;
}

// ---- What becomes of a candidate

HandshakeLeg::Fate HandshakeLeg::feed(std::size_t index, std::span<const std::uint8_t> datagram,
                                      Instant now, HandshakeSink& sink) {
  Candidate& candidate = *candidates_[index];
  DtlsAssociation& association = *candidate.association;
  Out out = out_of(candidate, sink);
  DtlsRecord record;
  while (take_record(datagram, record)) {
    switch (judge(record, config_.role)) {
      case RecordVerdict::kPass:
        candidate.flights.heard =
            std::max(candidate.flights.heard, flight_of(record, !candidate.active));
        association.handle(record.whole, now, out);
        break;
      case RecordVerdict::kAlert:
        shared_.counters.alerts_ignored.add();
        has_alert_ = is_fatal_alert(record, alert_) || has_alert_;
        break;
      case RecordVerdict::kDrop:
        drop_datagram();
        break;
    }
  }
  switch (association.phase()) {
    case DtlsAssociation::Phase::kHandshaking:
      return Fate::kStays;
    case DtlsAssociation::Phase::kComplete:
      return settle(index, now, sink);
    case DtlsAssociation::Phase::kFailed:
      end(index, association.failure(), now, sink);
      return Fate::kGone;
    case DtlsAssociation::Phase::kClosed:
      end(index, DtlsFailure::kAlert, now, sink);
      return Fate::kGone;
  }
  return Fate::kStays;
}

/// The remote end of a complete association is the one of the SDP, or it is not, or nobody knows.
HandshakeLeg::Fate HandshakeLeg::settle(std::size_t index, Instant now, HandshakeSink& sink) {
  note_completion(*candidates_[index], now);
  if (!config_.remote.is_set()) {
    Candidate& candidate = *candidates_[index];
    candidate.gives_up = std::max(candidate.gives_up, candidate.started + kHold);
    return Fate::kStays;
  }
  CandidatePtr candidate = take_candidate(index);
  if (has_present_keys() && !begins_again(*candidate)) {
    put_aside(std::move(candidate), now, sink);
    return Fate::kGone;
  }
  if (try_to_win(candidate, now, sink)) return Fate::kWon;
  if (candidate->active) {
    part_with(*candidate, sink);
  } else {
    put_aside(std::move(candidate), now, sink);
  }
  fail(DtlsFailure::kFingerprint, sink);
  return Fate::kGone;
}

void HandshakeLeg::end(std::size_t index, DtlsFailure failure, Instant now, HandshakeSink& sink) {
  const CandidatePtr ended = take_candidate(index);
  if (ended->active && may_be_forged(failure) && attempts_ < kAttemptsMax &&
      now + kRetryAfter < first_attempt_ + Handshakes::kPatience) {
    retry_at_ = now + kRetryAfter;
    earlier_failure_ = failure;
    return;
  }
  fail(failure, sink, failure == DtlsFailure::kTimeout ? ended->flights : DtlsFlights{});
}

/// Those that lost to another do not count.
void HandshakeLeg::fail(DtlsFailure failure, HandshakeSink& sink, const DtlsFlights& flights) {
  if (has_present_keys()) return;
  shared_.counters.failed[static_cast<std::size_t>(failure)].add();
  if (candidates_.empty()) note({DtlsState::kFailed, failure, flights}, sink);
}

HandshakeLeg::CandidatePtr HandshakeLeg::take_candidate(std::size_t index) {
  CandidatePtr taken = std::move(candidates_[index]);
  candidates_.erase(candidates_.begin() + static_cast<std::ptrdiff_t>(index));
  --shared_.half_open;
  goodbyes_changed_ = goodbyes_changed_ || taken->goodbye.length != 0;
  return taken;
}

void HandshakeLeg::drop_candidates() {
  shared_.half_open -= candidates_.size();
  candidates_.clear();
}

DtlsFailure HandshakeLeg::why_it_timed_out() const {
  if (earlier_failure_ != DtlsFailure::kNone) return earlier_failure_;
  if (!has_alert_) return DtlsFailure::kTimeout;
  return alert_ == kAlertProtocolVersion ? DtlsFailure::kVersion : DtlsFailure::kAlert;
}

void HandshakeLeg::note(DtlsState state, HandshakeSink& sink) {
  note({state, report_.last_failure, report_.flights}, sink);
}

void HandshakeLeg::note(const Handshakes::Report& report, HandshakeSink& sink) {
  if (report == report_) return;
  report_ = report;
  sink.changed(key_, config_.association, report.state, report.last_failure, report.flights);
}

// ---- Time

Instant HandshakeLeg::next_deadline() const {
  Instant next = std::min(retry_at_, hello_due_);
  for (const auto& candidate : candidates_) {
    next = std::min({next, candidate->gives_up, candidate->association->next_deadline()});
  }
  for (const auto& candidate : reserve_) next = std::min(next, candidate->gives_up);
  return next;
}

void HandshakeLeg::on_deadline(Instant now, HandshakeSink& sink) {
  if (retry_at_ <= now) start_active(now, sink);
  if (hello_due_ <= now) {
    hello_due_ = Instant::max();
    const DtlsFlights asked{2, 1};
    fail(DtlsFailure::kNoClientHello, sink, has_asked_for_cookie_ ? asked : DtlsFlights{});
  }
  for (std::size_t i = 0; i < candidates_.size();) {
    Candidate& candidate = *candidates_[i];
    Out out = out_of(candidate, sink);
    candidate.association->on_deadline(now, out);
    const bool failed = candidate.association->phase() == DtlsAssociation::Phase::kFailed;
    if (failed || candidate.gives_up <= now) {
      part_with(candidate, sink);
      end(i, why_it_timed_out(), now, sink);
    } else {
      ++i;
    }
  }
  expire_reserve(now, sink);
}

}  // namespace turnpike
