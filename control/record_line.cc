#include "control/record_line.h"

#include <algorithm>
#include <cmath>

#include <nlohmann/json.hpp>

#include "control/api/endpoints.h"
#include "control/api/leg_json.h"
#include "control/log/timestamp.h"

namespace turnpike {
namespace {

using Json = nlohmann::ordered_json;

double rounded(double value) {
  return std::round(value * 1000) / 1000;
}

std::string date_of(std::int64_t unix_us) {
  const std::chrono::microseconds since_1970(unix_us);
  return log::timestamp(std::chrono::system_clock::time_point(since_1970));
}

/// The date of the offer and what has passed since: a clock that is set meanwhile moves neither.
/// Null when it never was.
Json date_within(const call::CallSummary& call, Instant when) {
  if (when == Instant{}) return nullptr;
  const auto later = std::chrono::duration_cast<std::chrono::microseconds>(when - call.created);
  return date_of(call.created_unix_us + later.count());
}

double seconds_since(Instant when, Instant now) {
  if (when == Instant{}) return 0;
  const auto milliseconds = std::chrono::duration_cast<Milliseconds>(now - when).count();
  return static_cast<double>(milliseconds) / 1000;
}

/// Lowest and highest are of the samples with the lowest and the highest MOS.
Json range(const StreamQuality& quality, double (*read)(const QualitySample&)) {
  return {{"average", rounded(read(quality.average))},
          {"at_lowest_mos", rounded(read(quality.lowest))},
          {"at_highest_mos", rounded(read(quality.highest))}};
}

Json quality_of(const StreamQuality& quality) {
  if (quality.samples == 0) return nullptr;
  const auto mos = [](const QualitySample& one) { return one.mos_hundredths / 100.0; };
  Json json{{"samples", quality.samples},
            {"mos",
             {{"average", rounded(mos(quality.average))},
              {"lowest", rounded(mos(quality.lowest))},
              {"highest", rounded(mos(quality.highest))}}}};
  json["loss_percent"] =
      range(quality, [](const QualitySample& one) { return one.loss_hundredths / 100.0; });
  json["jitter_ms"] =
      range(quality, [](const QualitySample& one) { return one.jitter_us / 1000.0; });
  json["round_trip_ms"] = nullptr;
  if (quality.average.round_trip_us != 0) {
    json["round_trip_ms"] =
        range(quality, [](const QualitySample& one) { return one.round_trip_us / 1000.0; });
  }
  return json;
}

Json streams_of(const LegStats& leg) {
  Json streams = Json::array();
  const std::size_t count = std::min<std::size_t>(leg.stream_count, leg.streams.size());
  for (std::size_t i = 0; i < count; ++i) {
    const StreamStats& stream = leg.streams[i];
    const double rate = leg.clock_rate_hz == 0 ? 8000.0 : leg.clock_rate_hz;
    streams.push_back({{"ssrc", stream.ssrc},
                       {"payload_type", stream.payload_type},
                       {"packets", stream.packets},
                       {"bytes", stream.bytes},
                       {"packets_lost", stream.packets_lost},
                       {"jitter_ms", rounded(stream.jitter * 1000.0 / rate)},
                       {"quality", quality_of(stream.quality)}});
  }
  return streams;
}

Json leg_of(const call::LegSummary& summary, const LegStats& leg) {
  Json drops = Json::object();
  for (std::size_t i = 0; i < leg.drops.size(); ++i) {
    if (leg.drops[i] != 0) drops[kDropReasons[i].label] = leg.drops[i];
  }
  Json json = api::leg_figures(summary, leg);
  json["round_trip_ms"] =
      leg.round_trip_us == 0 ? Json() : Json(rounded(leg.round_trip_us / 1000.0));
  json["drops"] = std::move(drops);
  json["streams"] = streams_of(leg);
  return json;
}

Json sessions_of(const CallEnd& end) {
  Json sessions = Json::array();
  for (const call::SessionSummary& session : end.call.sessions) {
    Json json{{"id", api::to_string(session.id)}, {"kind", session.kind}, {"legs", nullptr}};
    if (const auto found = end.stats.find(session.id); found != end.stats.end()) {
      const auto& legs = found->second.legs;
      json["legs"] = {{"a", leg_of(session.legs[0], legs[0])},
                      {"b", leg_of(session.legs[1], legs[1])}};
    }
    sessions.push_back(std::move(json));
  }
  return sessions;
}

}  // namespace

std::string call_record(const CallEnd& end) {
  const call::CallSummary& call = end.call;
  const Json record{{"version", kCallRecordVersion},
                    {"node", end.node},
                    {"call_id", call.call_id},
                    {"from_tag", call.from_tag},
                    {"to_tag", call.to_tag},
                    {"started", date_within(call, call.created)},
                    {"answered", date_within(call, call.answered_at)},
                    {"ended", date_of(call.ended_unix_us)},
                    {"seconds", seconds_since(call.created, call.ended_at)},
                    {"answered_seconds", seconds_since(call.answered_at, call.ended_at)},
                    {"why", end.why},
                    {"verdict_a", end.verdicts[0].info().id},
                    {"verdict_b", end.verdicts[1].info().id},
                    {"sessions", sessions_of(end)}};
  // What a remote end named may be no UTF-8: replaced, never thrown.
  return record.dump(-1, ' ', true, Json::error_handler_t::replace);
}

}  // namespace turnpike
