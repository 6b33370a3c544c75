// Implements service.h: requests and events against the call table.
#include "control/call/service.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include "control/call/bundle.h"
#include "control/call/dict.h"
#include "control/call/keyed_description.h"
#include "control/call/legs.h"
#include "control/call/negotiation.h"
#include "control/call/record.h"
#include "control/call/session_changes.h"

namespace turnpike::call {
namespace {

using Value = ng::Value;

constexpr std::size_t kOtherTagsMax = 16;
constexpr std::size_t kRefusedCallsMax = 256;
constexpr const char* kLimitReached = "Parallel session limit reached";
constexpr const char* kOverloaded = "CPU usage limit exceeded";

Value::Dict limit_reply(const CallRequest& request, const char* message) {
  if (!request.supports_load_limit) return error_reply(kLimitReached);
  Value::Dict reply;
  reply.emplace_back("result", "load limit");
  reply.emplace_back("message", message);
  return reply;
}

Value::Dict sdp_reply(std::string text) {
  Value::Dict reply;
  reply.emplace_back("result", "ok");
  reply.emplace_back("sdp", std::move(text));
  return reply;
}

Value::Dict unknown_call_reply() {
  Value::Dict reply;
  reply.emplace_back("result", "ok");
  reply.emplace_back("warning", "No call with this call-id and these tags");
  return reply;
}

/// Another end answers for this side from now on (a fork).
void take_tag(CallSide& side, const std::string& tag) {
  std::erase(side.other_tags, tag);
  if (!side.tag.empty()) side.other_tags.push_back(side.tag);
  if (side.other_tags.size() > kOtherTagsMax) side.other_tags.erase(side.other_tags.begin());
  side.tag = tag;
}

/// The side that an offer comes from. A new tag is the answerer's when it speaks to the caller: it
/// knows the caller's tag, unlike somebody who only knows the call-id.
std::optional<Side> offerer_of(Call& call, const CallRequest& request) {
  for (const Side side : {Side::kA, Side::kB}) {
    if (call.side(side).tag == request.from_tag) return side;
  }
  if (request.to_tag != call.side(Side::kA).tag) return std::nullopt;
  take_tag(call.side(Side::kB), request.from_tag);
  return Side::kB;
}

bool contains(const std::vector<std::string>& tags, const std::string& tag) {
  return std::find(tags.begin(), tags.end(), tag) != tags.end();
}

bool expects_any_media(const Call& call) {
  const auto expects = [&](const CallMedia& media) {
    return media.has_session() &&
           (expects_media(call, media, Side::kA) || expects_media(call, media, Side::kB));
  };
  return std::any_of(call.media.begin(), call.media.end(), expects) ||
         std::any_of(call.carriers.begin(), call.carriers.end(), expects);
}

/// Where m-lines are not told apart, their transport has the figures of all. Elsewhere a carrier
/// has those of the m-line that it was, if that one had media before it was given up.
void count(Tally& tally, const SessionSummary& session, const SessionStats& figures) {
  if (rides_unseen(session.signalled)) return;
  const auto protection = session.signalled.legs[0].protection;
  const bool is_line = session.kind != kCarrierKind || protection == diagnosis::Protection::kPassed;
  is_line ? tally.media(figures) : tally.given_up(figures);
}

/// All ends that ought to send were reported silent, and there is one.
bool is_silent(const Call& call) {
  bool any = false;
  for (const auto* sessions : {&call.media, &call.carriers}) {
    for (const CallMedia& media : *sessions) {
      for (const Side side : {Side::kA, Side::kB}) {
        if (!media.has_session() || !expects_media(call, media, side)) continue;
        if (media.silent_since[index_of(side)] == Instant{}) return false;
        any = true;
      }
    }
  }
  return any;
}

}  // namespace

std::unique_ptr<CallService> CallService::create(CallServiceConfig config, Relay& relay,
                                                 Environment environment) {
  return std::make_unique<Service>(std::move(config), relay, std::move(environment));
}

Service::Service(CallServiceConfig config, Relay& relay, Environment environment)
    : config_(std::move(config)),
      relay_(relay),
      environment_(std::move(environment)),
      gatherer_(relay),
      tally_(environment_.clock()) {}

Moment Service::now() const {
  Moment moment;
  moment.monotonic = environment_.clock();
  if (environment_.unix_time_us) {
    moment.unix_us = environment_.unix_time_us();
  } else {
    const auto since_1970 = std::chrono::system_clock::now().time_since_epoch();
    moment.unix_us = std::chrono::duration_cast<std::chrono::microseconds>(since_1970).count();
  }
  return moment;
}

Result<sdp::Session> Service::parse(const CallRequest& request) const {
  if (request.call_id.empty()) return Error{"No call-id in message"};
  if (request.from_tag.empty()) return Error{"No from-tag in message"};
  if (request.call_id.find(kSubscriberMark) != std::string::npos) {
    return Error{"call-id has \"" + std::string(kSubscriberMark) +
                 "\" in it, which is the name of a subscription"};
  }
  if (request.sdp.empty()) return Error{"No SDP body in message"};
  for (const std::string* id : {&request.call_id, &request.from_tag, &request.to_tag}) {
    if (id->size() > kIdBytesMax) return Error{"call-id or tag is longer than 1024 bytes"};
  }
  return sdp::parse(request.sdp, {config_.sdp_bytes_max, config_.media_max});
}

Call Service::new_call(const CallRequest& request) {
  Call call;
  call.id = request.call_id;
  const Moment moment = now();
  call.created = moment.monotonic;
  call.created_unix_us = moment.unix_us;
  while (call.record_key == 0) {
    environment_.random_bytes(&call.record_key, sizeof call.record_key);
  }
  call.side(Side::kA).tag = request.from_tag;
  call.side(Side::kB).tag = request.to_tag;
  return call;
}

void Service::remember_refusal(const std::string& call_id) {
  std::erase(refused_for_load_, call_id);
  refused_for_load_.push_back(call_id);
  if (refused_for_load_.size() > kRefusedCallsMax) refused_for_load_.pop_front();
}

void Service::refuse_for_load(const CallRequest& request, const char* message,
                              const ReplyFunction& reply) {
  remember_refusal(request.call_id);
  tally_.refused();
  reply(limit_reply(request, message));
}

void Service::tell_legs(const Call& call, Which which) {
  // First who listens: not one packet of an end that takes the place of another is for them.
  follow(call);
  update_legs(relay_, {config_, environment_.flow_to}, call, which);
  const auto before = call_by_id_.find(call.id);
  bool changed = false;  // by another end that took over
  for (const Side side : {Side::kA, Side::kB}) {
    changed = changed || (before != call_by_id_.end() &&
                          before->second.side(side).switches != call.side(side).switches);
  }
  update_switches(relay_, call, changed);
}

void Service::on_flows_changed(const std::string& peer) {
  for (const auto& [id, call] : call_by_id_) {
    const bool concerned = std::any_of(call.sides.begin(), call.sides.end(), [&](const auto& side) {
      return config_.interfaces[side.interface_index].name == peer;
    });
    if (concerned) tell_legs(call, Which::kAll);
  }
}

void Service::offer(const CallRequest& request, ReplyFunction reply) {
  auto parsed = parse(request);
  if (!parsed) return reply(error_reply(parsed.error().message));
  KeyedDescription description(std::move(*parsed));

  const auto known = call_by_id_.find(request.call_id);
  const bool is_new = known == call_by_id_.end();
  if (is_new && draining_) return refuse_for_load(request, "draining", reply);
  if (is_new && call_by_id_.size() >= config_.calls_max) {
    return refuse_for_load(request, kLimitReached, reply);
  }
  Call next = is_new ? new_call(request) : known->second;
  if (next.is_one_sided()) return reply(error_reply("call-id is that of published media"));
  const auto from = offerer_of(next, request);
  if (!from) return reply(error_reply("from-tag belongs to no side of this call"));

  if (!request.label.empty()) next.side(*from).label = request.label;

  SessionChanges changes(relay_);
  Negotiation negotiation(config_, environment_, relay_.dtls_identity(), changes, next, request);
  negotiation.open_on(shard_of_subscribers(next.id));
  const auto done = negotiation.offer(*from, description.value);
  ice_candidates_skipped_ += negotiation.candidates_skipped();
  if (!done) {
    log(next, "offer refused: " + done.error().message);
    if (changes.at_session_limit()) return refuse_for_load(request, kLimitReached, reply);
    if (changes.overloaded()) return refuse_for_load(request, kOverloaded, reply);
    if (changes.out_of_ports() || negotiation.lacks_flow()) {
      remember_refusal(request.call_id);
      tally_.refused();
    }
    return reply(error_reply(done.error().message));
  }
  for (CallSide& side : next.sides) {
    if (side.since == Instant{}) side.since = next.created;
  }
  tell_legs(next, Which::kUnanswered);
  log(next, "offer");
  keep(std::move(next), changes.commit());
  relay_.flush();  // before the reply: a call that is promised soon survives our death
  reply(sdp_reply(sdp::write(description.value)));
}

void Service::answer(const CallRequest& request, ReplyFunction reply) {
  auto parsed = parse(request);
  if (!parsed) return reply(error_reply(parsed.error().message));
  KeyedDescription description(std::move(*parsed));
  if (request.to_tag.empty()) return reply(error_reply("No to-tag in message"));
  const auto known = call_by_id_.find(request.call_id);
  if (known == call_by_id_.end()) return reply(error_reply("Unknown call-id"));

  Call next = known->second;
  if (next.is_one_sided()) return reply(error_reply("call-id is that of published media"));
  const bool by_caller = next.side(Side::kA).tag == request.from_tag;
  if (!by_caller && next.side(Side::kB).tag != request.from_tag) {
    return reply(error_reply("from-tag belongs to no side of this call"));
  }
  const Side offerer = by_caller ? Side::kA : Side::kB;
  CallSide& answerer = next.side(other(offerer));
  if (answerer.tag != request.to_tag) {
    take_tag(answerer, request.to_tag);
    answerer.since = environment_.clock();
    // What the SIP server said of one branch does not hold for another. Within a dialog a new tag
    // is but somebody's word, and frees nobody who is blocked.
    const auto& offer = next.offers[index_of(offerer)];
    if (!offer || !offer->in_dialog) {
      answerer.label.clear();
      answerer.switches = {};
    }
  }
  if (!request.label.empty()) answerer.label = request.label;
  SessionChanges changes(relay_);
  Negotiation negotiation(config_, environment_, relay_.dtls_identity(), changes, next, request);
  const auto done = negotiation.answer(offerer, description.value);
  ice_candidates_skipped_ += negotiation.candidates_skipped();
  if (!done) {
    log(known->second, "answer refused: " + done.error().message);
    return reply(error_reply(done.error().message));
  }
  tell_legs(next, Which::kAll);
  log(next, "answer");
  keep(std::move(next), changes.commit());
  relay_.flush();
  reply(sdp_reply(sdp::write(description.value)));
}

void Service::keep(Call next, const std::vector<SessionId>& to_close) {
  const Moment moment = now();
  next.last_signal = moment.monotonic;
  next.last_signal_unix_us = moment.unix_us;
  next.delete_at = Instant{};
  if (next.answered && next.answered_at == Instant{}) next.answered_at = moment.monotonic;
  Call& call = call_by_id_[next.id];
  cut(call, &next);
  for (const SessionId id : sessions_of(call)) call_id_by_session_.erase(id);
  for (const SessionId id : sessions_of(next)) call_id_by_session_[id] = next.id;
  call = std::move(next);
  store(call);
  if (to_close.empty()) return;
  // What an m-line carried counts for the call, also after it was given up.
  gatherer_.close(to_close, environment_.clock(),
                  [this, id = call.id, key = call.record_key](const StatsBySession& stats) {
                    for (const auto& [session, figures] : stats) tally_.given_up(figures);
                    const auto known = call_by_id_.find(id);
                    if (known == call_by_id_.end() || known->second.record_key != key) return;
                    known->second.past += totals_of(stats);
                  });
}

void Service::store(const Call& call) {
  std::string record = write_record(call);
  // Without room the call goes on; it only would not survive a crash.
  if (!relay_.store_record(call.record_key, record)) log(call, "no room to keep it over a crash");
  sdp::wipe(record);
}

Gatherer::Done Service::reply_with_statistics(const Call& call, ReplyFunction reply) const {
  return [this, copy = call, subscribers = subscribers_of(call),
          reply = std::move(reply)](const StatsBySession& stats) {
    Value::Dict dict;
    dict.emplace_back("result", "ok");
    for (auto& entry : statistics_of(copy, stats, now(), subscribers))
      dict.push_back(std::move(entry));
    reply(std::move(dict));
  };
}

void Service::remove(const CallRequest& request, ReplyFunction reply) {
  if (request.call_id.empty()) return reply(error_reply("No call-id in message"));
  const auto known = call_by_id_.find(request.call_id);
  // A subscription has a command of its own: no Call-ID that a client makes up ends one.
  if (known == call_by_id_.end() || known->second.form == CallForm::kSubscribed) {
    // A SIP server that cannot see why an offer was refused tells its reasons apart by this.
    const bool was_load = std::erase(refused_for_load_, request.call_id) != 0;
    return reply(was_load ? error_reply(kLimitReached) : unknown_call_reply());
  }
  Call& call = known->second;
  CallSide& callee = call.side(Side::kB);
  const auto is_known = [&](const std::string& tag) {
    return tag.empty() || call.side(Side::kA).tag == tag || callee.tag == tag ||
           contains(callee.other_tags, tag);
  };
  // The to-tag of a final refusal is new when nobody answered; then it is the whole call's.
  const bool to_tag_fits = is_known(request.to_tag) || callee.tag.empty();
  if (!is_known(request.from_tag) || !to_tag_fits) return reply(unknown_call_reply());

  auto done = reply_with_statistics(call, std::move(reply));
  const auto lost = [&](const std::string& tag) {
    return tag == request.from_tag || tag == request.to_tag;
  };
  if (std::erase_if(callee.other_tags, lost) != 0) {
    // A branch that lost takes nothing of the call with it.
    store(call);
    return gatherer_.query(sessions_of(call), environment_.clock(), std::move(done));
  }
  const Seconds delay = request.delete_delay.value_or(config_.delete_delay);
  call.delete_at = environment_.clock() + std::max(delay, Seconds{0});
  if (delay <= Seconds{0}) return end(call.id, Ending::kDeleted, std::move(done));
  store(call);
  gatherer_.query(sessions_of(call), environment_.clock(), std::move(done));
}

void Service::end(const std::string& call_id, Ending why, Gatherer::Done done) {
  const auto known = call_by_id_.find(call_id);
  if (known == call_by_id_.end()) return;
  const Moment moment = now();
  const End end_of_call{why, moment.monotonic, moment.unix_us};
  if (known->second.form == CallForm::kSubscribed) {
    log(known->second, "subscription ended");
    const auto others = subscriptions_.find(known->second.subscribed_to);
    if (others != subscriptions_.end()) others->second.erase(call_id);
    if (others != subscriptions_.end() && others->second.empty()) subscriptions_.erase(others);
  }
  const auto subscribed = subscriptions_.extract(call_id);
  cut(known->second, nullptr);
  keep_end(known->second, end_of_call);
  const Call call = std::move(known->second);
  const std::vector<SessionId> sessions = sessions_of(call);
  for (const SessionId id : sessions) call_id_by_session_.erase(id);
  call_by_id_.erase(known);
  close(call, end_of_call, sessions, std::move(done));
  if (subscribed.empty()) return;
  for (const std::string& id : subscribed.mapped()) end(id, why, [](const StatsBySession&) {});
}

// What it is of a subscription is told with the call that it belongs to.
void Service::keep_end(const Call& call, const End& end) {
  const bool keeps = environment_.keeps_ends && environment_.keeps_ends();
  if (!keeps || call.form == CallForm::kSubscribed) return relay_.erase_record(call.record_key);
  std::string record = write_record(call, end);
  static_cast<void>(relay_.store_record(call.record_key, record));
  sdp::wipe(record);
}

void Service::close(const Call& call, const End& end, const std::vector<SessionId>& sessions,
                    Gatherer::Done done) {
  CallSummary summary = summary_of(call);
  summary.ended_at = end.at;
  summary.ended_unix_us = end.unix_us;
  auto finish = [this, why = end.why, is_subscription = call.form == CallForm::kSubscribed,
                 said_goodbye = call.delete_at != Instant{}, summary = std::move(summary),
                 done = std::move(done)](const StatsBySession& stats) {
    done(stats);
    if (is_subscription) return;
    tally_.ended(why, summary.ended_at - summary.created);
    for (const SessionSummary& session : summary.sessions) {
      const auto found = stats.find(session.id);
      if (found != stats.end()) count(tally_, session, found->second);
    }
    if (!environment_.ended) return;
    environment_.ended(summary, text_of(why), stats, verdicts_at_end(summary, stats, said_goodbye));
  };
  gatherer_.close(sessions, environment_.clock(), std::move(finish));
}

std::vector<CallSummary> Service::calls_named(const std::string& call_id) const {
  std::vector<CallSummary> found;
  for (const auto& [id, call] : call_by_id_) {
    // A pass of a call through one SIP server: its Call-ID, a comma and what tells it apart.
    if (id == call_id || id.starts_with(call_id + ",")) found.push_back(summary_of(call));
  }
  return found;
}

bool Service::end_call(const std::string& call_id) {
  const std::vector<CallSummary> found = calls_named(call_id);
  for (const CallSummary& call : found) end(call.call_id, Ending::kByOperator, [](const auto&) {});
  return !found.empty();
}

void Service::query(const CallRequest& request, ReplyFunction reply) {
  if (request.call_id.empty()) return reply(error_reply("No call-id in message"));
  const auto known = call_by_id_.find(request.call_id);
  if (known == call_by_id_.end()) return reply(error_reply("Unknown call-id"));
  gatherer_.query(sessions_of(known->second), environment_.clock(),
                  reply_with_statistics(known->second, std::move(reply)));
}

void Service::on_event(const Event& event) {
  switch (event.kind) {
    case EventKind::kSessionStats:
    case EventKind::kSessionClosed:
      return gatherer_.on_event(event);
    case EventKind::kMediaTimeout:
      return on_media_timeout(event);
    case EventKind::kSilent:
      return on_silence(event);
    case EventKind::kIceState:
    case EventKind::kDtlsState:
      return on_transport_state(event);
    case EventKind::kSourceMoved:
      return;
  }
}

// Only what explains silence; the rest is seen in the session's figures.
void Service::on_transport_state(const Event& event) {
  const auto index = call_id_by_session_.find(event.session);
  if (index == call_id_by_session_.end()) return;
  const bool ice = event.kind == EventKind::kIceState;
  if (ice && event.ice != IceState::kFailed && event.ice != IceState::kLost) return;
  const bool closed = !ice && event.dtls == DtlsState::kClosed;
  if (!ice && !closed && event.dtls != DtlsState::kFailed) return;
  std::string what = std::string(ice ? "ICE " : "DTLS ");
  what += ice ? name_of(event.ice) : name_of(event.dtls);
  what += event.side == Side::kA ? " on leg a" : " on leg b";
  if (closed) {
    what += ": its remote end has left, and is sent nothing more";
  } else if (!ice) {
    what += ": " + describe(event.dtls_failure, event.dtls_flights);
  }
  log(call_by_id_.at(index->second), what);
}

void Service::on_media_timeout(const Event& event) {
  const auto index = call_id_by_session_.find(event.session);
  if (index == call_id_by_session_.end()) return;
  Call& call = call_by_id_.at(index->second);
  if (CallMedia* media = find_session(call, event.session); media != nullptr) {
    media->silent_since[index_of(event.side)] = environment_.clock();
  }
  look_for_silence(call);
}

void Service::look_for_silence(const Call& call) {
  if (!is_silent(call)) return;
  // Media may have come back on one leg before the last one fell silent: look before ending.
  gatherer_.query(sessions_of(call), environment_.clock(),
                  [this, id = call.id](const StatsBySession& stats) { end_if_silent(id, stats); });
}

void Service::end_if_silent(const std::string& call_id, const StatsBySession& stats) {
  const auto known = call_by_id_.find(call_id);
  if (known == call_by_id_.end()) return;
  Call& call = known->second;
  for (auto* sessions : {&call.media, &call.carriers}) {
    for (CallMedia& media : *sessions) {
      const auto found = stats.find(media.session);
      for (const Side side : {Side::kA, Side::kB}) {
        if (!media.has_session() || !expects_media(call, media, side)) continue;
        Instant& silent_since = media.silent_since[index_of(side)];
        if (found == stats.end()) return;  // no figures: on_tick asks again
        // What is said to nobody is no media of the call.
        const Instant carried = found->second.legs[index_of(side)].last_carried;
        if (carried > silent_since) silent_since = Instant{};
      }
    }
  }
  if (!is_silent(call)) return;
  end(call_id, Ending::kSilent, [](const StatsBySession&) {});
}

std::optional<Ending> Service::end_of_time(const Call& call, Instant moment) const {
  const auto is_over = [&](Seconds timeout) {
    return timeout > Seconds{0} && moment - call.last_signal >= timeout;
  };
  if (call.delete_at != Instant{} && call.delete_at <= moment) return Ending::kDeletedLater;
  if (!call.answered && is_over(config_.offer_timeout)) return Ending::kNotAnswered;
  // Where media is expected, its silence ends the call.
  if (!call.answered || call.form == CallForm::kSubscribed || expects_any_media(call)) {
    return std::nullopt;
  }
  if (is_over(config_.hold_timeout)) return Ending::kHeldTooLong;
  return std::nullopt;
}

void Service::on_tick() {
  const Instant moment = environment_.clock();
  gatherer_.on_tick(moment);
  tally_.sample(relayed(), call_by_id_.size(), moment);
  std::vector<std::pair<std::string, Ending>> due;
  std::vector<const Call*> silent;
  for (const auto& [id, call] : call_by_id_) {
    if (is_silent(call)) silent.push_back(&call);
    if (const auto why = end_of_time(call, moment)) due.emplace_back(id, *why);
  }
  for (const Call* call : silent) look_for_silence(*call);
  for (const auto& [id, why] : due) end(id, why, [](const StatsBySession&) {});
}

}  // namespace turnpike::call
