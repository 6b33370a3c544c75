#include "relay/crypto/dtls_cookie.h"

#include <algorithm>

#include <openssl/rand.h>

#include "relay/core/bytes.h"
#include "relay/core/check.h"

namespace turnpike {
namespace {

HmacSha256Key new_secret() {
  std::array<std::uint8_t, 32> secret;
  fill_random(secret);
  const HmacSha256Key key = make_hmac_sha256_key(secret);
  secure_wipe(secret.data(), secret.size());
  return key;
}

Cookie code(const HmacSha256Key& secret, std::span<const std::uint8_t> bound_to) {
  std::array<std::uint8_t, kSha256Bytes> digest;
  hmac_sha256(secret, bound_to, {}, digest.data());
  Cookie cookie;
  std::copy_n(digest.begin(), cookie.size(), cookie.begin());
  return cookie;
}

}  // namespace

void fill_random(std::span<std::uint8_t> bytes) {
  CHECK(RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) == 1);
}

CookieSecrets::CookieSecrets() : present_(new_secret()), previous_(new_secret()) {}

CookieSecrets::~CookieSecrets() {
  secure_wipe(&present_, sizeof present_);
  secure_wipe(&previous_, sizeof previous_);
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
    previous_ = new_secret();
  }
  present_ = new_secret();
  since_ = now;
}

}  // namespace turnpike
