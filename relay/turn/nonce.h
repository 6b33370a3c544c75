// Nonces that need no memory (RFC 8489 section 9.2): the time, and a code over it and the client's
// address. Whoever answers with one has received it there, not long ago.
//
//   "obMatJos2" | security features, 4 characters | time and code, 11 characters of base64
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "relay/crypto/hmac_sha256.h"
#include "turnpike/address.h"
#include "turnpike/time.h"

namespace turnpike::turn {

/// RFC 8489 section 18.1: bits that a nonce promises.
enum SecurityFeature : std::uint8_t {
  kPasswordAlgorithmsFeature = 0x80,
  kUsernameAnonymityFeature = 0x40,
};

constexpr std::size_t kNonceChars = 24;
using NonceText = std::array<char, kNonceChars>;

class Nonces {
 public:
  explicit Nonces(std::span<const std::uint8_t> key) : key_(make_hmac_sha256_key(key)) {}

  NonceText make(const SocketAddress& client, std::uint8_t features, Instant now) const;
  /// kOld: made for that client with these features, longer ago than `lifetime`. Only ages up to
  /// kLifetimeMax can be told.
  enum class Verdict : std::uint8_t { kGood, kOld, kForeign };
  Verdict judge(std::string_view nonce, const SocketAddress& client, std::uint8_t features,
                Instant now, Seconds lifetime) const;

  static constexpr Seconds kLifetimeMax{0xffff};

 private:
  NonceText write(const SocketAddress& client, std::uint8_t features, std::uint64_t second) const;
  HmacSha256Key key_;
};

}  // namespace turnpike::turn
