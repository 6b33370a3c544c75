// A bounded queue of records of any length between exactly two threads. No lock, no allocation
// after construction. A record is written whole or not at all, and nothing of it is left once it
// was taken.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>

#include "relay/core/bytes.h"
#include "relay/core/check.h"

namespace turnpike {

class ByteRing {
 public:
  /// `capacity` must be a power of two.
  explicit ByteRing(std::size_t capacity)
      : bytes_(std::make_unique<std::uint8_t[]>(capacity)), mask_(capacity - 1) {
    CHECK(capacity != 0 && (capacity & mask_) == 0);
  }

  /// Writer: one record of two parts; false when there is no room.
  bool push(std::span<const std::uint8_t> head, std::span<const std::uint8_t> body) {
    const std::size_t begin = written_.load(std::memory_order_relaxed);
    const std::size_t used = begin - read_.load(std::memory_order_acquire);
    if (head.size() + body.size() > mask_ + 1 - used) return false;
    put(begin, head);
    put(begin + head.size(), body);
    written_.store(begin + head.size() + body.size(), std::memory_order_release);
    return true;
  }

  /// Reader: how many bytes are there.
  std::size_t size() const {
    return written_.load(std::memory_order_acquire) - read_.load(std::memory_order_relaxed);
  }
  /// Reader: takes the next bytes, which are wiped here; there must be as many.
  void take(std::span<std::uint8_t> out) {
    CHECK(out.size() <= size());
    const std::size_t begin = read_.load(std::memory_order_relaxed);
    const std::size_t first = std::min(out.size(), mask_ + 1 - (begin & mask_));
    std::memcpy(out.data(), bytes_.get() + (begin & mask_), first);
    std::memcpy(out.data() + first, bytes_.get(), out.size() - first);
    secure_wipe(bytes_.get() + (begin & mask_), first);
    secure_wipe(bytes_.get(), out.size() - first);
    read_.store(begin + out.size(), std::memory_order_release);
  }

  /// Reader, while there is nothing to take and nobody writes: whether nothing was left behind.
  bool is_blank() const {
    return std::all_of(bytes_.get(), bytes_.get() + mask_ + 1, [](auto byte) { return byte == 0; });
  }

 private:
  void put(std::size_t at, std::span<const std::uint8_t> part) {
    if (part.empty()) return;
    const std::size_t first = std::min(part.size(), mask_ + 1 - (at & mask_));
    std::memcpy(bytes_.get() + (at & mask_), part.data(), first);
    std::memcpy(bytes_.get(), part.data() + first, part.size() - first);
  }

  std::unique_ptr<std::uint8_t[]> bytes_;
  std::size_t mask_;
  alignas(64) std::atomic<std::size_t> written_{0};
  alignas(64) std::atomic<std::size_t> read_{0};
};

}  // namespace turnpike
