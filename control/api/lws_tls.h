// Listeners with TLS on top of libwebsockets: their settings, files that are read anew, handshakes.
// Private to this folder.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include <libwebsockets.h>

#include "control/api/http_tls.h"
#include "turnpike/result.h"

namespace turnpike::api {

/// What they compute, the control thread waits for.
constexpr std::size_t kHandshakesMax = 16;

/// What a listener's connections have in common. Pointers outlive the context.
struct VhostOptions {
  const lws_protocols* protocols = nullptr;
  int request_seconds = 0;  ///< for the headers to arrive, and for an answer to be read
  int idle_seconds = 0;     ///< between requests of one connection
  const lws_retry_bo_t* liveness = nullptr;
};

/// Null when the files cannot be used. The library keeps `name`.
lws_vhost* make_vhost(lws_context* context, const char* name, const VhostOptions& options,
                      const HttpTls& tls);

/// The present settings of a listener, which may be made again from changed files.
class RenewableVhost {
 public:
  /// Once. `context` outlives this, or nothing is asked of it any more.
  Result<void> open(lws_context* context, const VhostOptions& options, const HttpTls& tls);

  /// Reads the files anew, for connections to come; those that are up stay. Without another
  /// certificate or authority, without TLS, and when a file cannot be used, nothing changes.
  Result<void> renew();

  lws_vhost* present() const { return present_; }  ///< null before open()
  const HttpTls& tls() const { return tls_; }
  /// Of the authorities that hold now: others have another number.
  std::uint64_t trust_number() const { return trust_number_; }

 private:
  struct Contents {
    std::string certificates;
    std::string authorities;
    bool operator==(const Contents&) const = default;
  };
  Contents read() const;
  Result<void> make();

  lws_context* context_ = nullptr;
  VhostOptions options_;
  HttpTls tls_;
  lws_vhost* present_ = nullptr;
  lws_vhost* old_ = nullptr;  // before the last renewal
  std::size_t made_ = 0;
  Contents contents_;  // that present_ was made from
  std::uint64_t trust_number_ = 0;
};

/// Of LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS, with what it calls user. Else the
/// library gives who names a server (SNI) the certificate and authorities of a vhost of its own
/// choice, which is the oldest.
void keep_to_vhost(void* ssl_context);

/// Whether TLS of a connection with TLS is not up yet.
bool is_in_handshake(lws* connection);
/// Whether the client has shown a certificate that TLS has verified.
bool has_certificate(lws* connection);

}  // namespace turnpike::api
