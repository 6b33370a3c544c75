// How much a source may ask before it has shown credentials: token buckets by prefix (/32 of IPv4,
// /64 of IPv6), in a table of fixed size.
#pragma once

#include <array>
#include <cstdint>

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
  /// What is limited apart from the others. kRenewal: a nonce of ours that has become old, which
  /// nobody else can send in a source's name. kFailure: credentials that are wrong, with a nonce
  /// that was received at the source. kDiscovery: Binding responses with all of RFC 5780.
  enum class Kind : std::uint8_t { kBinding, kChallenge, kFailure, kRenewal, kDiscovery };
  static constexpr std::size_t kKinds = 5;

  SourceLimits(const SipHashKey& key, const std::array<SourceLimit, kKinds>& limits)
      : key_(key), limits_(limits) {}

  /// Takes one; false when there is none left. `group`: of a kind that has several for a source.
  bool take(Kind kind, const IpAddress& source, Instant now, std::uint8_t group = 0);
  /// Whether one is left.
  bool has(Kind kind, const IpAddress& source, Instant now) const;

 private:
  std::uint64_t name_of(Kind kind, const IpAddress& source, std::uint8_t group) const;

  SipHashKey key_;
  std::array<SourceLimit, kKinds> limits_;
  BucketTable buckets_;
};

}  // namespace turnpike::turn
