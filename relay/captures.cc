// The facade's part in captures: taps to the shards, copies back.
#include <cstring>

#include "relay/core/bytes.h"
#include "relay/relay_impl.h"

namespace turnpike {
namespace {

constexpr std::size_t kPolledMax = 2048;  // of a shard, each time

}  // namespace

bool RelayImpl::add(const CaptureTap& tap) {
  const std::size_t shard = tap.session.shard;
  if (tap.number >= kTapsMax || find(tap.session) == nullptr || pending_[shard].full()) {
    return false;
  }
  tap_rings_.resize(shards_.size());
  if (tap_rings_[shard] == nullptr) tap_rings_[shard] = std::make_unique<TapRing>();
  Command command;
  command.kind = CommandKind::kCapture;
  command.tap = tap;
  command.tap_ring = tap_rings_[shard].get();
  send(shard, command);
  return true;
}

void RelayImpl::remove(const CaptureTap& tap) {
  // Also of a session that is closing; one that has gone took it along.
  if (find(tap.session) == nullptr) return;
  Command command;
  command.kind = CommandKind::kEndCapture;
  command.tap = tap;
  send(tap.session.shard, command);
}

std::uint64_t RelayImpl::missed(std::uint8_t tap) const {
  std::uint64_t sum = 0;
  for (const auto& ring : tap_rings_) {
    if (ring != nullptr) sum += ring->missed[tap].load(std::memory_order_relaxed);
  }
  return sum;
}

void RelayImpl::poll(const std::function<void(const CapturedPacket&)>& sink) {
  std::array<std::uint8_t, sizeof(TapRecord)> head;
  std::array<std::uint8_t, kSlotBytes> bytes;
  for (const auto& ring : tap_rings_) {
    if (ring == nullptr) continue;
    // What comes while this reads waits for the next time, and so does what takes too long now.
    std::size_t packets = 0;
    for (std::size_t left = ring->bytes.size(); left >= head.size() && packets < kPolledMax;) {
      ring->bytes.take(head);
      TapRecord record;
      std::memcpy(&record, head.data(), head.size());
      const std::span<std::uint8_t> body = std::span(bytes).first(record.captured);
      ring->bytes.take(body);
      left -= head.size() + body.size();
      record.packet.bytes = body;
      sink(record.packet);
      ++packets;
    }
  }
  secure_wipe(bytes.data(), bytes.size());
}

Captures& captures_of(Relay& relay) {
  return static_cast<RelayImpl&>(relay);
}

}  // namespace turnpike
