// Self-contained tokens of an authorization server (RFC 7635 section 6.2): the key of a session and
// until when it is good, sealed for this server. Hides: the format. Is not: whether the time is
// over.
//
//   | nonce length (16) | nonce | sealed: key length (16), key, timestamp (64), lifetime (32) | tag
//   |
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "relay/core/bytes.h"
#include "relay/crypto/aes_gcm.h"
#include "turnpike/time.h"

namespace turnpike::turn {

/// The key by which client and server seal their messages. Secret; wiped when it goes.
class SessionKey {
 public:
  static constexpr std::size_t kBytesMin = 20;  ///< of HMAC-SHA1
  static constexpr std::size_t kBytesMax = 32;  ///< of HMAC-SHA-256

  SessionKey() = default;
  SessionKey(const SessionKey&) = default;
  SessionKey& operator=(const SessionKey&) = default;
  ~SessionKey() { secure_wipe(bytes_.data(), bytes_.size()); }
  /// `key`: kBytesMin to kBytesMax.
  explicit SessionKey(std::span<const std::uint8_t> key);

  bool is_set() const { return size_ != 0; }
  std::span<const std::uint8_t> bytes() const { return {bytes_.data(), size_}; }

 private:
  std::array<std::uint8_t, kBytesMax> bytes_{};
  std::uint8_t size_ = 0;
};

struct AccessToken {
  SessionKey key;
  std::array<std::uint8_t, kGcmNonceBytes> nonce{};  ///< of this token alone
  Seconds issued{0};                                 ///< Unix time
  Seconds lifetime{0};
};

/// Nothing when it was not made with `key` for `server`, or is none.
std::optional<AccessToken> open_token(std::string_view key, std::string_view server,
                                      std::span<const std::uint8_t> token);

}  // namespace turnpike::turn
