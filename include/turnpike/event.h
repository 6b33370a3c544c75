// What a shard tells control.
#pragma once

#include <cstdint>

#include "turnpike/address.h"
#include "turnpike/ids.h"
#include "turnpike/stats.h"
#include "turnpike/time.h"
#include "turnpike/transport.h"

namespace turnpike {

/// Nobody hears the other one for so long: worth a line for who looks for a fault.
constexpr Seconds kSilenceTold{10};

enum class EventKind : std::uint8_t {
  kSessionStats,   ///< answer to Relay::query_session
  kSessionClosed,  ///< last figures of a session; its ports are already on their way to quarantine
  /// Nothing from `side` that could go on to the other one's remote end for
  /// RelayConfig::media_timeout, though it expects_media.
  kMediaTimeout,
  kSilent,  ///< the same for kSilenceTold; once, until there was some again or signalling spoke
  kSourceMoved,  ///< leg `side` follows its remote end to `source`
  kIceState,     ///< of leg `side` is `ice` now
  kDtlsState,    ///< of leg `side` is `dtls` now; with kFailed `dtls_failure` says why
};

struct Event {
  EventKind kind = EventKind::kSessionStats;
  SessionId session;
  std::uint64_t token = 0;  ///< as given to query_session or close_session
  Side side = Side::kA;
  Component component = Component::kRtp;
  SocketAddress source;
  IceState ice = IceState::kOff;
  DtlsState dtls = DtlsState::kOff;
  DtlsFailure dtls_failure = DtlsFailure::kNone;
  DtlsFlights dtls_flights;
  SessionStats stats;
};

}  // namespace turnpike
