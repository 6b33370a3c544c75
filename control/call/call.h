// The state of a call as plain data: copied to try a change, kept only when the change succeeded,
// and written to a record so that a restart finds it again.
// Is not: behaviour. See negotiation.h (offer/answer), legs.h (what the relay is told).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "control/sdp/crypto.h"
#include "control/sdp/media.h"
#include "control/sdp/transport.h"
#include "turnpike/command.h"
#include "turnpike/ids.h"
#include "turnpike/time.h"
#include "turnpike/transport.h"

namespace turnpike::call {

/// Where the keys of an end's media come from.
enum class Keying : std::uint8_t {
  kPlain = 0,  ///< RTP without keys
  kSdes = 1,   ///< a=crypto, RFC 4568
  kDtls = 2,   ///< RFC 5763
  // At the edge of a traversal pair the ends have them, and this node does not:
  kPassedSdes = 3,  ///< its signalling sees them
  kPassedDtls = 4,  ///< nor does its signalling
};
std::string_view name_of(Keying keying);
constexpr bool is_passed(Keying keying) {
  return keying >= Keying::kPassedSdes;
}

/// What one end said about one m-line in its last offer or answer.
struct RemoteMedia {
  sdp::Addresses address;  ///< port 0 = nothing said
  bool held = false;       ///< null address: send nothing there (RFC 3264 section 8.4)
  sdp::Direction direction = sdp::Direction::kSendRecv;
  bool rtcp_mux = false;       ///< it said a=rtcp-mux
  bool rtcp_mux_only = false;  ///< RFC 8858
  unsigned crypto_tag = 0;
  sdp::SecretKeying key;  ///< its key; unset on plain RTP and with DTLS
  /// Unset: no ICE with this end. With ICE, `address` is only a hint and may be unset.
  sdp::SecretIceCredentials ice;
  bool ice_lite = false;
  std::vector<IceCandidate> candidates;  ///< those that media may go to, best first
  sdp::DtlsDescription dtls;             ///< fingerprint unset: no DTLS
  /// Payload types that it takes, and so those that the other end may send.
  std::array<std::uint64_t, 2> payload_types{};
  std::uint8_t mid_extension = 0;  ///< id of the header extension for a=mid; 0 = none
  Carriage carriage;               ///< of the other node of a pair; its flow stands elsewhere
  /// Its formats in full, to describe to subscribers what it is sent (spoken.h). Empty: nothing
  /// said, or too long to keep.
  std::string spoken;
};

/// What we say of ourselves to an end that does ICE.
struct OwnIce {
  bool in_use = false;
  bool lite = false;
  bool controlling = false;
  sdp::SecretIceCredentials credentials;  ///< stay over re-offers; new ones are a restart
};

/// What we say of ourselves to an end that does DTLS.
struct OwnDtls {
  DtlsIdentity identity;
  std::string tls_id;  ///< RFC 8842; not every description of ours has it
  /// The process that has the certificate and did the handshake, if there was one, is gone.
  bool lost = false;

  bool is_set() const { return identity.id != 0; }
  bool is_same(const OwnDtls& o) const {
    return identity.id == o.identity.id && identity.fingerprint == o.identity.fingerprint &&
           tls_id == o.tls_id;
  }
};

/// Sources that an end's media may come from, by the flags of its last message.
struct SourceRules {
  SourcePolicy policy = SourcePolicy::kStrict;
  IpAddress received_from;
};

/// NG "connect": an end of another call is in the place of the end on this side, which is sent
/// nothing. It is reached through this host, at the port of ours that its own call does not use.
struct Bridge {
  SessionId session;       ///< of that call; unset: there is no bridge
  sdp::Addresses address;  ///< its port; unset: that call is over
  sdp::SecretKeying receive;
  sdp::SecretKeying send;                        ///< both unset: plain RTP
  bool sends = false;                            ///< by its description
  std::array<std::uint64_t, 2> payload_types{};  ///< that it takes

  bool is_set() const { return session.is_set(); }
};

/// One side of one m-line, as it is in effect.
struct MediaSide {
  RemoteMedia remote;
  sdp::Profile profile = sdp::Profile::kAvp;
  Keying keying = Keying::kPlain;
  OwnIce ice;
  OwnDtls dtls;
  DtlsRole dtls_role = DtlsRole::kUndecided;
  std::uint32_t association = 0;  ///< DtlsConfig::association; 0 = there was none yet
  bool has_transport = false;     ///< ICE or DTLS is or was in use: the relay was told
  bool rtcp_mux = false;          ///< both components on the RTP port
  /// Of m-lines that share one transport (RFC 9143), the session that has it on this side; that
  /// one's MediaSide has what concerns ICE, DTLS and keys. Unset: a transport of its own.
  SessionId carrier;
  std::string mid;                     ///< a=mid as this end knows it; while there is a carrier
  std::uint32_t clock_rate_hz = 8000;  ///< RTP clock of what this end sends
  SrtpSuite suite = SrtpSuite::kNone;  ///< in use towards this end
  /// Our keys towards this end, by suite. One that was given up is replaced before its suite is
  /// offered again: the relay no longer knows which indices it was used for.
  std::array<sdp::SecretKeying, kSrtpSuiteCount> keys;
  /// Until the end gives another description.
  Bridge bridge;

  /// Where media of this side goes.
  const sdp::Addresses& goes_to() const {
    return bridge.is_set() ? bridge.address : remote.address;
  }
};

/// Whose media a subscriber gets in one of its m-lines: what the end on `side` sends in m-line
/// `line` (from 0) of the call that it subscribes to.
struct HeardMedia {
  std::uint32_t line = 0;
  Side side = Side::kA;
  SessionId session;  ///< of that m-line now; unset: nothing is heard
  std::string tag;    ///< of that end, who alone is meant; empty: whoever is on that side
};

/// What a call is.
enum class CallForm : std::uint8_t {
  kTwoEnds = 0,
  kPublished = 1,   ///< A sends to whoever subscribes; there is no B
  kSubscribed = 2,  ///< A hears what others send in another call; B stands for them
};

struct CallMedia {
  std::string kind;       ///< "audio"
  bool accepted = false;  ///< by the last answer
  bool answered = false;  ///< some answer spoke of it since its session was opened
  SessionId session;
  SessionPorts ports;
  SessionSpec spec;
  /// Of our two candidates, where there are two: stays as ends were told.
  AddressFamily preferred_family = AddressFamily::kIpv6;
  std::array<MediaSide, 2> sides;
  /// When the relay last reported silence, by side; Instant{} = not silent.
  std::array<Instant, 2> silent_since{};

  bool has_session() const { return session.is_set(); }
};

struct OfferedCrypto {
  unsigned tag = 0;
  SrtpSuite suite = SrtpSuite::kNone;
};

/// One m-line of an offer, kept until its answer.
struct OfferedMedia {
  std::string kind;
  std::string protocol;   ///< of the offerer's m= line; the answer to it repeats it
  bool accepted = false;  ///< passed on to the other side; false = refused with port 0
  RemoteMedia sender;
  sdp::Profile receiver_profile = sdp::Profile::kAvp;
  Keying sender_keying = Keying::kPlain;
  Keying receiver_keying = Keying::kPlain;
  DtlsRole answer_role = DtlsRole::kPassive;  ///< ours towards an offerer that leaves it to us
  OwnIce receiver_ice;                        ///< in_use: written towards the receiver
  bool sender_ice_lite = false;               ///< answer the offerer as ICE lite
  OwnDtls receiver_dtls;                      ///< written towards the receiver
  std::string mid;                            ///< a=mid of the offer; the answer to it repeats it
  std::string bundle_mid;                     ///< a=mid, if the offer has it in its BUNDLE group
  std::uint16_t bundle_rank = 0;              ///< place in that group, from 1; 0 = in none
  bool bundle_only = false;  ///< it has no transport but that of its group (RFC 9143 section 6)
  std::string receiver_mid;  ///< a=mid towards the receiver, if our offer has it in a group
  /// Of the session whose transport the receiver's end shares already: offered on that one.
  SessionId shared;
  bool mux_offered = false;  ///< a=rtcp-mux was written towards the receiver
  bool mux_accept = false;   ///< answer the offerer's rtcp-mux with yes whatever the receiver says
  bool mux_reject = false;
  std::vector<OfferedCrypto> crypto;  ///< lines written towards the receiver

  bool rides() const { return shared.is_set(); }
};

/// The last offer of a side. It stays after its answer: forks and repeated replies answer it again.
struct Offer {
  bool in_dialog = false;  ///< re-INVITE or UPDATE: there are no forks
  SourceRules rules;
  std::vector<OfferedMedia> media;
};

struct CallSide {
  std::string tag;
  std::string label;                    ///< that the SIP server gave it; empty: none
  MediaSwitches switches;               ///< of what it sends
  std::vector<std::string> other_tags;  ///< forks that answered before the present one
  Instant since{};
  std::uint16_t interface_index = 0;
  std::string interface;  ///< its name: after a restart it may have another index
  SourceRules rules;
  /// o= user name and s= as first written towards this side; empty when they are not replaced.
  std::string sent_username;
  std::string sent_session_name;
};

/// Sums over sessions: what ends sent us.
struct Totals {
  std::uint64_t rtp_packets = 0;
  std::uint64_t rtp_bytes = 0;
  std::uint64_t rtp_errors = 0;  ///< everything that was dropped
  std::uint64_t rtcp_packets = 0;

  Totals& operator+=(const Totals& more) {
    rtp_packets += more.rtp_packets;
    rtp_bytes += more.rtp_bytes;
    rtp_errors += more.rtp_errors;
    rtcp_packets += more.rtcp_packets;
    return *this;
  }
};

/// Why a call has ended.
enum class Ending : std::uint8_t {
  kDeleted,
  kDeletedLater,  ///< after its delay
  kNotAnswered,
  kSilent,
  kHeldTooLong,  ///< nothing was to be sent, and nobody said anything
  kByOperator,
  kLost,  ///< the process died before its relay had the call
  kCount
};

/// The end of a call.
struct End {
  Ending why = Ending::kDeleted;
  Instant at{};
  std::int64_t unix_us = 0;  ///< `at` by the clock of then
};

struct Call {
  std::string id;
  std::uint64_t record_key = 0;
  Instant created{};
  std::int64_t created_unix_us = 0;
  Instant last_signal{};  ///< last offer or answer that was taken
  std::int64_t last_signal_unix_us = 0;
  bool answered = false;
  Instant delete_at{};     ///< Instant{} = not to be deleted
  MediaSwitches switches;  ///< of all that is sent, besides those of each side
  std::array<CallSide, 2> sides;
  std::vector<CallMedia> media;
  /// What m-lines were that ended while others still share their transport.
  std::vector<CallMedia> carriers;
  std::array<std::optional<Offer>, 2> offers;  ///< by offerer
  Totals past;                                 ///< of sessions that it has no longer
  Instant answered_at{};                       ///< the first answer
  CallForm form = CallForm::kTwoEnds;
  std::string subscribed_to;      ///< of kSubscribed: call-id of the other call
  std::vector<HeardMedia> heard;  ///< of kSubscribed, by m-line

  /// Side B has no end.
  bool is_one_sided() const { return form != CallForm::kTwoEnds; }

  CallSide& side(Side which) { return sides[index_of(which)]; }
  const CallSide& side(Side which) const { return sides[index_of(which)]; }
};

}  // namespace turnpike::call
