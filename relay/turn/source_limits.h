// How much a source may ask before it has shown credentials: token buckets by prefix (/32 of IPv4,
// /64 of IPv6) in a table of fixed size. A source that is new takes the place of the one that has
// been quiet longest among four.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "relay/crypto/siphash.h"
#include "relay/turn/bucket.h"
#include "turnpike/address.h"
#include "turnpike/time.h"

namespace turnpike::turn {

/// Requests a second in the long run, and at once.
struct SourceLimit {
  std::uint32_t per_second = 0;  ///< 0: no limit
  std::uint32_t burst = 0;
};

class SourceLimits {
 public:
  /// What is limited apart from the others.
  enum class Kind : std::uint8_t { kBinding, kChallenge, kFailure };
  static constexpr std::size_t kKinds = 3;

  SourceLimits(const SipHashKey& key, const std::array<SourceLimit, kKinds>& limits);

  /// Takes one; false when there is none left.
  bool take(Kind kind, const IpAddress& source, Instant now);
  /// Whether one is left.
  bool has(Kind kind, const IpAddress& source, Instant now) const;

  static constexpr std::size_t kSets = 4096;
  static constexpr std::size_t kWays = 4;

 private:
  struct Entry {
    std::uint64_t source = 0;  // 0: nobody
    Bucket bucket;
  };
  std::uint64_t source_of(Kind kind, const IpAddress& source) const;

  SipHashKey key_;
  std::array<SourceLimit, kKinds> limits_;
  std::vector<std::array<Entry, kWays>> sets_;
};

}  // namespace turnpike::turn
