#include "control/tls/session.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <utility>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "control/tls/context_state.h"
#include "control/tls/peer_check.h"
#include "turnpike/address.h"

namespace turnpike::tls {
namespace {

constexpr std::size_t kPlaintextBlockBytes = 16384;  // a record's most (RFC 8446 section 5.1)
constexpr char kHandshakeRecord = 22;
constexpr char kAlertRecord = 21;
constexpr int kAlertReasons = 1000;  // the library adds this to the number of a received alert
constexpr int kAlertsMax = 256;

using NativeHandle = std::unique_ptr<SSL, pki::Freer<SSL_free>>;

Refusal of_library_reason(int reason, bool in_handshake) {
  switch (reason) {
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
      return Refusal::kNoCertificate;
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_VERSION_TOO_LOW:
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
      return Refusal::kTooOld;
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
    case SSL_R_UNKNOWN_PROTOCOL:
      return in_handshake ? Refusal::kNotTls : Refusal::kBadRecord;
    case SSL_R_NO_SHARED_CIPHER:
    case SSL_R_NO_SUITABLE_KEY_SHARE:
    case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
    case SSL_R_NO_SUITABLE_GROUPS:
      return Refusal::kNoCommonCipher;
    case SSL_R_NO_APPLICATION_PROTOCOL:
    case kAlertReasons + SSL_AD_NO_APPLICATION_PROTOCOL:
      return Refusal::kOtherProtocol;
    default:
      break;
  }
  const bool is_alert = reason >= kAlertReasons && reason < kAlertReasons + kAlertsMax;
  return is_alert ? Refusal::kRefusedByPeer : Refusal::kBadRecord;
}

}  // namespace

struct Session::Native {
  PeerCheck check;
  NativeHandle ssl;
  BIO* in = nullptr;  // both belong to ssl
  BIO* out = nullptr;
};

Session::Session(std::shared_ptr<const Context> context, Role role, PeerRule rule,
                 const std::string& server_name)
    : context_(std::move(context)), role_(role), native_(std::make_unique<Native>()) {
  native_->ssl.reset(SSL_new(context_->state_->native.get()));
  native_->check.role = role;
  native_->check.rule = std::move(rule);
  SSL* ssl = native_->ssl.get();
  native_->in = BIO_new(BIO_s_mem());
  native_->out = BIO_new(BIO_s_mem());
  if (ssl == nullptr || native_->in == nullptr || native_->out == nullptr) {
    BIO_free(native_->in);
    BIO_free(native_->out);
    native_->in = native_->out = nullptr;
    refuse(Refusal::kOurFault, pki::openssl_reason());
    return;
  }
  SSL_set_bio(ssl, native_->in, native_->out);
  SSL_set_app_data(ssl, &native_->check);
  SSL_set_max_cert_list(ssl, 32 * 1024);
  if (role == Role::kServer) {
    SSL_set_accept_state(ssl);
    return;
  }
  SSL_set_connect_state(ssl);
  const std::string& protocol = context_->state_->protocol;
  const void* const bytes = protocol.data();
  SSL_set_alpn_protos(ssl, static_cast<const unsigned char*>(bytes),
                      static_cast<unsigned>(protocol.size()));
  if (!server_name.empty() && !parse_ip(server_name)) {
    std::string name = server_name;  // SSL_set_tlsext_host_name(), which is a macro with a cast
    SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, name.data());
  }
  WipedText none;
  advance(none);
}

Session::~Session() = default;

void Session::refuse(Refusal refusal, std::string detail) {
  if (refusal_ == Refusal::kNone) {
    refusal_ = refusal;
    detail_ = shown(std::move(detail));
  }
  state_ = State::kRefused;
}

// The library would take a while to say so, and in many words.
bool Session::looks_like_tls(std::string_view bytes) {
  if (first_bytes_.size() >= 2) return true;
  first_bytes_ += bytes.substr(0, 2 - first_bytes_.size());
  const char type = first_bytes_[0];
  const bool right_type =
      type == kHandshakeRecord || (role_ == Role::kClient && type == kAlertRecord);
  return right_type && (first_bytes_.size() < 2 || first_bytes_[1] == 3);
}

void Session::receive(std::string_view ciphertext, WipedText& plaintext) {
  if (ciphertext.empty() || state_ == State::kEnded || state_ == State::kRefused) return;
  if (!looks_like_tls(ciphertext)) return refuse(Refusal::kNotTls, "");
  const int size = static_cast<int>(ciphertext.size());
  if (BIO_write(native_->in, ciphertext.data(), size) != size) {
    return refuse(Refusal::kOurFault, "no memory");
  }
  advance(plaintext);
}

void Session::advance(WipedText& plaintext) {
  SSL* ssl = native_->ssl.get();
  ERR_clear_error();
  if (state_ == State::kHandshake) {
    const int result = SSL_do_handshake(ssl);
    if (result != 1) return fail_by_library(result);
    const unsigned char* chosen = nullptr;
    unsigned size = 0;
    SSL_get0_alpn_selected(ssl, &chosen, &size);
    if (size == 0) {
      SSL_shutdown(ssl);
      return refuse(Refusal::kOtherProtocol, "it names no protocol");
    }
    state_ = State::kOpen;
  }
  read(plaintext);
}

void Session::read(WipedText& plaintext) {
  std::array<char, kPlaintextBlockBytes> block;
  while (state_ == State::kOpen) {
    ERR_clear_error();
    const int count = SSL_read(native_->ssl.get(), block.data(), static_cast<int>(block.size()));
    if (count <= 0) return fail_by_library(count);
    plaintext.append(block.data(), static_cast<std::size_t>(count));
    OPENSSL_cleanse(block.data(), static_cast<std::size_t>(count));
  }
}

void Session::fail_by_library(int result) {
  const int error = SSL_get_error(native_->ssl.get(), result);
  if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return;
  if (error == SSL_ERROR_ZERO_RETURN) {
    if (state_ == State::kHandshake) return refuse(Refusal::kClosedEarly, "");
    state_ = State::kEnded;
    return;
  }
  if (const PeerCheck& check = native_->check; check.refusal != Refusal::kNone) {
    ERR_clear_error();
    return refuse(check.refusal, check.detail);
  }
  const int reason = ERR_GET_REASON(ERR_peek_last_error());
  const Refusal refusal = of_library_reason(reason, state_ == State::kHandshake);
  std::string detail = pki::openssl_reason();
  if (refusal == Refusal::kRefusedByPeer) {
    detail = std::string("its alert says: ") + SSL_alert_desc_string_long(reason - kAlertReasons);
  }
  refuse(refusal, std::move(detail));
}

void Session::send(std::string_view plaintext) {
  while (!plaintext.empty() && state_ == State::kOpen) {
    ERR_clear_error();
    const int size = static_cast<int>(std::min(plaintext.size(), kPlaintextBlockBytes));
    const int count = SSL_write(native_->ssl.get(), plaintext.data(), size);
    if (count <= 0) return fail_by_library(count);
    plaintext.remove_prefix(static_cast<std::size_t>(count));
  }
}

void Session::close() {
  if (state_ != State::kOpen) return;
  ERR_clear_error();
  SSL_shutdown(native_->ssl.get());
  ERR_clear_error();
  state_ = State::kEnded;
}

void Session::on_transport_end() {
  if (state_ == State::kHandshake || state_ == State::kOpen) {
    refuse(Refusal::kClosedEarly, state_ == State::kOpen ? "without a good-bye" : "");
  }
}

std::string Session::take_output() {
  std::string bytes(output_bytes(), '\0');
  if (bytes.empty()) return bytes;
  const int count = BIO_read(native_->out, bytes.data(), static_cast<int>(bytes.size()));
  bytes.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
  return bytes;
}

std::size_t Session::output_bytes() const {
  return native_->out == nullptr ? 0 : BIO_ctrl_pending(native_->out);
}

Session::ChannelBinding Session::channel_binding(const std::string& label) const {
  ChannelBinding binding{};
  const std::string full = "EXPORTER-" + label;
  if (state_ != State::kOpen ||
      SSL_export_keying_material(native_->ssl.get(), binding.data(), binding.size(), full.data(),
                                 full.size(), nullptr, 0, 0) != 1) {
    std::abort();  // a challenge over zeros would be bound to nothing
  }
  return binding;
}

std::string Session::version() const {
  return SSL_get_version(native_->ssl.get());
}

std::string Session::cipher() const {
  return SSL_get_cipher_name(native_->ssl.get());
}

std::string Session::server_name() const {
  const char* const name = SSL_get_servername(native_->ssl.get(), TLSEXT_NAMETYPE_host_name);
  return name == nullptr ? std::string() : shown(name);
}

const pki::CertificateFacts& Session::peer() const {
  return native_->check.peer;
}

const std::string& Session::peer_name() const {
  return native_->check.peer_name;
}

}  // namespace turnpike::tls
