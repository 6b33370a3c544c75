// The front door as control sees it: one TCP port for everybody who gets out to no other. Who comes
// is told apart by his first bytes and passed on; the door holds no key (docs/front-door.md).
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "turnpike/address.h"
#include "turnpike/stats.h"
#include "turnpike/time.h"
#include "turnpike/turn.h"

namespace turnpike::door {

/// kSip: a listener of the SIP server on loopback. kApi: control's own HTTP server.
enum class Target : std::uint8_t { kTurn, kSip, kApi };
constexpr std::size_t kTargetCount = 3;

/// Who of the TLS clients goes to a target.
struct TargetRule {
  bool open = false;
  std::vector<std::string> names{};  ///< server names (SNI) in lower case; none: any, or no name
};

/// What does not change while the relay runs.
struct Config {
  std::vector<SocketAddress> listeners;
  std::array<TargetRule, kTargetCount> targets;  ///< by Target
  SocketAddress sip;                             ///< of Target::kSip
  /// Load balancers: their connections begin with a PROXY header (relay/wire/proxy_header.h), and
  /// nobody else's do.
  std::vector<turn::Prefix> proxies;
  /// That wait until they are passed on; and as many of which it carries the bytes.
  std::uint32_t connections_max = 1000;
  /// Of either, of one IPv4 address or IPv6 /64. 0: no limit.
  std::uint32_t connections_per_source_max = 50;
  Milliseconds first_byte_max{5000};  ///< from the connection on
  Milliseconds hello_max{10000};      ///< until the ClientHello is whole
};

/// Connections that are not passed on yet. One more, and the oldest ends.
constexpr std::size_t kWaitingMax = 512;

/// Descriptors that connections may need at a time. `carries`: those to the SIP server, which have
/// two ends.
constexpr std::uint64_t descriptors_max(std::uint32_t connections_max, bool carries) {
  const std::uint64_t carried = carries ? 2 * std::uint64_t{connections_max} : 0;
  return carried + std::min<std::uint64_t>(connections_max, kWaitingMax);
}

// name, metric label, meaning: what became of a connection that came
#define TURNPIKE_DOOR_OUTCOMES(X)                                                               \
  X(kTurnTcp, "turn_tcp", "passed on to TURN: STUN in the clear")                               \
  X(kTurnTls, "turn_tls", "passed on to TURN over TLS")                                         \
  X(kSip, "sip", "carried to the SIP server: TLS, mostly a browser's WebSocket")                \
  X(kApi, "api", "passed on to the API")                                                        \
  X(kNoTarget, "no_target", "TLS, but nothing here is for this name and these protocols")       \
  X(kUnknownProtocol, "unknown_protocol", "its first bytes are of nothing that is served here") \
  X(kBadHello, "bad_hello", "begins as TLS does, but with no sound ClientHello")                \
  X(kLongHello, "long_hello", "a ClientHello of more than 16,384 bytes")                        \
  X(kSilent, "silent", "sent nothing in time")                                                  \
  X(kSlowHello, "slow_hello", "its ClientHello was not whole in time")                          \
  X(kGone, "gone", "the client left before it was passed on")                                   \
  X(kFull, "full", "refused: front_door.connections_max is reached")                            \
  X(kSourceFull, "source_full", "refused: front_door.connections_per_source_max is reached")    \
  X(kEvicted, "evicted", "waited longest when as many waited as may")                           \
  X(kNoDescriptor, "no_descriptor", "waits: no descriptor or memory is left for it")            \
  X(kTargetFull, "target_full", "whom it was for takes no more at the moment")                  \
  X(kTargetDown, "target_down", "the SIP server does not answer the door")                      \
  X(kNoProxyHeader, "no_proxy_header", "of a listed load balancer, without PROXY header")       \
  X(kBadProxyHeader, "bad_proxy_header", "a PROXY header that breaks a rule")                   \
  X(kOtherFamily, "other_family", "a PROXY header of neither TCP over IPv4 nor IPv6")           \
  X(kBadChecksum, "bad_checksum", "a PROXY header with a wrong CRC32c")                         \
  X(kHealthCheck, "health_check", "of a load balancer itself: closed, as it expects")

enum class Outcome : std::uint8_t {
#define X(name, label, help) name,
  TURNPIKE_DOOR_OUTCOMES(X)
#undef X
      kCount
};
constexpr std::size_t kOutcomeCount = static_cast<std::size_t>(Outcome::kCount);

struct OutcomeInfo {
  std::string_view label;
  std::string_view help;
};
constexpr std::array<OutcomeInfo, kOutcomeCount> kOutcomes = {{
#define X(name, label, help) {label, help},
    TURNPIKE_DOOR_OUTCOMES(X)
#undef X
}};

/// Since the door was opened. Read from any thread.
struct Counters {
  std::array<Counter, kOutcomeCount> outcomes;
  Counter entered;  ///< held by the door
  Counter left;     ///< of those, not any more
};

/// Somebody for Target::kApi, of whom nothing was read.
struct Caller {
  int fd = -1;
  SocketAddress client;
};

}  // namespace turnpike::door

namespace turnpike {

/// Control's part in the front door.
class FrontDoor {
 public:
  virtual ~FrontDoor() = default;
  virtual const door::Counters& counters() const = 0;
  /// Readable when callers wait: then next_caller() until it gives none.
  virtual int callers_fd() const = 0;
  /// Who takes it owns its descriptor. False: nobody waits.
  virtual bool next_caller(door::Caller& caller) = 0;
};

}  // namespace turnpike
