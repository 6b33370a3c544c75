// Rejection sampling over getrandom(2).
#include "relay/io/secure_random.h"

#include <sys/random.h>

#include "relay/core/check.h"

namespace turnpike {

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
