// /metrics: names by Prometheus' rules, help for each, labels that cannot grow.
#include "control/metrics.h"

#include <algorithm>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace turnpike::metrics {
namespace {

using testing::HasSubstr;

std::string rendered(std::size_t shard_count = 2) {
  static std::vector<ShardCounters> shards(64);
  static ng::ServerCounters ng;
  Figures figures;
  for (std::size_t i = 0; i < shard_count; ++i) figures.shards.push_back(&shards[i]);
  figures.ng = &ng;
  figures.calls = 3;
  figures.usage.ports_in_use = 12;
  figures.process = ProcessFigures::read();
  return render(figures);
}

/// Type by metric name, and the lines of values.
struct Exposition {
  std::map<std::string, std::string> types;
  std::set<std::string> helped;
  std::vector<std::string> values;
};

Exposition parse(const std::string& text) {
  Exposition exposition;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string hash, kind, name, type;
    words >> hash >> kind >> name >> type;
    if (line.starts_with("# TYPE ")) {
      EXPECT_TRUE(exposition.types.emplace(name, type).second) << name << " comes twice";
    } else if (line.starts_with("# HELP ")) {
      exposition.helped.insert(name);
      EXPECT_TRUE(line.ends_with(".")) << line;
    } else {
      exposition.values.push_back(line);
    }
  }
  return exposition;
}

TEST(Metrics, names_follow_the_conventions) {
  const Exposition exposition = parse(rendered());
  ASSERT_GT(exposition.types.size(), 40u);
  const std::regex name_form("(turnpike|process)_[a-z0-9]+(_[a-z0-9]+)*");
  for (const auto& [name, type] : exposition.types) {
    EXPECT_TRUE(std::regex_match(name, name_form)) << name;
    EXPECT_TRUE(exposition.helped.contains(name)) << name;
    EXPECT_EQ(type == "counter", name.ends_with("_total")) << name << " is a " << type;
    for (const char* unit : {"_ms", "_milliseconds", "_kilobytes", "_minutes", "_percent"}) {
      EXPECT_EQ(name.find(unit), std::string::npos) << name << ": base units are seconds, bytes";
    }
  }
}

TEST(Metrics, values_are_there) {
  const std::string text = rendered();
  EXPECT_THAT(text, HasSubstr("\nturnpike_calls 3\n"));
  EXPECT_THAT(text, HasSubstr("\nturnpike_relay_ports{state=\"in_use\"} 12\n"));
  EXPECT_THAT(text, HasSubstr("turnpike_build_info{version=\"" TURNPIKE_VERSION "\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("turnpike_relay_packets_received_total{shard=\"1\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("turnpike_ng_request_duration_seconds_bucket{command=\"offer\","
                              "le=\"0.0001\"} 0\n"));
}

TEST(Metrics, every_drop_reason_is_a_series_from_the_start) {
  const std::string text = rendered();
  for (const DropReasonInfo& reason : kDropReasons) {
    EXPECT_THAT(text, HasSubstr("turnpike_relay_packets_dropped_total{reason=\"" +
                                std::string(reason.label) + "\"} 0\n"));
  }
}

TEST(Metrics, figures_reach_their_series) {
  ShardCounters shard;
  shard.packets_forwarded.add(41);
  shard.drops[static_cast<std::size_t>(DropReason::kReplayed)].add(7);
  ng::ServerCounters ng;
  ng::CommandCounters& offers = ng.commands[static_cast<std::size_t>(ng::Command::kOffer)];
  offers.requests = 2;
  offers.errors = 1;
  offers.duration.add(std::chrono::microseconds(300));
  offers.duration.add(std::chrono::seconds(2));
  shard.ice_connect_durations[3].add(2);
  shard.ice_connect_us.add(250'000);
  ShardCounters other;
  other.ice_connect_durations[9].add();
  other.ice_connect_us.add(20'000'000);
  Figures figures;
  figures.shards = {&shard, &other};
  figures.ng = &ng;
  figures.ice_candidates_skipped = 5;
  const std::string text = render(figures);
  EXPECT_THAT(text, HasSubstr("turnpike_relay_packets_forwarded_total{shard=\"0\"} 41\n"));
  EXPECT_THAT(text, HasSubstr("turnpike_relay_packets_dropped_total{reason=\"replayed\"} 7\n"));
  EXPECT_THAT(text, HasSubstr("turnpike_ng_requests_total{command=\"offer\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("turnpike_ng_errors_total{command=\"offer\"} 1\n"));
  const std::string duration = "turnpike_ng_request_duration_seconds";
  EXPECT_THAT(text, HasSubstr(duration + "_bucket{command=\"offer\",le=\"0.0005\"} 1\n"));
  EXPECT_THAT(text, HasSubstr(duration + "_bucket{command=\"offer\",le=\"1\"} 1\n"));
  EXPECT_THAT(text, HasSubstr(duration + "_bucket{command=\"offer\",le=\"+Inf\"} 2\n"));
  EXPECT_THAT(text, HasSubstr(duration + "_count{command=\"offer\"} 2\n"));
  const std::string connect = "turnpike_relay_ice_connect_duration_seconds";
  EXPECT_THAT(text, HasSubstr(connect + "_bucket{le=\"0.1\"} 0\n"));
  EXPECT_THAT(text, HasSubstr(connect + "_bucket{le=\"0.2\"} 2\n"));
  EXPECT_THAT(text, HasSubstr(connect + "_bucket{le=\"+Inf\"} 3\n"));
  EXPECT_THAT(text, HasSubstr(connect + "_sum 20.25\n"));
  EXPECT_THAT(text, HasSubstr("turnpike_ice_candidates_skipped_total 5\n"));
}

TEST(Metrics, quality_of_ended_calls_is_a_distribution_by_side) {
  CallQuality quality;
  std::map<SessionId, SessionStats> stats;
  LegStats& caller = stats[{.slot = 1, .generation = 1}].legs[0];
  caller.stream_count = 2;
  caller.streams[0].quality.samples = 3;
  caller.streams[0].quality.average = {
      .mos_hundredths = 412, .loss_hundredths = 250, .jitter_us = 7000, .round_trip_us = 150000};
  LegStats& callee = stats[{.slot = 1, .generation = 1}].legs[1];
  callee.stream_count = 1;
  callee.streams[0].quality.samples = 1;
  callee.streams[0].quality.average = {.mos_hundredths = 440};
  quality.end(stats);
  quality.end(stats);
  ng::ServerCounters ng;
  Figures figures;
  figures.ng = &ng;
  figures.quality = &quality;
  const std::string text = render(figures);
  for (const char* wanted :
       {"turnpike_stream_loss_ratio_bucket{side=\"a\",le=\"0.02\"} 0\n",
        "turnpike_stream_loss_ratio_bucket{side=\"a\",le=\"0.03\"} 2\n",
        "turnpike_stream_loss_ratio_bucket{side=\"b\",le=\"0.001\"} 2\n",
        "turnpike_stream_loss_ratio_sum{side=\"a\"} 0.05\n",
        "turnpike_stream_jitter_seconds_bucket{side=\"a\",le=\"0.01\"} 2\n",
        "turnpike_stream_round_trip_seconds_bucket{side=\"a\",le=\"0.1\"} 0\n",
        "turnpike_stream_round_trip_seconds_bucket{side=\"a\",le=\"0.15\"} 2\n",
        "turnpike_stream_round_trip_seconds_count{side=\"b\"} 0\n",
        "turnpike_stream_mos_bucket{side=\"a\",le=\"4\"} 0\n",
        "turnpike_stream_mos_bucket{side=\"a\",le=\"4.2\"} 2\n",
        "turnpike_stream_mos_bucket{side=\"b\",le=\"4.4\"} 2\n",
        "turnpike_stream_mos_count{side=\"a\"} 2\n"}) {
    EXPECT_THAT(text, HasSubstr(wanted));
  }
  for (const MeasureInfo& info : kMeasures) {
    EXPECT_TRUE(std::is_sorted(info.bounds.begin(), info.bounds.end())) << info.metric;
  }
}

Figures figures_with_a_zone() {
  static ng::ServerCounters ng;
  Figures figures;
  figures.ng = &ng;
  zone::ZoneReport zone;
  zone.name = "dmz";
  zone.certificate.sha256 = "ab";
  zone.certificate.not_after = std::chrono::system_clock::now() + std::chrono::hours{24 * 10};
  zone.refused[static_cast<std::size_t>(zone::Reason::kWrongPassword)] = 6;
  zone.ended[static_cast<std::size_t>(zone::Reason::kSilent)] = 2;
  zone.stream_refusals.wrong_account = 3;
  zone.peers.resize(1);
  zone.peers[0].name = "c1";
  zone.peers[0].connections[1].purpose = zone::Purpose::kSignallingByEdge;
  zone.peers[0].connections[1].up = true;
  zone.peers[0].connections[1].round_trip = Milliseconds{250};
  zone.peers[0].flows.resize(2);
  zone.peers[0].flows[1].shard = 1;
  zone.peers[0].flows[1].bound = true;
  figures.zones = {zone};
  return figures;
}

TEST(Metrics, zones_have_states_reasons_and_certificates) {
  const std::string text = render(figures_with_a_zone());
  for (const char* wanted :
       {"turnpike_zone_peers_down 1\n", "turnpike_zone_certificates_ending 1\n",
        "turnpike_zone_connection_up{zone=\"dmz\",peer=\"c1\",purpose=\"signalling_by_core\"} 0\n",
        "turnpike_zone_connection_up{zone=\"dmz\",peer=\"c1\",purpose=\"signalling_by_edge\"} 1\n",
        "turnpike_zone_round_trip_seconds{zone=\"dmz\",peer=\"c1\",purpose=\"signalling_by_edge\"} "
        "0.25\n",
        "turnpike_zone_flows_unbound 1\n",
        "turnpike_zone_flow_bound{zone=\"dmz\",peer=\"c1\",shard=\"0\"} 0\n",
        "turnpike_zone_flow_bound{zone=\"dmz\",peer=\"c1\",shard=\"1\"} 1\n",
        "turnpike_zone_refused_total{zone=\"dmz\",reason=\"wrong_password\"} 6\n",
        "turnpike_zone_refused_total{zone=\"dmz\",reason=\"expired\"} 0\n",
        "turnpike_zone_ended_total{zone=\"dmz\",reason=\"silent\"} 2\n",
        "turnpike_zone_streams_refused_total{zone=\"dmz\",reason=\"wrong_account\"} 3\n",
        "turnpike_zone_certificate_expiry_timestamp_seconds{zone=\"dmz\",of=\"node\"} "}) {
    EXPECT_THAT(text, HasSubstr(wanted));
  }
  for (const auto& [name, type] : parse(text).types) {
    EXPECT_EQ(type == "counter", name.ends_with("_total")) << name << " is a " << type;
  }
  EXPECT_THAT(rendered(), HasSubstr("turnpike_zone_peers_down 0\n"));
  EXPECT_THAT(rendered(), testing::Not(HasSubstr("turnpike_zone_connection_up")));
}

class FakeTurn final : public TurnServer {
 public:
  void set_draining(bool) override {}
  Result<void> configure(std::shared_ptr<const turn::Settings>) override { return {}; }
  std::uint32_t allocations() const override { return 5; }
  const turn::Counters& counters(std::size_t) const override { return counters_; }
  const turn::Counters& common_counters() const override { return common_; }
  const turn::Counters& tcp_counters() const override { return tcp_; }
  bool list(Listed) override { return false; }
  bool end(const turn::AllocationId&, Ended) override { return false; }

  turn::Counters counters_;
  turn::Counters common_;
  turn::Counters tcp_;
};

TEST(Metrics, turn_figures_reach_their_series) {
  std::array<ShardCounters, 2> shards;
  ng::ServerCounters ng;
  FakeTurn turn;
  turn.counters_.of(turn::ListenerTransport::kTcp).packets_to_peers.add(7);
  turn.counters_.refusals[static_cast<std::size_t>(turn::Refusal::kPeerDenied)].add(3);
  turn.counters_.realms[1].allocations_opened.add(5);
  turn.counters_.realms[1].allocations_closed.add(3);
  turn.counters_.realms[1].bytes_to_clients.add(100);
  turn.counters_.latency.add(std::chrono::microseconds{300});
  turn.counters_.latency.add(std::chrono::seconds{2});
  turn.counters_.latency.add(std::chrono::microseconds{-5});  // the clock was set
  Figures figures;
  figures.turn_realms = {"example.org", "b.example"};
  figures.shards = {&shards[0], &shards[1]};
  figures.ng = &ng;
  figures.turn = &turn;
  figures.turn_allocations_max = 40;
  const std::string text = render(figures);
  for (const char* wanted : {"turnpike_turn_allocations 5\n", "turnpike_turn_allocations_max 40\n",
                             "turnpike_turn_packets_total{transport=\"tcp\",to=\"peer\"} 14\n",
                             "turnpike_turn_refused_total{reason=\"peer_denied\"} 6\n",
                             "turnpike_turn_realm_allocations{realm=\"example.org\"} 0\n",
                             "turnpike_turn_realm_allocations{realm=\"b.example\"} 4\n",
                             "turnpike_turn_realm_bytes_total{realm=\"b.example\",to=\"client\"} "
                             "200\n",
                             "turnpike_turn_relay_latency_seconds_bucket{le=\"5e-05\"} 2\n",
                             "turnpike_turn_relay_latency_seconds_bucket{le=\"0.00025\"} 2\n",
                             "turnpike_turn_relay_latency_seconds_bucket{le=\"0.0005\"} 4\n",
                             "turnpike_turn_relay_latency_seconds_bucket{le=\"1\"} 4\n",
                             "turnpike_turn_relay_latency_seconds_count 6\n",
                             "turnpike_turn_drops_total{reason=\"malformed\"} 0\n"}) {
    EXPECT_THAT(text, HasSubstr(wanted));
  }
  EXPECT_LT(parse(text).values.size(), 730u);
  EXPECT_THAT(rendered(), testing::Not(HasSubstr("turnpike_turn_refused_total")));
  // However many realms there are.
  EXPECT_THAT(text, testing::Not(HasSubstr("(others)")));
  turn.counters_.realms.back().allocations_opened.add(1);
  figures.turn_realms.assign(turn::kRealmFiguresMax - 1, "x");
  EXPECT_THAT(render(figures),
              HasSubstr("turnpike_turn_realm_allocations{realm=\"(others)\"} 2\n"));
}

TEST(Metrics, number_of_series_is_bounded) {
  EXPECT_LT(parse(rendered(2)).values.size(), 580u);
  EXPECT_LT(parse(rendered(64)).values.size(), 1570u);
}

TEST(Metrics, process_figures_are_real) {
  const ProcessFigures figures = ProcessFigures::read();
  EXPECT_GT(figures.resident_bytes, 1000000u);
  EXPECT_GT(figures.open_files, 2u);
  EXPECT_GE(figures.open_files_max, figures.open_files);
  EXPECT_GT(figures.start_time_seconds, 1.6e9);
}

}  // namespace
}  // namespace turnpike::metrics
