// Big-endian reads and writes at unaligned places, and wiping of secrets.
#pragma once

#include <cstddef>
#include <cstdint>

namespace turnpike {

inline std::uint16_t read_be16(const std::uint8_t* p) {
  return static_cast<std::uint16_t>((p[0] << 8) | p[1]);
}
inline std::uint32_t read_be32(const std::uint8_t* p) {
  return (std::uint32_t{p[0]} << 24) | (std::uint32_t{p[1]} << 16) | (std::uint32_t{p[2]} << 8) |
         p[3];
}
inline void write_be16(std::uint8_t* p, std::uint16_t value) {
  p[0] = static_cast<std::uint8_t>(value >> 8);
  p[1] = static_cast<std::uint8_t>(value);
}
inline void write_be32(std::uint8_t* p, std::uint32_t value) {
  p[0] = static_cast<std::uint8_t>(value >> 24);
  p[1] = static_cast<std::uint8_t>(value >> 16);
  p[2] = static_cast<std::uint8_t>(value >> 8);
  p[3] = static_cast<std::uint8_t>(value);
}

/// Overwrites `size` bytes in a way that the compiler may not drop.
void secure_wipe(void* data, std::size_t size);

/// Equal-time comparison: the time taken depends on `size` only.
bool equal_constant_time(const void* a, const void* b, std::size_t size);

}  // namespace turnpike
