// What the handshake thread counts. Read from any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "turnpike/stats.h"
#include "turnpike/time.h"
#include "turnpike/transport.h"

namespace turnpike {

/// Upper bounds of how long handshakes took; what took longer stands in one more bucket.
constexpr std::array<Milliseconds, 9> kHandshakeDurations = {
    Milliseconds{20},   Milliseconds{50},   Milliseconds{100},
    Milliseconds{200},  Milliseconds{500},  Milliseconds{1000},
    Milliseconds{2000}, Milliseconds{5000}, Milliseconds{15000}};

struct HandshakeCounters {
  Counter started;
  Counter completed;  ///< authenticated: keys were handed out
  /// Associations that ended without keys, by reason; candidates that lost to another count with
  /// none of them.
  std::array<Counter, kDtlsFailureCount> failed;
  Counter closed;             ///< associations with keys that their remote end has ended
  Counter cookies_sent;       ///< HelloVerifyRequests (RFC 6347 section 4.2.1)
  Counter datagrams_dropped;  ///< malformed, from strangers, or for no association
  Counter alerts_ignored;     ///< plaintext alerts, which anybody can send
  /// By kHandshakeDurations, not cumulative: from the first ClientHello to the last Finished.
  std::array<Counter, kHandshakeDurations.size() + 1> durations;
  Counter duration_us;  ///< sum of them
};

}  // namespace turnpike
