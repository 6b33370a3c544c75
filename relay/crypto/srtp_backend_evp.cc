// OpenSSL EVP, one packet after the other, with one cipher context per slot that only takes a new
// initialisation vector per packet.
#include <algorithm>
#include <vector>

#include <openssl/evp.h>

#include "relay/core/bytes.h"
#include "relay/core/check.h"
#include "relay/crypto/hmac_sha1.h"
#include "relay/crypto/srtp_backend.h"

namespace turnpike {
namespace {

struct CipherFree {
  void operator()(EVP_CIPHER* cipher) const { EVP_CIPHER_free(cipher); }
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};
using Cipher = std::unique_ptr<EVP_CIPHER, CipherFree>;
using CipherContext = std::unique_ptr<EVP_CIPHER_CTX, CipherFree>;

/// Ciphers by key length and mode; suites that differ in the tag only share one.
constexpr std::size_t kCipherCount = 4;
constexpr std::array<const char*, kCipherCount> kCipherNames = {"AES-128-CTR", "AES-256-CTR",
                                                                "AES-128-GCM", "AES-256-GCM"};
std::size_t cipher_of(SrtpSuite suite) {
  return (is_gcm(suite) ? 2U : 0U) + (info_of(suite).key_bytes == 32 ? 1U : 0U);
}

/// A library context with its key, and the saved HMAC states (CM suites). One cache line.
struct alignas(64) KeyedCipher {
  std::uint64_t serial = 0;  // of the context whose keys these are; 0 = none
  CipherContext cipher;
  HmacSha1Key hmac;

  KeyedCipher() = default;
  KeyedCipher(KeyedCipher&&) = default;
  KeyedCipher& operator=(KeyedCipher&&) = default;
  ~KeyedCipher() { secure_wipe(&hmac, sizeof hmac); }
};

// A failing library call here is not about the packet: the context could not be made or used.
void must(int result) {
  CHECK(result == 1);
}

void start(EVP_CIPHER_CTX* cipher, const SrtpOperation& op, bool encrypt) {
  must(EVP_CipherInit_ex2(cipher, nullptr, nullptr, op.iv.data(), encrypt ? 1 : 0, nullptr));
}

void feed(EVP_CIPHER_CTX* cipher, std::uint8_t* out, const std::uint8_t* in, std::size_t bytes) {
  if (bytes == 0) return;
  int written = 0;
  must(EVP_CipherUpdate(cipher, out, &written, in, static_cast<int>(bytes)));
}

void authenticate_gcm_clear(EVP_CIPHER_CTX* cipher, const SrtpOperation& op) {
  feed(cipher, nullptr, op.packet, op.clear_bytes);
  feed(cipher, nullptr, op.tail.data(), op.tail_bytes);
}

bool finish_gcm_open(EVP_CIPHER_CTX* cipher, const SrtpOperation& op) {
  const int tag_bytes = info_of(op.context->suite).rtp_tag_bytes;
  must(EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_SET_TAG, tag_bytes, op.tag));
  std::array<std::uint8_t, 16> rest;
  int written = 0;
  return EVP_CipherFinal_ex(cipher, rest.data(), &written) == 1;
}

void seal_gcm(EVP_CIPHER_CTX* cipher, const SrtpOperation& op) {
  start(cipher, op, true);
  authenticate_gcm_clear(cipher, op);
  std::uint8_t* payload = op.packet + op.clear_bytes;
  feed(cipher, payload, payload, op.cipher_bytes);
  std::array<std::uint8_t, 16> rest;
  int written = 0;
  must(EVP_CipherFinal_ex(cipher, rest.data(), &written));
  const int tag_bytes = info_of(op.context->suite).rtp_tag_bytes;
  must(EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_GET_TAG, tag_bytes, op.tag));
}

bool open_gcm(EVP_CIPHER_CTX* cipher, const SrtpOperation& op) {
  start(cipher, op, false);
  authenticate_gcm_clear(cipher, op);
  std::uint8_t* payload = op.packet + op.clear_bytes;
  feed(cipher, payload, payload, op.cipher_bytes);
  return finish_gcm_open(cipher, op);
}

/// GCM gives a tag only while decrypting: the plaintext goes to a buffer that is wiped.
bool verify_gcm(EVP_CIPHER_CTX* cipher, const SrtpOperation& op) {
  start(cipher, op, false);
  authenticate_gcm_clear(cipher, op);
  std::array<std::uint8_t, 1024> plaintext;
  const std::uint8_t* payload = op.packet + op.clear_bytes;
  for (std::size_t done = 0; done < op.cipher_bytes; done += plaintext.size()) {
    feed(cipher, plaintext.data(), payload + done,
         std::min(plaintext.size(), op.cipher_bytes - done));
  }
  secure_wipe(plaintext.data(), plaintext.size());
  return finish_gcm_open(cipher, op);
}

void crypt_cm(EVP_CIPHER_CTX* cipher, const SrtpOperation& op) {
  if (op.cipher_bytes == 0) return;
  start(cipher, op, true);
  std::uint8_t* payload = op.packet + op.clear_bytes;
  feed(cipher, payload, payload, op.cipher_bytes);
}

void code_cm(const HmacSha1Key& hmac, const SrtpOperation& op, std::uint8_t* digest) {
  hmac_sha1(hmac, {op.packet, op.clear_bytes + op.cipher_bytes}, {op.tail.data(), op.tail_bytes},
            digest);
}

bool verify_cm(const HmacSha1Key& hmac, const SrtpOperation& op) {
  std::array<std::uint8_t, kSha1Bytes> digest;
  code_cm(hmac, op, digest.data());
  return equal_constant_time(digest.data(), op.tag, tag_bytes_of(op));
}

class EvpBackend final : public SrtpBackend {
 public:
  explicit EvpBackend(std::size_t cache_slots);

  void seal(std::span<SrtpOperation> operations) override;
  void open(std::span<SrtpOperation> operations) override;
  void verify(SrtpOperation& operation) override;
  void prefetch(const SrtpContext& context, std::uint32_t cache_slot) const override;
  void forget(std::uint32_t cache_slot) override;

 private:
  void key(KeyedCipher& keyed, const SrtpContext& context, bool rtcp_keys);
  KeyedCipher& keyed_for(const SrtpOperation& operation);

  std::array<Cipher, kCipherCount> ciphers_;
  std::vector<KeyedCipher> slots_;
  // SRTCP is rare: its keys are set for each packet in a context shared by all slots, which
  // halves what a slot costs in memory.
  std::array<KeyedCipher, kCipherCount> rtcp_;
};

EvpBackend::EvpBackend(std::size_t cache_slots) {
  for (std::size_t i = 0; i < kCipherCount; ++i) {
    ciphers_[i].reset(EVP_CIPHER_fetch(nullptr, kCipherNames[i], nullptr));
    CHECK(ciphers_[i] != nullptr);
    // Made here, so that a first SRTCP packet allocates nothing.
    constexpr std::array<std::uint8_t, 32> kNoKey{};
    KeyedCipher& keyed = rtcp_[i];
    keyed.cipher.reset(EVP_CIPHER_CTX_new());
    CHECK(keyed.cipher != nullptr);
    must(EVP_CipherInit_ex2(keyed.cipher.get(), ciphers_[i].get(), kNoKey.data(), nullptr, 1,
                            nullptr));
  }
  slots_.resize(cache_slots);
}

void EvpBackend::key(KeyedCipher& keyed, const SrtpContext& context, bool rtcp_keys) {
  if (!keyed.cipher) keyed.cipher.reset(EVP_CIPHER_CTX_new());
  CHECK(keyed.cipher != nullptr);
  const EVP_CIPHER* cipher = ciphers_[cipher_of(context.suite)].get();
  const std::uint8_t* key = (rtcp_keys ? context.rtcp_key : context.rtp_key).data();
  // Naming the same cipher again keeps the library's allocation; only another suite frees it.
  const bool same = EVP_CIPHER_CTX_get0_cipher(keyed.cipher.get()) == cipher;
  must(EVP_CipherInit_ex2(keyed.cipher.get(), same ? nullptr : cipher, key, nullptr, 1, nullptr));
  if (!is_gcm(context.suite)) {
    keyed.hmac = make_hmac_sha1_key(rtcp_keys ? context.rtcp_auth_key : context.rtp_auth_key);
  }
  keyed.serial = context.serial;
}

KeyedCipher& EvpBackend::keyed_for(const SrtpOperation& operation) {
  const SrtpContext& context = *operation.context;
  if (operation.rtcp) {
    KeyedCipher& keyed = rtcp_[cipher_of(context.suite)];
    if (keyed.serial != context.serial) key(keyed, context, true);
    return keyed;
  }
  KeyedCipher& keyed = slots_[operation.cache_slot];
  if (keyed.serial != context.serial) key(keyed, context, false);
  return keyed;
}

void EvpBackend::seal(std::span<SrtpOperation> operations) {
  for (SrtpOperation& op : operations) {
    KeyedCipher& keyed = keyed_for(op);
    if (is_gcm(op.context->suite)) {
      seal_gcm(keyed.cipher.get(), op);
      continue;
    }
    crypt_cm(keyed.cipher.get(), op);
    std::array<std::uint8_t, kSha1Bytes> digest;
    code_cm(keyed.hmac, op, digest.data());
    std::copy_n(digest.data(), tag_bytes_of(op), op.tag);
  }
}

void EvpBackend::open(std::span<SrtpOperation> operations) {
  for (SrtpOperation& op : operations) {
    KeyedCipher& keyed = keyed_for(op);
    if (is_gcm(op.context->suite)) {
      op.ok = open_gcm(keyed.cipher.get(), op);
      continue;
    }
    op.ok = verify_cm(keyed.hmac, op);
    if (op.ok) crypt_cm(keyed.cipher.get(), op);
  }
}

void EvpBackend::verify(SrtpOperation& op) {
  KeyedCipher& keyed = keyed_for(op);
  op.ok =
      is_gcm(op.context->suite) ? verify_gcm(keyed.cipher.get(), op) : verify_cm(keyed.hmac, op);
}

void EvpBackend::prefetch(const SrtpContext&, std::uint32_t cache_slot) const {
  __builtin_prefetch(&slots_[cache_slot]);
}

void EvpBackend::forget(std::uint32_t cache_slot) {
  CHECK(cache_slot < slots_.size());
  slots_[cache_slot] = KeyedCipher{};
  for (KeyedCipher& keyed : rtcp_) {
    if (keyed.serial == 0) continue;
    constexpr std::array<std::uint8_t, 32> kNoKey{};
    must(EVP_CipherInit_ex2(keyed.cipher.get(), nullptr, kNoKey.data(), nullptr, 1, nullptr));
    secure_wipe(&keyed.hmac, sizeof keyed.hmac);
    keyed.serial = 0;
  }
}

}  // namespace

std::unique_ptr<SrtpBackend> make_evp_backend(std::size_t cache_slots) {
  return std::make_unique<EvpBackend>(cache_slots);
}

}  // namespace turnpike
