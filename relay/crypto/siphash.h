// SipHash-2-4 (Aumasson and Bernstein, 2012): a keyed 64-bit tag over a few bytes, at the price of
// a hash table's function. Is not: a code for long or precious messages; those take HMAC.
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace turnpike {

using SipHashKey = std::array<std::uint8_t, 16>;

std::uint64_t siphash_2_4(const SipHashKey& key, std::span<const std::uint8_t> message);

}  // namespace turnpike
