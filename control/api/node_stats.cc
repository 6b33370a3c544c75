// /v1/stats and /v1/ports: what the node has done since its start, and where its ports are.
#include <array>
#include <charconv>
#include <string>

#include "control/api/endpoints.h"
#include "control/api/json.h"

namespace turnpike::api {
namespace {

const ng::Value* find(const ng::Value::Dict& dict, std::string_view name) {
  for (const auto& [key, value] : dict) {
    if (key == name) return &value;
  }
  return nullptr;
}

/// Figures by the names of NG "statistics", which counts them.
class Tree {
 public:
  explicit Tree(const ng::Value::Dict& tree) : tree_(tree) {}

  std::int64_t count(std::string_view part, std::string_view name) const {
    const ng::Value* const value = at(part, name);
    return value == nullptr || value->as_integer() == nullptr ? 0 : *value->as_integer();
  }
  double decimal(std::string_view part, std::string_view name) const {
    const ng::Value* const value = at(part, name);
    double number = 0;
    if (value == nullptr || value->as_string() == nullptr) return 0;
    const std::string& text = *value->as_string();
    std::from_chars(text.data(), text.data() + text.size(), number);
    return number;
  }

 private:
  const ng::Value* at(std::string_view part, std::string_view name) const {
    const ng::Value* const dict = find(tree_, part);
    const auto* const entries = dict == nullptr ? nullptr : dict->as_dict();
    return entries == nullptr ? nullptr : find(*entries, name);
  }

  const ng::Value::Dict& tree_;
};

struct Sums {
  std::uint64_t packets_received = 0;
  std::uint64_t bytes_received = 0;
  std::uint64_t packets_forwarded = 0;
  std::uint64_t bytes_forwarded = 0;
  std::uint64_t dropped = 0;
  std::array<std::uint64_t, kDropReasonCount> drops{};
};

Sums sums_of(const Relay& relay) {
  Sums sums;
  for (std::size_t i = 0; i < relay.shard_count(); ++i) {
    const ShardCounters& shard = relay.shard_counters(i);
    sums.packets_received += shard.packets_received.value();
    sums.bytes_received += shard.bytes_received.value();
    sums.packets_forwarded += shard.packets_forwarded.value();
    sums.bytes_forwarded += shard.bytes_forwarded.value();
    for (std::size_t reason = 0; reason < kDropReasonCount; ++reason) {
      sums.drops[reason] += shard.drops[reason].value();
      sums.dropped += shard.drops[reason].value();
    }
  }
  return sums;
}

}  // namespace

void Endpoints::stats(const Request&, const Respond& respond) {
  const double uptime = seconds(context_.clock() - started_);
  const auto per_second = [uptime](std::uint64_t count) {
    return uptime > 0 ? static_cast<double>(count) / uptime : 0;
  };
  const Sums sums = sums_of(context_.relay);
  const ng::Value::Dict dict = context_.calls.node_statistics();
  const Tree tree(dict);
  constexpr std::string_view kTotal = "totalstatistics";
  constexpr std::string_view kCurrent = "currentstatistics";
  Json calls{{"up", context_.calls.call_count()},
             {"ended", tree.count(kTotal, "managedsessions")},
             {"refused", tree.count(kTotal, "rejectedsessions")},
             {"average_seconds", tree.decimal(kTotal, "avgcallduration")}};
  calls["ended_by"] = {{"deleted", tree.count(kTotal, "regularterminatedsessions")},
                       {"not_answered", tree.count(kTotal, "offertimeoutsessions")},
                       {"no_media", tree.count(kTotal, "timeoutsessions")},
                       {"held_too_long", tree.count(kTotal, "silenttimeoutsessions")},
                       {"operator", tree.count(kTotal, "forcedterminatedsessions")}};
  Json media{{"without_packets", tree.count(kTotal, "zerowaystreams")},
             {"one_way", tree.count(kTotal, "onewaystreams")},
             {"packets_lost", tree.count("voip_metrics", "packets_lost")},
             {"mos_average", nullptr}};
  if (tree.count("mos", "mos_samples_total") != 0) {
    media["mos_average"] = tree.decimal("mos", "mos_average");
  }
  Json drops = Json::array();
  for (std::size_t reason = 0; reason < kDropReasonCount; ++reason) {
    if (sums.drops[reason] == 0) continue;
    drops.push_back({{"reason", kDropReasons[reason].label},
                     {"packets", sums.drops[reason]},
                     {"packets_per_second", per_second(sums.drops[reason])},
                     {"meaning", kDropReasons[reason].help}});
  }
  respond(json_response(200, {{"name", context_.node_name},
                              {"uptime_seconds", uptime},
                              {"calls", std::move(calls)},
                              {"media", std::move(media)},
                              {"totals",
                               {{"packets_received", sums.packets_received},
                                {"bytes_received", sums.bytes_received},
                                {"packets_forwarded", sums.packets_forwarded},
                                {"bytes_forwarded", sums.bytes_forwarded},
                                {"packets_dropped", sums.dropped}}},
                              {"rates_since_start",
                               {{"packets_per_second", per_second(sums.packets_forwarded)},
                                {"bytes_per_second", per_second(sums.bytes_forwarded)},
                                {"drops_per_second", per_second(sums.dropped)}}},
                              {"rates_now",
                               {{"packets_per_second", tree.count(kCurrent, "packetrate")},
                                {"bytes_per_second", tree.count(kCurrent, "byterate")},
                                {"drops_per_second", tree.count(kCurrent, "errorrate")}}},
                              {"drops", std::move(drops)}}));
}

void Endpoints::ports(const Request&, const Respond& respond) {
  Json list = Json::array();
  const auto all = context_.ports ? context_.ports() : std::vector<PortSliceUsage>{};
  for (const PortSliceUsage& one : all) {
    list.push_back({{"interfaces", one.interfaces},
                    {"address", turnpike::to_string(one.local)},
                    {"shard", one.shard},
                    {"port_min", one.port_min},
                    {"port_max", one.port_max},
                    {"taken", one.taken},
                    {"free", one.free},
                    {"quarantined", one.quarantined},
                    {"of_others", one.of_others}});
  }
  respond(json_response(200, {{"ports", std::move(list)}}));
}

}  // namespace turnpike::api
