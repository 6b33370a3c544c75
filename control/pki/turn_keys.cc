#include "control/pki/turn_keys.h"

#include <array>
#include <cstdlib>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

namespace turnpike::pki {
namespace {

// The library takes bytes as unsigned char; a pointer to void converts without a cast.
const unsigned char* bytes_of(std::string_view text) {
  const void* const bytes = text.data();
  return static_cast<const unsigned char*>(bytes);
}

template <std::size_t size>
void digest(const EVP_MD* algorithm, std::string_view text, std::array<std::uint8_t, size>& out) {
  unsigned made = 0;
  const bool done =
      EVP_Digest(text.data(), text.size(), out.data(), &made, algorithm, nullptr) == 1;
  if (!done || made != size) std::abort();  // a key of zeros would be an open door
}

}  // namespace

turn::UserKeys long_term_keys(std::string_view user, std::string_view realm,
                              std::string_view password) {
  std::string text;
  text.reserve(user.size() + realm.size() + password.size() + 2);
  text.append(user).append(":").append(realm).append(":").append(password);
  turn::UserKeys keys;
  digest(EVP_md5(), text, keys.md5);
  digest(EVP_sha256(), text, keys.sha256);
  OPENSSL_cleanse(text.data(), text.size());
  return keys;
}

std::string time_limited_password(const turn::SharedSecret& secret, std::string_view username) {
  std::array<std::uint8_t, EVP_MAX_MD_SIZE> tag{};
  unsigned size = 0;
  const EVP_MD* const algorithm = secret.sha256 ? EVP_sha256() : EVP_sha1();
  const bool made = HMAC(algorithm, secret.secret.data(), static_cast<int>(secret.secret.size()),
                         bytes_of(username), username.size(), tag.data(), &size) != nullptr;
  if (!made) std::abort();
  std::array<unsigned char, (EVP_MAX_MD_SIZE + 2) / 3 * 4 + 1> text{};
  const int length = EVP_EncodeBlock(text.data(), tag.data(), static_cast<int>(size));
  return {text.begin(), text.begin() + length};
}

std::optional<std::string> token_key_of(std::string_view algorithm, std::string_view base64) {
  const bool is_long = algorithm == "A256GCM";
  if (!is_long && algorithm != "A128GCM") return std::nullopt;
  const std::size_t key_bytes = is_long ? 32 : 16;
  const std::size_t whole_bytes = (key_bytes + 2) / 3 * 3;
  const std::size_t padding = whole_bytes - key_bytes;
  if (base64.size() != whole_bytes / 3 * 4 || base64.find('=') != base64.size() - padding) {
    return std::nullopt;
  }
  std::array<unsigned char, 33> bytes{};
  const int decoded =
      EVP_DecodeBlock(bytes.data(), bytes_of(base64), static_cast<int>(base64.size()));
  std::optional<std::string> key;
  if (decoded == static_cast<int>(whole_bytes)) {
    key.emplace(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(key_bytes));
  }
  OPENSSL_cleanse(bytes.data(), bytes.size());
  return key;
}

}  // namespace turnpike::pki
