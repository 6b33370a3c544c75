#include "relay/turn/connection_ids.h"

namespace turnpike::turn {

ConnectionIds::ConnectionIds(std::uint32_t max)
    : max_(max), places_(std::make_unique<Place[]>(max)) {}

// Look-ups take a few microseconds with thousands of connections: requests are rarer than that.
ConnectionIds::Place* ConnectionIds::find(std::uint32_t id, const Place* besides) {
  for (std::uint32_t i = 0; i < max_; ++i) {
    const std::uint64_t state = places_[i].state.load(std::memory_order_acquire);
    const bool same = state != 0 && static_cast<std::uint32_t>(state) == id;
    if (same && &places_[i] != besides) return &places_[i];
  }
  return nullptr;
}

bool ConnectionIds::change(Place* place, std::uint32_t id, State from, State to) {
  std::uint64_t expected = pack(from, id);
  return place != nullptr &&
         place->state.compare_exchange_strong(expected, pack(to, id), std::memory_order_acq_rel);
}

bool ConnectionIds::add(std::uint32_t id, std::uint64_t owner) {
  if (id == 0 || find(id) != nullptr) return false;
  for (std::uint32_t i = 0; i < max_; ++i) {
    std::uint64_t free = 0;
    if (!places_[i].state.compare_exchange_strong(free, pack(kBusy, id),
                                                  std::memory_order_acq_rel)) {
      continue;
    }
    // Another shard may have had the same number in mind.
    if (find(id, &places_[i]) != nullptr) {
      places_[i].state.store(0, std::memory_order_release);
      return false;
    }
    places_[i].owner.store(owner, std::memory_order_relaxed);
    places_[i].state.store(pack(kMade, id), std::memory_order_release);
    return true;
  }
  return false;
}

void ConnectionIds::give(std::uint32_t id, std::uint64_t owner) {
  if (Place* const place = find(id)) place->owner.store(owner, std::memory_order_relaxed);
}

void ConnectionIds::await_bind(std::uint32_t id) {
  change(find(id), id, kMade, kWaiting);
}

ConnectionIds::Claim ConnectionIds::claim(std::uint32_t id, std::uint64_t owner) {
  Place* const place = find(id);
  if (place == nullptr || place->state.load(std::memory_order_acquire) != pack(kWaiting, id)) {
    return Claim::kUnknown;
  }
  if (place->owner.load(std::memory_order_relaxed) != owner) return Claim::kOthers;
  return change(place, id, kWaiting, kTaken) ? Claim::kClaimed : Claim::kUnknown;
}

bool ConnectionIds::expire(std::uint32_t id) {
  Place* const place = find(id);
  return change(place, id, kWaiting, kTaken) || change(place, id, kMade, kTaken);
}

void ConnectionIds::remove(std::uint32_t id) {
  if (Place* const place = find(id)) place->state.store(0, std::memory_order_release);
}

}  // namespace turnpike::turn
