// How many connections each source may have at a time, on all shards together: of one IPv4 address
// or one /64 of IPv6. Keeps nothing for a source by itself.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>

#include "relay/crypto/siphash.h"
#include "relay/turn/shared.h"
#include "turnpike/address.h"

namespace turnpike::turn {

class SourceGate {
 public:
  /// `key`: secret, of all shards alike. `max` of a source; 0: no limit.
  SourceGate(std::shared_ptr<Shared> shared, const SipHashKey& key, std::uint32_t max)
      : shared_(std::move(shared)), key_(key), max_(max) {}

  /// What leave() takes.
  std::uint64_t name_of(const IpAddress& source) const {
    std::array<std::uint8_t, 9> message{};
    std::copy_n(source.bytes.begin(), 8, message.begin());  // IPv4 and /64 alike
    message[8] = static_cast<std::uint8_t>(source.family);
    return siphash_2_4(key_, message);
  }
  /// Counts one more, unless there are as many as may be.
  bool enter(std::uint64_t name) { return shared_->counts.add(name, max_); }
  void leave(std::uint64_t name) { shared_->counts.remove(name); }

 private:
  std::shared_ptr<Shared> shared_;
  SipHashKey key_;
  std::uint32_t max_;
};

}  // namespace turnpike::turn
