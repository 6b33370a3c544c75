// Which SSRCs a leg knows: streams come with the first proven packet, idle ones make room, and what
// must never be forgotten of them (used indices) stays behind as a tombstone.
#include <algorithm>
#include <atomic>

#include "relay/media/engine.h"

namespace turnpike::media {
namespace {

constexpr Seconds kStreamIdle{5};

}  // namespace

StreamState* Engine::find_stream(const LegState& leg, std::uint32_t ssrc) {
  for (std::uint32_t i = leg.first_stream; i != kNoStream; i = arena_.stream(i).next) {
    if (arena_.stream(i).ssrc == ssrc) return &arena_.stream(i);
  }
  return nullptr;
}

// Two packets of one new SSRC in one batch share the state that the first of them may set up.
SrtpReceiveStream* Engine::fresh_receive_state(const Work& work) {
  for (std::size_t i = 0; i < work_count_; ++i) {
    const Work& earlier = work_[i];
    if (earlier.fresh != nullptr && earlier.receiver == work.receiver &&
        earlier.ssrc == work.ssrc) {
      return earlier.fresh;
    }
  }
  SrtpReceiveStream& state = fresh_[fresh_count_++];
  state = SrtpReceiveStream{};
  const SocketTag& tag = work.packet->tag;
  const std::uint32_t owner = number_of_leg(tag.slot, tag.side);
  const Tombstone* grave = arena_.tombstones().find(owner, work.ssrc);
  if (grave != nullptr) restore(*grave, state);
  return &state;
}

// Gives a packet that has proven itself the state of its SSRC. A plain RTCP sender needs none.
bool Engine::attach_stream(Work& work, Instant now) {
  if (work.stream == nullptr) work.stream = find_stream(*work.receiver, work.ssrc);
  if (work.stream != nullptr) return true;
  LegState& leg = *work.receiver;
  if (work.rtcp && !is_keyed(leg.receive) && !is_keyed(work.sender->send)) return true;
  const SocketTag& tag = work.packet->tag;
  if (leg.stream_count >= stream_limit(work) && !evict_idle(leg, tag, now)) return false;
  const std::uint32_t index = arena_.take_stream();
  if (index == kNoStream) return false;
  StreamState& stream = arena_.stream(index);
  stream.ssrc = work.ssrc;
  stream.line = work.line;
  stream.last_packet = now;
  const std::uint32_t owner = number_of_leg(work.sender_slot, tag.side);
  const Tombstone* grave = arena_.tombstones().find(owner, work.ssrc);
  if (grave != nullptr) restore(*grave, stream.send);
  if (work.fresh != nullptr) stream.receive = *work.fresh;
  // Complete before it is found, also by a process that adopts what this one leaves.
  std::atomic_signal_fence(std::memory_order_seq_cst);
  stream.next = leg.first_stream;
  leg.first_stream = index;
  ++leg.stream_count;
  work.stream = &stream;
  return true;
}

std::uint32_t Engine::stream_limit(const Work& work) const {
  const std::uint32_t limit = limits_.streams_per_leg_max;
  if (!work.session->bundled) return limit;
  const SocketTag& tag = work.packet->tag;
  const std::uint32_t lines = std::max(1U, lines_.count(tag.slot, tag.side));
  return std::min(limit * lines, std::max(limit, kStreamsPerTransportMax));
}

bool Engine::evict_idle(LegState& leg, const SocketTag& tag, Instant now) {
  std::uint32_t* oldest = nullptr;
  for (std::uint32_t* link = &leg.first_stream; *link != kNoStream;
       link = &arena_.stream(*link).next) {
    if (in_batch(arena_.stream(*link))) continue;
    if (oldest == nullptr ||
        arena_.stream(*link).last_packet < arena_.stream(*oldest).last_packet) {
      oldest = link;
    }
  }
  if (oldest == nullptr) return false;
  const std::uint32_t index = *oldest;
  const StreamState& stream = arena_.stream(index);
  if (now - stream.last_packet < kStreamIdle) return false;
  const std::uint32_t sender = transport_slot(stream.line, other(tag.side));
  const bool plain =
      !is_keyed(leg.receive) &&
      (sender == kNoLine || !is_keyed(arena_.session(sender).legs[index_of(other(tag.side))].send));
  // SRTP state that is thrown away would let old packets be replayed or an index be used twice.
  if (!plain && !bury(tag.slot, tag.side, stream)) return false;
  *oldest = stream.next;
  arena_.give_stream(index);
  --leg.stream_count;
  return true;
}

// A stream that a later packet of this batch points to may not go away under it.
bool Engine::in_batch(const StreamState& stream) const {
  for (std::size_t i = 0; i < work_count_; ++i) {
    if (work_[i].stream == &stream) return true;
  }
  return false;
}

void Engine::forget_received(LegState& leg) {
  for (std::uint32_t i = leg.first_stream; i != kNoStream; i = arena_.stream(i).next) {
    StreamState& stream = arena_.stream(i);
    stream.receive = SrtpReceiveStream{};
    stream.newest_rtp_index = 0;
    stream.newest_rtcp_index = 0;
  }
  arena_.tombstones().forget(leg.tombstones, TombstonePart::kReceived);
}

// Our key towards this leg is another one: whatever is sent with it begins anew.
void Engine::forget_sent(std::uint32_t slot, Side side) {
  for (const std::uint32_t i : streams_sent_by(slot, side)) {
    arena_.stream(i).send = SrtpSendStream{};
  }
  TombstoneList& graves = arena_.session(slot).legs[index_of(other(side))].tombstones;
  arena_.tombstones().forget(graves, TombstonePart::kSent);
}

std::vector<std::uint32_t> Engine::streams_sent_by(std::uint32_t slot, Side side) const {
  std::vector<std::uint32_t> streams;
  const auto add = [&](std::uint32_t line) {
    const std::uint32_t receiver = transport_slot(line, other(side));
    if (receiver == kNoLine) return;
    const LegState& leg = arena_.session(receiver).legs[index_of(other(side))];
    for (std::uint32_t i = leg.first_stream; i != kNoStream; i = arena_.stream(i).next) {
      if (arena_.stream(i).line == line) streams.push_back(i);
    }
  };
  const std::uint32_t first = lines_.first(slot, side);
  if (first == kNoLine && transport_slot(slot, side) == slot) add(slot);
  for (std::uint32_t line = first; line != kNoLine; line = lines_.next(line, side)) add(line);
  return streams;
}

void Engine::drop_streams(LegState& leg) {
  while (leg.first_stream != kNoStream) {
    const std::uint32_t index = leg.first_stream;
    leg.first_stream = arena_.stream(index).next;
    arena_.give_stream(index);
  }
  leg.stream_count = 0;
  arena_.tombstones().drop_all(leg.tombstones);
}

}  // namespace turnpike::media
