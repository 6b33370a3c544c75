#include "control/limits.h"

#include <algorithm>
#include <chrono>

#include "control/config/limits.h"

namespace turnpike {
namespace {

std::uint64_t connections_of(const TurnServer& turn, std::size_t shards) {
  std::uint64_t open = 0;
  for (std::size_t i = 0; i < shards; ++i) {
    const turn::Counters& shard = turn.counters(i);
    // In this order: one that closes in between must not make a negative number.
    const std::uint64_t closed = shard.total(&turn::ClientCounters::connections_closed);
    open += shard.total(&turn::ClientCounters::connections_opened) - closed;
  }
  return open;
}

}  // namespace

void Limits::on_tick(Instant now) {
  const double seconds = std::chrono::duration<double>(now - looked_at_).count();
  std::vector<std::uint64_t> cpu_us;
  for (std::size_t i = 0; i < relay_.shard_count(); ++i) {
    cpu_us.push_back(relay_.shard_counters(i).cpu_us.value());
  }
  if (cpu_us_.size() == cpu_us.size() && seconds > 0) {
    double least = 100;
    for (std::size_t i = 0; i < cpu_us.size(); ++i) {
      least = std::min(least, static_cast<double>(cpu_us[i] - cpu_us_[i]) / 1e4 / seconds);
    }
    busy_percent_ = static_cast<unsigned>(least);
  }
  looked_at_ = now;
  cpu_us_ = std::move(cpu_us);
}

std::optional<std::uint64_t> Limits::in_use(const std::string& key) const {
  if (key == "media.sessions_max") return relay_.usage().sessions;
  if (key == "media.calls_max") return calls_.call_count();
  if (key == "media.busy_max_percent") return busy_percent_;
  const TurnServer* const turn = relay_.turn();
  if (turn == nullptr) return std::nullopt;
  if (key == "turn.allocations_max") return turn->allocations();
  if (key == "turn.connections_max") return connections_of(*turn, relay_.shard_count());
  return std::nullopt;  // of each leg, client or source
}

std::vector<api::LimitUse> Limits::report(const Reloader& reloader) const {
  std::vector<api::LimitUse> all;
  for (const config::Limit& limit : config::limits_of(running_)) {
    const auto before = reloader.limits_before().find(limit.key);
    const bool is_set = before != reloader.limits_before().end();
    all.push_back({limit.key, limit.value, in_use(limit.key), limit.hot,
                   is_set ? before->second : limit.value});
  }
  return all;
}

}  // namespace turnpike
