// Rejection sampling over getrandom(2).
#include "relay/io/secure_random.h"

#include <cerrno>

#include <sys/random.h>

#include "relay/core/check.h"

namespace turnpike {

void fill_random(void* bytes, std::size_t size) {
  auto* next = static_cast<std::uint8_t*>(bytes);
  while (size != 0) {
    const auto got = getrandom(next, size, 0);
    CHECK(got > 0 || (got < 0 && errno == EINTR));
    if (got < 0) continue;
    next += got;
    size -= static_cast<std::size_t>(got);
  }
}

std::uint32_t SecureRandom::next() {
  if (used_ == block_.size()) {
    // Up to 256 bytes come whole and uninterrupted (getrandom(2)).
    const auto got = getrandom(block_.data(), sizeof block_, 0);
    CHECK(got == static_cast<ssize_t>(sizeof block_));
    used_ = 0;
  }
  const std::uint32_t value = block_[used_];
  block_[used_++] = 0;
  return value;
}

std::uint32_t SecureRandom::below(std::uint32_t bound) {
  CHECK(bound != 0);
  // The low part of value * bound tells whether value fell into the uneven remainder.
  const std::uint32_t uneven = static_cast<std::uint32_t>(-bound) % bound;
  for (;;) {
    const std::uint64_t product = std::uint64_t{next()} * bound;
    if (static_cast<std::uint32_t>(product) >= uneven) {
      return static_cast<std::uint32_t>(product >> 32);
    }
  }
}

}  // namespace turnpike
