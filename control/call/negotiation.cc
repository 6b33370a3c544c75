// What offers and answers have in common.
#include "control/call/negotiation.h"

#include <algorithm>
#include <utility>

#include "control/call/destinations.h"
#include "control/sdp/bundle.h"

namespace turnpike::call {
namespace {

/// Of a name that is kept with the call; a longer one is cut for the other side too.
constexpr std::size_t kKeptTextBytesMax = 255;

}  // namespace

bool Negotiation::has_mux_flag(RtcpMuxFlag flag) const {
  if (passes_keys()) return false;  // it is between the client and the core
  return std::find(request_.rtcp_mux.begin(), request_.rtcp_mux.end(), flag) !=
         request_.rtcp_mux.end();
}

SourceRules Negotiation::source_rules() const {
  SourceRules rules;
  rules.received_from = request_.received_from;
  rules.policy = config_.source_policy;
  if (request_.strict_source) {
    rules.policy = SourcePolicy::kStrict;
  } else if (request_.asymmetric) {
    rules.policy = SourcePolicy::kAsymmetric;
  } else if (request_.port_latching) {
    rules.policy = SourcePolicy::kLatch;
  }
  return rules;
}

Result<RemoteMedia> Negotiation::read_remote(Side side, const sdp::Session& description,
                                             const sdp::Media& line, bool with_ice) {
  if (is_zone_peer(side)) return read_node(side, description, line);
  RemoteMedia remote;
  remote.direction = sdp::direction_of(description, line);
  remote.rtcp_mux_only = sdp::has(line.attributes, "rtcp-mux-only");
  remote.rtcp_mux = remote.rtcp_mux_only || sdp::has(line.attributes, "rtcp-mux");
  remote.payload_types = sdp::payload_types_of(line);
  remote.mid_extension = sdp::mid_extension_of(line);
  if (is_absent(side)) return remote;
  if (with_ice && config_.ice_mode != IceMode::kOff) {
    if (auto read = read_ice(side, description, line, remote); !read) return read.error();
  }
  const bool has_ice = remote.ice.is_set();
  const bool by_sip_source = request_.sip_source_address && request_.received_from.is_set();
  const auto addresses = sdp::addresses_of(description, line);
  if (!addresses) return addresses.error();
  remote.address = *addresses;
  remote.held = addresses->rtp.ip.is_unspecified() && !has_ice;
  if (by_sip_source && !remote.held && !has_ice) {
    remote.address.rtp.ip = request_.received_from;
    remote.address.rtcp.ip = request_.received_from;
  }
  if (remote.held) return remote;
  const Destinations destinations(config_);
  const std::uint16_t interface = call_.side(side).interface_index;
  if (const auto why = destinations.refusal(interface, remote.address.rtp); !why.empty()) {
    if (!has_ice) return sdp::error_at(line, why);
    // A place-holder (0.0.0.0, port 9) until trickled candidates come. Its family counts.
    remote.address = {{remote.address.rtp.ip, 0}, {}};
    return remote;
  }
  SocketAddress& rtcp = remote.address.rtcp;
  if (rtcp.port == 0) return remote;
  if (const auto why = destinations.refusal(interface, rtcp); !why.empty()) {
    // With rtcp-mux, or as 0.0.0.0, it is a place-holder: nothing is to go there anyhow.
    if (!remote.rtcp_mux && !rtcp.ip.is_unspecified() && !has_ice) {
      return sdp::error_at(line, "RTCP: " + std::string(why));
    }
    rtcp = SocketAddress{};
  }
  return remote;
}

Result<void> Negotiation::read_ice(Side side, const sdp::Session& description,
                                   const sdp::Media& line, RemoteMedia& remote) {
  auto ice = sdp::ice_of(description, line);
  if (!ice) return ice.error();
  candidates_skipped_ += ice->skipped;
  remote.ice = ice->credentials;
  remote.ice_lite = ice->lite;
  const Destinations destinations(config_);
  const std::uint16_t interface = call_.side(side).interface_index;
  std::erase_if(ice->candidates, [&](const IceCandidate& candidate) {
    return !destinations.allows_candidate(interface, candidate.address);
  });
  for (IceCandidate& candidate : ice->candidates) {
    candidate.address = destinations.route(candidate.address);
  }
  std::stable_sort(ice->candidates.begin(), ice->candidates.end(),
                   [](const auto& a, const auto& b) { return a.priority > b.priority; });
  remote.candidates = std::move(ice->candidates);
  return {};
}

Result<void> Negotiation::read_dtls(const sdp::Session& description, const sdp::Media& line,
                                    RemoteMedia& remote) const {
  if (identity_.id == 0) {
    return sdp::error_at(line, "DTLS-SRTP cannot be used: the relay has no certificate");
  }
  auto dtls = sdp::dtls_of(description, line);
  if (!dtls) return dtls.error();
  remote.dtls = std::move(*dtls);
  return {};
}

bool Negotiation::is_ice_lite(const MediaSide& side, bool towards_receiver) const {
  const IceLiteWish wish = request_.ice_lite;
  if (wish == IceLiteWish::kOff) return false;
  if (wish == IceLiteWish::kBoth) return true;
  if (wish == (towards_receiver ? IceLiteWish::kForward : IceLiteWish::kBackward)) return true;
  return side.ice.in_use ? side.ice.lite : config_.ice_mode == IceMode::kLite;
}

sdp::LocalIce Negotiation::local_ice(const CallMedia& media, Side side, const OwnIce& own,
                                     bool with_rtcp) const {
  sdp::LocalIce ice;
  ice.credentials = own.credentials;
  ice.rtp = advertised(media, side);
  const auto& ports = media.ports.advertised[index_of(side)];
  if (with_rtcp) ice.rtcp = {ice.rtp.ip, ports[index_of(Component::kRtcp)].port};
  if (!media.ports.has_both_families(side) || request_.media_address.is_set()) return ice;
  const auto& others = media.ports.other_advertised[index_of(side)];
  ice.other_rtp = others[index_of(Component::kRtp)];
  if (with_rtcp) ice.other_rtcp = others[index_of(Component::kRtcp)];
  ice.other_first = ice.other_rtp.ip.family == media.preferred_family;
  return ice;
}

SocketAddress Negotiation::advertised(const CallMedia& media, Side side) const {
  if (media.spec.carried[index_of(side)] || is_absent(side)) return address_of_source(0);
  SocketAddress address = media.ports.advertised[index_of(side)][index_of(Component::kRtp)];
  if (request_.media_address.is_set()) address.ip = request_.media_address;
  return address;
}

Replacements Negotiation::replacements(Side to, const sdp::Session& description) {
  Replacements replacements;
  if (request_.replace_origin) {
    const auto media = std::find_if(call_.media.begin(), call_.media.end(),
                                    [](const CallMedia& m) { return m.has_session(); });
    if (media != call_.media.end()) {
      const auto connection = sdp::Connection::of(advertised(*media, to).ip);
      replacements.origin_address = connection.address;
      replacements.origin_address_type = connection.address_type;
    }
  }
  // A side sees one user name and one session name all through a call, whoever answers it.
  const auto same_as_first = [](std::string& first, const std::string& present) {
    if (first.empty()) first = present.substr(0, kKeptTextBytesMax);
    return first;
  };
  CallSide& receiver = call_.side(to);
  if (request_.replace_username) {
    replacements.username = same_as_first(receiver.sent_username, description.origin.username);
  }
  if (request_.replace_session_name) {
    replacements.session_name = same_as_first(receiver.sent_session_name, description.name);
  }
  return replacements;
}

}  // namespace turnpike::call
