#include "relay/core/timer_wheel.h"

#include <algorithm>

#include "relay/core/check.h"

namespace turnpike {

TimerWheel::TimerWheel(std::uint32_t items) : nodes_(items) {
  heads_.fill(kNone);
}

std::uint64_t TimerWheel::tick_at(Instant when) {
  const auto ns = std::max<std::int64_t>(when.time_since_epoch().count(), 1);
  const auto tick = Nanoseconds(kTick).count();
  return static_cast<std::uint64_t>((ns + tick - 1) / tick);
}

void TimerWheel::set(std::uint32_t index, Instant when) {
  DCHECK(index < nodes_.size());
  unlink(index);
  Node& node = nodes_[index];
  node.tick = std::max({tick_at(when), current_tick_, std::uint64_t{1}});
  std::uint32_t& head = heads_[node.tick % kSlots];
  node.next = head;
  node.previous = kNone;
  if (head != kNone) nodes_[head].previous = index;
  head = index;
  ++count_;
}

void TimerWheel::cancel(std::uint32_t index) {
  unlink(index);
}

void TimerWheel::unlink(std::uint32_t index) {
  Node& node = nodes_[index];
  if (node.tick == 0) return;
  if (node.previous != kNone) {
    nodes_[node.previous].next = node.next;
  } else {
    heads_[node.tick % kSlots] = node.next;
  }
  if (node.next != kNone) nodes_[node.next].previous = node.previous;
  node = Node{};
  --count_;
}

Instant TimerWheel::next_deadline() const {
  if (count_ == 0) return Instant::max();
  // With timers set the wheel turns one slot at a time: cheap, and exact enough by construction.
  return Instant(Nanoseconds(kTick) * static_cast<std::int64_t>(current_tick_ + 1));
}

bool TimerWheel::pop_due(Instant now, std::uint32_t& index) {
  const auto ns = std::max<std::int64_t>(now.time_since_epoch().count(), 0);
  const auto now_tick = static_cast<std::uint64_t>(ns / Nanoseconds(kTick).count());
  if (count_ == 0 || current_tick_ == 0 || now_tick > current_tick_ + kSlots) {
    // Nothing can have been missed (or the whole wheel must be seen once): skip the empty turns.
    const std::uint64_t oldest = now_tick > kSlots ? now_tick - kSlots + 1 : 1;
    current_tick_ =
        count_ == 0 ? std::max(current_tick_, now_tick) : std::max(current_tick_, oldest);
  }
  for (; current_tick_ <= now_tick; ++current_tick_) {
    for (std::uint32_t i = heads_[current_tick_ % kSlots]; i != kNone; i = nodes_[i].next) {
      if (nodes_[i].tick > now_tick) continue;
      unlink(i);
      index = i;
      return true;
    }
  }
  current_tick_ = now_tick;
  return false;
}

}  // namespace turnpike
