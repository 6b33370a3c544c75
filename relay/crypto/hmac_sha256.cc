// The low-level calls for the same reason as in hmac_sha1.cc: no heap object for a key or message.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "relay/crypto/hmac_sha256.h"

#include <algorithm>

#include <openssl/sha.h>

#include "relay/core/bytes.h"

namespace turnpike {
namespace {

constexpr std::size_t kBlockBytes = SHA256_CBLOCK;
static_assert(kSha256Bytes == SHA256_DIGEST_LENGTH);

std::array<std::uint32_t, 8> hash_pad(std::array<std::uint8_t, kBlockBytes> block,
                                      std::uint8_t pad) {
  for (std::uint8_t& byte : block) byte = static_cast<std::uint8_t>(byte ^ pad);
  SHA256_CTX hash;
  SHA256_Init(&hash);
  SHA256_Update(&hash, block.data(), block.size());
  std::array<std::uint32_t, 8> state;
  std::copy_n(std::begin(hash.h), state.size(), state.begin());
  secure_wipe(&hash, sizeof hash);
  secure_wipe(block.data(), block.size());
  return state;
}

/// A hash that has taken in exactly one block.
void resume(SHA256_CTX& hash, const std::array<std::uint32_t, 8>& state) {
  SHA256_Init(&hash);
  std::copy(state.begin(), state.end(), std::begin(hash.h));
  hash.Nl = kBlockBytes * 8;
}

}  // namespace

HmacSha256Key make_hmac_sha256_key(std::span<const std::uint8_t> key) {
  std::array<std::uint8_t, kBlockBytes> block{};
  if (key.size() > kBlockBytes) {
    SHA256(key.data(), key.size(), block.data());
  } else {
    std::copy(key.begin(), key.end(), block.begin());
  }
  HmacSha256Key result{hash_pad(block, 0x36), hash_pad(block, 0x5c)};
  secure_wipe(block.data(), block.size());
  return result;
}

void hmac_sha256(const HmacSha256Key& key, std::span<const std::uint8_t> head,
                 std::span<const std::uint8_t> tail, std::uint8_t* digest) {
  SHA256_CTX hash;
  resume(hash, key.inner);
  SHA256_Update(&hash, head.data(), head.size());
  SHA256_Update(&hash, tail.data(), tail.size());
  SHA256_Final(digest, &hash);
  resume(hash, key.outer);
  SHA256_Update(&hash, digest, kSha256Bytes);
  SHA256_Final(digest, &hash);
}

}  // namespace turnpike
