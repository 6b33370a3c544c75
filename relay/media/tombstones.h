// What must never be forgotten of SSRCs whose streams were given up: which indices are used under
// the present keys. Entries lie in the shard's arena, found by leg and SSRC through a hash table;
// each leg has its share for certain, the rest is for whoever needs it. None is ever evicted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include "relay/media/state.h"

namespace turnpike::media {

/// A leg is sure of so many ...
constexpr std::uint32_t kTombstonesPerLegSure = 32;
/// ... and gets no more than so many; beyond that, new SSRCs are refused (kStreamLimit) until the
/// leg gets a new key.
constexpr std::uint32_t kTombstonesPerLegMax = 4096;

/// All zero = free.
struct Tombstone {
  std::uint32_t owner = 0;  ///< number of the leg + 1
  std::uint32_t ssrc = 0;
  // One more than the highest index used; 0 = none.
  std::uint64_t send_rtp_next = 0;
  std::uint64_t receive_rtp_next = 0;
  std::uint32_t send_rtcp_next = 0;
  std::uint32_t receive_rtcp_next = 0;
  // Entry + 1. Only the process that wrote them believes them.
  std::uint32_t next_of_leg = 0;
  std::uint32_t next_in_bucket = 0;  ///< of a free one: the next free one
};

enum class TombstonePart : std::uint8_t { kReceived, kSent, kBoth };

class Tombstones {
 public:
  static std::size_t bytes_for(std::uint32_t sessions, std::uint32_t shared);

  /// Views zeroed memory, or what another process left there (then call adopt).
  Tombstones(std::uint8_t* memory, std::uint32_t sessions, std::uint32_t shared);

  /// Takes over the entries of the legs that `list_of` still knows (null: gone), wipes the others.
  void adopt(const std::function<TombstoneList*(std::uint32_t owner)>& list_of);

  const Tombstone* find(std::uint32_t owner, std::uint32_t ssrc) const;
  /// `visit(const Tombstone&)` for each of a leg.
  template <typename Visit>
  void for_each(const TombstoneList& list, Visit visit) const {
    for (std::uint32_t entry = list.first; entry != 0; entry = at(entry).next_of_leg) {
      visit(at(entry));
    }
  }
  /// Remembers what a stream has used, besides what is remembered already. False when there is no
  /// room.
  bool bury(std::uint32_t owner, TombstoneList& list, const StreamState& stream,
            TombstonePart part = TombstonePart::kBoth);
  /// A new key makes one direction's indices unused; entries without any go away.
  void forget(TombstoneList& list, TombstonePart part);
  void drop_all(TombstoneList& list);
  std::uint32_t in_use() const { return in_use_; }

 private:
  struct Head {
    std::uint32_t entries_touched = 0;  // beyond them memory is as it was made
  };

  Tombstone& at(std::uint32_t link) { return entries_[link - 1]; }
  const Tombstone& at(std::uint32_t link) const { return entries_[link - 1]; }
  /// Entry + 1; 0 = unknown.
  std::uint32_t locate(std::uint32_t owner, std::uint32_t ssrc) const;
  std::uint32_t bucket_of(std::uint32_t owner, std::uint32_t ssrc) const;
  Tombstone* take(std::uint32_t owner, TombstoneList& list, std::uint32_t ssrc);
  void link(std::uint32_t entry, TombstoneList& list);
  void unlink_from_bucket(std::uint32_t entry);
  void give_back(std::uint32_t entry);
  void count_down(TombstoneList& list);

  Head* head_ = nullptr;
  Tombstone* entries_ = nullptr;
  std::uint32_t capacity_ = 0;
  std::uint32_t shared_ = 0;
  std::uint32_t shared_in_use_ = 0;  // what legs have beyond their sure share
  std::uint32_t in_use_ = 0;
  std::uint32_t free_ = 0;                    // chain
  std::unique_ptr<std::uint32_t[]> buckets_;  // heads of chains
  std::uint64_t salt_ = 0;
};

/// Everything up to the highest index counts as received: nothing old is accepted again.
void restore(const Tombstone& grave, SrtpReceiveStream& receive);
void restore(const Tombstone& grave, SrtpSendStream& send);

static_assert(std::is_trivially_copyable_v<Tombstone> && sizeof(Tombstone) == 40);

}  // namespace turnpike::media
