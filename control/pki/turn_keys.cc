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

}  // namespace turnpike::pki
