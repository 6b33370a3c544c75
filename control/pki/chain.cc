// Whether a certificate comes from an authority that is trusted, as a TLS peer will ask.
#include "control/pki/openssl.h"

namespace turnpike::pki {
namespace {

using StoreHandle = std::unique_ptr<X509_STORE, Freer<X509_STORE_free>>;
using VerifierHandle = std::unique_ptr<X509_STORE_CTX, Freer<X509_STORE_CTX_free>>;
/// Owns the list only, not what is in it.
using ListHandle =
    std::unique_ptr<STACK_OF(X509), Freer<[](STACK_OF(X509) * list) { sk_X509_free(list); }>>;

}  // namespace

std::string chain_trouble(const std::string& path, const std::string& trust_path) {
  const auto chain = load_certificates(path);
  const auto authorities = load_certificates(trust_path);
  if (!chain || !authorities) return {};
  const StoreHandle store(X509_STORE_new());
  const VerifierHandle verifier(X509_STORE_CTX_new());
  const ListHandle between(sk_X509_new_null());
  if (!store || !verifier || !between) return {};
  for (const CertificateHandle& authority : *authorities) {
    X509_STORE_add_cert(store.get(), authority.get());
  }
  for (std::size_t i = 1; i < chain->size(); ++i) {
    if (sk_X509_push(between.get(), (*chain)[i].get()) == 0) return {};
  }
  if (X509_STORE_CTX_init(verifier.get(), store.get(), chain->front().get(), between.get()) != 1) {
    return {};
  }
  X509_STORE_CTX_set_flags(verifier.get(), X509_V_FLAG_NO_CHECK_TIME);
  const bool trusted = X509_verify_cert(verifier.get()) == 1;
  const int error = X509_STORE_CTX_get_error(verifier.get());
  openssl_reason();
  if (trusted) return {};
  return path + ": does not come from an authority of " + trust_path + " (" +
         X509_verify_cert_error_string(error) +
         "); the other nodes refuse it unless they trust another authority";
}

}  // namespace turnpike::pki
