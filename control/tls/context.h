// What TLS sessions of one kind share: this node's certificate and key, the trust store, the oldest
// version, the protocol's name. Hides: the library's context and files.
//
// A context does not change. A reload loads another one for the connections to come; those that are
// up keep theirs.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "control/pki/certificate.h"
#include "turnpike/result.h"

namespace turnpike::tls {

enum class Version : std::uint8_t { kTls12 = 0, kTls13 = 1 };

struct ContextOptions {
  std::string certificate_file;  ///< PEM; the chain follows the certificate
  std::string private_key_file;  ///< PEM, without passphrase
  std::string trust_file;        ///< PEM; nothing else is trusted
  std::string protocol;          ///< ALPN name (RFC 7301), which both ends must speak; not empty
  Version oldest = Version::kTls12;
};

class Context {
 public:
  /// Reads the files. Fails when one cannot be used at all: not there, damaged, key of another
  /// certificate, no authority to trust. Whether peers will accept it is pki::check_identity's
  /// matter.
  static Result<std::shared_ptr<const Context>> load(const ContextOptions& options);
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  /// This node's own certificate.
  const pki::CertificateFacts& own() const;

 private:
  friend class Session;
  struct State;
  explicit Context(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace turnpike::tls
