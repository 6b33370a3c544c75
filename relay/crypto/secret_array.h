// A fixed array of zeroed plain objects with keys; `serial` of one is not 0 while it holds any.
// Memory is committed when first touched, stays
// out of core dumps. The kernel gives the pages to nobody before it has zeroed them.
#pragma once

#include <cstddef>
#include <type_traits>

#include <sys/mman.h>

#include "relay/core/bytes.h"
#include "relay/core/check.h"

namespace turnpike {

template <typename T>
class SecretArray {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  explicit SecretArray(std::size_t size) : size_(size) {
    if (size == 0) return;
    void* memory = mmap(nullptr, bytes(), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(memory != MAP_FAILED);
    // Best effort: the process forbids its dumps as a whole.
    static_cast<void>(madvise(memory, bytes(), MADV_DONTDUMP));
    items_ = static_cast<T*>(memory);
  }
  ~SecretArray() {
    if (items_ != nullptr) munmap(items_, bytes());
  }
  SecretArray(const SecretArray&) = delete;
  SecretArray& operator=(const SecretArray&) = delete;

  T& operator[](std::size_t i) { return items_[i]; }
  const T& operator[](std::size_t i) const { return items_[i]; }
  std::size_t size() const { return size_; }
  /// Zeroes the item; one that was never written is left alone.
  void wipe(std::size_t i) {
    CHECK(i < size_);
    if (items_[i].serial != 0) secure_wipe(&items_[i], sizeof(T));
  }

 private:
  std::size_t bytes() const { return size_ * sizeof(T); }

  std::size_t size_;
  T* items_ = nullptr;
};

}  // namespace turnpike
