// How many connections there may be at a time on all shards together, and of each source: of one
// IPv4 address or one /64 of IPv6. Keeps nothing for a source by itself.
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
  /// Ten handshakes a second in the long run, some at once.
  static constexpr Milliseconds kBeginPrice{100};
  static constexpr Seconds kBeginBurst{2};

  /// `key`: secret, of all shards alike. `max` of a source, `places` of all; 0: no limit.
  SourceGate(std::shared_ptr<Shared> shared, const SipHashKey& key, std::uint32_t max,
             std::uint32_t places = 0)
      : shared_(std::move(shared)), key_(key), max_(max), places_(places) {}

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

  /// A handshake costs a private-key operation. False when the source began too many lately.
  bool may_begin(std::uint64_t name, Instant now) {
    return shared_->handshakes.take(name, now, kBeginPrice, kBeginBurst);
  }

  /// Takes one of all places; false when there is none.
  bool take_place() {
    if (shared_->connections.fetch_add(1, std::memory_order_relaxed) < places_ || places_ == 0) {
      return true;
    }
    leave_place();
    return false;
  }
  void leave_place() { shared_->connections.fetch_sub(1, std::memory_order_relaxed); }
  /// Fewer places are free than one of `share`.
  bool is_nearly_full(std::uint32_t share) const {
    const std::uint32_t taken = shared_->connections.load(std::memory_order_relaxed);
    return places_ != 0 && taken + places_ / share >= places_;
  }

 private:
  std::shared_ptr<Shared> shared_;
  SipHashKey key_;
  std::uint32_t max_;
  std::uint32_t places_;
};

}  // namespace turnpike::turn
