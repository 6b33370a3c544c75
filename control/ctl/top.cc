#include "control/ctl/top.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <vector>

#include "control/ctl/text.h"

namespace turnpike::ctl {
namespace {

struct Rate {
  std::string id;
  TopFigures figures;
  double packets = 0;  ///< a second
  double loss_percent = 0;
  double drops = 0;  ///< a second
};

/// Counters begin anew when a session's leg is another one.
double grown(std::uint64_t before, std::uint64_t after) {
  return after > before ? static_cast<double>(after - before) : 0;
}

Rate rate_of(const std::string& id, const TopFigures& before, const TopFigures& after,
             double seconds) {
  const double received = grown(before.received, after.received);
  const double lost = grown(before.lost, after.lost);
  Rate rate{id, after};
  rate.packets = received / seconds;
  rate.loss_percent = received + lost > 0 ? 100 * lost / (received + lost) : 0;
  rate.drops = grown(before.dropped, after.dropped) / seconds;
  return rate;
}

double weight_of(const Rate& rate, const std::string& order) {
  if (order == "loss") return rate.loss_percent;
  if (order == "jitter") return rate.figures.jitter_ms;
  return order == "drops" ? rate.drops : rate.packets;
}

std::string decimal(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1f", value);
  return text.data();
}

std::string as_json(const std::vector<Rate>& rates) {
  Json list = Json::array();
  for (const Rate& rate : rates) {
    list.push_back({{"id", rate.id},
                    {"kind", rate.figures.kind},
                    {"call_id", rate.figures.call_id},
                    {"packets_per_second", rate.packets},
                    {"loss_percent", rate.loss_percent},
                    {"jitter_ms", rate.figures.jitter_ms},
                    {"drops_per_second", rate.drops}});
  }
  return list.dump(2) + "\n";
}

}  // namespace

Result<TopPage> add_page(const std::string& body, TopSnapshot& snapshot) {
  return read(body, [&snapshot](const Json& answer) {
    TopPage page;
    for (const Json& one : answer.at("sessions")) {
      ++page.sessions;
      page.last = shown(one.at("id"));
      if (one.at("legs").is_null()) continue;  // its figures did not come in time
      TopFigures figures{shown(one.at("kind")), shown(one.at("call_id"))};
      for (const Json& leg : one.at("legs")) {
        figures.received += leg.at("packets_received").get<std::uint64_t>();
        figures.lost += leg.at("packets_lost").get<std::uint64_t>();
        figures.dropped += leg.at("packets_dropped").get<std::uint64_t>();
        figures.jitter_ms = std::max(figures.jitter_ms, leg.at("jitter_ms").get<double>());
      }
      snapshot[page.last] = std::move(figures);
    }
    return page;
  });
}

std::string print_top(const TopSnapshot& before, const TopSnapshot& after, double seconds,
                      const std::string& order, std::size_t limit, bool json) {
  std::vector<Rate> rates;
  for (const auto& [id, figures] : after) {
    const auto known = before.find(id);
    if (known != before.end()) rates.push_back(rate_of(id, known->second, figures, seconds));
  }
  std::stable_sort(rates.begin(), rates.end(), [&order](const Rate& a, const Rate& b) {
    return weight_of(a, order) > weight_of(b, order);
  });
  if (rates.size() > limit) rates.resize(limit);
  if (json) return as_json(rates);
  std::vector<Row> rows{{"ID", "KIND", "PACKETS/S", "LOSS %", "JITTER MS", "DROPS/S", "CALL-ID"}};
  for (const Rate& rate : rates) {
    rows.push_back({rate.id, rate.figures.kind, decimal(rate.packets), decimal(rate.loss_percent),
                    decimal(rate.figures.jitter_ms), decimal(rate.drops), rate.figures.call_id});
  }
  return rows.size() == 1 ? "no sessions\n" : table(rows);
}

}  // namespace turnpike::ctl
