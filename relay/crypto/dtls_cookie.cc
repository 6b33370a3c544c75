#include "relay/crypto/dtls_cookie.h"

#include <algorithm>

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include "relay/core/bytes.h"
#include "relay/core/check.h"

namespace turnpike {
namespace {

Cookie code(std::span<const std::uint8_t> secret, std::span<const std::uint8_t> bound_to) {
  std::array<std::uint8_t, EVP_MAX_MD_SIZE> digest;
  unsigned int bytes = 0;
  const bool done = HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
                         bound_to.data(), bound_to.size(), digest.data(), &bytes) != nullptr;
  CHECK(done && bytes >= kCookieBytes);
  Cookie cookie;
  std::copy_n(digest.begin(), cookie.size(), cookie.begin());
  return cookie;
}

}  // namespace

void fill_random(std::span<std::uint8_t> bytes) {
  CHECK(RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) == 1);
}

CookieSecrets::CookieSecrets() {
  fill_random(present_);
  fill_random(previous_);
}

CookieSecrets::~CookieSecrets() {
  secure_wipe(present_.data(), present_.size());
  secure_wipe(previous_.data(), previous_.size());
}

Cookie CookieSecrets::make(std::span<const std::uint8_t> bound_to, Instant now) {
  rotate(now);
  return code(present_, bound_to);
}

bool CookieSecrets::verify(std::span<const std::uint8_t> cookie,
                           std::span<const std::uint8_t> bound_to, Instant now) {
  rotate(now);
  if (cookie.size() != kCookieBytes) return false;
  const Cookie present = code(present_, bound_to);
  const Cookie previous = code(previous_, bound_to);
  const bool is_present = equal_constant_time(cookie.data(), present.data(), kCookieBytes);
  const bool is_previous = equal_constant_time(cookie.data(), previous.data(), kCookieBytes);
  return is_present || is_previous;
}

void CookieSecrets::rotate(Instant now) {
  const Nanoseconds age = now - since_;
  if (age < kLife) return;
  if (age < 2 * kLife) {
    previous_ = present_;
  } else {
    fill_random(previous_);
  }
  fill_random(present_);
  since_ = now;
}

}  // namespace turnpike
