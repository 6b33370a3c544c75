#include "control/pki/development.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>

#include <fcntl.h>
#include <grp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/pki/openssl.h"
#include "turnpike/address.h"

namespace turnpike::pki {
namespace {

using std::chrono::hours;

constexpr hours kAuthorityLife{24 * 3650};
constexpr hours kLeafLife{24 * 397};
constexpr hours kRenewBefore{24 * 30};
constexpr const char* kOrganization = "Turnpike development";

struct Leaf {
  std::string file;  ///< without ".pem"
  std::vector<std::string> names;
  bool client_auth = false;
  bool of_edge = false;  ///< the edge's own: the key group may read its key
};

Error openssl_error(const std::string& what) {
  return Error{what + ": " + openssl_reason()};
}

Error system_error(const std::string& path) {
  return Error{path + ": " + std::strerror(errno)};
}

/// A file of its own, whole or not at all; never through a link, never readable by others before
/// it has its final mode.
Result<void> write_file(const std::string& path, const std::string& contents, mode_t mode,
                        std::optional<gid_t> group) {
  const std::string part = path + ".part";
  ::unlink(part.c_str());
  const int fd = ::open(part.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return system_error(part);
  bool ok = ::write(fd, contents.data(), contents.size()) == static_cast<ssize_t>(contents.size());
  ok = ok && (!group || ::fchown(fd, static_cast<uid_t>(-1), *group) == 0);
  ok = ok && ::fchmod(fd, mode) == 0 && ::fsync(fd) == 0;
  const int saved = errno;
  ::close(fd);
  if (ok && ::rename(part.c_str(), path.c_str()) == 0) return {};
  if (!ok) errno = saved;
  Error error = system_error(path);
  ::unlink(part.c_str());
  return error;
}

Result<std::string> pem_of(EVP_PKEY* key) {
  const BioHandle out(BIO_new(BIO_s_secmem()));
  if (PEM_write_bio_PrivateKey(out.get(), key, nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return openssl_error("cannot write a key");
  }
  char* text = nullptr;
  const long size = BIO_get_mem_data(out.get(), &text);
  return std::string(text, static_cast<std::size_t>(size));
}

Result<std::string> pem_of(X509* certificate) {
  const BioHandle out(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_X509(out.get(), certificate) != 1) {
    return openssl_error("cannot write a certificate");
  }
  char* text = nullptr;
  const long size = BIO_get_mem_data(out.get(), &text);
  return std::string(text, static_cast<std::size_t>(size));
}

bool add_extension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
  if (extension == nullptr) return false;
  const bool added = X509_add_ext(certificate, extension, -1) == 1;
  X509_EXTENSION_free(extension);
  return added;
}

/// RFC 5280 section 4.1.2.2: positive, at most 20 bytes, here 126 random bits.
bool set_serial(X509* certificate) {
  BIGNUM* number = BN_new();
  const bool ok = number != nullptr &&
                  BN_rand(number, 126, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
                  BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != nullptr;
  BN_free(number);
  return ok;
}

bool set_name(X509_NAME* name, const char* field, const std::string& text) {
  return X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8,
                                    reinterpret_cast<const unsigned char*>(text.data()),
                                    static_cast<int>(text.size()), -1, 0) == 1;
}

bool set_times(X509* certificate, WallTime now, hours life) {
  // A clock that is a little behind must not refuse a new certificate.
  const std::time_t from = std::chrono::system_clock::to_time_t(now - hours{1});
  const std::time_t to = std::chrono::system_clock::to_time_t(now + life);
  return ASN1_TIME_set(X509_getm_notBefore(certificate), from) != nullptr &&
         ASN1_TIME_set(X509_getm_notAfter(certificate), to) != nullptr;
}

/// The common name is limited to 64 bytes; names that count are in the extension.
std::string common_name(const std::vector<std::string>& names) {
  return names.empty() || names.front().size() > 64 ? "edge" : names.front();
}

std::string alternative_names(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) {
    text += text.empty() ? "" : ",";
    text += (parse_ip(name) ? "IP:" : "DNS:") + name;
  }
  return text;
}

Result<CertificateHandle> make_authority(EVP_PKEY* key, WallTime now) {
  CertificateHandle made(X509_new());
  X509* certificate = made.get();
  X509_NAME* name = X509_get_subject_name(certificate);
  const bool ok =
      X509_set_version(certificate, X509_VERSION_3) == 1 && set_serial(certificate) &&
      set_name(name, "O", kOrganization) && set_name(name, "CN", "Turnpike development CA") &&
      X509_set_issuer_name(certificate, name) == 1 && set_times(certificate, now, kAuthorityLife) &&
      X509_set_pubkey(certificate, key) == 1 &&
      add_extension(certificate, certificate, NID_basic_constraints,
                    "critical,CA:TRUE,pathlen:0") &&
      add_extension(certificate, certificate, NID_key_usage, "critical,keyCertSign,cRLSign") &&
      add_extension(certificate, certificate, NID_subject_key_identifier, "hash") &&
      X509_sign(certificate, key, EVP_sha256()) > 0;
  if (!ok) return openssl_error("cannot make the authority");
  return made;
}

Result<CertificateHandle> make_leaf(const Leaf& leaf, EVP_PKEY* key, X509* authority,
                                    EVP_PKEY* authority_key, WallTime now) {
  CertificateHandle made(X509_new());
  X509* certificate = made.get();
  X509_NAME* name = X509_get_subject_name(certificate);
  const char* purposes = leaf.client_auth ? "serverAuth,clientAuth" : "serverAuth";
  const bool ok =
      X509_set_version(certificate, X509_VERSION_3) == 1 && set_serial(certificate) &&
      set_name(name, "O", kOrganization) && set_name(name, "CN", common_name(leaf.names)) &&
      X509_set_issuer_name(certificate, X509_get_subject_name(authority)) == 1 &&
      set_times(certificate, now, kLeafLife) && X509_set_pubkey(certificate, key) == 1 &&
      add_extension(certificate, authority, NID_basic_constraints, "critical,CA:FALSE") &&
      add_extension(certificate, authority, NID_key_usage, "critical,digitalSignature") &&
      add_extension(certificate, authority, NID_ext_key_usage, purposes) &&
      add_extension(certificate, authority, NID_subject_alt_name, alternative_names(leaf.names)) &&
      add_extension(certificate, authority, NID_subject_key_identifier, "hash") &&
      add_extension(certificate, authority, NID_authority_key_identifier, "keyid:always") &&
      X509_sign(certificate, authority_key, EVP_sha256()) > 0;
  if (!ok) return openssl_error("cannot make the certificate " + leaf.file);
  return made;
}

class Workshop {
 public:
  Workshop(const DevelopmentOptions& options, std::optional<gid_t> group, WallTime now)
      : options_(options), group_(group), now_(now) {}

  Result<DevelopmentFiles> run() {
    std::vector<Leaf> leaves = {{"server", options_.names, false, true},
                                {"traversal", options_.names, true, true}};
    for (const auto& peer : options_.peers) {
      leaves.push_back({peer.name, peer.dns_names, true, false});
    }
    if (auto made = make(leaves); !made) return made.error();
    return std::move(files_);
  }

  Result<DevelopmentFiles> run_zone() {
    std::vector<Leaf> leaves;
    for (const auto& node : options_.peers) {
      leaves.push_back({node.name, node.dns_names, true, false});
    }
    if (auto made = make(leaves); !made) return made.error();
    if (exists(path("password"))) {
      files_.kept.push_back("password");
    } else if (auto made = put("password", random_password(), true, false); !made) {
      return made.error();
    }
    return std::move(files_);
  }

 private:
  std::string path(const std::string& name) const { return options_.directory + "/" + name; }
  static bool exists(const std::string& file) {
    struct stat status {};
    return ::lstat(file.c_str(), &status) == 0;
  }

  Result<void> make(const std::vector<Leaf>& leaves) {
    if (auto made = make_directory(); !made) return made.error();
    if (auto made = authority(); !made) return made.error();
    for (const Leaf& leaf : leaves) {
      if (auto made = certificate(leaf); !made) return made.error();
    }
    return {};
  }

  static Result<std::string> random_password() {
    std::array<unsigned char, 32> bytes{};
    if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1) {
      return openssl_error("cannot make a password");
    }
    std::string text;
    for (const unsigned char byte : bytes) {
      text += "0123456789abcdef"[byte >> 4];
      text += "0123456789abcdef"[byte & 15];
    }
    return text + "\n";
  }

  Result<void> make_directory() const {
    const std::string& directory = options_.directory;
    if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) return system_error(directory);
    if (!group_) return {};
    const bool ok = ::chown(directory.c_str(), static_cast<uid_t>(-1), *group_) == 0 &&
                    ::chmod(directory.c_str(), 0750) == 0;
    return ok ? Result<void>{} : Result<void>{system_error(directory)};
  }

  Result<void> put(const std::string& name, Result<std::string> pem, bool secret,
                   bool group_reads) {
    if (!pem) return pem.error();
    const mode_t mode = secret ? (group_reads && group_ ? 0640 : 0600) : 0644;
    auto written = write_file(path(name), *pem, mode, group_reads ? group_ : std::nullopt);
    OPENSSL_cleanse(pem->data(), pem->size());
    if (written) files_.made.push_back(name);
    return written;
  }

  Result<KeyHandle> key_of(const std::string& name, bool group_reads) {
    if (exists(path(name))) {
      auto kept = load_key(path(name));
      if (kept) files_.kept.push_back(name);
      return kept;
    }
    KeyHandle key(EVP_EC_gen("P-256"));
    if (!key) return openssl_error("cannot make a key");
    if (auto written = put(name, pem_of(key.get()), true, group_reads); !written) {
      return written.error();
    }
    return key;
  }

  Result<void> authority() {
    const bool has_certificate = exists(path("ca.pem"));
    if (has_certificate && !exists(path("ca.key"))) {
      return Error{path("ca.pem") + " is there without ca.key; remove it to make a new authority"};
    }
    auto key = key_of("ca.key", false);
    if (!key) return key.error();
    authority_key_ = std::move(*key);
    if (has_certificate) return keep_authority();
    auto made = make_authority(authority_key_.get(), now_);
    if (!made) return made.error();
    authority_ = std::move(*made);
    return put("ca.pem", pem_of(authority_.get()), false, false);
  }

  Result<void> keep_authority() {
    auto all = load_certificates(path("ca.pem"));
    if (!all) return all.error();
    const CertificateFacts facts = facts_of(all->front().get());
    const bool ours = facts.subject.find(kOrganization) != std::string::npos && facts.self_signed &&
                      facts.is_authority &&
                      X509_check_private_key(all->front().get(), authority_key_.get()) == 1;
    if (!ours) {
      openssl_reason();
      return Error{path("ca.pem") +
                   " is not a development authority of ours; choose another "
                   "directory"};
    }
    if (facts.not_after - now_ < kLeafLife) {
      return Error{path("ca.pem") + " ends soon; remove ca.pem and ca.key to make a new authority"};
    }
    authority_ = std::move(all->front());
    files_.kept.push_back("ca.pem");
    return {};
  }

  /// Whether the certificate may stay; an error when it is not ours to replace.
  Result<bool> may_stay(const Leaf& leaf) const {
    const std::string file = path(leaf.file + ".pem");
    if (!exists(file)) return false;
    const auto all = load_certificates(file);
    if (!all) return all.error();
    X509* certificate = all->front().get();
    const CertificateFacts facts = facts_of(certificate);
    if (facts.subject.find(kOrganization) == std::string::npos) {
      return Error{file + " was not made here (" + facts.subject + "); it is left as it is"};
    }
    const bool signed_by_us = X509_verify(certificate, X509_get0_pubkey(authority_.get())) == 1;
    openssl_reason();
    std::vector<std::string> names = facts.dns_names;
    names.insert(names.end(), facts.ip_addresses.begin(), facts.ip_addresses.end());
    std::vector<std::string> wanted = leaf.names;
    std::sort(names.begin(), names.end());
    std::sort(wanted.begin(), wanted.end());
    return signed_by_us && names == wanted && facts.client_auth == leaf.client_auth &&
           now_ >= facts.not_before && facts.not_after - now_ >= kRenewBefore;
  }

  Result<void> certificate(const Leaf& leaf) {
    const auto stays = may_stay(leaf);
    if (!stays) return stays.error();
    auto key = key_of(leaf.file + ".key", leaf.of_edge);
    if (!key) return key.error();
    if (*stays && key_fits(leaf, key->get())) {
      files_.kept.push_back(leaf.file + ".pem");
      return {};
    }
    auto made = make_leaf(leaf, key->get(), authority_.get(), authority_key_.get(), now_);
    if (!made) return made.error();
    return put(leaf.file + ".pem", pem_of(made->get()), false, leaf.of_edge);
  }

  bool key_fits(const Leaf& leaf, EVP_PKEY* key) const {
    const auto all = load_certificates(path(leaf.file + ".pem"));
    const bool fits = all && X509_check_private_key(all->front().get(), key) == 1;
    openssl_reason();
    return fits;
  }

  const DevelopmentOptions& options_;
  std::optional<gid_t> group_;
  WallTime now_;
  CertificateHandle authority_;
  KeyHandle authority_key_;
  DevelopmentFiles files_;
};

bool is_usable_name(const std::string& name) {
  const bool plain =
      !name.empty() && name.size() <= 253 &&
      name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789.-:*") == std::string::npos;
  return plain && (name.find(':') == std::string::npos || parse_ip(name).has_value());
}

Result<void> check_names(const std::string& of, const std::vector<std::string>& names) {
  if (names.empty()) return Error{of + " has no name; give a DNS name"};
  for (const std::string& name : names) {
    if (!is_usable_name(name)) {
      return Error{"\"" + name + "\" is neither a DNS name in lower case nor an IP address"};
    }
  }
  return {};
}

}  // namespace

Result<DevelopmentFiles> make_zone_pki(const ZonePkiOptions& options, WallTime now) {
  DevelopmentOptions as_peers;
  as_peers.directory = options.directory;
  as_peers.peers = options.nodes;
  for (const auto& node : options.nodes) {
    if (auto usable = check_names(node.name, node.dns_names); !usable) return usable.error();
  }
  return Workshop(as_peers, std::nullopt, now).run_zone();
}

Result<DevelopmentFiles> make_development_pki(const DevelopmentOptions& options, WallTime now) {
  if (auto usable = check_names("the edge", options.names); !usable) return usable.error();
  for (const auto& peer : options.peers) {
    if (auto usable = check_names(peer.name, peer.dns_names); !usable) return usable.error();
    const bool plain =
        !peer.name.empty() &&
        peer.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-_") == std::string::npos;
    if (!plain || peer.name == "ca" || peer.name == "server" || peer.name == "traversal") {
      return Error{"\"" + peer.name + "\" cannot be a peer's file name; take a-z, 0-9, - and _"};
    }
  }
  std::optional<gid_t> group;
  if (!options.key_group.empty()) {
    const ::group* entry = ::getgrnam(options.key_group.c_str());
    if (entry == nullptr) return Error{"there is no group \"" + options.key_group + "\""};
    group = entry->gr_gid;
  }
  return Workshop(options, group, now).run();
}

}  // namespace turnpike::pki
