// Answers as JSON. Numbers are plain, durations in seconds, names as in the metrics.
#include "control/api/endpoints.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <optional>
#include <utility>

#include "control/api/json.h"
#include "control/api/leg_json.h"
#include "control/api/page.h"
#include "control/api/tls_json.h"
#include "control/api/turn_json.h"
#include "control/api/zones_json.h"

namespace turnpike::api {
namespace {

constexpr std::size_t kWaitingMax = 64;
constexpr Milliseconds kPatience{2000};
constexpr std::uint64_t kListTokens = std::uint64_t{1} << 62;

Json drops_of(const auto& drops, auto&& count) {
  Json named = Json::array();
  for (std::size_t reason = 0; reason < kDropReasonCount; ++reason) {
    const std::uint64_t packets = count(drops[reason]);
    if (packets == 0) continue;
    named.push_back({{"reason", kDropReasons[reason].label},
                     {"packets", packets},
                     {"meaning", kDropReasons[reason].help}});
  }
  return named;
}

Json quality_json(const QualitySample& sample, Instant now) {
  const auto decimal = [](std::uint32_t value, double unit) {
    return static_cast<double>(value) / unit;
  };
  const bool known = sample.round_trip_us != 0;
  return {{"mos", decimal(sample.mos_hundredths, 100)},
          {"loss_percent", decimal(sample.loss_hundredths, 100)},
          {"jitter_ms", decimal(sample.jitter_us, 1000)},
          {"round_trip_ms", known ? Json(decimal(sample.round_trip_us, 1000)) : Json()},
          {"age_seconds", age(sample.at, now)}};
}

Json qualities_json(const StreamQuality& quality, Instant now) {
  if (quality.samples == 0) return Json();
  return {{"samples", quality.samples},
          {"average", quality_json(quality.average, now)},
          {"lowest", quality_json(quality.lowest, now)},
          {"highest", quality_json(quality.highest, now)}};
}

Json stream_json(const StreamStats& stream, Instant now) {
  return {{"ssrc", stream.ssrc},
          {"payload_type", stream.payload_type},
          {"packets", stream.packets},
          {"bytes", stream.bytes},
          {"packets_lost", stream.packets_lost},
          {"jitter_timestamp_units", stream.jitter},
          {"quality", qualities_json(stream.quality, now)},
          {"rtcp_packets", stream.rtcp_packets},
          {"replays", stream.replays},
          {"auth_failures", stream.auth_failures},
          {"rollover_counter", stream.rollover_counter},
          {"first_packet_age_seconds", age(stream.first_packet, now)},
          {"last_packet_age_seconds", age(stream.last_packet, now)}};
}

Json ice_json(const TransportReport& transport, Instant now) {
  if (transport.ice == IceState::kOff) return Json();
  Json pairs = Json::array();
  for (std::size_t i = 0; i < transport.pair_count && i < transport.pairs.size(); ++i) {
    const IcePairReport& pair = transport.pairs[i];
    pairs.push_back({{"local", address_json(pair.local)},
                     {"remote", address_json(pair.remote)},
                     {"component", pair.component == Component::kRtp ? "rtp" : "rtcp"},
                     {"type", name_of(pair.type)},
                     {"state", name_of(pair.state)},
                     {"selected", pair.selected}});
  }
  const bool consents = transport.consent_until > now;
  return {
      {"state", name_of(transport.ice)},
      {"role", transport.controlling ? "controlling" : "controlled"},
      {"consent_seconds_left", consents ? Json(seconds(transport.consent_until - now)) : Json()},
      {"pairs", std::move(pairs)}};
}

Json dtls_json(const TransportReport& transport) {
  if (transport.dtls == DtlsState::kOff) return Json();
  Json json{{"state", name_of(transport.dtls)}, {"last_failure", nullptr}};
  if (transport.dtls_failure == DtlsFailure::kNone) return json;
  const DtlsFailureInfo& failure = info_of(transport.dtls_failure);
  json["last_failure"] = {{"reason", failure.label},
                          {"meaning", describe(transport.dtls_failure, transport.dtls_flights)}};
  return json;
}

Json verdict_json(const diagnosis::Verdict& verdict) {
  const diagnosis::FindingInfo& info = verdict.info();
  static constexpr std::array kWeights = {"fine", "explained", "fault"};
  return {{"verdict", info.id},
          {"weight", kWeights[static_cast<std::size_t>(info.weight)]},
          {"meaning", info.text},
          {"evidence", verdict.evidence},
          {"remedy", info.remedy}};
}

Json leg_json(const call::LegSummary& summary, const diagnosis::LegVerdicts& verdicts,
              const LegStats& leg, Instant now) {
  Json streams = Json::array();
  const std::size_t count = std::min<std::size_t>(leg.stream_count, leg.streams.size());
  for (std::size_t i = 0; i < count; ++i) streams.push_back(stream_json(leg.streams[i], now));
  Json json = leg_figures(summary, leg);
  json["ice"] = ice_json(leg.transport, now);
  json["dtls"] = dtls_json(leg.transport);
  json["last_packet_age_seconds"] = age(leg.last_packet, now);
  json["last_rtp_age_seconds"] = age(leg.last_rtp, now);
  json["verdicts"] = {{"received", verdict_json(verdicts.received)},
                      {"sent", verdict_json(verdicts.sent)}};
  json["round_trip_ms"] = leg.round_trip_us == 0 ? Json() : Json(leg.round_trip_us / 1000.0);
  json["sends_to"] = address_json(leg.evidence.destination);
  json["drops"] = drops_of(leg.drops, [](std::uint32_t n) { return std::uint64_t{n}; });
  json["streams"] = std::move(streams);
  return json;
}

std::optional<std::pair<call::CallSummary, call::SessionSummary>> find_session(
    const std::vector<call::CallSummary>& calls, SessionId id) {
  for (const call::CallSummary& call : calls) {
    for (const call::SessionSummary& session : call.sessions) {
      if (session.id == id) return std::pair{call, session};
    }
  }
  return std::nullopt;
}

bool take_number(std::string_view& text, std::uint32_t& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{}) return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return true;
}

}  // namespace

std::string to_string(const SessionId& id) {
  return std::to_string(id.shard) + "-" + std::to_string(id.slot) + "-" +
         std::to_string(id.generation);
}

SessionId parse_session_id(std::string_view text) {
  std::array<std::uint32_t, 3> parts{};
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (i > 0) {
      if (!text.starts_with('-')) return {};
      text.remove_prefix(1);
    }
    if (!take_number(text, parts[i])) return {};
  }
  if (!text.empty() || parts[0] > UINT16_MAX) return {};
  return {.slot = parts[1], .generation = parts[2], .shard = static_cast<std::uint16_t>(parts[0])};
}

Endpoints::Endpoints(EndpointsContext context)
    : context_(std::move(context)),
      started_(context_.clock()),
      list_(context_.relay, context_.calls, context_.clock, kFirstToken | kListTokens) {}

// In the order of docs/openapi.json, which holds the same.
const std::vector<Endpoints::Route>& Endpoints::routes() {
  static const std::vector<Route> all = {
      {Method::kGet, "/v1/status", &Endpoints::status},
      {Method::kGet, "/v1/stats", &Endpoints::stats},
      {Method::kGet, "/v1/ports", &Endpoints::ports},
      {Method::kGet, "/v1/limits", &Endpoints::limits},
      {Method::kPost, "/v1/limits", &Endpoints::set_limit},
      {Method::kGet, "/v1/sessions", &Endpoints::sessions},
      {Method::kGet, "/v1/sessions/{id}", &Endpoints::session},
      {Method::kGet, "/v1/zones", &Endpoints::zones},
      {Method::kGet, "/v1/tls/connections", &Endpoints::tls_connections},
      {Method::kGet, "/v1/turn", &Endpoints::turn},
      {Method::kPost, "/v1/turn/credentials", &Endpoints::turn_credentials},
      {Method::kPost, "/v1/turn/end/{id}", &Endpoints::turn_end},
      {Method::kGet, "/v1/openapi.json", &Endpoints::openapi},
      {Method::kPost, "/v1/drain", &Endpoints::drain},
      {Method::kPost, "/v1/resume", &Endpoints::drain},
      {Method::kPost, "/v1/reload", &Endpoints::reload},
      {Method::kPost, "/v1/log-level", &Endpoints::log_level},
      {Method::kPost, "/v1/calls/end", &Endpoints::end_call},
      {Method::kPost, "/v1/zones/measure", &Endpoints::measure},
      {Method::kPost, "/v1/calls/capture", &Endpoints::capture},
      {Method::kGet, "/metrics", &Endpoints::metrics},
      {Method::kGet, "/healthz", &Endpoints::health},
      {Method::kGet, "/readyz", &Endpoints::ready},
  };
  return all;
}

const Endpoints::Route* Endpoints::find_route(const Request& request) {
  const auto found = std::find_if(routes().begin(), routes().end(), [&request](const Route& route) {
    const std::size_t fixed = route.path.find('{');
    const bool matches = fixed == std::string_view::npos
                             ? request.path == route.path
                             : request.path.starts_with(route.path.substr(0, fixed));
    return matches && request.method == route.method;
  });
  return found == routes().end() ? nullptr : &*found;
}

std::optional<Scope> Endpoints::needs(const Request& request) {
  const std::string_view path = request.path;
  if (path == "/healthz" || path == "/readyz" || find_page_file(path) != nullptr) return {};
  return request.method == Method::kPost ? Scope::kOperate : Scope::kRead;
}

void Endpoints::handle(const Request& request, Respond respond) {
  if (request.path.starts_with("/v1/") && request.door == Door::kTcp) {
    return respond(failure(403, "the API is served on the unix socket and on api.listen only"));
  }
  if (const Route* const route = find_route(request); route != nullptr) {
    return (this->*route->serve)(request, respond);
  }
  const bool wants_page = request.door == Door::kApi && request.method == Method::kGet;
  const PageFile* const file = wants_page ? find_page_file(request.path) : nullptr;
  respond(file != nullptr ? page_response(*file)
                          : failure(404, "there is nothing under this path"));
}

void Endpoints::metrics(const Request&, const Respond& respond) {
  respond(context_.metrics());
}

void Endpoints::openapi(const Request&, const Respond& respond) {
  respond({200, "application/json", openapi_text()});
}

void Endpoints::health(const Request&, const Respond& respond) {
  respond({.body = "ok\n"});
}

void Endpoints::drain(const Request& request, const Respond& respond) {
  if (!context_.drain || !context_.drain(request.path == "/v1/drain", request)) {
    return respond(failure(409, "the daemon is about to end already"));
  }
  status(request, respond);
}

void Endpoints::sessions(const Request& request, const Respond& respond) {
  list_.handle(request, respond);
}

void Endpoints::ready(const Request&, const Respond& respond) {
  if (context_.draining()) return respond({.status = 503, .body = "draining\n"});
  respond({.body = "ready\n"});
}

void Endpoints::status(const Request&, const Respond& respond) {
  const RelayUsage usage = context_.relay.usage();
  const AdoptionReport& adoption = context_.relay.adoption();
  const ConfigurationState state =
      context_.configuration ? context_.configuration() : ConfigurationState{};
  Json configuration{{"last_reload_refused", state.last_reload_refused},
                     {"waiting_for_restart", state.waiting_for_restart}};
  Json shards = Json::array();
  std::array<std::uint64_t, kDropReasonCount> drops{};
  for (std::size_t i = 0; i < context_.relay.shard_count(); ++i) {
    const ShardCounters& counters = context_.relay.shard_counters(i);
    shards.push_back({{"packets_received", counters.packets_received.value()},
                      {"packets_forwarded", counters.packets_forwarded.value()},
                      {"bytes_forwarded", counters.bytes_forwarded.value()},
                      {"cpu_seconds", static_cast<double>(counters.cpu_us.value()) / 1e6}});
    for (std::size_t reason = 0; reason < drops.size(); ++reason) {
      drops[reason] += counters.drops[reason].value();
    }
  }
  respond(json_response(200, {{"name", context_.node_name},
                              {"version", TURNPIKE_VERSION},
                              {"role", context_.role},
                              {"state", context_.draining() ? "draining" : "running"},
                              {"uptime_seconds", seconds(context_.clock() - started_)},
                              {"calls", context_.calls.call_count()},
                              {"calls_max", context_.calls_max},
                              {"sessions", usage.sessions},
                              {"sessions_max", usage.sessions_max},
                              {"ports",
                               {{"in_use", usage.ports_in_use},
                                {"quarantined", usage.ports_quarantined},
                                {"total", usage.ports_total},
                                {"bind_failures", usage.bind_failures}}},
                              {"holder",
                               {{"connected", adoption.holder_connected},
                                {"sessions_adopted", adoption.sessions_adopted},
                                {"refused", adoption.refused}}},
                              {"configuration", std::move(configuration)},
                              {"shards", std::move(shards)},
                              {"drops", drops_of(drops, [](std::uint64_t n) { return n; })}}));
}

void Endpoints::zones(const Request&, const Respond& respond) {
  const auto zones = context_.zones ? context_.zones() : std::vector<zone::ZoneReport>{};
  respond({200, "application/json",
           zones_json(zones, context_.clock(), std::chrono::system_clock::now())});
}

void Endpoints::tls_connections(const Request&, const Respond& respond) {
  const auto zones = context_.zones ? context_.zones() : std::vector<zone::ZoneReport>{};
  respond({200, "application/json",
           tls_connections_json(zones, context_.clock(), std::chrono::system_clock::now())});
}

void Endpoints::turn(const Request&, const Respond& respond) {
  TurnServer* const server = context_.relay.turn();
  if (server == nullptr) return respond(failure(404, "this node has no TURN server"));
  const bool asked = server->list([this, server, respond](const auto& list) {
    TurnFigures figures{server->allocations(), context_.turn_allocations_max, {}, {}};
    if (context_.turn_realms) figures.realms = context_.turn_realms();
    for (std::size_t i = 0; i < context_.relay.shard_count(); ++i) {
      figures.shards.push_back(&server->counters(i));
    }
    figures.shards.push_back(&server->common_counters());
    figures.shards.push_back(&server->tcp_counters());
    respond(turn_response(figures, list, context_.clock()));
  });
  if (!asked) respond(failure(503, "too many requests for allocations at a time; ask again"));
}

void Endpoints::turn_end(const Request& request, const Respond& respond) {
  constexpr std::string_view kPrefix = "/v1/turn/end/";
  const SessionId id = parse_session_id(std::string_view(request.path).substr(kPrefix.size()));
  if (!id.is_set()) return respond(failure(400, "an allocation's ID is SHARD-SLOT-GENERATION"));
  TurnServer* const server = context_.relay.turn();
  if (server == nullptr) return respond(failure(404, "this node has no TURN server"));
  if (context_.log_operation) context_.log_operation("turn_end", to_string(id), request);
  const bool asked = server->end({id.shard, id.slot, id.generation}, [respond](bool found) {
    if (!found) return respond(failure(404, "there is no such allocation (any more)"));
    respond(json_response(200, {{"ended", true}}));
  });
  if (!asked) respond(failure(503, "the relay has no room for the request; ask again"));
}

void Endpoints::turn_credentials(const Request& request, const Respond& respond) {
  if (!context_.turn_credentials) return respond(failure(404, "this node has no TURN server"));
  const auto user = request.query.find("user");
  if (context_.log_operation && user != request.query.end()) {
    context_.log_operation("turn_credentials", user->second, request);
  }
  respond(context_.turn_credentials(request));
}

void Endpoints::session(const Request& request, const Respond& respond) {
  constexpr std::string_view kPrefix = "/v1/sessions/";
  const SessionId id = parse_session_id(std::string_view(request.path).substr(kPrefix.size()));
  if (!id.is_set()) return respond(failure(400, "a session ID is SHARD-SLOT-GENERATION"));
  const auto found = find_session(context_.calls.calls(), id);
  if (!found) return respond(failure(404, "there is no such session (any more)"));
  if (waiting_by_token_.size() >= kWaitingMax) {
    return respond(failure(503, "too many requests for figures at a time; ask again"));
  }
  const std::uint64_t token = next_token_++;
  waiting_by_token_[token] = {context_.clock() + kPatience, found->first, found->second, respond};
  if (!context_.relay.query_session(id, token)) {
    // It is one of a call that is up: nothing but room for the question is missing.
    waiting_by_token_.erase(token);
    respond(failure(503, "the relay has no room for the question; ask again"));
  }
}

bool Endpoints::on_event(const Event& event) {
  if (event.token < kFirstToken) return false;
  if (list_.on_event(event)) return true;
  const auto found = waiting_by_token_.find(event.token);
  if (found == waiting_by_token_.end()) return true;
  const Waiting waiting = std::move(found->second);
  waiting_by_token_.erase(found);
  const Instant now = context_.clock();
  Json answer{{"id", to_string(event.session)}, {"kind", waiting.session.kind}};
  answer.update(call_json(waiting.call, now));
  const auto verdicts = diagnosis::judge(waiting.session.signalled, event.stats, now);
  const auto leg = [&](Side side) {
    const unsigned i = index_of(side);
    return leg_json(waiting.session.legs[i], verdicts[i], event.stats.legs[i], now);
  };
  answer["legs"] = {{"a", leg(Side::kA)}, {"b", leg(Side::kB)}};
  waiting.respond(json_response(200, answer));
  return true;
}

void Endpoints::on_tick() {
  list_.on_tick();
  const Instant now = context_.clock();
  while (!waiting_by_token_.empty() && waiting_by_token_.begin()->second.give_up_at <= now) {
    const Waiting waiting = std::move(waiting_by_token_.begin()->second);
    waiting_by_token_.erase(waiting_by_token_.begin());
    waiting.respond(failure(503, "the relay did not answer in time; ask again"));
  }
}

}  // namespace turnpike::api
