// Hashes, codes and long-term credentials against published vectors.
#include <numeric>

#include <gtest/gtest.h>

#include "relay/turn/credentials.h"
#include "tests/support/turn_fixture.h"

namespace turnpike::test {
namespace {

TurnBytes of_hex(std::string_view text) {
  TurnBytes bytes;
  std::string digits;
  for (const char c : text) {
    if (c != ' ') digits += c;
    if (digits.size() == 2) {
      bytes.push_back(static_cast<std::uint8_t>(std::stoi(digits, nullptr, 16)));
      digits.clear();
    }
  }
  return bytes;
}

template <std::size_t kBytes>
TurnBytes of(const std::array<std::uint8_t, kBytes>& bytes) {
  return {bytes.begin(), bytes.end()};
}

TurnBytes hmac256(const TurnBytes& key, const TurnBytes& head, const TurnBytes& tail) {
  TurnBytes code(32);
  hmac_sha256(make_hmac_sha256_key(key), head, tail, code.data());
  return code;
}

TEST(Rfc4231, hmac_sha256) {
  const std::string_view text = "what do ya want for nothing?";
  const TurnBytes data(text.begin(), text.end());
  const TurnBytes expected =
      of_hex("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  for (std::size_t cut = 0; cut <= data.size(); ++cut) {
    const auto at = data.begin() + static_cast<std::ptrdiff_t>(cut);
    EXPECT_EQ(hmac256({'J', 'e', 'f', 'e'}, {data.begin(), at}, {at, data.end()}), expected);
  }
  const std::string_view long_key_text = "Test Using Larger Than Block-Size Key - Hash Key First";
  EXPECT_EQ(hmac256(TurnBytes(131, 0xaa), {long_key_text.begin(), long_key_text.end()}, {}),
            of_hex("60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"));
  TurnBytes key(25);
  std::iota(key.begin(), key.end(), std::uint8_t{1});
  EXPECT_EQ(hmac256(key, TurnBytes(50, 0xcd), {}),
            of_hex("82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"));
}

TEST(Digest, md5_and_sha256_of_parts) {
  EXPECT_EQ(of(md5({"a", "b", "c"})), of_hex("900150983cd24fb0d6963f7d28e17f72"));
  EXPECT_EQ(of(sha256({"ab", "c"})),
            of_hex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
}

TEST(Digest, base64_of_rfc_4648) {
  const std::pair<std::string_view, std::string_view> vectors[] = {{"", ""},
                                                                   {"f", "Zg=="},
                                                                   {"fo", "Zm8="},
                                                                   {"foo", "Zm9v"},
                                                                   {"foob", "Zm9vYg=="},
                                                                   {"fooba", "Zm9vYmE="},
                                                                   {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, coded] : vectors) {
    EXPECT_EQ(base64(TurnBytes(plain.begin(), plain.end())), coded);
  }
  EXPECT_EQ(base64(TurnBytes{0xff, 0xfb, 0xfe}), "//v+");
}

constexpr const char* kUser =
    "\xe3\x83\x9e\xe3\x83\x88\xe3\x83\xaa\xe3\x83\x83\xe3\x82\xaf\xe3\x82\xb9";

TEST(Rfc5769, long_term_request) {
  const TurnBytes request = of_hex(
      "00 01 00 60 21 12 a4 42 78 ad 34 33 c6 ad 72 c0 29 da 41 2e 00 06 00 12 e3 83 9e e3 83 88 "
      "e3 83 aa e3 83 83 e3 82 af e3 82 b9 00 00 00 15 00 1c 66 2f 2f 34 39 39 6b 39 35 34 64 36 "
      "4f 4c 33 34 6f 4c 39 46 53 54 76 79 36 34 73 41 00 14 00 0b 65 78 61 6d 70 6c 65 2e 6f 72 "
      "67 00 00 08 00 14 f6 70 24 65 6d d6 4a 3e 02 b8 e0 71 2e 85 c9 a2 8c a8 96 66");
  const auto message = stun::Message::parse(request);
  ASSERT_TRUE(message);
  EXPECT_EQ(message->username(), kUser);
  EXPECT_EQ(message->text(stun::kRealm), "example.org");
  EXPECT_EQ(message->text(stun::kNonce), "f//499k954d6OL34oL9FSTvy64sA");
  const turn::UserKeys keys = TurnWorld::keys_of(kUser, "example.org", "TheMatrIX");
  EXPECT_TRUE(turn::SealKey(keys.md5, false).verifies(*message));
  EXPECT_FALSE(turn::SealKey(keys.md5, true).verifies(*message));
  EXPECT_FALSE(turn::SealKey(keys.sha256, false).verifies(*message));
}

// With the length and code of the verified erratum.
TEST(Rfc8489, appendix_b1_sha256_and_userhash) {
  const TurnBytes request = of_hex(
      "00 01 00 90 21 12 a4 42 78 ad 34 33 c6 ad 72 c0 29 da 41 2e 00 1e 00 20 4a 3c f3 8f ef 69 "
      "92 bd a9 52 c6 78 04 17 da 0f 24 81 94 15 56 9e 60 b2 05 c4 6e 41 40 7f 17 04 00 15 00 29 "
      "6f 62 4d 61 74 4a 6f 73 32 41 41 41 43 66 2f 2f 34 39 39 6b 39 35 34 64 36 4f 4c 33 34 6f "
      "4c 39 46 53 54 76 79 36 34 73 41 00 00 00 00 14 00 0b 65 78 61 6d 70 6c 65 2e 6f 72 67 00 "
      "00 1d 00 04 00 02 00 00 00 1c 00 20 b5 c7 bf 00 5b 6c 52 a2 1c 51 c5 e8 92 f8 19 24 13 62 "
      "96 cb 92 7c 43 14 93 09 27 8c c6 51 8e 65");
  const auto message = stun::Message::parse(request);
  ASSERT_TRUE(message);
  const turn::UserKeys keys = TurnWorld::keys_of(kUser, "example.org", "TheMatrIX");
  EXPECT_TRUE(turn::SealKey(keys.sha256, true).verifies(*message));
  EXPECT_FALSE(turn::SealKey(keys.sha256, false).verifies(*message));
  EXPECT_FALSE(turn::SealKey(keys.md5, true).verifies(*message));
  const auto userhash = message->find(stun::kUserhash);
  ASSERT_TRUE(userhash);
  EXPECT_EQ(TurnBytes(userhash->begin(), userhash->end()), of(sha256({kUser, ":", "example.org"})));
}

}  // namespace
}  // namespace turnpike::test
