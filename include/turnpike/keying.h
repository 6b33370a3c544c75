// SRTP keying material as control negotiates it and the relay uses it (RFC 3711, 4568, 6188, 7714).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace turnpike {

/// SRTP protection profiles. kNone is plain RTP (RTP/AVP).
enum class SrtpSuite : std::uint8_t {
  kNone = 0,
  kAesCm128HmacSha1_80 = 1,  ///< RFC 3711, RFC 4568 section 6.2.1
  kAesCm128HmacSha1_32 = 2,  ///< RFC 4568 section 6.2.2; SRTCP keeps the 80-bit tag
  kAesCm256HmacSha1_80 = 3,  ///< RFC 6188: AES_256_CM_HMAC_SHA1_80
  kAesCm256HmacSha1_32 = 4,  ///< RFC 6188: AES_256_CM_HMAC_SHA1_32
  kAeadAes128Gcm = 5,        ///< RFC 7714, 16-byte tag
  kAeadAes256Gcm = 6,        ///< RFC 7714, 16-byte tag
};
constexpr std::size_t kSrtpSuiteCount = 7;

/// Sizes of a suite, in bytes.
struct SrtpSuiteInfo {
  std::string_view name;  ///< as in SDP, RFC 4568 section 9.1 registry
  std::uint8_t key_bytes;
  std::uint8_t salt_bytes;  ///< 14 for AES-CM, 12 for GCM
  std::uint8_t rtp_tag_bytes;
  std::uint8_t rtcp_tag_bytes;
};

constexpr std::array<SrtpSuiteInfo, kSrtpSuiteCount> kSrtpSuites = {{
    {"none", 0, 0, 0, 0},
    {"AES_CM_128_HMAC_SHA1_80", 16, 14, 10, 10},
    {"AES_CM_128_HMAC_SHA1_32", 16, 14, 4, 10},
    {"AES_256_CM_HMAC_SHA1_80", 32, 14, 10, 10},
    {"AES_256_CM_HMAC_SHA1_32", 32, 14, 4, 10},
    {"AEAD_AES_128_GCM", 16, 12, 16, 16},
    {"AEAD_AES_256_GCM", 32, 12, 16, 16},
}};

constexpr const SrtpSuiteInfo& info_of(SrtpSuite suite) {
  return kSrtpSuites[static_cast<std::size_t>(suite)];
}

/// The longest master key identifier (RFC 3711 section 3.1) that is accepted, in bytes.
constexpr std::size_t kMkiBytesMax = 16;

/// One master key with its salt for one direction of one leg. Plain data; whoever owns a copy
/// wipes it (see relay/core/bytes.h, secure_wipe).
struct SrtpKeying {
  SrtpSuite suite = SrtpSuite::kNone;
  std::uint8_t mki_bytes = 0;  ///< 0 = packets carry no MKI
  std::array<std::uint8_t, kMkiBytesMax> mki{};
  std::array<std::uint8_t, 32> master_key{};
  std::array<std::uint8_t, 14> master_salt{};
  /// Packets that may be protected with this master key (RFC 4568 section 6.1 "lifetime");
  /// 0 = the suite's own limit (2^48 SRTP, 2^31 SRTCP packets).
  std::uint64_t lifetime_packets = 0;

  bool operator==(const SrtpKeying&) const = default;
};

/// Where the ciphers and hashes of SRTP come from.
enum class SrtpLibrary : std::uint8_t {
  kAuto = 0,  ///< kIpsecMb where the processor has what it needs, else kOpenssl
  kIpsecMb,   ///< Intel's multi-buffer library: several packets at a time
  kOpenssl,   ///< OpenSSL's EVP: one packet after the other
  kLibsrtp2,  ///< the ciphers of libsrtp2, for whose rules ask for it; the slowest
};
/// Whether this build and this processor have it.
bool srtp_library_available(SrtpLibrary library);
/// What kAuto stands for here.
SrtpLibrary best_srtp_library();
/// As in the configuration: "auto", "ipsec-mb", "openssl", "libsrtp2".
std::string_view name_of(SrtpLibrary library);

}  // namespace turnpike
