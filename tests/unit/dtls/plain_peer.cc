#include "tests/unit/dtls/plain_peer.h"

#include <algorithm>
#include <map>
#include <string_view>

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rsa.h>
#include <openssl/srtp.h>
#include <openssl/x509.h>
#include <sys/time.h>

#include "relay/core/check.h"
#include "relay/crypto/dtls_clock.h"

namespace turnpike::dtls_testing {
namespace {

X509* make_certificate(EVP_PKEY* key) {
  X509* made = X509_new();
  X509_set_version(made, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(made), 4711);
  X509_gmtime_adj(X509_getm_notBefore(made), 0);
  X509_gmtime_adj(X509_getm_notAfter(made), 3600);
  X509_set_pubkey(made, key);
  CHECK(X509_sign(made, key, EVP_sha256()) != 0);
  return made;
}

/// RSA keys take long to make: one of each kind serves all peers.
EVP_PKEY* key_of(const std::string& kind) {
  static auto& keys = *new std::map<std::string, EVP_PKEY*>;
  EVP_PKEY*& key = keys[kind];
  if (key == nullptr) key = kind == "RSA" ? EVP_RSA_gen(2048) : EVP_EC_gen(kind.c_str());
  return key;
}

int take_any(int, X509_STORE_CTX*) {
  return 1;
}

}  // namespace

BIO_METHOD* PlainPeer::method() {
  static BIO_METHOD* const made = [] {
    BIO_METHOD* fresh = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "test");
    BIO_meth_set_create(fresh, [](BIO* bio) {
      BIO_set_init(bio, 1);
      return 1;
    });
    BIO_meth_set_read(fresh, [](BIO* bio, char* to, int room) {
      auto& io = *static_cast<Io*>(BIO_get_data(bio));
      BIO_clear_retry_flags(bio);
      if (io.in == nullptr || io.in->empty()) {
        BIO_set_retry_read(bio);
        return -1;
      }
      const std::size_t bytes = std::min(io.in->size(), static_cast<std::size_t>(room));
      std::copy_n(io.in->begin(), bytes, to);
      io.in = nullptr;
      return static_cast<int>(bytes);
    });
    BIO_meth_set_write(fresh, [](BIO* bio, const char* from, int size) {
      static_cast<Io*>(BIO_get_data(bio))->sent.emplace_back(from, from + size);
      return size;
    });
    BIO_meth_set_ctrl(
        fresh, [](BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1L : 0L; });
    return fresh;
  }();
  return made;
}

PlainPeer::PlainPeer(const PlainPeer& other) : PlainPeer(other.options_, other.certificate_) {}

PlainPeer::PlainPeer(const PlainOptions& options, X509* certificate)
    : options_(options), certificate_(certificate) {
  context_ = SSL_CTX_new(options.server ? DTLS_server_method() : DTLS_client_method());
  SSL_CTX_set_min_proto_version(context_, options.version);
  SSL_CTX_set_max_proto_version(context_, options.version);
  SSL_CTX_set_options(context_, SSL_OP_NO_QUERY_MTU);
  CHECK(SSL_CTX_set_cipher_list(context_, options.ciphers.c_str()) == 1);
  SSL_CTX_set_verify(context_, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, take_any);
  if (!options.key.empty()) {
    EVP_PKEY* key = key_of(options.key);
    if (certificate_ != nullptr) X509_up_ref(certificate_);
    if (certificate_ == nullptr) certificate_ = make_certificate(key);
    CHECK(SSL_CTX_use_certificate(context_, certificate_) == 1);
    CHECK(SSL_CTX_use_PrivateKey(context_, key) == 1);
  }
  if (!options.profiles.empty()) {
    CHECK(SSL_CTX_set_tlsext_use_srtp(context_, options.profiles.c_str()) == 0);
  }
  ssl_ = SSL_new(context_);
  BIO* bio = BIO_new(method());
  BIO_set_data(bio, &io_);
  SSL_set_bio(ssl_, bio, bio);
  SSL_set_mtu(ssl_, options.mtu);
  if (options.server) {
    SSL_set_accept_state(ssl_);
  } else {
    SSL_set_connect_state(ssl_);
  }
}

PlainPeer::~PlainPeer() {
  SSL_free(ssl_);
  X509_free(certificate_);
  SSL_CTX_free(context_);
}

void PlainPeer::turn(const Bytes& datagram, Instant now) {
  if (failed_) return;
  const DtlsClock clock(now);
  ERR_clear_error();
  io_.in = &datagram;
  if (!complete_) {
    const int result = SSL_do_handshake(ssl_);
    complete_ = result == 1;
    failed_ = !complete_ && SSL_get_error(ssl_, result) != SSL_ERROR_WANT_READ;
  }
  if (complete_) {
    std::array<char, 2048> data{};
    const int result = SSL_read(ssl_, data.data(), static_cast<int>(data.size()));
    closed_ = closed_ || SSL_get_error(ssl_, result) == SSL_ERROR_ZERO_RETURN;
  }
  io_.in = nullptr;
}

Instant PlainPeer::next_deadline(Instant now) const {
  const DtlsClock clock(now);
  timeval left{};
  if (failed_ || complete_ || DTLSv1_get_timeout(ssl_, &left) != 1) return Instant::max();
  return now + Seconds{left.tv_sec} + std::chrono::microseconds{left.tv_usec};
}

void PlainPeer::on_deadline(Instant now) {
  const DtlsClock clock(now);
  if (!failed_ && !complete_) DTLSv1_handle_timeout(ssl_);
}

void PlainPeer::close(Instant now) {
  const DtlsClock clock(now);
  SSL_shutdown(ssl_);
}

bool PlainPeer::renegotiate(Instant now) {
  const DtlsClock clock(now);
  const bool willing = SSL_renegotiate(ssl_) == 1;
  SSL_do_handshake(ssl_);
  return willing;
}

// RFC 5246 section 6.3, RFC 5288 section 3.
Bytes PlainPeer::sealed_alert(std::uint8_t level, std::uint8_t description) const {
  constexpr std::size_t kKeyBytes = 16;
  constexpr std::size_t kSaltBytes = 4;
  const bool is_server = options_.server;
  const Bytes block = key_block(2 * (kKeyBytes + kSaltBytes));
  const std::uint8_t* key = block.data() + (is_server ? kKeyBytes : 0);
  const std::uint8_t* salt = block.data() + 2 * kKeyBytes + (is_server ? kSaltBytes : 0);
  const Bytes number = {0, 1, 0, 0, 0, 0, 0, 40};  // epoch 1, far ahead of the library's
  Bytes nonce(salt, salt + kSaltBytes);
  nonce.insert(nonce.end(), number.begin(), number.end());
  Bytes associated = number;
  associated.insert(associated.end(), {21, 0xfe, 0xfd, 0, 2});
  const Bytes alert = {level, description};
  Bytes sealed(alert.size() + 16);
  EVP_CIPHER_CTX* context = EVP_CIPHER_CTX_new();
  int length = 0;
  CHECK(EVP_EncryptInit_ex(context, EVP_aes_128_gcm(), nullptr, key, nonce.data()) == 1);
  CHECK(EVP_EncryptUpdate(context, nullptr, &length, associated.data(),
                          static_cast<int>(associated.size())) == 1);
  CHECK(EVP_EncryptUpdate(context, sealed.data(), &length, alert.data(),
                          static_cast<int>(alert.size())) == 1);
  CHECK(EVP_EncryptFinal_ex(context, sealed.data() + length, &length) == 1);
  CHECK(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, 16, sealed.data() + alert.size()) == 1);
  EVP_CIPHER_CTX_free(context);
  Bytes record = {21, 0xfe, 0xfd};
  record.insert(record.end(), number.begin(), number.end());
  record.insert(record.end(), {0, static_cast<std::uint8_t>(number.size() + sealed.size())});
  record.insert(record.end(), number.begin(), number.end());
  record.insert(record.end(), sealed.begin(), sealed.end());
  return record;
}

Bytes PlainPeer::key_block(std::size_t bytes) const {
  std::array<unsigned char, 48> secret{};
  CHECK(SSL_SESSION_get_master_key(SSL_get_session(ssl_), secret.data(), secret.size()) == 48);
  const std::string label = "key expansion";
  Bytes seed(label.begin(), label.end());
  seed.resize(label.size() + 64);
  SSL_get_server_random(ssl_, seed.data() + label.size(), 32);
  SSL_get_client_random(ssl_, seed.data() + label.size() + 32, 32);
  EVP_KDF* kdf = EVP_KDF_fetch(nullptr, "TLS1-PRF", nullptr);
  EVP_KDF_CTX* context = EVP_KDF_CTX_new(kdf);
  std::string digest = "SHA256";
  const OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_utf8_string("digest", digest.data(), 0),
      OSSL_PARAM_construct_octet_string("secret", secret.data(), secret.size()),
      OSSL_PARAM_construct_octet_string("seed", seed.data(), seed.size()),
      OSSL_PARAM_construct_end()};
  Bytes block(bytes);
  CHECK(EVP_KDF_derive(context, block.data(), block.size(), parameters) == 1);
  EVP_KDF_CTX_free(context);
  EVP_KDF_free(kdf);
  return block;
}

std::vector<Bytes> PlainPeer::take_sent() {
  std::vector<Bytes> sent;
  sent.swap(io_.sent);
  return sent;
}

Fingerprint PlainPeer::fingerprint(FingerprintHash hash) const {
  Fingerprint fingerprint;
  fingerprint.hash = hash;
  const EVP_MD* digest = hash == FingerprintHash::kSha256   ? EVP_sha256()
                         : hash == FingerprintHash::kSha384 ? EVP_sha384()
                                                            : EVP_sha512();
  CHECK(X509_digest(certificate_, digest, fingerprint.bytes.data(), nullptr) == 1);
  return fingerprint;
}

Bytes PlainPeer::sha1_of_certificate() const {
  Bytes bytes(20);
  CHECK(X509_digest(certificate_, EVP_sha1(), bytes.data(), nullptr) == 1);
  return bytes;
}

Fingerprint PlainPeer::peer_fingerprint() const {
  Fingerprint fingerprint;
  const X509* shown = SSL_get0_peer_certificate(ssl_);
  if (shown == nullptr) return fingerprint;
  fingerprint.hash = FingerprintHash::kSha256;
  CHECK(X509_digest(shown, EVP_sha256(), fingerprint.bytes.data(), nullptr) == 1);
  return fingerprint;
}

SrtpKeying PlainPeer::keying(bool of_client) const {
  SrtpKeying keying;
  const SRTP_PROTECTION_PROFILE* profile = SSL_get_selected_srtp_profile(ssl_);
  if (profile == nullptr) return keying;
  const std::string_view name = profile->name;
  if (name == "SRTP_AES128_CM_SHA1_80") keying.suite = SrtpSuite::kAesCm128HmacSha1_80;
  if (name == "SRTP_AES128_CM_SHA1_32") keying.suite = SrtpSuite::kAesCm128HmacSha1_32;
  if (name == "SRTP_AEAD_AES_128_GCM") keying.suite = SrtpSuite::kAeadAes128Gcm;
  if (name == "SRTP_AEAD_AES_256_GCM") keying.suite = SrtpSuite::kAeadAes256Gcm;
  const std::size_t key = name == "SRTP_AEAD_AES_256_GCM" ? 32 : 16;
  const std::size_t salt = name.starts_with("SRTP_AEAD") ? 12 : 14;
  const std::string label = "EXTRACTOR-dtls_srtp";
  Bytes material(2 * (key + salt));
  CHECK(SSL_export_keying_material(ssl_, material.data(), material.size(), label.data(),
                                   label.size(), nullptr, 0, 0) == 1);
  const auto at = [&](std::size_t offset) {
    return material.begin() + static_cast<std::ptrdiff_t>(offset);
  };
  std::copy_n(at(of_client ? 0 : key), key, keying.master_key.begin());
  std::copy_n(at(2 * key + (of_client ? 0 : salt)), salt, keying.master_salt.begin());
  return keying;
}

}  // namespace turnpike::dtls_testing
