// Plays calls in real time through a relay and hears what comes out: every stream sends at the same
// rate, each at a phase of its own. One thread that never sleeps, so that its own wake-ups are not
// taken for the relay's delay.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bench/load/call.h"
#include "bench/load/ends.h"
#include "bench/load/framing.h"

namespace turnpike::bench {

/// A time during which the rate does not change.
struct Phase {
  std::uint32_t packets_per_second = 0;  ///< of all streams together
  std::uint32_t seconds = 10;
};

struct TrafficPlan {
  std::array<std::string, 2> relay_address;  ///< where side A and side B send to
  std::uint32_t packet_bytes = 172;          ///< RTP with header, before SRTP
  Framing framing = Framing::kNone;          ///< around the packets of side A
  Transport transport = Transport::kUdp;     ///< of side A
  std::vector<Phase> phases;                 ///< measured; one follows the other without a pause
  std::uint32_t warm_up_seconds = 4;         ///< before that, at the first one's rate
  bool shares_core = false;  ///< sleeps while nothing is due, so that others may have the core
};

/// Packets of a phase, by when they were sent.
struct PhaseResult {
  std::uint64_t sent = 0;
  std::uint64_t received = 0;           ///< without duplicates, until the run's end
  std::uint64_t late = 0;               ///< received, but more than 100 ms after they were sent
  std::uint64_t first_second_sent = 0;  ///< of `sent`, those of the phase's first second
  std::uint64_t first_second_received = 0;
  std::uint64_t first_second_late = 0;
  double sent_per_second = 0;  ///< less than planned when the generator could not keep up
  double sent_late_share = 0;  ///< sent more than 1 ms after their time
  double delay_p50_us = 0;
  double delay_p99_us = 0;
};

struct TrafficResult {
  std::uint64_t sent = 0;
  std::uint64_t received = 0;  ///< without duplicates
  std::uint64_t duplicates = 0;
  std::uint64_t too_late = 0;  ///< received, but more than 20 ms after they were sent
  std::uint64_t late = 0;      ///< as too_late, with 100 ms
  std::uint64_t foreign = 0;   ///< not of a stream that was to come here
  std::uint64_t unread = 0;    ///< lost in the generator's own socket buffers
  std::uint64_t checked = 0;   ///< packets verified by the other SRTP implementation
  std::uint64_t bad = 0;       ///< of those, wrong tag or payload
  double delay_p50_us = 0;     ///< from before the send call to the arrival at the far socket
  double delay_p99_us = 0;
  double delay_p999_us = 0;
  double sent_late_share = 0;  ///< share of packets sent more than 1 ms after their time
  std::vector<PhaseResult> phases;
};

/// The packets of all calls, made before the calls are set up: a relay must not see silence while
/// they are made.
class Traffic {
 public:
  /// `calls` have their keys. All three outlive this object. Ends the program when the plan needs
  /// more packets of a stream than it has sequence numbers.
  Traffic(const TrafficPlan& plan, const Ends& ends, const std::vector<Call>& calls);
  ~Traffic();
  Traffic(const Traffic&) = delete;
  Traffic& operator=(const Traffic&) = delete;

  /// Runs the plan, once the calls are set up. `on_phase` is called when a phase begins, `on_end`
  /// when nothing is expected any more, before packets are checked.
  TrafficResult play(const std::function<void(std::size_t)>& on_phase,
                     const std::function<void()>& on_end);

 private:
  class Player;
  std::unique_ptr<Player> player_;
};

}  // namespace turnpike::bench
