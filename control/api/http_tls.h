// The files by which a listener of this folder speaks TLS.
#pragma once

#include <string>

namespace turnpike::api {

/// PEM files. Without `certificate_file` the listener speaks plain HTTP.
struct HttpTls {
  std::string certificate_file;
  std::string private_key_file;
  /// Not empty: clients must have a certificate of an authority here.
  std::string client_trust_file;

  bool is_on() const { return !certificate_file.empty(); }
  bool wants_certificates() const { return !client_trust_file.empty(); }
};

}  // namespace turnpike::api
