// Service: NG "connect": ends of two calls talk to each other, and no more to whom they called.
//
// Each call keeps its sessions, ports and what its end was told. The sides that the ends do not use
// any more are joined: each sends to the port of the other one, through this host; with keys made
// for that way where they were SRTP, which a leg has to stay. So it does not matter on which shards
// they are, and for the data plane nothing is new. What the ends that were left have said stays
// known, and holds again when they are given a new answer.
#include <algorithm>
#include <optional>
#include <utility>

#include "control/call/bundle.h"
#include "control/call/dict.h"
#include "control/call/keys.h"
#include "control/call/legs.h"
#include "control/call/service.h"
#include "control/call/spoken.h"

namespace turnpike::call {
namespace {

constexpr SrtpSuite kBridgeSuite = SrtpSuite::kAesCm128HmacSha1_80;

std::optional<Side> side_of(const Call& call, const std::string& tag) {
  for (const Side side : {Side::kA, Side::kB}) {
    if (!tag.empty() && call.side(side).tag == tag) return side;
  }
  return std::nullopt;
}

/// The m-lines that are in use.
std::vector<CallMedia*> lines_of(Call& call) {
  std::vector<CallMedia*> lines;
  for (CallMedia& media : call.media) {
    if (media.has_session() && media.answered && media.accepted) lines.push_back(&media);
  }
  return lines;
}

const SocketAddress& port_of(const CallMedia& media, Side side) {
  return media.ports.local[index_of(side)][index_of(Component::kRtp)];
}

/// Whether `end` can be connected to somebody on the other side of this m-line.
Result<void> check_line(const Call& call, const CallMedia& media, Side end) {
  const MediaSide& spare = media.sides[index_of(other(end))];
  if (media.sides[index_of(end)].bridge.is_set()) {
    return Error{"Another end is connected in the place of that participant"};
  }
  if (is_passed(spare.keying) || !port_of(media, other(end)).is_set()) {
    return Error{"An end that is reached through another node cannot be connected here: ask there"};
  }
  if (spare.carrier.is_set() || carries(call, media, other(end))) {
    return Error{"m-lines that share a transport (BUNDLE) cannot be connected"};
  }
  return {};
}

bool is_secure(const CallMedia& media, Side side) {
  return sdp::is_secure(media.sides[index_of(side)].profile);
}

Result<void> check_pair(const CallMedia& one, Side one_end, const CallMedia& two, Side two_end) {
  if (one.kind != two.kind) return Error{"The m-lines of both are not of the same kinds"};
  if (port_of(one, other(one_end)).ip.family != port_of(two, other(two_end)).ip.family) {
    return Error{"Both calls must have the same address family on the side that is left"};
  }
  // A leg that was SRTP stays so, and plain RTP would not be heard there afterwards.
  if (is_secure(one, other(one_end)) != is_secure(two, other(two_end))) {
    return Error{"On the side that is left one call has SRTP and the other one plain RTP"};
  }
  const RemoteMedia& a = one.sides[index_of(one_end)].remote;
  const RemoteMedia& b = two.sides[index_of(two_end)].remote;
  const bool some_number = (a.payload_types[0] & b.payload_types[0]) != 0 ||
                           (a.payload_types[1] & b.payload_types[1]) != 0;
  if (!some_number || !understand_each_other(a.spoken, b.spoken)) {
    return Error{
        "Both speak no codec by the same number, or two by one; media is not changed here"};
  }
  return {};
}

sdp::SecretKeying new_key(const RandomBytes& random_bytes) {
  sdp::SecretKeying key;
  const SrtpSuiteInfo& info = info_of(kBridgeSuite);
  key.value.suite = kBridgeSuite;
  random_bytes(key.value.master_key.data(), info.key_bytes);
  random_bytes(key.value.master_salt.data(), info.salt_bytes);
  return key;
}

/// `to`, an m-line of another call, is what the spare side of `media` talks to.
void join(CallMedia& media, Side spare, const CallMedia& to, Side its_end,
          const sdp::SecretKeying& send, const sdp::SecretKeying& receive) {
  const RemoteMedia& end = to.sides[index_of(its_end)].remote;
  const auto& ports = to.ports.local[index_of(other(its_end))];
  MediaSide& side = media.sides[index_of(spare)];
  leave_transport(side);
  side.rtcp_mux = false;
  side.clock_rate_hz = to.sides[index_of(its_end)].clock_rate_hz;
  media.silent_since[index_of(spare)] = {};
  Bridge bridge;
  bridge.session = to.session;
  bridge.address = {ports[index_of(Component::kRtp)], ports[index_of(Component::kRtcp)]};
  bridge.send = send;
  bridge.receive = receive;
  bridge.sends = sdp::sends(end.direction) && !end.held;
  bridge.payload_types = end.payload_types;
  side.bridge = std::move(bridge);
}

Result<void> join_all(Call& one, Side one_end, Call& two, Side two_end,
                      const RandomBytes& random_bytes) {
  const std::vector<CallMedia*> ones = lines_of(one);
  const std::vector<CallMedia*> twos = lines_of(two);
  if (ones.empty() || twos.empty()) return Error{"A participant has no media that was answered"};
  if (ones.size() != twos.size()) return Error{"The m-lines of both are not of the same kinds"};
  for (std::size_t i = 0; i < ones.size(); ++i) {
    for (const auto& checked :
         {check_line(one, *ones[i], one_end), check_line(two, *twos[i], two_end),
          check_pair(*ones[i], one_end, *twos[i], two_end)}) {
      if (!checked) return checked.error();
    }
  }
  for (std::size_t i = 0; i < ones.size(); ++i) {
    sdp::SecretKeying there;
    sdp::SecretKeying back;
    if (is_secure(*ones[i], other(one_end))) {
      there = new_key(random_bytes);
      back = new_key(random_bytes);
    }
    join(*ones[i], other(one_end), *twos[i], two_end, there, back);
    join(*twos[i], other(two_end), *ones[i], one_end, back, there);
  }
  return {};
}

}  // namespace

void Service::connect(const CallRequest& request, ReplyFunction reply) {
  const std::string& to = request.to_call_id.empty() ? request.call_id : request.to_call_id;
  const auto one = call_by_id_.find(request.call_id);
  const auto two = call_by_id_.find(to);
  for (const auto& found : {one, two}) {
    if (found == call_by_id_.end() || found->second.form == CallForm::kSubscribed) {
      return reply(error_reply(found == one ? "Unknown call-id" : "Unknown to-call-id"));
    }
    if (found->second.is_one_sided()) {
      return reply(error_reply("What is published has no other side: subscribe to it"));
    }
    if (found->second.delete_at != Instant{}) {
      return reply(error_reply("One of the calls is about to end"));
    }
  }
  if (one == two) {
    return reply(error_reply("Participants of one call are joined by offer and answer"));
  }
  if (config_.pair_role == PairRole::kEdge) {
    return reply(error_reply("An edge has no keys: connect at its core"));
  }
  const auto one_end = side_of(one->second, request.from_tag);
  const auto two_end = side_of(two->second, request.to_tag);
  if (!one_end) return reply(error_reply("No participant of this call has that from-tag"));
  if (!two_end) return reply(error_reply("No participant of the other call has that to-tag"));
  Call first = one->second;
  Call second = two->second;
  const auto joined = join_all(first, *one_end, second, *two_end, environment_.random_bytes);
  if (!joined) return reply(error_reply(joined.error().message));
  for (Call* call : {&first, &second}) {
    tell_legs(*call, Which::kAll);
    update_switches(relay_, *call, true);
    log(*call, "connected to " + (call == &first ? second.id : first.id));
  }
  keep(std::move(first), {});
  keep(std::move(second), {});
  relay_.flush();
  reply({{"result", "ok"}});
}

void Service::cut(const Call& before, const Call* after) {
  for (const auto* sessions : {&before.media, &before.carriers}) {
    for (const CallMedia& media : *sessions) {
      for (const Side side : {Side::kA, Side::kB}) {
        const SessionId bridge = media.sides[index_of(side)].bridge.session;
        if (!bridge.is_set()) continue;
        const CallMedia* now = after == nullptr ? nullptr : find_session(*after, media.session);
        if (now != nullptr && now->sides[index_of(side)].bridge.session == bridge) continue;
        cut_bridge_to(media.session, bridge);
      }
    }
  }
}

void Service::cut_bridge_to(SessionId lost, SessionId from) {
  const auto index = call_id_by_session_.find(from);
  if (index == call_id_by_session_.end()) return;
  Call& call = call_by_id_.at(index->second);
  CallMedia* line = find_session(call, from);
  bool changed = false;
  for (MediaSide& side : line->sides) {
    if (side.bridge.session != lost || !side.bridge.address.rtp.is_set()) continue;
    side.bridge.address = {};
    changed = true;
  }
  if (!changed) return;
  log(call, "the end that it was connected to is gone");
  store(call);
  tell_legs(call, Which::kAll);
}

bool Service::has_bridge_to(SessionId from, SessionId to) const {
  const auto index = call_id_by_session_.find(from);
  if (index == call_id_by_session_.end()) return false;
  const auto& sides = find_session(call_by_id_.at(index->second), from)->sides;
  return std::any_of(sides.begin(), sides.end(),
                     [to](const MediaSide& side) { return side.bridge.session == to; });
}

void Service::cut_lost_bridges() {
  std::vector<std::pair<SessionId, SessionId>> lost;
  for (const auto& [session, id] : call_id_by_session_) {
    for (const MediaSide& side : find_session(call_by_id_.at(id), session)->sides) {
      const SessionId bridge = side.bridge.session;
      if (bridge.is_set() && !has_bridge_to(bridge, session)) lost.push_back({bridge, session});
    }
  }
  for (const auto& [bridge, session] : lost) cut_bridge_to(bridge, session);
}

}  // namespace turnpike::call
