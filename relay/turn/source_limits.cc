#include "relay/turn/source_limits.h"

#include <algorithm>

namespace turnpike::turn {
namespace {

Nanoseconds price_of(const SourceLimit& limit) {
  return Nanoseconds(Seconds(1)) / limit.per_second;
}

}  // namespace

SourceLimits::SourceLimits(const SipHashKey& key, const std::array<SourceLimit, kKinds>& limits)
    : key_(key), limits_(limits), sets_(kSets) {}

std::uint64_t SourceLimits::source_of(Kind kind, const IpAddress& source) const {
  std::array<std::uint8_t, 10> message{};
  std::copy_n(source.bytes.begin(), 8, message.begin());  // IPv4 and /64 alike
  message[8] = static_cast<std::uint8_t>(source.family);
  message[9] = static_cast<std::uint8_t>(kind);
  return siphash_2_4(key_, message) | 1U;  // 0 is nobody
}

bool SourceLimits::has(Kind kind, const IpAddress& source, Instant now) const {
  const SourceLimit& limit = limits_[static_cast<std::size_t>(kind)];
  if (limit.per_second == 0) return true;
  const std::uint64_t name = source_of(kind, source);
  for (const Entry& entry : sets_[(name >> 1) % kSets]) {
    if (entry.source == name) {
      return entry.bucket.has(now, price_of(limit), price_of(limit) * limit.burst);
    }
  }
  return true;
}

bool SourceLimits::take(Kind kind, const IpAddress& source, Instant now) {
  const SourceLimit& limit = limits_[static_cast<std::size_t>(kind)];
  if (limit.per_second == 0) return true;
  const std::uint64_t name = source_of(kind, source);
  auto& set = sets_[(name >> 1) % kSets];
  auto entry = std::find_if(set.begin(), set.end(),
                            [name](const Entry& other) { return other.source == name; });
  if (entry == set.end()) {
    entry = std::min_element(set.begin(), set.end(), [](const Entry& a, const Entry& b) {
      return a.bucket.full_at < b.bucket.full_at;
    });
    *entry = {name, {now}};
  }
  return entry->bucket.take(now, price_of(limit), price_of(limit) * limit.burst);
}

}  // namespace turnpike::turn
