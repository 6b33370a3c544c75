// PEM files into OpenSSL's objects and plain facts.
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/pki/openssl.h"
#include "turnpike/address.h"

namespace turnpike::pki {
namespace {

constexpr std::size_t kFileBytesMax = 4 << 20;

/// Regular files only, so that a pipe or device in the configuration cannot hold the program up.
Result<std::string> read_file(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return Error{path + ": " + std::strerror(errno)};
  struct stat status {};
  const bool usable = ::fstat(fd, &status) == 0 && S_ISREG(status.st_mode) &&
                      status.st_size <= static_cast<off_t>(kFileBytesMax);
  std::string bytes(usable ? static_cast<std::size_t>(status.st_size) : 0, '\0');
  std::size_t filled = 0;
  while (filled < bytes.size()) {
    const ssize_t count = ::read(fd, bytes.data() + filled, bytes.size() - filled);
    if (count <= 0) break;
    filled += static_cast<std::size_t>(count);
  }
  ::close(fd);
  if (!usable) return Error{path + ": is not a file, or larger than 4 MiB"};
  bytes.resize(filled);
  return bytes;
}

BioHandle bio_over(const std::string& bytes) {
  return BioHandle(BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size())));
}

std::string name_text(const X509_NAME* name) {
  const BioHandle out(BIO_new(BIO_s_mem()));
  X509_NAME_print_ex(out.get(), name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
  char* text = nullptr;
  const long size = BIO_get_mem_data(out.get(), &text);
  return {text, static_cast<std::size_t>(size)};
}

WallTime time_of(const ASN1_TIME* time) {
  std::tm fields{};
  if (ASN1_TIME_to_tm(time, &fields) != 1) return {};
  // A certificate may end in the year 9999, which the clock's nanoseconds cannot count.
  const auto seconds = std::chrono::seconds(::timegm(&fields));
  const auto most = std::chrono::floor<std::chrono::seconds>(WallTime::max().time_since_epoch());
  const auto least = std::chrono::ceil<std::chrono::seconds>(WallTime::min().time_since_epoch());
  return WallTime(std::clamp(seconds, least, most));
}

std::string address_text(const ASN1_OCTET_STRING* octets) {
  const auto* bytes = ASN1_STRING_get0_data(octets);
  const auto size = static_cast<std::size_t>(ASN1_STRING_length(octets));
  IpAddress ip;
  if (size != 4 && size != 16) return {};
  ip.family = size == 4 ? AddressFamily::kIpv4 : AddressFamily::kIpv6;
  std::copy_n(bytes, size, ip.bytes.begin());
  return to_string(ip);
}

void read_names(X509* certificate, CertificateFacts& facts) {
  const NamesHandle names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  if (!names) return;
  for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type == GEN_DNS) {
      std::string text(reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.dNSName)),
                       static_cast<std::size_t>(ASN1_STRING_length(name->d.dNSName)));
      std::transform(text.begin(), text.end(), text.begin(),
                     [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
      facts.dns_names.push_back(std::move(text));
    } else if (name->type == GEN_IPADD) {
      facts.ip_addresses.push_back(address_text(name->d.iPAddress));
    }
  }
}

std::string fingerprint(const X509* certificate) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  if (X509_digest(certificate, EVP_sha256(), digest.data(), &size) != 1) return {};
  constexpr char kHex[] = "0123456789abcdef";
  std::string text;
  for (unsigned i = 0; i < size; ++i) {
    if (i > 0) text += ':';
    text += kHex[digest[i] >> 4];
    text += kHex[digest[i] & 15];
  }
  return text;
}

/// A key behind a passphrase would make a service wait for a terminal.
int refuse_passphrase(char*, int, int, void*) {
  return -1;
}

}  // namespace

std::string openssl_reason() {
  const unsigned long code = ERR_peek_last_error();
  ERR_clear_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  return reason == nullptr ? "unknown reason" : reason;
}

Result<std::vector<CertificateHandle>> load_certificates(const std::string& path) {
  const auto bytes = read_file(path);
  if (!bytes) return bytes.error();
  const BioHandle bio = bio_over(*bytes);
  std::vector<CertificateHandle> all;
  while (X509* next = PEM_read_bio_X509(bio.get(), nullptr, refuse_passphrase, nullptr)) {
    all.emplace_back(next);
  }
  // The end of the file reads as "no start line"; anything else is damage.
  const unsigned long code = ERR_peek_last_error();
  const bool at_end =
      ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
  const std::string reason = openssl_reason();
  if (!at_end) return Error{path + ": damaged certificate (" + reason + ")"};
  if (all.empty()) return Error{path + ": holds no certificate in PEM form"};
  return all;
}

Result<KeyHandle> load_key(const std::string& path) {
  auto bytes = read_file(path);
  if (!bytes) return bytes.error();
  const BioHandle bio = bio_over(*bytes);
  KeyHandle key(PEM_read_bio_PrivateKey(bio.get(), nullptr, refuse_passphrase, nullptr));
  const bool locked = bytes->find("ENCRYPTED") != std::string::npos;
  OPENSSL_cleanse(bytes->data(), bytes->size());
  ERR_clear_error();
  if (key) return key;
  if (locked) return Error{path + ": has a passphrase; store the key without one, mode 0600"};
  return Error{path + ": holds no private key in PEM form"};
}

CertificateFacts facts_of(X509* certificate) {
  CertificateFacts facts;
  facts.subject = name_text(X509_get_subject_name(certificate));
  facts.issuer = name_text(X509_get_issuer_name(certificate));
  read_names(certificate, facts);
  facts.not_before = time_of(X509_get0_notBefore(certificate));
  facts.not_after = time_of(X509_get0_notAfter(certificate));
  facts.server_auth = X509_check_purpose(certificate, X509_PURPOSE_SSL_SERVER, 0) == 1;
  facts.client_auth = X509_check_purpose(certificate, X509_PURPOSE_SSL_CLIENT, 0) == 1;
  facts.lists_purposes = X509_get_extended_key_usage(certificate) != UINT32_MAX;
  facts.is_authority = X509_check_ca(certificate) == 1;
  facts.self_signed = (X509_get_extension_flags(certificate) & EXFLAG_SS) != 0;
  if (const EVP_PKEY* key = X509_get0_pubkey(certificate)) {
    const char* type = EVP_PKEY_get0_type_name(key);
    facts.key_type = type == nullptr ? "unknown" : type;
    facts.key_bits = EVP_PKEY_get_bits(key);
  }
  facts.sha256 = fingerprint(certificate);
  return facts;
}

Result<std::vector<CertificateFacts>> read_certificates(const std::string& path) {
  const auto all = load_certificates(path);
  if (!all) return all.error();
  std::vector<CertificateFacts> facts;
  for (const CertificateHandle& certificate : *all) facts.push_back(facts_of(certificate.get()));
  return facts;
}

Result<CertificateFacts> read_certificate(const std::string& path) {
  auto all = load_certificates(path);
  if (!all) return all.error();
  return facts_of(all->front().get());
}

std::string digest_ha1(std::string_view hash, std::string_view name, std::string_view realm,
                       std::string_view password) {
  std::string text;
  text.append(name).append(":").append(realm).append(":").append(password);
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  const EVP_MD* algorithm = hash == "sha256" ? EVP_sha256() : EVP_md5();
  if (EVP_Digest(text.data(), text.size(), digest.data(), &size, algorithm, nullptr) != 1) size = 0;
  OPENSSL_cleanse(text.data(), text.size());
  constexpr char kHex[] = "0123456789abcdef";
  std::string answer;
  for (unsigned i = 0; i < size; ++i) {
    answer += kHex[digest[i] >> 4];
    answer += kHex[digest[i] & 15];
  }
  return answer;
}

}  // namespace turnpike::pki
