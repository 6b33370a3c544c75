// Keys of the long-term mechanism, and passwords of time-limited credentials.
#include "control/pki/turn_keys.h"

#include <gtest/gtest.h>

namespace turnpike::pki {
namespace {

std::string hex(const auto& bytes) {
  std::string text;
  for (const std::uint8_t byte : bytes) {
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  return text;
}

// The example of RFC 5389 section 15.4.
TEST(TurnKeys, long_term_keys) {
  const turn::UserKeys keys = long_term_keys("user", "realm", "pass");
  EXPECT_EQ(hex(keys.md5), "8493fbc53ba582fb4c044c456bdc40eb");
  EXPECT_EQ(hex(keys.sha256), "07e934117abd40836e7c6329b54731b2b2d2a5f9a71f544922d75e0730d8251b");
}

// openssl dgst -sha1 -hmac 0123456789abcdef -binary | base64
TEST(TurnKeys, time_limited_passwords) {
  turn::SharedSecret secret;
  secret.secret = "0123456789abcdef";
  EXPECT_EQ(time_limited_password(secret, "1700000000:alice"), "QmpguVhgm8LJZp0MkvqhyKEkXps=");
  secret.sha256 = true;
  EXPECT_EQ(time_limited_password(secret, "1700000000:alice"),
            "2JNsNCEikXeHYiLMkosoG8Wc8N3paxPozgfhUXjOiJ4=");
}

}  // namespace
}  // namespace turnpike::pki
