// Judges a peer's certificate while the library verifies its chain.
#include "control/tls/peer_check.h"

#include <algorithm>

#include <openssl/x509v3.h>

#include "control/pki/openssl.h"
#include "turnpike/address.h"

namespace turnpike::tls {

std::string shown(std::string text) {
  constexpr std::size_t kDetailBytesMax = 200;
  if (text.size() > kDetailBytesMax) text.resize(kDetailBytesMax);
  std::replace_if(
      text.begin(), text.end(),
      [](char c) {
        const auto byte = static_cast<unsigned char>(c);
        return byte < 0x20 || byte > 0x7e;
      },
      '?');
  return text;
}

namespace {

constexpr std::size_t kNamesShownMax = 4;

std::string names_of(const pki::CertificateFacts& facts) {
  std::string text;
  std::size_t count = 0;
  for (const auto* list : {&facts.dns_names, &facts.ip_addresses}) {
    for (const std::string& name : *list) {
      if (++count > kNamesShownMax) return text + ", …";
      text += (text.empty() ? "" : ", ") + shown(name);
    }
  }
  return text.empty() ? "no name" : text;
}

bool has_name(X509* certificate, const std::string& name) {
  constexpr unsigned kFlags = X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_WILDCARDS;
  if (parse_ip(name)) return X509_check_ip_asc(certificate, name.c_str(), kFlags) == 1;
  return X509_check_host(certificate, name.data(), name.size(), kFlags, nullptr) == 1;
}

/// The library looks at the common name only where there is no alternative DNS name.
bool has_common_name(X509* certificate, const pki::CertificateFacts& facts,
                     const std::string& name) {
  if (!facts.dns_names.empty() || !facts.ip_addresses.empty()) return false;
  return X509_check_host(certificate, name.data(), name.size(), X509_CHECK_FLAG_NO_WILDCARDS,
                         nullptr) == 1;
}

Refusal of_verify_error(int code, int depth, Role role) {
  switch (code) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return Refusal::kExpired;
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return Refusal::kNotYetValid;
    case X509_V_ERR_INVALID_PURPOSE:
      if (depth > 0) return Refusal::kBadCertificate;
      return role == Role::kServer ? Refusal::kNoClientAuth : Refusal::kNoServerAuth;
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
    case X509_V_ERR_CERT_UNTRUSTED:
      return Refusal::kUnknownAuthority;
    default:
      return Refusal::kBadCertificate;
  }
}

/// The rules beside those of the library, once the chain is sound.
Refusal judge_leaf(X509* leaf, PeerCheck& check, std::string& detail) {
  const pki::CertificateFacts& facts = check.peer;
  const PeerRule& rule = check.rule;
  const std::uint32_t purposes = X509_get_extended_key_usage(leaf);
  const bool none = purposes == UINT32_MAX;  // no such extension
  if (none) detail = "it has no extended key usage";
  if (none || (purposes & XKU_SSL_CLIENT) == 0) return Refusal::kNoClientAuth;
  if ((purposes & XKU_SSL_SERVER) == 0) return Refusal::kNoServerAuth;

  bool by_common_name = false;
  const auto matches = [&](const std::string& name) {
    if (has_name(leaf, name)) return true;
    const bool common = has_common_name(leaf, facts, name);
    by_common_name = by_common_name || common;
    return common && rule.accept_common_name;
  };
  const auto found = std::find_if(rule.names.begin(), rule.names.end(), matches);
  const bool named = rule.names.empty() || found != rule.names.end();
  if (named && (rule.subject.empty() || matches(rule.subject))) {
    if (found != rule.names.end()) check.peer_name = *found;
    return Refusal::kNone;
  }
  std::string wanted = named ? rule.subject : "";
  for (const std::string& name : rule.names) {
    if (!named) wanted += (wanted.empty() ? "" : " or ") + name;
  }
  detail = "wanted " + wanted + ", it has " + names_of(facts);
  return by_common_name ? Refusal::kCommonNameOnly : Refusal::kWrongName;
}

}  // namespace

int judge_peer(int library_accepts, X509_STORE_CTX* store) {
  const void* native = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
  auto& check = *static_cast<PeerCheck*>(SSL_get_app_data(static_cast<const SSL*>(native)));
  X509* leaf = X509_STORE_CTX_get0_cert(store);
  const int depth = X509_STORE_CTX_get_error_depth(store);
  if (check.peer.sha256.empty()) check.peer = pki::facts_of(leaf);
  if (library_accepts != 1) {
    const int code = X509_STORE_CTX_get_error(store);
    check.refusal = of_verify_error(code, depth, check.role);
    check.detail = shown(check.peer.subject) + ": " + X509_verify_cert_error_string(code);
    if (depth > 0) check.detail += " (an authority of its chain)";
    return 0;
  }
  if (depth > 0) return 1;
  std::string detail;
  check.refusal = judge_leaf(leaf, check, detail);
  if (check.refusal == Refusal::kNone) return 1;
  check.detail = shown(check.peer.subject) + (detail.empty() ? "" : ": " + detail);
  const bool by_name =
      check.refusal == Refusal::kWrongName || check.refusal == Refusal::kCommonNameOnly;
  // The error decides the alert that the other end reads.
  X509_STORE_CTX_set_error(store,
                           by_name ? X509_V_ERR_HOSTNAME_MISMATCH : X509_V_ERR_INVALID_PURPOSE);
  return 0;
}

}  // namespace turnpike::tls
