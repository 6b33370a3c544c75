// Answers. See negotiation.h.
#include <utility>

#include "control/call/bundle.h"
#include "control/call/negotiation.h"
#include "control/call/spoken.h"
#include "control/call/transport.h"
#include "control/sdp/bundle.h"

namespace turnpike::call {

Result<void> Negotiation::answer(Side offerer, sdp::Session& description) {
  if (!call_.offers[index_of(offerer)]) return Error{"answer without an offer of this from-tag"};
  const Offer& offer = *call_.offers[index_of(offerer)];
  if (offer.media.size() != description.media.size()) {
    return Error{"answer has " + std::to_string(description.media.size()) +
                 " m= lines, its offer had " + std::to_string(offer.media.size())};
  }
  const auto present = present_carriers();
  sdp::unfold_bundle(description, sdp::bundle_of(description));
  Answers answers(description.media.size());
  for (std::size_t i = 0; i < description.media.size(); ++i) {
    const OfferedMedia& offered = offer.media[i];
    const sdp::Media& line = description.media[i];
    CallMedia& media = call_.media[i];
    if (offered.accepted && line.port != 0) {
      auto remote = answer_media(media, offerer, offered, description, line);
      if (!remote) return remote.error();
      answers[i] = std::move(*remote);
    } else {
      give_up(media, offer.in_dialog || !offered.accepted);
    }
  }
  for (std::size_t i = description.media.size(); i < call_.media.size(); ++i) {
    give_up(call_.media[i], true);
  }
  const Group group = settle(offerer, offer, answers, description, present);
  refuse_without_transport(offerer, offer, answers);
  for (std::size_t i = 0; passes_keys() && i < answers.size(); ++i) {
    if (!answers[i]) continue;
    const auto keying = passed_keying(description, description.media[i]);
    for (MediaSide& side : call_.media[i].sides) side.keying = *keying;
  }
  end_unused_carriers();
  std::vector<OutgoingMedia> outgoing;
  bool grouped = !group.empty();
  for (std::size_t i = 0; i < description.media.size(); ++i) {
    const bool tagged = !group.empty() && group.front() == i;
    outgoing.push_back(outgoing_answer(call_.media[i], offerer, offer.media[i], tagged));
    // Some browsers take no description without a group: without a shared transport it has the
    // first m-line that is taken, alone.
    OutgoingMedia& line = outgoing.back();
    const bool dtls = line.dtls || (line.passes_keys && line.accepted);
    if (!grouped && !offer.media[i].bundle_mid.empty() && dtls && line.ice && line.rtcp_mux) {
      line.bundled = grouped = true;
    }
  }
  call_.answered = true;
  // An offer that the other side made meanwhile was made of what is now outdated.
  call_.offers[index_of(other(offerer))].reset();
  call_.side(offerer).rules = offer.rules;
  call_.side(other(offerer)).rules = source_rules();
  const Replacements ours = replacements(offerer, description);
  rewrite(description, outgoing, ours);
  return {};
}

Result<RemoteMedia> Negotiation::answer_media(CallMedia& media, Side offerer,
                                              const OfferedMedia& offered,
                                              const sdp::Session& description,
                                              const sdp::Media& line) {
  if (line.kind != offered.kind) return sdp::error_at(line, "answer has another media type");
  if (!media.has_session()) return sdp::error_at(line, "answer to an m= line that was given up");
  if (line.port_count != 1) return sdp::error_at(line, "several ports in one m= line");
  const auto profile = sdp::profile_of(line.protocol);
  if (!profile) return sdp::error_at(line, "answer has a protocol that was not offered");
  if (sdp::is_secure(offered.receiver_profile) != sdp::is_secure(*profile)) {
    return sdp::error_at(line, sdp::is_secure(*profile) ? "SRTP answered to an offer of plain RTP"
                                                        : "plain RTP answered to an offer of SRTP");
  }
  MediaSide& sender = media.sides[index_of(offerer)];
  MediaSide& receiver = media.sides[index_of(other(offerer))];
  const sdp::Profile sender_profile = *sdp::profile_of(offered.protocol);
  if ((sdp::is_secure(receiver.profile) && !sdp::is_secure(*profile)) ||
      (sdp::is_secure(sender.profile) && !sdp::is_secure(sender_profile))) {
    return sdp::error_at(line, "plain RTP answered on a leg that is SRTP");
  }
  const CallMedia* shared = find_session(call_, offered.shared);
  const MediaSide& keyed = shared != nullptr ? shared->sides[index_of(other(offerer))] : receiver;
  auto remote = read_answer(keyed, other(offerer), offered, description, line);
  if (!remote) return remote;

  // The codec that an answer lists first is the one in use both ways.
  sender.clock_rate_hz = receiver.clock_rate_hz = sdp::clock_rate_hz_of(line);
  media.answered = true;
  media.accepted = true;
  media.silent_since = {};
  return remote;
}

bool Negotiation::grants_mux(const OfferedMedia& offered, const RemoteMedia& remote) const {
  const bool accept = offered.mux_accept || has_mux_flag(RtcpMuxFlag::kAccept) ||
                      (offered.mux_offered && remote.rtcp_mux);
  const bool reject =
      offered.mux_reject || (has_mux_flag(RtcpMuxFlag::kReject) && !offered.sender.rtcp_mux_only);
  return offered.sender.rtcp_mux && accept && !reject;
}

Result<RemoteMedia> Negotiation::read_answer(const MediaSide& receiver, Side answerer,
                                             const OfferedMedia& offered,
                                             const sdp::Session& description,
                                             const sdp::Media& line) {
  auto remote = read_remote(answerer, description, line, offered.receiver_ice.in_use);
  if (!remote) return remote;
  if (may_be_heard()) remote->spoken = spoken_of(line);
  if (passes_keys()) {
    const auto keying = passed_keying(description, line);
    if (!keying) return keying.error();
  } else if (offered.receiver_keying == Keying::kSdes) {
    const auto chosen = chosen_line(line, offered.crypto);
    if (!chosen) return chosen.error();
    if (!receiver.keys[static_cast<std::size_t>(chosen->suite)].is_set()) {
      return sdp::error_at(line, "answer chooses an a=crypto line that another answer gave up");
    }
    remote->crypto_tag = chosen->tag;
    remote->key = chosen->keying;
  } else if (offered.receiver_keying == Keying::kDtls) {
    if (auto read = read_dtls(description, line, *remote); !read) return read.error();
    if (remote->dtls.setup == sdp::Setup::kActpass) {
      return sdp::error_at(line, "a=setup of an answer must choose: active or passive");
    }
  }
  return remote;
}

void Negotiation::settle_receiver(MediaSide& receiver, const OfferedMedia& offered,
                                  const RemoteMedia& remote) const {
  receiver.profile = offered.receiver_profile;
  receiver.keying = offered.receiver_keying;
  receiver.rtcp_mux = offered.mux_offered && remote.rtcp_mux;
  use_suite(receiver, remote.key.value.suite);
  if (remote.ice.is_set()) {
    use_ice(receiver, offered.receiver_ice, remote, true);
  } else {
    leave_ice(receiver);
  }
  if (receiver.keying == Keying::kDtls) {
    use_dtls(receiver, offered.receiver_dtls, remote.dtls, role_by_answer(remote.dtls.setup));
  } else {
    leave_dtls(receiver);
  }
  receiver.remote = remote;
  receiver.bridge = {};
}

void Negotiation::settle_sender(MediaSide& sender, const OfferedMedia& offered) const {
  // An offerer with a new key of its own has a new SRTP state, which expects ours to start too.
  const bool renewed =
      sender.remote.key.is_set() && sender.remote.key.value != offered.sender.key.value;
  use_suite(sender, offered.sender.key.value.suite);
  if (renewed) forget_key(sender);
  sender.profile = *sdp::profile_of(offered.protocol);
  sender.keying = offered.sender_keying;
  settle_sender_transport(sender, offered);
  sender.remote = offered.sender;
  sender.bridge = {};
  if (sender.keying == Keying::kSdes) key_for(sender, sender.suite, random_bytes_);
}

void Negotiation::settle_sender_transport(MediaSide& sender, const OfferedMedia& offered) const {
  if (offered.sender.ice.is_set() && request_.ice != IceWish::kRemove) {
    OwnIce own = own_ice(sender, random_bytes_);
    const bool restarted =
        sender.ice.in_use && sender.remote.ice.is_set() && sender.remote.ice != offered.sender.ice;
    if (restarted) renew(own.credentials, random_bytes_);
    const bool said = request_.ice_lite != IceLiteWish::kUnsaid;
    own.lite = said ? is_ice_lite(sender, true) : offered.sender_ice_lite;
    use_ice(sender, own, offered.sender, false);
  } else {
    leave_ice(sender);
  }
  if (sender.keying != Keying::kDtls) return leave_dtls(sender);
  const sdp::DtlsDescription& said = offered.sender.dtls;
  const DtlsRole preferred = request_.dtls == DtlsWish::kActive    ? DtlsRole::kActive
                             : request_.dtls == DtlsWish::kPassive ? DtlsRole::kPassive
                                                                   : offered.answer_role;
  DtlsRole role = role_to_answer(said.setup, sender.dtls_role, preferred);
  const bool swapped = said.tls_id.empty() && role != DtlsRole::kUndecided &&
                       sender.dtls_role != DtlsRole::kUndecided && role != sender.dtls_role;
  OwnDtls own = sender.dtls;
  // RFC 8842 section 5.3: a new association has a tls-id of its own. What goes on keeps what the
  // offerer was told, even when the process that did the handshake is gone: so do its keys.
  // What was lost before there were any keys is of no use to anybody.
  const bool stillborn = own.lost && sender.dtls_role == DtlsRole::kUndecided;
  if (!own.is_set() || stillborn || swapped || asks_for_new_association(sender, said)) {
    own = own_dtls(MediaSide{}, identity_, random_bytes_);
    role = role_to_answer(said.setup, DtlsRole::kUndecided, preferred);
  }
  use_dtls(sender, own, said, role);
}

void Negotiation::give_up(CallMedia& media, bool for_good) {
  if (!media.has_session()) return;
  media.accepted = false;
  media.answered = true;
  // Another branch of the same INVITE may still answer this m-line.
  if (!for_good) return;
  // Others may still have their transport here: see end_unused_carriers.
  call_.carriers.push_back(std::move(media));
  media = CallMedia{};
}

OutgoingMedia Negotiation::outgoing_answer(const CallMedia& media, Side offerer,
                                           const OfferedMedia& offered, bool tagged) const {
  OutgoingMedia outgoing;
  outgoing.protocol = offered.protocol;
  outgoing.mid = offered.mid;
  if (!media.has_session() || !media.accepted) return outgoing;
  const CallMedia& transport = transport_of_line(call_, media, offerer);
  const MediaSide& sender = transport.sides[index_of(offerer)];
  const RemoteMedia& receiver = media.sides[index_of(other(offerer))].remote;
  outgoing.accepted = true;
  outgoing.rtp = advertised(transport, offerer);
  outgoing.rtcp_mux = sender.rtcp_mux;
  const auto& ports = transport.ports.advertised[index_of(offerer)];
  outgoing.rtcp_port = sender.rtcp_mux ? outgoing.rtp.port : ports[index_of(Component::kRtcp)].port;
  outgoing.direction = receiver.direction;
  if (receiver.held) outgoing.direction = sdp::direction_of(sdp::sends(receiver.direction), false);
  if (sender.ice.in_use) {
    outgoing.ice = local_ice(transport, offerer, sender.ice, !sender.rtcp_mux);
    outgoing.ice_lite = sender.ice.lite;
  }
  outgoing.passes_keys = passes_keys();
  if (is_zone_peer(offerer)) {
    outgoing.carriage = carriage_towards(transport, offerer);
    outgoing.rtcp_port = outgoing.rtp.port;
  }
  outgoing.bundled = media.sides[index_of(offerer)].carrier.is_set();
  outgoing.bundle_rank = tagged ? 0 : 1;
  outgoing.folded = outgoing.bundled && !tagged;
  if (sender.keying == Keying::kDtls) {
    const sdp::DtlsDescription& said = offered.sender.dtls;
    const DtlsRole role = role_to_answer(said.setup, sender.dtls_role, sender.dtls_role);
    // RFC 8842 section 5.3: no tls-id unless the offer has one.
    outgoing.dtls = {sender.dtls.identity.fingerprint, setup_of(role),
                     said.tls_id.empty() ? std::string() : sender.dtls.tls_id};
  }
  if (sender.keying == Keying::kSdes) {
    outgoing.crypto.push_back(
        {sender.remote.crypto_tag, sender.keys[static_cast<std::size_t>(sender.suite)]});
  }
  return outgoing;
}

}  // namespace turnpike::call
