// What the relay is told about a leg, derived from the call's state.
#pragma once

#include "control/call/call.h"
#include "control/call/destinations.h"
#include "turnpike/command.h"
#include "turnpike/relay.h"

namespace turnpike::call {

/// True when the end on `side` ought to send media now: answered, not on hold, and wanted by the
/// other side.
bool expects_media(const CallMedia& media, Side side);

enum class Which : std::uint8_t {
  kAll,         ///< after an answer
  kUnanswered,  ///< after an offer: what is in effect stays as it is until its answer
};
/// Tells the relay both legs of every m-line that has a session.
void update_legs(Relay& relay, const Destinations& destinations, const Call& call, Which which);

/// Only ICE and DTLS, which a relay that went on with the sessions of another does not know.
void update_transports(Relay& relay, const Call& call);

}  // namespace turnpike::call
