// Plays calls in real time through a relay: one packet per call and direction every 20 ms, calls
// spread over the 20 ms, and hears what comes out. One thread that never sleeps, so that its own
// wake-ups are not taken for the relay's delay.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "bench/load/ng_session.h"

namespace turnpike::bench {

struct TrafficPlan {
  std::array<std::string, 2> relay_address;  ///< where side A and side B send to
  std::uint32_t packet_bytes = 172;          ///< RTP with header, before SRTP
  std::uint32_t seconds = 10;                ///< measured
  std::uint32_t warm_up_seconds = 2;         ///< before that
};

struct TrafficResult {
  std::uint64_t sent = 0;
  std::uint64_t received = 0;
  std::uint64_t too_late = 0;  ///< received, but more than 20 ms after they were sent
  std::uint64_t checked = 0;   ///< packets verified by the other SRTP implementation
  std::uint64_t bad = 0;       ///< of those, wrong tag or payload
  double delay_p50_us = 0;
  double delay_p99_us = 0;
  double delay_p999_us = 0;
  double behind_share = 0;  ///< share of ticks that the generator began more than 2 ms late
};

/// Two bound sockets, one per side, shared by all calls: the relay's ports tell the calls apart.
class Ends {
 public:
  explicit Ends(const std::array<std::string, 2>& address);
  ~Ends();
  Ends(const Ends&) = delete;
  Ends& operator=(const Ends&) = delete;

  std::array<int, 2> fd{-1, -1};
  std::array<std::uint16_t, 2> port{};
};

/// Runs the plan. `on_measure` is called once, when the warm-up is over.
TrafficResult play(const TrafficPlan& plan, const Ends& ends, const std::vector<Call>& calls,
                   const std::function<void()>& on_measure);

}  // namespace turnpike::bench
