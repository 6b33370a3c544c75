// Why a zone connection was refused or ended: each reason once, with its label in metrics and its
// words for people. Those of TLS come first, with the numbers and words that they have there.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "control/tls/refusal.h"

namespace turnpike::zone {

/// The order is that of kReasons.
enum class Reason : std::uint8_t {
  kNone = 0,
  kFirstOfZone = tls::kRefusalCount,
  // Before the challenge is passed:
  kTooManyFromSource = kFirstOfZone,
  kTooManyWaiting,
  kTooOften,
  kTooSlow,
  kBadMessage,
  kOtherVersion,
  kWrongZone,
  kWrongRole,
  kWrongPassword,
  kAfterWrongPassword,
  kWrongProof,
  kRefusedThere,
  // Afterwards:
  kBadHttp2,
  kTooManyStreams,
  kSilent,
  kClosedThere,
  kBroken,
  kReplaced,
  kTakenInTurns,
  // On the dialling side:
  kUnreachable,
  kNoFiles,
  // Here:
  kStopped,
};

inline constexpr std::array<tls::RefusalInfo, 22> kZoneReasons{{
    {"too_many_from_source", "too many connections of this address wait for their handshake"},
    {"too_many_waiting", "too many connections wait for their handshake, or have come at once"},
    {"too_often", "this address connects too often"},
    {"too_slow", "the handshake took too long"},
    {"bad_message", "the other end sent what is no message of the zone handshake"},
    {"other_version", "the other end speaks another version of the zone protocol"},
    {"wrong_zone", "the other end belongs to a zone of another name"},
    {"wrong_role", "the other end has the same role as this node; one must be edge, one core"},
    {"wrong_password", "the user or the password of the zone is another one at the other end"},
    {"after_wrong_password",
     "this peer gave a wrong password from this address a moment ago and is not heard for a while"},
    {"wrong_proof", "the other end does not know the zone's password, although it asked for it"},
    {"refused_there", "the other end refused; its own log and `turnpikectl zone` say more"},
    {"bad_http2", "the other end sent what is no HTTP/2, or broke its rules"},
    {"too_many_streams", "the other end opened streams faster than is allowed"},
    {"silent", "the other end has not answered keep-alives; look at the path between the nodes"},
    {"closed_there", "the other end closed the connection"},
    {"broken", "the connection broke"},
    {"replaced", "a newer connection of the same name has taken its place"},
    {"taken_in_turns",
     "two nodes of the same name and certificate take the connection from each other; give each "
     "its own, or stop one"},
    {"unreachable", "the other end cannot be reached"},
    {"no_files", "certificate, key, trust file or password of this node cannot be used"},
    {"stopped", "this node closed the connection"},
}};

inline constexpr std::size_t kReasonCount = tls::kRefusalCount + kZoneReasons.size();

inline constexpr Reason of(tls::Refusal refusal) {
  return static_cast<Reason>(refusal);
}

inline const tls::RefusalInfo& info_of(std::size_t reason) {
  return reason < tls::kRefusalCount ? tls::kRefusals[reason]
                                     : kZoneReasons[reason - tls::kRefusalCount];
}

inline const tls::RefusalInfo& info_of(Reason reason) {
  return info_of(static_cast<std::size_t>(reason));
}

}  // namespace turnpike::zone
