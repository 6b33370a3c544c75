// What is served: paths, doors, figures, and questions whose answers never come.
#include "control/api/endpoints.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/unit/api/fakes.h"

namespace turnpike::api {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

class EndpointsTest : public testing::Test {
 protected:
  EndpointsTest()
      : endpoints_({.relay = relay_,
                    .calls = calls_,
                    .node_name = "edge1",
                    .calls_max = 20,
                    .clock = [this] { return now_; },
                    .draining = [this] { return draining_; },
                    .turn_realms = [] { return std::vector<std::string>{"example.org"}; },
                    .ports = [this] { return ports_; },
                    .metrics =
                        [] {
                          return Response{200, "text/plain", "turnpike_calls 1\n"};
                        },
                    .drain =
                        [this](bool drain, const Request&) {
                          draining_ = drain;
                          return !ends_;
                        },
                    .reload =
                        [this](bool check, const Request&) {
                          checks_ += check ? 1 : 0;
                          return report_;
                        },
                    .log_level = [](const std::string& level, const Request&) -> std::string {
                      return level.empty() || level == "debug" ? "debug" : "";
                    },
                    .end_call = [](const std::string& call_id,
                                   const Request&) { return call_id == "known"; },
                    .measure = [this](const std::string& peer, const zone::MeasureOptions& options,
                                      const Request&) -> Result<zone::MeasureBegun> {
                      measured_ = options;
                      if (peer == "down") return Error{"down is not up"};
                      return zone::MeasureBegun{"dmz/" + peer, 7};
                    },
                    .limits = [this] { return limits_; },
                    .set_limit = [this](const std::string& key, std::int64_t value,
                                        const Request&) -> Result<void> {
                      if (key != limits_[0].key) return Error{"there is no limit of this name"};
                      limits_[0].value = value;
                      return {};
                    }}) {
    call::CallSummary call;
    call.call_id = "abc\xff\x01@host";
    call.from_tag = "from";
    call.answered = true;
    call.created = now_ - Seconds{5};
    call.sessions = {{relay_.session, "audio", {}}};
    call.sessions[0].legs[0] = {"outside", *parse_socket_address("192.0.2.1:36000"),
                                *parse_socket_address("198.51.100.7:4000"),
                                SrtpSuite::kAesCm128HmacSha1_80};
    calls_.summaries.push_back(call);
  }

  Response get(const std::string& path, Door door = Door::kUnix) {
    Response answer{0, "", ""};
    endpoints_.handle({door, path}, [&answer](Response response) { answer = std::move(response); });
    return answer;
  }

  Response post(const std::string& path, std::map<std::string, std::string> query) {
    Response answer{0, "", ""};
    endpoints_.handle({Door::kUnix, path, Method::kPost, std::move(query)},
                      [&answer](Response response) { answer = std::move(response); });
    return answer;
  }

  Event stats_event(std::uint64_t token) {
    Event event;
    event.kind = EventKind::kSessionStats;
    event.session = relay_.session;
    event.token = token;
    LegStats& leg = event.stats.legs[0];
    leg.packets_received = 500;
    leg.last_packet = leg.last_rtp = now_ - Milliseconds{20};
    leg.drops[static_cast<std::size_t>(DropReason::kAuthFailed)] = 3;
    leg.stream_count = 1;
    leg.streams[0].ssrc = 42;
    leg.streams[0].packets = 500;
    leg.streams[0].packets_lost = 9;
    leg.streams[0].replays = 2;
    leg.streams[0].auth_failures = 3;
    return event;
  }

  Instant now_{Seconds{1000}};
  bool draining_ = false;
  bool ends_ = false;
  zone::MeasureOptions measured_;
  int checks_ = 0;
  std::vector<PortSliceUsage> ports_;
  ReloadReport report_;
  std::vector<LimitUse> limits_{{"media.calls_max", 20, 3, true, 20},
                                {"media.streams_per_leg_max", 8, std::nullopt, false, 8}};
  FakeRelay relay_;
  FakeCalls calls_;
  Endpoints endpoints_;
};

TEST_F(EndpointsTest, zones_are_served_through_the_unix_socket_only) {
  Response got;
  endpoints_.handle({Door::kUnix, "/v1/zones"}, [&got](Response response) { got = response; });
  EXPECT_EQ(got.status, 200U);
  EXPECT_EQ(json::parse(got.body).at("zones").size(), 0U);
  endpoints_.handle({Door::kTcp, "/v1/zones"}, [&got](Response response) { got = response; });
  EXPECT_EQ(got.status, 403U);
}

TEST_F(EndpointsTest, stats_are_totals_rates_and_drops_in_words) {
  EXPECT_EQ(json::parse(get("/v1/stats").body).at("rates_since_start").at("packets_per_second"), 0);
  calls_.statistics = {{"totalstatistics", ng::Value::Dict{{"managedsessions", 7},
                                                           {"regularterminatedsessions", 5},
                                                           {"forcedterminatedsessions", 2},
                                                           {"rejectedsessions", 3},
                                                           {"avgcallduration", "12.500000"}}},
                       {"currentstatistics", ng::Value::Dict{{"packetrate", 50}}},
                       {"mos", ng::Value::Dict{{"mos_samples_total", 4}, {"mos_average", "4.2"}}}};
  relay_.counters.packets_forwarded.add(2000);
  relay_.counters.drops[static_cast<std::size_t>(DropReason::kReplayed)].add(40);
  now_ += Seconds{20};
  const json stats = json::parse(get("/v1/stats").body);
  EXPECT_EQ(stats.at("uptime_seconds"), 20);
  EXPECT_EQ(stats.at("calls").at("up"), 1);
  EXPECT_EQ(stats.at("calls").at("ended"), 7);
  EXPECT_EQ(stats.at("calls").at("ended_by").at("deleted"), 5);
  EXPECT_EQ(stats.at("calls").at("ended_by").at("operator"), 2);
  EXPECT_EQ(stats.at("calls").at("refused"), 3);
  EXPECT_EQ(stats.at("calls").at("average_seconds"), 12.5);
  EXPECT_EQ(stats.at("media").at("mos_average"), 4.2);
  EXPECT_EQ(stats.at("totals").at("packets_forwarded"), 2000);
  EXPECT_EQ(stats.at("rates_since_start").at("packets_per_second"), 100);
  EXPECT_EQ(stats.at("rates_now").at("packets_per_second"), 50);
  ASSERT_EQ(stats.at("drops").size(), 1u);
  EXPECT_EQ(stats.at("drops")[0].at("reason"), "replayed");
  EXPECT_EQ(stats.at("drops")[0].at("packets_per_second"), 2);
  EXPECT_GT(stats.at("drops")[0].at("meaning").get<std::string>().size(), 5u);
}

TEST_F(EndpointsTest, ports_are_told_by_address_and_shard) {
  ports_ = {{"outside, wss", IpAddress::v4(192, 0, 2, 1), 1, 36000, 47999, 12, 11980, 6, 2}};
  const json one = json::parse(get("/v1/ports").body).at("ports").at(0);
  EXPECT_EQ(one, (json{{"interfaces", "outside, wss"},
                       {"address", "192.0.2.1"},
                       {"shard", 1},
                       {"port_min", 36000},
                       {"port_max", 47999},
                       {"taken", 12},
                       {"free", 11980},
                       {"quarantined", 6},
                       {"of_others", 2}}));
}

TEST_F(EndpointsTest, a_reload_answers_with_changes_or_mistakes) {
  report_.applied = true;
  report_.changes = {{"media.calls_max", "hot", "5", "7"}};
  const Response done = post("/v1/reload", {});
  EXPECT_EQ(done.status, 200u);
  const json change = json::parse(done.body).at("changes").at(0);
  EXPECT_EQ(change,
            (json{{"key", "media.calls_max"}, {"effect", "hot"}, {"from", "5"}, {"to", "7"}}));
  EXPECT_EQ(checks_, 0);
  report_ = {};
  report_.mistakes = {"f:3: no"};
  const Response refused = post("/v1/reload", {{"check", "true"}});
  EXPECT_EQ(refused.status, 409u);
  EXPECT_EQ(json::parse(refused.body).at("mistakes").at(0), "f:3: no");
  EXPECT_EQ(checks_, 1);
  EXPECT_EQ(post("/v1/reload", {{"check", "perhaps"}}).status, 400u);
  EXPECT_EQ(post("/v1/reload", {{"chekc", "true"}}).status, 400u) << "a typing error applies it";
}

TEST_F(EndpointsTest, limits_are_shown_with_their_use_and_set_in_the_query) {
  const json limits = json::parse(get("/v1/limits").body).at("limits");
  EXPECT_EQ(limits.at(0), (json{{"key", "media.calls_max"},
                                {"value", 20},
                                {"in_use", 3},
                                {"settable", true},
                                {"configured", 20}}));
  EXPECT_TRUE(limits.at(1).at("in_use").is_null());
  EXPECT_FALSE(limits.at(1).at("settable"));
  const Response set = post("/v1/limits", {{"key", "media.calls_max"}, {"value", "2"}});
  EXPECT_EQ(set.status, 200u);
  const json after = json::parse(set.body).at("limits").at(0);
  EXPECT_EQ(after.at("value"), 2);
  EXPECT_EQ(after.at("configured"), 20);
  for (const std::string value : {"", "2.5", "2x", " 2", "0x10", "99999999999999999999"}) {
    EXPECT_EQ(post("/v1/limits", {{"key", "media.calls_max"}, {"value", value}}).status, 400u);
  }
  EXPECT_EQ(post("/v1/limits", {{"key", "media.tick_us"}, {"value", "2"}}).status, 400u);
  EXPECT_EQ(post("/v1/limits", {{"key", "media.calls_max"}}).status, 400u);
  EXPECT_EQ(
      post("/v1/limits", {{"key", "media.calls_max"}, {"value", "5"}, {"check", "true"}}).status,
      400u);
  EXPECT_EQ(limits_[0].value, 2) << "what is refused changes nothing";
}

TEST_F(EndpointsTest, log_level_and_end_of_a_call_are_asked_for_in_the_query) {
  EXPECT_EQ(json::parse(post("/v1/log-level", {}).body).at("level"), "debug");
  EXPECT_EQ(post("/v1/log-level", {{"level", "debug"}}).status, 200u);
  EXPECT_EQ(post("/v1/log-level", {{"level", "loud"}}).status, 400u);
  EXPECT_EQ(post("/v1/calls/end", {{"call_id", "known"}}).status, 200u);
  EXPECT_EQ(post("/v1/calls/end", {{"call_id", "other"}}).status, 404u);
  EXPECT_EQ(post("/v1/calls/end", {}).status, 400u);
  EXPECT_EQ(get("/v1/calls/end").status, 404u) << "GET changes nothing";
}

TEST_F(EndpointsTest, a_measurement_is_bounded_and_asked_for_in_the_query) {
  const std::string path = "/v1/zones/measure";
  const json begun = json::parse(post(path, {{"peer", "e1"}}).body);
  EXPECT_EQ(begun.at("peer"), "dmz/e1");
  EXPECT_EQ(begun.at("id"), 7);
  EXPECT_EQ(measured_.seconds, 5U);
  EXPECT_EQ(post(path, {{"seconds", "30"}, {"mbit", "500"}}).status, 200U);
  EXPECT_EQ(measured_.seconds, 30U);
  EXPECT_EQ(measured_.bytes_per_second(), 62500000U);
  for (const auto& [name, value] :
       std::vector<std::pair<std::string, std::string>>{{"seconds", "31"},
                                                        {"seconds", "0"},
                                                        {"seconds", ""},
                                                        {"seconds", "5s"},
                                                        {"mbit", "501"},
                                                        {"mbit", "-1"},
                                                        {"mbit", "99999999999999999999"},
                                                        {"second", "5"}}) {
    EXPECT_EQ(post(path, {{name, value}}).status, 400U) << name << " " << value;
  }
  const Response refused = post(path, {{"peer", "down"}});
  EXPECT_EQ(refused.status, 409U);
  EXPECT_EQ(json::parse(refused.body).at("error"), "down is not up");
  EXPECT_EQ(get(path).status, 404U) << "GET changes nothing";
}

TEST_F(EndpointsTest, health_and_readiness) {
  EXPECT_EQ(get("/healthz", Door::kTcp).status, 200u);
  EXPECT_EQ(get("/readyz", Door::kTcp).status, 200u);
  draining_ = true;
  EXPECT_EQ(get("/healthz", Door::kTcp).status, 200u);
  EXPECT_EQ(get("/readyz", Door::kTcp).status, 503u);
  EXPECT_EQ(get("/readyz", Door::kTcp).body, "draining\n");
}

TEST_F(EndpointsTest, metrics_through_both_doors) {
  EXPECT_EQ(get("/metrics", Door::kTcp).body, "turnpike_calls 1\n");
  EXPECT_EQ(get("/metrics", Door::kUnix).body, "turnpike_calls 1\n");
}

TEST_F(EndpointsTest, a_session_is_judged) {
  calls_.summaries[0].sessions[0].signalled.answered = true;
  calls_.summaries[0].sessions[0].signalled.accepted = true;
  Response got;
  endpoints_.handle({Door::kUnix, "/v1/sessions/0-7-3"},
                    [&got](Response response) { got = std::move(response); });
  Event event = stats_event(relay_.tokens.at(0));
  StreamQuality& quality = event.stats.legs[0].streams[0].quality;
  quality.samples = 2;
  quality.average = {now_, 431, 150, 4500, 60000};
  quality.lowest = {now_ - Seconds{5}, 400, 200, 5000, 0};
  ASSERT_TRUE(endpoints_.on_event(event));
  const json legs = json::parse(got.body).at("legs");
  EXPECT_EQ(legs.at("a").at("verdicts").at("received").at("verdict"), "healthy");
  const json silent = legs.at("b").at("verdicts").at("received");
  EXPECT_EQ(silent.at("verdict"), "never_received");
  EXPECT_EQ(silent.at("weight"), "fault");
  EXPECT_NE(silent.at("remedy"), "");
  const json shown = legs.at("a").at("streams").at(0).at("quality");
  EXPECT_EQ(shown.at("average").at("mos"), 4.31);
  EXPECT_EQ(shown.at("average").at("round_trip_ms"), 60.0);
  EXPECT_TRUE(shown.at("lowest").at("round_trip_ms").is_null());
}

TEST_F(EndpointsTest, T19_api_is_not_served_over_tcp) {
  for (const char* path : {"/v1/status", "/v1/sessions", "/v1/sessions/0-7-3", "/v1/", "/v1/x"}) {
    const Response answer = get(path, Door::kTcp);
    EXPECT_EQ(answer.status, 403u) << path;
    EXPECT_THAT(answer.body, Not(HasSubstr("abc"))) << path;
  }
  EXPECT_TRUE(relay_.tokens.empty());
}

TEST_F(EndpointsTest, the_api_door_serves_api_and_console) {
  EXPECT_EQ(json::parse(get("/v1/status", Door::kApi).body)["name"], "edge1");
  EXPECT_EQ(json::parse(get("/v1/sessions", Door::kApi).body)["total"], 1);
  EXPECT_THAT(get("/v1/openapi.json", Door::kApi).body, HasSubstr("\"openapi\": \"3.1.0\""));
  EXPECT_THAT(get("/", Door::kApi).body, HasSubstr("<title>Turnpike</title>"));
  EXPECT_EQ(get("/console.js", Door::kApi).headers.size(), 4u);
  EXPECT_EQ(get("/", Door::kTcp).status, 404u);
  EXPECT_EQ(get("/", Door::kUnix).status, 404u);
}

TEST_F(EndpointsTest, what_needs_which_scope) {
  const auto needs = [](const char* path, Method method) {
    return Endpoints::needs({Door::kApi, path, method});
  };
  EXPECT_FALSE(needs("/", Method::kGet));
  EXPECT_FALSE(needs("/healthz", Method::kGet));
  for (const char* path : {"/metrics", "/v1/status", "/v1/x", "/x", ""}) {
    EXPECT_EQ(needs(path, Method::kGet), Scope::kRead) << path;
    EXPECT_EQ(needs(path, Method::kPost), Scope::kOperate) << path;
  }
}

TEST_F(EndpointsTest, draining_is_asked_for_by_post) {
  Response answer;
  const auto post = [&](const char* path) {
    endpoints_.handle({Door::kUnix, path, Method::kPost},
                      [&answer](Response response) { answer = std::move(response); });
    return answer.status;
  };
  EXPECT_EQ(post("/v1/drain"), 200u);
  EXPECT_EQ(json::parse(answer.body)["state"], "draining");
  EXPECT_EQ(post("/v1/resume"), 200u);
  EXPECT_EQ(json::parse(answer.body)["state"], "running");
  EXPECT_EQ(post("/v1/status"), 404u);
  EXPECT_EQ(get("/v1/drain").status, 404u);
  ends_ = true;
  EXPECT_EQ(post("/v1/resume"), 409u);
}

TEST_F(EndpointsTest, unknown_paths) {
  for (const char* path : {"/", "", "/v1/", "/v2/status", "/metrics/", "/v1/statusx", "/../etc"}) {
    EXPECT_EQ(get(path).status, 404u) << path;
  }
}

TEST_F(EndpointsTest, status_has_the_figures) {
  relay_.counters.packets_received.add(12);
  relay_.counters.drops[static_cast<std::size_t>(DropReason::kWrongSource)].add(4);
  now_ += Seconds{90};
  const json status = json::parse(get("/v1/status").body);
  EXPECT_EQ(status["name"], "edge1");
  EXPECT_EQ(status["state"], "running");
  EXPECT_EQ(status["uptime_seconds"], 90.0);
  EXPECT_EQ(status["calls"], 1);
  EXPECT_EQ(status["calls_max"], 20);
  EXPECT_EQ(status["sessions"], 1);
  EXPECT_EQ(status["shards"][0]["packets_received"], 12);
  EXPECT_EQ(status["drops"].size(), 1u);
  EXPECT_EQ(status["drops"][0]["reason"], "wrong_source");
  EXPECT_EQ(status["drops"][0]["packets"], 4);
}

TEST_F(EndpointsTest, sessions_are_listed_whatever_their_names) {
  const json answer = json::parse(get("/v1/sessions").body);
  ASSERT_EQ(answer["sessions"].size(), 1u);
  EXPECT_EQ(answer["sessions"][0]["id"], "0-7-3");
  EXPECT_EQ(answer["sessions"][0]["kind"], "audio");
  EXPECT_EQ(answer["sessions"][0]["age_seconds"], 5.0);
  EXPECT_THAT(answer["sessions"][0]["call_id"].get<std::string>(), HasSubstr("@host"));
}

TEST_F(EndpointsTest, session_waits_for_its_figures) {
  Response answer{0, "", ""};
  endpoints_.handle({Door::kUnix, "/v1/sessions/0-7-3"},
                    [&answer](Response response) { answer = std::move(response); });
  EXPECT_EQ(answer.status, 0u);
  ASSERT_EQ(relay_.tokens.size(), 1u);
  EXPECT_GE(relay_.tokens[0], kFirstToken);
  EXPECT_TRUE(endpoints_.on_event(stats_event(relay_.tokens[0])));
  ASSERT_EQ(answer.status, 200u);
  const json session = json::parse(answer.body);
  EXPECT_EQ(session["id"], "0-7-3");
  EXPECT_EQ(session["legs"]["a"]["interface"], "outside");
  EXPECT_EQ(session["legs"]["a"]["local"], "192.0.2.1:36000");
  EXPECT_EQ(session["legs"]["a"]["remote"], "198.51.100.7:4000");
  EXPECT_EQ(session["legs"]["a"]["suite"], "AES_CM_128_HMAC_SHA1_80");
  EXPECT_TRUE(session["legs"]["b"]["remote"].is_null());
  EXPECT_EQ(session["legs"]["a"]["packets_received"], 500);
  EXPECT_EQ(session["legs"]["a"]["streams"][0]["packets_lost"], 9);
  EXPECT_EQ(session["legs"]["a"]["streams"][0]["replays"], 2);
  EXPECT_EQ(session["legs"]["a"]["streams"][0]["auth_failures"], 3);
  EXPECT_EQ(session["legs"]["a"]["drops"][0]["meaning"], info_of(DropReason::kAuthFailed).help);
  EXPECT_TRUE(session["legs"]["b"]["last_packet_age_seconds"].is_null());
}

TEST_F(EndpointsTest, a_session_tells_how_ice_and_dtls_stand) {
  Response answer{0, "", ""};
  endpoints_.handle({Door::kUnix, "/v1/sessions/0-7-3"},
                    [&answer](Response response) { answer = std::move(response); });
  ASSERT_EQ(relay_.tokens.size(), 1u);
  Event event = stats_event(relay_.tokens[0]);
  TransportReport& report = event.stats.legs[0].transport;
  report.ice = IceState::kConnected;
  report.controlling = true;
  report.consent_until = now_ + Seconds{20};
  report.pair_count = 1;
  report.pairs[0] = {{IpAddress::v4(203, 0, 113, 9), 4321},
                     Component::kRtp,
                     CandidateType::kPeerReflexive,
                     IcePairState::kSucceeded,
                     true,
                     {IpAddress::v4(192, 0, 2, 1), 36100}};
  report.dtls = DtlsState::kFailed;
  report.dtls_failure = DtlsFailure::kTimeout;
  report.dtls_flights = {1, 0};
  report.suite = SrtpSuite::kAeadAes256Gcm;
  endpoints_.on_event(event);
  const json session = json::parse(answer.body);
  const json& leg = session["legs"]["a"];
  EXPECT_EQ(leg["remote"], "203.0.113.9:4321") << "where media goes, whatever the SDP said";
  EXPECT_EQ(leg["local"], "192.0.2.1:36100") << "from where it goes";
  EXPECT_EQ(leg["ice"]["pairs"][0]["local"], "192.0.2.1:36100");
  EXPECT_EQ(leg["suite"], "AEAD_AES_256_GCM");
  EXPECT_EQ(leg["ice"]["state"], "connected");
  EXPECT_EQ(leg["ice"]["role"], "controlling");
  EXPECT_EQ(leg["ice"]["consent_seconds_left"], 20.0);
  EXPECT_EQ(leg["ice"]["pairs"][0]["type"], "prflx");
  EXPECT_EQ(leg["ice"]["pairs"][0]["state"], "succeeded");
  EXPECT_EQ(leg["dtls"]["state"], "failed");
  EXPECT_EQ(leg["dtls"]["last_failure"]["reason"], "timeout");
  EXPECT_EQ(leg["dtls"]["last_failure"]["meaning"],
            "timeout at flight 1: we sent ClientHello and heard nothing");
  EXPECT_TRUE(session["legs"]["b"]["ice"].is_null());
  EXPECT_TRUE(session["legs"]["b"]["dtls"].is_null());
}

TEST_F(EndpointsTest, figures_that_do_not_come_are_given_up) {
  Response answer{0, "", ""};
  endpoints_.handle({Door::kUnix, "/v1/sessions/0-7-3"},
                    [&answer](Response response) { answer = std::move(response); });
  endpoints_.on_tick();
  EXPECT_EQ(answer.status, 0u);
  now_ += Seconds{3};
  endpoints_.on_tick();
  EXPECT_EQ(answer.status, 503u);
  EXPECT_TRUE(endpoints_.on_event(stats_event(relay_.tokens[0]))) << "late, but ours";
}

TEST_F(EndpointsTest, events_of_others_are_left_to_them) {
  EXPECT_FALSE(endpoints_.on_event(stats_event(5)));
  EXPECT_FALSE(endpoints_.on_event(stats_event(0)));
}

TEST_F(EndpointsTest, unanswered_questions_are_limited) {
  int refused = 0;
  for (int i = 0; i < 200; ++i) {
    endpoints_.handle({Door::kUnix, "/v1/sessions/0-7-3"}, [&refused](const Response& response) {
      if (response.status == 503) ++refused;
    });
  }
  EXPECT_EQ(refused, 200 - 64);
  EXPECT_EQ(relay_.tokens.size(), 64u);
}

TEST_F(EndpointsTest, a_full_relay_is_no_missing_session) {
  relay_.session.slot = 99;  // refuses the question about what calls_ knows
  const Response answer = get("/v1/sessions/0-7-3");
  EXPECT_EQ(answer.status, 503u);
  EXPECT_THAT(answer.body, testing::HasSubstr("ask again"));
}

TEST_F(EndpointsTest, unknown_sessions_and_broken_ids) {
  EXPECT_EQ(get("/v1/sessions/0-7-4").status, 404u);
  EXPECT_EQ(get("/v1/sessions/1-7-3").status, 404u);
  for (const char* id : {"", "0", "0-7", "0-7-3-", "0-7-3-1", "a-b-c", "-1-7-3", "0-7-0",
                         "65536-7-3", "0-99999999999999999999-3", "0-7-3/x", " 0-7-3"}) {
    EXPECT_EQ(get(std::string("/v1/sessions/") + id).status, 400u) << id;
  }
}

class TurnEndpoints : public EndpointsTest {
 protected:
  TurnEndpoints() {
    relay_.turn_server = &turn_;
    turn::AllocationReport one;
    one.id = {1, 5, 9};
    one.user = "1700000000:al\xffice";
    one.realm = "example.org";
    one.client = *parse_socket_address("45.9.1.10:4000");
    one.away = true;
    one.relayed[0] = *parse_socket_address("45.9.1.1:24000");
    one.created = now_ - Seconds{5};
    one.expires = now_ + Seconds{595};
    one.packets_to_peers = 12;
    turn_.reports.push_back(one);
    turn_.counters_.refusals[static_cast<std::size_t>(turn::Refusal::kPeerDenied)].add(3);
    turn_.counters_.of(turn::ListenerTransport::kTcp).connections_opened.add(4);
    turn_.counters_.of(turn::ListenerTransport::kTcp).connections_closed.add(1);
    turn_.counters_.closes[static_cast<std::size_t>(turn::StreamClose::kStalled)].add(1);
    turn_.counters_.realms[0].allocations_opened.add(3);
    turn_.counters_.realms[0].allocations_closed.add(2);
  }

  Response post(const std::string& path) {
    Response answer{0, "", ""};
    Request request{Door::kUnix, path};
    request.method = Method::kPost;
    endpoints_.handle(request, [&answer](Response response) { answer = std::move(response); });
    return answer;
  }

  FakeTurn turn_;
};

TEST_F(TurnEndpoints, allocations_and_refusals_are_listed) {
  const Response answer = get("/v1/turn");
  ASSERT_EQ(answer.status, 200U) << answer.body;
  const json body = json::parse(answer.body);
  EXPECT_EQ(body["allocations_open"], 1);
  const json& one = body["allocations"][0];
  EXPECT_EQ(one["id"], "1-5-9");
  EXPECT_EQ(one["transport"], "udp");
  EXPECT_EQ(one["client"], "45.9.1.10:4000");
  EXPECT_EQ(one["away"], true);
  EXPECT_EQ(one["relayed"], json::array({"45.9.1.1:24000"}));
  EXPECT_EQ(one["age_seconds"], 5.0);
  EXPECT_EQ(one["expires_in_seconds"], 595.0);
  EXPECT_EQ(one["packets_to_peers"], 12);
  ASSERT_EQ(body["refused"].size(), 1U);
  EXPECT_EQ(body["refused"][0]["reason"], "peer_denied");
  EXPECT_EQ(body["refused"][0]["count"], 3);
  EXPECT_EQ(body["drops"], json::array());
  EXPECT_EQ(body["connections"], 3);
  ASSERT_EQ(body["realms"].size(), 1U);
  EXPECT_EQ(body["realms"][0]["realm"], "example.org");
  EXPECT_EQ(body["realms"][0]["allocations"], 1);
  ASSERT_EQ(body["connections_ended"].size(), 1U);
  EXPECT_EQ(body["connections_ended"][0]["reason"], "stalled");
}

TEST_F(TurnEndpoints, an_allocation_is_ended_by_its_id) {
  EXPECT_EQ(post("/v1/turn/end/1-5-9").status, 200U);
  EXPECT_EQ(post("/v1/turn/end/1-5-8").status, 404U);
  EXPECT_EQ(post("/v1/turn/end/").status, 400U);
  EXPECT_EQ(get("/v1/turn/end/1-5-9").status, 404U) << "looking at something ends nothing";
}

TEST_F(TurnEndpoints, what_there_is_no_room_for_is_refused) {
  turn_.full = true;
  EXPECT_EQ(get("/v1/turn").status, 503U);
  EXPECT_EQ(post("/v1/turn/end/1-5-9").status, 503U);
}

TEST_F(TurnEndpoints, none_on_a_node_without_turn) {
  relay_.turn_server = nullptr;
  EXPECT_EQ(get("/v1/turn").status, 404U);
  EXPECT_EQ(post("/v1/turn/end/1-5-9").status, 404U);
  EXPECT_EQ(post("/v1/turn/credentials").status, 404U);
}

TEST_F(TurnEndpoints, credentials_need_the_right_to_operate) {
  Request request{Door::kApi, "/v1/turn/credentials"};
  request.method = Method::kPost;
  EXPECT_EQ(Endpoints::needs(request), Scope::kOperate);
}

}  // namespace
}  // namespace turnpike::api
