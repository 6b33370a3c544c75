// Cookies for ClientHellos (RFC 6347 section 4.2.1): proof that whoever sent one receives at the
// address that it came from, without remembering anything of it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "relay/crypto/hmac_sha256.h"
#include "turnpike/time.h"

namespace turnpike {

constexpr std::size_t kCookieBytes = 16;
using Cookie = std::array<std::uint8_t, kCookieBytes>;

/// From the system's generator for secrets; aborts when that fails.
void fill_random(std::span<std::uint8_t> bytes);

/// Random secrets, each in use for kLife and good for as long again.
class CookieSecrets {
 public:
  static constexpr Seconds kLife{60};

  CookieSecrets();
  ~CookieSecrets();
  CookieSecrets(const CookieSecrets&) = delete;
  CookieSecrets& operator=(const CookieSecrets&) = delete;

  /// HMAC-SHA256, cut short, over what the cookie is to be bound to.
  Cookie make(std::span<const std::uint8_t> bound_to, Instant now);
  bool verify(std::span<const std::uint8_t> cookie, std::span<const std::uint8_t> bound_to,
              Instant now);

 private:
  void rotate(Instant now);

  HmacSha256Key present_;
  HmacSha256Key previous_;
  Instant since_{};
};

}  // namespace turnpike
