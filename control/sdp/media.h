// Typed access to what a relay needs from an m= section: profile, addresses, RTCP, direction.
// Is not: a decision. What a call does with it lies in control/call.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "control/sdp/sdp.h"
#include "turnpike/address.h"
#include "turnpike/ids.h"
#include "turnpike/result.h"

namespace turnpike::sdp {

/// RTP profiles over UDP: RFC 3551, 4585, 3711, 5124; keyed by DTLS in any case: RFC 5764.
enum class Profile : std::uint8_t {
  kAvp = 0,
  kAvpf = 1,
  kSavp = 2,
  kSavpf = 3,
  kTlsSavp = 4,
  kTlsSavpf = 5,
};
constexpr bool is_secure(Profile profile) {
  return profile >= Profile::kSavp;
}
constexpr bool is_tls(Profile profile) {
  return profile >= Profile::kTlsSavp;
}
/// The profile with the same feedback that leaves keying to the description.
constexpr Profile without_tls(Profile profile) {
  return is_tls(profile) ? static_cast<Profile>(static_cast<std::uint8_t>(profile) - 2) : profile;
}
/// "RTP/SAVP", "UDP/TLS/RTP/SAVP" and so on.
std::string_view name_of(Profile profile);
/// Nothing for protocols that are none of these.
std::optional<Profile> profile_of(std::string_view protocol);
/// SRTP keyed by DTLS (RFC 5764), over UDP or TCP: "UDP/TLS/RTP/SAVPF", …
bool is_dtls_srtp(std::string_view protocol);

/// RFC 8866 section 6.7, seen from the end that wrote it.
enum class Direction : std::uint8_t { kSendRecv = 0, kSendOnly = 1, kRecvOnly = 2, kInactive = 3 };
constexpr bool sends(Direction d) {
  return d == Direction::kSendRecv || d == Direction::kSendOnly;
}
constexpr bool receives(Direction d) {
  return d == Direction::kSendRecv || d == Direction::kRecvOnly;
}
constexpr Direction direction_of(bool sends, bool receives) {
  if (sends) return receives ? Direction::kSendRecv : Direction::kSendOnly;
  return receives ? Direction::kRecvOnly : Direction::kInactive;
}
std::string_view name_of(Direction direction);

MediaKind kind_of(const Media& media);

/// An error that names the m= line.
Error error_at(const Media& media, std::string_view reason);

/// Direction of an m= section: its own attribute, else the session's, else sendrecv.
Direction direction_of(const Session& session, const Media& media);
/// Drops direction attributes and writes this one.
void set_direction(Media& media, Direction direction);
void remove_directions(std::vector<Attribute>& attributes);

/// Where the end wants its RTP and RTCP (RFC 8866 section 5.7, RFC 3605). An unspecified address
/// (0.0.0.0, ::) is returned as such: it means hold (RFC 3264 section 8.4). RTCP has port 0 when
/// the end wants none (RFC 3556 says so with bandwidths; here: RTP on port 65535).
/// Errors: no c= line, a host name, multicast, a damaged a=rtcp.
struct Addresses {
  SocketAddress rtp;
  SocketAddress rtcp;
};
Result<Addresses> addresses_of(const Session& session, const Media& media);

/// The RTP clock of the first format that is neither comfort noise nor DTMF events, by its rtpmap
/// or as a static payload type; 90000 for video and 8000 for others when nothing says so.
std::uint32_t clock_rate_hz_of(const Media& media);

/// Adds `a=rtpmap` for static payload types (RFC 3551 section 6) that have none.
void add_static_rtpmaps(Media& media);

}  // namespace turnpike::sdp
