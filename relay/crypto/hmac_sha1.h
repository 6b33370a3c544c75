// HMAC-SHA1 (RFC 2104) with the key's two pad blocks hashed once, kept as 40 bytes.
// Hides: the hash library. Is not: a general MAC interface; it serves the SRTP transform and STUN.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace turnpike {

constexpr std::size_t kSha1Bytes = 20;

/// Hash states after the inner and the outer pad block. As secret as the key itself.
struct HmacSha1Key {
  std::array<std::uint32_t, 5> inner{};
  std::array<std::uint32_t, 5> outer{};
};

/// A key longer than a hash block (64 bytes) is hashed first (RFC 2104 section 2).
HmacSha1Key make_hmac_sha1_key(std::span<const std::uint8_t> key);

/// The full 20-byte code of `head` followed by `tail`.
void hmac_sha1(const HmacSha1Key& key, std::span<const std::uint8_t> head,
               std::span<const std::uint8_t> tail, std::uint8_t* digest);

}  // namespace turnpike
