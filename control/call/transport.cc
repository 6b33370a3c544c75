// Implements transport.h.
#include "control/call/transport.h"

#include <array>
#include <cstring>
#include <string>

namespace turnpike::call {
namespace {

constexpr std::size_t kUfragBytes = 8;
constexpr std::size_t kPasswordBytes = 32;  // 192 bits; RFC 8445 section 5.3 asks for 128
constexpr std::size_t kTlsIdBytes = 32;     // RFC 8842 section 4: 20 to 255

/// Random characters, six bits each, of those that ICE and tls-id both have.
template <std::size_t kBytes>
std::array<char, kBytes> random_text(const RandomBytes& random_bytes) {
  constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::array<char, kBytes> text;
  random_bytes(text.data(), text.size());
  for (char& c : text) c = kAlphabet[static_cast<unsigned char>(c) & 63U];
  return text;
}

template <std::size_t kBytes>
std::string_view view_of(const std::array<char, kBytes>& text) {
  return {text.data(), text.size()};
}

// 0 for none (FNV-1a).
std::uint64_t digest_of(std::string_view tls_id) {
  if (tls_id.empty()) return 0;
  std::uint64_t digest = 0xcbf29ce484222325;
  for (const char c : tls_id) digest = (digest ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return digest == 0 ? 1 : digest;
}

}  // namespace

std::string_view name_of(Keying keying) {
  constexpr std::array<std::string_view, 5> kNames = {"plain", "SDES", "DTLS",
                                                      "signalling-sees-keys", "keyless: dtls"};
  return kNames[static_cast<std::size_t>(keying)];
}

// ---- ICE

void renew(sdp::SecretIceCredentials& credentials, const RandomBytes& random_bytes) {
  const auto ufrag = random_text<kUfragBytes>(random_bytes);
  auto password = random_text<kPasswordBytes>(random_bytes);
  credentials.value.ufrag.assign(view_of(ufrag));
  credentials.value.password.assign(view_of(password));
  explicit_bzero(password.data(), password.size());
}

OwnIce own_ice(const MediaSide& side, const RandomBytes& random_bytes) {
  OwnIce own = side.ice;
  own.in_use = true;
  if (!own.credentials.is_set()) renew(own.credentials, random_bytes);
  return own;
}

void use_ice(MediaSide& side, const OwnIce& own, const RemoteMedia& now, bool we_offered) {
  const bool goes_on = side.ice.in_use && side.ice.credentials == own.credentials &&
                       side.remote.ice.is_set() && side.remote.ice == now.ice;
  const bool controlling = goes_on ? side.ice.controlling : we_offered || now.ice_lite;
  side.ice = own;
  side.ice.in_use = true;
  // An end that is lite cannot control; we can only by making checks.
  side.ice.controlling = controlling && (now.ice_lite || !own.lite);
  side.has_transport = true;
}

void leave_ice(MediaSide& side) {
  side.ice = OwnIce{};
}

// ---- DTLS

OwnDtls own_dtls(const MediaSide& side, const DtlsIdentity& identity,
                 const RandomBytes& random_bytes) {
  if (side.dtls.is_set() && !side.dtls.lost) return side.dtls;
  OwnDtls own;
  own.identity = identity;
  const auto id = random_text<kTlsIdBytes>(random_bytes);
  own.tls_id = view_of(id);
  return own;
}

DtlsRole role_to_answer(sdp::Setup offered, DtlsRole present, DtlsRole preferred) {
  switch (offered) {
    case sdp::Setup::kUnsaid:  // RFC 4145 section 4: as active
    case sdp::Setup::kActive:
      return DtlsRole::kPassive;
    case sdp::Setup::kPassive:
      return DtlsRole::kActive;
    case sdp::Setup::kHoldconn:
      return DtlsRole::kUndecided;
    case sdp::Setup::kActpass:
      break;
  }
  return present == DtlsRole::kUndecided ? preferred : present;
}

DtlsRole role_by_answer(sdp::Setup answered) {
  if (answered == sdp::Setup::kActive) return DtlsRole::kPassive;
  return answered == sdp::Setup::kHoldconn ? DtlsRole::kUndecided : DtlsRole::kActive;
}

sdp::Setup setup_of(DtlsRole role) {
  if (role == DtlsRole::kUndecided) return sdp::Setup::kHoldconn;
  return role == DtlsRole::kActive ? sdp::Setup::kActive : sdp::Setup::kPassive;
}

bool asks_for_new_association(const MediaSide& side, const sdp::DtlsDescription& now) {
  const sdp::DtlsDescription& before = side.remote.dtls;
  return before.fingerprint.is_set() &&
         (before.fingerprint != now.fingerprint || before.tls_id != now.tls_id);
}

void use_dtls(MediaSide& side, const OwnDtls& own, const sdp::DtlsDescription& now, DtlsRole role) {
  const bool swapped = now.tls_id.empty() && role != DtlsRole::kUndecided &&
                       side.dtls_role != DtlsRole::kUndecided && role != side.dtls_role;
  const bool is_new = !side.dtls.is_same(own) || swapped || asks_for_new_association(side, now);
  if (is_new) ++side.association;
  // One that goes on has had its parts since its handshake, whatever holdconn or, with a tls-id,
  // another a=setup says.
  if (is_new || side.dtls_role == DtlsRole::kUndecided) {
    // One that can never come about, for want of its certificate, has no parts: by that the next
    // answer to this end knows that there is nothing to keep.
    side.dtls_role = own.lost ? DtlsRole::kUndecided : role;
  }
  side.dtls = own;
  side.keying = Keying::kDtls;
  side.has_transport = true;
}

void leave_dtls(MediaSide& side) {
  side.dtls = OwnDtls{};
  side.dtls_role = DtlsRole::kUndecided;
}

// ---- The relay

TransportConfig transport_of(const CallMedia& media, Side which, bool carries) {
  const MediaSide& side = media.sides[index_of(which)];
  const RemoteMedia& remote = side.remote;
  TransportConfig config;
  const bool given_up = media.answered && !media.accepted && !carries;
  if (side.ice.in_use && !given_up) {
    IceConfig& ice = config.ice;
    ice.mode = side.ice.lite && !remote.ice_lite ? IceMode::kLite : IceMode::kFull;
    ice.controlling = side.ice.controlling;
    ice.preferred_family = media.preferred_family;
    ice.local = side.ice.credentials.value;
    // Before the answer the offerer does not know us: no check of ours would be understood.
    if (media.answered) ice.remote = remote.ice.value;
    for (const IceCandidate& candidate : remote.candidates) {
      if (!media.answered || ice.candidate_count == kRemoteCandidatesMax) break;
      const bool is_first = candidate.address.ip.family == media.spec.family[index_of(which)];
      if (!is_first && !media.ports.has_both_families(which)) continue;
      if (side.rtcp_mux && candidate.component == Component::kRtcp) continue;
      ice.candidates[ice.candidate_count++] = candidate;
    }
  }
  if (side.keying == Keying::kDtls) {
    config.dtls.enabled = true;
    config.dtls.role = side.dtls_role;
    config.dtls.association = side.association;
    config.dtls.session = digest_of(side.remote.dtls.tls_id);
    config.dtls.identity = side.dtls.identity.id;
    if (media.answered) config.dtls.remote = remote.dtls.fingerprint;
  }
  return config;
}

}  // namespace turnpike::call
