// Implements legs.h.
#include "control/call/legs.h"

#include <algorithm>

#include "control/call/bundle.h"
#include "control/call/transport.h"

namespace turnpike::call {
namespace {

bool line_sends(const CallMedia& media, Side side) {
  if (!media.answered || !media.accepted) return false;
  const RemoteMedia& sender = media.sides[index_of(side)].remote;
  const MediaSide& opposite = media.sides[index_of(other(side))];
  if (opposite.bridge.is_set()) {
    return !sender.held && sdp::sends(sender.direction) && opposite.bridge.address.rtp.is_set();
  }
  const RemoteMedia& receiver = opposite.remote;
  if (sender.held || receiver.held) return false;
  return sdp::sends(sender.direction) && sdp::receives(receiver.direction);
}

/// A leg to the other node of the pair.
void carry(const LegRules& rules, const CallSide& end, const RemoteMedia& remote, LegConfig& leg) {
  leg.carriage = remote.carriage;
  if (leg.carriage.generation == 0) return;
  const std::string& peer = rules.config.interfaces[end.interface_index].name;
  leg.carriage.flow = rules.flow_to(peer, leg.carriage.shard);
}

/// Side B of a session that has no end there. Nobody is heard before an answer says where to.
LegConfig absent_leg(const Call& call, const CallMedia& media) {
  LegConfig leg;
  leg.absent = true;
  leg.expects_media = false;
  leg.clock_rate_hz = media.sides[index_of(Side::kB)].clock_rate_hz;
  const RemoteMedia& receiver = media.sides[index_of(Side::kA)].remote;
  if (!media.answered || !media.accepted || !sdp::receives(receiver.direction)) return leg;
  for (std::size_t i = 0; i < call.heard.size() && i < call.media.size(); ++i) {
    const HeardMedia& heard = call.heard[i];
    if (&call.media[i] != &media || heard.session.shard != media.session.shard) continue;
    leg.hears = {heard.session, heard.side};
  }
  return leg;
}

/// To an end of another call: by rules of its own, not those of the end that was there.
LegConfig bridge_leg(const Call& call, const CallMedia& media, Side which) {
  const MediaSide& side = media.sides[index_of(which)];
  LegConfig leg;
  leg.source_policy = SourcePolicy::kStrict;
  leg.remote = {side.bridge.address.rtp, side.bridge.address.rtcp};
  leg.receive = side.bridge.receive.value;
  leg.send = side.bridge.send.value;
  leg.must_encrypt = leg.send.suite != SrtpSuite::kNone;
  leg.expects_media = expects_media(call, media, which);
  leg.clock_rate_hz = side.clock_rate_hz;
  return leg;
}

LegConfig leg_of(const LegRules& rules, const Call& call, const CallMedia& media, Side which) {
  if (call.is_one_sided() && which == Side::kB) return absent_leg(call, media);
  const MediaSide& side = media.sides[index_of(which)];
  if (side.bridge.is_set()) return bridge_leg(call, media, which);
  const CallSide& end = call.side(which);
  const Destinations destinations(rules.config);
  LegConfig leg;
  // A leg that is to be SRTP is so from its first moment, long before it has keys.
  leg.must_encrypt = sdp::is_secure(side.profile);
  leg.dtls = side.keying == Keying::kDtls;
  leg.opaque = is_passed(side.keying);
  leg.source_policy = end.rules.policy;
  leg.received_from = end.rules.received_from;
  leg.rtcp_mux = side.rtcp_mux;
  leg.expects_media = expects_media(call, media, which);
  leg.clock_rate_hz = side.clock_rate_hz;
  const bool given_up = media.answered && !media.accepted;
  // Without keys there is no telling m-lines apart: all of a transport goes on as it comes.
  if (side.carrier.is_set() && !given_up && !leg.opaque) {
    leg.bundle.transport = side.carrier;
    leg.bundle.mid.assign(side.mid);
    leg.bundle.mid_extension = side.remote.mid_extension;
    const MediaSide& receiver = media.sides[index_of(other(which))];
    leg.bundle.payload_types =
        receiver.bridge.is_set() ? receiver.bridge.payload_types : receiver.remote.payload_types;
  }
  if (rides(media, which)) {
    leg.dtls = false;
    return leg;
  }
  const bool in_use = !given_up || carries(call, media, which);
  leg.ice = side.ice.in_use && in_use;
  const bool held = side.remote.address.rtp.ip.is_unspecified();
  if (rules.config.is_zone_peer(end.interface_index)) carry(rules, end, side.remote, leg);
  if (in_use && !held) {
    leg.remote = {side.remote.address.rtp, side.remote.address.rtcp};
    // The association is that of the RTP port: an RTCP port of its own would need another one
    // (RFC 5764 section 4.2).
    if (leg.dtls && !leg.rtcp_mux) leg.remote[index_of(Component::kRtcp)] = SocketAddress{};
    leg.remote_unproven =
        !rules.config.is_zone_peer(end.interface_index) &&
        std::any_of(leg.remote.begin(), leg.remote.end(), [&](const SocketAddress& address) {
          return destinations.needs_proof(end.interface_index, address);
        });
    // Who has no keys cannot see a proof: the core names the source that gave it.
    if (leg.opaque && leg.remote_unproven) leg.remote = {};
    if (destinations.is_shared(side.remote.address.rtp)) leg.source_policy = SourcePolicy::kStrict;
    for (SocketAddress& address : leg.remote) address = destinations.route(address);
  }
  // Keys stay while another branch may still take the m-line: taken away and given back, they
  // would be used from the first packet index again.
  if (side.keying == Keying::kSdes) {
    leg.receive = side.remote.key.value;
    leg.send = side.keys[static_cast<std::size_t>(side.suite)].value;
  }
  return leg;
}

void update_transport(Relay& relay, const Call& call, const CallMedia& media, Side side) {
  const MediaSide& own = media.sides[index_of(side)];
  if (!own.has_transport) return;
  TransportConfig transport;
  if (!rides(media, side) && !own.bridge.is_set())
    transport = transport_of(media, side, carries(call, media, side));
  relay.update_transport(media.session, side, transport);
  sdp::wipe(transport.ice.local);
  sdp::wipe(transport.ice.remote);
}

}  // namespace

bool expects_media(const Call& call, const CallMedia& media, Side side) {
  // A subscriber sends nothing, and what others send is looked after in their own call.
  if (call.form == CallForm::kSubscribed) return false;
  if (const Bridge& bridge = media.sides[index_of(side)].bridge; bridge.is_set()) {
    return media.answered && media.accepted && bridge.sends && bridge.address.rtp.is_set();
  }
  if (!is_passed(media.sides[index_of(side)].keying)) return line_sends(media, side);
  if (rides(media, side)) return false;
  return line_sends(media, side) ||
         std::any_of(call.media.begin(), call.media.end(), [&](const CallMedia& line) {
           return line.sides[index_of(side)].carrier == media.session && line_sends(line, side);
         });
}

void update_legs(Relay& relay, const LegRules& rules, const Call& call, Which which) {
  for (const auto* sessions : {&call.media, &call.carriers}) {
    for (const CallMedia& media : *sessions) {
      if (!media.has_session() || (which == Which::kUnanswered && media.answered)) continue;
      for (const Side side : {Side::kA, Side::kB}) {
        update_transport(relay, call, media, side);
        LegConfig leg = leg_of(rules, call, media, side);
        relay.update_leg(media.session, side, leg);
        sdp::wipe(leg.receive);
        sdp::wipe(leg.send);
      }
    }
  }
}

MediaSwitches switches_of(const Call& call, const CallMedia& media, Side side) {
  // Whoever is connected in the place of an end is not meant by what was said of that one.
  const bool is_end = !media.sides[index_of(side)].bridge.is_set();
  const MediaSwitches own = is_end ? call.side(side).switches : MediaSwitches{};
  const bool silenced = call.switches.silenced || own.silenced;
  return {call.switches.blocked || own.blocked, silenced && media.kind == "audio"};
}

void update_switches(Relay& relay, const Call& call, bool all) {
  for (const CallMedia& media : call.media) {
    if (!media.has_session()) continue;
    for (const Side side : {Side::kA, Side::kB}) {
      const MediaSwitches switches = switches_of(call, media, side);
      if (all || switches.any()) relay.switch_media(media.session, side, switches);
    }
  }
}

void update_transports(Relay& relay, const Call& call) {
  for (const auto* sessions : {&call.media, &call.carriers}) {
    for (const CallMedia& media : *sessions) {
      if (!media.has_session()) continue;
      for (const Side side : {Side::kA, Side::kB}) update_transport(relay, call, media, side);
    }
  }
}

}  // namespace turnpike::call
