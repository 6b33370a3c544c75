#include "bench/load/srtp_sender.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <openssl/evp.h>

namespace turnpike::bench {
namespace {

constexpr std::size_t kIvBytes = 16;
constexpr std::size_t kSaltBytes = 14;
constexpr std::size_t kGcmSaltBytes = 12;
constexpr std::size_t kGcmTagBytes = 16;
constexpr std::size_t kSha1Bytes = 20;
constexpr std::size_t kSha1BlockBytes = 64;

enum Label : std::uint8_t { kCipherKey = 0, kAuthKey = 1, kSalt = 2 };

using Iv = std::array<std::uint8_t, kIvBytes>;

struct CipherFree {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};
struct DigestFree {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};
using Cipher = std::unique_ptr<EVP_CIPHER_CTX, CipherFree>;
using Digest = std::unique_ptr<EVP_MD_CTX, DigestFree>;

void must(int result, const char* what) {
  if (result == 1) return;
  std::fprintf(stderr, "turnpike_load: OpenSSL: %s\n", what);
  std::exit(1);
}

Cipher counter_mode(std::span<const std::uint8_t> key) {
  Cipher cipher(EVP_CIPHER_CTX_new());
  must(EVP_EncryptInit_ex(cipher.get(), key.size() == 32 ? EVP_aes_256_ctr() : EVP_aes_128_ctr(),
                          nullptr, key.data(), nullptr),
       "AES-CTR");
  return cipher;
}

void encrypt(EVP_CIPHER_CTX* cipher, const Iv& iv, std::span<std::uint8_t> data) {
  int written = 0;
  must(EVP_EncryptInit_ex(cipher, nullptr, nullptr, nullptr, iv.data()), "AES-CTR");
  must(EVP_EncryptUpdate(cipher, data.data(), &written, data.data(), static_cast<int>(data.size())),
       "AES-CTR");
}

// RFC 3711 section 4.3.3 with key derivation rate 0. GCM's shorter salt is padded (RFC 7714, 11).
void derive(EVP_CIPHER_CTX* master, std::span<const std::uint8_t> salt, Label label,
            std::span<std::uint8_t> out) {
  Iv iv{};
  std::copy(salt.begin(), salt.end(), iv.begin());
  iv[7] ^= label;
  std::fill(out.begin(), out.end(), std::uint8_t{0});
  encrypt(master, iv, out);
}

Digest keyed_sha1(const std::array<std::uint8_t, kSha1Bytes>& key, std::uint8_t pad) {
  std::array<std::uint8_t, kSha1BlockBytes> block{};
  std::copy(key.begin(), key.end(), block.begin());
  for (std::uint8_t& byte : block) byte ^= pad;
  Digest digest(EVP_MD_CTX_new());
  must(EVP_DigestInit_ex(digest.get(), EVP_sha1(), nullptr), "SHA-1");
  must(EVP_DigestUpdate(digest.get(), block.data(), block.size()), "SHA-1");
  return digest;
}

// Into all of `target`, most significant byte first.
void xor_into(std::span<std::uint8_t> target, std::uint64_t value) {
  for (auto byte = target.rbegin(); byte != target.rend(); ++byte, value >>= 8) {
    *byte ^= static_cast<std::uint8_t>(value);
  }
}

std::uint32_t ssrc_of(std::span<const std::uint8_t> packet) {
  std::uint32_t ssrc = 0;
  for (std::size_t i = 8; i < 12; ++i) ssrc = (ssrc << 8) | packet[i];
  return ssrc;
}

}  // namespace

struct SrtpSender::State {
  bool gcm = false;
  std::size_t tag_bytes = 0;
  Cipher cipher;
  std::array<std::uint8_t, kSaltBytes> salt{};
  Digest inner;  // what HMAC begins its two hashes with, to be copied for each packet
  Digest outer;
  Digest work{EVP_MD_CTX_new()};

  void protect_gcm(std::span<std::uint8_t> packet, std::uint64_t index) const {
    std::array<std::uint8_t, kGcmSaltBytes> iv{};
    std::copy_n(salt.begin(), iv.size(), iv.begin());
    xor_into(std::span(iv).subspan(2, 4), ssrc_of(packet));  // RFC 7714 section 8.1
    xor_into(std::span(iv).subspan(6, 6), index);
    const auto body = packet.subspan(kRtpHeaderBytes, packet.size() - kRtpHeaderBytes - tag_bytes);
    int written = 0;
    must(EVP_EncryptInit_ex(cipher.get(), nullptr, nullptr, nullptr, iv.data()), "AES-GCM");
    must(EVP_EncryptUpdate(cipher.get(), nullptr, &written, packet.data(), kRtpHeaderBytes),
         "AES-GCM");
    must(EVP_EncryptUpdate(cipher.get(), body.data(), &written, body.data(),
                           static_cast<int>(body.size())),
         "AES-GCM");
    must(EVP_EncryptFinal_ex(cipher.get(), nullptr, &written), "AES-GCM");
    must(EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_AEAD_GET_TAG, static_cast<int>(tag_bytes),
                             packet.data() + packet.size() - tag_bytes),
         "AES-GCM");
  }

  void protect_cm(std::span<std::uint8_t> packet, std::uint64_t index) const {
    Iv iv{};
    std::copy(salt.begin(), salt.end(), iv.begin());
    xor_into(std::span(iv).subspan(4, 4), ssrc_of(packet));  // RFC 3711 section 4.1.1
    xor_into(std::span(iv).subspan(8, 6), index);
    const auto signed_part = packet.first(packet.size() - tag_bytes);
    encrypt(cipher.get(), iv, signed_part.subspan(kRtpHeaderBytes));
    std::array<std::uint8_t, 4> rollover{};
    xor_into(rollover, index >> 16);
    std::array<std::uint8_t, kSha1Bytes> hash{};
    must(EVP_MD_CTX_copy_ex(work.get(), inner.get()), "SHA-1");
    must(EVP_DigestUpdate(work.get(), signed_part.data(), signed_part.size()), "SHA-1");
    must(EVP_DigestUpdate(work.get(), rollover.data(), rollover.size()), "SHA-1");
    must(EVP_DigestFinal_ex(work.get(), hash.data(), nullptr), "SHA-1");
    must(EVP_MD_CTX_copy_ex(work.get(), outer.get()), "SHA-1");
    must(EVP_DigestUpdate(work.get(), hash.data(), hash.size()), "SHA-1");
    must(EVP_DigestFinal_ex(work.get(), hash.data(), nullptr), "SHA-1");
    std::copy_n(hash.begin(), tag_bytes, packet.end() - static_cast<std::ptrdiff_t>(tag_bytes));
  }
};

SrtpSender::SrtpSender(const Key& key) : state_(std::make_unique<State>()) {
  State& state = *state_;
  state.gcm = key.suite.starts_with("AEAD");
  const std::size_t salt_bytes = state.gcm ? kGcmSaltBytes : kSaltBytes;
  const auto bytes = std::span(key.bytes);
  const auto master_key = bytes.first(bytes.size() - salt_bytes);
  const auto master_salt = bytes.last(salt_bytes);
  const Cipher master = counter_mode(master_key);
  std::array<std::uint8_t, 32> room{};
  const auto session_key = std::span(room).first(master_key.size());
  derive(master.get(), master_salt, kCipherKey, session_key);
  derive(master.get(), master_salt, kSalt, std::span(state.salt).first(salt_bytes));
  if (state.gcm) {
    state.tag_bytes = kGcmTagBytes;
    state.cipher.reset(EVP_CIPHER_CTX_new());
    must(EVP_EncryptInit_ex(state.cipher.get(),
                            session_key.size() == 32 ? EVP_aes_256_gcm() : EVP_aes_128_gcm(),
                            nullptr, session_key.data(), nullptr),
         "AES-GCM");
    return;
  }
  state.tag_bytes = key.suite.ends_with("_32") ? 4 : 10;
  state.cipher = counter_mode(session_key);
  std::array<std::uint8_t, kSha1Bytes> auth_key{};
  derive(master.get(), master_salt, kAuthKey, auth_key);
  state.inner = keyed_sha1(auth_key, 0x36);  // RFC 2104
  state.outer = keyed_sha1(auth_key, 0x5c);
}

SrtpSender::~SrtpSender() = default;

std::uint32_t SrtpSender::tag_bytes() const {
  return static_cast<std::uint32_t>(state_->tag_bytes);
}

void SrtpSender::protect(std::span<std::uint8_t> packet, std::uint64_t index) {
  state_->gcm ? state_->protect_gcm(packet, index) : state_->protect_cm(packet, index);
}

}  // namespace turnpike::bench
