#include "relay/ice/check_list.h"

#include <algorithm>

namespace turnpike::ice {
namespace {

constexpr std::uint16_t kFirstUnprivilegedPort = 1024;

// Of two peer-reflexive pairs, which one goes first: never heard of as valid, failed, quiet.
bool is_less_useful(const Pair& a, const Pair& b) {
  const bool a_failed = a.state == IcePairState::kFailed;
  const bool b_failed = b.state == IcePairState::kFailed;
  if (a_failed != b_failed) return a_failed;
  const bool a_valid = a.validated_at != Instant{};
  const bool b_valid = b.validated_at != Instant{};
  if (a_valid != b_valid) return b_valid;
  return a.heard_at < b.heard_at;
}

}  // namespace

Pair* CheckList::find(const SocketAddress& remote) {
  const auto all = pairs();
  const auto it =
      std::find_if(all.begin(), all.end(), [&](const Pair& pair) { return pair.remote == remote; });
  return it == all.end() ? nullptr : &*it;
}

const Pair* CheckList::find(const SocketAddress& remote) const {
  const auto all = pairs();
  const auto it =
      std::find_if(all.begin(), all.end(), [&](const Pair& pair) { return pair.remote == remote; });
  return it == all.end() ? nullptr : &*it;
}

Pair* CheckList::find(const stun::TransactionId& transaction) {
  const auto all = pairs();
  const auto it = std::find_if(all.begin(), all.end(), [&](const Pair& pair) {
    return pair.sends != 0 && pair.transaction == transaction;
  });
  return it == all.end() ? nullptr : &*it;
}

Pair* CheckList::add(const IceCandidate& candidate) {
  Pair* pair = find(candidate.address);
  if (pair == nullptr) {
    const auto named = std::count_if(pairs().begin(), pairs().end(), [](const Pair& other) {
      return other.type != CandidateType::kPeerReflexive;
    });
    if (count_ == pairs_.size() || static_cast<std::size_t>(named) == kRemoteCandidatesMax) {
      return nullptr;
    }
    pair = &pairs_[count_++];
    *pair = Pair{};
    pair->remote = candidate.address;
  }
  pair->remote_priority = candidate.priority;
  pair->type = candidate.type;
  return pair;
}

Pair* CheckList::add_reflexive(const SocketAddress& remote, std::uint32_t priority,
                               const SocketAddress& keep) {
  std::size_t reflexive = 0;
  Pair* worst = nullptr;
  for (Pair& pair : pairs()) {
    if (pair.type != CandidateType::kPeerReflexive) continue;
    ++reflexive;
    if (pair.remote != keep && (worst == nullptr || is_less_useful(pair, *worst))) worst = &pair;
  }
  Pair* pair = worst;
  if (reflexive < kPeerReflexiveMax && count_ < pairs_.size()) pair = &pairs_[count_++];
  if (pair == nullptr) return nullptr;
  *pair = Pair{};
  pair->remote = remote;
  pair->remote_priority = priority;
  pair->type = CandidateType::kPeerReflexive;
  return pair;
}

std::uint32_t candidate_priority(CandidateType type, Component component,
                                 std::uint32_t local_preference) {
  constexpr std::array<std::uint32_t, 4> kPreference = {126, 100, 110, 0};
  return (kPreference[static_cast<std::size_t>(type)] << 24) | (local_preference << 8) |
         (255U - index_of(component));
}

std::uint64_t pair_priority(std::uint32_t remote, std::uint32_t local, bool controlling) {
  const std::uint64_t g = controlling ? local : remote;
  const std::uint64_t d = controlling ? remote : local;
  return (std::min(g, d) << 32) + 2 * std::max(g, d) + (g > d ? 1 : 0);
}

bool may_be_checked(const SocketAddress& address) {
  return address.port >= kFirstUnprivilegedPort && !address.ip.is_unspecified() &&
         !address.ip.is_multicast() && !address.ip.is_loopback();
}

}  // namespace turnpike::ice
