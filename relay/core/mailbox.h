// A bounded queue between exactly two threads: one pushes, the other pops. No lock, no allocation
// after construction. Waking the reader is the caller's business.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>

#include "relay/core/check.h"

namespace turnpike {

template <typename T>
class Mailbox {
 public:
  /// `capacity` must be a power of two.
  explicit Mailbox(std::size_t capacity)
      : slots_(std::make_unique<T[]>(capacity)), mask_(capacity - 1) {
    CHECK(capacity != 0 && (capacity & mask_) == 0);
  }

  /// Writer: false when full.
  bool push(const T& item) {
    const std::size_t head = head_.load(std::memory_order_relaxed);
    if (head - tail_.load(std::memory_order_acquire) > mask_) return false;
    slots_[head & mask_] = item;
    head_.store(head + 1, std::memory_order_release);
    return true;
  }
  /// Writer: whether the next push would fail.
  bool full() const {
    return head_.load(std::memory_order_relaxed) - tail_.load(std::memory_order_acquire) > mask_;
  }

  /// Writer: how many pushes would succeed now.
  std::size_t room() const {
    return mask_ + 1 -
           (head_.load(std::memory_order_relaxed) - tail_.load(std::memory_order_acquire));
  }

  /// Reader: the oldest item, or null. It stays until pop(), which leaves a blank T in its place
  /// (items may hold keys).
  const T* front() const {
    const std::size_t tail = tail_.load(std::memory_order_relaxed);
    if (tail == head_.load(std::memory_order_acquire)) return nullptr;
    return &slots_[tail & mask_];
  }
  void pop() {
    const std::size_t tail = tail_.load(std::memory_order_relaxed);
    slots_[tail & mask_] = T{};
    tail_.store(tail + 1, std::memory_order_release);
  }

 private:
  std::unique_ptr<T[]> slots_;
  std::size_t mask_;
  alignas(64) std::atomic<std::size_t> head_{0};
  alignas(64) std::atomic<std::size_t> tail_{0};
};

}  // namespace turnpike
