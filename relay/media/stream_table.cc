// Which SSRCs a leg knows: streams come with the first proven packet, idle ones make room, and what
// must never be forgotten of them (used indices) stays behind as a tombstone.
#include <atomic>

#include "relay/media/engine.h"

namespace turnpike::media {
namespace {

constexpr Seconds kStreamIdle{5};

// Whose tombstones: legs are numbered within the shard, from 1.
std::uint32_t owner_of(const Packet& packet) {
  return packet.tag.slot * 2 + index_of(packet.tag.side) + 1;
}

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
    if (earlier.fresh != nullptr && earlier.from == work.from && earlier.ssrc == work.ssrc) {
      return earlier.fresh;
    }
  }
  SrtpReceiveStream& state = fresh_[fresh_count_++];
  state = SrtpReceiveStream{};
  const Tombstone* grave = arena_.tombstones().find(owner_of(*work.packet), work.ssrc);
  if (grave != nullptr) restore(*grave, state);
  return &state;
}

// Gives a packet that has proven itself the state of its SSRC. A plain RTCP sender needs none.
bool Engine::attach_stream(Work& work, Instant now) {
  if (work.stream == nullptr) work.stream = find_stream(*work.from, work.ssrc);
  if (work.stream != nullptr) return true;
  LegState& leg = *work.from;
  const bool plain = !is_keyed(leg.receive) && !is_keyed(work.to->send);
  if (work.rtcp && plain) return true;
  const std::uint32_t owner = owner_of(*work.packet);
  if (leg.stream_count >= limits_.streams_per_leg_max && !evict_idle(leg, owner, plain, now)) {
    return false;
  }
  const std::uint32_t index = arena_.take_stream();
  if (index == kNoStream) return false;
  StreamState& stream = arena_.stream(index);
  stream.ssrc = work.ssrc;
  stream.last_packet = now;
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

bool Engine::evict_idle(LegState& leg, std::uint32_t owner, bool plain, Instant now) {
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
  // SRTP state that is thrown away would let old packets be replayed or an index be used twice.
  if (!plain && !arena_.tombstones().bury(owner, leg.tombstones, stream)) return false;
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

void Engine::forget_sent(LegState& leg) {
  for (std::uint32_t i = leg.first_stream; i != kNoStream; i = arena_.stream(i).next) {
    arena_.stream(i).send = SrtpSendStream{};
  }
  arena_.tombstones().forget(leg.tombstones, TombstonePart::kSent);
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
