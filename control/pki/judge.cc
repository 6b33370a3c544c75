// Whether identities and trust stores will work, before a listener finds out.
#include <map>

#include "control/pki/openssl.h"
#include "turnpike/address.h"

namespace turnpike::pki {
namespace {

constexpr std::chrono::hours kSoon{24 * 30};
constexpr int kRsaBitsMin = 2048;
constexpr int kEcBitsMin = 256;

/// "2027-03-01 12:00 UTC"
std::string date_text(WallTime time) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(time);
  std::tm fields{};
  ::gmtime_r(&seconds, &fields);
  char text[32];
  const std::size_t size = std::strftime(text, sizeof text, "%Y-%m-%d %H:%M UTC", &fields);
  return {text, size};
}

void check_dates(const std::string& path, const CertificateFacts& facts, WallTime now,
                 Judgement& judgement) {
  if (now > facts.not_after) {
    judgement.mistakes.push_back(path + ": expired on " + date_text(facts.not_after) +
                                 "; get a new certificate");
  } else if (now < facts.not_before) {
    judgement.mistakes.push_back(path + ": is not valid before " + date_text(facts.not_before) +
                                 "; check this host's clock");
  } else if (facts.not_after - now < kSoon) {
    judgement.warnings.push_back(path + ": expires on " + date_text(facts.not_after) +
                                 "; renew it");
  }
}

void check_strength(const std::string& path, const CertificateFacts& facts, Judgement& judgement) {
  const std::string what = facts.key_type + " " + std::to_string(facts.key_bits);
  if (facts.key_type == "DSA") {
    judgement.mistakes.push_back(path + ": has a DSA key; use RSA or EC");
  } else if (facts.key_type.starts_with("RSA") && facts.key_bits < kRsaBitsMin) {
    judgement.mistakes.push_back(path + ": the key is " + what +
                                 ", which TLS peers refuse; use RSA 2048 or more, or EC");
  } else if (facts.key_type == "EC" && facts.key_bits < kEcBitsMin) {
    judgement.mistakes.push_back(path + ": the key is " + what + "; use EC P-256 or more");
  }
}

void check_purposes(const std::string& path, const CertificateFacts& facts, const Purpose& purpose,
                    Judgement& judgement) {
  if (purpose.listed && !facts.lists_purposes) {
    judgement.mistakes.push_back(path +
                                 ": names no purposes (extended key usage); peers demand "
                                 "serverAuth and clientAuth");
  }
  if (purpose.server_auth && !facts.server_auth) {
    judgement.mistakes.push_back(path + ": lacks the purpose serverAuth; clients would hang up");
  }
  if (purpose.client_auth && !facts.client_auth) {
    judgement.mistakes.push_back(
        path +
        ": lacks the purpose clientAuth; peers would refuse our connections. Certificates "
        "of public authorities have serverAuth only: take one of a private authority");
  }
}

bool is_valid_for(X509* certificate, const std::string& name) {
  constexpr unsigned kFlags = X509_CHECK_FLAG_NEVER_CHECK_SUBJECT;
  if (parse_ip(name)) return X509_check_ip_asc(certificate, name.c_str(), kFlags) == 1;
  return X509_check_host(certificate, name.data(), name.size(), kFlags, nullptr) == 1;
}

void check_names(const std::string& path, X509* certificate, const CertificateFacts& facts,
                 const Purpose& purpose, Judgement& judgement) {
  for (const std::string& name : purpose.names) {
    if (is_valid_for(certificate, name)) continue;
    std::string has;
    for (const auto* list : {&facts.dns_names, &facts.ip_addresses}) {
      for (const std::string& entry : *list) has += (has.empty() ? "" : ", ") + entry;
    }
    if (has.empty()) has = "nothing (the common name does not count)";
    judgement.mistakes.push_back(path + ": is not valid for " + name + "; it names " + has);
  }
}

}  // namespace

Judgement check_identity(const std::string& certificate_path, const std::string& key_path,
                         const Purpose& purpose, WallTime now) {
  Judgement judgement;
  const auto chain = load_certificates(certificate_path);
  if (!chain) judgement.mistakes.push_back(chain.error().message);
  const auto key = load_key(key_path);
  if (!key) judgement.mistakes.push_back(key.error().message);
  if (!chain) return judgement;

  X509* leaf = chain->front().get();
  const CertificateFacts facts = facts_of(leaf);
  if (key && X509_check_private_key(leaf, key->get()) != 1) {
    openssl_reason();
    judgement.mistakes.push_back(key_path + ": is not the key of " + certificate_path);
  }
  check_dates(certificate_path, facts, now, judgement);
  check_strength(certificate_path, facts, judgement);
  check_purposes(certificate_path, facts, purpose, judgement);
  check_names(certificate_path, leaf, facts, purpose, judgement);
  for (std::size_t i = 1; i < chain->size(); ++i) {
    check_dates(certificate_path + " (chain)", facts_of((*chain)[i].get()), now, judgement);
  }
  return judgement;
}

Judgement check_trust(const std::string& path, WallTime now) {
  Judgement judgement;
  const auto all = load_certificates(path);
  if (!all) {
    judgement.mistakes.push_back(all.error().message);
    return judgement;
  }
  std::map<std::string, X509*> by_subject;
  for (const CertificateHandle& certificate : *all) {
    const CertificateFacts facts = facts_of(certificate.get());
    const std::string where = path + " (" + facts.subject + ")";
    Judgement dates;
    check_dates(where, facts, now, dates);
    for (auto* texts : {&dates.mistakes, &dates.warnings}) {
      judgement.warnings.insert(judgement.warnings.end(), texts->begin(), texts->end());
    }
    check_strength(where, facts, judgement);
    if (!facts.is_authority && !facts.self_signed) {
      judgement.mistakes.push_back(where +
                                   ": is neither an authority nor self-signed; only such "
                                   "certificates can be trusted");
    }
    const auto [entry, is_new] = by_subject.emplace(facts.subject, certificate.get());
    if (!is_new &&
        EVP_PKEY_eq(X509_get0_pubkey(entry->second), X509_get0_pubkey(certificate.get())) != 1) {
      judgement.mistakes.push_back(where +
                                   ": two different keys have this subject, and TLS would "
                                   "look at one of them only; keep one");
    }
  }
  return judgement;
}

}  // namespace turnpike::pki
