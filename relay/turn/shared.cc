#include "relay/turn/shared.h"

#include <algorithm>

namespace turnpike::turn {

const std::atomic<std::uint32_t>& OwnerCounts::cell(unsigned row, std::uint64_t owner) const {
  return (*rows_)[row][(owner >> (15 * row)) % kColumns];
}

std::atomic<std::uint32_t>& OwnerCounts::cell(unsigned row, std::uint64_t owner) {
  return (*rows_)[row][(owner >> (15 * row)) % kColumns];
}

bool OwnerCounts::add(std::uint64_t owner, std::uint32_t max) {
  std::uint32_t least = UINT32_MAX;
  for (unsigned row = 0; row < kRows; ++row) {
    least = std::min(least, cell(row, owner).fetch_add(1, std::memory_order_relaxed));
  }
  if (max == 0 || least < max) return true;
  remove(owner);
  return false;
}

void OwnerCounts::remove(std::uint64_t owner) {
  for (unsigned row = 0; row < kRows; ++row) {
    cell(row, owner).fetch_sub(1, std::memory_order_relaxed);
  }
}

std::uint32_t OwnerCounts::count(std::uint64_t owner) const {
  std::uint32_t least = UINT32_MAX;
  for (unsigned row = 0; row < kRows; ++row) {
    least = std::min(least, cell(row, owner).load(std::memory_order_relaxed));
  }
  return least;
}

OwnerRates::Entry& OwnerRates::at(std::uint64_t owner, std::int64_t now) {
  auto& set = sets_[owner % kSets];
  for (;;) {
    Entry* fullest = nullptr;
    std::int64_t full_at = 0;
    for (Entry& entry : set) {
      if (entry.owner.load(std::memory_order_relaxed) == owner) return entry;
      const std::int64_t its = entry.full_at.load(std::memory_order_relaxed);
      if (fullest != nullptr && its >= full_at) continue;
      fullest = &entry;
      full_at = its;
    }
    std::uint64_t leaves = fullest->owner.load(std::memory_order_relaxed);
    if (leaves == owner) return *fullest;
    // Another shard may want the place at this moment: who is second looks again.
    if (!fullest->owner.compare_exchange_strong(leaves, owner, std::memory_order_relaxed)) continue;
    if (full_at > now) fullest->full_at.compare_exchange_strong(full_at, now);
    return *fullest;
  }
}

bool OwnerRates::take(std::uint64_t owner, Instant now, Nanoseconds price, Nanoseconds burst) {
  const std::int64_t at_once = now.time_since_epoch().count();
  std::atomic<std::int64_t>& full_at = at(owner, at_once).full_at;
  std::int64_t before = full_at.load(std::memory_order_relaxed);
  for (;;) {
    const std::int64_t after = std::max(before, at_once) + price.count();
    if (after - at_once > burst.count()) return false;
    if (full_at.compare_exchange_weak(before, after, std::memory_order_relaxed)) return true;
  }
}

bool Reservations::add(const Entry& entry) {
  for (Place& place : places_) {
    std::uint32_t expected = kFree;
    if (!place.state.compare_exchange_strong(expected, kBusy, std::memory_order_acquire)) continue;
    place.owner.store(entry.owner, std::memory_order_relaxed);
    place.reservation.store(entry.reservation, std::memory_order_relaxed);
    place.token.store(entry.token, std::memory_order_release);
    place.state.store(kReady, std::memory_order_release);
    return true;
  }
  return false;
}

// Nobody but the owner makes a place busy: it would look taken to him meanwhile.
std::optional<Reservations::Entry> Reservations::take(std::uint64_t token, std::uint64_t owner) {
  for (Place& place : places_) {
    if (token == 0 || place.token.load(std::memory_order_acquire) != token) continue;
    if (place.owner.load(std::memory_order_relaxed) != owner) continue;
    std::uint32_t expected = kReady;
    if (!place.state.compare_exchange_strong(expected, kBusy, std::memory_order_acquire)) continue;
    const Entry entry{place.token.load(std::memory_order_relaxed),
                      place.reservation.load(std::memory_order_relaxed),
                      place.owner.load(std::memory_order_relaxed)};
    if (entry.token != token) {  // given to somebody else since it was looked at
      place.state.store(kReady, std::memory_order_release);
      continue;
    }
    place.token.store(0, std::memory_order_relaxed);
    place.state.store(kFree, std::memory_order_release);
    return entry;
  }
  return std::nullopt;
}

bool Reservations::has(std::uint64_t token) const {
  return std::any_of(places_.begin(), places_.end(), [token](const Place& place) {
    return place.token.load(std::memory_order_acquire) == token;
  });
}

}  // namespace turnpike::turn
