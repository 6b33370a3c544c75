#include "relay/shard.h"

#include <algorithm>

#include "relay/core/check.h"

namespace turnpike {
namespace {

// Full batches in one turn of the loop before timers and commands get theirs.
constexpr int kBatchesPerTurn = 8;
// How often every socket is asked in one turn: a burst of video on one of them gets on faster.
constexpr int kRoundsPerTurn = 4;
// And when one of them had something each time: a flood that begins before the relay knows its
// remote end must not push that end's packets out of the buffer while there is time to read them.
constexpr int kRoundsInBacklog = 64;

// Of TURN, in one turn: a batch of it takes as long as one of media. Less while media waits, so
// that no flood of requests makes calls late.
constexpr int kTurnBatches = 8;
constexpr int kTurnBatchesBesideMedia = 2;

// Before the shard ends; under load there is always something left.
constexpr int kLastTurnsMax = 20;

// Sockets, and at a node of a traversal pair the flows to the other node beside them.
std::unique_ptr<UdpIo> with_flows(const ShardSetup& setup, std::uint32_t sessions_max,
                                  std::unique_ptr<UdpIo> sockets, ShardCounters& counters,
                                  MuxIo*& mux) {
  if (setup.pair_role == PairRole::kNone) return sockets;
  auto both = std::make_unique<MuxIo>(std::move(sockets), setup.index, sessions_max,
                                      setup.edge_flows, counters);
  mux = both.get();
  for (std::size_t i = 0; i < setup.flow_fds.size(); ++i) {
    CHECK(both->add_port(setup.flow_fds[i], static_cast<std::uint32_t>(i)));
  }
  return both;
}

template <typename Call>
void for_each_socket(const SocketTag& id, Call call) {
  for (const Side side : {Side::kA, Side::kB}) {
    for (const Component component : {Component::kRtp, Component::kRtcp}) {
      call(SocketTag{id.slot, id.generation, side, component});
    }
  }
}

}  // namespace

Shard::Shard(const ShardSetup& setup, media::Arena& arena, std::unique_ptr<UdpIo> io,
             HandshakeThread& handshakes, std::function<void()> on_event)
    : setup_(setup),
      engine_(arena, setup.limits, counters_),
      tick_(setup.tick),
      io_(with_flows(setup, arena.session_capacity(), std::move(io), counters_, mux_)),
      taps_(setup.index, engine_),
      transport_(
          setup.index, arena.session_capacity(), engine_, *io_, handshakes, counters_,
          [this](const Event& event) {
            if (!publish(event)) counters_.events_dropped.add();
          },
          &taps_),
      on_event_(std::move(on_event)),
      sockets_(arena.session_capacity()),
      loop_(io_->poll_fd(), setup.turn != nullptr ? setup.turn->poll_fd() : -1,
            {[this] { on_wake(); }, [this] { on_readable(); }, [this] { on_timer(); }}),
      thread_([this] { run(); }) {}

Shard::~Shard() {
  stop();
}

void Shard::stop() {
  if (!thread_.joinable()) return;
  loop_.stop();
  thread_.join();
}

void Shard::note_load(Instant now, unsigned busy_max_percent) {
  const Nanoseconds used = cpu_time_of(thread_.native_handle());
  const auto micros = static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(used).count());
  counters_.cpu_us.add(micros - std::min(micros, counters_.cpu_us.value()));
  load_.note(used, now);
  load_of_calls_.note(used - std::min(used, turn_time_.load(std::memory_order_relaxed)), now);
  if (setup_.turn != nullptr) {
    setup_.turn->set_busy(busy_max_percent < 100 && load_.percent() >= busy_max_percent);
  }
}

void Shard::run() {
  if (setup_.cpu >= 0) static_cast<void>(pin_to_core(setup_.cpu));
  make_pauses_exact();
  ask_for_short_turns();
  if (mux_ != nullptr) {
    mux_->on_fate([this](const Send& send, SendResult result) { account(send, result); });
  }
  engine_.resume(monotonic_now());
  schedule(monotonic_now());
  loop_.run();
  // Control has promised these: the next process finds them carried out.
  for (; commands_.front() != nullptr && has_room(); commands_.pop()) {
    apply(*commands_.front(), monotonic_now());
  }
  // What waits in sockets that nobody keeps for the next process would be lost.
  for (int turn = 0; turn < kLastTurnsMax; ++turn) {
    if (drain().left == Waiting::kNothing) break;
  }
}

void Shard::on_wake() {
  const Instant now = monotonic_now();
  // A closing session must be able to say so, or its ports would be lost: commands wait for room.
  transport_.take_results();
  while (has_room()) {
    const Command* command = commands_.front();
    if (command == nullptr) break;
    apply(*command, now);
    commands_.pop();
  }
  if (setup_.turn != nullptr && setup_.turn->take_requests(now)) on_event_();
  note_lateness(now, timer_due_);
  if (room_wanted_.exchange(false)) {
    on_event_();
  }
  schedule(now);
}

bool Shard::has_room() {
  return !events_.full() && transport_.has_room();
}

void Shard::apply(const Command& command, Instant now) {
  counters_.commands.add();
  switch (command.kind) {
    case CommandKind::kOpen:
      engine_.open(command.id, command.media, command.local, now, command.other_local);
      open_sockets(command);
      break;
    case CommandKind::kAdopt:
      open_sockets(command);
      for (const Side side : {Side::kA, Side::kB}) carry_adopted(command.id, side);
      break;
    case CommandKind::kUpdateLeg:
      engine_.update_leg(command.id, command.id.side, command.leg, now);
      carry(command.id, command.id.side);
      transport_.leg_updated(command.id, now);
      break;
    case CommandKind::kUpdateTransport:
      transport_.update(command.id, command.transport, now);
      break;
    case CommandKind::kSwitchMedia:
      engine_.switch_media(command.id, command.id.side, command.switches);
      break;
    case CommandKind::kQuery:
      event_ = Event{};
      event_.kind = EventKind::kSessionStats;
      event_.session = {command.id.slot, command.id.generation, setup_.index};
      event_.token = command.token;
      if (!engine_.stats(command.id, event_.stats)) break;
      report(command.id, event_.stats);
      static_cast<void>(publish(event_));
      break;
    case CommandKind::kClose:
      close_session(command);
      break;
    case CommandKind::kSetFlow:
      set_flow(command, now);
      break;
    case CommandKind::kSetLimits:
      engine_.set_limits(command.limits);
      break;
    case CommandKind::kCapture:
      taps_.add(command.tap, *command.tap_ring);
      break;
    case CommandKind::kEndCapture:
      taps_.remove(command.tap);
      break;
    case CommandKind::kNone:
      break;
  }
}

void Shard::open_sockets(const Command& command) {
  const SessionSockets& sockets = sockets_[command.id.slot] = command.sockets;
  for_each_socket(command.id, [&](const SocketTag& tag) {
    const unsigned side = index_of(tag.side);
    const unsigned component = index_of(tag.component);
    const int fd = sockets.fd[side][component];
    bool watched = fd < 0 || io_->add(fd, tag);
    if (const int other = sockets.other_fd[side][component]; other >= 0) {
      const AddressFamily family = command.other_local[side][component].ip.family;
      watched = io_->add_other_family(other, tag, family) && watched;
    }
    if (!watched) engine_.drop_unowned(DropReason::kNoSession);
  });
}

void Shard::carry(const SocketTag& session, Side side) {
  const SocketTag tag{session.slot, session.generation, side, Component::kRtp};
  const media::LegState* leg = engine_.find_leg(tag);
  if (mux_ == nullptr || leg == nullptr || leg->local[0].is_set() || leg->config.absent) return;
  mux_->carry(tag, leg->config.carriage);
}

// Flows are new, whatever numbers they have, and peers may be others: control says which one it is.
void Shard::carry_adopted(const SocketTag& session, Side side) {
  const SocketTag tag{session.slot, session.generation, side, Component::kRtp};
  const media::LegState* leg = engine_.find_leg(tag);
  if (mux_ == nullptr || leg == nullptr || leg->local[0].is_set() || leg->config.absent) return;
  mux_->carry(tag, Carriage{});
}

void Shard::set_flow(const Command& command, Instant now) {
  const int fd = command.sockets.fd[0][0];
  CHECK(mux_ != nullptr && command.flow.edge < kEdgesMax);
  if (!mux_->set_flow(fd, command.flow, now)) engine_.drop_unowned(DropReason::kFlowUnbound);
}

FlowReport Shard::flow_report(std::uint16_t edge, Instant now) const {
  return mux_ == nullptr || edge >= kEdgesMax ? FlowReport{} : mux_->flow_report(edge, now);
}

void Shard::report(const SocketTag& session, SessionStats& stats) {
  transport_.report(session, stats);
  for (const Side side : {Side::kA, Side::kB}) {
    LegEvidence& evidence = stats.legs[index_of(side)].evidence;
    const SendErrors errors = io_->errors_of(
        engine_.transport_of({session.slot, session.generation, side, Component::kRtp}));
    if (errors.to != evidence.destination) continue;  // of an address before
    evidence.sends_refused = errors.refused;
    evidence.sends_unreachable = errors.unreachable;
    evidence.send_error_last = errors.last;
  }
}

void Shard::close_session(const Command& command) {
  event_ = Event{};
  event_.kind = EventKind::kSessionClosed;
  event_.session = {command.id.slot, command.id.generation, setup_.index};
  event_.token = command.token;
  transport_.say_goodbye(command.id);
  if (!engine_.stats(command.id, event_.stats)) return;
  report(command.id, event_.stats);
  engine_.close(command.id);
  transport_.close(command.id);
  taps_.forget(command.id);
  SessionSockets& sockets = sockets_[command.id.slot];
  for_each_socket(command.id, [&](const SocketTag& tag) {
    for (const auto& fds : {sockets.other_fd, sockets.fd}) {
      const int fd = fds[index_of(tag.side)][index_of(tag.component)];
      if (fd >= 0) io_->remove(fd, tag);
    }
  });
  sockets = SessionSockets{};
  if (mux_ != nullptr) mux_->forget(command.id);
  CHECK(publish(event_));  // on_wake applies commands only while there is room
}

void Shard::on_readable() {
  counters_.wakeups.add();
  const Instant begin = monotonic_now();
  note_lateness(begin, timer_due_);
  Turn turn = drain();
  bool served = turn.left != Waiting::kMore;
  // Media that comes while TURN has its share was not late before that.
  const bool rests = turn.left == Waiting::kNothing || (setup_.turn != nullptr && !io_->readable());
  Instant turns_time = begin;
  if (setup_.turn != nullptr) {
    if (turn.packets != 0) turns_time = monotonic_now();
    served = drain_turn(turn) && served;
  }
  const Instant end = monotonic_now();
  if (setup_.turn != nullptr) note_turn(end - turns_time);
  note_lateness(end, begin);
  const Instant next = served ? begin + tick_.after_drain(turn.packets, end) : begin;
  overload_.after_turn(rests || next > end || !io_->readable(), turn.shed, end);
  if (overload_.shedding(end)) shed_at_.store(end.time_since_epoch(), std::memory_order_relaxed);
  if (mux_ != nullptr || setup_.turn != nullptr) schedule(end);  // something may be due sooner now
  // The loop finds the next packets by itself; until then timers and commands get their turn.
  if (next <= end || commands_.front() != nullptr) return;
  pause_for(next - end);
  note_lateness(monotonic_now(), next);
}

// A process that was stopped, or a machine that was moved, heard nobody meanwhile: that is no
// silence of anybody, and what waits in the sockets is old.
void Shard::note_lateness(Instant now, Instant expected) {
  if (expected == Instant::max() || now - expected < OverloadPolicy::kStall) return;
  timer_due_ = Instant::max();  // once for each stall
  overload_.stalled(now);
  engine_.resume(now);
}

Shard::Turn Shard::drain() {
  Turn turn;
  int full = 0;
  int rounds = 0;
  const bool shed = overload_.shedding(monotonic_now());
  io_->begin_turn();
  while (full < kBatchesPerTurn &&
         rounds < (turn.left == Waiting::kBacklog ? kRoundsInBacklog : kRoundsPerTurn)) {
    batch_.clear();
    turn.left = io_->receive(batch_, shed);
    if (turn.left == Waiting::kNothing) break;
    ++(turn.left == Waiting::kMore ? full : rounds);
    turn.packets += batch_.size();
    for (std::size_t k = 0; k < batch_.size(); ++k) turn.shed += batch_[k].shed_behind;
    if (batch_.size() != 0) process_batch(monotonic_now());
  }
  io_->end_turn();
  return turn;
}

void Shard::note_turn(Nanoseconds time) {
  turn_time_.store(turn_time_.load(std::memory_order_relaxed) + time, std::memory_order_relaxed);
}

bool Shard::drain_turn(Turn& turn) {
  const bool media_waits = turn.left == Waiting::kMore || turn.left == Waiting::kBacklog;
  const auto done = setup_.turn->drain(media_waits ? kTurnBatchesBesideMedia : kTurnBatches);
  turn.packets += done.packets;
  return !done.more;
}

void Shard::process_batch(Instant now) {
  counters_.batches.add();
  if (!taps_.empty()) taps_.received(batch_, now);
  engine_.handle(now, batch_, outbox_, notices_);
  flush(now);
  while (engine_.copy(now, outbox_, notices_)) flush(now);
  if (engine_.strays().empty()) return publish_notices(now);
  for (const Packet* packet : engine_.strays()) transport_.handle(*packet, now);
  schedule(now);
  publish_notices(now);
}

void Shard::flush(Instant now) {
  flushed_ = now;
  const bool tapped = !taps_.empty();
  for (const Send& send : outbox_) {
    const SendResult result = io_->post(send);
    const bool left = result == SendResult::kSent || result == SendResult::kWaiting;
    if (tapped && left) taps_.sent(send, now);
    account(send, result);
  }
  outbox_.clear();
}

void Shard::account(const Send& send, SendResult result) {
  switch (result) {
    case SendResult::kWaiting:
      break;
    case SendResult::kSent:
      engine_.sent(send, flushed_);
      break;
    case SendResult::kBlocked:
      engine_.send_failed(send, DropReason::kSendBlocked);
      break;
    case SendResult::kFailed:
      engine_.send_failed(send, DropReason::kSendFailed);
      break;
    case SendResult::kUnbound:
      engine_.send_failed(send, DropReason::kFlowUnbound);
      break;
  }
}

void Shard::publish_notices(Instant now) {
  for (const media::Notice& notice : notices_.items()) {
    event_ = Event{};
    event_.kind = notice.kind;
    event_.session = {notice.slot, notice.generation, setup_.index};
    event_.side = notice.side;
    event_.component = notice.component;
    event_.source = notice.source;
    if (!publish(event_)) {
      counters_.events_dropped.add();
      engine_.not_noticed(notice, now);
    }
  }
  notices_.clear();
}

bool Shard::publish(const Event& event) {
  if (!events_.push(event)) return false;
  on_event_();
  return true;
}

void Shard::on_timer() {
  const Instant now = monotonic_now();
  note_lateness(now, timer_due_);
  engine_.on_deadline(now, outbox_, notices_);
  transport_.on_deadline(now);
  if (mux_ != nullptr) mux_->on_deadline(now);
  if (setup_.turn != nullptr) setup_.turn->on_deadline(now);
  flush(now);
  io_->end_turn();
  publish_notices(now);
  schedule(now);
}

void Shard::schedule(Instant now) {
  Instant due = std::min(engine_.next_deadline(), transport_.next_deadline());
  if (mux_ != nullptr) due = std::min(due, mux_->next_deadline());
  if (setup_.turn != nullptr) due = std::min(due, setup_.turn->next_deadline());
  timer_due_ = std::max(due, now);  // what is overdue already is not late by our fault
  if (due == Instant::max()) return;
  loop_.set_timer(std::chrono::ceil<Milliseconds>(std::max(due - now, Nanoseconds{0})));
}

}  // namespace turnpike
