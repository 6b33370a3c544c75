#include "relay/media/tombstones.h"

#include <algorithm>
#include <atomic>
#include <bit>

#include "relay/crypto/srtp_index.h"

namespace turnpike::media {
namespace {

constexpr std::uint32_t kBuckets = 1 << 14;
constexpr std::size_t kHeadBytes = 64;
constexpr ReplayWindow kAllUsed{~std::uint64_t{0}, ~std::uint64_t{0}};

std::uint32_t capacity_for(std::uint32_t sessions, std::uint32_t shared) {
  return sessions * 2 * kTombstonesPerLegSure + shared;
}

// What lies beyond an index space is as good as its end: the SSRC is used up.
void confine(Tombstone& grave) {
  grave.send_rtp_next = std::min(grave.send_rtp_next, kSrtpIndexCount);
  grave.receive_rtp_next = std::min(grave.receive_rtp_next, kSrtpIndexCount);
  grave.send_rtcp_next = std::min(grave.send_rtcp_next, kSrtcpIndexCount);
  grave.receive_rtcp_next = std::min(grave.receive_rtcp_next, kSrtcpIndexCount);
}

void merge(Tombstone& into, const Tombstone& other) {
  into.send_rtp_next = std::max(into.send_rtp_next, other.send_rtp_next);
  into.receive_rtp_next = std::max(into.receive_rtp_next, other.receive_rtp_next);
  into.send_rtcp_next = std::max(into.send_rtcp_next, other.send_rtcp_next);
  into.receive_rtcp_next = std::max(into.receive_rtcp_next, other.receive_rtcp_next);
}

}  // namespace

std::size_t Tombstones::bytes_for(std::uint32_t sessions, std::uint32_t shared) {
  return kHeadBytes + std::size_t{capacity_for(sessions, shared)} * sizeof(Tombstone);
}

Tombstones::Tombstones(std::uint8_t* memory, std::uint32_t sessions, std::uint32_t shared)
    : head_(static_cast<Head*>(static_cast<void*>(memory))),
      entries_(static_cast<Tombstone*>(static_cast<void*>(memory + kHeadBytes))),
      capacity_(capacity_for(sessions, shared)),
      shared_(shared),
      buckets_(std::make_unique<std::uint32_t[]>(kBuckets)),
      // Where the kernel mapped the memory is not for clients to know: nobody can choose SSRCs
      // that all fall into one bucket.
      salt_(std::bit_cast<std::uintptr_t>(memory) * 0x9e3779b97f4a7c15ULL) {}

std::uint32_t Tombstones::bucket_of(std::uint32_t owner, std::uint32_t ssrc) const {
  std::uint64_t hash = salt_ ^ ((std::uint64_t{owner} << 32) | ssrc);
  hash = (hash ^ (hash >> 32)) * 0xd6e8feb86659fd93ULL;
  hash = (hash ^ (hash >> 32)) * 0xd6e8feb86659fd93ULL;
  return static_cast<std::uint32_t>(hash >> 32) % kBuckets;
}

void Tombstones::adopt(const std::function<TombstoneList*(std::uint32_t owner)>& list_of) {
  head_->entries_touched = std::min(head_->entries_touched, capacity_);
  for (std::uint32_t entry = 1; entry <= head_->entries_touched; ++entry) {
    Tombstone& grave = at(entry);
    TombstoneList* list = grave.owner != 0 ? list_of(grave.owner) : nullptr;
    if (list == nullptr) {
      give_back(entry);
      continue;
    }
    confine(grave);
    if (const std::uint32_t first = locate(grave.owner, grave.ssrc)) {
      merge(at(first), grave);
      give_back(entry);
      continue;
    }
    link(entry, *list);
  }
}

const Tombstone* Tombstones::find(std::uint32_t owner, std::uint32_t ssrc) const {
  const std::uint32_t entry = locate(owner, ssrc);
  return entry != 0 ? &at(entry) : nullptr;
}

std::uint32_t Tombstones::locate(std::uint32_t owner, std::uint32_t ssrc) const {
  if (in_use_ == 0) return 0;
  for (std::uint32_t i = buckets_[bucket_of(owner, ssrc)]; i != 0; i = at(i).next_in_bucket) {
    if (at(i).owner == owner && at(i).ssrc == ssrc) return i;
  }
  return 0;
}

bool Tombstones::bury(std::uint32_t owner, TombstoneList& list, const StreamState& stream,
                      TombstonePart part) {
  const std::uint32_t known = locate(owner, stream.ssrc);
  Tombstone* grave = known != 0 ? &at(known) : take(owner, list, stream.ssrc);
  if (grave == nullptr) return false;
  Tombstone used;
  if (part != TombstonePart::kReceived) {
    used.send_rtp_next = stream.send.rtp_started != 0 ? stream.send.rtp_highest + 1 : 0;
    used.send_rtcp_next = stream.send.rtcp_next;
  }
  if (part != TombstonePart::kSent) {
    const SrtpReceiveStream& receive = stream.receive;
    used.receive_rtp_next = receive.rtp_started != 0 ? receive.rtp_highest + 1 : 0;
    used.receive_rtcp_next = receive.rtcp_started != 0 ? receive.rtcp_highest + 1 : 0;
  }
  merge(*grave, used);
  // The stream goes away after this, also for a process that adopts what this one leaves.
  std::atomic_signal_fence(std::memory_order_seq_cst);
  return true;
}

Tombstone* Tombstones::take(std::uint32_t owner, TombstoneList& list, std::uint32_t ssrc) {
  if (list.count >= kTombstonesPerLegMax) return nullptr;
  if (list.count >= kTombstonesPerLegSure && shared_in_use_ >= shared_) return nullptr;
  std::uint32_t entry = free_;
  if (entry != 0) {
    free_ = at(entry).next_in_bucket;
  } else {
    if (head_->entries_touched == capacity_) return nullptr;
    entry = ++head_->entries_touched;
  }
  Tombstone& grave = at(entry);
  grave = Tombstone{};
  grave.owner = owner;
  grave.ssrc = ssrc;
  link(entry, list);
  return &grave;
}

void Tombstones::link(std::uint32_t entry, TombstoneList& list) {
  Tombstone& grave = at(entry);
  std::uint32_t& bucket = buckets_[bucket_of(grave.owner, grave.ssrc)];
  grave.next_in_bucket = bucket;
  bucket = entry;
  grave.next_of_leg = list.first;
  list.first = entry;
  if (++list.count > kTombstonesPerLegSure) ++shared_in_use_;
  ++in_use_;
}

void Tombstones::unlink_from_bucket(std::uint32_t entry) {
  const Tombstone& grave = at(entry);
  std::uint32_t* place = &buckets_[bucket_of(grave.owner, grave.ssrc)];
  while (*place != entry) place = &at(*place).next_in_bucket;
  *place = grave.next_in_bucket;
}

void Tombstones::give_back(std::uint32_t entry) {
  at(entry) = Tombstone{};
  at(entry).next_in_bucket = free_;
  free_ = entry;
}

void Tombstones::count_down(TombstoneList& list) {
  if (list.count-- > kTombstonesPerLegSure) --shared_in_use_;
  --in_use_;
}

void Tombstones::forget(TombstoneList& list, TombstonePart part) {
  std::uint32_t* place = &list.first;
  while (*place != 0) {
    const std::uint32_t entry = *place;
    Tombstone& grave = at(entry);
    if (part != TombstonePart::kSent) {
      grave.receive_rtp_next = 0;
      grave.receive_rtcp_next = 0;
    }
    if (part != TombstonePart::kReceived) {
      grave.send_rtp_next = 0;
      grave.send_rtcp_next = 0;
    }
    const bool says_nothing = (grave.send_rtp_next | grave.receive_rtp_next) == 0 &&
                              (grave.send_rtcp_next | grave.receive_rtcp_next) == 0;
    if (!says_nothing) {
      place = &grave.next_of_leg;
      continue;
    }
    *place = grave.next_of_leg;
    unlink_from_bucket(entry);
    give_back(entry);
    count_down(list);
  }
}

void Tombstones::drop_all(TombstoneList& list) {
  forget(list, TombstonePart::kBoth);
}

void restore(const Tombstone& grave, SrtpReceiveStream& receive) {
  if (grave.receive_rtp_next != 0) {
    receive.rtp_highest = grave.receive_rtp_next - 1;
    receive.rtp_started = 1;
    receive.rtp_window = kAllUsed;
  }
  if (grave.receive_rtcp_next != 0) {
    receive.rtcp_highest = grave.receive_rtcp_next - 1;
    receive.rtcp_started = 1;
    receive.rtcp_window = kAllUsed;
  }
}

void restore(const Tombstone& grave, SrtpSendStream& send) {
  if (grave.send_rtp_next != 0) {
    send.rtp_highest = grave.send_rtp_next - 1;
    send.rtp_started = 1;
    send.rtp_window = kAllUsed;
  }
  send.rtcp_next = grave.send_rtcp_next;
}

}  // namespace turnpike::media
