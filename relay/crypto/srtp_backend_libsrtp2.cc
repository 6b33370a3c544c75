// The ciphers and hashes of libsrtp2, one packet after the other. Only the primitives: its own
// sessions hide the indices that must outlive the process. As packaged by Debian (on NSS) its cost
// grows with the number of streams.
#include "relay/crypto/srtp_backend.h"

#ifdef TURNPIKE_LIBSRTP2

#include <algorithm>
#include <cstring>
#include <vector>

#include <srtp2/auth.h>
#include <srtp2/cipher.h>
#include <srtp2/srtp.h>

#include "relay/core/bytes.h"
#include "relay/core/check.h"
#include "relay/crypto/hmac_sha1.h"

// Exported by the library, declared in none of its installed headers.
extern "C" {
extern const srtp_cipher_type_t srtp_aes_icm_128;
extern const srtp_cipher_type_t srtp_aes_icm_256;
extern const srtp_cipher_type_t srtp_aes_gcm_128;
extern const srtp_cipher_type_t srtp_aes_gcm_256;
extern const srtp_auth_type_t srtp_hmac;
}

namespace turnpike {
namespace {

constexpr int kAuthKeyBytes = 20;
constexpr int kGcmTagBytes = 16;
constexpr std::size_t kKeyAndSaltBytesMax = 46;
constexpr std::size_t kScratchBytes = 65536;  // as long as a datagram

void must(srtp_err_status_t status) {
  CHECK(status == srtp_err_status_ok);
}

const srtp_cipher_type_t* type_of(SrtpSuite suite) {
  const bool long_key = info_of(suite).key_bytes == 32;
  if (is_gcm(suite)) return long_key ? &srtp_aes_gcm_256 : &srtp_aes_gcm_128;
  return long_key ? &srtp_aes_icm_256 : &srtp_aes_icm_128;
}

struct CipherFree {
  void operator()(srtp_cipher_t* cipher) const { srtp_cipher_dealloc(cipher); }
};
struct AuthFree {
  void operator()(srtp_auth_t* auth) const { srtp_auth_dealloc(auth); }
};

struct Keyed {
  std::uint64_t serial = 0;
  std::unique_ptr<srtp_cipher_t, CipherFree> cipher;
  std::unique_ptr<srtp_auth_t, AuthFree> auth;  // CM suites
};

void set_keys(Keyed& keyed, const SrtpContext& context, bool rtcp) {
  const SrtpSuiteInfo& info = info_of(context.suite);
  const srtp_cipher_type_t* type = type_of(context.suite);
  if (!keyed.cipher || keyed.cipher->type != type) {
    srtp_cipher_t* cipher = nullptr;
    must(srtp_cipher_type_alloc(type, &cipher, info.key_bytes + info.salt_bytes, kGcmTagBytes));
    keyed.cipher.reset(cipher);
  }
  // The salt is part of our initialisation vectors: the library's own stays zero.
  std::array<std::uint8_t, kKeyAndSaltBytesMax> key{};
  std::copy_n((rtcp ? context.rtcp_key : context.rtp_key).data(), info.key_bytes, key.data());
  must(srtp_cipher_init(keyed.cipher.get(), key.data()));
  secure_wipe(key.data(), key.size());
  if (!is_gcm(context.suite)) {
    if (!keyed.auth) {
      srtp_auth_t* auth = nullptr;
      must(srtp_auth_type_alloc(&srtp_hmac, &auth, kAuthKeyBytes, static_cast<int>(kSha1Bytes)));
      keyed.auth.reset(auth);
    }
    must(srtp_auth_init(keyed.auth.get(),
                        (rtcp ? context.rtcp_auth_key : context.rtp_auth_key).data()));
  }
  keyed.serial = context.serial;
}

void start(const Keyed& keyed, SrtpOperation& op, srtp_cipher_direction_t direction) {
  must(srtp_cipher_set_iv(keyed.cipher.get(), op.iv.data(), direction));
}

void authenticate_gcm_clear(const Keyed& keyed, const SrtpOperation& op) {
  must(srtp_cipher_set_aad(keyed.cipher.get(), op.packet, op.clear_bytes));
  if (op.tail_bytes != 0) {
    must(srtp_cipher_set_aad(keyed.cipher.get(), op.tail.data(), op.tail_bytes));
  }
}

void seal_gcm(const Keyed& keyed, SrtpOperation& op) {
  start(keyed, op, srtp_direction_encrypt);
  authenticate_gcm_clear(keyed, op);
  std::uint32_t bytes = op.cipher_bytes;
  must(srtp_cipher_encrypt(keyed.cipher.get(), op.packet + op.clear_bytes, &bytes));
  std::uint32_t tag_bytes = kGcmTagBytes;
  must(srtp_cipher_get_tag(keyed.cipher.get(), op.tag, &tag_bytes));
}

/// `data`: ciphertext and tag behind it, decrypted in place.
bool open_gcm(const Keyed& keyed, SrtpOperation& op, std::uint8_t* data) {
  start(keyed, op, srtp_direction_decrypt);
  authenticate_gcm_clear(keyed, op);
  std::uint32_t bytes = op.cipher_bytes + kGcmTagBytes;
  return srtp_cipher_decrypt(keyed.cipher.get(), data, &bytes) == srtp_err_status_ok;
}

bool verify_gcm(const Keyed& keyed, SrtpOperation& op, std::span<std::uint8_t> copy) {
  CHECK(op.cipher_bytes + kGcmTagBytes <= copy.size());
  std::copy_n(op.packet + op.clear_bytes, op.cipher_bytes, copy.data());
  std::copy_n(op.tag, kGcmTagBytes, copy.data() + op.cipher_bytes);
  const bool ok = open_gcm(keyed, op, copy.data());
  secure_wipe(copy.data(), op.cipher_bytes);
  return ok;
}

void crypt_cm(const Keyed& keyed, SrtpOperation& op) {
  if (op.cipher_bytes == 0) return;
  start(keyed, op, srtp_direction_encrypt);
  std::uint32_t bytes = op.cipher_bytes;
  must(srtp_cipher_encrypt(keyed.cipher.get(), op.packet + op.clear_bytes, &bytes));
}

void code_cm(const Keyed& keyed, const SrtpOperation& op, std::uint8_t* digest) {
  srtp_auth_t* auth = keyed.auth.get();
  must(srtp_auth_start(auth));
  must(srtp_auth_update(auth, op.packet, static_cast<int>(op.clear_bytes + op.cipher_bytes)));
  must(srtp_auth_compute(auth, op.tail.data(), op.tail_bytes, digest));
}

bool verify_cm(const Keyed& keyed, const SrtpOperation& op) {
  std::array<std::uint8_t, kSha1Bytes> digest;
  code_cm(keyed, op, digest.data());
  return equal_constant_time(digest.data(), op.tag, tag_bytes_of(op));
}

class Libsrtp2Backend final : public SrtpBackend {
 public:
  explicit Libsrtp2Backend(std::size_t cache_slots) : slots_(cache_slots) {}

  void seal(std::span<SrtpOperation> operations) override {
    for (SrtpOperation& op : operations) {
      const Keyed& keyed = keyed_for(op);
      if (is_gcm(op.context->suite)) {
        seal_gcm(keyed, op);
        continue;
      }
      crypt_cm(keyed, op);
      std::array<std::uint8_t, kSha1Bytes> digest;
      code_cm(keyed, op, digest.data());
      std::copy_n(digest.data(), tag_bytes_of(op), op.tag);
    }
  }

  void open(std::span<SrtpOperation> operations) override {
    for (SrtpOperation& op : operations) {
      const Keyed& keyed = keyed_for(op);
      if (is_gcm(op.context->suite)) {
        op.ok = open_gcm(keyed, op, op.packet + op.clear_bytes);
        continue;
      }
      op.ok = verify_cm(keyed, op);
      if (op.ok) crypt_cm(keyed, op);
    }
  }

  void verify(SrtpOperation& op) override {
    const Keyed& keyed = keyed_for(op);
    op.ok = is_gcm(op.context->suite) ? verify_gcm(keyed, op, scratch_) : verify_cm(keyed, op);
  }

  void prefetch(const SrtpContext&, std::uint32_t cache_slot) const override {
    __builtin_prefetch(&slots_[cache_slot]);
  }

  void forget(std::uint32_t cache_slot) override {
    CHECK(cache_slot < slots_.size());
    slots_[cache_slot] = Keyed{};
    for (Keyed& keyed : rtcp_) keyed = Keyed{};
  }

 private:
  Keyed& keyed_for(const SrtpOperation& op) {
    const SrtpContext& context = *op.context;
    // SRTCP is rare: its keys are set anew for each packet of another leg.
    Keyed& keyed = op.rtcp ? rtcp_[static_cast<std::size_t>(context.suite)] : slots_[op.cache_slot];
    if (keyed.serial != context.serial) set_keys(keyed, context, op.rtcp);
    return keyed;
  }

  std::vector<Keyed> slots_;
  std::array<Keyed, kSrtpSuiteCount> rtcp_;
  std::vector<std::uint8_t> scratch_ = std::vector<std::uint8_t>(kScratchBytes);
};

}  // namespace

std::unique_ptr<SrtpBackend> make_libsrtp2_backend(std::size_t cache_slots) {
  static const bool started = srtp_init() == srtp_err_status_ok;
  if (!started) return nullptr;
  return std::make_unique<Libsrtp2Backend>(cache_slots);
}

}  // namespace turnpike

#else

namespace turnpike {

std::unique_ptr<SrtpBackend> make_libsrtp2_backend(std::size_t) {
  return nullptr;
}

}  // namespace turnpike

#endif
