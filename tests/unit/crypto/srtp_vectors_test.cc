// Published vectors: RFC 2202, RFC 3711 appendix B, RFC 6188 section 7, RFC 7714 sections 16, 17.
#include <span>

#include <gtest/gtest.h>

#include "relay/crypto/hmac_sha1.h"
#include "relay/crypto/srtp_backend.h"
#include "tests/unit/crypto/srtp_testing.h"

namespace turnpike {
namespace {

using namespace srtp_testing;

/// The vectors give session keys; this is a context that was never derived.
SrtpContext context_of(SrtpSuite suite, std::string_view key, std::string_view salt) {
  SrtpContext context;
  context.suite = suite;
  context.serial = 1;
  set(context.rtp_key, key);
  set(context.rtcp_key, key);
  set(context.rtp_salt, salt);
  set(context.rtcp_salt, salt);
  return context;
}

Bytes slice(const Bytes& bytes, std::size_t offset, std::size_t count) {
  const auto begin = bytes.begin() + static_cast<std::ptrdiff_t>(offset);
  return {begin, begin + static_cast<std::ptrdiff_t>(count)};
}

TEST(Rfc2202, hmac_sha1) {
  const auto code = [](const Bytes& key, std::string_view text, std::size_t split) {
    const Bytes data(text.begin(), text.end());
    Bytes digest(kSha1Bytes);
    const std::span<const std::uint8_t> all(data);
    hmac_sha1(make_hmac_sha1_key(key), all.first(split), all.subspan(split), digest.data());
    return digest;
  };
  EXPECT_EQ(code(Bytes(20, 0x0b), "Hi There", 8),
            from_hex("b617318655057264e28bc0b6fb378c8ef146be00"));
  EXPECT_EQ(code({'J', 'e', 'f', 'e'}, "what do ya want for nothing?", 11),
            from_hex("effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"));
  EXPECT_EQ(code(Bytes(20, 0xaa), std::string(50, '\xdd'), 0),
            from_hex("125d7342b9ac11cd91a39af48aa17b4f63f175d3"));
  EXPECT_EQ(code(Bytes(80, 0xaa), "Test Using Larger Than Block-Size Key - Hash Key First", 7),
            from_hex("aa4ae5e15272d00e95705637ce8a3b55ed402112"));
}

/// Keystream of 65,282 blocks at index 0 and SSRC 0.
Bytes keystream(SrtpSuite suite, std::string_view key) {
  const SrtpContext context = context_of(suite, key, "F0F1F2F3F4F5F6F7F8F9FAFBFCFD");
  Bytes stream(1044512);
  Bytes tag(20);
  SrtpOperation operation;
  operation.context = &context;
  operation.packet = stream.data();
  operation.tag = tag.data();
  operation.cipher_bytes = static_cast<std::uint32_t>(stream.size());
  set(operation.iv, "F0F1F2F3F4F5F6F7F8F9FAFBFCFD0000");
  const auto backend = make_srtp_backend(kLibrary, 1);
  backend->seal({&operation, 1});
  return stream;
}

TEST(Rfc3711, b2_aes_128_keystream) {
  const Bytes stream =
      keystream(SrtpSuite::kAesCm128HmacSha1_80, "2B7E151628AED2A6ABF7158809CF4F3C");
  EXPECT_EQ(slice(stream, 0, 48),
            from_hex("E03EAD0935C95E80E166B16DD92B4EB4 D23513162B02D0F72A43A2FE4A5F97AB"
                     "41E95B3BB0A2E8DD477901E4FCA894C0"));
  EXPECT_EQ(slice(stream, 0xfeff * 16, 48),
            from_hex("EC8CDF7398607CB0F2D21675EA9EA1E4 362B7C3C6773516318A077D7FC5073AE"
                     "6A2CC3787889374FBEB4C81B17BA6C44"));
}

TEST(Rfc3711, b2_keystream_encrypts_a_packet) {
  SrtpContext context =
      context_of(SrtpSuite::kAesCm128HmacSha1_80, "2B7E151628AED2A6ABF7158809CF4F3C",
                 "F0F1F2F3F4F5F6F7F8F9FAFBFCFD");
  Bytes packet(12 + 48 + kSrtpTrailerBytesMax);
  packet[0] = 0x80;
  SrtpSendStream stream;
  SrtpJob job;
  job.data = packet.data();
  job.length = 60;
  job.capacity = static_cast<std::uint32_t>(packet.size());
  job.context = &context;
  job.send = &stream;
  SrtpTransform transform(1, kLibrary);
  transform.protect({&job, 1});
  ASSERT_EQ(job.status, SrtpStatus::kOk);
  EXPECT_EQ(job.length, 70U);
  EXPECT_EQ(slice(packet, 12, 48),
            from_hex("E03EAD0935C95E80E166B16DD92B4EB4 D23513162B02D0F72A43A2FE4A5F97AB"
                     "41E95B3BB0A2E8DD477901E4FCA894C0"));
}

TEST(Rfc3711, b3_key_derivation) {
  SrtpKeying keying;
  keying.suite = SrtpSuite::kAesCm128HmacSha1_80;
  set(keying.master_key, "E1F97A0D3E018BE0D64FA32C06DE4139");
  set(keying.master_salt, "0EC675AD498AFEEBB6960B3AABE6");
  SrtpContext context;
  ASSERT_TRUE(derive_srtp_context(keying, context));
  const auto head = [](const auto& array, std::size_t count) {
    return Bytes(array.begin(), array.begin() + static_cast<std::ptrdiff_t>(count));
  };
  EXPECT_EQ(head(context.rtp_key, 16), from_hex("C61E7A93744F39EE10734AFE3FF7A087"));
  EXPECT_EQ(head(context.rtp_salt, 14), from_hex("30CBBC08863D8C85D49DB34A9AE1"));
  EXPECT_EQ(head(context.rtp_auth_key, 20), from_hex("CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4"));
  // Not in the RFC: the SRTCP labels over the same master key, as other implementations have them.
  EXPECT_EQ(head(context.rtcp_key, 16), from_hex("4C1AA45A81F73D61C800BBB00FBB1EAA"));
  EXPECT_EQ(head(context.rtcp_salt, 14), from_hex("9581C7AD87B3E530BF3E4454A8B3"));
}

TEST(Rfc6188, section_7_1_aes_256_keystream) {
  const Bytes stream =
      keystream(SrtpSuite::kAesCm256HmacSha1_80,
                "57f82fe3613fd170a85ec93c40b1f0922ec4cb0dc025b58272147cc438944a98");
  EXPECT_EQ(slice(stream, 0, 48),
            from_hex("92bdd28a93c3f52511c677d08b5515a4 9da71b2378a854f67050756ded165bac"
                     "63c4868b7096d88421b563b8c94c9a31"));
  EXPECT_EQ(slice(stream, 0xfeff * 16, 48),
            from_hex("cea518c90fd91ced9cbb18c078a54711 3dbc4814f4da5f00a08772b63c6a046d"
                     "6eb246913062a16891433e97dd01a57f"));
}

TEST(Rfc6188, section_7_2_aes_256_key_derivation) {
  SrtpKeying keying;
  keying.suite = SrtpSuite::kAesCm256HmacSha1_80;
  set(keying.master_key, "f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b6");
  set(keying.master_salt, "3b04803de51ee7c96423ab5b78d2");
  SrtpContext context;
  ASSERT_TRUE(derive_srtp_context(keying, context));
  EXPECT_EQ(Bytes(context.rtp_key.begin(), context.rtp_key.end()),
            from_hex("5ba1064e30ec51613cad926c5a28ef731ec7fb397f70a960653caf06554cd8c4"));
  EXPECT_EQ(Bytes(context.rtp_salt.begin(), context.rtp_salt.end()),
            from_hex("fa31791685ca444a9e07c6c64e93"));
  EXPECT_EQ(Bytes(context.rtp_auth_key.begin(), context.rtp_auth_key.end()),
            from_hex("fd9c32d39ed5fbb5a9dc96b30818454d1313dc05"));
}

constexpr std::string_view kGcmSalt = "517569642070726f2071756f";
constexpr std::string_view kGcmRtp =
    "8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976"
    "69736120 696e2070 61727465 73207472 6573";
constexpr std::string_view kGcmRtcp =
    "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61"
    "deadbeef deadbeef deadbeef deadbeef deadbeef";
constexpr std::uint32_t kGcmRtcpIndex = 0x5d4;

struct GcmVectors {
  SrtpSuite suite;
  std::string_view key;
  std::string_view rtp;                 // sections 16.x.1, 16.x.2
  std::string_view rtp_tag_only;        // 16.x.3
  std::string_view rtcp;                // 17.1, 17.2
  std::string_view rtcp_authenticated;  // 17.3, 17.4
};

class Rfc7714 : public ::testing::TestWithParam<GcmVectors> {
 protected:
  SrtpContext context = context_of(GetParam().suite, GetParam().key, kGcmSalt);
  SrtpTransform transform{1, kLibrary};
  SrtpSendStream send;
  SrtpReceiveStream receive;

  SrtpJob job_of(Bytes& packet, bool rtcp) {
    SrtpJob job;
    job.length = static_cast<std::uint32_t>(packet.size());
    packet.resize(packet.size() + kSrtpTrailerBytesMax);
    job.capacity = static_cast<std::uint32_t>(packet.size());
    job.data = packet.data();
    job.rtcp = rtcp;
    job.context = &context;
    job.send = &send;
    job.receive = &receive;
    return job;
  }
};

TEST_P(Rfc7714, section_16_protects_rtp) {
  Bytes packet = from_hex(kGcmRtp);
  SrtpJob job = job_of(packet, false);
  transform.protect({&job, 1});
  ASSERT_EQ(job.status, SrtpStatus::kOk);
  packet.resize(job.length);
  EXPECT_EQ(packet, from_hex(GetParam().rtp));
}

TEST_P(Rfc7714, section_16_unprotects_rtp) {
  Bytes packet = from_hex(GetParam().rtp);
  SrtpJob job = job_of(packet, false);
  transform.unprotect({&job, 1});
  ASSERT_EQ(job.status, SrtpStatus::kOk);
  packet.resize(job.length);
  EXPECT_EQ(packet, from_hex(kGcmRtp));
  EXPECT_EQ(job.index, 0xf17bU);
}

TEST_P(Rfc7714, section_16_tags_rtp_in_clear) {
  Bytes packet = from_hex(kGcmRtp);
  const std::size_t bytes = packet.size();
  packet.resize(bytes + 16);
  SrtpOperation operation;
  operation.context = &context;
  operation.packet = packet.data();
  operation.tag = packet.data() + bytes;
  operation.clear_bytes = static_cast<std::uint32_t>(bytes);
  set(operation.iv, "51753c6580c2726f20718414");
  const auto backend = make_srtp_backend(kLibrary, 1);
  backend->seal({&operation, 1});
  EXPECT_EQ(packet, from_hex(GetParam().rtp_tag_only));
}

TEST_P(Rfc7714, section_17_protects_rtcp) {
  Bytes packet = from_hex(kGcmRtcp);
  send.rtcp_next = kGcmRtcpIndex;
  SrtpJob job = job_of(packet, true);
  transform.protect({&job, 1});
  ASSERT_EQ(job.status, SrtpStatus::kOk);
  packet.resize(job.length);
  EXPECT_EQ(packet, from_hex(GetParam().rtcp));
  EXPECT_EQ(job.index, kGcmRtcpIndex);
}

TEST_P(Rfc7714, section_17_unprotects_rtcp) {
  for (const std::string_view text : {GetParam().rtcp, GetParam().rtcp_authenticated}) {
    receive = SrtpReceiveStream{};
    Bytes packet = from_hex(text);
    SrtpJob job = job_of(packet, true);
    transform.unprotect({&job, 1});
    ASSERT_EQ(job.status, SrtpStatus::kOk);
    packet.resize(job.length);
    EXPECT_EQ(packet, from_hex(kGcmRtcp));
    EXPECT_EQ(job.index, kGcmRtcpIndex);
  }
}

const GcmVectors kGcm128 = {
    SrtpSuite::kAeadAes128Gcm,
    "000102030405060708090a0b0c0d0e0f",
    "8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5"
    "0d294e6f 42a5f47a 51c7d19b 36de3adf 8833899d 7f27beb1 6a9152cf 765ee439 0cce",
    "8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976"
    "69736120 696e2070 61727465 73207472 65732249 3f82d2bc e397e9d7 9e3b19aa 4216",
    "81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d"
    "c676a5f1 730d6fda 4ce09b46 86303ded 0bb9275b c84aa458 96cf4d2f c5abf872"
    "45d9eade 800005d4",
    "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61"
    "deadbeef deadbeef deadbeef deadbeef deadbeef 841dd968 3dd78ec9 2ae58790"
    "125f62b3 000005d4",
};
const GcmVectors kGcm256 = {
    SrtpSuite::kAeadAes256Gcm,
    "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
    "8040f17b 8041f8d3 5501a0b2 32b1de78 a822fe12 ef9f78fa 332e33aa b1801238"
    "9a58e2f3 b50b2a02 76ffae0f 1ba63799 b87b7aa3 db36dfff d6b0f9bb 7878d7a7 6c13",
    "8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976"
    "69736120 696e2070 61727465 73207472 6573a866 d5910f88 7463067c eefec452 15d4",
    "81c8000d 4d617273 d50ae4d1 f5ce5d30 4ba297e4 7d470c28 2c3ece5d bffe0a50"
    "a2eaa5c1 110555be 8415f658 c61de047 6f1b6fad 1d1eb30c 4446839f 57ff6f6c"
    "b26ac3be 800005d4",
    "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61"
    "deadbeef deadbeef deadbeef deadbeef deadbeef 91db4afb feee5a97 8fab4393"
    "ed2615fe 000005d4",
};

INSTANTIATE_TEST_SUITE_P(Gcm, Rfc7714, ::testing::Values(kGcm128, kGcm256), [](const auto& param) {
  return std::string(info_of(param.param.suite).name);
});

}  // namespace
}  // namespace turnpike
