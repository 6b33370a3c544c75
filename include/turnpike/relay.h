// The relay as control sees it. Hides shards, sockets, crypto and mailboxes.
// It is not thread-safe: one thread (control) calls it. It logs nothing.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "turnpike/command.h"
#include "turnpike/config.h"
#include "turnpike/event.h"
#include "turnpike/flow.h"
#include "turnpike/handshake_stats.h"
#include "turnpike/ids.h"
#include "turnpike/result.h"
#include "turnpike/stats.h"
#include "turnpike/transport.h"
#include "turnpike/turn.h"

namespace turnpike {

/// A setting of which the sessions in the holder need the old value: it holds until a start that
/// finds none.
struct KeptSetting {
  const char* name = "";  ///< of the field in RelayConfig
  std::uint32_t configured = 0;
  std::uint32_t kept = 0;  ///< what holds now
};

/// What start() found in the holder.
struct AdoptionReport {
  bool holder_connected = false;  ///< now: a crash at this moment would lose no call
  std::uint32_t sessions_adopted = 0;
  std::uint32_t sockets_adopted = 0;
  std::uint32_t sessions_damaged = 0;  ///< lost: caught in the middle of a change, or broken
  std::uint32_t sessions_without_sockets = 0;  ///< lost: the holder did not have them all
  std::uint32_t records_damaged = 0;           ///< of control, lost
  std::vector<KeptSetting> kept_settings;      ///< those that differ from the configuration
  std::string holder_trouble;  ///< what went wrong last between us and the holder, since start
  std::string refused;  ///< why state was thrown away instead of adopted; empty when it was not
};

/// How full the relay is.
struct RelayUsage {
  std::uint32_t sessions = 0;
  std::uint32_t sessions_max = 0;
  std::uint32_t ports_in_use = 0;
  std::uint32_t ports_quarantined = 0;
  std::uint32_t ports_total = 0;
  std::uint64_t bind_failures = 0;
  std::uint64_t descriptor_shortages = 0;  ///< sessions refused: no descriptor for a socket
  std::uint64_t address_failures = 0;      ///< binds to an address that the host does not have
  std::uint64_t overload_refusals = 0;     ///< sessions refused: every shard is too busy
  std::uint64_t commands_waiting = 0;      ///< for shards that do not keep up; bounded
  std::uint64_t commands_refused = 0;      ///< new sessions and queries, for the same reason
};

/// Why a session could not be opened; control turns it into its protocol's words. kSessionLimit
/// also stands for a shard that does not keep up with its commands; kOverloaded: every shard has
/// reached RelayConfig::busy_max_percent.
enum class OpenFailure : std::uint8_t {
  kSessionLimit,
  kOverloaded,
  kOutOfPorts,
  kOutOfDescriptors,
  kBadSpec
};

/// Control's part in the shared flows of a traversal pair (turnpike/flow.h).
class Flows {
 public:
  virtual ~Flows() = default;
  /// At an edge: a flow that a core is going to bind; its number.
  virtual Result<FlowNumber> add_flow(const FlowKeys& keys) = 0;
  virtual void remove_flow(FlowNumber number) = 0;
  virtual FlowReport edge_report(FlowNumber number) const = 0;
  /// At a core: begins to bind a flow, or binds it anew.
  virtual Result<void> set_flow(const CoreFlow& flow) = 0;
  virtual FlowReport core_report(std::uint16_t edge, std::uint16_t shard) const = 0;
};

/// Control's part in the TURN server (turnpike/turn.h).
class TurnServer {
 public:
  virtual ~TurnServer() = default;
  /// From now on, soon. Before the first time every request is refused. An error: the TLS library
  /// takes not the certificate or its key; the rest is in force, and those from before are shown
  /// on.
  virtual Result<void> configure(std::shared_ptr<const turn::Settings> settings) = 0;
  /// While draining new Allocates are answered 300 or 486, and allocations end when the lifetime is
  /// over that they have.
  virtual void set_draining(bool draining) = 0;
  virtual std::uint32_t allocations() const = 0;
  virtual const turn::Counters& counters(std::size_t shard) const = 0;
  /// What was counted before a client came to a shard.
  virtual const turn::Counters& common_counters() const = 0;
  /// Of the thread that carries the TCP connections of peers.
  virtual const turn::Counters& tcp_counters() const = 0;
  /// Allocations that are open, 2000 of each shard at most.
  using Listed = std::function<void(const std::vector<turn::AllocationReport>&)>;
  /// Asks every shard; `done` is called within Relay::poll_events. False: too much is asked at a
  /// time, it will not be called.
  virtual bool list(Listed done) = 0;
  using Ended = std::function<void(bool found)>;
  /// Ends an allocation; as list().
  virtual bool end(const turn::AllocationId& id, Ended done) = 0;
};

namespace door {
struct Config;
}
class FrontDoor;

class Relay {
 public:
  /// Starts the shard threads. With a holder configured, adopts what it keeps; with sessions in it
  /// the number of shards, sessions_max and the port range stay as they were.
  static Result<std::unique_ptr<Relay>> start(const RelayConfig& config);
  /// Stops the shards and joins their threads. Sessions that a holder keeps stay adoptable.
  virtual ~Relay() = default;

  struct Opened {
    SessionId id;
    SessionPorts ports;
  };
  /// Binds the ports of both legs and creates the session; all or nothing, but for the ports of a
  /// second address family. The legs have no destination until update_leg.
  virtual Result<Opened> open_session(const SessionSpec& spec, OpenFailure& failure) = 0;

  /// Replaces the configuration of one leg. Unknown sessions are ignored.
  virtual void update_leg(SessionId id, Side side, const LegConfig& config) = 0;

  /// Replaces what is known of ICE and DTLS on one leg; of legs that never had either nothing need
  /// be said. Give it with the update_leg that belongs to it, in any order. Unknown sessions are
  /// ignored.
  virtual void update_transport(SessionId id, Side side, const TransportConfig& config) = 0;

  /// What becomes of the media that `side` sends; stays until it is called again. Unknown sessions
  /// are ignored.
  virtual void switch_media(SessionId id, Side side, const MediaSwitches& switches) = 0;

  /// The flows of a traversal pair; null when this relay is no node of one.
  virtual Flows* flows() { return nullptr; }

  /// The TURN server; null when RelayConfig names no listener for it, or when one of them, or a
  /// descriptor for it, could not be had.
  virtual TurnServer* turn() { return nullptr; }

  /// Opens the front door (turnpike/front_door.h); once. It is the relay's.
  virtual Result<FrontDoor*> open_front_door(const door::Config& config) {
    static_cast<void>(config);
    return Error{"this relay has no front door"};
  }

  /// Our certificate for DTLS, whose fingerprint goes into SDP. The id is 0 when there is none.
  virtual DtlsIdentity dtls_identity() const = 0;

  /// What became of handshakes; null when there are none.
  virtual const HandshakeCounters* handshake_counters() const { return nullptr; }

  /// Ends a session. Its last figures come as kSessionClosed with `token`; its ports are
  /// quarantined. Unknown sessions are ignored.
  virtual void close_session(SessionId id, std::uint64_t token) = 0;

  /// Asks for a session's figures; they come as kSessionStats with `token`. False when the
  /// session is unknown or its shard does not keep up: no event will come.
  virtual bool query_session(SessionId id, std::uint64_t token) = 0;

  /// Puts other values into force: advertised addresses and the number of streams for what comes,
  /// timeouts for sessions that are up as well, from their next check on (kQualityInterval).
  virtual void retune(const RelayTuning& tuning) { static_cast<void>(tuning); }

  /// What was asked for above reaches the shards at the latest when this is called: once for all
  /// that came in together, before waiting for more. poll_events and on_tick do it too.
  virtual void flush() {}

  /// Readable when events wait. Poll it, then call poll_events.
  virtual int event_fd() const = 0;
  /// Hands every waiting event to `sink`, on the caller's thread.
  virtual void poll_events(const std::function<void(const Event&)>& sink) = 0;

  /// Housekeeping of idle ports. Call it about ten times a second.
  virtual void on_tick() {}

  virtual RelayUsage usage() const = 0;
  virtual std::size_t shard_count() const = 0;
  virtual const ShardCounters& shard_counters(std::size_t shard) const = 0;

  /// What start() adopted, and which sessions those are.
  virtual const AdoptionReport& adoption() const = 0;
  virtual std::vector<Opened> adopted_sessions() const = 0;

  /// A blob that control wants to find again after a crash (its call state), kept in memory that
  /// the holder shares; never on disk, never in a core dump. Key: any non-zero number.
  /// False when there is no room; the previous blob of that key is then gone.
  virtual bool store_record(std::uint64_t key, const std::string& bytes) = 0;
  virtual void erase_record(std::uint64_t key) = 0;
  /// Records found at adoption.
  virtual std::vector<std::pair<std::uint64_t, std::string>> adopted_records() const = 0;
};

}  // namespace turnpike
