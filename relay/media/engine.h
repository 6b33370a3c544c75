// The media engine: forwards RTP and RTCP between the two legs of a session, in any mix of plain
// and SRTP (RFC 3550, 3711, 5761). Given packets, the time and commands; answers with what to send.
// Hides: source policy, stream tables, transform order, figures. Never touches a socket or a clock.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "relay/core/packet.h"
#include "relay/core/timer_wheel.h"
#include "relay/crypto/srtp.h"
#include "relay/media/arena.h"
#include "relay/media/client_sources.h"
#include "relay/media/lines.h"
#include "relay/media/past_keys.h"
#include "relay/media/source.h"
#include "relay/wire/rtp.h"
#include "turnpike/event.h"
#include "turnpike/stats.h"

namespace turnpike::media {

struct EngineLimits {
  std::uint32_t streams_per_leg_max = 8;
  Seconds media_timeout{60};       ///< 0 = never
  Seconds keepalive_interval{15};  ///< 0 = never
  Seconds silence_told{0};         ///< kSilent; 0 = never
  Seconds quality_interval{0};     ///< between two samples of a stream's quality; 0 = none
  SrtpLibrary srtp_library = SrtpLibrary::kAuto;
};

/// Something that control should hear of. Few: the packet path writes one only when a leg moves.
struct Notice {
  EventKind kind = EventKind::kMediaTimeout;
  std::uint32_t slot = 0;
  std::uint32_t generation = 0;
  Side side = Side::kA;
  Component component = Component::kRtp;
  SocketAddress source;
};

class Notices {
 public:
  bool push(const Notice& notice) {
    if (size_ == items_.size()) return false;
    items_[size_++] = notice;
    return true;
  }
  bool full() const { return size_ == items_.size(); }
  void clear() { size_ = 0; }
  std::span<const Notice> items() const { return {items_.data(), size_}; }

 private:
  std::array<Notice, kBatchPacketsMax> items_{};
  std::size_t size_ = 0;
};

class Engine {
 public:
  /// `arena` and `counters` outlive the engine.
  Engine(Arena& arena, const EngineLimits& limits, ShardCounters& counters);

  // Commands, in the order in which control gave them.
  /// Everything but the library of the ciphers, which stays.
  void set_limits(const EngineLimits& limits) { limits_ = limits; }
  void open(const SocketTag& id, MediaKind kind,
            const std::array<std::array<SocketAddress, 2>, 2>& local, Instant now,
            const std::array<std::array<SocketAddress, 2>, 2>& other_local = {});
  void update_leg(const SocketTag& id, Side side, const LegConfig& config, Instant now);
  void switch_media(const SocketTag& id, Side side, const MediaSwitches& switches);
  /// ICE has selected the pair to this address, or DTLS has proven who is there; unset: media goes
  /// nowhere any more.
  void set_destination(const SocketTag& leg, const SocketAddress& destination);
  /// The keys that a DTLS handshake gave to a leg with LegConfig::dtls. It may have had them before
  /// (past_keys.h): false, and no keys, when more was done with them than is remembered.
  bool set_keys(const SocketTag& leg, const SrtpKeying& receive, const SrtpKeying& send);
  /// The remote end has ended its DTLS association: nothing goes there and nothing is taken from
  /// there until set_keys, or until the leg is not keyed by DTLS any more.
  void close_leg(const SocketTag& leg);
  /// The leg, or null when it is gone.
  const LegState* find_leg(const SocketTag& leg);
  /// On an edge: the number of the source from which a client's leg has heard something. Nothing
  /// when that is to be dropped.
  std::optional<std::uint8_t> client_number(const SocketTag& leg, const SocketAddress& source,
                                            Instant now);
  /// The leg whose sockets and keys this one uses: itself, unless m-lines are bundled.
  SocketTag transport_of(const SocketTag& leg);
  bool stats(const SocketTag& id, SessionStats& out) const;
  bool close(const SocketTag& id);
  /// The same, with the last figures.
  bool close(const SocketTag& id, SessionStats& out);
  /// After adoption: sets the timers of every session in the arena.
  void resume(Instant now);

  /// Handles a batch in place. Each packet is in `out` afterwards, or counted as a drop.
  void handle(Instant now, Batch& batch, Outbox& out, Notices& notices);
  /// Of that batch, what subscribers hear as well: fills `out` with some of it, to be sent before
  /// it is called again. False: that was all.
  bool copy(Instant now, Outbox& out, Notices& notices);
  /// What of that batch was STUN on a leg with ICE, or DTLS on a leg with DTLS: not handled, and
  /// not counted as dropped.
  std::span<Packet* const> strays() const { return {strays_.data(), stray_count_}; }
  /// Counts such a packet as dropped.
  void refuse(const Packet& packet, DropReason reason);
  /// Counts it at its leg only: somebody else has counted it for the shard.
  void note_refused(const Packet& packet, DropReason reason);
  /// The fate of what was in the outbox.
  void sent(const Send& send, Instant now);
  void send_failed(const Send& send, DropReason reason);
  /// A notice could not be passed on: what it says will be noticed again.
  void not_noticed(const Notice& notice, Instant now);
  /// Counts a datagram that reached no session.
  void drop_unowned(DropReason reason);

  Instant next_deadline() const { return timers_.next_deadline(); }
  /// Keep-alives and media timeouts that are due; returns early when `out` or `notices` is full
  /// (call again).
  void on_deadline(Instant now, Outbox& out, Notices& notices);

 private:
  struct Work {
    Packet* packet = nullptr;
    // The m-line: whose media it is.
    SessionState* session = nullptr;
    LegState* from = nullptr;
    LegState* to = nullptr;
    std::uint32_t line = 0;  // slot of `session`
    // Whose sockets and keys these are: the same legs, unless m-lines are bundled.
    LegState* receiver = nullptr;
    LegState* sender = nullptr;
    std::uint32_t sender_slot = 0;
    std::uint32_t sender_generation = 0;
    StreamState* stream = nullptr;  // null: SSRC not seen before on this leg
    SrtpReceiveStream* fresh =
        nullptr;  // SRTP receive state of such a one until it has proven itself
    std::uint32_t ssrc = 0;
    RtpHeader rtp;
    bool rtcp = false;
    SocketAddress destination;
    Component to_component = Component::kRtp;
  };

  /// A packet as it came out of its leg, for those who subscribe to it.
  struct Kept {
    std::uint32_t length = 0;
    HeardLeg leg;
    std::uint32_t ssrc = 0;
    RtpHeader rtp;
    bool rtcp = false;
    std::uint32_t next = kNoLine;  ///< slot of the subscriber whose turn it is
  };

  void drop(Work& work, DropReason reason);
  void count_unread(Work& work, DropReason reason, std::uint32_t count);
  bool admit(Work& work, Instant now, Outbox& out);
  void pass(Work& work, Instant now, Outbox& out);
  void pass_keepalive(Work& work, Instant now, Outbox& out);
  void know_client(std::uint32_t slot, const LegState& leg);
  bool is_named_source(const Work& work) const;
  void restore_client(std::uint32_t slot, const LegState& leg);
  std::optional<std::uint8_t> source_number(const Work& work, Instant now);
  SocketAddress client_of(const Work& work, Instant now);
  void set_aside(Work& work, bool wanted, DropReason otherwise);
  bool admit_source(Work& work, Instant now);
  SrtpReceiveStream* fresh_receive_state(const Work& work);
  void unprotect_all();
  void note_replay(const Work& work, const SrtpJob& job, Instant now, Notices& notices);
  void count_failure(Work& work, SrtpStatus status);
  void note_source(const Work& work, Heard heard, Instant now, Notices& notices);
  bool accept(Work& work, std::uint64_t index, Instant now, Notices& notices);
  void note_carried(LegState& leg, std::uint32_t line, bool rtcp, Instant now);
  void note_refused_source(LegState& leg, const SocketAddress& source, Instant now);
  void note_unverified(const Work& work, Instant now);
  void note_reports(const Work& work, Instant now);
  void forget_path(std::uint32_t slot, Side side);
  void sample_quality(std::uint32_t slot, Instant now);
  bool attach_stream(Work& work, Instant now);
  std::uint32_t stream_limit(const Work& work) const;
  bool evict_idle(LegState& leg, const SocketTag& tag, Instant now);
  bool in_batch(const StreamState& stream) const;
  bool note_index(StreamState& stream, bool rtcp, std::uint64_t index) const;
  bool may_pass(Work& work);
  bool route(Work& work);
  void protect_all(Outbox& out);
  bool retry_restarted(Work& work, SrtpJob& job);
  void emit(const Work& work, std::uint32_t length, Outbox& out);

  // Subscribers (copies.cc).
  void find_subscribers();
  void add_subscriber(std::uint32_t slot, const HeardLeg& heard);
  void set_heard(std::uint32_t slot, const HeardLeg& heard);
  void leave_subscribers(std::uint32_t slot);
  std::uint32_t first_hearing(const HeardLeg& leg, std::uint32_t subscriber) const;
  unsigned keep_for_subscribers(const Work& work);
  void end_published(Work& work, unsigned subscribers);
  void begin_copy(const Kept& kept, std::uint32_t subscriber, Work& work);

  // Bundles (bundle.cc).
  static std::uint32_t number_of_leg(std::uint32_t slot, Side side) {
    return slot * 2 + index_of(side) + 1;
  }
  /// Slot of the session whose leg has the socket and keys of this one; kNoLine: it is gone.
  std::uint32_t transport_slot(std::uint32_t slot, Side side) const;
  void find_lines();
  void refresh_bundled(std::uint32_t slot);
  void set_transport(std::uint32_t slot, Side side, const BundleConfig& bundle);
  void leave_bundles(std::uint32_t slot);
  void give_up_streams(std::uint32_t line);
  bool bury(std::uint32_t receiver, Side side, const StreamState& stream);
  bool sort_bundled(Work& work);
  std::uint32_t line_of_rtp(const Work& work) const;
  std::uint32_t line_of_rtcp(const Work& work);
  bool rides(std::uint32_t line, const SocketTag& transport) const;
  bool move_stream(Work& work);
  bool ssrc_in_use(const Work& work);
  bool is_pending(const StreamState& stream) const;

  LegStats leg_stats(std::uint32_t slot, Side side) const;
  std::uint64_t accepted_by(std::uint32_t transport, Side side) const;
  StreamState* find_stream(const LegState& leg, std::uint32_t ssrc);
  std::uint32_t cache_slot(const Work& work, bool receive) const;
  void resume(LegState& leg, Instant now);
  void set_timer(std::uint32_t slot, Instant now);
  void check_leg(std::uint32_t slot, Side side, Instant now, Outbox& out, Notices& notices);
  Instant silence_due(const LegState& leg) const;
  void check_silence(std::uint32_t slot, Side side, Instant now, Notices& notices);
  void rekey(SessionState& session, std::uint32_t slot, Side side, const LegConfig& previous);
  const PastKeys* find_past_keys(const SocketTag& leg, const SrtpKeying& receive,
                                 const SrtpKeying& send) const;
  void remember_keys(const SocketTag& leg, const SessionState& session, const LegConfig& previous);
  bool remember_graves(const TombstoneList& list, std::vector<PastStream>& streams) const;
  bool restore_indices(const PastKeys& past, const SocketTag& leg);
  StreamState* find_sent(const SocketTag& leg, std::uint32_t ssrc);
  void forget_received(LegState& leg);
  void forget_sent(std::uint32_t slot, Side side);
  /// Of all m-lines that the leg has the transport of.
  std::vector<std::uint32_t> streams_sent_by(std::uint32_t slot, Side side) const;
  void drop_streams(LegState& leg);

  Arena& arena_;
  EngineLimits limits_;
  ShardCounters& counters_;
  SrtpTransform transform_;
  TimerWheel timers_;
  PastKeysByLeg past_keys_;
  std::vector<std::unique_ptr<ClientSources[]>>
      clients_;  // by slot, of opaque sessions; by component
  Lines lines_;
  Lines subscribers_;  // by leg that is heard

  // Scratch of one batch.
  std::array<Work, kBatchPacketsMax> work_{};
  std::size_t work_count_ = 0;
  std::size_t kept_count_ = 0;  // of these, from the front: accepted so far
  std::array<SrtpJob, kBatchPacketsMax> jobs_{};
  std::array<SrtpReceiveStream, kBatchPacketsMax> fresh_{};
  std::size_t fresh_count_ = 0;
  std::array<Packet*, kBatchPacketsMax> strays_{};
  std::size_t stray_count_ = 0;
  Batch kept_;    // what Kept tells of, in its order
  Batch copies_;  // of one round
  std::array<Kept, kBatchPacketsMax> kept_packets_{};
  std::size_t copied_count_ = 0;  // of these, from the front
};

}  // namespace turnpike::media
