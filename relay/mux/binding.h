// How a shared flow of a traversal pair gets its address: the core, behind its firewall, asks the
// edge with a STUN Binding (RFC 8489) that only the two can make; the edge answers, and sends where
// the last proven Binding came from. Nothing is ever learned from a media packet.
//
//   core                                  edge
//    | -- request: flow, counter, code --> |   from a new address:
//    | <-- 401, NONCE --------------------- |   nothing else is sent there before it has
//    | -- request: NONCE ----------------> |   come back from that address
//    | <-- success, mapped address -------- |
//    | <-- indication --------------------- |   the core's packets come from elsewhere: ask anew
//
// A replayed request fails by its counter; one that was caught and kept back, to be sent from
// another address, by the nonce, which is that address's own.
// Is not: I/O, a clock, or how both got the key (the zone connection hands it over).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "relay/crypto/hmac_sha1.h"
#include "relay/wire/stun.h"
#include "turnpike/address.h"
#include "turnpike/time.h"

namespace turnpike::mux {

constexpr std::size_t kBindingKeyBytes = 32;
using BindingKey = std::array<std::uint8_t, kBindingKeyBytes>;

/// The core asks so often; firewalls keep the state of UDP for 20 s and more.
constexpr Seconds kBindingInterval{10};
/// Without a Binding for so long an address is given up.
constexpr Seconds kBindingLifetime{35};

constexpr std::size_t kBindingMessageBytesMax = 128;
using BindingBuffer = std::array<std::uint8_t, kBindingMessageBytesMax>;
constexpr std::size_t kNonceBytes = 16;
using Nonce = std::array<std::uint8_t, kNonceBytes>;

/// What became of a datagram that claims to be a Binding.
enum class BindingOutcome : std::uint8_t {
  kRefreshed,    ///< from the address that is bound
  kMoved,        ///< from a new address, which has proven itself: it is bound now
  kChallenged,   ///< from a new address, which has still to prove itself
  kMalformed,    ///< no STUN Binding request, or fields are missing
  kUnknownFlow,  ///< names another flow
  kNotAuthentic,
  kReplayed,  ///< its counter is not above the last one
};

/// One flow at the edge.
class EdgeBinding {
 public:
  /// `secret`: random, of this process; makes nonces.
  EdgeBinding(std::uint16_t flow, const BindingKey& key, const BindingKey& secret);

  struct Answer {
    BindingOutcome outcome = BindingOutcome::kMalformed;
    stun::Bytes datagram;  ///< to be sent back, from the port that it came to; lies in `buffer`
  };
  /// Every answer is authenticated, and no longer than the request.
  Answer handle(const stun::Message& request, const SocketAddress& source, Instant now,
                BindingBuffer& buffer);
  /// Where packets go; unset without a Binding that is young enough.
  SocketAddress address(Instant now) const;
  /// Asks the core to bind anew: its packets come from elsewhere. Changes nothing here.
  stun::Bytes hint(const stun::TransactionId& transaction, BindingBuffer& buffer) const;

  Instant bound_until() const { return until_; }

 private:
  Nonce nonce_of(const SocketAddress& source, std::int64_t period) const;
  bool nonce_is_right(const stun::Message& request, const SocketAddress& source, Instant now) const;

  std::uint16_t flow_;
  HmacSha1Key key_;
  HmacSha1Key secret_;
  std::uint64_t counter_ = 0;
  SocketAddress address_;
  Instant until_{};
};

/// The flow that a request names; nothing when it names none.
std::optional<std::uint16_t> flow_of(const stun::Message& request);

/// One flow at the core.
class CoreBinding {
 public:
  CoreBinding(std::uint16_t flow, const BindingKey& key, Instant now);
  /// The edge has given the flow another number, after a restart.
  void renumber(std::uint16_t flow, Instant now);

  /// When request() wants to be called. Never Instant::max(): a flow is kept up for ever.
  Instant next_deadline() const { return due_; }
  /// The request that is due, with a transaction id that nobody can foresee.
  stun::Bytes request(Instant now, const stun::TransactionId& transaction, BindingBuffer& buffer);
  /// Takes an answer or a hint; false when it is neither, or not authentic, and then changes
  /// nothing.
  bool handle(const stun::Message& message, Instant now);

  bool is_bound(Instant now) const { return now < until_; }
  Instant bound_until() const { return until_; }
  /// As the edge sees us.
  const SocketAddress& mapped() const { return mapped_; }
  /// Of the last answered request; zero before.
  Nanoseconds round_trip() const { return round_trip_; }
  /// Requests without an answer since the last one that got one.
  std::uint32_t unanswered() const { return unanswered_; }

 private:
  std::uint16_t flow_;
  HmacSha1Key key_;
  std::uint64_t counter_ = 0;
  Nonce nonce_{};
  stun::TransactionId transaction_{};
  bool waiting_ = false;
  Instant asked_{};
  Instant due_;
  Instant until_{};
  Instant hinted_{};
  std::uint32_t unanswered_ = 0;
  SocketAddress mapped_;
  Nanoseconds round_trip_{0};
};

}  // namespace turnpike::mux
