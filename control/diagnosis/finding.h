// What can be wrong with the media of one direction: each finding once, with the identifier that
// scripts read, what it says to people, and what to do about it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace turnpike::diagnosis {

/// How much a finding asks for.
enum class Weight : std::uint8_t {
  kFine = 0,
  kExplained = 1,  ///< no media, for a reason that nobody has to mend here
  kFault = 2,
};

// name, identifier, weight, what it says, remedy
#define TURNPIKE_FINDINGS(X)                                                                       \
  X(kHealthy, "healthy", kFine, "media passes", "")                                                \
  X(kTooEarly, "too_early", kExplained, "too early to tell", "Look again in some seconds.")        \
  X(kNotAnswered, "not_answered", kExplained, "the offer has no answer yet",                       \
    "Nothing is wrong as long as it rings.")                                                       \
  X(kRejected, "rejected", kExplained, "SDP refused this m-line (port 0)",                         \
    "If it should have been accepted, look why the answerer refused it.")                          \
  X(kSharedTransport, "shared_transport", kFine,                                                   \
    "media is on the transport of another m-line, and cannot be told apart without keys", "")      \
  X(kMuted, "muted_by_sdp", kExplained, "SDP says that nothing is sent in this direction",         \
    "Resume the call at the end that holds it; if none does, look who wrote that into the SDP.")   \
  X(kBlocked, "blocked_by_command", kExplained, "what the other leg sends is blocked by NG",       \
    "If it should pass: unblock media, for the participant or with the flag all.")                 \
  X(kSilenced, "silenced_by_command", kExplained, "silence is sent instead of what was said",      \
    "If it should be heard: unsilence media, for the participant or with the flag all.")           \
  X(kNothingToSend, "nothing_to_send", kExplained, "the other leg gives nothing to pass on",       \
    "Look at what is received on the other leg.")                                                  \
  X(kNeverReceived, "never_received", kFault, "nothing has ever arrived from there",               \
    "Look whether the client sends at all, to the address and port that it was given, and "        \
    "whether a firewall on the way drops UDP.")                                                    \
  X(kStopped, "stopped", kFault, "media came and has stopped",                                     \
    "Unless the client suppresses silence or has hung up, look at its network.")                   \
  X(kOnlyRtcp, "only_rtcp", kFault, "RTCP arrives, but no RTP",                                    \
    "The way is free: look at the client's microphone and mute button.")                           \
  X(kUnreachable, "unreachable", kFault, "what we send there comes back as undeliverable",         \
    "The host is off, nobody listens at that port, or a firewall rejects it: look there.")         \
  X(kOneWayNat, "one_way_nat", kFault,                                                             \
    "media goes to a private address while its signalling comes from another network",             \
    "The client is behind NAT: let it use ICE, or have the SIP server say SIP-source-address "     \
    "and port-latching.")                                                                          \
  X(kAuthFailed, "auth_failed", kFault,                                                            \
    "packets arrive whose SRTP tag does not verify: key or suite does not match",                  \
    "Compare the client's a=crypto line with what reached us; something on its way may change "    \
    "the SDP, or somebody else sends to this port.")                                               \
  X(kAuthFailedSinceRekey, "auth_failed_since_rekey", kFault,                                      \
    "no packet verifies since the key has changed",                                                \
    "The client still sends with its previous key: it has not taken over its last offer or "       \
    "answer; a re-INVITE makes a new one.")                                                        \
  X(kRtpNotSrtp, "rtp_where_srtp_is_due", kFault, "plain RTP arrives where SRTP was agreed",       \
    "Switch SRTP on at the client, or agree on RTP/AVP where that is allowed.")                    \
  X(kSrtpNotRtp, "srtp_where_rtp_is_due", kFault, "SRTP arrives where plain RTP was agreed",       \
    "Switch SRTP off at the client, or offer it RTP/SAVP (transport-protocol).")                   \
  X(kNoKeys, "no_keys", kFault, "SRTP is due and there is no key for it",                          \
    "Look at the a=crypto lines of offer and answer.")                                             \
  X(kDtlsNotDone, "dtls_not_done", kFault, "SRTP waits for a DTLS handshake",                      \
    "Look at the failure that it names; with none, at a=setup and at UDP on the way.")             \
  X(kDtlsClosed, "dtls_closed", kFault, "its end has closed the DTLS association",                 \
    "The client has left or met an error of its own: it needs a new call or offer.")               \
  X(kDtlsNotAgreed, "dtls_not_agreed", kFault, "DTLS or ICE checks arrive that SDP did not agree", \
    "The client believes in another description than we do: look who changed the SDP.")            \
  X(kIceNotConnected, "ice_not_connected", kFault, "ICE has found no way to it",                   \
    "UDP between the client and our media ports is blocked, or it did not get our candidates.")    \
  X(kConsentLost, "consent_lost", kFault, "ICE had a way and lost it: the client answers no more", \
    "Look at the client's network; media goes on when its checks arrive again.")                   \
  X(kWrongSource, "wrong_source", kFault, "packets arrive from another source than is allowed",    \
    "If that is the client (NAT, or several addresses), use SRTP or port-latching; if not, "       \
    "somebody tries the port.")                                                                    \
  X(kNotUnderstood, "not_understood", kFault, "what arrives is dropped for what it is",            \
    "Look what the client sends to this port.")                                                    \
  X(kDroppedHere, "dropped_here", kFault, "we drop what arrives: a limit or overload of ours",     \
    "See the reason that is named in docs/operations.md, and the load of the host.")               \
  X(kPayloadType, "payload_type", kFault,                                                          \
    "media passes with a payload type that the other end did not agree to",                        \
    "The other end will not play it: look at the codecs of offer and answer.")                     \
  X(kNoDestination, "no_destination", kFault, "we know no address to send to",                     \
    "SDP named none that may be used yet; the first authentic packets from there settle it.")      \
  X(kSendFailed, "send_failed", kFault, "the kernel refuses to send there",                        \
    "Look at routes and output filters of this host.")                                             \
  X(kNoFigures, "no_figures", kExplained, "the relay did not tell its figures", "Ask again.")

enum class Finding : std::uint8_t {
#define X(name, id, weight, text, remedy) name,
  TURNPIKE_FINDINGS(X)
#undef X
      kCount
};

struct FindingInfo {
  std::string_view id;
  Weight weight;
  std::string_view text;
  std::string_view remedy;
};

constexpr std::array<FindingInfo, static_cast<std::size_t>(Finding::kCount)> kFindings = {{
#define X(name, id, weight, text, remedy) {id, Weight::weight, text, remedy},
    TURNPIKE_FINDINGS(X)
#undef X
}};

constexpr const FindingInfo& info_of(Finding finding) {
  return kFindings[static_cast<std::size_t>(finding)];
}

}  // namespace turnpike::diagnosis
