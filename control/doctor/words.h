// What to do about each reason for which a zone connection fails, in words for an operator.
#pragma once

#include <string>

#include "control/doctor/facts.h"
#include "control/pki/certificate.h"
#include "control/zone/message.h"
#include "control/zone/reason.h"

namespace turnpike::doctor {

/// Days before its end from which a certificate is worth a warning.
inline constexpr double kEndsSoonDays = 14;

double days_left(const pki::CertificateFacts& facts, pki::WallTime now);
/// "CN=edge, names edge.example.com, ends in 397 days"
std::string certificate_text(const pki::CertificateFacts& facts, pki::WallTime now);

/// `other`: the role of the other end. `detail` is what the reason came with.
std::string mend_of(zone::Reason reason, zone::Role other, const std::string& detail);
/// kNone when no reason has this label.
zone::Reason reason_of(const std::string& label);
/// Whether the reason alone leaves open who is to blame, so that another witness is worth asking.
bool is_vague(zone::Reason reason);
/// "the other end … (detail), 3 s ago, from 10.20.0.10:4711"
std::string trouble_text(const TroubleFacts& trouble);

}  // namespace turnpike::doctor
