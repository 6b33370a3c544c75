#include "relay/taps.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "relay/wire/classify.h"
#include "relay/wire/rtp.h"

namespace turnpike {
namespace {

static_assert(std::is_trivially_copyable_v<TapRecord>);

bool is_of(const CaptureTap& tap, const SocketTag& tag) {
  return tap.session.slot == tag.slot && tap.session.generation == tag.generation;
}

}  // namespace

void Taps::add(const CaptureTap& tap, TapRing& ring) {
  ring_ = &ring;
  remove(tap);
  const SocketTag tag{tap.session.slot, tap.session.generation, tap.side, Component::kRtp};
  if (count_ == taps_.size() || engine_.find_leg(tag) == nullptr) return;
  taps_[count_++] = tap;
}

void Taps::remove(const CaptureTap& tap) {
  const auto end =
      std::remove_if(taps_.begin(), taps_.begin() + static_cast<std::ptrdiff_t>(count_),
                     [&](const CaptureTap& one) { return one.number == tap.number; });
  count_ = static_cast<std::size_t>(end - taps_.begin());
}

void Taps::forget(const SocketTag& session) {
  const auto end =
      std::remove_if(taps_.begin(), taps_.begin() + static_cast<std::ptrdiff_t>(count_),
                     [&](const CaptureTap& one) { return is_of(one, session); });
  count_ = static_cast<std::size_t>(end - taps_.begin());
}

void Taps::received(const Batch& batch, Instant now) {
  for (std::size_t i = 0; i < batch.size(); ++i) {
    const Packet& packet = batch[i];
    for (std::size_t k = 0; k < count_; ++k) {
      const CaptureTap& tap = taps_[k];
      if (!is_of(tap, packet.tag) || tap.side != packet.tag.side) continue;
      const media::LegState* leg = engine_.find_leg(packet.tag);
      if (leg == nullptr) continue;
      const std::uint32_t unread = packet.shed_behind + packet.overflowed;
      if (unread != 0) ring_->missed[tap.number].fetch_add(unread, std::memory_order_relaxed);
      if (is_one_too_many(tap, *leg, packet, now)) {
        ring_->missed[tap.number].fetch_add(1, std::memory_order_relaxed);
        continue;
      }
      const unsigned component = index_of(packet.tag.component);
      const SocketAddress& local = leg->local[component];
      const bool other = local.is_set() && local.ip.family != packet.source.ip.family;
      TapRecord record;
      record.packet.component = packet.tag.component;
      record.packet.at = now;
      record.packet.source = packet.source;
      record.packet.destination = other ? leg->other_local[component] : local;
      record.packet.length = packet.length;
      copy(tap, record, packet.data, *leg);
    }
  }
}

void Taps::sent(const Send& send, Instant now) {
  for (std::size_t k = 0; k < count_; ++k) {
    const CaptureTap& tap = taps_[k];
    if (!is_of(tap, send.tag) || tap.side != send.tag.side) continue;
    const media::LegState* leg = engine_.find_leg(send.tag);
    if (leg == nullptr) continue;
    const unsigned component = index_of(send.tag.component);
    const SocketAddress& local = leg->local[component];
    const bool other = local.is_set() && local.ip.family != send.destination.ip.family;
    TapRecord record;
    record.packet.component = send.tag.component;
    record.packet.sent = true;
    record.packet.at = now;
    record.packet.source = other ? leg->other_local[component] : local;
    record.packet.destination = send.destination;
    record.packet.length = send.length;
    copy(tap, record, send.data, *leg);
  }
}

// What comes over a flow of a traversal pair the other node has limited already.
bool Taps::is_one_too_many(const CaptureTap& tap, const media::LegState& leg, const Packet& packet,
                           Instant now) {
  const unsigned component = index_of(packet.tag.component);
  if (!leg.local[component].is_set() || packet.source == leg.component[component].destination ||
      packet.source == leg.config.remote[component]) {
    return false;
  }
  Strangers& strangers = strangers_[tap.number];
  if (now - strangers.since >= Seconds(1)) strangers = {now, 0};
  return ++strangers.count > kStrangersASecond;
}

void Taps::copy(const CaptureTap& tap, TapRecord& record, const std::uint8_t* data,
                const media::LegState& leg) {
  const bool is_protected =
      leg.config.opaque || media::is_keyed(record.packet.sent ? leg.send : leg.receive);
  record.packet.tap = tap.number;
  record.packet.session = {tap.session.slot, tap.session.generation, shard_};
  record.packet.side = tap.side;
  // Of what the socket cut short nothing but that was read: behind it lies an earlier packet.
  const std::size_t most = kPayloadBytesMax + (record.packet.sent ? kTailroomBytes : 0);
  const auto there = static_cast<std::uint32_t>(std::min<std::size_t>(record.packet.length, most));
  record.captured = copied_bytes(tap, is_protected, data, there);
  std::array<std::uint8_t, sizeof(TapRecord)> head;
  std::memcpy(head.data(), &record, sizeof record);
  if (ring_->bytes.push(head, {data, record.captured})) return;
  ring_->missed[tap.number].fetch_add(1, std::memory_order_relaxed);
}

// Of STUN, DTLS and RTCP all: none of them is media. What is not understood may be.
std::uint32_t Taps::copied_bytes(const CaptureTap& tap, bool is_protected, const std::uint8_t* data,
                                 std::uint32_t length) {
  if (!tap.headers_only && (is_protected || tap.plain_payload)) return length;
  RtpHeader header;
  switch (classify(data, length)) {
    case PacketKind::kStun:
    case PacketKind::kDtls:
    case PacketKind::kRtcp:
      return length;
    case PacketKind::kRtp:
      if (parse_rtp(data, length, header)) return header.header_bytes;
      break;
    case PacketKind::kUnknown:
      break;
  }
  return std::min<std::uint32_t>(length, kRtpHeaderBytes);
}

}  // namespace turnpike
