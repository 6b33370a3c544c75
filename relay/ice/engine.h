// ICE for the legs of a shard (RFC 8445, RFC 7675, RFC 8838): finds out by STUN checks where the
// remote end of a leg can be reached, and whether it still wants to hear from us. Given datagrams,
// the time, configurations and randomness; answers with what to send and where media may go.
// Hides: check lists, transactions, roles, nomination, consent. Never touches a socket or a clock.
// Is not a gatherer: a leg has one local candidate per component, its socket, or two, of one
// address family each. So a remote candidate makes one pair, and where it lies says from which
// socket it is reached.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "relay/core/packet.h"
#include "relay/ice/deadlines.h"
#include "turnpike/stats.h"
#include "turnpike/time.h"
#include "turnpike/transport.h"

namespace turnpike::ice {

/// Fills its argument from a cryptographic generator. Must not allocate.
using RandomBytes = std::function<void(std::span<std::uint8_t>)>;

/// What the engine has to say. Called from inside update(), handle() and on_deadline(), which the
/// sink must not call again.
class Sink {
 public:
  virtual ~Sink() = default;
  /// A datagram to send; its data is valid during the call only.
  virtual void send(const Send& send) = 0;
  /// Where media of `socket` (with its component) goes from now on. Unset: nowhere; consent is
  /// lost, or the component is not in use any more.
  virtual void selected(const SocketTag& socket, const SocketAddress& destination) = 0;
  /// The leg's state has changed; the component of `leg` says nothing.
  virtual void changed(const SocketTag& leg, IceState state) = 0;
};

/// What the engine must know of a leg besides IceConfig.
struct LegFacts {
  AddressFamily family = AddressFamily::kIpv4;  ///< of its sockets; other candidates are ignored
  bool both_families = false;  ///< there is a second socket for each component, of the other family
  bool rtcp_mux = false;       ///< only the RTP component is in use
  /// Where media goes now, by component; unset: nowhere. Looked at when a leg begins to use ICE:
  /// the destination then counts as selected until consent for it expires (a process that goes on
  /// with a call of one before it).
  std::array<SocketAddress, 2> present{};
};

class Agent;

class Engine {
 public:
  /// For legs of sessions whose slot is below `session_capacity`. `counters` outlives the engine.
  Engine(std::uint32_t session_capacity, RandomBytes random, ShardCounters& counters);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  /// Replaces what signalling knows of a leg (the component of `leg` is not looked at). The first
  /// configuration that is not kOff allocates the leg, kOff frees it. Changed credentials are a
  /// restart (RFC 8445 section 9), more candidates are trickled (RFC 8838).
  void update(const SocketTag& leg, const IceConfig& config, const LegFacts& facts, Instant now,
              Sink& sink);
  /// Forgets a leg. Says nothing to any sink.
  void close(const SocketTag& leg);

  /// A STUN datagram that arrived on `packet.tag`: taken, or counted as a drop (kBadStun,
  /// kUnknownStun, kUnexpectedStun, kReservedSourcePort, kTruncated). True when it was taken.
  bool handle(Instant now, const Packet& packet, Sink& sink);
  /// Why the latest datagram that handle() did not take was dropped.
  DropReason last_drop() const { return last_drop_; }

  /// Whether `source` has proven itself to this socket by a check with valid integrity, theirs or
  /// the answer to ours: media and DTLS from it may be listened to.
  bool is_validated(const SocketTag& socket, const SocketAddress& source) const;
  /// Fills the fields about ICE; leaves them as they are when the leg has none.
  void report(const SocketTag& leg, TransportReport& out) const;

  /// When on_deadline() has something to do; Instant::max(): not until something happens.
  Instant next_deadline() const { return deadlines_.next(); }
  void on_deadline(Instant now, Sink& sink);

 private:
  std::uint32_t index_of_leg(const SocketTag& leg) const;
  Agent* find(const SocketTag& leg) const;
  /// After every turn of an agent.
  void settle(std::uint32_t index, Instant now);
  void count_connect_time(Nanoseconds took);

  RandomBytes random_;
  ShardCounters& counters_;
  Deadlines deadlines_;
  std::vector<std::unique_ptr<Agent>> agents_;  // by slot and side
  DropReason last_drop_ = DropReason::kUnexpectedStun;
};

}  // namespace turnpike::ice
