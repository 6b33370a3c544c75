// What the readers of both encodings share: the limits of a message, how far reading got, numbers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "control/ng/parse_fault.h"

namespace turnpike::ng {

/// The same for both encodings, so that neither lets through what the other refuses.
struct MessageLimits {
  std::uint32_t depth_max = 16;       ///< lists and dictionaries around a value, itself included
  std::uint32_t elements_max = 4096;  ///< values and keys of the whole message
  std::uint32_t bytes_max = 65536;    ///< encoded size of the message
};

enum class ReadProgress : std::uint8_t { kNeedsMore, kDone, kFailed };

constexpr std::size_t kNumberBytesMax = 20;  // "-9223372036854775808"

/// Digits without leading zeros, perhaps with a minus before them; no "-0".
bool is_canonical_number(std::string_view text);

struct ParsedNumber {
  std::int64_t value = 0;
  ParseFault fault = ParseFault::kNone;
};
ParsedNumber parse_number(std::string_view text);

}  // namespace turnpike::ng
