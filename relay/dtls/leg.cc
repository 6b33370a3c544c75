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

/// Sends where the candidate is. A candidate that is not the last chance keeps its plaintext alerts
/// to itself: they would end the remote end's part in another one.
class HandshakeLeg::Out final : public DatagramOut {
 public:
  Out(const LegKey& key, const SocketAddress& to, bool is_last, HandshakeSink& sink)
      : key_(key), to_(to), is_last_(is_last), sink_(sink) {}

  void datagram(std::span<const std::uint8_t> bytes) override {
    std::span<const std::uint8_t> rest = bytes;
    DtlsRecord record;
    const bool is_alert =
        take_record(rest, record) && judge(record, DtlsRole::kUndecided) == RecordVerdict::kAlert;
    if (to_.is_set() && (is_last_ || !is_alert)) sink_.send(key_, to_, bytes);
  }

 private:
  const LegKey& key_;
  SocketAddress to_;
  bool is_last_;
  HandshakeSink& sink_;
};

bool HandshakeLeg::is_for(const Candidate& candidate, const SocketAddress& source,
                          bool ice_validated) const {
  if (ice_validated && candidate.ice_validated) return true;
  if (is_active()) return ice_validated || source == peer_;
  return source == candidate.source;
}

SocketAddress HandshakeLeg::address_of(const Candidate& candidate) const {
  return is_active() ? peer_ : candidate.source;
}

HandshakeLeg::Out HandshakeLeg::out_of(const Candidate& candidate, HandshakeSink& sink) const {
  const bool is_last = candidates_.size() <= 1 && (!is_active() || attempts_ >= kAttemptsMax);
  return {key_, address_of(candidate), is_last, sink};
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
  config_ = config;
  if (peer.is_set()) peer_ = peer;
  if (is_new) {
    begin_anew(now, sink);
    return;
  }
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

void HandshakeLeg::begin_anew(Instant now, HandshakeSink& sink) {
  drop_candidates();
  keys_are_present_ = false;
  attempts_ = 0;
  retry_at_ = Instant::max();
  earlier_failure_ = DtlsFailure::kNone;
  has_alert_ = false;
  if (shared_.certificates.find(config_.identity) == shared_.certificates.end()) {
    shared_.counters.failed[static_cast<std::size_t>(DtlsFailure::kProtocol)].add();
    note(DtlsState::kFailed, DtlsFailure::kProtocol, sink);
    return;
  }
  note(DtlsState::kWaiting, report_.last_failure, sink);
  if (is_active()) start_active(now, sink);
}

void HandshakeLeg::start_active(Instant now, HandshakeSink& sink) {
  retry_at_ = Instant::max();
  if (!peer_.is_set()) return;
  const auto certificate = shared_.certificates.find(config_.identity);
  if (certificate == shared_.certificates.end()) return;
  if (shared_.half_open >= shared_.limits.half_open_max) {
    shared_.counters.failed[static_cast<std::size_t>(DtlsFailure::kBusy)].add();
    retry_at_ = now + kRetryAfter;
    note(report_.state, DtlsFailure::kBusy, sink);
    return;
  }
  if (attempts_++ == 0) {
    first_attempt_ = now;
    shared_.counters.started.add();
  }
  auto candidate = std::make_unique<Candidate>();
  candidate->association =
      std::make_unique<DtlsAssociation>(certificate->second, DtlsRole::kActive);
  candidate->started = first_attempt_;
  candidate->gives_up = first_attempt_ + Handshakes::kPatience;
  candidates_.push_back(std::move(candidate));
  ++shared_.half_open;
  note(DtlsState::kHandshaking, report_.last_failure, sink);
  Out out = out_of(*candidates_.back(), sink);
  candidates_.back()->association->start(now, out);
}

void HandshakeLeg::close(HandshakeSink& sink) {
  drop_candidates();
  if (established_ == nullptr) return;
  Out out = out_of(*established_, sink);
  established_->association->shut_down(Instant{}, out);
  stop_lingering();
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
      if (ice_validated) candidates_[i]->source = source;
      fate = feed(i, datagram, now, sink);
    }
    if (fate == Fate::kWon) return;
    if (fate == Fate::kStays) ++i;
  }
  if (!taken) handle_late(source, ice_validated, datagram, now, sink);
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
  if (has_present_keys()) {
    drop_datagram();
    return;
  }
  const Binding binding = bind(key_, source, hello);
  const bool proven = shared_.cookies.verify(hello.cookie, binding, now);
  const bool needs_no_cookie = ice_validated && candidates_.empty() && hello.cookie.empty();
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
  note(DtlsState::kHandshaking, report_.last_failure, sink);
  feed(candidates_.size() - 1, datagram, now, sink);
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
  sink.send(key_, source, std::span(reply).first(bytes));
}

HandshakeLeg::Candidate* HandshakeLeg::add_passive(const SocketAddress& source, Instant now,
                                                   HandshakeSink& sink) {
  const auto certificate = shared_.certificates.find(config_.identity);
  if (certificate == shared_.certificates.end()) return nullptr;
  if (!make_room(source, now)) return nullptr;
  if (shared_.half_open >= shared_.limits.half_open_max) {
    shared_.counters.failed[static_cast<std::size_t>(DtlsFailure::kBusy)].add();
    note(report_.state, DtlsFailure::kBusy, sink);
    return nullptr;
  }
  if (candidates_.empty()) has_alert_ = false;
  auto candidate = std::make_unique<Candidate>();
  candidate->association =
      std::make_unique<DtlsAssociation>(certificate->second, DtlsRole::kPassive);
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
      drop_candidate(i);
      return true;
    }
  }
  return false;
}

/// Records for the association that has keys: only what is encrypted can be from its remote end.
void HandshakeLeg::handle_late(const SocketAddress& source, bool ice_validated,
                               std::span<const std::uint8_t> datagram, Instant now,
                               HandshakeSink& sink) {
  if (established_ == nullptr || !is_for(*established_, source, ice_validated)) {
    drop_datagram();
    return;
  }
  DtlsAssociation& association = *established_->association;
  const bool was_closed = association.phase() == DtlsAssociation::Phase::kClosed;
  Out out(key_, is_active() ? peer_ : source, true, sink);
  DtlsRecord record;
  while (take_record(datagram, record)) {
    if (record.epoch == 1) {
      association.handle(record.whole, now, out);
    } else if (judge(record, config_.role) == RecordVerdict::kAlert) {
      shared_.counters.alerts_ignored.add();
    }
  }
  const bool is_closed = association.phase() == DtlsAssociation::Phase::kClosed;
  if (is_closed && !was_closed && has_present_keys()) {
    note(DtlsState::kClosed, report_.last_failure, sink);
  }
}

// ---- What becomes of a candidate

HandshakeLeg::Fate HandshakeLeg::feed(std::size_t index, std::span<const std::uint8_t> datagram,
                                      Instant now, HandshakeSink& sink) {
  DtlsAssociation& association = *candidates_[index]->association;
  Out out = out_of(*candidates_[index], sink);
  DtlsRecord record;
  while (take_record(datagram, record)) {
    switch (judge(record, config_.role)) {
      case RecordVerdict::kPass:
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
  Candidate& candidate = *candidates_[index];
  if (!config_.remote.is_set()) {
    candidate.gives_up = std::max(candidate.gives_up, candidate.started + kHold);
    return Fate::kStays;
  }
  SrtpKeying receive;
  SrtpKeying send;
  const bool matches = candidate.association->export_keys(config_.remote, receive, send);
  if (matches) {
    win(index, receive, send, now, sink);
  } else {
    Out out = out_of(candidate, sink);
    candidate.association->shut_down(now, out);
    end(index, DtlsFailure::kFingerprint, now, sink);
  }
  secure_wipe(&receive, sizeof receive);
  secure_wipe(&send, sizeof send);
  return matches ? Fate::kWon : Fate::kGone;
}

void HandshakeLeg::win(std::size_t index, const SrtpKeying& receive, const SrtpKeying& send,
                       Instant now, HandshakeSink& sink) {
  established_ = std::move(candidates_[index]);
  drop_candidates();
  keys_are_present_ = true;
  lingers_until_ = now + Handshakes::kLinger;
  retry_at_ = Instant::max();
  HandshakeCounters& counters = shared_.counters;
  const Nanoseconds took = now - established_->started;
  const auto bucket =
      std::lower_bound(kHandshakeDurations.begin(), kHandshakeDurations.end(), took);
  counters.completed.add();
  counters.durations[static_cast<std::size_t>(bucket - kHandshakeDurations.begin())].add();
  counters.duration_us.add(static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(took).count()));
  sink.established(key_, config_.association, address_of(*established_), receive, send);
  note(DtlsState::kEstablished, report_.last_failure, sink);
}

void HandshakeLeg::end(std::size_t index, DtlsFailure failure, Instant now, HandshakeSink& sink) {
  drop_candidate(index);
  if (is_active() && may_be_forged(failure) && attempts_ < kAttemptsMax &&
      now + kRetryAfter < first_attempt_ + Handshakes::kPatience) {
    retry_at_ = now + kRetryAfter;
    earlier_failure_ = failure;
    return;
  }
  shared_.counters.failed[static_cast<std::size_t>(failure)].add();
  if (candidates_.empty()) note(DtlsState::kFailed, failure, sink);
}

void HandshakeLeg::drop_candidate(std::size_t index) {
  candidates_.erase(candidates_.begin() + static_cast<std::ptrdiff_t>(index));
  --shared_.half_open;
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

void HandshakeLeg::note(DtlsState state, DtlsFailure failure, HandshakeSink& sink) {
  if (state == report_.state && failure == report_.last_failure) return;
  report_ = {state, failure};
  sink.changed(key_, config_.association, state, failure);
}

// ---- Time

Instant HandshakeLeg::next_deadline() const {
  Instant next = std::min(retry_at_, lingers_until_);
  for (const auto& candidate : candidates_) {
    next = std::min({next, candidate->gives_up, candidate->association->next_deadline()});
  }
  return next;
}

void HandshakeLeg::on_deadline(Instant now, HandshakeSink& sink) {
  if (retry_at_ <= now) start_active(now, sink);
  for (std::size_t i = 0; i < candidates_.size();) {
    Candidate& candidate = *candidates_[i];
    Out out = out_of(candidate, sink);
    candidate.association->on_deadline(now, out);
    const bool failed = candidate.association->phase() == DtlsAssociation::Phase::kFailed;
    if (failed || candidate.gives_up <= now) {
      end(i, why_it_timed_out(), now, sink);
    } else {
      ++i;
    }
  }
  if (lingers_until_ <= now) stop_lingering();
}

void HandshakeLeg::stop_lingering() {
  established_.reset();
  lingers_until_ = Instant::max();
}

}  // namespace turnpike
