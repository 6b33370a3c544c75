// What all shards of a TURN server have in common: how much each user has, and which ports are
// reserved. Lock-free and of fixed size. Hides: atomics. Is not: allocations; those belong to one
// shard each.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "relay/turn/connection_ids.h"
#include "relay/turn/moves.h"
#include "turnpike/time.h"

namespace turnpike::turn {

/// How many things each of many owners has, without a place for each owner: rows of counters, the
/// smallest of an owner's counts. Too high when others share all of them (with 20,000 owners: one
/// in 2,000 has one too many), never too low.
class OwnerCounts {
 public:
  /// `owner`: a keyed hash that nobody outside can aim.
  /// Counts one more, unless `max` is reached. 0: no maximum.
  bool add(std::uint64_t owner, std::uint32_t max);
  void remove(std::uint64_t owner);
  std::uint32_t count(std::uint64_t owner) const;

 private:
  static constexpr std::size_t kColumns = 1U << 17;
  static constexpr unsigned kRows = 4;
  using Row = std::array<std::atomic<std::uint32_t>, kColumns>;
  std::atomic<std::uint32_t>& cell(unsigned row, std::uint64_t owner);
  const std::atomic<std::uint32_t>& cell(unsigned row, std::uint64_t owner) const;

  std::unique_ptr<std::array<Row, kRows>> rows_ = std::make_unique<std::array<Row, kRows>>();
};

/// Token buckets of owners: what each may do in a time, on all shards together. In a table of fixed
/// size, in which a new owner takes the place of the one among four whose bucket is fullest.
class OwnerRates {
 public:
  OwnerRates() : sets_(kSets) {}

  /// Takes `price` from a bucket that is empty when `burst` is missing; false when that is too
  /// much.
  bool take(std::uint64_t owner, Instant now, Nanoseconds price, Nanoseconds burst);

 private:
  static constexpr std::size_t kSets = 4096;
  struct Entry {
    std::atomic<std::uint64_t> owner{0};
    std::atomic<std::int64_t> full_at{0};  // nanoseconds of the clock: when it is full again
  };
  Entry& at(std::uint64_t owner, std::int64_t now);

  std::vector<std::array<Entry, 4>> sets_;
};

/// Ports that wait for an Allocate with their RESERVATION-TOKEN (RFC 8656 section 18.9).
class Reservations {
 public:
  static constexpr std::size_t kMax = 256;

  struct Entry {
    std::uint64_t token = 0;  ///< 0: none
    std::uint32_t reservation = 0;
    std::uint64_t owner = 0;
  };

  /// False when all places are taken.
  bool add(const Entry& entry);
  /// Ends it; nothing unless `token` names one of that owner.
  std::optional<Entry> take(std::uint64_t token, std::uint64_t owner);
  bool has(std::uint64_t token) const;

 private:
  enum State : std::uint32_t { kFree, kBusy, kReady };
  struct Place {
    std::atomic<std::uint32_t> state{kFree};
    std::atomic<std::uint64_t> token{0};  // written last
    std::atomic<std::uint64_t> owner{0};
    std::atomic<std::uint32_t> reservation{0};
  };
  std::array<Place, kMax> places_;
};

struct Shared {
  OwnerCounts counts;
  Reservations reservations;
  Moves moves;
  OwnerRates allocates;   ///< Allocate requests: each port costs a rest
  OwnerRates new_peers;   ///< of all allocations of an owner
  OwnerRates resumes;     ///< Refresh requests that ask another shard (RFC 8016)
  OwnerRates handshakes;  ///< of DTLS clients, by source
  std::atomic<std::uint32_t> connections{0};  ///< of clients, with those that are associations
  std::unique_ptr<ConnectionIds> connection_ids{};  ///< null: no TCP allocations
  std::atomic<bool> draining{false};  ///< no new allocations, none lives longer than it would
};

}  // namespace turnpike::turn
