// How the two ends of a leg reach each other and agree on keys, where signalling alone does not
// say: ICE (RFC 8445, RFC 7675) and DTLS-SRTP (RFC 5763, 5764). Plain data, as control negotiates
// it and the relay uses it.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "turnpike/address.h"
#include "turnpike/ids.h"
#include "turnpike/keying.h"
#include "turnpike/time.h"

namespace turnpike {

/// A short text in place, without allocation.
template <std::size_t kBytesMax>
struct ShortText {
  static_assert(kBytesMax <= 65535);
  std::uint16_t size = 0;
  std::array<char, kBytesMax> text{};

  /// False, and empty then, when it does not fit.
  bool assign(std::string_view value) {
    *this = ShortText{};
    if (value.size() > kBytesMax) return false;
    size = static_cast<std::uint16_t>(value.size());
    std::copy(value.begin(), value.end(), text.begin());
    return true;
  }
  std::string_view view() const { return {text.data(), size}; }
  bool empty() const { return size == 0; }
  bool operator==(const ShortText&) const = default;
};

// ---- ICE

enum class IceMode : std::uint8_t {
  kOff = 0,
  kLite = 1,  ///< answers checks and makes none (RFC 8445 section 2.5)
  kFull = 2,
};

/// RFC 8839 section 5.4.
constexpr std::size_t kIceUfragBytesMax = 256;
constexpr std::size_t kIcePasswordBytesMax = 256;

/// RFC 8445 section 5.3. The password is a secret.
struct IceCredentials {
  ShortText<kIceUfragBytesMax> ufrag;
  ShortText<kIcePasswordBytesMax> password;
  bool is_set() const { return !ufrag.empty() && !password.empty(); }
  bool operator==(const IceCredentials&) const = default;
};

enum class CandidateType : std::uint8_t {
  kHost = 0,
  kServerReflexive = 1,
  kPeerReflexive = 2,
  kRelayed = 3
};

std::string_view name_of(CandidateType type);

/// A UDP candidate of the remote end (RFC 8839 section 5.1).
struct IceCandidate {
  SocketAddress address;
  std::uint32_t priority = 0;
  Component component = Component::kRtp;
  CandidateType type = CandidateType::kHost;
  bool operator==(const IceCandidate&) const = default;
};
constexpr std::size_t kRemoteCandidatesMax = 16;

/// ICE on one leg. New credentials of ours or of the remote end are an ICE restart (RFC 8445
/// section 9): media goes on to where it went until the new session has a pair.
struct IceConfig {
  IceMode mode = IceMode::kOff;
  bool controlling = false;  ///< our role to begin with; conflicts are repaired (section 7.3.1.1)
  /// Of two local candidates the one of this family has the higher local preference (RFC 8421).
  AddressFamily preferred_family = AddressFamily::kIpv6;
  IceCredentials local;
  IceCredentials remote;  ///< unset until the remote end's description is known
  std::uint8_t candidate_count = 0;
  std::array<IceCandidate, kRemoteCandidatesMax> candidates{};
  bool operator==(const IceConfig&) const = default;
};

enum class IceState : std::uint8_t {
  kOff = 0,
  kWaiting = 1,    ///< for the remote end's credentials, or for its first check
  kChecking = 2,   ///< no pair has been selected
  kConnected = 3,  ///< every component in use has a selected pair
  kLost = 4,       ///< had one; consent has expired (RFC 7675 section 5.1): nothing is sent
  kFailed = 5,     ///< no pair works; a check from the remote end revives it
};
std::string_view name_of(IceState state);

// ---- DTLS

/// Hash functions of a=fingerprint (RFC 8122 section 5). SHA-1 and older are refused.
enum class FingerprintHash : std::uint8_t { kNone = 0, kSha256 = 1, kSha384 = 2, kSha512 = 3 };
constexpr std::size_t bytes_of(FingerprintHash hash) {
  constexpr std::array<std::size_t, 4> kBytes = {0, 32, 48, 64};
  return kBytes[static_cast<std::size_t>(hash)];
}

struct Fingerprint {
  FingerprintHash hash = FingerprintHash::kNone;
  std::array<std::uint8_t, 64> bytes{};
  bool is_set() const { return hash != FingerprintHash::kNone; }
  bool operator==(const Fingerprint&) const = default;
};

/// Our part in the DTLS handshake (a=setup, RFC 4145, RFC 8842 section 5).
enum class DtlsRole : std::uint8_t {
  kUndecided = 0,  ///< we offered actpass and there is no answer yet
  kActive = 1,     ///< we send the ClientHello
  kPassive = 2,
};

/// DTLS on one leg.
struct DtlsConfig {
  bool enabled = false;
  DtlsRole role = DtlsRole::kUndecided;
  /// Another number asks for a new DTLS association (RFC 8842 section 4); SRTP goes on with the
  /// keys of the previous one until it is there.
  std::uint32_t association = 0;
  /// Tells one session of the remote end's DTLS from another (a digest of its a=tls-id, RFC 8842
  /// section 4); 0: it does not say.
  std::uint64_t session = 0;
  std::uint32_t identity = 0;  ///< of our certificate: DtlsIdentity::id
  Fingerprint remote;          ///< of the remote end's certificate; unset until it is known
  bool operator==(const DtlsConfig&) const = default;
};

/// A certificate of ours.
struct DtlsIdentity {
  std::uint32_t id = 0;  ///< 0: there is none
  Fingerprint fingerprint;
};

enum class DtlsState : std::uint8_t {
  kOff = 0,
  kWaiting = 1,  ///< for the remote end's description, its address, or its ClientHello
  kHandshaking = 2,
  kEstablished = 3,
  kFailed = 4,
  kClosed = 5,   ///< the remote end has ended it; it is sent nothing more, nor heard
  kAdopted = 6,  ///< SRTP goes on with the keys of a process before this one
};
std::string_view name_of(DtlsState state);

// name, metric label, what it says to people
#define TURNPIKE_DTLS_FAILURES(X)                                                                \
  X(kNone, "none", "")                                                                           \
  X(kFingerprint, "fingerprint_mismatch", "certificate does not match a=fingerprint in the SDP") \
  X(kNoCertificate, "no_certificate", "remote end sent no certificate")                          \
  X(kNoProfile, "no_common_profile", "no SRTP protection profile in common")                     \
  X(kVersion, "version", "remote end does not speak DTLS 1.2")                                   \
  X(kNoCipher, "no_common_cipher", "no cipher suite in common")                                  \
  X(kAlert, "alert", "remote end refused with an alert")                                         \
  X(kTimeout, "timeout", "no answer to our flights")                                             \
  X(kProtocol, "protocol", "handshake messages that do not add up")                              \
  X(kBusy, "busy", "too many handshakes at a time")                                              \
  X(kNoClientHello, "no_client_hello", "remote end has not begun its handshake")                 \
  X(kNoIdentity, "certificate_gone", "our certificate of this call is gone")

enum class DtlsFailure : std::uint8_t {
#define X(name, label, help) name,
  TURNPIKE_DTLS_FAILURES(X)
#undef X
      kCount
};
constexpr std::size_t kDtlsFailureCount = static_cast<std::size_t>(DtlsFailure::kCount);
struct DtlsFailureInfo {
  std::string_view label;  ///< value of the metric label `reason`
  std::string_view text;
};
constexpr std::array<DtlsFailureInfo, kDtlsFailureCount> kDtlsFailures = {{
#define X(name, label, help) {label, help},
    TURNPIKE_DTLS_FAILURES(X)
#undef X
}};
constexpr const DtlsFailureInfo& info_of(DtlsFailure failure) {
  return kDtlsFailures[static_cast<std::size_t>(failure)];
}

/// How far a handshake came: flights by their number (RFC 6347 section 4.2.4, figure 1: odd ones
/// are the client's), 0 = none.
struct DtlsFlights {
  std::uint8_t sent = 0;   ///< our last one
  std::uint8_t heard = 0;  ///< the remote end's last one of which anything came
  bool operator==(const DtlsFlights&) const = default;
};

/// Why a handshake failed, for people: "timeout at flight 4: we sent ServerHello to
/// ServerHelloDone and heard ClientHello only". `flights` as in TransportReport.
std::string describe(DtlsFailure failure, const DtlsFlights& flights);

// ---- Both

/// Everything about ICE and DTLS that signalling knows of one leg.
struct TransportConfig {
  IceConfig ice;
  DtlsConfig dtls;
  bool operator==(const TransportConfig&) const = default;
};

enum class IcePairState : std::uint8_t {
  kWaiting = 0,
  kInProgress = 1,
  kSucceeded = 2,
  kFailed = 3,
};
std::string_view name_of(IcePairState state);

/// One candidate pair, as reported (RFC 8445 section 6.1.2).
struct IcePairReport {
  SocketAddress remote;
  Component component = Component::kRtp;
  CandidateType type = CandidateType::kHost;
  IcePairState state = IcePairState::kWaiting;
  bool selected = false;
  SocketAddress local;  ///< the socket that it uses, of the family of `remote`
};

constexpr std::size_t kIcePairsReportedMax = 16;

/// How ICE and DTLS of one leg stand.
struct TransportReport {
  IceState ice = IceState::kOff;
  bool controlling = false;
  std::uint8_t pair_count = 0;  ///< of those that are reported: selected ones first
  std::array<IcePairReport, kIcePairsReportedMax> pairs{};
  Instant consent_until{};  ///< of RTP's pair; Instant{} = there is none
  DtlsState dtls = DtlsState::kOff;
  DtlsFailure dtls_failure = DtlsFailure::kNone;  ///< the last one, also after a later success
  DtlsFlights dtls_flights;                       ///< of it, where it is that nothing came any more
  SrtpSuite suite = SrtpSuite::kNone;             ///< in use, whatever it was agreed by
};

}  // namespace turnpike
