// The candidate pairs of one component (RFC 8445 section 6.1.2): each remote candidate with our one
// local candidate of its address family. Bounded; hides order and eviction. Is not a state machine:
// agent.h moves the pairs.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "relay/wire/stun.h"
#include "turnpike/time.h"
#include "turnpike/transport.h"

namespace turnpike::ice {

/// Candidates that signalling did not name, per component.
constexpr std::size_t kPeerReflexiveMax = 8;

struct Pair {
  SocketAddress remote;
  std::uint32_t remote_priority = 0;
  CandidateType type = CandidateType::kHost;
  IcePairState state = IcePairState::kWaiting;

  // Our check.
  bool in_flight = false;         // it is repeated until it is answered or times out
  bool sent_controlling = false;  // the role and nomination that it was written with
  bool sent_use_candidate = false;
  bool nominating = false;      // we want it nominated (RFC 8445 section 8.1.1)
  std::uint8_t sends = 0;       // of the latest transaction; 0: its answer is of no interest
  std::uint32_t triggered = 0;  // place in the triggered-check queue; 0: not in it
  stun::TransactionId transaction{};
  Nanoseconds timeout{};
  Instant next_send{};
  Instant validated_at{};  // of the latest success; Instant{}: never

  // Their checks.
  bool flagged = false;  // the latest had USE-CANDIDATE
  bool claims = false;   // and the one before it had not: media is asked to move here
  Instant heard_at{};
  Instant flagged_at{};

  bool is_heard() const { return heard_at != Instant{}; }
  bool has_proof() const { return is_heard() || validated_at != Instant{}; }
  /// Waits for its first check, or for the answer.
  bool is_open() const {
    return triggered != 0 || state == IcePairState::kWaiting || state == IcePairState::kInProgress;
  }
};

class CheckList {
 public:
  Pair* find(const SocketAddress& remote);
  const Pair* find(const SocketAddress& remote) const;
  Pair* find(const stun::TransactionId& transaction);
  /// A candidate of signalling; null when there is no room. One that was peer-reflexive becomes
  /// what signalling says.
  Pair* add(const IceCandidate& candidate);
  /// A source that signalling did not name; may take the place of one that is of least use.
  /// `keep` is not evicted. Null when there is no room.
  Pair* add_reflexive(const SocketAddress& remote, std::uint32_t priority,
                      const SocketAddress& keep);
  void clear() { count_ = 0; }
  std::span<Pair> pairs() { return {pairs_.data(), count_}; }
  std::span<const Pair> pairs() const { return {pairs_.data(), count_}; }

 private:
  std::array<Pair, kRemoteCandidatesMax + kPeerReflexiveMax> pairs_{};
  std::size_t count_ = 0;
};

/// Local preferences of our candidates: of the only one or the one of the preferred family, and of
/// the other (RFC 8421 section 4).
constexpr std::uint32_t kLocalPreference = 65535;
constexpr std::uint32_t kLesserLocalPreference = 65534;

/// RFC 8445 section 5.1.2.1.
std::uint32_t candidate_priority(CandidateType type, Component component,
                                 std::uint32_t local_preference);
/// RFC 8445 section 6.1.2.3, of a remote candidate and our own.
std::uint64_t pair_priority(std::uint32_t remote, std::uint32_t local, bool controlling);

/// Whether signalling may send our checks there: no privileged port, unspecified, multicast or
/// loopback address. Networks that are forbidden by configuration are control's to leave out.
bool may_be_checked(const SocketAddress& address);

}  // namespace turnpike::ice
