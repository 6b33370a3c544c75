// What a Context is made of. Private to this folder.
#pragma once

#include <memory>
#include <string>

#include <openssl/ssl.h>

#include "control/pki/openssl.h"
#include "control/tls/context.h"

namespace turnpike::tls {

using ContextHandle = std::unique_ptr<SSL_CTX, pki::Freer<SSL_CTX_free>>;

struct Context::State {
  ContextHandle native;
  std::string protocol;  ///< as ALPN's wire format has it: length, name
  pki::CertificateFacts own;
};

}  // namespace turnpike::tls
