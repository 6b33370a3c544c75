// Implements signalling.h.
#include "control/call/signalling.h"

#include "control/call/bundle.h"
#include "control/call/legs.h"

namespace turnpike::call {
namespace {

diagnosis::Protection protection_of(Keying keying) {
  switch (keying) {
    case Keying::kPlain:
      return diagnosis::Protection::kPlain;
    case Keying::kSdes:
      return diagnosis::Protection::kSdes;
    case Keying::kDtls:
      return diagnosis::Protection::kDtls;
    case Keying::kPassedSdes:
    case Keying::kPassedDtls:
      return diagnosis::Protection::kPassed;
  }
  return diagnosis::Protection::kPlain;
}

/// Who passes keys on sees a transport as a whole: what any m-line on it may do is to be seen
/// there.
void add_riders(const Call& call, const CallMedia& transport, Side side,
                diagnosis::Signalling& signalled) {
  diagnosis::LegSignalling& leg = signalled.legs[index_of(side)];
  for (const CallMedia& line : call.media) {
    const MediaSide& own = line.sides[index_of(side)];
    if (own.carrier != transport.session || !line.accepted) continue;
    signalled.accepted = true;
    leg.sends = leg.sends || (sdp::sends(own.remote.direction) && !own.remote.held);
    leg.receives = leg.receives || (sdp::receives(own.remote.direction) && !own.remote.held);
    for (std::size_t i = 0; i < leg.payload_types.size(); ++i) {
      leg.payload_types[i] |= own.remote.payload_types[i];
    }
  }
}

}  // namespace

diagnosis::Signalling signalling_of(const Call& call, const CallMedia& media) {
  diagnosis::Signalling signalled;
  signalled.answered = media.answered;
  signalled.accepted = media.accepted;
  signalled.since = call.last_signal;
  for (const Side side : {Side::kA, Side::kB}) {
    const MediaSide& own = media.sides[index_of(side)];
    const CallMedia& transport = transport_of_line(call, media, side);
    const MediaSide& carrier = transport.sides[index_of(side)];
    const RemoteMedia& remote = own.remote;
    diagnosis::LegSignalling& leg = signalled.legs[index_of(side)];
    if (!remote.held || carrier.bridge.is_set()) leg.remote = carrier.goes_to().rtp;
    leg.from = call.side(side).rules.received_from;
    leg.policy = call.side(side).rules.policy;
    leg.protection = protection_of(carrier.keying);
    leg.ice = carrier.ice.in_use;
    leg.carried = !transport.ports.local[index_of(side)][index_of(Component::kRtp)].is_set();
    leg.rides = rides(media, side);
    const MediaSwitches switches = switches_of(call, media, side);
    leg.blocked = switches.blocked;
    leg.silenced = switches.silenced;
    leg.sends = sdp::sends(remote.direction) && !remote.held;
    leg.receives = sdp::receives(remote.direction) && !remote.held;
    leg.direction = remote.held ? "held" : sdp::name_of(remote.direction);
    if (is_passed(carrier.keying) && !leg.rides) add_riders(call, media, side, signalled);
    leg.payload_types = remote.payload_types;
  }
  return signalled;
}

}  // namespace turnpike::call
