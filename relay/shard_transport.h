// Where ICE and DTLS of a shard's legs meet its media: STUN goes to the ICE engine, DTLS by the
// handshake thread's queue to the DTLS engine, and what they find out becomes destinations and
// keys. Legs without either cost nothing here.
// Is not: a protocol. Rules of ICE lie in relay/ice, those of DTLS in relay/dtls.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "relay/core/packet.h"
#include "relay/dtls/early_hellos.h"
#include "relay/handshake_thread.h"
#include "relay/ice/engine.h"
#include "relay/io/udp_io.h"
#include "relay/media/engine.h"
#include "relay/taps.h"
#include "turnpike/event.h"
#include "turnpike/transport.h"

namespace turnpike {

class ShardTransport final : private ice::Sink {
 public:
  /// Everything outlives this. `publish` hands an event to control.
  ShardTransport(std::uint16_t shard, std::uint32_t sessions, media::Engine& media, UdpIo& io,
                 HandshakeThread& handshakes, ShardCounters& counters,
                 std::function<void(const Event&)> publish, Taps* taps = nullptr);

  /// Whether a command can be applied now: handshakes must hear of it, and their queue is bounded.
  bool has_room();
  void update(const SocketTag& leg, const TransportConfig& config, Instant now);
  /// The media configuration of a leg has changed.
  void leg_updated(const SocketTag& leg, Instant now);
  /// Sends what the remote ends of DTLS are told when it is over. Before the session is closed in
  /// the media engine, which knows where they are.
  void say_goodbye(const SocketTag& session);
  void close(const SocketTag& session);
  /// Adds how ICE and DTLS stand.
  void report(const SocketTag& session, SessionStats& stats) const;

  /// Takes a packet that media set aside.
  void handle(const Packet& packet, Instant now);
  /// Takes what the handshake thread has decided.
  void take_results();
  Instant next_deadline() const;
  void on_deadline(Instant now);

 private:
  struct Leg {
    SocketTag tag;
    TransportConfig config;
    bool told = false;  // the handshake thread knows of it, with this:
    DtlsConfig told_config;
    SocketAddress told_peer;
    bool due = false;            // among those that the handshake thread has still to be told of
    std::uint32_t to_renew = 0;  // association that it has still to be asked to make anew
    IceState ice = IceState::kOff;
    DtlsState dtls = DtlsState::kOff;
    DtlsFailure failure = DtlsFailure::kNone;
    DtlsFlights flights;            // of `failure`
    std::vector<Goodbye> goodbyes;  // not said yet
    // The budget of DTLS datagrams, for the address that signalling or ICE names and for others:
    // those cannot use up what is the client's.
    Instant window_begin{};
    std::array<std::uint32_t, 2> window_datagrams{};
    ~Leg();
  };

  /// A client's early ClientHello on its way to the core.
  struct Repeat {
    SocketTag leg;
    Instant due{};
    std::size_t done = 0;
  };

  // ice::Sink
  void send(const Send& send) override;
  void selected(const SocketTag& component, const SocketAddress& address) override;
  void changed(const SocketTag& leg, IceState state) override;

  Leg* find(const SocketTag& tag);
  void refresh_ice(Leg& leg, Instant now);
  void refresh_dtls(Leg& leg);
  void forget_dtls(Leg& leg);
  void renew_dtls(Leg& leg);
  void say_goodbye(Leg& leg);
  bool ask(Leg& leg);
  void name_local_candidates(const SocketTag& tag, TransportReport& report) const;
  void ask_again();
  bool may_handshake(const Leg& leg, const media::LegState& state,
                     const SocketAddress& source) const;
  bool may_send_dtls(const Leg& leg, const media::LegState& state) const;
  void handle_dtls(Leg& leg, const Packet& packet, Instant now);
  bool take_dtls(Leg& leg, const media::LegState* state, const Packet& packet, Instant now);
  static bool awaits_answer(const Leg& leg, const media::LegState& state);
  void hear_early(Leg& leg, Instant now);
  void begin_to_repeat(const SocketTag& tag, Instant now);
  void repeat(Instant now);
  void pass_on(const Packet& packet, Instant now);
  void take_result(const HandshakeResult& result);
  void take_keys(Leg& leg, const media::LegState& state, const HandshakeResult& result);
  void set_dtls_state(Leg& leg, DtlsState state, DtlsFailure failure, const DtlsFlights& flights);

  std::uint16_t shard_;
  media::Engine& media_;
  UdpIo& io_;
  HandshakeThread& handshakes_;
  ShardCounters& counters_;
  std::function<void(const Event&)> publish_;
  Taps* taps_;
  ice::Engine ice_;
  std::vector<std::unique_ptr<Leg>> legs_;  // by slot * 2 + side
  EarlyHellos early_hellos_;
  std::vector<Repeat> repeats_;
  HandshakeRequest request_{};  // scratch: too large for the stack of every packet
  std::vector<SocketTag> due_;  // legs whose request did not fit into the queue
  Event event_;
};

}  // namespace turnpike
