// From where a leg accepts media and to where it sends: the rules of docs/security.md, M1 and M3.
// Pure decisions over ComponentState; the engine calls them in packet order.
//
// An SRTP leg follows an address that sends authentic, newest packets. Such packets can be copies,
// made by somebody who sees them and is faster than the client: then the originals come second,
// from somewhere else. So a copy that verifies contests a move that is about to happen, or has just
// happened. Between two contestants the one at an address that signalling names wins; between
// equals nobody does, and the leg goes back to where it was.
#pragma once

#include "relay/media/state.h"
#include "turnpike/ids.h"
#include "turnpike/time.h"

namespace turnpike::media {

/// How one component follows a source. RTCP is rare, so everything takes it longer.
struct Pace {
  unsigned packets;       ///< this many newest packets in a row, nobody contesting them
  Nanoseconds silence;    ///< while the destination was silent for so long
  Nanoseconds patience;   ///< over so long, where signalling does not name the address
  Nanoseconds probation;  ///< for so long copies from elsewhere undo it
};
constexpr Pace kRtpPace{3, Milliseconds{500}, Milliseconds{500}, Seconds{5}};
constexpr Pace kRtcpPace{2, Seconds{15}, Milliseconds{500}, Seconds{60}};
/// Destinations change at most so often.
constexpr Seconds kMoveInterval{1};

/// Plain RTP: whether a packet from `source` is accepted on this component; latches where the
/// policy says so. Nothing but the address speaks for a plain packet.
bool accept_plain(LegState& leg, Component component, const SocketAddress& source, Instant now);

/// What an authentic SRTP packet was.
enum class Heard : std::uint8_t {
  kNewest,  ///< its index is higher than any before of its stream
  kLate,    ///< new, but overtaken
  kCopy,    ///< received already (the tag has verified nevertheless)
};

/// SRTP, after the tag has verified: takes note of the source. True when the destination changed.
bool note_authenticated(LegState& leg, Component component, const SocketAddress& source,
                        Heard heard, Instant now);

/// Whether a copy could change anything: only then its tag is worth a look.
bool copy_matters(const LegState& leg, Component component, Instant now);

/// Applies newly signalled addresses to where the leg sends. A learned source stays when the
/// signalled address did not change; a latch opens again at every offer and answer.
void apply_signalled(LegState& leg, const LegConfig& previous);

/// Sends a component there from now on, on the word of somebody who has proof; unset: nowhere.
void set_destination(ComponentState& state, const SocketAddress& destination);

/// The component that carries RTCP towards the remote end.
inline Component rtcp_component(const LegState& leg) {
  return leg.config.rtcp_mux ? Component::kRtp : Component::kRtcp;
}

}  // namespace turnpike::media
