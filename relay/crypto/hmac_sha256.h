// HMAC-SHA-256 (RFC 2104, FIPS 180-4) with the key's two pad blocks hashed once.
// Hides: the hash library. Is not: a general MAC interface; it serves STUN and TURN.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace turnpike {

constexpr std::size_t kSha256Bytes = 32;

/// Hash states after the inner and the outer pad block. As secret as the key itself.
struct HmacSha256Key {
  std::array<std::uint32_t, 8> inner{};
  std::array<std::uint32_t, 8> outer{};
};

/// A key longer than a hash block (64 bytes) is hashed first (RFC 2104 section 2).
HmacSha256Key make_hmac_sha256_key(std::span<const std::uint8_t> key);

/// The full 32-byte code of `head` followed by `tail`.
void hmac_sha256(const HmacSha256Key& key, std::span<const std::uint8_t> head,
                 std::span<const std::uint8_t> tail, std::uint8_t* digest);

}  // namespace turnpike
