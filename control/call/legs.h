// What the relay is told about a leg, derived from the call's state.
#pragma once

#include <functional>
#include <string>

#include "control/call/call.h"
#include "control/call/destinations.h"
#include "turnpike/command.h"
#include "turnpike/relay.h"

namespace turnpike::call {

/// True when the end on `side` ought to send media of this session now: answered, not on hold, and
/// wanted by the other side. Who passes keys on sees no m-lines, only what their transport has.
bool expects_media(const Call& call, const CallMedia& media, Side side);

enum class Which : std::uint8_t {
  kAll,         ///< after an answer
  kUnanswered,  ///< after an offer: what is in effect stays as it is until its answer
};
/// What a leg depends on besides its call.
struct LegRules {
  const CallServiceConfig& config;
  /// CallService::Environment::flow_to.
  const std::function<std::uint16_t(const std::string& peer, std::uint16_t shard)>& flow_to;
};
/// Tells the relay both legs of every m-line that has a session.
void update_legs(Relay& relay, const LegRules& rules, const Call& call, Which which);

/// What becomes of the media that `side` sends in this m-line. Only audio is made silent.
MediaSwitches switches_of(const Call& call, const CallMedia& media, Side side);
/// Tells the relay those of every m-line; with `all` also where none is set.
void update_switches(Relay& relay, const Call& call, bool all);

/// Only ICE and DTLS, which a relay that went on with the sessions of another does not know.
void update_transports(Relay& relay, const Call& call);

}  // namespace turnpike::call
