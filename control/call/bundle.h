// Which m-lines of a call share a transport (RFC 9143), as its state has it.
// Is not: the decision. See negotiation_bundle.cc.
#pragma once

#include <vector>

#include "control/call/call.h"

namespace turnpike::call {

/// The m-line, or what one was that carries others, with this session; null: it is gone.
CallMedia* find_session(Call& call, SessionId session);
const CallMedia* find_session(const Call& call, SessionId session);

/// The end on `side` has this m-line on the transport of another one.
inline bool rides(const CallMedia& media, Side side) {
  const SessionId carrier = media.sides[index_of(side)].carrier;
  return carrier.is_set() && carrier != media.session;
}

/// The session whose transport the m-line has on this side: mostly its own.
const CallMedia& transport_of_line(const Call& call, const CallMedia& media, Side side);
inline const MediaSide& transport_side(const Call& call, const CallMedia& media, Side side) {
  return transport_of_line(call, media, side).sides[index_of(side)];
}

/// Another m-line that is accepted, or may be, has its transport here.
bool carries(const Call& call, const CallMedia& media, Side side);

/// All of the call. Those that carry others come last: with them the figures of all that they carry
/// would be gone.
std::vector<SessionId> sessions_of(const Call& call);

/// No ICE, DTLS or key is in use on this side any more: another session has the transport.
void leave_transport(MediaSide& side);

}  // namespace turnpike::call
