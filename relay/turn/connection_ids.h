// The CONNECTION-IDs of all TCP connections with peers, of all shards (RFC 6062 section 6.2.1): the
// kernel may bring a client's data connection to another shard than its allocation's. Lock-free and
// of fixed size. Hides: atomics. Is not: connections.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

namespace turnpike::turn {

class ConnectionIds {
 public:
  /// `max`: connections at a time, of all shards.
  explicit ConnectionIds(std::uint32_t max);

  /// Of a connection that is on its way. `id`: random, not 0. False when there are as many as may
  /// be, or the number is taken.
  bool add(std::uint32_t id, std::uint64_t owner);
  /// Another one may claim it.
  void give(std::uint32_t id, std::uint64_t owner);
  /// From now on it can be claimed, once.
  void await_bind(std::uint32_t id);

  enum class Claim : std::uint8_t {
    kClaimed,
    kUnknown,  ///< none of that number waits
    kOthers,   ///< one waits, of another owner
  };
  /// `owner`: keyed hash of realm and user.
  Claim claim(std::uint32_t id, std::uint64_t owner);
  /// Nobody can claim it any more; false when somebody has.
  bool expire(std::uint32_t id);
  void remove(std::uint32_t id);

 private:
  enum State : std::uint32_t { kFree, kBusy, kMade, kWaiting, kTaken };
  struct Place {
    std::atomic<std::uint64_t> state{0};  // State above the number
    std::atomic<std::uint64_t> owner{0};
  };
  static constexpr std::uint64_t pack(State state, std::uint32_t id) {
    return std::uint64_t{state} << 32 | id;
  }
  Place* find(std::uint32_t id, const Place* besides = nullptr);
  static bool change(Place* place, std::uint32_t id, State from, State to);

  std::uint32_t max_;
  std::unique_ptr<Place[]> places_;
};

}  // namespace turnpike::turn
