// What relay/crypto/tls_server.cc and dtls.cc share of OpenSSL: the context of a server.
#pragma once

#include <string>

#include "relay/crypto/openssl_ptr.h"
#include "relay/crypto/tls_server.h"

namespace turnpike {

struct TlsServerContext::Library {
  OpensslPtr<SSL_CTX> context;
  std::string protocol;  ///< as ALPN's wire format has it: length, name
};

}  // namespace turnpike
