#include "control/ng/control_statistics.h"

#include <array>
#include <cstdio>
#include <string>
#include <utility>

namespace turnpike::ng {
namespace {

struct Named {
  Command command;
  const char* name;  ///< as clients know it
};
constexpr std::array kNamed = {Named{Command::kPing, "ping"},
                               Named{Command::kOffer, "offer"},
                               Named{Command::kAnswer, "answer"},
                               Named{Command::kDelete, "delete"},
                               Named{Command::kQuery, "query"},
                               Named{Command::kList, "list"},
                               Named{Command::kStatistics, "stats"},
                               Named{Command::kBlockMedia, "blkmedia"},
                               Named{Command::kUnblockMedia, "unblkmedia"},
                               Named{Command::kSilenceMedia, "slnmedia"},
                               Named{Command::kUnsilenceMedia, "unslnmedia"},
                               Named{Command::kPublish, "publish"},
                               Named{Command::kSubscribeRequest, "subreq"},
                               Named{Command::kSubscribeAnswer, "subans"},
                               Named{Command::kUnsubscribe, "unsub"},
                               Named{Command::kConnect, "connect"}};

std::string seconds_text(Nanoseconds duration) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.6f", std::chrono::duration<double>(duration).count());
  return text.data();
}

}  // namespace

Value::Dict control_statistics(const ServerCounters& counters) {
  Value::Dict all;
  Value::Dict statistics;
  Value::Dict totals;
  all.emplace_back("proxy", "all");
  std::uint64_t errors = 0;
  for (const CommandCounters& one : counters.commands) errors += one.errors;
  for (const Named& one : kNamed) {
    const CommandCounters& figures = counters.commands[static_cast<std::size_t>(one.command)];
    const auto count = static_cast<std::int64_t>(figures.requests);
    all.emplace_back(std::string(one.name) + "count", count);
    all.emplace_back(std::string(one.name) + "duration", seconds_text(figures.duration.sum));
    totals.emplace_back("total" + std::string(one.name) + "count", count);
  }
  all.emplace_back("errorcount", static_cast<std::int64_t>(errors));
  statistics.emplace_back("proxies", Value::List{std::move(all)});
  for (auto& total : totals) statistics.push_back(std::move(total));
  return statistics;
}

}  // namespace turnpike::ng
