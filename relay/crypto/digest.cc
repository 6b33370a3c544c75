#include "relay/crypto/digest.h"

#include <openssl/evp.h>

#include "relay/core/check.h"

namespace turnpike {
namespace {

template <std::size_t kBytes>
std::array<std::uint8_t, kBytes> digest_of(const EVP_MD* kind,
                                           std::initializer_list<std::string_view> parts) {
  std::array<std::uint8_t, kBytes> digest{};
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  unsigned int bytes = 0;
  bool done = context != nullptr && EVP_DigestInit_ex(context, kind, nullptr) == 1;
  for (const std::string_view part : parts) {
    done = done && EVP_DigestUpdate(context, part.data(), part.size()) == 1;
  }
  done = done && EVP_DigestFinal_ex(context, digest.data(), &bytes) == 1;
  EVP_MD_CTX_free(context);
  CHECK(done && bytes == kBytes);
  return digest;
}

}  // namespace

std::array<std::uint8_t, 16> md5(std::initializer_list<std::string_view> parts) {
  return digest_of<16>(EVP_md5(), parts);
}

std::array<std::uint8_t, 32> sha256(std::initializer_list<std::string_view> parts) {
  return digest_of<32>(EVP_sha256(), parts);
}

std::string base64(std::span<const std::uint8_t> bytes) {
  static constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
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

}  // namespace turnpike
