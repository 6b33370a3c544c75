// EVP_MAC needs a heap object per key and copies it per message, which costs more than hashing an
// audio packet. The low-level SHA1 calls are deprecated, not removed; they stay inside this file.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "relay/crypto/hmac_sha1.h"

#include <algorithm>

#include <openssl/sha.h>

#include "relay/core/bytes.h"

namespace turnpike {
namespace {

constexpr std::size_t kBlockBytes = SHA_CBLOCK;
static_assert(kSha1Bytes == SHA_DIGEST_LENGTH);

std::array<std::uint32_t, 5> hash_pad(std::array<std::uint8_t, kBlockBytes> block,
                                      std::uint8_t pad) {
  for (std::uint8_t& byte : block) byte = static_cast<std::uint8_t>(byte ^ pad);
  SHA_CTX hash;
  SHA1_Init(&hash);
  SHA1_Update(&hash, block.data(), block.size());
  const std::array<std::uint32_t, 5> state = {hash.h0, hash.h1, hash.h2, hash.h3, hash.h4};
  secure_wipe(&hash, sizeof hash);
  secure_wipe(block.data(), block.size());
  return state;
}

/// A hash that has taken in exactly one block.
void resume(SHA_CTX& hash, const std::array<std::uint32_t, 5>& state) {
  hash.h0 = state[0];
  hash.h1 = state[1];
  hash.h2 = state[2];
  hash.h3 = state[3];
  hash.h4 = state[4];
  hash.Nl = kBlockBytes * 8;
  hash.Nh = 0;
  hash.num = 0;
}

}  // namespace

HmacSha1Key make_hmac_sha1_key(std::span<const std::uint8_t> key) {
  std::array<std::uint8_t, kBlockBytes> block{};
  if (key.size() > kBlockBytes) {
    SHA1(key.data(), key.size(), block.data());
  } else {
    std::copy(key.begin(), key.end(), block.begin());
  }
  HmacSha1Key result{hash_pad(block, 0x36), hash_pad(block, 0x5c)};
  secure_wipe(block.data(), block.size());
  return result;
}

void hmac_sha1(const HmacSha1Key& key, std::span<const std::uint8_t> head,
               std::span<const std::uint8_t> tail, std::uint8_t* digest) {
  SHA_CTX hash;
  resume(hash, key.inner);
  SHA1_Update(&hash, head.data(), head.size());
  SHA1_Update(&hash, tail.data(), tail.size());
  SHA1_Final(digest, &hash);
  resume(hash, key.outer);
  SHA1_Update(&hash, digest, kSha1Bytes);
  SHA1_Final(digest, &hash);
}

}  // namespace turnpike
