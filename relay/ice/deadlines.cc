#include "relay/ice/deadlines.h"

#include <algorithm>

#include "relay/core/check.h"

namespace turnpike::ice {

Deadlines::Deadlines(std::uint32_t items) : place_(items, kNone) {
  heap_.reserve(items);
}

void Deadlines::set(std::uint32_t index, Instant when) {
  DCHECK(index < place_.size());
  if (place_[index] != kNone) remove(place_[index]);
  if (when == Instant::max()) return;
  const std::int64_t grid = Nanoseconds(kGrid).count();
  const std::int64_t ns = std::max<std::int64_t>(when.time_since_epoch().count(), 0);
  const Entry entry{Instant(Nanoseconds((ns + grid - 1) / grid * grid)), index};
  heap_.push_back(entry);
  place_[index] = static_cast<std::uint32_t>(heap_.size() - 1);
  move_up(place_[index]);
}

bool Deadlines::pop_due(Instant now, std::uint32_t& index) {
  if (heap_.empty() || heap_.front().when > now) return false;
  index = heap_.front().index;
  remove(0);
  return true;
}

void Deadlines::put(std::uint32_t place, const Entry& entry) {
  heap_[place] = entry;
  place_[entry.index] = place;
}

void Deadlines::move_up(std::uint32_t place) {
  const Entry entry = heap_[place];
  while (place > 0 && entry.when < heap_[(place - 1) / 2].when) {
    put(place, heap_[(place - 1) / 2]);
    place = (place - 1) / 2;
  }
  put(place, entry);
}

void Deadlines::move_down(std::uint32_t place) {
  const Entry entry = heap_[place];
  const auto size = static_cast<std::uint32_t>(heap_.size());
  for (std::uint32_t child = 2 * place + 1; child < size; child = 2 * place + 1) {
    if (child + 1 < size && heap_[child + 1].when < heap_[child].when) ++child;
    if (entry.when <= heap_[child].when) break;
    put(place, heap_[child]);
    place = child;
  }
  put(place, entry);
}

void Deadlines::remove(std::uint32_t place) {
  place_[heap_[place].index] = kNone;
  const Entry last = heap_.back();
  heap_.pop_back();
  if (place == heap_.size()) return;
  put(place, last);
  move_up(place);
  move_down(place_[last.index]);
}

}  // namespace turnpike::ice
