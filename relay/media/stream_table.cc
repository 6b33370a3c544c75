// Which SSRCs a leg knows: streams come with the first proven packet, idle ones make room, and what
// must never be forgotten of them (used indices) stays behind as a tombstone.
#include "relay/media/engine.h"

namespace turnpike::media {
namespace {

constexpr Seconds kStreamIdle{5};
constexpr std::array<std::uint64_t, 2> kAllUsed{~std::uint64_t{0}, ~std::uint64_t{0}};

// Leg: LegState or const LegState.
template <typename Leg>
auto* find_tombstone(Leg& leg, std::uint32_t ssrc) {
  for (std::uint32_t i = 0; i < leg.tombstone_count; ++i) {
    if (leg.tombstones[i].ssrc == ssrc) return &leg.tombstones[i];
  }
  return static_cast<decltype(&leg.tombstones[0])>(nullptr);
}

// Everything up to the highest index counts as received: nothing old is accepted again.
void restore(const Tombstone& grave, SrtpReceiveStream& receive) {
  if (grave.receive_rtp_started != 0) {
    receive.rtp_highest = grave.receive_rtp_highest;
    receive.rtp_started = 1;
    receive.rtp_window = kAllUsed;
  }
  if (grave.receive_rtcp_started != 0) {
    receive.rtcp_highest = grave.receive_rtcp_highest;
    receive.rtcp_started = 1;
    receive.rtcp_window = kAllUsed;
  }
}

void restore(const Tombstone& grave, SrtpSendStream& send) {
  if (grave.send_started != 0) {
    send.rtp_highest = grave.send_rtp_highest;
    send.rtp_started = 1;
    send.rtp_window = kAllUsed;
  }
  send.rtcp_next = grave.send_rtcp_next;
}

// False when there is no room to remember it.
bool bury(LegState& leg, const StreamState& stream) {
  Tombstone* grave = find_tombstone(leg, stream.ssrc);
  if (grave == nullptr) {
    if (leg.tombstone_count == kTombstonesMax) return false;
    grave = &leg.tombstones[leg.tombstone_count++];
  }
  grave->ssrc = stream.ssrc;
  grave->send_rtp_highest = stream.send.rtp_highest;
  grave->send_started = stream.send.rtp_started;
  grave->send_rtcp_next = stream.send.rtcp_next;
  grave->receive_rtp_highest = stream.receive.rtp_highest;
  grave->receive_rtp_started = stream.receive.rtp_started;
  grave->receive_rtcp_highest = stream.receive.rtcp_highest;
  grave->receive_rtcp_started = stream.receive.rtcp_started;
  return true;
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
  if (const Tombstone* grave = find_tombstone(*work.from, work.ssrc)) restore(*grave, state);
  return &state;
}

// Gives a packet that has proven itself the state of its SSRC. A plain RTCP sender needs none.
bool Engine::attach_stream(Work& work, Instant now) {
  if (work.stream == nullptr) work.stream = find_stream(*work.from, work.ssrc);
  if (work.stream != nullptr) return true;
  LegState& leg = *work.from;
  const bool plain = !is_keyed(leg.receive) && !is_keyed(work.to->send);
  if (work.rtcp && plain) return true;
  if (leg.stream_count >= limits_.streams_per_leg_max && !evict_idle(leg, plain, now)) return false;
  const std::uint32_t index = arena_.take_stream();
  if (index == kNoStream) return false;
  StreamState& stream = arena_.stream(index);
  stream.ssrc = work.ssrc;
  stream.last_packet = now;
  if (const Tombstone* grave = find_tombstone(leg, work.ssrc)) restore(*grave, stream.send);
  if (work.fresh != nullptr) stream.receive = *work.fresh;
  stream.next = leg.first_stream;
  leg.first_stream = index;
  ++leg.stream_count;
  work.stream = &stream;
  return true;
}

bool Engine::evict_idle(LegState& leg, bool plain, Instant now) {
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
  if (!plain && !bury(leg, stream)) return false;
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
  for (std::uint32_t i = 0; i < leg.tombstone_count; ++i) {
    leg.tombstones[i].receive_rtp_started = 0;
    leg.tombstones[i].receive_rtcp_started = 0;
  }
}

void Engine::forget_sent(LegState& leg) {
  for (std::uint32_t i = leg.first_stream; i != kNoStream; i = arena_.stream(i).next) {
    arena_.stream(i).send = SrtpSendStream{};
  }
  for (std::uint32_t i = 0; i < leg.tombstone_count; ++i) {
    leg.tombstones[i].send_started = 0;
    leg.tombstones[i].send_rtcp_next = 0;
  }
}

void Engine::drop_streams(LegState& leg) {
  while (leg.first_stream != kNoStream) {
    const std::uint32_t index = leg.first_stream;
    leg.first_stream = arena_.stream(index).next;
    arena_.give_stream(index);
  }
  leg.stream_count = 0;
  leg.tombstone_count = 0;
}

}  // namespace turnpike::media
