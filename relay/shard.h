// One shard: a thread on its own core, its own loop, sockets, sessions and figures. Where the media
// engine meets the clock and the sockets. Shares nothing but two mailboxes with control.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "relay/core/load_watch.h"
#include "relay/core/mailbox.h"
#include "relay/core/overload_policy.h"
#include "relay/core/packet.h"
#include "relay/core/tick_policy.h"
#include "relay/io/loop.h"
#include "relay/io/udp_io.h"
#include "relay/media/engine.h"
#include "relay/mux_io.h"
#include "relay/shard_transport.h"
#include "relay/taps.h"
#include "relay/turn_shard.h"
#include "turnpike/command.h"
#include "turnpike/event.h"

namespace turnpike {

enum class CommandKind : std::uint8_t {
  kNone,
  kOpen,
  kAdopt,
  kUpdateLeg,
  kUpdateTransport,
  kSwitchMedia,
  kQuery,
  kClose,
  kSetFlow,
  kSetLimits,
  kCapture,
  kEndCapture
};

/// The sockets of a session, by side and component; -1: none.
struct SessionSockets {
  std::array<std::array<int, 2>, 2> fd{{{-1, -1}, {-1, -1}}};
  std::array<std::array<int, 2>, 2> other_fd{{{-1, -1}, {-1, -1}}};  ///< of the second family
};

/// What crosses the mailbox to a shard. One type for all kinds: the mailbox allocates nothing.
struct Command {
  CommandKind kind = CommandKind::kNone;
  SocketTag id;  ///< slot and generation; side for updates
  std::uint64_t token = 0;
  MediaKind media = MediaKind::kAudio;
  std::array<std::array<SocketAddress, 2>, 2> local{};        ///< kOpen
  std::array<std::array<SocketAddress, 2>, 2> other_local{};  ///< kOpen, kAdopt
  SessionSockets sockets;                                     ///< kOpen, kAdopt
  LegConfig leg;                                              ///< kUpdateLeg
  TransportConfig transport;                                  ///< kUpdateTransport
  MediaSwitches switches;                                     ///< kSwitchMedia
  CoreFlow flow;                                              ///< kSetFlow, with sockets.fd[0][0]
  media::EngineLimits limits;                                 ///< kSetLimits
  CaptureTap tap;                                             ///< kCapture, kEndCapture
  TapRing* tap_ring = nullptr;                                ///< kCapture; outlives the shard
};

struct ShardSetup {
  std::uint16_t index = 0;
  int cpu = -1;  ///< core to pin to; -1 = none
  Nanoseconds tick{0};
  media::EngineLimits limits;
  PairRole pair_role = PairRole::kNone;
  mux::EdgeFlows* edge_flows = nullptr;  ///< at an edge
  std::vector<int> flow_fds;             ///< at an edge: this shard's sockets at the shared ports
  TurnShard* turn = nullptr;             ///< that this thread runs; outlives the shard
};

class Shard {
 public:
  static constexpr std::size_t kCommandsMax = 4096;
  static constexpr std::size_t kEventsMax = 512;

  /// `on_event` is called on the shard's thread after events were queued; it must only wake the
  /// reader. The arena, an edge's flows and the handshake thread outlive the shard.
  Shard(const ShardSetup& setup, media::Arena& arena, std::unique_ptr<UdpIo> io,
        HandshakeThread& handshakes, std::function<void()> on_event);
  ~Shard();
  Shard(const Shard&) = delete;
  Shard& operator=(const Shard&) = delete;

  // Called by control.
  bool push(const Command& command) { return commands_.push(command); }
  void wake() { loop_.wake(); }
  /// Wakes the shard and asks it to call `on_event` once it has made room for commands.
  void wake_for_room() {
    room_wanted_.store(true);
    loop_.wake();
  }
  const Event* next_event() const { return events_.front(); }
  void pop_event() { events_.pop(); }
  void stop();
  const ShardCounters& counters() const { return counters_; }
  /// At a core.
  FlowReport flow_report(std::uint16_t edge, Instant now) const;
  /// Looks how busy the thread is; some times a second. From `busy_max_percent` on, TURN included,
  /// its TURN server makes no further allocations.
  void note_load(Instant now, unsigned busy_max_percent);
  /// Of calls alone: TURN gives way to their media, and must not turn them away.
  unsigned load_percent() const { return load_of_calls_.percent(); }
  /// It has fallen behind and threw packets away a moment ago.
  bool has_shed(Instant now) const {
    return now.time_since_epoch() - shed_at_.load(std::memory_order_relaxed) < Seconds(1);
  }

 private:
  void run();
  void on_wake();
  void on_readable();
  struct Turn {
    std::size_t packets = 0;
    std::size_t shed = 0;
    Waiting left = Waiting::kNothing;
  };
  /// Handles what waits, as far as one turn goes.
  Turn drain();
  /// The same for TURN: its share of a turn. Returns whether it got all that it wanted.
  bool drain_turn(Turn& turn);
  void note_turn(Nanoseconds time);
  /// `expected`: when this point should have been reached.
  void note_lateness(Instant now, Instant expected);
  void on_timer();
  void apply(const Command& command, Instant now);
  void open_sockets(const Command& command);
  void carry(const SocketTag& session, Side side);
  void carry_adopted(const SocketTag& session, Side side);
  void set_flow(const Command& command, Instant now);
  void report(const SocketTag& session, SessionStats& stats);
  void close_session(const Command& command);
  bool has_room();
  void process_batch(Instant now);
  void flush(Instant now);
  void account(const Send& send, SendResult result);
  void publish_notices(Instant now);
  bool publish(const Event& event);
  void schedule(Instant now);

  ShardSetup setup_;
  ShardCounters counters_;
  media::Engine engine_;
  TickPolicy tick_;
  OverloadPolicy overload_;
  Instant timer_due_ = Instant::max();
  std::atomic<Nanoseconds> shed_at_{Nanoseconds{0}};  // since the clock's epoch
  LoadWatch load_;                                    // control's
  LoadWatch load_of_calls_;                           // and this, without TURN
  std::atomic<Nanoseconds> turn_time_{Nanoseconds{0}};
  MuxIo* mux_ = nullptr;  // io_, at a node of a traversal pair
  std::unique_ptr<UdpIo> io_;
  Taps taps_;
  ShardTransport transport_;
  std::function<void()> on_event_;
  Mailbox<Command> commands_{kCommandsMax};
  std::atomic<bool> room_wanted_{false};
  Mailbox<Event> events_{kEventsMax};
  std::vector<SessionSockets> sockets_;  // by slot
  Batch batch_;
  Outbox outbox_;
  Instant flushed_{};  // when outbox_ was
  media::Notices notices_;
  Event event_;  // scratch: too large for the stack of every publish
  ShardLoop loop_;
  std::thread thread_;
};

}  // namespace turnpike
