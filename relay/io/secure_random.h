// Unpredictable numbers from getrandom(2), fetched in blocks: a system call per 64 numbers.
// For choices an attacker must not foresee (ports); not for keys.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace turnpike {

/// Fills `bytes` at once, without a block that is kept: for keys and secrets as well.
void fill_random(void* bytes, std::size_t size);

class SecureRandom {
 public:
  /// Uniform in [0, bound), without modulo bias; bound must not be 0.
  std::uint32_t below(std::uint32_t bound);

 private:
  std::uint32_t next();

  std::array<std::uint32_t, 64> block_{};
  std::size_t used_ = 64;
};

}  // namespace turnpike
