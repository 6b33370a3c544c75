// What a description says of ICE (RFC 8839) and DTLS (RFC 8122, 4145, 8842), typed, and the same
// written for our own descriptions.
// Is not: a decision, nor a judgement of addresses. What a call does with it lies in control/call.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "control/sdp/sdp.h"
#include "turnpike/address.h"
#include "turnpike/result.h"
#include "turnpike/transport.h"

namespace turnpike::sdp {

/// Overwrites a user name fragment and its password.
void wipe(IceCredentials& credentials);

/// Credentials that wipe themselves.
struct SecretIceCredentials {
  IceCredentials value{};

  SecretIceCredentials() = default;
  explicit SecretIceCredentials(const IceCredentials& credentials) : value(credentials) {}
  SecretIceCredentials(const SecretIceCredentials&) = default;
  SecretIceCredentials& operator=(const SecretIceCredentials&) = default;
  ~SecretIceCredentials() { wipe(value); }

  bool is_set() const { return value.is_set(); }
  bool operator==(const SecretIceCredentials&) const = default;
};

/// Candidates that are read of one m= section; further ones are passed over.
constexpr std::size_t kCandidatesReadMax = 64;

/// ICE as one end describes it for an m= section.
struct IceDescription {
  SecretIceCredentials credentials;  ///< unset: it does no ICE
  bool lite = false;
  /// In its order: UDP with a literal address, of RTP or RTCP.
  std::vector<IceCandidate> candidates;
  /// The other a=candidate lines, which RFC 8839 section 5.1 says to pass over: TCP (RFC 6544),
  /// host names (mDNS among them), unknown types, port 0, what breaks the grammar, too many.
  std::uint32_t skipped = 0;

  bool is_set() const { return credentials.is_set(); }
};
/// Reads user name fragment and password at media level, else at session level. Without either,
/// the section does no ICE and nothing else of it is looked at.
/// Errors: one without the other, characters or sizes that RFC 8839 section 5.4 does not allow.
/// They quote nothing.
Result<IceDescription> ice_of(const Session& session, const Media& media);

/// a=setup (RFC 4145 section 4), as its writer says it of itself.
enum class Setup : std::uint8_t {
  kUnsaid = 0,  ///< in an offer as active, in an answer as passive
  kActpass = 1,
  kActive = 2,
  kPassive = 3,
  kHoldconn = 4,
};
std::string_view name_of(Setup setup);

constexpr std::size_t kTlsIdBytesMax = 255;

/// DTLS as one end describes it for an m= section.
struct DtlsDescription {
  Fingerprint fingerprint;
  Setup setup = Setup::kUnsaid;
  std::string tls_id;  ///< empty: none
};
/// True when the m= section, or the session above it, has an a=fingerprint.
bool has_fingerprint(const Session& session, const Media& media);
/// Each attribute at media level, else at session level. Of several fingerprints, the first of the
/// strongest hash function counts.
/// Errors: no fingerprint, none of SHA-256, SHA-384 or SHA-512, a damaged one, an unknown a=setup,
/// a tls-id with characters that RFC 8842 section 4 does not have or longer than 255.
Result<DtlsDescription> dtls_of(const Session& session, const Media& media);

/// "sha-256 AB:CD:…", the value of a=fingerprint.
std::string write_fingerprint(const Fingerprint& fingerprint);

/// ICE as we describe ourselves: one host candidate for each component, or one of each address
/// family.
struct LocalIce {
  SecretIceCredentials credentials;
  SocketAddress rtp;         ///< default candidate: also in c= and m=
  SocketAddress rtcp;        ///< unset: RTCP is multiplexed
  SocketAddress other_rtp;   ///< of the other family; unset: none
  SocketAddress other_rtcp;  ///< unset: as for `rtcp`
  bool other_first = false;  ///< the other family has the higher local preference
};
/// Appends a=ice-ufrag, ice-pwd, ice-options, candidate and end-of-candidates.
void append_ice(Media& media, const LocalIce& ice);
/// Appends a=setup, fingerprint and, unless it is empty, tls-id.
void append_dtls(Media& media, const DtlsDescription& dtls);

}  // namespace turnpike::sdp
