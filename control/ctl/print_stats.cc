// What the node has done, and where its ports are.
#include <array>
#include <cstdio>
#include <vector>

#include "control/ctl/print.h"
#include "control/ctl/text.h"

namespace turnpike::ctl {
namespace {

/// 1234567 -> "1.2 M": a rate is read, not computed with.
std::string rounded(double value) {
  constexpr std::array kUnits = {"", " k", " M", " G", " T"};
  std::size_t unit = 0;
  for (; value >= 1000 && unit + 1 < kUnits.size(); ++unit) value /= 1000;
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), unit == 0 && value >= 100 ? "%.0f" : "%.1f", value);
  return std::string(text.data()) + kUnits[unit];
}

std::string rate(const Json& rates, const char* name, double factor = 1) {
  return rounded(rates.at(name).get<double>() * factor);
}

std::string stats_text(const Json& stats) {
  const Json& calls = stats.at("calls");
  const Json& by = calls.at("ended_by");
  const Json& media = stats.at("media");
  const Json& totals = stats.at("totals");
  const Json& now = stats.at("rates_now");
  const Json& since = stats.at("rates_since_start");
  const Json& mos = media.at("mos_average");
  const auto both = [&](const char* name, double factor = 1) {
    return rate(now, name, factor) + "/s now, " + rate(since, name, factor) + "/s since the start";
  };
  std::string text =
      shown(stats.at("name")) + ": up for " + duration(stats.at("uptime_seconds")) + "\n";
  text += table({
      {"calls", number(calls.at("up")) + " up, " + number(calls.at("ended")) + " ended after " +
                    rounded(calls.at("average_seconds").get<double>()) + " s on average, " +
                    number(calls.at("refused")) + " refused for want of room"},
      {"ended", number(by.at("deleted")) + " by the SIP server, " + number(by.at("not_answered")) +
                    " not answered, " + number(by.at("no_media")) + " without media, " +
                    number(by.at("held_too_long")) + " held too long, " +
                    number(by.at("operator")) + " by the operator"},
      {"media", number(media.at("one_way")) + " m-lines one way, " +
                    number(media.at("without_packets")) + " without a packet, " +
                    number(media.at("packets_lost")) + " packets lost" +
                    (mos.is_null() ? "" : ", MOS " + rounded(mos.get<double>()))},
      {"received", number(totals.at("packets_received")) + " packets, " +
                       rounded(totals.at("bytes_received").get<double>()) + "B"},
      {"forwarded", number(totals.at("packets_forwarded")) + " packets, " +
                        rounded(totals.at("bytes_forwarded").get<double>()) + "B"},
      {"packets", both("packets_per_second")},
      {"bits", both("bytes_per_second", 8)},
      {"dropped", number(totals.at("packets_dropped")) + " packets; " + both("drops_per_second")},
  });
  for (const Json& drop : stats.at("drops")) {
    text += "dropped " + number(drop.at("packets")) + " (" + rate(drop, "packets_per_second") +
            "/s): " + shown(drop.at("meaning")) + " (" + shown(drop.at("reason")) + ")\n";
  }
  return text;
}

std::string ports_text(const Json& answer) {
  std::vector<Row> rows{
      {"INTERFACE", "ADDRESS", "SHARD", "PORTS", "TAKEN", "FREE", "QUARANTINED", "OF OTHERS"}};
  for (const Json& one : answer.at("ports")) {
    const std::string range = number(one.at("port_min")) + "-" + number(one.at("port_max"));
    rows.push_back({shown(one.at("interfaces")), shown(one.at("address")), number(one.at("shard")),
                    one.at("port_min") == 0 ? "none" : range, number(one.at("taken")),
                    number(one.at("free")), number(one.at("quarantined")),
                    number(one.at("of_others"))});
  }
  return rows.size() == 1 ? "no media ports\n" : table(rows);
}

}  // namespace

Result<std::string> print_stats(const std::string& body) {
  return read(body, stats_text);
}

Result<std::string> print_ports(const std::string& body) {
  return read(body, ports_text);
}

}  // namespace turnpike::ctl
