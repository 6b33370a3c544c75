// Keys and certificates made in memory, and what every association with them has in common.
#include <openssl/ec.h>
#include <openssl/rand.h>
#include <openssl/srtp.h>
#include <openssl/x509.h>

#include "relay/core/bytes.h"
#include "relay/crypto/dtls_library.h"

namespace turnpike {
namespace {

constexpr const char* kCiphers =
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:"
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-CHACHA20-POLY1305";
constexpr const char* kProfiles =
    "SRTP_AEAD_AES_256_GCM:SRTP_AEAD_AES_128_GCM:"
    "SRTP_AES128_CM_SHA1_80:SRTP_AES128_CM_SHA1_32";
constexpr long kSecondsPerDay = 86400;
constexpr long kDaysValid = 365;
constexpr long kCertificateListBytesMax = 16384;

/// Positive, and not zero (RFC 5280 section 4.1.2.2).
bool set_random_serial(X509& certificate) {
  std::array<std::uint8_t, 16> bytes{};
  if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1) return false;
  bytes[0] = static_cast<std::uint8_t>((bytes[0] & 0x7f) | 0x40);
  BIGNUM* number = BN_bin2bn(bytes.data(), static_cast<int>(bytes.size()), nullptr);
  const bool done = number != nullptr &&
                    BN_to_ASN1_INTEGER(number, X509_get_serialNumber(&certificate)) != nullptr;
  BN_free(number);
  return done;
}

/// The name says nothing of us: everybody who can send a packet gets to see it.
bool set_name(X509& certificate) {
  const std::array<unsigned char, 4> name = {'d', 't', 'l', 's'};
  X509_NAME* subject = X509_get_subject_name(&certificate);
  return X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, name.data(),
                                    static_cast<int>(name.size()), -1, 0) == 1 &&
         X509_set_issuer_name(&certificate, subject) == 1;
}

OpensslPtr<X509> make_certificate(EVP_PKEY& key) {
  OpensslPtr<X509> certificate(X509_new());
  if (certificate == nullptr) return nullptr;
  X509& made = *certificate;
  // A clock that differs a little between the ends must not matter.
  const bool done =
      X509_set_version(&made, X509_VERSION_3) == 1 && set_random_serial(made) && set_name(made) &&
      X509_gmtime_adj(X509_getm_notBefore(&made), -kSecondsPerDay) != nullptr &&
      X509_gmtime_adj(X509_getm_notAfter(&made), kDaysValid * kSecondsPerDay) != nullptr &&
      X509_set_pubkey(&made, &key) == 1 && X509_sign(&made, &key, EVP_sha256()) != 0;
  return done ? std::move(certificate) : nullptr;
}

/// There is no chain to check: the fingerprint decides, once the handshake has proven that the
/// remote end holds the key.
int take_any_certificate(X509_STORE_CTX* store, void*) {
  X509_STORE_CTX_set_error(store, X509_V_OK);
  return 1;
}

OpensslPtr<SSL_CTX> make_context(X509& certificate, EVP_PKEY& key) {
  OpensslPtr<SSL_CTX> context(SSL_CTX_new(DTLS_method()));
  if (context == nullptr) return nullptr;
  SSL_CTX* made = context.get();
  SSL_CTX_set_options(made, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION |
                                SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_mode(made, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_session_cache_mode(made, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_max_cert_list(made, kCertificateListBytesMax);
  SSL_CTX_set_verify(made, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  SSL_CTX_set_cert_verify_callback(made, take_any_certificate, nullptr);
  const bool done = use_datagrams(*made) && SSL_CTX_set_cipher_list(made, kCiphers) == 1 &&
                    SSL_CTX_set1_groups_list(made, "X25519:P-256:P-384") == 1 &&
                    SSL_CTX_set_tlsext_use_srtp(made, kProfiles) == 0 &&  // 0 is success
                    SSL_CTX_use_certificate(made, &certificate) == 1 &&
                    SSL_CTX_use_PrivateKey(made, &key) == 1;
  return done ? std::move(context) : nullptr;
}

const EVP_MD* digest_of(FingerprintHash hash) {
  switch (hash) {
    case FingerprintHash::kSha256:
      return EVP_sha256();
    case FingerprintHash::kSha384:
      return EVP_sha384();
    case FingerprintHash::kSha512:
      return EVP_sha512();
    case FingerprintHash::kNone:
      break;
  }
  return nullptr;
}

}  // namespace

struct DtlsCertificate::Parts {
  X509& certificate;
  EVP_PKEY& key;
};

DtlsCertificate::DtlsCertificate() : library_(std::make_unique<Library>()) {}
DtlsCertificate::~DtlsCertificate() {
  secure_wipe(bytes_.data(), bytes_.size());
}

std::shared_ptr<const DtlsCertificate> DtlsCertificate::make() {
  const OpensslPtr<EVP_PKEY> key(EVP_EC_gen("P-256"));
  if (key == nullptr) return nullptr;
  const OpensslPtr<X509> certificate = make_certificate(*key);
  return certificate == nullptr ? nullptr : of({*certificate, *key});
}

std::shared_ptr<const DtlsCertificate> DtlsCertificate::read(std::span<const std::uint8_t> bytes) {
  const unsigned char* at = bytes.data();
  const auto left = [&] { return static_cast<long>(bytes.data() + bytes.size() - at); };
  const OpensslPtr<EVP_PKEY> key(d2i_AutoPrivateKey(nullptr, &at, left()));
  if (key == nullptr) return nullptr;
  const OpensslPtr<X509> certificate(d2i_X509(nullptr, &at, left()));
  if (certificate == nullptr || left() != 0) return nullptr;
  return of({*certificate, *key});
}

std::shared_ptr<const DtlsCertificate> DtlsCertificate::of(const Parts& parts) {
  X509* const certificate = &parts.certificate;
  EVP_PKEY* const key = &parts.key;
  std::shared_ptr<DtlsCertificate> made(new DtlsCertificate);
  const int key_bytes = i2d_PrivateKey(key, nullptr);
  const int certificate_bytes = i2d_X509(certificate, nullptr);
  if (key_bytes <= 0 || certificate_bytes <= 0) return nullptr;
  made->bytes_.resize(static_cast<std::size_t>(key_bytes) +
                      static_cast<std::size_t>(certificate_bytes));
  unsigned char* at = made->bytes_.data();
  if (i2d_PrivateKey(key, &at) != key_bytes || i2d_X509(certificate, &at) != certificate_bytes) {
    return nullptr;
  }
  made->library_->context = make_context(*certificate, *key);
  made->fingerprint_ = fingerprint_of(*certificate, FingerprintHash::kSha256);
  if (made->library_->context == nullptr || !made->fingerprint_.is_set()) return nullptr;
  return made;
}

Fingerprint fingerprint_of(const X509& certificate, FingerprintHash hash) {
  Fingerprint fingerprint;
  const EVP_MD* digest = digest_of(hash);
  unsigned int bytes = 0;
  static_assert(EVP_MAX_MD_SIZE <= sizeof fingerprint.bytes);
  if (digest == nullptr ||
      X509_digest(&certificate, digest, fingerprint.bytes.data(), &bytes) != 1) {
    return {};
  }
  fingerprint.hash = hash;
  return fingerprint;
}

}  // namespace turnpike
