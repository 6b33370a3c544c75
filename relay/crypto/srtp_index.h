// Packet indices and replay windows of the SRTP transform (RFC 3711 sections 3.3.1, 3.3.2).
// Is not: a state holder. Everything here is arithmetic over the stream structs of srtp.h.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace turnpike {

constexpr std::uint64_t kSrtpIndexCount = std::uint64_t{1} << 48;
constexpr std::uint32_t kSrtcpIndexCount = std::uint32_t{1} << 31;
constexpr std::uint64_t kReplayWindowPackets = 128;

using ReplayWindow = std::array<std::uint64_t, 2>;

/// Index of the packet with sequence number `sequence`, after `highest` (RFC 3711 appendix A).
/// May be kSrtpIndexCount or more (the roll-over counter is at its end) or, where the estimate
/// falls before the stream's first roll-over period, negative.
constexpr std::int64_t estimate_index(std::uint64_t highest, std::uint16_t sequence) {
  const auto period = static_cast<std::int64_t>(highest >> 16);
  const auto last = static_cast<std::int64_t>(highest & 0xffff);
  std::int64_t guess = period;
  if (last < 0x8000) {
    if (sequence - last > 0x8000) guess = period - 1;
  } else {
    if (last - 0x8000 > sequence) guess = period + 1;
  }
  return guess * 0x10000 + sequence;
}

enum class WindowPlace : std::uint8_t { kFresh, kUsed, kBehind };

constexpr WindowPlace place_of(const ReplayWindow& window, std::uint64_t highest,
                               std::uint64_t index) {
  if (index > highest) return WindowPlace::kFresh;
  const std::uint64_t age = highest - index;
  if (age >= kReplayWindowPackets) return WindowPlace::kBehind;
  return (window[age / 64] >> (age % 64)) & 1 ? WindowPlace::kUsed : WindowPlace::kFresh;
}

/// Marks an index that is not behind the window; moves the window where it is the highest yet.
constexpr void mark_used(ReplayWindow& window, std::uint64_t& highest, std::uint64_t index) {
  if (index <= highest) {
    const std::uint64_t age = highest - index;
    window[age / 64] |= std::uint64_t{1} << (age % 64);
    return;
  }
  const std::uint64_t step = index - highest;
  if (step >= 128) {
    window = {0, 0};
  } else if (step >= 64) {
    window = {0, window[0] << (step - 64)};
  } else {
    window = {window[0] << step, (window[1] << step) | (window[0] >> (64 - step))};
  }
  window[0] |= 1;
  highest = index;
}

}  // namespace turnpike
