// The DTLS-SRTP handshakes of all legs (RFC 5763, RFC 5764), as an engine for one thread: it is
// given datagrams and the time and says what to send and which keys came of it.
// Hides: candidates and cookies, which datagram belongs to which association, timers, limits.
// Is not: the cryptography (relay/crypto/dtls.h); the policy of which sources may speak to a leg
// at all, which is the shard's; a socket, a thread.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "relay/crypto/dtls.h"
#include "turnpike/address.h"
#include "turnpike/handshake_stats.h"
#include "turnpike/ids.h"
#include "turnpike/keying.h"
#include "turnpike/time.h"
#include "turnpike/transport.h"

namespace turnpike {

/// One leg of one session. A stale generation is another leg.
struct LegKey {
  std::uint16_t shard = 0;
  std::uint32_t slot = 0;
  std::uint32_t generation = 0;
  Side side = Side::kA;
  auto operator<=>(const LegKey&) const = default;
};

/// Longer datagrams are dropped.
constexpr std::size_t kDtlsDatagramBytesMax = 2048;

/// What the remote end of an association is told when it is over: close_notify (RFC 5246 section
/// 7.2.1) in one datagram, sent once.
struct Goodbye {
  SocketAddress to;
  bool has_keys = false;  ///< of the association whose keys the leg has: goes where its media goes
  std::uint8_t length = 0;
  std::array<std::uint8_t, kGoodbyeBytesMax> data{};
};
/// Of one leg.
constexpr std::size_t kGoodbyesMax = 8;

/// What the engine wants done. It is called from within update, close, handle and on_deadline, and
/// must not call back into the engine. Spans and references are good until it returns.
class HandshakeSink {
 public:
  virtual void send(const LegKey& leg, const SocketAddress& to,
                    std::span<const std::uint8_t> datagram) = 0;
  /// The remote end has proven to be the one of the SDP; `peer` is where it is. `receive` is for
  /// what comes from it, `association` as configured. Comes before changed(kEstablished).
  virtual void established(const LegKey& leg, std::uint32_t association, const SocketAddress& peer,
                           const SrtpKeying& receive, const SrtpKeying& send) = 0;
  /// The state, or the last failure, is another one now. `flights`: as in TransportReport.
  virtual void changed(const LegKey& leg, std::uint32_t association, DtlsState state,
                       DtlsFailure last_failure, const DtlsFlights& flights) = 0;
  /// Replaces what it said before: what is to be sent when the leg ends. Whoever ends it has the
  /// leg's socket and the engine has not.
  virtual void goodbyes(const LegKey& leg, std::span<const Goodbye> all) = 0;

 protected:
  ~HandshakeSink() = default;
};

struct HandshakeLimits {
  std::size_t half_open_max = 1000;  ///< associations without keys, of all legs
  std::size_t half_open_per_leg_max = 3;
  /// Legs whose associations are kept after the handshake; above this those that have been so for
  /// the longest are forgotten: an end that they bring is not understood any more.
  std::size_t lingering_max = 4000;
};

/// Not thread-safe; counters() may be read from any thread.
class Handshakes {
 public:
  /// From the first ClientHello to giving up; and for a ClientHello, once everything is known: one
  /// that was lost has been repeated four times by then (RFC 6347 section 4.2.4.1: after 1, 3, 7
  /// and 15 seconds).
  static constexpr Seconds kPatience{30};
  /// An association that is complete but not of the certificate in the SDP, or not any more: the
  /// call may have forked, and the fork that answers last has the media. So long it may do so.
  static constexpr Seconds kReserve{120};
  static constexpr std::size_t kReserveMax = 3;

  explicit Handshakes(const HandshakeLimits& limits = {});
  ~Handshakes();
  Handshakes(const Handshakes&) = delete;
  Handshakes& operator=(const Handshakes&) = delete;

  /// Makes a key and a certificate in memory (ECDSA P-256, SHA-256 fingerprint). The id is random,
  /// so that one of a process before this one is not mistaken for it; it is 0 when the library
  /// failed to make them.
  DtlsIdentity add_identity();
  /// Goes on with one of a process before this one: what kept_identity() gave. Its id and
  /// fingerprint stay; the id is 0 when the bytes are damaged.
  DtlsIdentity add_identity(std::span<const std::uint8_t> kept);
  /// An identity as bytes, to be kept in memory: a secret. Empty when there is none with this id.
  std::vector<std::uint8_t> kept_identity(std::uint32_t id) const;
  /// Associations that use it go on. New ones with this id fail (kNoIdentity).
  void remove_identity(std::uint32_t id);

  /// What signalling knows of a leg; the first call makes it known here. `peer`: where an active
  /// association sends its flights, moved by a later call; unset: wait for it. On a passive leg
  /// without ICE the signalled address, if there is one: it has the first claim on a candidate.
  /// Another association number, role, identity or remote fingerprint (RFC 8842 section 4) starts
  /// a new association; the fingerprint of an answer, or its passive role, where there was none
  /// yet, continues the present one. An established association that is replaced lives until the
  /// new one is established. Where only the fingerprint is another one, an end that has it already
  /// and has finished its handshake as a fork, within kReserve, is the new association at once.
  /// Config without `enabled` forgets the leg.
  void update(const LegKey& leg, const DtlsConfig& config, const SocketAddress& peer, Instant now,
              HandshakeSink& sink);
  /// The leg is gone. What goodbyes() said is sent, for a sink that still has the leg's socket (a
  /// shard's has not); changed() is not called.
  void close(const LegKey& leg, HandshakeSink& sink);

  /// The keys of this association cannot be used: it is ended, and another one begun where we are
  /// active; where we are passive the remote end has to. Nothing if signalling has replaced it.
  void renew(const LegKey& leg, std::uint32_t association, Instant now, HandshakeSink& sink);

  /// A datagram that is DTLS by its first byte (RFC 7983). `ice_validated`: a check with the
  /// leg's credentials has come from `source`; on a leg with ICE do not hand over others (M4).
  /// Without ICE, `source` must have passed the leg's source policy; it gets a cookie first.
  void handle(const LegKey& leg, const SocketAddress& source, bool ice_validated,
              std::span<const std::uint8_t> datagram, Instant now, HandshakeSink& sink);

  struct Report {
    DtlsState state = DtlsState::kOff;
    DtlsFailure last_failure = DtlsFailure::kNone;
    DtlsFlights flights;  ///< of the last failure, where nothing came any more
    bool operator==(const Report&) const = default;
  };
  /// Unknown legs are kOff.
  Report report(const LegKey& leg) const;

  /// Instant::max() when there is none.
  Instant next_deadline() const;
  void on_deadline(Instant now, HandshakeSink& sink);

  const HandshakeCounters& counters() const;

  /// How much there is now, for limits and their tests.
  struct Usage {
    std::size_t legs = 0;
    std::size_t half_open = 0;
    std::size_t lingering = 0;
  };
  Usage usage() const;

 private:
  class Table;
  std::unique_ptr<Table> table_;
};

}  // namespace turnpike
