// The engine where others hear a leg as well (docs/adr/0016-subscribers-hear-a-leg.md): a
// subscriber is side A of a session of its own, whose side B has no remote end but stands for the
// leg that is heard. So each has its own ports, keys, SRTP indices and figures, and nothing that it
// sends goes anywhere.
//
// A packet is kept as it comes out of its leg, before it is protected for the other one, and is
// copied once for each subscriber: a round of copies fills the outbox once, and the shard sends it
// before the next. Nothing is allocated; how many there are is bounded by kSubscribersPerLegMax.
#include <cstring>

#include "relay/media/engine.h"

namespace turnpike::media {

void Engine::find_subscribers() {
  for (std::uint32_t slot = 0; slot < arena_.session_capacity(); ++slot) {
    if (arena_.session(slot).generation == 0) continue;
    const LegConfig& config = arena_.session(slot).legs[index_of(Side::kB)].config;
    if (config.absent) add_subscriber(slot, config.hears);
  }
}

// Only side B of a session hears, and one leg at most: that it lies in the list by the side of the
// leg which it hears makes no two of them one.
void Engine::add_subscriber(std::uint32_t slot, const HeardLeg& heard) {
  const SessionId& wanted = heard.session;
  if (wanted.slot == slot || arena_.find(wanted.slot, wanted.generation) == nullptr) return;
  if (subscribers_.count(wanted.slot, heard.side) >= kSubscribersPerLegMax) return;
  subscribers_.add(wanted.slot, heard.side, slot);
}

void Engine::set_heard(std::uint32_t slot, const HeardLeg& heard) {
  const HeardLeg before = arena_.session(slot).legs[index_of(Side::kB)].config.hears;
  // A slot that is another session's by now has forgotten who heard it: looking there is no harm.
  if (before.session.is_set() && before.session.slot < arena_.session_capacity()) {
    subscribers_.remove(before.session.slot, before.side, slot);
  }
  add_subscriber(slot, heard);
}

void Engine::leave_subscribers(std::uint32_t slot) {
  set_heard(slot, HeardLeg{});
  for (const Side side : {Side::kA, Side::kB}) {
    for (std::uint32_t one = subscribers_.first(slot, side); one != kNoLine;
         one = subscribers_.first(slot, side)) {
      subscribers_.remove(slot, side, one);
    }
  }
}

// The first one from `subscriber` on that hears this leg. All in its list do: a session takes its
// list along when it ends. Should it ever not, the next call in its slot is still heard by nobody
// who did not ask for it.
std::uint32_t Engine::first_hearing(const HeardLeg& leg, std::uint32_t subscriber) const {
  for (; subscriber != kNoLine; subscriber = subscribers_.next(subscriber, leg.side)) {
    const HeardLeg& hears = arena_.session(subscriber).legs[index_of(Side::kB)].config.hears;
    if (hears.side == leg.side && hears.session.slot == leg.session.slot &&
        hears.session.generation == leg.session.generation) {
      break;
    }
  }
  return subscriber;
}

// Returns how many there are. Of a packet without another end, one copy stands for the packet.
unsigned Engine::keep_for_subscribers(const Work& work) {
  const Side side = work.packet->tag.side;
  if (subscribers_.first(work.line, side) == kNoLine) return 0;
  const HeardLeg leg{{work.line, work.session->generation, 0}, side};
  const std::uint32_t first = first_hearing(leg, subscribers_.first(work.line, side));
  if (first == kNoLine) return 0;
  const std::size_t at = kept_.size();
  Packet& packet = *kept_.next();  // a batch has no more packets than this has room for
  std::memcpy(packet.data, work.packet->data, work.packet->length);
  kept_.commit();
  kept_packets_[at] = {work.packet->length, leg, work.ssrc, work.rtp, work.rtcp, first};
  unsigned count = 0;
  for (std::uint32_t one = first; one != kNoLine; ++count) {
    one = first_hearing(leg, subscribers_.next(one, side));
  }
  counters_.packets_copied.add(work.to->config.absent ? count - 1 : count);
  return count;
}

void Engine::end_published(Work& work, unsigned subscribers) {
  if (subscribers != 0) return;
  const bool subscribes = work.to->config.hears.session.is_set();
  drop(work, subscribes ? DropReason::kFromSubscriber : DropReason::kNotHeard);
}

void Engine::begin_copy(const Kept& kept, std::uint32_t subscriber, Work& work) {
  Packet& packet = *copies_.next();
  work.session = &arena_.session(subscriber);
  work.from = work.receiver = &work.session->legs[index_of(Side::kB)];
  work.to = work.sender = &work.session->legs[index_of(Side::kA)];
  work.line = work.sender_slot = subscriber;
  work.sender_generation = work.session->generation;
  packet.tag = {subscriber, work.session->generation, Side::kB, Component::kRtp};
  packet.length = kept.length;
  packet.shed_behind = packet.overflowed = 0;
  work.packet = &packet;
  work.ssrc = kept.ssrc;
  work.rtp = kept.rtp;
  work.rtcp = kept.rtcp;
  copies_.commit();
  work.stream = find_stream(*work.from, work.ssrc);
}

bool Engine::copy(Instant now, Outbox& out, Notices& notices) {
  copies_.clear();
  work_count_ = 0;
  fresh_count_ = 0;
  while (copied_count_ < kept_.size() && work_count_ < kBatchPacketsMax) {
    Kept& kept = kept_packets_[copied_count_];
    if (kept.next == kNoLine) {
      ++copied_count_;
      continue;
    }
    const std::uint32_t subscriber = kept.next;
    kept.next = first_hearing(kept.leg, subscribers_.next(subscriber, kept.leg.side));
    Work& work = work_[work_count_] = Work{};
    begin_copy(kept, subscriber, work);
    std::memcpy(work.packet->data, kept_[copied_count_].data, kept.length);
    ++work_count_;
  }
  if (work_count_ == 0) return false;
  kept_count_ = 0;
  for (std::size_t i = 0; i < work_count_; ++i) {
    Work& work = work_[i];
    if (!accept(work, 0, now, notices)) continue;
    if (work.from->switches.any() && !work.rtcp && !may_pass(work)) continue;
    if (!route(work)) continue;
    work_[kept_count_++] = work;
  }
  work_count_ = kept_count_;
  protect_all(out);
  return true;
}

}  // namespace turnpike::media
