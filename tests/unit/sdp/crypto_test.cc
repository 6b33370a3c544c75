// a=crypto lines (RFC 4568).
#include "control/sdp/crypto.h"

#include <array>
#include <new>
#include <numeric>

#include <gtest/gtest.h>

namespace turnpike::sdp {
namespace {

// RFC 4568 section 9.2 and 6.1 use this key.
constexpr std::string_view kRfcKey = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";

SrtpKeying counting_key(SrtpSuite suite) {
  SrtpKeying keying;
  keying.suite = suite;
  std::iota(keying.master_key.begin(), keying.master_key.begin() + info_of(suite).key_bytes,
            std::uint8_t{1});
  std::iota(keying.master_salt.begin(), keying.master_salt.begin() + info_of(suite).salt_bytes,
            std::uint8_t{101});
  return keying;
}

TEST(SdpCrypto, reads_the_example_of_rfc_4568) {
  const CryptoLine line = parse_crypto("1 AES_CM_128_HMAC_SHA1_80 inline:" + std::string(kRfcKey) +
                                       "|2^20|1:4 FEC_ORDER=FEC_SRTP");
  EXPECT_EQ(line.refusal, "has a session parameter that is not supported");
  const CryptoLine usable =
      parse_crypto("1 AES_CM_128_HMAC_SHA1_80 inline:" + std::string(kRfcKey) + "|2^20|1:4");
  ASSERT_TRUE(usable.usable()) << usable.refusal;
  EXPECT_EQ(usable.tag, 1U);
  EXPECT_EQ(usable.suite, SrtpSuite::kAesCm128HmacSha1_80);
  EXPECT_EQ(usable.keying.value.lifetime_packets, 1U << 20);
  EXPECT_EQ(usable.keying.value.mki_bytes, 4);
  EXPECT_EQ(usable.keying.value.mki[3], 1);
  EXPECT_EQ(usable.keying.value.master_key[0], 'Y');
  EXPECT_EQ(usable.keying.value.master_salt[13], 's');
}

TEST(SdpCrypto, every_suite_survives_writing_and_reading) {
  for (const SrtpSuite suite : kSuitePreference) {
    SrtpKeying keying = counting_key(suite);
    const CryptoLine line = parse_crypto(write_crypto(7, keying));
    ASSERT_TRUE(line.usable()) << line.refusal;
    EXPECT_EQ(line.tag, 7U);
    EXPECT_EQ(line.keying.value, keying);

    keying.lifetime_packets = 1000;
    keying.mki_bytes = 16;
    keying.mki.fill(0xff);
    EXPECT_EQ(parse_crypto(write_crypto(7, keying)).keying.value, keying);
  }
}

TEST(SdpCrypto, mki_is_a_decimal_number) {
  SrtpKeying keying = counting_key(SrtpSuite::kAesCm128HmacSha1_80);
  keying.mki_bytes = 2;
  keying.mki = {0x01, 0x02};
  EXPECT_NE(write_crypto(1, keying).find("|258:2"), std::string::npos);
  keying.mki = {};
  EXPECT_NE(write_crypto(1, keying).find("|0:2"), std::string::npos);
}

TEST(SdpCrypto, padding_may_be_missing) {
  std::string text = write_crypto(1, counting_key(SrtpSuite::kAeadAes128Gcm));
  ASSERT_EQ(text.substr(text.size() - 2), "==");
  EXPECT_TRUE(parse_crypto(text).usable());
  text.resize(text.size() - 2);
  EXPECT_TRUE(parse_crypto(text).usable());
}

TEST(SdpCrypto, lifetime_is_decimal_or_a_power_of_two) {
  const std::string start = "1 AES_CM_128_HMAC_SHA1_80 inline:" + std::string(kRfcKey) + "|";
  const auto lifetime = [&](const std::string& text) {
    const CryptoLine line = parse_crypto(start + text);
    return line.usable() ? line.keying.value.lifetime_packets : 0;
  };
  EXPECT_EQ(lifetime("2^31"), std::uint64_t{1} << 31);
  EXPECT_EQ(lifetime("2^48"), std::uint64_t{1} << 48);
  EXPECT_EQ(lifetime("281474976710656"), std::uint64_t{1} << 48);
  EXPECT_EQ(lifetime("281474976710657"), 0U);
  EXPECT_EQ(lifetime("2^49"), 0U);
  EXPECT_EQ(lifetime("2^"), 0U);
  EXPECT_EQ(lifetime("0"), 0U);
  EXPECT_EQ(lifetime(""), 0U);
  EXPECT_EQ(lifetime("-1"), 0U);
}

struct Refusal {
  const char* what;
  std::string text;
  const char* reason;
};

class SdpCryptoRefuses : public testing::TestWithParam<Refusal> {};

TEST_P(SdpCryptoRefuses, with_reason_and_without_key) {
  const CryptoLine line = parse_crypto(GetParam().text);
  EXPECT_EQ(line.refusal, GetParam().reason);
  EXPECT_FALSE(line.keying.is_set());
}

const std::string kStart = "1 AES_CM_128_HMAC_SHA1_80 inline:" + std::string(kRfcKey);
const char* const kSize = "key is not base64 of the suite's size";
const char* const kParameter = "has a session parameter that is not supported";

INSTANTIATE_TEST_SUITE_P(
    Sdp, SdpCryptoRefuses,
    testing::Values(
        Refusal{"empty", "", "needs tag, suite and key"},
        Refusal{"no_key", "1 AES_CM_128_HMAC_SHA1_80", "needs tag, suite and key"},
        Refusal{"tag", "x AES_CM_128_HMAC_SHA1_80 inline:AA",
                "tag is not a number of up to nine digits"},
        Refusal{"tag_long", "1000000000 AES_CM_128_HMAC_SHA1_80 inline:AA",
                "tag is not a number of up to nine digits"},
        Refusal{"suite", "1 F8_128_HMAC_SHA1_80 inline:AA", "suite is not supported"},
        Refusal{"suite_case", "1 aes_cm_128_hmac_sha1_80 inline:AA", "suite is not supported"},
        Refusal{"suite_none", "1 none inline:AA", "suite is not supported"},
        Refusal{"method", "1 AES_CM_128_HMAC_SHA1_80 uri:AA", "key method is not inline"},
        Refusal{"short_key", kStart.substr(0, kStart.size() - 1), kSize},
        Refusal{"long_key", kStart + "A", kSize},
        Refusal{"not_base64", kStart.substr(0, kStart.size() - 1) + "*", kSize},
        Refusal{"key_of_other_suite", "1 AES_256_CM_HMAC_SHA1_80 inline:" + std::string(kRfcKey),
                kSize},
        Refusal{"two_keys", kStart + "|2^20|1:4;inline:" + std::string(kRfcKey) + "|2^20|2:4",
                "has more than one key"},
        Refusal{"mki_long", kStart + "|1:17", "MKI is damaged or longer than 16 bytes"},
        Refusal{"mki_zero", kStart + "|1:0", "MKI is damaged or longer than 16 bytes"},
        Refusal{"mki_overflow", kStart + "|256:1", "MKI is damaged or longer than 16 bytes"},
        Refusal{"mki_text", kStart + "|x:4", "MKI is damaged or longer than 16 bytes"},
        Refusal{"mki_empty", kStart + "|:4", "MKI is damaged or longer than 16 bytes"},
        Refusal{"fields", kStart + "|2^20|1:4|5", "key has too many fields"},
        Refusal{"kdr", kStart + " KDR=1", kParameter},
        Refusal{"unencrypted", kStart + " UNENCRYPTED_SRTP", kParameter},
        Refusal{"unencrypted_rtcp", kStart + " UNENCRYPTED_SRTCP", kParameter},
        Refusal{"unauthenticated", kStart + " UNAUTHENTICATED_SRTP", kParameter},
        Refusal{"fec", kStart + " FEC_KEY=inline:AA", kParameter},
        Refusal{"extension", kStart + " new=1", kParameter}),
    [](const auto& test) { return std::string(test.param.what); });

TEST(SdpCrypto, keys_wipe_themselves) {
  alignas(SecretKeying) std::array<std::uint8_t, sizeof(SecretKeying)> storage{};
  auto* key = new (storage.data()) SecretKeying(counting_key(SrtpSuite::kAeadAes256Gcm));
  EXPECT_TRUE(key->is_set());
  key->~SecretKeying();
  for (const std::uint8_t byte : storage) EXPECT_EQ(byte, 0);
}

TEST(SdpCrypto, harmless_parameters_are_ignored) {
  EXPECT_TRUE(parse_crypto(kStart + " WSH=128 -new=1").usable());
}

}  // namespace
}  // namespace turnpike::sdp
