// A whole world under one seed: phones, attackers, a network that delays, loses, doubles, reorders
// and damages, NATs that forget, a control that re-offers, a process that dies and is replaced —
// and the real media engine in the middle, on a virtual clock. After each step the invariants hold,
// or violation() says which one does not.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "relay/media/engine.h"
#include "tests/sim/endpoint.h"

namespace turnpike::sim {

class World {
 public:
  explicit World(std::uint64_t seed);
  /// Runs the virtual clock for `duration`; stops early at a violation.
  void run(Milliseconds duration);
  /// Ends every session and checks that nothing is left.
  void finish();

  /// Empty, or the broken invariant in words.
  const std::string& violation() const { return violation_; }
  std::uint64_t heard() const { return heard_; }  ///< media packets that reached an endpoint
  std::uint64_t forwarded() const { return counters_.packets_forwarded.value(); }
  std::uint64_t dropped() const;

 private:
  struct Flight {
    SocketTag to;
    SocketAddress source;
    Bytes bytes;
  };
  struct Call {
    SocketTag id;
    std::array<LegConfig, 2> leg;
    std::vector<std::unique_ptr<Endpoint>> phone;
  };

  std::uint32_t pick(std::uint32_t below) { return static_cast<std::uint32_t>(random_() % below); }
  bool chance(std::uint32_t in) { return pick(in) == 0; }
  SrtpKeying random_key(SrtpSuite suite);
  void start_call(std::uint32_t slot);
  void step();
  void phones_send();
  void attack();
  void disturb();
  void reoffer(Call& call);
  void crash_and_adopt();
  void launch(Call& call, Side side, Component component, Bytes bytes, const SocketAddress& from);
  void deliver_due();
  void take_outbox();
  void judge(const Send& send);
  void check_counters();
  void fail(const std::string& what);

  std::mt19937_64 random_;
  media::ArenaShape shape_;
  std::vector<std::uint8_t> memory_;
  std::unique_ptr<media::Arena> arena_;
  ShardCounters counters_;
  std::unique_ptr<media::Engine> engine_;
  Batch batch_;
  Outbox outbox_;
  media::Notices notices_;
  Instant now_{Seconds(5000)};
  std::vector<Call> calls_;
  std::multimap<Instant, Flight> in_flight_;
  std::vector<Flight> recorded_;  // what the attackers have seen
  std::uint32_t loss_burst_ = 0;
  std::uint64_t heard_ = 0;
  std::string violation_;
};

}  // namespace turnpike::sim
