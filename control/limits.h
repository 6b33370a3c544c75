// How much of each limit is in use. Hides: where those figures come from.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "control/api/endpoints.h"
#include "control/call/call_service.h"
#include "control/config/load.h"
#include "control/reload.h"
#include "turnpike/relay.h"
#include "turnpike/time.h"

namespace turnpike {

class Limits {
 public:
  /// All of it outlives this.
  Limits(const config::Loaded& running, Relay& relay, const call::CallService& calls)
      : running_(running), relay_(relay), calls_(calls) {}

  /// Looks how busy the shards are. Call it about once a second.
  void on_tick(Instant now);
  std::vector<api::LimitUse> report(const Reloader& reloader) const;

 private:
  std::optional<std::uint64_t> in_use(const std::string& key) const;

  const config::Loaded& running_;
  Relay& relay_;
  const call::CallService& calls_;
  Instant looked_at_{};
  std::vector<std::uint64_t> cpu_us_;
  unsigned busy_percent_ = 0;  // of the shard that is least busy: it takes the next call
};

}  // namespace turnpike
