#include "relay/turn/shared.h"

#include <algorithm>

namespace turnpike::turn {

const std::atomic<std::uint32_t>& OwnerCounts::cell(unsigned row, std::uint64_t owner) const {
  return (*rows_)[row][(owner >> (32 * row)) % kColumns];
}

std::atomic<std::uint32_t>& OwnerCounts::cell(unsigned row, std::uint64_t owner) {
  return (*rows_)[row][(owner >> (32 * row)) % kColumns];
}

bool OwnerCounts::add(std::uint64_t owner, std::uint32_t max) {
  const std::uint32_t first = cell(0, owner).fetch_add(1, std::memory_order_relaxed);
  const std::uint32_t second = cell(1, owner).fetch_add(1, std::memory_order_relaxed);
  if (max == 0 || std::min(first, second) < max) return true;
  remove(owner);
  return false;
}

void OwnerCounts::remove(std::uint64_t owner) {
  cell(0, owner).fetch_sub(1, std::memory_order_relaxed);
  cell(1, owner).fetch_sub(1, std::memory_order_relaxed);
}

std::uint32_t OwnerCounts::count(std::uint64_t owner) const {
  return std::min(cell(0, owner).load(std::memory_order_relaxed),
                  cell(1, owner).load(std::memory_order_relaxed));
}

bool Reservations::add(const Entry& entry) {
  for (Place& place : places_) {
    std::uint32_t expected = kFree;
    if (!place.state.compare_exchange_strong(expected, kBusy, std::memory_order_acquire)) continue;
    place.entry = entry;
    place.token.store(entry.token, std::memory_order_relaxed);
    place.state.store(kReady, std::memory_order_release);
    return true;
  }
  return false;
}

std::optional<Reservations::Entry> Reservations::take(std::uint64_t token, std::uint64_t owner) {
  for (Place& place : places_) {
    if (token == 0 || place.token.load(std::memory_order_relaxed) != token) continue;
    std::uint32_t expected = kReady;
    if (!place.state.compare_exchange_strong(expected, kBusy, std::memory_order_acquire)) continue;
    if (place.entry.token != token || place.entry.owner != owner) {
      place.state.store(kReady, std::memory_order_release);
      continue;
    }
    const Entry entry = place.entry;
    place.token.store(0, std::memory_order_relaxed);
    place.state.store(kFree, std::memory_order_release);
    return entry;
  }
  return std::nullopt;
}

}  // namespace turnpike::turn
