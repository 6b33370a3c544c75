// Offers. See negotiation.h.
#include <algorithm>
#include <utility>

#include "control/call/bundle.h"
#include "control/call/negotiation.h"
#include "control/call/spoken.h"
#include "control/call/transport.h"
#include "control/sdp/bundle.h"

namespace turnpike::call {
namespace {

/// Longer ones are not repeated in an answer.
constexpr std::size_t kMidKeptBytesMax = 255;

bool has_family(const Interface& interface, AddressFamily family) {
  return std::any_of(interface.addresses.begin(), interface.addresses.end(),
                     [&](const InterfaceAddress& a) { return a.local.family == family; });
}

/// Towards an end of whose family the other node of the pair does not tell.
AddressFamily family_of(const Interface& interface) {
  return has_family(interface, AddressFamily::kIpv4) ? AddressFamily::kIpv4 : AddressFamily::kIpv6;
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
  if (auto way = check_way(); !way) return way;
  const Side to = other(from);
  Offer offer;
  offer.in_dialog = !request_.to_tag.empty() && call_.answered;
  offer.rules = source_rules();
  if (call_.media.size() < description.media.size()) call_.media.resize(description.media.size());
  const auto group = sdp::bundle_of(description);
  std::vector<bool> bundle_only;
  for (const sdp::Media& line : description.media) bundle_only.push_back(sdp::is_bundle_only(line));
  sdp::unfold_bundle(description, group);

  bool unsupported = false;
  bool usable = false;
  std::vector<OutgoingMedia> outgoing;
  for (std::size_t i = 0; i < description.media.size(); ++i) {
    auto offered = offer_media(i, from, description, offer);
    if (!offered) return offered.error();
    usable = usable || offered->accepted;
    unsupported = unsupported || (!offered->accepted && description.media[i].port != 0);
    outgoing.push_back(outgoing_offer(call_.media[i], to, *offered));
    if (offered->accepted) take_effect_early(call_.media[i], from, *offered);
    offer.media.push_back(std::move(*offered));
  }
  for (std::size_t rank = 0; rank < group.size(); ++rank) {
    OfferedMedia& offered = offer.media[group[rank]];
    if (!offered.accepted) continue;
    offered.bundle_rank = static_cast<std::uint16_t>(rank + 1);
    offered.bundle_only = bundle_only[group[rank]];
    if (passes_keys()) outgoing[group[rank]].bundle_rank = offered.bundle_rank;
  }
  fold(offer, outgoing);
  if (unsupported && !usable) {
    return Error{
        "no m= line of the offer can be relayed; supported are RTP/AVP, RTP/AVPF, RTP/SAVP, "
        "RTP/SAVPF, UDP/TLS/RTP/SAVP and UDP/TLS/RTP/SAVPF"};
  }
  if (passes_keys() && !is_zone_peer(to)) group_first(outgoing, offer);
  end_unused_carriers();
  if (!call_.answered) call_.side(from).rules = offer.rules;
  call_.offers[index_of(from)] = std::move(offer);
  const Replacements ours = replacements(to, description);
  rewrite(description, outgoing, ours);
  return {};
}

// The first one in the group speaks for all that are on its transport (RFC 9143 section 7.1.3).
void Negotiation::fold(const Offer& offer, std::vector<OutgoingMedia>& outgoing) {
  OutgoingMedia* first = nullptr;
  for (std::size_t i = 0; i < outgoing.size(); ++i) {
    if (!offer.media[i].rides()) continue;
    outgoing[i].folded = true;
    if (first == nullptr || outgoing[i].bundle_rank < first->bundle_rank) first = &outgoing[i];
  }
  if (first != nullptr) first->folded = false;
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
    if (in_dialog) continue;
    call_.side(side).interface_index = *index;
    call_.side(side).interface = names[index_of(side)];
  }
  return {};
}

Result<void> Negotiation::allowed_on(Side side, sdp::Profile profile,
                                     const sdp::Media& line) const {
  const std::string& name = config_.interfaces[call_.side(side).interface_index].name;
  if (is_absent(side)) return {};
  if (sdp::is_secure(profile) || !config_.srtp_interfaces.contains(name)) return {};
  return sdp::error_at(
      line, "media on interface '" + name +
                "' must be SRTP (RTP/SAVP with a=crypto, UDP/TLS/RTP/SAVP, or their SAVPF), not " +
                std::string(sdp::name_of(profile)));
}

Result<OfferedMedia> Negotiation::offer_media(std::size_t index, Side from,
                                              const sdp::Session& description, const Offer& offer) {
  const sdp::Media& line = description.media[index];
  CallMedia& media = call_.media[index];
  const Side to = other(from);
  OfferedMedia offered;
  offered.kind = line.kind;
  offered.protocol = line.protocol;
  const sdp::Attribute* mid = sdp::find(line.attributes, "mid");
  if (mid != nullptr && mid->value.size() <= kMidKeptBytesMax) offered.mid = mid->value;
  if (line.port == 0) return offered;

  const auto profile = sdp::profile_of(line.protocol);
  if (!profile) {
    if (!sdp::is_dtls_srtp(line.protocol)) return offered;
    return sdp::error_at(line,
                         "DTLS-SRTP is supported over UDP only: UDP/TLS/RTP/SAVP or "
                         "UDP/TLS/RTP/SAVPF");
  }
  if (line.port_count != 1) return sdp::error_at(line, "several ports in one m= line");
  if (media.has_session() && sdp::is_secure(media.sides[index_of(from)].profile) &&
      !sdp::is_secure(*profile)) {
    return sdp::error_at(line, "plain RTP offered on a leg that is SRTP");
  }
  if (auto allowed = allowed_on(from, *profile, line); !allowed) return allowed.error();
  auto remote = read_remote(from, description, line, true);
  if (!remote) return remote.error();
  offered.sender = std::move(*remote);
  if (may_be_heard()) offered.sender.spoken = spoken_of(line);
  offered.accepted = true;
  const auto group = sdp::bundle_of(description);
  if (std::find(group.begin(), group.end(), index) != group.end()) offered.bundle_mid = mid->value;

  std::vector<OfferedCrypto> sender_lines;
  if (passes_keys()) {
    auto passed = pass_offer(description, line, *profile, offered);
    if (!passed) return passed.error();
  } else {
    auto read = read_offered_keying(description, line, *profile, offered, sender_lines);
    if (!read) return read.error();
    if (auto chosen = choose_towards(media, to, *profile, line, offered); !chosen) {
      return chosen.error();
    }
    auto required = keyed_as_required(from, offered.sender_keying, line);
    if (required) required = keyed_as_required(to, offered.receiver_keying, line);
    if (!required) return required.error();
  }
  if (auto allowed = allowed_on(to, offered.receiver_profile, line); !allowed) {
    return allowed.error();
  }
  if (auto session = ensure_session(media, from, offered, line); !session) return session.error();
  if (!passes_keys()) choose_mux(offered);
  const CallMedia* shared = shared_transport(to);
  const MediaSide& sender = transport_side(call_, media, from);
  const MediaSide* receiver = &(shared != nullptr ? *shared : media).sides[index_of(to)];
  choose_transport(to, sender, *receiver, offered);
  choose_bundle(index, to, description, offer, offered);
  if (shared != nullptr && !offered.rides()) {
    receiver = &media.sides[index_of(to)];
    choose_transport(to, sender, *receiver, offered);
  }
  if (offered.receiver_keying == Keying::kSdes) {
    auto lines = lines_to_offer(*receiver, sender_lines, request_.sdes);
    if (!lines) return sdp::error_at(line, lines.error().message);
    offered.crypto = std::move(*lines);
  }
  return offered;
}

Result<void> Negotiation::read_offered_keying(const sdp::Session& description,
                                              const sdp::Media& line, sdp::Profile profile,
                                              OfferedMedia& offered,
                                              std::vector<OfferedCrypto>& lines) const {
  if (!sdp::is_secure(profile)) return {};
  if (!sdp::is_tls(profile)) {
    const auto usable = usable_lines(line);
    if (usable) {
      offered.sender_keying = Keying::kSdes;
      offered.sender.crypto_tag = usable->front().tag;
      offered.sender.key = usable->front().keying;
      for (const sdp::CryptoLine& crypto : *usable) lines.push_back({crypto.tag, crypto.suite});
      return {};
    }
    if (!sdp::has_fingerprint(description, line)) return usable.error();
  }
  offered.sender_keying = Keying::kDtls;
  if (request_.dtls == DtlsWish::kActive) offered.answer_role = DtlsRole::kActive;
  return read_dtls(description, line, offered.sender);
}

Result<void> Negotiation::choose_towards(const CallMedia& media, Side to,
                                         sdp::Profile sender_profile, const sdp::Media& line,
                                         OfferedMedia& offered) const {
  const bool established = media.has_session() && media.answered;
  const MediaSide& receiver = media.sides[index_of(to)];
  sdp::Profile profile = established ? receiver.profile : sender_profile;
  const bool asked = !request_.transport_protocol.empty();
  if (asked) {
    const auto wanted = sdp::profile_of(request_.transport_protocol);
    if (!wanted) {
      return Error{
          "transport-protocol is not supported; it may be RTP/AVP, RTP/AVPF, RTP/SAVP, RTP/SAVPF, "
          "UDP/TLS/RTP/SAVP or UDP/TLS/RTP/SAVPF"};
    }
    profile = *wanted;
    // Without a to-tag it is another INVITE of this call, towards somebody else (serial forking).
    const bool same_peer = !request_.to_tag.empty();
    if (established && same_peer && sdp::is_secure(receiver.profile) && !sdp::is_secure(profile)) {
      return sdp::error_at(line, "transport-protocol asks for plain RTP on a leg that is SRTP");
    }
  }
  // An end that does DTLS below RTP/SAVP goes on with it.
  const bool dtls_goes_on = established && receiver.keying == Keying::kDtls &&
                            sdp::is_secure(profile) && !sdp::is_tls(receiver.profile);
  bool dtls = sdp::is_tls(profile) || dtls_goes_on;
  if (dtls && request_.dtls == DtlsWish::kOff) {
    if (asked && sdp::is_tls(profile)) {
      return sdp::error_at(line, "transport-protocol asks for DTLS-SRTP, DTLS=off refuses it");
    }
    dtls = false;
    profile = sdp::without_tls(profile);
  }
  if (dtls && identity_.id == 0) {
    return sdp::error_at(line, "DTLS-SRTP cannot be offered: the relay has no certificate");
  }
  offered.receiver_profile = profile;
  offered.receiver_keying = dtls                      ? Keying::kDtls
                            : sdp::is_secure(profile) ? Keying::kSdes
                                                      : Keying::kPlain;
  return {};
}

bool Negotiation::offers_ice(const MediaSide& receiver, const OfferedMedia& offered) const {
  if (config_.ice_mode == IceMode::kOff || request_.ice == IceWish::kRemove) return false;
  const bool by_default = offered.sender.ice.is_set() || receiver.ice.in_use;
  return request_.ice == IceWish::kForce || by_default;
}

void Negotiation::choose_transport(Side to, const MediaSide& sender, const MediaSide& receiver,
                                   OfferedMedia& offered) const {
  offered.sender_ice_lite = is_ice_lite(sender, false);
  offered.receiver_ice = OwnIce{};
  if (!is_zone_peer(to) && offers_ice(receiver, offered)) {
    offered.receiver_ice = own_ice(receiver, random_bytes_);
    offered.receiver_ice.lite = is_ice_lite(receiver, true);
  }
  if (offered.receiver_keying == Keying::kDtls) {
    offered.receiver_dtls = own_dtls(receiver, identity_, random_bytes_);
  }
}

AddressFamily Negotiation::sender_family(const CallMedia& media, Side from,
                                         const OfferedMedia& offered) const {
  const IpAddress& ip = offered.sender.address.rtp.ip;
  const bool has_ice = offered.sender.ice.is_set();
  // A null address names no family that matters, nor does a default candidate of ICE.
  if ((offered.sender.held || has_ice) && media.has_session()) {
    return media.spec.family[index_of(from)];
  }
  if (!has_ice) return ip.family;
  const Interface& interface = config_.interfaces[call_.side(from).interface_index];
  if (!ip.is_unspecified() && has_family(interface, ip.family)) return ip.family;
  for (const IceCandidate& candidate : offered.sender.candidates) {
    if (has_family(interface, candidate.address.ip.family)) return candidate.address.ip.family;
  }
  if (has_family(interface, ip.family)) return ip.family;
  return ip.is_v4() ? AddressFamily::kIpv6 : AddressFamily::kIpv4;
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
  spec.one_sided = call_.is_one_sided();
  const Interface& of_sender = config_.interfaces[call_.side(from).interface_index];
  const AddressFamily sender =
      is_absent(from) ? family_of(of_sender) : sender_family(media, from, offered);
  spec.carried = {is_zone_peer(Side::kA), is_zone_peer(Side::kB)};
  AddressFamily receiver = sender;
  if (media.has_session()) receiver = media.spec.family[index_of(to)];
  const Interface& receiver_interface = config_.interfaces[call_.side(to).interface_index];
  if (is_zone_peer(to)) {
    receiver = AddressFamily::kIpv6;  // of no meaning, yet the same each time
  } else if (request_.address_family != AddressFamily::kNone) {
    receiver = request_.address_family;
  } else if (is_zone_peer(from) && !media.has_session()) {
    receiver = family_of(receiver_interface);
  } else if (!has_family(receiver_interface, receiver)) {
    receiver = receiver == AddressFamily::kIpv4 ? AddressFamily::kIpv6 : AddressFamily::kIpv4;
  }
  if (!is_zone_peer(from) && !has_family(of_sender, sender)) {
    return sdp::error_at(line, "interface " + of_sender.name + " has no " +
                                   std::string(name_of(sender)) + " address");
  }
  if (!is_zone_peer(to) && !has_family(receiver_interface, receiver)) {
    return sdp::error_at(line, "interface " + receiver_interface.name + " has no " +
                                   std::string(name_of(receiver)) + " address");
  }
  spec.family[index_of(from)] = sender;
  spec.family[index_of(to)] = receiver;
  // Who names the address names all of it.
  if (!request_.media_address.is_set()) {
    spec.both_families[index_of(from)] = offered.sender.ice.is_set();
    spec.both_families[index_of(to)] = offers_ice(transport_side(call_, media, to), offered);
  }
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
  for (const auto* siblings : {&call_.media, &call_.carriers}) {
    for (const CallMedia& sibling : *siblings) {
      if (spec->shard < 0 && sibling.has_session()) spec->shard = sibling.session.shard;
    }
  }
  if (spec->shard < 0) spec->shard = shard_;
  const auto opened = changes_.open(*spec);
  if (!opened) return opened.error();
  for (const Side side : {Side::kA, Side::kB}) {
    if (call_.answered || config_.pair_role != PairRole::kCore) break;
    if (auto flow = check_flow(side, opened->id.shard); !flow) return flow;
  }
  if (media.has_session()) {
    give_up(media, true);
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
  media.preferred_family = config_.ice_preferred_family;
  return {};
}

void Negotiation::choose_mux(OfferedMedia& offered) const {
  const bool demux = has_mux_flag(RtcpMuxFlag::kDemux);
  const bool ask = has_mux_flag(RtcpMuxFlag::kOffer) || has_mux_flag(RtcpMuxFlag::kRequire);
  const bool reject = has_mux_flag(RtcpMuxFlag::kReject);
  // Browsers need it, whatever the other side does.
  const bool by_dtls = offered.receiver_keying == Keying::kDtls && !reject;
  offered.mux_offered = ask || ((offered.sender.rtcp_mux || by_dtls) && !demux);
  offered.mux_accept = demux || has_mux_flag(RtcpMuxFlag::kAccept) || !offered.bundle_mid.empty() ||
                       offered.sender.rtcp_mux_only || offered.sender_keying == Keying::kDtls;
  offered.mux_reject = reject && !offered.sender.rtcp_mux_only;
}

void Negotiation::take_effect_early(CallMedia& media, Side from, const OfferedMedia& offered) {
  if (media.answered) return;
  MediaSide& sender = media.sides[index_of(from)];
  MediaSide& receiver = media.sides[index_of(other(from))];
  sender.profile = *sdp::profile_of(offered.protocol);
  sender.keying = offered.sender_keying;
  sender.remote = offered.sender;
  receiver.profile = offered.receiver_profile;
  receiver.keying = offered.receiver_keying;
  // Nobody has seen what we say to the offerer; what we said to the receiver holds from now on,
  // because its first checks and its handshake may come before its answer.
  if (offered.sender.ice.is_set()) {
    OwnIce own = own_ice(sender, random_bytes_);
    own.lite = offered.sender_ice_lite;
    use_ice(sender, own, offered.sender, false);
  } else {
    leave_ice(sender);
  }
  if (offered.receiver_ice.in_use && !offered.rides()) {
    use_ice(receiver, offered.receiver_ice, receiver.remote, true);
  } else {
    leave_ice(receiver);
  }
  if (sender.keying == Keying::kDtls) {
    const OwnDtls own = own_dtls(sender, identity_, random_bytes_);
    use_dtls(sender, own, sender.remote.dtls, DtlsRole::kUndecided);
  } else {
    leave_dtls(sender);
  }
  if (receiver.keying == Keying::kDtls && !offered.rides()) {
    use_dtls(receiver, offered.receiver_dtls, receiver.remote.dtls, DtlsRole::kUndecided);
  } else {
    leave_dtls(receiver);
  }
}

OutgoingMedia Negotiation::outgoing_offer(CallMedia& media, Side to, const OfferedMedia& offered) {
  OutgoingMedia outgoing;
  outgoing.protocol = offered.protocol;
  if (!offered.accepted) return outgoing;
  CallMedia* shared = find_session(call_, offered.shared);
  CallMedia& transport = shared != nullptr ? *shared : media;
  MediaSide& receiver = transport.sides[index_of(to)];
  outgoing.accepted = true;
  outgoing.protocol = std::string(sdp::name_of(offered.receiver_profile));
  outgoing.rtp = advertised(transport, to);
  outgoing.rtcp_mux = offered.mux_offered;
  if (offered.receiver_keying == Keying::kDtls) {
    const OwnDtls& own = offered.receiver_dtls;
    outgoing.dtls = {own.identity.fingerprint, sdp::Setup::kActpass, own.tls_id};
  }
  const bool muxed = has_mux_flag(RtcpMuxFlag::kRequire) || offered.rides() ||
                     (offered.mux_offered && media.answered && receiver.rtcp_mux);
  outgoing.rtcp_port =
      muxed ? outgoing.rtp.port
            : transport.ports.advertised[index_of(to)][index_of(Component::kRtcp)].port;
  if (offered.receiver_ice.in_use) {
    outgoing.ice = local_ice(transport, to, offered.receiver_ice, !muxed);
    outgoing.ice_lite = offered.receiver_ice.lite;
  }
  outgoing.passes_keys = passes_keys();
  if (is_zone_peer(to)) {
    outgoing.carriage = carriage_towards(transport, to);
    outgoing.rtcp_port = outgoing.rtp.port;
  }
  outgoing.bundled = !offered.receiver_mid.empty();
  outgoing.mid = offered.receiver_mid;
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
