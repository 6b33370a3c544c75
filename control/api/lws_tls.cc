#include "control/api/lws_tls.h"

#include <fstream>

namespace turnpike::api {
namespace {

constexpr std::size_t kFileBytesMax = 1 << 20;
// The present one, the one before, and one that is being made.
constexpr std::array<const char*, 3> kNames{"listener-0", "listener-1", "listener-2"};

/// What can be read of a file; a fault shows when the library reads it.
std::string contents_of(const std::string& path) {
  std::string text;
  if (path.empty()) return text;
  std::ifstream file(path, std::ios::binary);
  text.resize(kFileBytesMax);
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  return text;
}

/// The library itself goes on without those that it cannot read.
bool holds_certificates(const std::string& path) {
  X509_STORE* const store = X509_STORE_new();
  const bool holds =
      store != nullptr && X509_STORE_load_locations(store, path.c_str(), nullptr) == 1;
  X509_STORE_free(store);
  ERR_clear_error();
  return holds;
}

}  // namespace

lws_vhost* make_vhost(lws_context* context, const char* name, const VhostOptions& options,
                      const HttpTls& tls) {
  lws_context_creation_info info{};
  info.port = CONTEXT_PORT_NO_LISTEN_SERVER;
  info.vhost_name = name;
  info.protocols = options.protocols;
  info.keepalive_timeout = options.idle_seconds;
  info.timeout_secs = static_cast<unsigned>(options.request_seconds);
  info.retry_and_idle_policy = options.liveness;
  if (tls.is_on()) {
    info.options = LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
    info.ssl_cert_filepath = tls.certificate_file.c_str();
    info.ssl_private_key_filepath = tls.private_key_file.c_str();
    info.ssl_options_set =
        static_cast<long>(SSL_OP_NO_TLSv1 | SSL_OP_NO_TLSv1_1 | SSL_OP_NO_RENEGOTIATION);
    info.alpn = "http/1.1";
  }
  if (tls.wants_certificates()) {
    info.options |= LWS_SERVER_OPTION_REQUIRE_VALID_OPENSSL_CLIENT_CERT;
    info.ssl_ca_filepath = tls.client_trust_file.c_str();
  }
  return lws_create_vhost(context, &info);
}

Result<void> RenewableVhost::open(lws_context* context, const VhostOptions& options,
                                  const HttpTls& tls) {
  context_ = context;
  options_ = options;
  tls_ = tls;
  return make();
}

Result<void> RenewableVhost::renew() {
  // A key has one certificate: it needs no look of its own.
  if (!tls_.is_on() || read() == contents_) return {};
  return make();
}

RenewableVhost::Contents RenewableVhost::read() const {
  return {contents_of(tls_.certificate_file), contents_of(tls_.client_trust_file)};
}

Result<void> RenewableVhost::make() {
  Contents contents = read();  // before the library does: what comes in between is seen next time
  if (tls_.wants_certificates() && !holds_certificates(tls_.client_trust_file)) {
    return Error{"the HTTP library cannot use the trusted authorities in " +
                 tls_.client_trust_file};
  }
  lws_vhost* const made = make_vhost(context_, kNames[made_ % kNames.size()], options_, tls_);
  if (made == nullptr) {
    if (!tls_.is_on()) return Error{"the HTTP library cannot make a listener"};
    return Error{"the HTTP library cannot use " + tls_.certificate_file + ", its key or " +
                 "the trusted authorities"};
  }
  ++made_;
  if (old_ != nullptr) lws_vhost_destroy(old_);
  old_ = present_;
  present_ = made;
  if (contents.authorities != contents_.authorities) ++trust_number_;
  contents_ = std::move(contents);
  return {};
}

void keep_to_vhost(void* ssl_context) {
  SSL_CTX_callback_ctrl(static_cast<SSL_CTX*>(ssl_context), SSL_CTRL_SET_TLSEXT_SERVERNAME_CB,
                        nullptr);
}

bool is_in_handshake(lws* connection) {
  const SSL* const tls = lws_get_ssl(connection);
  return tls == nullptr || SSL_is_init_finished(tls) == 0;
}

bool has_certificate(lws* connection) {
  lws_tls_cert_info_results result{};
  return lws_tls_peer_cert_info(connection, LWS_TLS_CERT_INFO_VERIFIED, &result, 0) == 0 &&
         result.verified != 0;
}

}  // namespace turnpike::api
