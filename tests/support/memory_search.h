// Whether a secret of a test lies anywhere in the memory that this process can write to. The needle
// itself is kept masked, so that it is not found where it is looked for from.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>

#include <fcntl.h>
#include <sys/random.h>
#include <unistd.h>

namespace turnpike {

class MaskedNeedle {
 public:
  static constexpr std::size_t kBytes = 32;

  MaskedNeedle() {
    if (::getrandom(masked_.data(), masked_.size(), 0) != static_cast<ssize_t>(kBytes)) {
      masked_.fill('n');
    }
  }

  /// Puts the secret at the end of `text`.
  template <typename Text>
  void append_to(Text& text) const {
    text.reserve(text.size() + kBytes);
    for (std::size_t i = 0; i < kBytes; ++i) text += static_cast<char>(byte(i));
  }

  /// Places in writable memory with the first or the second half of it.
  std::size_t count_in_memory() const {
    const int memory = ::open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    std::ifstream maps("/proc/self/maps");
    std::size_t found = 0;
    for (std::string line; std::getline(maps, line);) {
      std::istringstream words(line);
      std::uintptr_t begin = 0;
      std::uintptr_t end = 0;
      char dash = 0;
      std::string rights;
      words >> std::hex >> begin >> dash >> end >> rights;
      // Larger ones are the tables of sanitizers, with nothing of the program's in them.
      const bool searched = rights.starts_with("rw") && end - begin < kRegionBytesMax;
      if (searched) found += count_between(memory, begin, end);
    }
    ::close(memory);
    return found;
  }

 private:
  static constexpr std::uintptr_t kRegionBytesMax = std::uintptr_t{1} << 28;
  static constexpr std::size_t kHalf = kBytes / 2;

  std::uint8_t byte(std::size_t i) const {
    const volatile std::uint8_t& masked = masked_[i];
    return static_cast<std::uint8_t>(masked ^ 0x5a);
  }
  std::size_t count_between(int memory, std::uintptr_t begin, std::uintptr_t end) const {
    static std::array<std::uint8_t, 65536 + kHalf> block;
    const auto own = reinterpret_cast<std::uintptr_t>(block.data());
    std::size_t found = 0;
    for (std::uintptr_t at = begin; at < end; at += 65536) {
      const ssize_t size = ::pread(memory, block.data(), block.size(), static_cast<off_t>(at));
      if (size < static_cast<ssize_t>(kHalf) || overlap(at, own)) continue;
      for (const std::size_t half : {std::size_t{0}, kHalf}) {
        found += count_halves(block.data(), static_cast<std::size_t>(size) - kHalf + 1, half);
      }
    }
    block.fill(0);
    return found;
  }
  /// Whether a block read from `at` would show the block itself.
  static bool overlap(std::uintptr_t at, std::uintptr_t own) {
    constexpr std::uintptr_t kBlockBytes = 65536 + kHalf;
    return at < own + kBlockBytes && own < at + kBlockBytes;
  }
  std::size_t count_halves(const std::uint8_t* begin, std::size_t size, std::size_t half) const {
    const void* place = begin;
    std::size_t found = 0;
    std::size_t done = 0;
    while ((place = std::memchr(begin + done, byte(half), size - done)) != nullptr) {
      const auto* const here = static_cast<const std::uint8_t*>(place);
      if (is_half(here, half)) ++found;
      done = static_cast<std::size_t>(here - begin) + 1;
    }
    return found;
  }
  bool is_half(const std::uint8_t* place, std::size_t first) const {
    std::size_t same = 0;
    while (same < kHalf && place[same] == byte(first + same)) ++same;
    return same == kHalf;
  }

  std::array<std::uint8_t, kBytes> masked_{};
};

}  // namespace turnpike
