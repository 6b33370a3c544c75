// Allocations that go from one shard to another, because the kernel brings their client to another
// one at its new address (RFC 8016). Lock-free and of fixed size; what lies in a place belongs to
// one shard at a time. Hides: atomics. Is not: who may move; both engines judge.
//
//   new shard: begin() .. ask() --> old shard: asked_of() .. answer() --> new: answered_to() ..
//   end()
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "relay/turn/allocations.h"
#include "relay/turn/tickets.h"

namespace turnpike::turn {

/// All that there is of an allocation but its sockets, which wait in reservations.
struct MovedAllocation {
  Allocation allocation;
  std::string realm;
  std::string user;
  std::vector<Peer> peers;
  std::vector<Channel> channels;
  std::array<std::uint32_t, 2> reservations{};  ///< by index_of(Side); 0: none
};

struct Move {
  std::uint16_t to = 0;  ///< the shard that asks
  TicketName ticket;
  std::string realm;  ///< of who asks
  std::string user;
  // The answer:
  std::optional<Refusal> refused;
  std::unique_ptr<MovedAllocation> moved;
};

class Moves {
 public:
  static constexpr std::size_t kMax = 64;  ///< at a time, of all shards

  /// A place for one more; null when all are taken.
  Move* begin();
  /// `move` is the other shard's from now on.
  void ask(Move& move) { give(move, kAsked, move.ticket.shard); }
  Move* asked_of(std::uint16_t shard) { return find(kAsked, shard); }
  void answer(Move& move) { give(move, kAnswered, move.to); }
  Move* answered_to(std::uint16_t shard) { return find(kAnswered, shard); }
  void end(Move& move);

 private:
  enum State : std::uint32_t { kFree, kOwned, kAsked, kAnswered };
  struct Place {
    std::atomic<std::uint32_t> state{kFree};  // State, and above it the shard
    Move move;
  };
  static constexpr std::uint32_t pack(State state, std::uint16_t shard) {
    return (std::uint32_t{shard} << 8) | state;
  }
  void give(Move& move, State state, std::uint16_t shard);
  Move* find(State state, std::uint16_t shard);
  Place& place_of(Move& move);

  std::array<Place, kMax> places_;
};

}  // namespace turnpike::turn
