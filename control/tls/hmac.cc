#include "control/tls/hmac.h"

#include <cstdlib>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

namespace turnpike::tls {

Sha256Tag hmac_sha256(std::string_view key, std::string_view message) {
  Sha256Tag tag{};
  unsigned size = 0;
  // The library takes bytes as unsigned char; a pointer to void converts without a cast.
  const void* const bytes = message.data();
  const bool made =
      HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
           static_cast<const unsigned char*>(bytes), message.size(), tag.data(), &size) != nullptr;
  if (!made || size != tag.size()) std::abort();  // a tag of zeros would be an open door
  return tag;
}

bool equal_in_constant_time(const Sha256Tag& a, const Sha256Tag& b) {
  return CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace turnpike::tls
