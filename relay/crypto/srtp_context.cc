// Session keys from master keys: RFC 3711 section 4.3, RFC 6188 section 3, RFC 7714 section 11.
#include <algorithm>
#include <atomic>
#include <type_traits>

#include <openssl/evp.h>
#include <sys/random.h>

#include "relay/core/bytes.h"
#include "relay/core/check.h"
#include "relay/crypto/srtp.h"

namespace turnpike {

// They lie in memory that other processes adopt: plain bytes, none of them padding.
static_assert(std::is_trivially_copyable_v<SrtpContext> &&
              std::has_unique_object_representations_v<SrtpContext>);
static_assert(std::is_trivially_copyable_v<SrtpReceiveStream> &&
              std::has_unique_object_representations_v<SrtpReceiveStream>);
static_assert(std::is_trivially_copyable_v<SrtpSendStream> &&
              std::has_unique_object_representations_v<SrtpSendStream>);

namespace {

/// RFC 3711 section 4.3.2.
enum class KeyLabel : std::uint8_t {
  kRtpKey = 0,
  kRtpAuth = 1,
  kRtpSalt = 2,
  kRtcpKey = 3,
  kRtcpAuth = 4,
  kRtcpSalt = 5,
};

/// Fetched once: EVP_aes_128_ctr() and its like are looked up by name at each use.
template <int kBits>
const EVP_CIPHER* fetched_ctr() {
  static EVP_CIPHER* const cipher =
      EVP_CIPHER_fetch(nullptr, kBits == 256 ? "AES-256-CTR" : "AES-128-CTR", nullptr);
  return cipher;
}

/// The pseudo-random function AES-CM over one master key; writes into `out` all that fits.
class KeyDerivation {
 public:
  explicit KeyDerivation(const SrtpKeying& keying)
      : salt_(keying.master_salt), cipher_(EVP_CIPHER_CTX_new()) {
    const SrtpSuiteInfo& info = info_of(keying.suite);
    // A 96-bit salt is filled up with zeros on the right (RFC 7714 section 11).
    std::fill(salt_.begin() + info.salt_bytes, salt_.end(), std::uint8_t{0});
    const EVP_CIPHER* mode = info.key_bytes == 32 ? fetched_ctr<256>() : fetched_ctr<128>();
    CHECK(cipher_ != nullptr);
    CHECK(EVP_EncryptInit_ex2(cipher_, mode, keying.master_key.data(), nullptr, nullptr) == 1);
  }
  ~KeyDerivation() {
    EVP_CIPHER_CTX_free(cipher_);
    secure_wipe(salt_.data(), salt_.size());
  }
  KeyDerivation(const KeyDerivation&) = delete;
  KeyDerivation& operator=(const KeyDerivation&) = delete;

  void derive(KeyLabel label, std::uint8_t* out, std::size_t bytes) {
    // With key derivation rate 0 the index part of key_id is zero, only the label is left.
    std::array<std::uint8_t, 16> iv{};
    std::copy(salt_.begin(), salt_.end(), iv.begin());
    iv[7] = static_cast<std::uint8_t>(iv[7] ^ static_cast<std::uint8_t>(label));
    std::fill_n(out, bytes, std::uint8_t{0});
    int written = 0;
    CHECK(EVP_EncryptInit_ex(cipher_, nullptr, nullptr, nullptr, iv.data()) == 1);
    CHECK(EVP_EncryptUpdate(cipher_, out, &written, out, static_cast<int>(bytes)) == 1);
    secure_wipe(iv.data(), iv.size());
  }

 private:
  std::array<std::uint8_t, 14> salt_;
  EVP_CIPHER_CTX* cipher_;
};

std::uint64_t random_serial() {
  std::uint64_t value = 0;
  CHECK(getrandom(&value, sizeof value, 0) == static_cast<ssize_t>(sizeof value));
  return value;
}

/// Counts, so that no two contexts of this process share a serial, from a random start, so that
/// contexts adopted from the memory of a dead process do not share one with ours either.
std::uint64_t next_serial() {
  static std::atomic<std::uint64_t> serial{random_serial()};
  std::uint64_t value = 0;
  while (value == 0) value = serial.fetch_add(1, std::memory_order_relaxed);
  return value;
}

}  // namespace

bool derive_srtp_context(const SrtpKeying& keying, SrtpContext& context) {
  wipe_srtp_context(context);
  if (keying.suite == SrtpSuite::kNone || std::size_t(keying.suite) >= kSrtpSuiteCount ||
      keying.mki_bytes > kMkiBytesMax) {
    return false;
  }
  const SrtpSuiteInfo& info = info_of(keying.suite);
  KeyDerivation derivation(keying);
  derivation.derive(KeyLabel::kRtpKey, context.rtp_key.data(), info.key_bytes);
  derivation.derive(KeyLabel::kRtpSalt, context.rtp_salt.data(), info.salt_bytes);
  derivation.derive(KeyLabel::kRtcpKey, context.rtcp_key.data(), info.key_bytes);
  derivation.derive(KeyLabel::kRtcpSalt, context.rtcp_salt.data(), info.salt_bytes);
  if (info.salt_bytes == 14) {  // AES-CM; GCM has no authentication key
    derivation.derive(KeyLabel::kRtpAuth, context.rtp_auth_key.data(), 20);
    derivation.derive(KeyLabel::kRtcpAuth, context.rtcp_auth_key.data(), 20);
  }
  context.suite = keying.suite;
  context.mki_bytes = keying.mki_bytes;
  std::copy_n(keying.mki.begin(), keying.mki_bytes, context.mki.begin());
  context.lifetime_packets = keying.lifetime_packets;
  context.serial = next_serial();
  return true;
}

void wipe_srtp_context(SrtpContext& context) {
  secure_wipe(&context, sizeof context);
  static_assert(std::uint8_t(SrtpSuite::kNone) == 0);
}

}  // namespace turnpike
