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

/// Fetched once: EVP_aes_128_ecb() and its like are looked up by name at each use.
template <int kBits>
const EVP_CIPHER* fetched_aes() {
  static EVP_CIPHER* const cipher =
      EVP_CIPHER_fetch(nullptr, kBits == 256 ? "AES-256-ECB" : "AES-128-ECB", nullptr);
  return cipher;
}

constexpr std::size_t kAesBlockBytes = 16;

/// The pseudo-random function AES-CM over one master key. What is to be derived is collected, so
/// that the library is asked once for all of it: counter blocks in, key stream out.
class KeyDerivation {
 public:
  explicit KeyDerivation(const SrtpKeying& keying) : keying_(keying) {
    // A 96-bit salt is filled up with zeros on the right (RFC 7714 section 11).
    std::copy_n(keying.master_salt.begin(), info_of(keying.suite).salt_bytes, salt_.begin());
  }
  ~KeyDerivation() {
    secure_wipe(salt_.data(), salt_.size());
    secure_wipe(blocks_.data(), blocks_.size());
  }
  KeyDerivation(const KeyDerivation&) = delete;
  KeyDerivation& operator=(const KeyDerivation&) = delete;

  /// `out` is written by finish().
  void derive(KeyLabel label, std::uint8_t* out, std::size_t bytes) {
    CHECK(piece_count_ < pieces_.size());
    pieces_[piece_count_++] = {out, bytes, used_};
    for (std::uint8_t counter = 0; counter * kAesBlockBytes < bytes; ++counter) {
      CHECK(used_ + kAesBlockBytes <= blocks_.size());
      // With key derivation rate 0 the index part of key_id is zero, only the label is left.
      std::uint8_t* block = blocks_.data() + used_;
      std::copy(salt_.begin(), salt_.end(), block);
      block[7] = static_cast<std::uint8_t>(block[7] ^ static_cast<std::uint8_t>(label));
      block[14] = 0;
      block[15] = counter;
      used_ += kAesBlockBytes;
    }
  }

  void finish() {
    EVP_CIPHER_CTX* cipher = EVP_CIPHER_CTX_new();
    const bool is_256 = info_of(keying_.suite).key_bytes == 32;
    const EVP_CIPHER* aes = is_256 ? fetched_aes<256>() : fetched_aes<128>();
    CHECK(cipher != nullptr && aes != nullptr);
    CHECK(EVP_EncryptInit_ex2(cipher, aes, keying_.master_key.data(), nullptr, nullptr) == 1);
    CHECK(EVP_CIPHER_CTX_set_padding(cipher, 0) == 1);
    int written = 0;
    CHECK(EVP_EncryptUpdate(cipher, blocks_.data(), &written, blocks_.data(),
                            static_cast<int>(used_)) == 1);
    CHECK(written == static_cast<int>(used_));
    EVP_CIPHER_CTX_free(cipher);
    for (std::size_t i = 0; i < piece_count_; ++i) {
      std::copy_n(blocks_.data() + pieces_[i].at, pieces_[i].bytes, pieces_[i].out);
    }
  }

 private:
  struct Piece {
    std::uint8_t* out;
    std::size_t bytes;
    std::size_t at;  // in blocks_
  };

  const SrtpKeying& keying_;
  std::array<std::uint8_t, 14> salt_{};
  std::array<Piece, 6> pieces_{};
  std::array<std::uint8_t, 10 * kAesBlockBytes> blocks_{};  // 256-bit keys: 2+1+2 twice
  std::size_t piece_count_ = 0;
  std::size_t used_ = 0;
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
  derivation.finish();
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
