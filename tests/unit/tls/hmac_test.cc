#include "control/tls/hmac.h"

#include <gtest/gtest.h>

namespace turnpike::tls {
namespace {

// RFC 4231 section 4.3 (test case 2).
TEST(HmacSha256, gives_the_vector_of_the_rfc) {
  const Sha256Tag tag = hmac_sha256("Jefe", "what do ya want for nothing?");
  constexpr Sha256Tag kWanted{0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e, 0x6a, 0x04, 0x24,
                              0x26, 0x08, 0x95, 0x75, 0xc7, 0x5a, 0x00, 0x3f, 0x08, 0x9d, 0x27,
                              0x39, 0x83, 0x9d, 0xec, 0x58, 0xb9, 0x64, 0xec, 0x38, 0x43};
  EXPECT_TRUE(equal_in_constant_time(tag, kWanted));
}

TEST(HmacSha256, one_bit_makes_a_difference) {
  Sha256Tag tag = hmac_sha256("key", "message");
  const Sha256Tag other = tag;
  tag[31] ^= 1;
  EXPECT_FALSE(equal_in_constant_time(tag, other));
  EXPECT_FALSE(equal_in_constant_time(other, hmac_sha256("key", "message ")));
  EXPECT_FALSE(equal_in_constant_time(other, hmac_sha256("kez", "message")));
}

}  // namespace
}  // namespace turnpike::tls
