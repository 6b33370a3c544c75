// What a session knows of the other end's certificate. Private to this folder.
#pragma once

#include <string>

#include <openssl/ssl.h>

#include "control/tls/session.h"

namespace turnpike::tls {

/// The library's session points to it (SSL_get_app_data), for judge_peer().
struct PeerCheck {
  Role role = Role::kClient;
  PeerRule rule;
  Refusal refusal = Refusal::kNone;
  std::string detail;
  pki::CertificateFacts peer;
  std::string peer_name;  ///< which of rule.names it has
};

/// Text of the other end for people: short, and nothing that plays with a terminal.
std::string shown(std::string text);

/// The library's verify callback, called for every certificate of a peer's chain.
int judge_peer(int library_accepts, X509_STORE_CTX* store);

}  // namespace turnpike::tls
