// The part of bytes.h that must not be inlined.
#include "relay/core/bytes.h"

#include <cstring>

namespace turnpike {

void secure_wipe(void* data, std::size_t size) {
  if (size == 0) return;  // there may be no memory at all
  explicit_bzero(data, size);
}

bool equal_constant_time(const void* a, const void* b, std::size_t size) {
  const auto* left = static_cast<const volatile std::uint8_t*>(a);
  const auto* right = static_cast<const volatile std::uint8_t*>(b);
  std::uint8_t difference = 0;
  for (std::size_t i = 0; i < size; ++i) {
    difference = static_cast<std::uint8_t>(difference | (left[i] ^ right[i]));
  }
  return difference == 0;
}

}  // namespace turnpike
