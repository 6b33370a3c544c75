// What becomes of associations that are complete: who gets the leg's keys, who may yet get them,
// and how each of them ends.
#include <algorithm>
#include <array>
#include <utility>

#include "relay/core/bytes.h"
#include "relay/dtls/leg.h"

namespace turnpike {
namespace {

bool is_closed(const DtlsAssociation& association) {
  return association.phase() == DtlsAssociation::Phase::kClosed;
}

}  // namespace

// ---- Who has the keys

bool HandshakeLeg::try_to_win(CandidatePtr& candidate, Instant now, HandshakeSink& sink) {
  if (!candidate->association->is_of(config_.remote)) return false;
  win(std::move(candidate), now, sink);
  return true;
}

void HandshakeLeg::win(CandidatePtr winner, Instant now, HandshakeSink& sink) {
  SrtpKeying receive;
  SrtpKeying send;
  if (!winner->association->export_keys(config_.remote, receive, send)) {
    fail(DtlsFailure::kProtocol, sink);
    return;
  }
  CandidatePtr before = std::exchange(established_, std::move(winner));
  if (!std::exchange(established_->had_keys, true)) count(*established_);
  established_->session = config_.session;
  keys_are_present_ = true;
  goodbyes_changed_ = true;
  lingers_since_ = now;
  retry_at_ = Instant::max();
  release_losers(now, sink);
  if (before != nullptr) replace(std::move(before), now, sink);
  sink.established(key_, config_.association, address_of(*established_), receive, send);
  secure_wipe(&receive, sizeof receive);
  secure_wipe(&send, sizeof send);
  note(DtlsState::kEstablished, sink);
}

/// The end whose association has keys has another one now (RFC 6347 section 4.2.8).
bool HandshakeLeg::begins_again(const Candidate& finished) const {
  return !finished.active && finished.ice_validated &&
         finished.started >= established_->completed && finished.association->is_of(config_.remote);
}

/// Another end's may be that of a fork that is answered again.
void HandshakeLeg::replace(CandidatePtr before, Instant now, HandshakeSink& sink) {
  if (before->association == nullptr || before->association->is_of(config_.remote)) {
    part_with(*before, sink);
  } else {
    put_aside(std::move(before), now, sink);
  }
}

void HandshakeLeg::count(const Candidate& winner) {
  HandshakeCounters& counters = shared_.counters;
  const Nanoseconds took = winner.completed - winner.started;
  const auto bucket =
      std::lower_bound(kHandshakeDurations.begin(), kHandshakeDurations.end(), took);
  counters.completed.add();
  counters.durations[static_cast<std::size_t>(bucket - kHandshakeDurations.begin())].add();
  counters.duration_us.add(static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(took).count()));
}

/// A fork that has done its part, or is about to, does not begin again by itself when it turns out
/// to be the one that is answered last.
void HandshakeLeg::release_losers(Instant now, HandshakeSink& sink) {
  for (std::size_t i = 0; i < candidates_.size();) {
    const DtlsAssociation& association = *candidates_[i]->association;
    if (association.phase() == DtlsAssociation::Phase::kComplete) {
      put_aside(take_candidate(i), now, sink);
    } else if (!candidates_[i]->active && association.is_past_first_flight()) {
      ++i;
    } else {
      take_candidate(i);
    }
  }
}

/// An association with the end that is named now, and no other one than signalling means: whoever
/// comes back with another tls-id wants a new one.
bool HandshakeLeg::is_again(const Candidate& finished) const {
  return finished.association->is_of(config_.remote) && finished.active == is_active() &&
         (!finished.had_keys || finished.session == config_.session);
}

/// The end that signalling names now may have finished its handshake before.
bool HandshakeLeg::reinstate(Instant now, HandshakeSink& sink) {
  // Nobody else has had keys since.
  if (established_ != nullptr && established_->association != nullptr && is_again(*established_)) {
    win(std::move(established_), now, sink);
    return true;
  }
  for (std::size_t i = 0; i < reserve_.size(); ++i) {
    if (!is_again(*reserve_[i])) continue;
    CandidatePtr found = std::move(reserve_[i]);
    reserve_.erase(reserve_.begin() + static_cast<std::ptrdiff_t>(i));
    win(std::move(found), now, sink);
    return true;
  }
  return false;
}

// ---- What comes later

/// Records for associations that are complete: only what is encrypted can be from their remote
/// end. False when there is none that it could be for.
bool HandshakeLeg::handle_finished(const SocketAddress& source, bool ice_validated,
                                   std::span<const std::uint8_t> datagram, Instant now,
                                   HandshakeSink& sink) {
  bool taken = false;
  if (established_ != nullptr && established_->association != nullptr &&
      is_for(*established_, source, ice_validated)) {
    taken = true;
    feed_finished(*established_, source, datagram, now, sink);
    if (is_closed(*established_->association)) note_end(sink);
  }
  for (std::size_t i = 0; i < reserve_.size();) {
    Candidate& candidate = *reserve_[i];
    if (is_for(candidate, source, ice_validated)) {
      taken = true;
      feed_finished(candidate, source, datagram, now, sink);
    }
    if (is_closed(*candidate.association)) {
      part_with(candidate, sink);
      reserve_.erase(reserve_.begin() + static_cast<std::ptrdiff_t>(i));
      settle_lingering();
    } else {
      ++i;
    }
  }
  return taken;
}

void HandshakeLeg::feed_finished(Candidate& candidate, const SocketAddress& source,
                                 std::span<const std::uint8_t> datagram, Instant now,
                                 HandshakeSink& sink) {
  Out out(key_, candidate.active ? peer_ : source, true, candidate, sink);
  DtlsRecord record;
  while (take_record(datagram, record)) {
    if (record.epoch == 1) candidate.association->handle(record.whole, now, out);
  }
}

void HandshakeLeg::note_plain_alerts(std::span<const std::uint8_t> datagram) {
  DtlsRecord record;
  while (take_record(datagram, record)) {
    if (judge(record, config_.role) == RecordVerdict::kAlert) {
      shared_.counters.alerts_ignored.add();
    }
  }
}

/// The remote end of the association that had keys last has ended it.
void HandshakeLeg::note_end(HandshakeSink& sink) {
  const bool by_alert = established_->association->closed_by_alert();
  // A close_notify is answered with one, a fatal alert with nothing (RFC 5246 section 7.2).
  if (by_alert) established_->goodbye.length = 0;
  goodbyes_changed_ = true;
  part_with(*established_, sink);
  established_->association.reset();
  settle_lingering();
  if (!has_present_keys()) return;
  shared_.counters.closed.add();
  if (by_alert) {
    note({DtlsState::kClosed, DtlsFailure::kAlert, {}}, sink);
  } else {
    note(DtlsState::kClosed, sink);
  }
}

// ---- How they end

/// Its goodbye is written while there is an association: whoever sends it may not have one.
void HandshakeLeg::note_completion(Candidate& candidate, Instant now) {
  if (candidate.completed != Instant{}) return;
  candidate.completed = now;
  Goodbye& goodbye = candidate.goodbye;
  goodbye.length =
      static_cast<std::uint8_t>(candidate.association->write_goodbye(now, goodbye.data));
  goodbyes_changed_ = true;
}

void HandshakeLeg::part_with(Candidate& candidate, HandshakeSink& sink) {
  Goodbye& goodbye = candidate.goodbye;
  const SocketAddress to = address_of(candidate);
  if (goodbye.length == 0) return;
  if (to.is_set()) sink.send(key_, to, std::span(goodbye.data).first(goodbye.length));
  goodbye.length = 0;
  goodbyes_changed_ = true;
}

void HandshakeLeg::part_with_candidates(HandshakeSink& sink) {
  for (const CandidatePtr& candidate : candidates_) part_with(*candidate, sink);
  drop_candidates();
}

void HandshakeLeg::put_aside(CandidatePtr candidate, Instant now, HandshakeSink& sink) {
  if (reserve_.size() == Handshakes::kReserveMax) {
    const std::size_t last = least_wanted(*candidate);
    if (last == reserve_.size()) return part_with(*candidate, sink);
    part_with(*reserve_[last], sink);
    reserve_.erase(reserve_.begin() + static_cast<std::ptrdiff_t>(last));
  }
  candidate->gives_up = now + Handshakes::kReserve;
  reserve_.push_back(std::move(candidate));
  if (lingers_since_ == Instant::max()) lingers_since_ = now;
  goodbyes_changed_ = true;
}

/// Who gives way to another one: of those that never had the media, the oldest of the host that
/// then has most of them. Whoever sits behind the same NAT as an end can shake hands too, with any
/// certificate: he pushes out what came from his own address. The size of the reserve: the
/// newcomer.
std::size_t HandshakeLeg::least_wanted(const Candidate& newcomer) const {
  const auto of_host = [&](const IpAddress& ip) {
    return std::count_if(reserve_.begin(), reserve_.end(),
                         [&](const CandidatePtr& other) {
                           return !other->had_keys && address_of(*other).ip == ip;
                         }) +
           (!newcomer.had_keys && address_of(newcomer).ip == ip ? 1 : 0);
  };
  std::size_t worst = newcomer.had_keys ? 0 : reserve_.size();
  std::ptrdiff_t most = 0;
  for (std::size_t i = 0; i < reserve_.size(); ++i) {
    if (reserve_[i]->had_keys) continue;
    const auto count = of_host(address_of(*reserve_[i]).ip);
    if (count <= most) continue;
    most = count;
    worst = i;
  }
  return worst;
}

void HandshakeLeg::expire_reserve(Instant now, HandshakeSink& sink) {
  while (!reserve_.empty() && reserve_.front()->gives_up <= now) {
    part_with(*reserve_.front(), sink);
    reserve_.erase(reserve_.begin());
    settle_lingering();
  }
}

void HandshakeLeg::empty_reserve(HandshakeSink& sink) {
  for (const CandidatePtr& candidate : reserve_) part_with(*candidate, sink);
  reserve_.clear();
  settle_lingering();
}

void HandshakeLeg::settle_lingering() {
  const bool keeps = established_ != nullptr && established_->association != nullptr;
  if (!keeps && reserve_.empty()) lingers_since_ = Instant::max();
}

/// The keys that it gave cannot be used. The remote end hears that it is over, and we begin again
/// where it is for us to begin; otherwise its ClientHello is waited for, and missed.
void HandshakeLeg::renew(std::uint32_t association, Instant now, HandshakeSink& sink) {
  if (!has_present_keys() || association != config_.association) return;
  keys_are_present_ = false;
  goodbyes_changed_ = true;
  part_with(*established_, sink);
  established_->association.reset();
  settle_lingering();
  attempts_ = 0;
  earlier_failure_ = DtlsFailure::kNone;
  note(candidates_.empty() ? DtlsState::kWaiting : DtlsState::kHandshaking, sink);
  if (is_active() && candidates_.empty()) start_active(now, sink);
  expect_hello(now);
}

void HandshakeLeg::stop_lingering(HandshakeSink& sink) {
  empty_reserve(sink);
  if (established_ != nullptr) established_->association.reset();
  lingers_since_ = Instant::max();
}

void HandshakeLeg::tell_goodbyes(HandshakeSink& sink) {
  if (!std::exchange(goodbyes_changed_, false)) return;
  std::array<Goodbye, kGoodbyesMax> all;
  std::size_t count = 0;
  const auto add = [&](const Candidate& candidate, bool has_keys) {
    if (candidate.goodbye.length == 0 || count == all.size()) return;
    Goodbye& goodbye = all[count++];
    goodbye = candidate.goodbye;
    goodbye.to = address_of(candidate);
    goodbye.has_keys = has_keys;
  };
  if (established_ != nullptr) add(*established_, true);
  for (const CandidatePtr& candidate : reserve_) add(*candidate, false);
  for (const CandidatePtr& candidate : candidates_) add(*candidate, false);
  sink.goodbyes(key_, std::span(all).first(count));
}

}  // namespace turnpike
