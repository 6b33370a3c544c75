// The packet path: admit -> unprotect -> accept -> route -> protect -> emit, each over the batch.
#include "relay/media/engine.h"

#include "relay/core/check.h"
#include "relay/media/stream_stats.h"
#include "relay/wire/classify.h"
#include "relay/wire/rtp_silence.h"

namespace turnpike::media {
namespace {

constexpr std::uint16_t kFirstUnprivilegedPort = 1024;
/// Packets in sequence at used indices that show a restarted sender rather than duplicates.
constexpr std::uint8_t kRestartRun = 3;
static_assert(kTailroomBytes >= kSrtpTrailerBytesMax);

DropReason reason_of(SrtpStatus status, bool rtcp) {
  switch (status) {
    case SrtpStatus::kAuthFailed:
      return DropReason::kAuthFailed;
    case SrtpStatus::kWrongMki:
      return DropReason::kWrongMki;
    case SrtpStatus::kReplayed:
      return DropReason::kReplayed;
    case SrtpStatus::kTooOld:
      return DropReason::kTooOld;
    case SrtpStatus::kIndexUsed:
      return DropReason::kSendIndexUsed;
    case SrtpStatus::kKeyExhausted:
      return DropReason::kKeyExhausted;
    case SrtpStatus::kNoRoom:
      return DropReason::kTooLong;
    case SrtpStatus::kOk:
    case SrtpStatus::kMalformed:
      break;
  }
  return rtcp ? DropReason::kMalformedRtcp : DropReason::kMalformedRtp;
}

}  // namespace

Engine::Engine(Arena& arena, const EngineLimits& limits, ShardCounters& counters)
    : arena_(arena),
      limits_(limits),
      counters_(counters),
      transform_(std::size_t{arena.session_capacity()} * 4, limits.srtp_library),
      timers_(arena.session_capacity()),
      clients_(arena.session_capacity()),
      lines_(arena.session_capacity()),
      subscribers_(arena.session_capacity()) {
  find_lines();
  find_subscribers();
}

void Engine::handle(Instant now, Batch& batch, Outbox& out, Notices& notices) {
  work_count_ = 0;
  fresh_count_ = 0;
  stray_count_ = 0;
  kept_.clear();
  copied_count_ = 0;
  for (std::size_t i = 0; i < batch.size(); ++i) {
    Work& work = work_[work_count_];
    work = Work{};
    work.packet = &batch[i];
    counters_.packets_received.add();
    counters_.bytes_received.add(batch[i].length);
    if (admit(work, now, out)) ++work_count_;
  }
  unprotect_all();
  kept_count_ = 0;
  std::size_t job = 0;
  for (std::size_t i = 0; i < work_count_; ++i) {
    Work& work = work_[i];
    std::uint64_t index = 0;
    if (is_keyed(work.receiver->receive)) {
      const SrtpJob& done = jobs_[job++];
      if (done.status != SrtpStatus::kOk) {
        count_failure(work, done.status);
        if (done.status == SrtpStatus::kAuthFailed) note_unverified(work, now);
        note_replay(work, done, now, notices);
        drop(work, reason_of(done.status, work.rtcp));
        continue;
      }
      work.packet->length = done.length;
      index = done.index;
    }
    if (work.session->bundled && !sort_bundled(work)) continue;
    if (!accept(work, index, now, notices)) continue;
    if (work.from->switches.any() && !work.rtcp && !may_pass(work)) continue;
    const unsigned subscribers = keep_for_subscribers(work);
    if (work.to->config.absent) {
      end_published(work, subscribers);
      continue;
    }
    if (!route(work)) continue;
    work_[kept_count_++] = work;
  }
  work_count_ = kept_count_;
  protect_all(out);
}

void Engine::drop(Work& work, DropReason reason) {
  counters_.drops[static_cast<std::size_t>(reason)].add();
  if (work.from != nullptr) ++work.from->drops[static_cast<std::size_t>(reason)];
}

void Engine::drop_unowned(DropReason reason) {
  counters_.drops[static_cast<std::size_t>(reason)].add();
}

void Engine::count_unread(Work& work, DropReason reason, std::uint32_t count) {
  counters_.packets_received.add(count);
  counters_.drops[static_cast<std::size_t>(reason)].add(count);
  work.from->drops[static_cast<std::size_t>(reason)] += count;
}

void Engine::set_aside(Work& work, bool wanted, DropReason otherwise) {
  if (!wanted) return drop(work, otherwise);
  strays_[stray_count_++] = work.packet;
}

void Engine::refuse(const Packet& packet, DropReason reason) {
  drop_unowned(reason);
  note_refused(packet, reason);
}

void Engine::note_refused(const Packet& packet, DropReason reason) {
  SessionState* session = arena_.find(packet.tag.slot, packet.tag.generation);
  if (session == nullptr) return;
  ++session->legs[index_of(packet.tag.side)].drops[static_cast<std::size_t>(reason)];
}

bool Engine::admit(Work& work, Instant now, Outbox& out) {
  const Packet& packet = *work.packet;
  work.session = arena_.find(packet.tag.slot, packet.tag.generation);
  if (work.session == nullptr) return drop(work, DropReason::kNoSession), false;
  work.from = &work.session->legs[index_of(packet.tag.side)];
  work.to = &work.session->legs[index_of(other(packet.tag.side))];
  work.receiver = work.from;
  work.sender = work.to;
  work.line = work.sender_slot = packet.tag.slot;
  work.sender_generation = packet.tag.generation;
  if ((packet.shed_behind | packet.overflowed) != 0) {
    count_unread(work, DropReason::kOverload, packet.shed_behind);
    count_unread(work, DropReason::kQueueFull, packet.overflowed);
  }

  if (packet.length > kPayloadBytesMax) return drop(work, DropReason::kTruncated), false;
  if (work.from->config.opaque) return pass(work, now, out), false;
  switch (classify(packet.data, packet.length)) {
    case PacketKind::kRtp:
      if (!parse_rtp(packet.data, packet.length, work.rtp)) {
        return drop(work, DropReason::kMalformedRtp), false;
      }
      work.ssrc = work.rtp.ssrc;
      break;
    case PacketKind::kRtcp:
      if (packet.length < kRtcpHeaderBytes) return drop(work, DropReason::kTooShort), false;
      work.rtcp = true;
      work.ssrc = rtcp_sender_ssrc(packet.data);
      break;
    case PacketKind::kStun:
      return set_aside(work, work.from->config.ice, DropReason::kUnexpectedStun), false;
    case PacketKind::kDtls:
      return set_aside(work, work.from->config.dtls, DropReason::kUnexpectedDtls), false;
    case PacketKind::kUnknown:
      return drop(work, packet.length < 2 ? DropReason::kTooShort : DropReason::kUnknownProtocol),
             false;
  }
  return admit_source(work, now);
}

bool Engine::admit_source(Work& work, Instant now) {
  const Packet& packet = *work.packet;
  LegState& leg = *work.from;
  const Component expected = work.rtcp ? rtcp_component(leg) : Component::kRtp;
  if (leg.closed) return drop(work, DropReason::kPeerClosed), false;
  if (packet.tag.component != expected) {
    return drop(work, DropReason::kUnexpectedComponent), false;
  }
  if (packet.source.port < kFirstUnprivilegedPort) {
    note_refused_source(leg, packet.source, now);
    return drop(work, DropReason::kReservedSourcePort), false;
  }
  if (is_keyed(leg.receive)) {
    work.stream = find_stream(leg, work.ssrc);
    if (work.stream == nullptr) work.fresh = fresh_receive_state(work);
    return true;
  }
  if (leg.config.must_encrypt) return drop(work, DropReason::kNotKeyed), false;
  if (work.rtcp && !rtcp_compound_is_valid(packet.data, packet.length)) {
    return drop(work, DropReason::kMalformedRtcp), false;
  }
  if (!accept_plain(leg, packet.tag.component, packet.source, now)) {
    note_refused_source(leg, packet.source, now);
    return drop(work, DropReason::kWrongSource), false;
  }
  work.stream = find_stream(leg, work.ssrc);
  return true;
}

std::uint32_t Engine::cache_slot(const Work& work, bool receive) const {
  const SocketTag& tag = work.packet->tag;
  if (receive) return tag.slot * 4 + index_of(tag.side) * 2;
  return work.sender_slot * 4 + index_of(other(tag.side)) * 2 + 1;
}

void Engine::unprotect_all() {
  std::size_t count = 0;
  for (std::size_t i = 0; i < work_count_; ++i) {
    Work& work = work_[i];
    if (!is_keyed(work.receiver->receive)) continue;
    SrtpJob& job = jobs_[count++];
    job = SrtpJob{};
    job.data = work.packet->data;
    job.length = work.packet->length;
    job.capacity = kPayloadBytesMax + kTailroomBytes;
    job.rtcp = work.rtcp;
    job.cache_slot = cache_slot(work, true);
    job.context = &work.receiver->receive;
    job.receive = work.stream != nullptr ? &work.stream->receive : work.fresh;
  }
  if (count != 0) transform_.unprotect({jobs_.data(), count});
}

// Only of an SSRC that has proven itself: random ones leave no trace.
void Engine::count_failure(Work& work, SrtpStatus status) {
  // An earlier packet of the same batch may have been its first.
  if (work.stream == nullptr) work.stream = find_stream(*work.receiver, work.ssrc);
  if (work.stream == nullptr) return;
  if (status == SrtpStatus::kAuthFailed) ++work.stream->auth_failures;
  if (status == SrtpStatus::kReplayed || status == SrtpStatus::kTooOld) ++work.stream->replays;
}

// A copy that overtook the original makes the original look like a replay: where that could decide
// about a source, it gets the benefit of a checked tag.
void Engine::note_replay(const Work& work, const SrtpJob& job, Instant now, Notices& notices) {
  if (job.status != SrtpStatus::kReplayed) return;
  if (!copy_matters(*work.receiver, work.packet->tag.component, now)) return;
  if (transform_.verify_tag(job)) note_source(work, Heard::kCopy, now, notices);
}

void Engine::note_source(const Work& work, Heard heard, Instant now, Notices& notices) {
  const SocketTag& tag = work.packet->tag;
  LegState& leg = *work.receiver;
  if (!note_authenticated(leg, tag.component, work.packet->source, heard, now)) return;
  counters_.source_moves.add();
  if (tag.component == Component::kRtp) forget_path(tag.slot, tag.side);
  static_cast<void>(
      notices.push({EventKind::kSourceMoved, tag.slot, tag.generation, tag.side, tag.component,
                    leg.component[index_of(tag.component)].destination}));
}

bool Engine::accept(Work& work, std::uint64_t index, Instant now, Notices& notices) {
  LegState& leg = *work.from;
  const Packet& packet = *work.packet;
  if (!attach_stream(work, now)) return drop(work, DropReason::kStreamLimit), false;
  if (is_keyed(work.receiver->receive)) {
    const bool newest = note_index(*work.stream, work.rtcp, index);
    note_source(work, newest ? Heard::kNewest : Heard::kLate, now, notices);
    if (work.rtcp && !rtcp_compound_is_valid(packet.data, packet.length)) {
      return drop(work, DropReason::kMalformedRtcp), false;
    }
  }
  leg.last_packet = now;
  if (!work.rtcp) leg.last_rtp = now;
  if (is_reachable(*work.sender) || work.to->config.absent)
    note_carried(leg, work.line, work.rtcp, now);
  if (work.rtcp) {
    ++leg.rtcp_received;
    note_reports(work, now);
    if (work.stream != nullptr) {
      ++work.stream->rtcp_packets;
      work.stream->last_packet = now;
    }
    return true;
  }
  ++leg.packets_received;
  leg.bytes_received += packet.length;
  count_rtp(*work.stream, work.rtp, packet.length, leg.config.clock_rate_hz, now);
  return true;
}

void Engine::note_carried(LegState& leg, std::uint32_t line, bool rtcp, Instant now) {
  leg.last_carried = now;
  if (!rtcp) leg.last_rtp_carried = now;
  const bool ends_silence = leg.silence_told && !rtcp;
  if (!leg.timed_out && !ends_silence) return;
  leg.timed_out = false;
  if (ends_silence) leg.silence_told = false;
  set_timer(line, now);
}

bool Engine::note_index(StreamState& stream, bool rtcp, std::uint64_t index) const {
  if (rtcp) {
    const auto value = static_cast<std::uint32_t>(index);
    const bool newest = stream.rtcp_packets == 0 || value > stream.newest_rtcp_index;
    if (newest) stream.newest_rtcp_index = value;
    return newest;
  }
  const bool newest = stream.packets == 0 || index > stream.newest_rtp_index;
  if (newest) stream.newest_rtp_index = index;
  return newest;
}

// What is stopped here counts as carried: its end is there and does what it should.
bool Engine::may_pass(Work& work) {
  if (work.from->switches.blocked) return drop(work, DropReason::kBlocked), false;
  if (!make_silent(work.packet->data, work.packet->length, work.rtp)) {
    return drop(work, DropReason::kSilenced), false;
  }
  return true;
}

bool Engine::route(Work& work) {
  LegState& to = *work.sender;
  if (to.closed) return drop(work, DropReason::kPeerClosed), false;
  work.to_component = work.rtcp ? rtcp_component(to) : Component::kRtp;
  work.destination = to.component[index_of(work.to_component)].destination;
  if (!work.destination.is_set()) return drop(work, DropReason::kNoDestination), false;
  // DTLS gave keys to the RTP component alone, wherever ICE found the other one.
  if (to.config.dtls && work.to_component != Component::kRtp) {
    return drop(work, DropReason::kNotKeyed), false;
  }
  if (to.config.must_encrypt && !is_keyed(to.send)) return drop(work, DropReason::kNotKeyed), false;
  return true;
}

void Engine::protect_all(Outbox& out) {
  std::size_t count = 0;
  for (std::size_t i = 0; i < work_count_; ++i) {
    Work& work = work_[i];
    if (!is_keyed(work.sender->send)) continue;
    if (!work.rtcp && work.stream->sequence_offset != 0) {
      write_rtp_sequence(work.packet->data, static_cast<std::uint16_t>(
                                                work.rtp.sequence + work.stream->sequence_offset));
    }
    SrtpJob& job = jobs_[count++];
    job = SrtpJob{};
    job.data = work.packet->data;
    job.length = work.packet->length;
    job.capacity = kPayloadBytesMax + kTailroomBytes;
    job.rtcp = work.rtcp;
    job.cache_slot = cache_slot(work, false);
    job.context = &work.sender->send;
    job.send = &work.stream->send;
  }
  if (count != 0) transform_.protect({jobs_.data(), count});
  std::size_t next = 0;
  for (std::size_t i = 0; i < work_count_; ++i) {
    Work& work = work_[i];
    if (!is_keyed(work.sender->send)) {
      emit(work, work.packet->length, out);
      continue;
    }
    SrtpJob& job = jobs_[next++];
    if (job.status == SrtpStatus::kOk) {
      work.stream->restart_run = 0;  // a network that duplicates packets is no restart
      emit(work, job.length, out);
    } else if (retry_restarted(work, job)) {
      emit(work, job.length, out);
    } else {
      drop(work, reason_of(job.status, work.rtcp));
    }
  }
}

// A sender may begin its sequence anew under the same SSRC (a rebooted gateway, a moved stream).
// Its numbers are then shifted to follow the highest one sent, so that no index is used twice and
// the receiver sees one unbroken sequence.
bool Engine::retry_restarted(Work& work, SrtpJob& job) {
  if (job.status != SrtpStatus::kIndexUsed || work.rtcp) return false;
  StreamState& stream = *work.stream;
  const bool in_sequence = stream.restart_run != 0 && work.rtp.sequence == stream.restart_next;
  stream.restart_run = in_sequence ? static_cast<std::uint8_t>(stream.restart_run + 1) : 1;
  stream.restart_next = static_cast<std::uint16_t>(work.rtp.sequence + 1);
  if (stream.restart_run < kRestartRun) return false;
  stream.restart_run = 0;
  const auto next = static_cast<std::uint16_t>(stream.send.rtp_highest + 1);
  stream.sequence_offset = static_cast<std::uint16_t>(next - work.rtp.sequence);
  write_rtp_sequence(work.packet->data, next);
  job.length = work.packet->length;
  job.status = SrtpStatus::kOk;
  transform_.protect({&job, 1});
  return job.status == SrtpStatus::kOk;
}

void Engine::emit(const Work& work, std::uint32_t length, Outbox& out) {
  const SocketTag tag{work.sender_slot, work.sender_generation, other(work.packet->tag.side),
                      work.to_component};
  const bool pushed =
      out.push({work.packet->data, length, tag, work.destination, false, work.rtcp, work.line});
  CHECK(pushed);  // one send per packet of the batch, and the outbox is as large as a batch
}

void Engine::sent(const Send& send, Instant now) {
  SessionState* session = arena_.find(send.tag.slot, send.tag.generation);
  if (session == nullptr) return;
  session->legs[index_of(send.tag.side)].component[index_of(send.tag.component)].last_sent = now;
  if (send.keepalive) {
    counters_.keepalives_sent.add();
    return;
  }
  counters_.packets_forwarded.add();
  counters_.bytes_forwarded.add(send.length);
  LegState& leg = arena_.session(send.line).legs[index_of(send.tag.side)];
  if (send.rtcp) {
    ++leg.rtcp_sent;
  } else {
    ++leg.packets_sent;
    leg.bytes_sent += send.length;
  }
}

void Engine::send_failed(const Send& send, DropReason reason) {
  if (send.keepalive) return;
  counters_.drops[static_cast<std::size_t>(reason)].add();
  if (arena_.find(send.tag.slot, send.tag.generation) == nullptr) return;
  SessionState& session = arena_.session(send.line);
  ++session.legs[index_of(other(send.tag.side))].drops[static_cast<std::size_t>(reason)];
}

}  // namespace turnpike::media
