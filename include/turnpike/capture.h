// Copies of the datagrams of single legs, as they are on the wire: what an operator looks at when a
// call does not work. Never keys, never what was decrypted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "turnpike/address.h"
#include "turnpike/ids.h"
#include "turnpike/time.h"

namespace turnpike {

class Relay;

/// Taps at a time, of all captures.
constexpr std::size_t kTapsMax = 64;

/// One leg that is listened to, with everything on its sockets: RTP, RTCP, STUN, DTLS.
struct CaptureTap {
  std::uint8_t number = 0;  ///< below kTapsMax; control's
  SessionId session;
  Side side = Side::kA;
  /// Of RTP only its header, with CSRCs and extensions. On legs without keys it is cut so in any
  /// case, unless `plain_payload`; what a leg with keys receives counts as SRTP, whatever it is.
  bool headers_only = false;
  bool plain_payload = false;
};

/// A datagram that a leg received, before anything was checked, or that was handed to the kernel.
struct CapturedPacket {
  std::uint8_t tap = 0;
  SessionId session;
  Side side = Side::kA;
  Component component = Component::kRtp;
  bool sent = false;
  Instant at{};
  /// A leg without ports (on the flow of a traversal pair) has none: unset, or in 100::/64.
  SocketAddress source;
  SocketAddress destination;
  std::uint32_t length = 0;  ///< of the UDP payload on the wire; `bytes` are its beginning
  std::span<const std::uint8_t> bytes{};
};

/// As Relay, for one thread. Without a tap it costs the packet path one branch per batch.
class Captures {
 public:
  virtual ~Captures() = default;
  /// From now on, soon. False: the session is unknown, or its shard does not keep up.
  virtual bool add(const CaptureTap& tap) = 0;
  /// A few datagrams may still come. A session that ends takes its taps along.
  virtual void remove(const CaptureTap& tap) = 0;
  /// Datagrams of that tap number so far that are missing: nobody read them in time, the relay did
  /// not read them, or too many came from strangers. Since the start, whoever had the number.
  virtual std::uint64_t missed(std::uint8_t tap) const = 0;
  /// Hands over what was copied. Each shard keeps 1 MiB: call it about ten times a second.
  virtual void poll(const std::function<void(const CapturedPacket&)>& sink) = 0;
};

/// `relay` is one of Relay::start.
Captures& captures_of(Relay& relay);

}  // namespace turnpike
