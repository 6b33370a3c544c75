// AES-GCM of one message (RFC 5116 sections 5.1, 5.2), for what comes once per request. Is not: for
// packets; those go through SRTP's batches.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace turnpike {

constexpr std::size_t kGcmNonceBytes = 12;
constexpr std::size_t kGcmTagBytes = 16;

/// Opens `sealed`, the ciphertext with its tag behind it, into `plain`, which is that much shorter.
/// `key`: 16 or 32 bytes. False, and `plain` is wiped, when anything does not fit the tag.
bool open_aes_gcm(std::span<const std::uint8_t> key,
                  std::span<const std::uint8_t, kGcmNonceBytes> nonce,
                  std::span<const std::uint8_t> associated, std::span<const std::uint8_t> sealed,
                  std::span<std::uint8_t> plain);

}  // namespace turnpike
