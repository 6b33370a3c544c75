// Certificates with any fault a test wants, made with OpenSSL's functions in a temporary folder.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

namespace turnpike {

struct LeafOptions {
  std::string common_name = "node";
  std::string alternative_names{};  ///< "DNS:core.example.com,IP:192.0.2.1"; empty: none
  std::string purposes = "serverAuth,clientAuth";  ///< empty: no extended key usage at all
  long valid_from_seconds = -3600;                 ///< from now
  long valid_to_seconds = 86400;
};

/// An authority of its own, and what it signs. Files: ca.pem, NAME.pem, NAME.key.
class CertificateFolder {
 public:
  CertificateFolder() : home_(make_folder()), key_(EVP_EC_gen("P-256")) {
    certificate_ = make("authority of " + home_, key_, nullptr, {}, -3600, 864000, true);
    write("ca.pem", certificate_);
  }
  ~CertificateFolder() {
    X509_free(certificate_);
    EVP_PKEY_free(key_);
    std::filesystem::remove_all(home_);
  }
  CertificateFolder(const CertificateFolder&) = delete;
  CertificateFolder& operator=(const CertificateFolder&) = delete;

  std::string path(const std::string& name) const { return home_ + "/" + name; }
  std::string trust() const { return path("ca.pem"); }

  void issue(const std::string& name, const LeafOptions& options) const {
    EVP_PKEY* key = EVP_EC_gen("P-256");
    X509* leaf = make(options.common_name, key, certificate_, options, options.valid_from_seconds,
                      options.valid_to_seconds, false);
    write(name + ".pem", leaf);
    std::FILE* file = std::fopen(path(name + ".key").c_str(), "w");
    PEM_write_PrivateKey(file, key, nullptr, nullptr, 0, nullptr, nullptr);
    std::fclose(file);
    X509_free(leaf);
    EVP_PKEY_free(key);
  }

 private:
  static std::string make_folder() {
    char pattern[] = "/tmp/turnpike-certificates-XXXXXX";
    if (::mkdtemp(pattern) == nullptr) throw std::runtime_error("no temporary folder");
    return pattern;
  }

  static void extend(X509* certificate, X509* issuer, int kind, const std::string& value) {
    if (value.empty()) return;
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str());
    if (extension == nullptr) throw std::runtime_error("bad extension: " + value);
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
  }

  X509* make(const std::string& common_name, EVP_PKEY* key, X509* issuer,
             const LeafOptions& options, long from, long to, bool authority) const {
    static long serial = 1000;
    X509* made = X509_new();
    X509_set_version(made, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(made), ++serial);
    X509_NAME_add_entry_by_NID(X509_get_subject_name(made), NID_commonName, MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(common_name.data()),
                               static_cast<int>(common_name.size()), -1, 0);
    X509_set_issuer_name(made, X509_get_subject_name(issuer == nullptr ? made : issuer));
    X509_gmtime_adj(X509_getm_notBefore(made), from);
    X509_gmtime_adj(X509_getm_notAfter(made), to);
    X509_set_pubkey(made, key);
    X509* signer = issuer == nullptr ? made : issuer;
    extend(made, signer, NID_basic_constraints, authority ? "critical,CA:TRUE" : "CA:FALSE");
    if (!authority) {
      extend(made, signer, NID_ext_key_usage, options.purposes);
      extend(made, signer, NID_subject_alt_name, options.alternative_names);
    }
    X509_sign(made, key_, EVP_sha256());
    return made;
  }

  void write(const std::string& name, X509* certificate) const {
    std::FILE* file = std::fopen(path(name).c_str(), "w");
    PEM_write_X509(file, certificate);
    std::fclose(file);
  }

  std::string home_;
  EVP_PKEY* key_;
  X509* certificate_ = nullptr;
};

}  // namespace turnpike
