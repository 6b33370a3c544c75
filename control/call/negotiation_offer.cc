// Offers. See negotiation.h.
#include <algorithm>
#include <utility>

#include "control/call/negotiation.h"

namespace turnpike::call {
namespace {

bool has_family(const Interface& interface, AddressFamily family) {
  return std::any_of(interface.addresses.begin(), interface.addresses.end(),
                     [&](const InterfaceAddress& a) { return a.local.family == family; });
}

std::string_view name_of(AddressFamily family) {
  return family == AddressFamily::kIpv6 ? "IPv6" : "IPv4";
}

bool same_place(const SessionSpec& a, const SessionSpec& b) {
  return a.interface_index == b.interface_index && a.family == b.family && a.kind == b.kind;
}

}  // namespace

Result<void> Negotiation::offer(Side from, sdp::Session& description) {
  if (auto chosen = choose_interfaces(from); !chosen) return chosen;
  const Side to = other(from);
  Offer offer;
  offer.in_dialog = !request_.to_tag.empty() && call_.answered;
  offer.rules = source_rules();
  if (call_.media.size() < description.media.size()) call_.media.resize(description.media.size());

  bool unsupported = false;
  bool usable = false;
  std::vector<OutgoingMedia> outgoing;
  for (std::size_t i = 0; i < description.media.size(); ++i) {
    auto offered = offer_media(i, from, description);
    if (!offered) return offered.error();
    usable = usable || offered->accepted;
    unsupported = unsupported || (!offered->accepted && description.media[i].port != 0);
    outgoing.push_back(outgoing_offer(call_.media[i], to, *offered));
    if (offered->accepted) take_effect_early(call_.media[i], from, *offered);
    offer.media.push_back(std::move(*offered));
  }
  if (unsupported && !usable) {
    return Error{
        "no m= line of the offer can be relayed; supported are RTP/AVP, RTP/AVPF, "
        "RTP/SAVP and RTP/SAVPF"};
  }
  if (!call_.answered) call_.side(from).rules = offer.rules;
  call_.offers[index_of(from)] = std::move(offer);
  const Replacements ours = replacements(to, description);
  rewrite(description, outgoing, ours);
  return {};
}

Result<std::uint16_t> Negotiation::interface_named(const std::string& name) const {
  for (std::size_t i = 0; i < config_.interfaces.size(); ++i) {
    if (config_.interfaces[i].name == name) return static_cast<std::uint16_t>(i);
  }
  return Error{"direction names interface \"" + name + "\", which is not configured"};
}

Result<void> Negotiation::choose_interfaces(Side from) {
  const bool is_new = call_.side(Side::kA).since == Instant{};
  std::array<std::string, 2> names;  // by side
  if (is_new) names = {config_.default_direction_a, config_.default_direction_b};
  if (!request_.direction.empty()) names[index_of(from)] = request_.direction[0];
  if (request_.direction.size() > 1) names[index_of(other(from))] = request_.direction[1];
  // Within a dialog the ends stay where they are: there the names only have to exist.
  const bool in_dialog = !request_.to_tag.empty() && call_.answered;
  for (const Side side : {Side::kA, Side::kB}) {
    if (names[index_of(side)].empty()) continue;
    const auto index = interface_named(names[index_of(side)]);
    if (!index) return index.error();
    if (!in_dialog) call_.side(side).interface_index = *index;
  }
  return {};
}

Result<void> Negotiation::allowed_on(Side side, sdp::Profile profile,
                                     const sdp::Media& line) const {
  const std::string& name = config_.interfaces[call_.side(side).interface_index].name;
  if (sdp::is_secure(profile) || !config_.srtp_interfaces.contains(name)) return {};
  return sdp::error_at(line, "media on interface '" + name +
                                 "' must be SRTP (RTP/SAVP or RTP/SAVPF with a=crypto), not " +
                                 std::string(sdp::name_of(profile)));
}

Result<OfferedMedia> Negotiation::offer_media(std::size_t index, Side from,
                                              const sdp::Session& description) {
  const sdp::Media& line = description.media[index];
  CallMedia& media = call_.media[index];
  const Side to = other(from);
  OfferedMedia offered;
  offered.kind = line.kind;
  offered.protocol = line.protocol;
  if (line.port == 0) return offered;

  const auto profile = sdp::profile_of(line.protocol);
  if (!profile) {
    if (!sdp::is_dtls_srtp(line.protocol)) return offered;
    return sdp::error_at(line, "DTLS-SRTP is not supported; offer RTP/SAVP with a=crypto (SDES)");
  }
  if (line.port_count != 1) return sdp::error_at(line, "several ports in one m= line");
  if (media.has_session() && sdp::is_secure(media.sides[index_of(from)].profile) &&
      !sdp::is_secure(*profile)) {
    return sdp::error_at(line, "plain RTP offered on a leg that is SRTP");
  }
  if (auto allowed = allowed_on(from, *profile, line); !allowed) return allowed.error();
  auto remote = read_remote(from, description, line);
  if (!remote) return remote.error();
  offered.sender = std::move(*remote);
  offered.accepted = true;

  std::vector<OfferedCrypto> sender_lines;
  if (sdp::is_secure(*profile)) {
    if (auto read = read_offered_crypto(line, offered, sender_lines); !read) return read.error();
  }
  const auto towards = receiver_profile(media, to, *profile, line);
  if (!towards) return towards.error();
  if (auto allowed = allowed_on(to, *towards, line); !allowed) return allowed.error();
  offered.receiver_profile = *towards;
  if (auto session = ensure_session(media, from, offered, line); !session) return session.error();
  choose_mux(offered);
  if (sdp::is_secure(*towards)) {
    auto lines = lines_to_offer(media.sides[index_of(to)], sender_lines, request_.sdes);
    if (!lines) return sdp::error_at(line, lines.error().message);
    offered.crypto = std::move(*lines);
  }
  return offered;
}

Result<void> Negotiation::read_offered_crypto(const sdp::Media& line, OfferedMedia& offered,
                                              std::vector<OfferedCrypto>& lines) const {
  const auto usable = usable_lines(line);
  if (!usable) return usable.error();
  offered.sender.crypto_tag = usable->front().tag;
  offered.sender.key = usable->front().keying;
  for (const sdp::CryptoLine& crypto : *usable) lines.push_back({crypto.tag, crypto.suite});
  return {};
}

Result<sdp::Profile> Negotiation::receiver_profile(const CallMedia& media, Side to,
                                                   sdp::Profile offered,
                                                   const sdp::Media& line) const {
  const bool established = media.has_session() && media.answered;
  const sdp::Profile present = media.sides[index_of(to)].profile;
  if (request_.transport_protocol.empty()) return established ? present : offered;
  const auto wanted = sdp::profile_of(request_.transport_protocol);
  if (!wanted) {
    return Error{
        "transport-protocol is not supported; it may be RTP/AVP, RTP/AVPF, RTP/SAVP or "
        "RTP/SAVPF"};
  }
  // Without a to-tag it is another INVITE of this call, towards somebody else (serial forking).
  const bool same_peer = !request_.to_tag.empty();
  if (established && same_peer && sdp::is_secure(present) && !sdp::is_secure(*wanted)) {
    return sdp::error_at(line, "transport-protocol asks for plain RTP on a leg that is SRTP");
  }
  return *wanted;
}

Result<SessionSpec> Negotiation::wanted_session(const CallMedia& media, Side from,
                                                const OfferedMedia& offered,
                                                const sdp::Media& line) const {
  const Side to = other(from);
  SessionSpec spec;
  spec.kind = sdp::kind_of(line);
  for (const Side side : {Side::kA, Side::kB}) {
    spec.interface_index[index_of(side)] = call_.side(side).interface_index;
  }
  AddressFamily sender = offered.sender.address.rtp.ip.family;
  // A null address names no family that matters.
  if (offered.sender.held && media.has_session()) sender = media.spec.family[index_of(from)];
  AddressFamily receiver = sender;
  if (media.has_session()) receiver = media.spec.family[index_of(to)];
  const Interface& sender_interface = config_.interfaces[call_.side(from).interface_index];
  const Interface& receiver_interface = config_.interfaces[call_.side(to).interface_index];
  if (request_.address_family != AddressFamily::kNone) {
    receiver = request_.address_family;
  } else if (!has_family(receiver_interface, receiver)) {
    receiver = receiver == AddressFamily::kIpv4 ? AddressFamily::kIpv6 : AddressFamily::kIpv4;
  }
  if (!has_family(sender_interface, sender)) {
    return sdp::error_at(line, "interface " + sender_interface.name + " has no " +
                                   std::string(name_of(sender)) + " address");
  }
  if (!has_family(receiver_interface, receiver)) {
    return sdp::error_at(line, "interface " + receiver_interface.name + " has no " +
                                   std::string(name_of(receiver)) + " address");
  }
  spec.family[index_of(from)] = sender;
  spec.family[index_of(to)] = receiver;
  const auto dscp = request_.tos >= 0 ? static_cast<std::uint8_t>((request_.tos & 0xff) >> 2)
                                      : config_.dscp[static_cast<std::size_t>(spec.kind)];
  spec.dscp = {dscp, dscp};
  return spec;
}

Result<void> Negotiation::ensure_session(CallMedia& media, Side from, const OfferedMedia& offered,
                                         const sdp::Media& line) {
  auto spec = wanted_session(media, from, offered, line);
  if (!spec) return spec.error();
  const MediaSide& receiver = media.sides[index_of(other(from))];
  // Another peer that wants plain RTP where the one before had SRTP gets a leg of its own.
  const bool downgrade =
      sdp::is_secure(receiver.profile) && !sdp::is_secure(offered.receiver_profile);
  if (media.has_session() && same_place(media.spec, *spec) && !downgrade) return {};
  // What replaces a session ends it at once; an offer that the peer may still refuse must not.
  const bool in_use = call_.answered && media.accepted && !request_.to_tag.empty();
  if (media.has_session() && in_use) {
    return sdp::error_at(line, media.spec.kind == spec->kind
                                   ? "a re-offer cannot change the address family of media in use"
                                   : "a re-offer cannot change the kind of media in use");
  }
  for (const CallMedia& sibling : call_.media) {
    if (spec->shard < 0 && sibling.has_session()) spec->shard = sibling.session.shard;
  }
  const auto opened = changes_.open(*spec);
  if (!opened) return opened.error();
  if (media.has_session()) {
    changes_.close_on_commit(media.session);
    // The other side's open offer names ports that are going away.
    call_.offers[index_of(other(from))].reset();
  }
  // Nothing of the old sides remains, keys least of all: in a new session they would be used from
  // the first index again.
  media = CallMedia{};
  media.kind = line.kind;
  media.session = opened->id;
  media.ports = opened->ports;
  media.spec = *spec;
  return {};
}

void Negotiation::choose_mux(OfferedMedia& offered) const {
  const bool demux = has_mux_flag(RtcpMuxFlag::kDemux);
  const bool ask = has_mux_flag(RtcpMuxFlag::kOffer) || has_mux_flag(RtcpMuxFlag::kRequire);
  offered.mux_offered = ask || (offered.sender.rtcp_mux && !demux);
  offered.mux_accept = demux || has_mux_flag(RtcpMuxFlag::kAccept) || offered.sender.rtcp_mux_only;
  offered.mux_reject = has_mux_flag(RtcpMuxFlag::kReject) && !offered.sender.rtcp_mux_only;
}

void Negotiation::take_effect_early(CallMedia& media, Side from, const OfferedMedia& offered) {
  if (media.answered) return;
  MediaSide& sender = media.sides[index_of(from)];
  sender.remote = offered.sender;
  sender.profile = *sdp::profile_of(offered.protocol);
  media.sides[index_of(other(from))].profile = offered.receiver_profile;
}

OutgoingMedia Negotiation::outgoing_offer(CallMedia& media, Side to, const OfferedMedia& offered) {
  OutgoingMedia outgoing;
  outgoing.protocol = offered.protocol;
  if (!offered.accepted) return outgoing;
  MediaSide& receiver = media.sides[index_of(to)];
  outgoing.accepted = true;
  outgoing.protocol = std::string(sdp::name_of(offered.receiver_profile));
  outgoing.rtp = advertised(media, to);
  outgoing.rtcp_mux = offered.mux_offered;
  const bool muxed = has_mux_flag(RtcpMuxFlag::kRequire) ||
                     (offered.mux_offered && media.answered && receiver.rtcp_mux);
  outgoing.rtcp_port = muxed
                           ? outgoing.rtp.port
                           : media.ports.advertised[index_of(to)][index_of(Component::kRtcp)].port;
  outgoing.direction = offered.sender.direction;
  // The other side gets our address, so a null address is passed on as the direction it means.
  if (offered.sender.held) {
    outgoing.direction = sdp::direction_of(sdp::sends(outgoing.direction), false);
  }
  outgoing.crypto.reserve(offered.crypto.size());  // growing would copy and wipe every key again
  for (const OfferedCrypto& line : offered.crypto) {
    outgoing.crypto.push_back(
        {line.tag, sdp::SecretKeying(key_for(receiver, line.suite, random_bytes_))});
  }
  return outgoing;
}

}  // namespace turnpike::call
