// An input as steps: a byte that says what to do, one for how many bytes follow, and these.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

namespace turnpike::test {

/// Calls step(what, bytes) for each, `steps_max` at most.
template <typename Step>
void for_each_step(const std::uint8_t* data, std::size_t size, std::size_t steps_max, Step step) {
  std::span<const std::uint8_t> input(data, size);
  for (std::size_t steps = 0; input.size() >= 2 && steps < steps_max; ++steps) {
    const std::uint8_t what = input[0];
    const std::size_t length = std::min<std::size_t>(input[1], input.size() - 2);
    step(what, input.subspan(2, length));
    input = input.subspan(2 + length);
  }
}

}  // namespace turnpike::test
