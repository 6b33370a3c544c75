// What is different where one end of a call is behind another node of a traversal pair. See
// negotiation.h.
#include <algorithm>

#include "control/call/negotiation.h"
#include "control/sdp/bundle.h"
#include "control/sdp/carriage.h"

namespace turnpike::call {
namespace {

constexpr int kAnyShard = -1;

}  // namespace

Result<void> Negotiation::check_way() {
  const bool a = is_zone_peer(Side::kA);
  const bool b = is_zone_peer(Side::kB);
  if (passes_keys() && a == b) {
    return Error{
        "the edge of a traversal pair relays between its clients and a core: one direction must "
        "be an interface, the other one a peer of a zone (\"ZONE/PEER\")"};
  }
  if (call_.answered) return {};
  for (const Side side : {Side::kA, Side::kB}) {
    if (auto flow = check_flow(side, kAnyShard); !flow) return flow;
  }
  return {};
}

Result<void> Negotiation::check_flow(Side side, int shard) {
  const std::string& name = config_.interfaces[call_.side(side).interface_index].name;
  if (!is_zone_peer(side) || environment_.has_flow(name, shard)) return {};
  lacks_flow_ = true;
  return Error{"no media can go to " + name +
               " now: its flows are not bound; `turnpikectl zone` tells more"};
}

Result<void> Negotiation::keyed_as_required(Side side, Keying keying,
                                            const sdp::Media& line) const {
  const std::string& name = config_.interfaces[call_.side(side).interface_index].name;
  const bool dtls = keying == Keying::kDtls || keying == Keying::kPassedDtls;
  if (dtls || is_absent(side) || !config_.dtls_interfaces.contains(name)) return {};
  return sdp::error_at(line, "the zone takes keys by DTLS only (require_dtls), not a=crypto");
}

Result<Keying> Negotiation::passed_keying(const sdp::Session& description,
                                          const sdp::Media& line) const {
  // As the core reads it: with a protocol of DTLS, a=crypto counts for nothing.
  const auto profile = sdp::profile_of(line.protocol);
  const bool tls = profile && sdp::is_tls(*profile);
  const bool sdes = !tls && sdp::has(line.attributes, "crypto");
  const bool dtls = sdp::has_fingerprint(description, line);
  if (!sdes && !dtls) return sdp::error_at(line, "SRTP without a=crypto and without a=fingerprint");
  const Keying keying = sdes ? Keying::kPassedSdes : Keying::kPassedDtls;
  for (const Side side : {Side::kA, Side::kB}) {
    if (auto allowed = keyed_as_required(side, keying, line); !allowed) return allowed.error();
  }
  return keying;
}

// The protocol, the keys and a=rtcp-mux are between the client and the core.
Result<void> Negotiation::pass_offer(const sdp::Session& description, const sdp::Media& line,
                                     sdp::Profile profile, OfferedMedia& offered) const {
  const auto keying = passed_keying(description, line);
  if (!keying) return keying.error();
  offered.sender_keying = offered.receiver_keying = *keying;
  offered.receiver_profile = profile;
  offered.mux_offered = offered.sender.rtcp_mux;
  return {};
}

void Negotiation::group_first(std::vector<OutgoingMedia>& outgoing, const Offer& offer) {
  if (std::any_of(outgoing.begin(), outgoing.end(), [](const auto& o) { return o.bundled; }))
    return;
  for (std::size_t i = 0; i < outgoing.size(); ++i) {
    if (!outgoing[i].accepted || !outgoing[i].ice || !outgoing[i].rtcp_mux) continue;
    outgoing[i].bundled = true;
    outgoing[i].mid = offer.media[i].mid.empty() ? std::to_string(i) : offer.media[i].mid;
    return;
  }
}

Result<RemoteMedia> Negotiation::read_node(Side side, const sdp::Session& description,
                                           const sdp::Media& line) {
  auto carriage = sdp::carriage_of(line);
  if (!carriage) return carriage.error();
  if (passes_keys() && !call_.answered) {
    if (auto flow = check_flow(side, carriage->shard); !flow) return flow.error();
  }
  RemoteMedia remote;
  remote.carriage = *carriage;
  remote.address = {address_of_source(0), address_of_source(0)};
  remote.direction = sdp::direction_of(description, line);
  remote.rtcp_mux_only = sdp::has(line.attributes, "rtcp-mux-only");
  remote.rtcp_mux = remote.rtcp_mux_only || sdp::has(line.attributes, "rtcp-mux");
  remote.payload_types = sdp::payload_types_of(line);
  remote.mid_extension = sdp::mid_extension_of(line);
  return remote;
}

Carriage Negotiation::carriage_towards(const CallMedia& transport, Side to) const {
  Carriage carriage;
  carriage.shard = static_cast<std::uint8_t>(transport.session.shard);
  carriage.side = to;
  carriage.slot = transport.session.slot;
  carriage.generation = transport.session.generation;
  return carriage;
}

}  // namespace turnpike::call
