// Text whose memory is wiped before it is given back: for what may hold keys on its way through.
// Not wiped: what is so short that it lies in the object itself (15 bytes), and what a text has
// become shorter by, until it grows or ends.
#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <string>

namespace turnpike::tls {

template <typename T>
struct WipingAllocator {
  using value_type = T;

  WipingAllocator() = default;
  template <typename U>
  explicit WipingAllocator(const WipingAllocator<U>&) {}

  T* allocate(std::size_t count) { return std::allocator<T>().allocate(count); }
  void deallocate(T* place, std::size_t count) {
    ::explicit_bzero(place, count * sizeof(T));
    std::allocator<T>().deallocate(place, count);
  }
  bool operator==(const WipingAllocator&) const = default;
};

using WipedText = std::basic_string<char, std::char_traits<char>, WipingAllocator<char>>;

/// Makes it empty and gives its memory back; clear() would keep both bytes and memory.
inline void wipe(WipedText& text) {
  WipedText().swap(text);
}

}  // namespace turnpike::tls
