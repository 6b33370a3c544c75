// Token buckets, each as one instant: the time at which it will be full again; and a table of fixed
// size for those of many.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "turnpike/time.h"

namespace turnpike::turn {

struct Bucket {
  Instant full_at{};

  /// Whether something fits that takes `price` to refill, into a bucket that is empty when `burst`
  /// is missing.
  bool has(Instant now, Nanoseconds price, Nanoseconds burst) const {
    return std::max(full_at, now) + price - now <= burst;
  }
  bool take(Instant now, Nanoseconds price, Nanoseconds burst) {
    if (!has(now, price, burst)) return false;
    full_at = std::max(full_at, now) + price;
    return true;
  }
};

/// Buckets by name, a keyed hash that nobody outside can aim. A name that is new takes the place of
/// the fullest among four.
class BucketTable {
 public:
  BucketTable() : sets_(kSets) {}

  Bucket& at(std::uint64_t name, Instant now) {
    auto& set = sets_[name % kSets];
    auto entry = std::find_if(set.begin(), set.end(),
                              [name](const Entry& other) { return other.name == name; });
    if (entry == set.end()) {
      entry = std::min_element(set.begin(), set.end(), [](const Entry& a, const Entry& b) {
        return a.bucket.full_at < b.bucket.full_at;
      });
      *entry = {name, {now}};
    }
    return entry->bucket;
  }
  const Bucket* find(std::uint64_t name) const {
    for (const Entry& entry : sets_[name % kSets]) {
      if (entry.name == name) return &entry.bucket;
    }
    return nullptr;
  }

  static constexpr std::size_t kSets = 4096;

 private:
  struct Entry {
    std::uint64_t name = 0;
    Bucket bucket;
  };
  std::vector<std::array<Entry, 4>> sets_;
};

}  // namespace turnpike::turn
