#include "relay/turn/source_limits.h"

#include <algorithm>

namespace turnpike::turn {
namespace {

Nanoseconds price_of(const SourceLimit& limit) {
  return Nanoseconds(Seconds(1)) / limit.per_second;
}

}  // namespace

std::uint64_t SourceLimits::name_of(Kind kind, const IpAddress& source, std::uint8_t group) const {
  std::array<std::uint8_t, 11> message{};
  std::copy_n(source.bytes.begin(), 8, message.begin());  // IPv4 and /64 alike
  message[8] = static_cast<std::uint8_t>(source.family);
  message[9] = static_cast<std::uint8_t>(kind);
  message[10] = group;
  return siphash_2_4(key_, message);
}

bool SourceLimits::has(Kind kind, const IpAddress& source, Instant now) const {
  const SourceLimit& limit = limits_[static_cast<std::size_t>(kind)];
  if (limit.per_second == 0) return true;
  const Bucket* const bucket = buckets_.find(name_of(kind, source, 0));
  return bucket == nullptr || bucket->has(now, price_of(limit), price_of(limit) * limit.burst);
}

bool SourceLimits::take(Kind kind, const IpAddress& source, Instant now, std::uint8_t group) {
  const SourceLimit& limit = limits_[static_cast<std::size_t>(kind)];
  if (limit.per_second == 0) return true;
  return buckets_.at(name_of(kind, source, group), now)
      .take(now, price_of(limit), price_of(limit) * limit.burst);
}

}  // namespace turnpike::turn
