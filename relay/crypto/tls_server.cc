#include "relay/crypto/tls_server.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "relay/core/check.h"
#include "relay/crypto/dtls_library.h"
#include "relay/crypto/tls_library.h"

namespace turnpike {
namespace {

constexpr const char* kCiphers12 = "ECDHE+AESGCM:ECDHE+CHACHA20";
constexpr const char* kGroups = "X25519:P-256:P-384";

int no_passphrase(char*, int, int, void*) {
  return 0;
}

/// A BIO over text, which outlives it.
OpensslPtr<BIO> bio_of(const std::string& text) {
  return OpensslPtr<BIO>(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

/// The certificate, then what stands behind it.
bool use_chain(SSL_CTX* context, const std::string& text) {
  const OpensslPtr<BIO> bio = bio_of(text);
  const OpensslPtr<X509> own(PEM_read_bio_X509(bio.get(), nullptr, no_passphrase, nullptr));
  if (own == nullptr || SSL_CTX_use_certificate(context, own.get()) != 1) return false;
  for (;;) {
    const OpensslPtr<X509> next(PEM_read_bio_X509(bio.get(), nullptr, no_passphrase, nullptr));
    if (next == nullptr) break;
    if (SSL_CTX_add1_chain_cert(context, next.get()) != 1) return false;
  }
  ERR_clear_error();  // the end of the text
  return true;
}

bool use_key(SSL_CTX* context, const std::string& text) {
  const OpensslPtr<BIO> bio = bio_of(text);
  const OpensslPtr<EVP_PKEY> key(
      PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, nullptr));
  return key != nullptr && SSL_CTX_use_PrivateKey(context, key.get()) == 1 &&
         SSL_CTX_check_private_key(context) == 1;
}

bool configure(SSL_CTX* context, TlsOver over) {
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                   SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_NO_TICKET |
                                   SSL_OP_IGNORE_UNEXPECTED_EOF);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  // One record a call, whatever is in it: read() bounds those of a client that are without data.
  SSL_CTX_clear_mode(context, SSL_MODE_AUTO_RETRY);
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                SSL_MODE_RELEASE_BUFFERS);
  const bool has_versions = over == TlsOver::kDatagrams
                                ? use_datagrams(*context)
                                : SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1 &&
                                      SSL_CTX_set_num_tickets(context, 0) == 1;
  return has_versions && SSL_CTX_set_cipher_list(context, kCiphers12) == 1 &&
         SSL_CTX_set1_groups_list(context, kGroups) == 1;
}

// In a row, before others have their turn. A client that sends more of them at once holds up
// nobody but itself.
constexpr int kEmptyRecordsMax = 8;

}  // namespace

struct TlsStream::Library {
  std::shared_ptr<const TlsServerContext> context;
  OpensslPtr<SSL> ssl;
};

TlsServerContext::TlsServerContext(std::unique_ptr<Library> library)
    : library_(std::move(library)) {}
TlsServerContext::~TlsServerContext() = default;

Result<std::shared_ptr<const TlsServerContext>> TlsServerContext::make(
    const std::string& certificate, const std::string& private_key, std::string_view protocol,
    TlsOver over) {
  auto library = std::make_unique<Library>();
  library->context.reset(
      SSL_CTX_new(over == TlsOver::kDatagrams ? DTLS_server_method() : TLS_server_method()));
  library->protocol = static_cast<char>(protocol.size()) + std::string(protocol);
  SSL_CTX* const context = library->context.get();
  const char* trouble = nullptr;
  if (context == nullptr || !configure(context, over)) {
    trouble = "the TLS library takes none of the ciphers or versions that are needed";
  } else if (!use_chain(context, certificate)) {
    trouble = "the certificate or its chain cannot be used";
  } else if (!use_key(context, private_key)) {
    trouble = "the private key cannot be used, or is of another certificate";
  }
  ERR_clear_error();
  if (trouble != nullptr) return Error{trouble};
  const auto choose = [](SSL*, const unsigned char** chosen, unsigned char* length,
                         const unsigned char* offered, unsigned int offered_length, void* own) {
    const auto& name = *static_cast<const std::string*>(own);
    for (unsigned int at = 0; at < offered_length; at += offered[at] + 1U) {
      const std::string_view rest(name.data() + 1, name.size() - 1);
      if (offered[at] != rest.size() || at + rest.size() >= offered_length) continue;
      if (!std::equal(rest.begin(), rest.end(), offered + at + 1)) continue;
      *chosen = offered + at + 1;
      *length = offered[at];
      return SSL_TLSEXT_ERR_OK;
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  };
  SSL_CTX_set_alpn_select_cb(context, choose, &library->protocol);
  return std::shared_ptr<const TlsServerContext>(new TlsServerContext(std::move(library)));
}

// ---- One connection

TlsStream::TlsStream(std::unique_ptr<Library> library, int fd)
    : library_(std::move(library)), fd_(fd) {}

std::unique_ptr<TlsStream> TlsStream::make(std::shared_ptr<const TlsServerContext> context,
                                           int fd) {
  auto library = std::make_unique<Library>();
  library->ssl.reset(SSL_new(context->library_->context.get()));
  library->context = std::move(context);
  if (library->ssl == nullptr || SSL_set_fd(library->ssl.get(), fd) != 1) {
    ERR_clear_error();
    close(fd);
    return nullptr;
  }
  SSL_set_accept_state(library->ssl.get());
  return std::unique_ptr<TlsStream>(new TlsStream(std::move(library), fd));
}

TlsStream::~TlsStream() {
  ERR_clear_error();
  if (is_up_) SSL_shutdown(library_->ssl.get());  // says good-bye, waits for none
  ERR_clear_error();
  library_.reset();
  close(fd_);
}

TlsStream::Handshake TlsStream::shake_hands() {
  ERR_clear_error();
  SSL* const ssl = library_->ssl.get();
  const int done = SSL_do_handshake(ssl);
  if (done == 1) {
    is_up_ = true;
    return Handshake::kDone;
  }
  switch (SSL_get_error(ssl, done)) {
    case SSL_ERROR_WANT_READ:
      return Handshake::kWaitsToRead;
    case SSL_ERROR_WANT_WRITE:
      return Handshake::kWaitsToWrite;
    default:
      return Handshake::kFailed;
  }
}

StreamMoved TlsStream::result_of(int done, std::size_t bytes) {
  if (done == 1) return {StreamState::kMoved, bytes};
  switch (SSL_get_error(library_->ssl.get(), done)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
      return {StreamState::kWait, 0};
    case SSL_ERROR_ZERO_RETURN:
      return {StreamState::kEnded, 0};
    default:
      is_up_ = false;  // no good-bye after a fatal error
      return {StreamState::kFailed, 0};
  }
}

// What is behind records without data (KeyUpdate) may be watched for by its arrival, which is over.
// The library says of both that it wants to read; only where nothing more was there has the kernel
// said so.
StreamMoved TlsStream::read(std::span<std::uint8_t> into) {
  StreamMoved moved;
  for (int i = 0; i < kEmptyRecordsMax; ++i) {
    ERR_clear_error();
    errno = 0;
    std::size_t bytes = 0;
    const int done = SSL_read_ex(library_->ssl.get(), into.data(), into.size(), &bytes);
    moved = result_of(done, bytes);
    if (moved.state != StreamState::kWait || errno == EAGAIN) break;
  }
  return moved;
}

StreamMoved TlsStream::write(std::span<const std::uint8_t> bytes) {
  ERR_clear_error();
  std::size_t written = 0;
  const int done = SSL_write_ex(library_->ssl.get(), bytes.data(), bytes.size(), &written);
  return result_of(done, written);
}

// RFC 8446 section 6.1: each direction is closed for itself.
bool TlsStream::end_writing() {
  ERR_clear_error();
  SSL* const ssl = library_->ssl.get();
  const int done = SSL_shutdown(ssl);
  if (done < 0 && SSL_get_error(ssl, done) == SSL_ERROR_WANT_WRITE) return false;
  ERR_clear_error();
  shutdown(fd_, SHUT_WR);
  return true;
}

bool TlsStream::has_read_ahead() const {
  return SSL_pending(library_->ssl.get()) > 0;
}

}  // namespace turnpike
