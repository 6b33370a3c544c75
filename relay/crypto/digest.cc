// The low-level calls: they need no heap, and MD5 is there whatever the library's providers allow.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "relay/crypto/digest.h"

#include <openssl/md5.h>
#include <openssl/sha.h>

namespace turnpike {
namespace {

constexpr std::string_view kDigits =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

}  // namespace

std::array<std::uint8_t, 16> md5(std::initializer_list<std::string_view> parts) {
  std::array<std::uint8_t, MD5_DIGEST_LENGTH> digest{};
  MD5_CTX hash;
  MD5_Init(&hash);
  for (const std::string_view part : parts) MD5_Update(&hash, part.data(), part.size());
  MD5_Final(digest.data(), &hash);
  return digest;
}

std::array<std::uint8_t, 32> sha256(std::initializer_list<std::string_view> parts) {
  std::array<std::uint8_t, SHA256_DIGEST_LENGTH> digest{};
  SHA256_CTX hash;
  SHA256_Init(&hash);
  for (const std::string_view part : parts) SHA256_Update(&hash, part.data(), part.size());
  SHA256_Final(digest.data(), &hash);
  return digest;
}

std::string base64(std::span<const std::uint8_t> bytes) {
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    const std::size_t left = bytes.size() - at;
    const std::uint32_t group = (std::uint32_t{bytes[at]} << 16) |
                                (left > 1 ? std::uint32_t{bytes[at + 1]} << 8 : 0U) |
                                (left > 2 ? std::uint32_t{bytes[at + 2]} : 0U);
    text += kDigits[group >> 18];
    text += kDigits[(group >> 12) & 63];
    text += left > 1 ? kDigits[(group >> 6) & 63] : '=';
    text += left > 2 ? kDigits[group & 63] : '=';
  }
  return text;
}

bool from_base64(std::span<const std::uint8_t> text, std::span<std::uint8_t> bytes) {
  if (bytes.size() % 3 != 0 || text.size() != bytes.size() / 3 * 4) return false;
  std::size_t to = 0;
  for (std::size_t at = 0; at < text.size(); at += 4) {
    std::size_t group = 0;
    for (const std::uint8_t digit : text.subspan(at, 4)) {
      const std::size_t value = kDigits.find(static_cast<char>(digit));
      if (value == std::string_view::npos) return false;
      group = (group << 6) | value;
    }
    for (const unsigned shift : {16U, 8U, 0U}) {
      bytes[to++] = static_cast<std::uint8_t>(group >> shift);
    }
  }
  return true;
}

}  // namespace turnpike
