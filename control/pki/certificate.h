// Certificates and keys on disk: what they say, and whether a listener can work with them.
// Hides: OpenSSL. Is not: trust in a live connection, which the TLS stacks decide.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "turnpike/result.h"

namespace turnpike::pki {

using WallTime = std::chrono::system_clock::time_point;

/// What the first certificate of a PEM file says. Names are in the certificate's order: SIP
/// servers that look at one DNS name only see the first.
struct CertificateFacts {
  std::string subject;  ///< "CN=edge.example.com, O=Example", RFC 2253
  std::string issuer;
  std::vector<std::string> dns_names;  ///< lower case
  std::vector<std::string> ip_addresses;
  WallTime not_before;
  WallTime not_after;
  bool server_auth = false;     ///< may identify a TLS server (extended key usage or none at all)
  bool client_auth = false;     ///< may identify a TLS client
  bool lists_purposes = false;  ///< has the extended key usage extension at all
  bool is_authority = false;
  bool self_signed = false;
  std::string key_type;  ///< "RSA", "EC", "ED25519", ...
  int key_bits = 0;
  std::string sha256;  ///< fingerprint, "ab:cd:…" in lower case
};

/// Fails when the file is missing, not PEM, or holds no certificate.
Result<CertificateFacts> read_certificate(const std::string& path);

/// The same of every certificate of the file, in its order.
Result<std::vector<CertificateFacts>> read_certificates(const std::string& path);

/// What a certificate and key are wanted for.
struct Purpose {
  std::vector<std::string> names;  ///< DNS names or IP addresses it must be valid for
  bool server_auth = true;
  bool client_auth = false;
  bool listed = false;  ///< the purposes must be named; a certificate for everything will not do
};

/// What is wrong with an identity; the file's path stands in each text. Never holds key material.
struct Judgement {
  std::vector<std::string> mistakes;  ///< a listener or its clients would refuse it
  std::vector<std::string> warnings;  ///< it works, but not for long or not everywhere
};

/// Whether certificate and private key can be used for `purpose` at the time `now`: files there,
/// key readable without passphrase and belonging to the certificate, not expired or not yet valid,
/// strong enough (RSA 2048 bits or more, EC 256; no DSA), purposes and names present. Names are
/// compared with the subject alternative names only (RFC 6125). Expiry within 30 days is a warning.
Judgement check_identity(const std::string& certificate_path, const std::string& key_path,
                         const Purpose& purpose, WallTime now);

/// Whether the file holds authorities to trust: at least one certificate, each an authority or
/// self-signed, no subject with two keys. One that has expired by `now` is a warning.
Judgement check_trust(const std::string& path, WallTime now);

/// Whether the first certificate of `path` comes from an authority of the file `trust_path`, with
/// the chain that follows it; "" when it does, or when one of the files cannot be read (which the
/// two above tell). Dates and purposes have no part in it.
std::string chain_trouble(const std::string& path, const std::string& trust_path);

/// HA1 of HTTP digest (RFC 7616): H(name ":" realm ":" password), lower-case hexadecimal.
/// `hash`: "md5" or "sha256".
std::string digest_ha1(std::string_view hash, std::string_view name, std::string_view realm,
                       std::string_view password);

}  // namespace turnpike::pki
