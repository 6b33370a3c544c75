// Service: NG "publish", "subscribe request", "subscribe answer" and "unsubscribe".
//
// A subscription is a call of its own with one end, who subscribes (side A); side B stands for
// those who are heard. So offer and answer, keys, ICE, limits, records and timeouts are those of
// calls.
#include <algorithm>
#include <array>
#include <cstdio>
#include <utility>

#include "control/call/bundle.h"
#include "control/call/dict.h"
#include "control/call/keyed_description.h"
#include "control/call/legs.h"
#include "control/call/negotiation.h"
#include "control/call/service.h"
#include "control/call/session_changes.h"
#include "control/call/spoken.h"

namespace turnpike::call {
namespace {

using Value = ng::Value;

constexpr const char* kPlainRtp = "RTP/AVP";

std::string subscription_id(const std::string& call_id, const std::string& tag) {
  return call_id + std::string(kSubscriberMark) + tag;
}

bool is_heard(const CallSide& end, const CallRequest& request) {
  if (end.tag.empty() && !request.all) return false;
  if (request.all) return true;
  if (!request.label.empty() && end.label == request.label) return true;
  if (!request.label.empty()) return false;
  const auto& tags = request.from_tags;
  return end.tag == request.from_tag || std::find(tags.begin(), tags.end(), end.tag) != tags.end();
}

std::string random_tag(const std::function<void(void*, std::size_t)>& random_bytes) {
  std::uint64_t number = 0;
  random_bytes(&number, sizeof number);
  std::array<char, 24> text{};
  std::snprintf(text.data(), text.size(), "%016llx", static_cast<unsigned long long>(number));
  return text.data();
}

/// Of each end its tag, and which m-lines of the offer are its media.
void put_sources(Value::Dict& reply, const Call& call, const Call& subscription) {
  Value::List tags;
  Value::List medias;
  Value::Dict labels;
  for (const Side side : {Side::kA, Side::kB}) {
    const CallSide& end = call.side(side);
    Value::List lines;
    for (std::size_t i = 0; i < subscription.heard.size(); ++i) {
      const HeardMedia& heard = subscription.heard[i];
      if (heard.side != side) continue;
      const std::string label = std::to_string(i + 1);
      Value::Dict line;
      put_number(line, "index", heard.line + 1);
      put_text(line, "type", call.media[heard.line].kind);
      put_text(line, "label", label);
      Value::Dict labelled = line;
      lines.emplace_back(std::move(line));
      put_text(labelled, "tag", end.tag);
      put_dict(labels, label, std::move(labelled));
    }
    if (lines.empty()) continue;
    tags.emplace_back(end.tag);
    Value::Dict entry;
    put_text(entry, "tag", end.tag);
    if (!end.label.empty()) put_text(entry, "label", end.label);
    put_list(entry, "medias", std::move(lines));
    medias.emplace_back(std::move(entry));
  }
  put_text(reply, "from-tag", *tags.front().as_string());
  put_list(reply, "from-tags", std::move(tags));
  put_list(reply, "tag-medias", std::move(medias));
  put_dict(reply, "media-labels", std::move(labels));
}

/// Nobody is sent anything, or hears himself, by the name of both sides' interface.
CallRequest with_interface(CallRequest request, const std::string& preset, bool last) {
  std::string name = preset;
  if (!request.direction.empty()) name = last ? request.direction.back() : request.direction[0];
  request.direction = {name, name};
  return request;
}

/// The name of another node of a traversal pair.
bool is_peer(const std::string& interface) {
  return interface.find('/') != std::string::npos;
}

/// What it hears now: nothing where another end answers for the one that it named.
SessionId heard_now(const Call& call, const HeardMedia& heard) {
  if (heard.line >= call.media.size()) return {};
  const CallMedia& media = call.media[heard.line];
  const bool is_replaced = media.sides[index_of(heard.side)].bridge.is_set();
  const bool is_there = heard.tag == call.side(heard.side).tag && !is_replaced;
  return heard.tag.empty() || is_there ? media.session : SessionId{};
}

bool takes_any(const RemoteMedia& offered, const RemoteMedia& taken) {
  return (offered.payload_types[0] & taken.payload_types[0]) != 0 ||
         (offered.payload_types[1] & taken.payload_types[1]) != 0;
}

}  // namespace

const Call* Service::find_subscription(const CallRequest& request) const {
  const auto found = call_by_id_.find(subscription_id(request.call_id, request.to_tag));
  if (found == call_by_id_.end() || found->second.form != CallForm::kSubscribed) return nullptr;
  return &found->second;
}

Result<std::vector<HeardMedia>> Service::media_to_hear(const Call& call,
                                                       const CallRequest& request) const {
  const bool named = !request.from_tag.empty() || !request.from_tags.empty() ||
                     !request.label.empty() || request.all;
  if (!named) return Error{"No from-tag, from-tags, label or all in message"};
  std::vector<HeardMedia> heard;
  bool any_end = false;
  for (const Side side : {Side::kA, Side::kB}) {
    const bool absent = call.is_one_sided() && side == Side::kB;
    if (absent || !is_heard(call.side(side), request)) continue;
    any_end = true;
    for (std::size_t i = 0; i < call.media.size(); ++i) {
      const CallMedia& media = call.media[i];
      if (!media.has_session() || (media.answered && !media.accepted)) continue;
      if (is_passed(transport_side(call, media, side).keying)) {
        return Error{"m-line " + std::to_string(i + 1) +
                     " passes this node as it is: subscribe at the node that has its keys"};
      }
      const std::string tag = request.all ? std::string() : call.side(side).tag;
      HeardMedia one{static_cast<std::uint32_t>(i), side, media.session, tag};
      if (!heard_now(call, one).is_set()) {
        return Error{"Another end is connected in the place of that participant"};
      }
      heard.push_back(std::move(one));
    }
  }
  if (!any_end) return Error{"No participant of this call has that label or from-tag"};
  if (heard.empty()) return Error{"The participant has no media"};
  if (heard.size() > config_.media_max) {
    return Error{"More than " + std::to_string(config_.media_max) + " m-lines to subscribe to"};
  }
  return heard;
}

Result<void> Service::check_room_to_subscribe(const Call& call, const std::string& id,
                                              const std::vector<HeardMedia>& heard) const {
  const auto subscribed = subscriptions_.find(call.id);
  if (subscribed == subscriptions_.end()) return {};
  for (const HeardMedia& one : heard) {
    const auto hears_it = [&](const HeardMedia& other) {
      return other.line == one.line && other.side == one.side;
    };
    std::size_t subscribers = 0;
    for (const std::string& present : subscribed->second) {
      if (present == id) continue;
      const auto& others = call_by_id_.at(present).heard;
      subscribers +=
          static_cast<std::size_t>(std::count_if(others.begin(), others.end(), hears_it));
    }
    if (subscribers < kSubscribersPerLegMax) continue;
    return Error{"A participant has " + std::to_string(kSubscribersPerLegMax) +
                 " subscribers already, which is as many as it may have"};
  }
  return {};
}

int Service::shard_of_subscribers(const std::string& call_id) const {
  const auto subscribed = subscriptions_.find(call_id);
  if (subscribed == subscriptions_.end()) return -1;
  for (const std::string& id : subscribed->second) {
    for (const CallMedia& media : call_by_id_.at(id).media) {
      if (media.has_session()) return media.session.shard;
    }
  }
  return -1;
}

Result<CallRequest> Service::subscription_wanted(const Call& call,
                                                 const CallRequest& request) const {
  CallRequest wanted = with_interface(request, config_.default_direction_b, true);
  if (is_peer(wanted.direction[0])) {
    return Error{"A subscriber must be reached over an interface of this node"};
  }
  std::string tag = std::exchange(wanted.to_tag, std::string());
  if (tag.size() > kIdBytesMax) return Error{"to-tag is longer than 1024 bytes"};
  if (!tag.empty() && (tag == call.side(Side::kA).tag || tag == call.side(Side::kB).tag)) {
    return Error{"to-tag is that of a participant of the call"};
  }
  while (tag.empty() ||
         (request.to_tag.empty() && call_by_id_.contains(subscription_id(call.id, tag)))) {
    tag = random_tag(environment_.random_bytes);
  }
  wanted.call_id = subscription_id(call.id, tag);
  wanted.from_tag = std::move(tag);
  wanted.replace_origin = true;
  if (wanted.transport_protocol.empty()) wanted.transport_protocol = kPlainRtp;
  return wanted;
}

// Also while the node drains: a subscription ends with its call, and keeps nothing from ending.
void Service::subscribe(const CallRequest& request, ReplyFunction reply) {
  const auto known = call_by_id_.find(request.call_id);
  if (known == call_by_id_.end() || known->second.form == CallForm::kSubscribed) {
    return reply(error_reply("Unknown call-id"));
  }
  const Call& call = known->second;
  auto heard = media_to_hear(call, request);
  if (!heard) return reply(error_reply(heard.error().message));
  const auto wanted = subscription_wanted(call, request);
  if (!wanted) return reply(error_reply(wanted.error().message));
  if (auto room = check_room_to_subscribe(call, wanted->call_id, *heard); !room) {
    return reply(error_reply(room.error().message));
  }
  if (!call_by_id_.contains(wanted->call_id) && call_by_id_.size() >= config_.calls_max) {
    tally_.refused();
    return reply(error_reply("Parallel session limit reached"));
  }
  Call next = new_call(*wanted);
  next.form = CallForm::kSubscribed;
  next.subscribed_to = call.id;
  next.heard = std::move(*heard);
  next.side(Side::kA).label = request.set_label;
  auto spoken = offer_of_spoken(call, next.heard, next.record_key >> 1U);
  if (!spoken) return reply(error_reply(spoken.error().message));
  KeyedDescription description(std::move(*spoken));
  SessionChanges changes(relay_);
  Negotiation negotiation(config_, environment_, relay_.dtls_identity(), changes, next, *wanted);
  negotiation.open_on(next.heard[0].session.shard);
  if (const auto done = negotiation.offer(Side::kB, description.value); !done) {
    log(next, "subscription refused: " + done.error().message);
    return reply(error_reply(done.error().message));
  }
  for (CallSide& side : next.sides) side.since = next.created;
  Value::Dict answer;
  put_text(answer, "result", "ok");
  put_text(answer, "sdp", sdp::write(description.value));
  put_text(answer, "to-tag", wanted->from_tag);
  put_sources(answer, call, next);
  // One with the same to-tag ends only now: a refusal leaves it as it is.
  end(wanted->call_id, Ending::kDeleted, [](const StatsBySession&) {});
  subscriptions_[call.id].insert(next.id);
  tell_legs(next, Which::kUnanswered);
  log(next, "subscription offered");
  keep(std::move(next), changes.commit());
  relay_.flush();
  reply(std::move(answer));
}

void Service::answer_subscription(const CallRequest& request, ReplyFunction reply) {
  const Call* known = find_subscription(request);
  if (known == nullptr) return reply(error_reply("Unknown call-id or to-tag of a subscription"));
  auto parsed = sdp::parse(request.sdp, {config_.sdp_bytes_max, config_.media_max});
  if (!parsed) return reply(error_reply(parsed.error().message));
  KeyedDescription description(std::move(*parsed));
  Call next = *known;
  SessionChanges changes(relay_);
  Negotiation negotiation(config_, environment_, relay_.dtls_identity(), changes, next, request);
  auto done = negotiation.answer(Side::kB, description.value);
  const auto& offer = next.offers[index_of(Side::kB)];
  for (std::size_t i = 0; done && offer && i < offer->media.size(); ++i) {
    const CallMedia& media = next.media[i];
    if (!media.accepted) continue;
    if (takes_any(offer->media[i].sender, media.sides[index_of(Side::kA)].remote)) continue;
    done = Error{"m-line " + std::to_string(i + 1) +
                 " of the answer takes none of the formats that were offered; media is not "
                 "transcoded here"};
  }
  if (!done) {
    log(*known, "subscription refused: " + done.error().message);
    return reply(error_reply(done.error().message));
  }
  tell_legs(next, Which::kAll);
  log(next, "subscribed");
  keep(std::move(next), changes.commit());
  relay_.flush();
  reply({{"result", "ok"}});
}

void Service::unsubscribe(const CallRequest& request, ReplyFunction reply) {
  const Call* known = find_subscription(request);
  if (known == nullptr) return reply(error_reply("Unknown call-id or to-tag of a subscription"));
  end(std::string(known->id), Ending::kDeleted, [](const StatsBySession&) {});
  relay_.flush();
  reply({{"result", "ok"}});
}

void Service::follow(const Call& call) {
  const auto subscribed = subscriptions_.find(call.id);
  if (subscribed == subscriptions_.end()) return;
  for (const std::string& id : subscribed->second) {
    Call& subscription = call_by_id_.at(id);
    bool changed = false;
    bool displaced = false;
    for (HeardMedia& heard : subscription.heard) {
      const SessionId now = heard_now(call, heard);
      changed = changed || heard.session != now;
      displaced = displaced || (heard.session.is_set() && !heard.tag.empty() &&
                                heard.tag != call.side(heard.side).tag);
      heard.session = now;
    }
    if (!changed) continue;
    if (displaced)
      log(subscription, "silent: another end answers for the one that is subscribed to");
    store(subscription);
    tell_legs(subscription, subscription.answered ? Which::kAll : Which::kUnanswered);
  }
}

std::vector<Subscriber> Service::subscribers_of(const Call& call) const {
  std::vector<Subscriber> subscribers;
  const auto subscribed = subscriptions_.find(call.id);
  if (subscribed == subscriptions_.end()) return subscribers;
  for (const std::string& id : subscribed->second) {
    const Call& one = call_by_id_.at(id);
    for (const Side side : {Side::kA, Side::kB}) {
      const bool hears = std::any_of(
          one.heard.begin(), one.heard.end(),
          [side](const HeardMedia& heard) { return heard.side == side && heard.session.is_set(); });
      if (hears) subscribers.push_back({side, one.side(Side::kA).tag});
    }
  }
  return subscribers;
}

void Service::publish(const CallRequest& request, ReplyFunction reply) {
  CallRequest wanted = with_interface(request, config_.default_direction_a, false);
  if (wanted.call_id.empty()) wanted.call_id = random_tag(environment_.random_bytes);
  if (wanted.from_tag.empty()) wanted.from_tag = random_tag(environment_.random_bytes);
  const auto known = call_by_id_.find(wanted.call_id);
  const bool is_new = known == call_by_id_.end();
  if (is_new && (draining_ || call_by_id_.size() >= config_.calls_max)) {
    const char* why = draining_ ? "draining" : "Parallel session limit reached";
    return refuse_for_load(wanted, why, reply);
  }
  if (config_.pair_role == PairRole::kEdge || is_peer(wanted.direction[0])) {
    return reply(error_reply("Media is published over an interface of a node that has its keys"));
  }
  if (!is_new && (known->second.form != CallForm::kPublished ||
                  known->second.side(Side::kA).tag != wanted.from_tag)) {
    return reply(error_reply("call-id is that of a call, or of media that another one publishes"));
  }
  wanted.to_tag.clear();
  auto parsed = parse(wanted);
  if (!parsed) return reply(error_reply(parsed.error().message));
  KeyedDescription published(std::move(*parsed));
  Call next = is_new ? new_call(wanted) : known->second;
  next.form = CallForm::kPublished;
  if (!request.label.empty()) next.side(Side::kA).label = request.label;
  KeyedDescription description(answer_to_published(published.value, next.record_key >> 1U));
  // Within what is published already the end stays where it is.
  if (!is_new) wanted.to_tag = wanted.from_tag;
  wanted.transport_protocol = kPlainRtp;  // of the end that there is not
  wanted.address_family = AddressFamily::kNone;
  wanted.replace_origin = true;
  SessionChanges changes(relay_);
  Negotiation negotiation(config_, environment_, relay_.dtls_identity(), changes, next, wanted);
  negotiation.open_on(shard_of_subscribers(next.id));
  auto done = negotiation.offer(Side::kA, published.value);
  for (CallSide& side : next.sides) side.since = next.created;
  if (done) done = negotiation.answer(Side::kA, description.value);
  ice_candidates_skipped_ += negotiation.candidates_skipped();
  if (!done) {
    log(next, "publication refused: " + done.error().message);
    if (changes.at_session_limit() || changes.overloaded()) {
      return refuse_for_load(wanted, "Parallel session limit reached", reply);
    }
    return reply(error_reply(done.error().message));
  }
  tell_legs(next, Which::kAll);
  log(next, "published");
  Value::Dict answer;
  put_text(answer, "result", "ok");
  put_text(answer, "sdp", sdp::write(description.value));
  put_text(answer, "call-id", next.id);
  put_text(answer, "from-tag", wanted.from_tag);
  keep(std::move(next), changes.commit());
  relay_.flush();
  reply(std::move(answer));
}

}  // namespace turnpike::call
