#include "relay/crypto/dtls.h"

#include <algorithm>

#include <openssl/err.h>
#include <openssl/srtp.h>
#include <sys/time.h>

#include "relay/core/bytes.h"
#include "relay/core/check.h"
#include "relay/crypto/dtls_clock.h"
#include "relay/crypto/dtls_library.h"
#include "relay/crypto/tls_library.h"

namespace turnpike {
namespace {

/// Records for after ChangeCipherSpec that came before it. OpenSSL keeps each in 17 kB.
constexpr unsigned kEarlyRecordsMax = 4;
constexpr std::size_t kRecordHeaderBytes = 13;

/// A ClientHello without cookie: what OpenSSL has to have seen before it takes one with a cookie.
/// The client's own first ClientHello was answered without keeping anything of it; neither is part
/// of the handshake's transcript (RFC 6347 section 4.2.1).
constexpr std::array<std::uint8_t, 67> kFirstHello = {
    22,   0xfe, 0xfd, 0,    0, 0, 0, 0, 0, 0, 0, 0,  54,  // record: handshake, epoch 0, number 0
    1,    0,    0,    42,   0, 0, 0, 0, 0, 0, 0, 42,      // ClientHello, message 0, not fragmented
    0xfe, 0xfd,                                           // client_version; random: zeros
    0,    0,    0,    0,    0, 0, 0, 0, 0, 0, 0, 0,  0,  0, 0, 0, 0,
    0,    0,    0,    0,    0, 0, 0, 0, 0, 0, 0, 0,  0,  0, 0, 0, 0,  // session_id, cookie: empty
    0,    2,    0xc0, 0x2b,                                           // cipher_suites
    1,    0};                                                         // compression_methods

DtlsFailure failure_of(int reason) {
  switch (reason) {
    case SSL_R_NO_SHARED_CIPHER:
    case SSL_R_NO_SHARED_GROUPS:
    case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
    case SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS:
    case SSL_R_WRONG_CIPHER_RETURNED:
      return DtlsFailure::kNoCipher;
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_VERSION_TOO_LOW:
    case SSL_R_VERSION_TOO_HIGH:
    case SSL_R_UNKNOWN_PROTOCOL:
    case SSL_R_WRONG_SSL_VERSION:
    case SSL_R_WRONG_VERSION_NUMBER:
      return DtlsFailure::kVersion;
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
      return DtlsFailure::kNoCertificate;
    case SSL_R_READ_TIMEOUT_EXPIRED:
      return DtlsFailure::kTimeout;
    default:
      return reason > SSL_AD_REASON_OFFSET ? DtlsFailure::kAlert : DtlsFailure::kProtocol;
  }
}

SrtpSuite suite_of(unsigned long profile) {
  switch (profile) {
    case SRTP_AES128_CM_SHA1_80:
      return SrtpSuite::kAesCm128HmacSha1_80;
    case SRTP_AES128_CM_SHA1_32:
      return SrtpSuite::kAesCm128HmacSha1_32;
    case SRTP_AEAD_AES_128_GCM:
      return SrtpSuite::kAeadAes128Gcm;
    case SRTP_AEAD_AES_256_GCM:
      return SrtpSuite::kAeadAes256Gcm;
    default:
      return SrtpSuite::kNone;
  }
}

/// What a record has at least once there is a key: explicit nonce and tag (RFC 5288 section 3,
/// RFC 7905 section 2). Anybody can send a shorter one, and OpenSSL 3.0 takes it for trouble of its
/// own: it ends the association, and tells the remote end so.
std::size_t sealed_bytes_min(const SSL* ssl) {
  const SSL_CIPHER* cipher = SSL_get_current_cipher(ssl);
  if (cipher == nullptr) cipher = SSL_get_pending_cipher(ssl);
  const bool without_nonce =
      cipher != nullptr && SSL_CIPHER_get_cipher_nid(cipher) == NID_chacha20_poly1305;
  return without_nonce ? 16 : 8 + 16;
}

unsigned int retransmit_after(SSL*, unsigned int previous_us) {
  using Microseconds = std::chrono::duration<unsigned int, std::micro>;
  constexpr Microseconds kFirst = DtlsAssociation::kRetransmitFirst;
  constexpr Microseconds kMax = DtlsAssociation::kRetransmitMax;
  return previous_us == 0 ? kFirst.count() : std::min(previous_us * 2, kMax.count());
}

/// Keeps the first datagram, if it fits.
class OneDatagram final : public DatagramOut {
 public:
  explicit OneDatagram(std::span<std::uint8_t> room) : room_(room) {}
  void datagram(std::span<const std::uint8_t> bytes) override {
    if (bytes_ != 0 || bytes.size() > room_.size()) return;
    std::copy(bytes.begin(), bytes.end(), room_.begin());
    bytes_ = bytes.size();
  }
  std::size_t bytes() const { return bytes_; }

 private:
  std::span<std::uint8_t> room_;
  std::size_t bytes_ = 0;
};

}  // namespace

struct DtlsAssociation::Library {
  DtlsDatagrams datagrams;
  std::shared_ptr<const DtlsCertificate> certificate;  // one of the two
  std::shared_ptr<const TlsServerContext> server;
  OpensslPtr<SSL> ssl;  // goes first: it still reaches for the others
};

/// The surroundings of one call into the library. An association that is complete has buffers only
/// here: it has next to nothing to say any more, for as long as its call lasts.
class DtlsAssociation::Scope {
 public:
  Scope(Library& library, std::span<const std::uint8_t> in, Instant now, DatagramOut* out)
      : datagrams_(library.datagrams), ssl_(library.ssl.get()), clock_(now) {
    if (SSL_is_init_finished(ssl_) == 1) CHECK(SSL_alloc_buffers(ssl_) == 1);
    datagrams_.in = in;
    datagrams_.out = out;
    ERR_clear_error();
  }
  ~Scope() {
    if (SSL_is_init_finished(ssl_) == 1) static_cast<void>(SSL_free_buffers(ssl_));
    datagrams_.in = {};
    datagrams_.out = nullptr;
    ERR_clear_error();
  }

 private:
  DtlsDatagrams& datagrams_;
  SSL* ssl_;
  DtlsClock clock_;
};

DtlsAssociation::DtlsAssociation(std::shared_ptr<const DtlsCertificate> certificate, DtlsRole role)
    : library_(std::make_unique<Library>()), serves_(false) {
  library_->ssl.reset(SSL_new(certificate->library_->context.get()));
  prepare();
  library_->certificate = std::move(certificate);
  if (role == DtlsRole::kActive) {
    SSL_set_connect_state(library_->ssl.get());
  } else {
    SSL_set_accept_state(library_->ssl.get());
  }
}

DtlsAssociation::DtlsAssociation(std::shared_ptr<const TlsServerContext> server)
    : library_(std::make_unique<Library>()), serves_(true) {
  library_->ssl.reset(SSL_new(server->library_->context.get()));
  prepare();
  library_->server = std::move(server);
  SSL_set_accept_state(library_->ssl.get());
}

void DtlsAssociation::prepare() {
  BIO* bio = make_datagram_bio(library_->datagrams);
  CHECK(library_->ssl != nullptr && bio != nullptr);
  SSL* ssl = library_->ssl.get();
  SSL_set_bio(ssl, bio, bio);
  SSL_set_app_data(ssl, &library_->datagrams);
  SSL_set_mtu(ssl, static_cast<long>(kDtlsMtuBytes));
  DTLS_set_timer_cb(ssl, retransmit_after);
}

DtlsAssociation::~DtlsAssociation() = default;

void DtlsAssociation::start(Instant now, DatagramOut& out) {
  const Scope scope(*library_, {}, now, &out);
  advance(now);
}

void DtlsAssociation::expect_cookie(std::span<const std::uint8_t> cookie, std::uint64_t sequence,
                                    Instant now) {
  DtlsDatagrams& datagrams = library_->datagrams;
  CHECK(cookie.size() <= datagrams.cookie.size());
  std::copy(cookie.begin(), cookie.end(), datagrams.cookie.begin());
  datagrams.cookie_bytes = cookie.size();
  SSL_set_options(library_->ssl.get(), SSL_OP_COOKIE_EXCHANGE);
  const Scope scope(*library_, kFirstHello, now, nullptr);
  advance(now);
  // Its ServerHello would be number 1, after the HelloVerifyRequest that went nowhere.
  datagrams.sequence_offset = sequence - 1;
}

void DtlsAssociation::handle(std::span<const std::uint8_t> record, Instant now, DatagramOut& out) {
  if (phase_ == Phase::kFailed || phase_ == Phase::kClosed || deaf_) return;
  if (record.size() < kRecordHeaderBytes) return;
  const bool ciphertext = read_be16(record.data() + 3) != 0;
  if (ciphertext && record.size() < kRecordHeaderBytes + sealed_bytes_min(library_->ssl.get())) {
    return;
  }
  if (ciphertext && !reads_ciphertext() && early_records_++ >= kEarlyRecordsMax) return;
  const Scope scope(*library_, record, now, &out);
  advance(now);
}

void DtlsAssociation::receive(std::span<const std::uint8_t> record, Instant now, DatagramOut& out,
                              DatagramOut& data) {
  data_ = &data;
  handle(record, now, out);
  data_ = nullptr;
}

bool DtlsAssociation::send(std::span<const std::uint8_t> data, Instant now, DatagramOut& out) {
  if (phase_ != Phase::kComplete || deaf_) return false;
  const Scope scope(*library_, {}, now, &out);
  return SSL_write(library_->ssl.get(), data.data(), static_cast<int>(data.size())) > 0;
}

void DtlsAssociation::on_deadline(Instant now, DatagramOut& out) {
  if (now < deadline_ || phase_ != Phase::kHandshaking) return;
  const Scope scope(*library_, {}, now, &out);
  if (DTLSv1_handle_timeout(library_->ssl.get()) < 0) {
    fail(DtlsFailure::kTimeout);
    return;
  }
  note_deadline(now);
}

void DtlsAssociation::resend(Instant now, DatagramOut& out) {
  if (deadline_ == Instant::max()) return;
  // For the library the time has come.
  on_deadline(std::max(now, deadline_), out);
  note_deadline(now);
}

std::size_t DtlsAssociation::write_goodbye(Instant now,
                                           std::span<std::uint8_t, kGoodbyeBytesMax> out) {
  if (phase_ != Phase::kComplete || deaf_) return 0;
  SSL* ssl = library_->ssl.get();
  OneDatagram goodbye(out);
  const Scope scope(*library_, {}, now, &goodbye);
  const int before = SSL_get_shutdown(ssl);
  static_cast<void>(SSL_shutdown(ssl));
  // It has not been sent. Its record number is used up all the same, and with it its nonce.
  SSL_set_shutdown(ssl, before);
  return goodbye.bytes();
}

void DtlsAssociation::advance(Instant now) {
  SSL* ssl = library_->ssl.get();
  if (phase_ == Phase::kHandshaking) {
    const int result = SSL_do_handshake(ssl);
    if (result == 1) {
      complete();
    } else if (SSL_get_error(ssl, result) != SSL_ERROR_WANT_READ) {
      fail(failure_of(ERR_GET_REASON(ERR_peek_error())));
    }
  }
  if (phase_ == Phase::kComplete) read_on();
  note_deadline(now);
}

/// Takes what comes after the handshake: a last flight of the remote end's once more, which is
/// answered with ours, data, and the end. There is no application data in DTLS-SRTP.
void DtlsAssociation::read_on() {
  if (serves_ && data_ == nullptr) return;  // what came early waits for receive()
  std::array<std::uint8_t, 2048> data;
  SSL* ssl = library_->ssl.get();
  int result = 1;
  while (result > 0) {
    result = SSL_read(ssl, data.data(), static_cast<int>(data.size()));
    if (result > 0 && data_ != nullptr) {
      data_->datagram({data.data(), static_cast<std::size_t>(result)});
    }
  }
  secure_wipe(data.data(), data.size());
  const int error = SSL_get_error(ssl, result);
  if (error == SSL_ERROR_WANT_READ) return;
  closed_by_alert_ = ERR_GET_REASON(ERR_peek_error()) > SSL_AD_REASON_OFFSET;
  if (error == SSL_ERROR_ZERO_RETURN || closed_by_alert_) {
    phase_ = Phase::kClosed;
  } else {
    deaf_ = true;
  }
}

void DtlsAssociation::complete() {
  SSL* ssl = library_->ssl.get();
  if (serves_) {
    phase_ = Phase::kComplete;
    return;
  }
  const SRTP_PROTECTION_PROFILE* profile = SSL_get_selected_srtp_profile(ssl);
  if (SSL_get0_peer_certificate(ssl) == nullptr) {
    fail(DtlsFailure::kNoCertificate);
  } else if (profile == nullptr || suite_of(profile->id) == SrtpSuite::kNone) {
    fail(DtlsFailure::kNoProfile);
  } else {
    phase_ = Phase::kComplete;
  }
}

void DtlsAssociation::fail(DtlsFailure failure) {
  phase_ = Phase::kFailed;
  failure_ = failure;
  deadline_ = Instant::max();
}

void DtlsAssociation::note_deadline(Instant now) {
  timeval left{};
  const bool waits =
      phase_ == Phase::kHandshaking && DTLSv1_get_timeout(library_->ssl.get(), &left) == 1;
  deadline_ =
      waits ? now + Seconds{left.tv_sec} + std::chrono::microseconds{left.tv_usec} : Instant::max();
}

bool DtlsAssociation::reads_ciphertext() const {
  if (phase_ != Phase::kHandshaking) return true;
  const OSSL_HANDSHAKE_STATE state = SSL_get_state(library_->ssl.get());
  return state == TLS_ST_SR_CHANGE || state == TLS_ST_CR_CHANGE;
}

bool DtlsAssociation::is_past_first_flight() const {
  const OSSL_HANDSHAKE_STATE state = SSL_get_state(library_->ssl.get());
  return phase_ != Phase::kHandshaking ||
         (state != TLS_ST_BEFORE && state != TLS_ST_SR_CLNT_HELLO &&
          state != DTLS_ST_SW_HELLO_VERIFY_REQUEST && state != TLS_ST_SW_SRVR_DONE);
}

bool DtlsAssociation::is_of(const Fingerprint& remote) const {
  if (phase_ != Phase::kComplete || !remote.is_set()) return false;
  const X509* certificate = SSL_get0_peer_certificate(library_->ssl.get());
  const Fingerprint shown = fingerprint_of(*certificate, remote.hash);
  return shown.is_set() &&
         equal_constant_time(shown.bytes.data(), remote.bytes.data(), bytes_of(remote.hash));
}

bool DtlsAssociation::export_keys(const Fingerprint& remote, SrtpKeying& receive,
                                  SrtpKeying& send) const {
  if (!is_of(remote)) return false;
  SSL* ssl = library_->ssl.get();
  // client_write_key, server_write_key, client_write_salt, server_write_salt.
  constexpr std::string_view kLabel = "EXTRACTOR-dtls_srtp";
  const SrtpSuite suite = suite_of(SSL_get_selected_srtp_profile(ssl)->id);
  const std::size_t key_bytes = info_of(suite).key_bytes;
  const std::size_t salt_bytes = info_of(suite).salt_bytes;
  std::array<std::uint8_t, 2 * (32 + 14)> material{};
  const bool done = SSL_export_keying_material(ssl, material.data(), 2 * (key_bytes + salt_bytes),
                                               kLabel.data(), kLabel.size(), nullptr, 0, 0) == 1;
  if (done) {
    SrtpKeying& client = SSL_is_server(ssl) == 1 ? receive : send;
    SrtpKeying& server = SSL_is_server(ssl) == 1 ? send : receive;
    client = server = SrtpKeying{};
    client.suite = server.suite = suite;
    const std::uint8_t* at = material.data();
    std::copy_n(at, key_bytes, client.master_key.begin());
    std::copy_n(at + key_bytes, key_bytes, server.master_key.begin());
    std::copy_n(at + 2 * key_bytes, salt_bytes, client.master_salt.begin());
    std::copy_n(at + 2 * key_bytes + salt_bytes, salt_bytes, server.master_salt.begin());
  }
  secure_wipe(material.data(), material.size());
  return done;
}

}  // namespace turnpike
