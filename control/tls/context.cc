#include "control/tls/context.h"

#include <utility>

#include <openssl/err.h>

#include "control/tls/context_state.h"
#include "control/tls/peer_check.h"

namespace turnpike::tls {
namespace {

// RFC 7525's choice: ephemeral key exchange and authenticated encryption only. TLS 1.3 has no
// other.
constexpr const char* kCiphers = "ECDHE+AESGCM:ECDHE+CHACHA20";
constexpr std::size_t kProtocolBytesMax = 255;

Error failed(const std::string& what) {
  return Error{what + ": " + pki::openssl_reason()};
}

Result<void> take_identity(SSL_CTX* native, const ContextOptions& options,
                           pki::CertificateFacts& own) {
  const auto chain = pki::load_certificates(options.certificate_file);
  if (!chain) return chain.error();
  const auto key = pki::load_key(options.private_key_file);
  if (!key) return key.error();
  X509* leaf = chain->front().get();
  if (X509_check_private_key(leaf, key->get()) != 1) {
    pki::openssl_reason();
    return Error{options.private_key_file + ": is not the key of " + options.certificate_file};
  }
  if (SSL_CTX_use_certificate(native, leaf) != 1) return failed(options.certificate_file);
  if (SSL_CTX_use_PrivateKey(native, key->get()) != 1) return failed(options.private_key_file);
  for (std::size_t i = 1; i < chain->size(); ++i) {
    if (SSL_CTX_add1_chain_cert(native, (*chain)[i].get()) != 1) {
      return failed(options.certificate_file);
    }
  }
  own = pki::facts_of(leaf);
  return {};
}

Result<void> take_trust(SSL_CTX* native, const ContextOptions& options) {
  const auto authorities = pki::load_certificates(options.trust_file);
  if (!authorities) return authorities.error();
  X509_STORE* store = SSL_CTX_get_cert_store(native);
  for (const pki::CertificateHandle& authority : *authorities) {
    if (X509_STORE_add_cert(store, authority.get()) != 1) return failed(options.trust_file);
    // The names of the authorities that clients are told to choose their certificate by.
    SSL_CTX_add_client_CA(native, authority.get());
  }
  return {};
}

int choose_protocol(SSL*, const unsigned char** chosen, unsigned char* chosen_size,
                    const unsigned char* offered, unsigned offered_size, void* argument) {
  const auto& ours = *static_cast<const std::string*>(argument);
  const std::string_view list(static_cast<const char*>(static_cast<const void*>(offered)),
                              offered_size);
  for (std::size_t at = 0; at < list.size();) {
    const std::size_t length = static_cast<unsigned char>(list[at]);
    if (list.substr(at, length + 1) == ours) {
      *chosen = offered + at + 1;
      *chosen_size = static_cast<unsigned char>(length);
      return SSL_TLSEXT_ERR_OK;
    }
    at += length + 1;
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

bool set_policy(SSL_CTX* native, const ContextOptions& options) {
  const int oldest = options.oldest == Version::kTls13 ? TLS1_3_VERSION : TLS1_2_VERSION;
  // No resumption of any kind: it would pass over the checks of the certificate. No renegotiation.
  SSL_CTX_set_options(native, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET |
                                  SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_CLEANSE_PLAINTEXT);
  SSL_CTX_set_session_cache_mode(native, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(native, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                               SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_verify(native, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, judge_peer);
  SSL_CTX_set_verify_depth(native, 4);
  return SSL_CTX_set_num_tickets(native, 0) == 1 &&
         SSL_CTX_set_min_proto_version(native, oldest) == 1 &&
         SSL_CTX_set_cipher_list(native, kCiphers) == 1;
}

}  // namespace

Context::Context(std::unique_ptr<State> state) : state_(std::move(state)) {}
Context::~Context() = default;

const pki::CertificateFacts& Context::own() const {
  return state_->own;
}

Result<std::shared_ptr<const Context>> Context::load(const ContextOptions& options) {
  auto state = std::make_unique<State>();
  state->native.reset(SSL_CTX_new(TLS_method()));
  SSL_CTX* native = state->native.get();
  if (native == nullptr || !set_policy(native, options)) return failed("cannot set TLS up");
  if (auto taken = take_identity(native, options, state->own); !taken) return taken.error();
  if (auto taken = take_trust(native, options); !taken) return taken.error();
  const std::string name = options.protocol.substr(0, kProtocolBytesMax);
  state->protocol = static_cast<char>(name.size()) + name;
  SSL_CTX_set_alpn_select_cb(native, choose_protocol, &state->protocol);
  ERR_clear_error();
  return std::shared_ptr<const Context>(new Context(std::move(state)));
}

}  // namespace turnpike::tls
