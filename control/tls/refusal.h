// Why a TLS connection was not made or not kept: each reason once, with its label in metrics and
// its words for people.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace turnpike::tls {

/// The order is that of kRefusals.
enum class Refusal : std::uint8_t {
  kNone = 0,
  kNotTls,
  kTooOld,
  kNoCommonCipher,
  kOtherProtocol,
  kNoCertificate,
  kUnknownAuthority,
  kBadCertificate,
  kExpired,
  kNotYetValid,
  kNoClientAuth,
  kNoServerAuth,
  kWrongName,
  kCommonNameOnly,
  kRefusedByPeer,
  kClosedEarly,
  kBadRecord,
  kOurFault,
};

struct RefusalInfo {
  const char* label;  ///< value of a metric's label
  const char* text;   ///< "the other end …", for an operator
};

inline constexpr std::array<RefusalInfo, 18> kRefusals{{
    {"none", "nothing is wrong"},
    {"not_tls", "the other end does not speak TLS"},
    {"tls_too_old", "the other end offers no TLS version that is allowed here"},
    {"no_common_cipher", "the other end offers no cipher or key exchange that is allowed here"},
    {"other_protocol", "the other end speaks TLS, but not this protocol"},
    {"no_certificate", "the other end showed no certificate"},
    {"unknown_ca", "the other end's certificate is not signed by an authority of the trust file"},
    {"bad_certificate", "the other end's certificate or its chain is damaged, weak or misused"},
    {"expired", "the other end's certificate has expired"},
    {"not_yet_valid", "the other end's certificate is not valid yet; compare the clocks"},
    {"no_client_auth", "the other end's certificate lacks the purpose clientAuth"},
    {"no_server_auth", "the other end's certificate lacks the purpose serverAuth"},
    {"wrong_name", "the other end's certificate is for another name"},
    {"common_name_only",
     "the other end's certificate has the name only as common name, which does not count; it needs "
     "a subject alternative name"},
    {"refused_by_peer", "the other end refused this node's certificate or offer"},
    {"closed_early", "the other end closed the connection during the handshake"},
    {"bad_record", "the other end sent a damaged TLS record"},
    {"our_fault", "this node could not do its part of the handshake"},
}};

inline constexpr std::size_t kRefusalCount = kRefusals.size();

inline const RefusalInfo& info_of(Refusal refusal) {
  return kRefusals[static_cast<std::size_t>(refusal)];
}

}  // namespace turnpike::tls
