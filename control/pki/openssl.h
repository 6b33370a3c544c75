// Owning handles of OpenSSL's objects. Private to this folder and control/tls.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "control/pki/certificate.h"

namespace turnpike::pki {

template <auto Free>
struct Freer {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};

using BioHandle = std::unique_ptr<BIO, Freer<BIO_free_all>>;
using KeyHandle = std::unique_ptr<EVP_PKEY, Freer<EVP_PKEY_free>>;
using CertificateHandle = std::unique_ptr<X509, Freer<X509_free>>;
using NamesHandle = std::unique_ptr<GENERAL_NAMES, Freer<GENERAL_NAMES_free>>;

/// Every certificate of a PEM file, in its order.
Result<std::vector<CertificateHandle>> load_certificates(const std::string& path);
/// A private key without passphrase.
Result<KeyHandle> load_key(const std::string& path);
CertificateFacts facts_of(X509* certificate);
/// Text of OpenSSL's newest error; empties its queue.
std::string openssl_reason();

}  // namespace turnpike::pki
