// Bundles (RFC 9143): which m-lines of a side share one transport, and what that one agrees on.
// See negotiation.h.
#include <algorithm>

#include "control/call/bundle.h"
#include "control/call/negotiation.h"
#include "control/call/transport.h"
#include "control/sdp/bundle.h"

namespace turnpike::call {
namespace {

bool is_in(const std::vector<std::size_t>& group, std::size_t index) {
  return std::find(group.begin(), group.end(), index) != group.end();
}

/// What an end says of the m-line itself, as opposed to its transport.
void take_line(MediaSide& side, const RemoteMedia& remote) {
  side.remote.held = remote.held;
  side.remote.direction = remote.direction;
  side.remote.payload_types = remote.payload_types;
  side.remote.mid_extension = remote.mid_extension;
}

}  // namespace

// ---- Offers

const CallMedia* Negotiation::shared_transport(Side to) const {
  // Another INVITE goes to an end that knows nothing of it.
  if (request_.to_tag.empty() || !call_.answered) return nullptr;
  for (const CallMedia& media : call_.media) {
    if (!media.has_session() || !media.accepted) continue;
    const CallMedia* carrier = find_session(call_, media.sides[index_of(to)].carrier);
    if (carrier != nullptr) return carrier;
  }
  return nullptr;
}

void Negotiation::choose_bundle(std::size_t index, Side to, const sdp::Session& description,
                                const Offer& offer, OfferedMedia& offered) const {
  // Those who are heard may use one SSRC each, under keys of their own.
  if (call_.form == CallForm::kSubscribed) return;
  const CallMedia* shared = shared_transport(to);
  if (shared != nullptr && passes_keys() && is_left_alone(*shared, description)) shared = nullptr;
  const bool ice = offered.receiver_ice.in_use;
  bool fits = offered.mux_offered && (ice || is_zone_peer(to));
  // An edge has its two ends share what they both can.
  fits = fits &&
         (passes_keys() ? !offered.bundle_mid.empty() : offered.receiver_keying == Keying::kDtls);
  if (shared != nullptr) {
    const MediaSide& transport = shared->sides[index_of(to)];
    const bool alike = transport.keying == offered.receiver_keying ||
                       (is_passed(transport.keying) && is_passed(offered.receiver_keying));
    fits = alike && transport.ice.in_use == ice && !has_mux_flag(RtcpMuxFlag::kReject) &&
           (fits || !passes_keys());
  }
  for (std::size_t i = 0; i < index && fits; ++i) {
    if (offer.media[i].receiver_mid.empty()) continue;
    // An offerer that bundles them itself has seen to it that they do not clash.
    const bool bundled = !offer.media[i].bundle_mid.empty() && !offered.bundle_mid.empty();
    fits = bundled || sdp::may_share_session(description.media[i], description.media[index]);
  }
  if (!fits) return;
  // The core tells packets apart by the name that the client puts into them.
  offered.receiver_mid =
      passes_keys() ? offered.bundle_mid : mid_towards(index, to, description, offer);
  if (shared == nullptr) return;
  offered.shared = shared->session;
  offered.mux_offered = true;
}

bool Negotiation::is_left_alone(const CallMedia& transport, const sdp::Session& description) const {
  for (std::size_t i = 0; i < description.media.size(); ++i) {
    if (call_.media[i].session != transport.session) continue;
    return description.media[i].port != 0 && !is_in(sdp::bundle_of(description), i);
  }
  return false;
}

// An end keeps the names that it knows (RFC 9143 section 7.5); else the offerer's, else ours.
std::string Negotiation::mid_towards(std::size_t index, Side to, const sdp::Session& description,
                                     const Offer& offer) const {
  const auto is_free = [&](const std::string& mid) {
    return !mid.empty() && mid.size() <= kMidBytesMax &&
           std::none_of(offer.media.begin(), offer.media.end(),
                        [&](const OfferedMedia& earlier) { return earlier.receiver_mid == mid; });
  };
  const std::string& known = call_.media[index].sides[index_of(to)].mid;
  if (!request_.to_tag.empty() && is_free(known)) return known;
  const auto said = [&](std::size_t i) {
    const sdp::Attribute* mid = sdp::find(description.media[i].attributes, "mid");
    return mid != nullptr ? mid->value : std::string();
  };
  if (const std::string own = said(index); is_free(own)) return own;
  for (std::size_t number = index;; ++number) {
    const std::string mid = std::to_string(number);
    bool taken = !is_free(mid);
    for (std::size_t i = 0; i < description.media.size(); ++i) taken = taken || said(i) == mid;
    if (!taken) return mid;
  }
}

// ---- Answers

Negotiation::Group Negotiation::answerers_group(const Offer& offer, const Answers& answers,
                                                const sdp::Session& description) const {
  const Group named = sdp::bundle_of(description);
  Group group;
  for (std::size_t i = 0; i < answers.size(); ++i) {
    const OfferedMedia& offered = offer.media[i];
    if (!answers[i] || offered.receiver_mid.empty()) continue;
    // To an end that shares a transport already no other one was offered.
    if (offered.rides()) {
      group.push_back(i);
      continue;
    }
    const sdp::Attribute* mid = sdp::find(description.media[i].attributes, "mid");
    const bool is_named = is_in(named, i) && mid->value == offered.receiver_mid;
    if (is_named && offered.mux_offered && answers[i]->rtcp_mux) group.push_back(i);
  }
  return group;
}

Negotiation::Group Negotiation::offerers_group(const Offer& offer, const Answers& answers) const {
  Group group;
  for (std::size_t i = 0; i < answers.size(); ++i) {
    const OfferedMedia& offered = offer.media[i];
    if (!answers[i] || offered.bundle_rank == 0) continue;
    // What an edge has offered on one transport is there, whatever the answer forgets to say.
    const bool rides = passes_keys() && offered.rides();
    if (rides || grants_mux(offered, *answers[i])) group.push_back(i);
  }
  std::sort(group.begin(), group.end(), [&](std::size_t a, std::size_t b) {
    return offer.media[a].bundle_rank < offer.media[b].bundle_rank;
  });
  // One transport has keys of one kind, and ICE or not.
  std::erase_if(group, [&, first = group.empty() ? 0 : group.front()](std::size_t i) {
    const OfferedMedia& tagged = offer.media[first];
    return offer.media[i].sender_keying != tagged.sender_keying ||
           offer.media[i].sender.ice.is_set() != tagged.sender.ice.is_set();
  });
  return group;
}

Negotiation::Group Negotiation::on_both_sides(Group offerers, const Group& answerers) {
  std::erase_if(offerers, [&](std::size_t i) { return !is_in(answerers, i); });
  return offerers;
}

std::array<SessionId, 2> Negotiation::present_carriers() const {
  std::array<SessionId, 2> carriers;
  for (const CallMedia& media : call_.media) {
    for (const Side side : {Side::kA, Side::kB}) {
      SessionId& carrier = carriers[index_of(side)];
      if (media.has_session() && !carrier.is_set()) carrier = media.sides[index_of(side)].carrier;
    }
  }
  return carriers;
}

// The transport that the group has goes on, also when the m-line that brought it is gone
// (RFC 9143 section 7.5.3), unless that one is accepted outside of the group.
SessionId Negotiation::carrier_for(const Group& group, SessionId present) const {
  if (group.empty()) return {};
  const bool is_alone_elsewhere = [&] {
    for (std::size_t i = 0; i < call_.media.size(); ++i) {
      const CallMedia& media = call_.media[i];
      if (media.session == present) return media.accepted && !is_in(group, i);
    }
    return find_session(call_, present) == nullptr;
  }();
  if (present.is_set() && !is_alone_elsewhere) return present;
  return group.size() > 1 ? call_.media[group.front()].session : SessionId{};
}

Negotiation::Group Negotiation::settle(Side offerer, const Offer& offer, const Answers& answers,
                                       const sdp::Session& description,
                                       const std::array<SessionId, 2>& present) {
  const Side answerer = other(offerer);
  std::array<Group, 2> groups;
  groups[index_of(offerer)] = offerers_group(offer, answers);
  groups[index_of(answerer)] = answerers_group(offer, answers, description);
  if (passes_keys())
    groups.fill(on_both_sides(groups[index_of(offerer)], groups[index_of(answerer)]));
  for (const Side side : {Side::kA, Side::kB}) {
    Group& group = groups[index_of(side)];
    // Who was offered a transport for each m-line has chosen anew, whatever another fork has.
    const Side chooser = passes_keys() ? answerer : side;
    const bool anew = chooser == answerer && std::none_of(group.begin(), group.end(), [&](auto i) {
                        return offer.media[i].rides();
                      });
    const SessionId carrier = carrier_for(group, anew ? SessionId{} : present[index_of(chooser)]);
    if (!carrier.is_set()) group.clear();
    for (std::size_t i = 0; i < call_.media.size(); ++i) {
      call_.media[i].sides[index_of(side)].carrier = is_in(group, i) ? carrier : SessionId{};
    }
  }
  const auto agree = [&](Side side, MediaSide& transport, std::size_t i) {
    if (side == answerer) return settle_receiver(transport, offer.media[i], *answers[i]);
    settle_sender(transport, offer.media[i]);
    transport.rtcp_mux = grants_mux(offer.media[i], *answers[i]);
  };
  for (const Side side : {Side::kA, Side::kB}) {
    const Group& group = groups[index_of(side)];
    for (std::size_t i = 0; i < answers.size(); ++i) {
      if (answers[i] && !is_in(group, i)) agree(side, call_.media[i].sides[index_of(side)], i);
    }
    if (group.empty()) continue;
    const SessionId carrier = call_.media[group.front()].sides[index_of(side)].carrier;
    MediaSide& transport = find_session(call_, carrier)->sides[index_of(side)];
    agree(side, transport, group.front());
    // Without it there is no shared transport, whatever an end on it forgets to repeat.
    transport.rtcp_mux = true;
    for (const std::size_t i : group) {
      MediaSide& line = call_.media[i].sides[index_of(side)];
      const OfferedMedia& offered = offer.media[i];
      const RemoteMedia& remote = side == answerer ? *answers[i] : offered.sender;
      if (rides(call_.media[i], side)) {
        leave_transport(line);
        line.profile =
            side == answerer ? offered.receiver_profile : *sdp::profile_of(offered.protocol);
        line.keying = side == answerer ? offered.receiver_keying : offered.sender_keying;
        line.remote = remote;
        line.rtcp_mux = true;
      }
      take_line(line, remote);
    }
  }
  for (std::size_t i = 0; i < answers.size(); ++i) {
    if (!answers[i]) continue;
    call_.media[i].sides[index_of(offerer)].mid = offer.media[i].bundle_mid;
    call_.media[i].sides[index_of(answerer)].mid = offer.media[i].receiver_mid;
    call_.media[i].sides[index_of(offerer)].remote.spoken = offer.media[i].sender.spoken;
    call_.media[i].sides[index_of(answerer)].remote.spoken = answers[i]->spoken;
  }
  return groups[index_of(offerer)];
}

// An end that does not bundle has taken it, as a core of an older version does: the offerer gave it
// no address but that of its group, which speaks of the first one that is taken.
void Negotiation::refuse_without_transport(Side offerer, const Offer& offer, Answers& answers) {
  const auto is_grouped = [&](std::size_t i) {
    return answers[i] && offer.media[i].bundle_rank != 0;
  };
  std::uint16_t first = 0;
  for (std::size_t i = 0; i < answers.size(); ++i) {
    const std::uint16_t rank = offer.media[i].bundle_rank;
    if (is_grouped(i) && (first == 0 || rank < first)) first = rank;
  }
  for (std::size_t i = 0; i < answers.size(); ++i) {
    const OfferedMedia& offered = offer.media[i];
    if (!is_grouped(i) || !offered.bundle_only || offered.bundle_rank == first) continue;
    if (call_.media[i].sides[index_of(offerer)].carrier.is_set()) continue;
    give_up(call_.media[i], offer.in_dialog);
    answers[i].reset();
  }
}

void Negotiation::end_unused_carriers() {
  std::erase_if(call_.carriers, [&](const CallMedia& media) {
    if (carries(call_, media, Side::kA) || carries(call_, media, Side::kB)) return false;
    changes_.close_on_commit(media.session);
    return true;
  });
}

}  // namespace turnpike::call
