// From where a leg accepts media and to where it sends: the rules of docs/security.md, M1 and M3.
// Pure decisions over ComponentState; the engine calls them in packet order.
#pragma once

#include "relay/media/state.h"
#include "turnpike/ids.h"
#include "turnpike/time.h"

namespace turnpike::media {

/// A new source must send this many newest packets in a row before an SRTP leg follows it ...
constexpr unsigned kMovePackets = 3;
/// ... RTCP is rare: of SRTCP this many ...
constexpr unsigned kMovePacketsRtcp = 2;
/// ... while nothing came from the present one for this long ...
constexpr Milliseconds kMoveSilence{500};
/// ... and at most so often.
constexpr Seconds kMoveInterval{1};

/// Plain RTP: whether a packet from `source` is accepted on this component; latches where the
/// policy says so. Nothing but the address speaks for a plain packet.
bool accept_plain(LegState& leg, Component component, const SocketAddress& source, Instant now);

/// SRTP, after the tag has verified: takes note of the source. `newest`: the packet's index is
/// higher than any before of its stream. True when the destination moved to `source`.
bool note_authenticated(LegState& leg, Component component, const SocketAddress& source,
                        bool newest, bool rtcp, Instant now);

/// SRTP: an authentic but already received packet came from the present destination: it is alive,
/// and whoever raced it with copies does not become the destination.
void note_authentic_replay(LegState& leg, Component component, const SocketAddress& source,
                           Instant now);

/// Applies newly signalled addresses to where the leg sends. A learned source stays when the
/// signalled address did not change; a latch opens again at every offer and answer.
void apply_signalled(LegState& leg, const LegConfig& previous);

/// The component that carries RTCP towards the remote end.
inline Component rtcp_component(const LegState& leg) {
  return leg.config.rtcp_mux ? Component::kRtp : Component::kRtcp;
}

}  // namespace turnpike::media
