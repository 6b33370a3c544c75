// Two connections made one: bytes one way, through a buffer of fixed size, read no faster than the
// other end takes them, and the end told for itself. Is not: which connections, limits, times.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "relay/core/byte_stream.h"

namespace turnpike {

struct SpliceWay {
  static constexpr std::size_t kBytes = 8192;

  std::size_t begin = 0;
  std::size_t end = 0;
  bool has_ended = false;                  // the one end has nothing more to say
  bool is_told = false;                    // and the other knows
  std::uint64_t read = 0;                  // how much came
  std::array<std::uint8_t, kBytes> bytes;  // only what was received is read
};

enum class Carried : std::uint8_t { kAll, kSome, kGiverFailed, kTakerFailed };

/// As much as came and is taken. kSome: more, but others have their turn.
Carried carry_some(ByteStream& from, ByteStream& to, SpliceWay& way);

}  // namespace turnpike
