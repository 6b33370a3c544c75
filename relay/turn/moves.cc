#include "relay/turn/moves.h"

#include <algorithm>

namespace turnpike::turn {

Moves::Place& Moves::place_of(Move& move) {
  return *std::find_if(places_.begin(), places_.end(),
                       [&move](const Place& place) { return &place.move == &move; });
}

Move* Moves::begin() {
  for (Place& place : places_) {
    std::uint32_t expected = kFree;
    if (!place.state.compare_exchange_strong(expected, kOwned, std::memory_order_acquire)) continue;
    return &place.move;
  }
  return nullptr;
}

void Moves::give(Move& move, State state, std::uint16_t shard) {
  place_of(move).state.store(pack(state, shard), std::memory_order_release);
}

// Nobody but `shard` changes the state that is looked for.
Move* Moves::find(State state, std::uint16_t shard) {
  for (Place& place : places_) {
    if (place.state.load(std::memory_order_acquire) != pack(state, shard)) continue;
    place.state.store(kOwned, std::memory_order_relaxed);
    return &place.move;
  }
  return nullptr;
}

void Moves::end(Move& move) {
  move = {};
  place_of(move).state.store(kFree, std::memory_order_release);
}

}  // namespace turnpike::turn
