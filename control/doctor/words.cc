#include "control/doctor/words.h"

#include <array>
#include <chrono>
#include <cstddef>
#include <string_view>
#include <utility>

namespace turnpike::doctor {
namespace {

using zone::Reason;

constexpr double kSecondsOfADay = 86400;
constexpr const char* kWaitAndLook =
    "wait a minute and try again; doctor and `turnpikectl zone` there say more";

Reason of(tls::Refusal refusal) {
  return zone::of(refusal);
}

/// What the alerts of an end mean that refuses this node, RFC 8446 section 6.2.
std::string mend_of_alert(const std::string& detail, const std::string& other) {
  const std::pair<const char*, std::string> kAlerts[] = {
      {"certificate expired",
       "renew this node's certificate, or set the clock of the " + other + ", which is ahead"},
      {"unknown CA",
       "put the authority of this node's certificate into the trust file of the " + other},
      {"unsupported certificate",
       "give this node a certificate that lists clientAuth and serverAuth"},
      {"bad certificate",
       "the names in this node's certificate must include what the " + other +
           " has as tls_name of this peer and as tls_verify_subject; or its clock is behind"},
      {"protocol version", "make tls_min_version the same on both nodes"},
      {"no application protocol", "another TLS service answers there: correct the address"},
  };
  for (const auto& [alert, mend] : kAlerts) {
    if (detail.find(alert) != std::string::npos) return mend;
  }
  return "run doctor on the " + other + ": it knows why";
}

/// Reasons that lie in the other end's certificate or in what is wanted of it.
std::string mend_of_certificate(Reason reason, const std::string& other) {
  if (reason == of(tls::Refusal::kUnknownAuthority)) {
    return "put the authority of the " + other +
           "'s certificate into this zone's trust_file, or give the " + other +
           " a certificate of an authority that is in it";
  }
  if (reason == of(tls::Refusal::kExpired)) {
    return "renew the certificate on the " + other + "; or is this node's clock ahead?";
  }
  if (reason == of(tls::Refusal::kNotYetValid)) {
    return "compare the clocks of both nodes; this one may be behind";
  }
  if (reason == of(tls::Refusal::kNoClientAuth) || reason == of(tls::Refusal::kNoServerAuth)) {
    return "give the " + other +
           " a certificate that lists clientAuth and serverAuth; public authorities issue "
           "serverAuth only, so take a private one";
  }
  if (reason == of(tls::Refusal::kWrongName) || reason == of(tls::Refusal::kCommonNameOnly)) {
    return "correct the peer's tls_name (or tls_verify_subject) here, or give the " + other +
           " a certificate with these subject alternative names";
  }
  return "give the " + other + " a new certificate";
}

bool is_about_certificate(Reason reason) {
  return reason >= of(tls::Refusal::kNoCertificate) && reason <= of(tls::Refusal::kCommonNameOnly);
}

std::string mend_of_zone(Reason reason, const std::string& other) {
  switch (reason) {
    case Reason::kWrongPassword:
      return "make user and password_file of the zone the same on both nodes, then reload both "
             "(systemctl reload turnpiked)";
    case Reason::kAfterWrongPassword:
      return "correct the password; this address is heard again after a minute at most";
    case Reason::kWrongProof:
      return "whoever answers there asks for a password that it does not know: make sure that it "
             "is your " +
             other;
    case Reason::kOtherVersion:
      return "run the same version of Turnpike on both nodes";
    case Reason::kWrongZone:
      return "give the zone the same name on both nodes, or correct the address";
    case Reason::kWrongRole:
      return "one node must have node.role \"edge\", the other \"core\"";
    case Reason::kUnreachable:
      return "look at the route and at the firewall between the nodes";
    case Reason::kNoFiles:
      return "mend this node's own files, told above";
    case Reason::kSilent:
    case Reason::kBroken:
      return "look at the path between the nodes: a link, or a firewall that forgets connections";
    case Reason::kTakenInTurns:
      return "each core needs a certificate with a name of its own, which is `tls_name` in its "
             "file, "
             "and a [zone.*.peer.*] with that name on the edge; or stop one of the two";
    case Reason::kTooSlow:
      return "look at the path between the nodes and at the load of the " + other;
    default:
      return kWaitAndLook;
  }
}

std::string names_text(const pki::CertificateFacts& facts) {
  std::string text;
  for (const auto* list : {&facts.dns_names, &facts.ip_addresses}) {
    for (const std::string& name : *list) text += (text.empty() ? "" : ", ") + name;
  }
  return text.empty() ? "none" : text;
}

}  // namespace

double days_left(const pki::CertificateFacts& facts, pki::WallTime now) {
  const std::chrono::duration<double> left = facts.not_after - now;
  return left.count() / kSecondsOfADay;
}

std::string certificate_text(const pki::CertificateFacts& facts, pki::WallTime now) {
  return facts.subject + ", names " + names_text(facts) + ", ends in " +
         std::to_string(static_cast<std::int64_t>(days_left(facts, now))) + " days";
}

std::string mend_of(zone::Reason reason, zone::Role other_role, const std::string& detail) {
  const std::string other = other_role == zone::Role::kEdge ? "edge" : "core";
  if (is_about_certificate(reason)) return mend_of_certificate(reason, other);
  if (reason == of(tls::Refusal::kRefusedByPeer)) return mend_of_alert(detail, other);
  if (reason == of(tls::Refusal::kNotTls) || reason == of(tls::Refusal::kOtherProtocol)) {
    return "it is no turnpiked: correct the address, or stop what else uses the port";
  }
  if (reason == of(tls::Refusal::kTooOld) || reason == of(tls::Refusal::kNoCommonCipher)) {
    return "make tls_min_version the same on both nodes, and their TLS libraries up to date";
  }
  return mend_of_zone(reason, other);
}

zone::Reason reason_of(const std::string& label) {
  for (std::size_t i = 0; i < zone::kReasonCount; ++i) {
    if (label == zone::info_of(i).label) return static_cast<Reason>(i);
  }
  return Reason::kNone;
}

bool is_vague(zone::Reason reason) {
  for (const Reason vague :
       {Reason::kNone, of(tls::Refusal::kClosedEarly), of(tls::Refusal::kBadRecord),
        Reason::kRefusedThere, Reason::kBroken, Reason::kTooSlow, Reason::kClosedThere,
        Reason::kReplaced, Reason::kStopped, Reason::kAfterWrongPassword, Reason::kUnreachable}) {
    if (reason == vague) return true;
  }
  return false;
}

std::string trouble_text(const TroubleFacts& trouble) {
  std::string text = trouble.meaning;
  if (!trouble.detail.empty()) text += " (" + trouble.detail + ")";
  text += ", " + std::to_string(static_cast<std::int64_t>(trouble.age_seconds)) + " s ago";
  return trouble.address.empty() ? text : text + ", " + trouble.address;
}

}  // namespace turnpike::doctor
