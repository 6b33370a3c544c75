// A whole world under one seed: phones, some behind NAT, attackers, some faster than the phones
// that they copy, a network that delays, loses, doubles, reorders and damages, NATs that forget, a
// control that re-offers, a process that dies and is replaced — and the real media engine in the
// middle, on a virtual clock. After each step the invariants hold, or violation() says which one
// does not.
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
  /// Of these, to phones whose every packet is copied by somebody faster.
  std::uint64_t heard_despite_racer() const { return heard_despite_racer_; }
  std::uint64_t forwarded() const { return counters_.packets_forwarded.value(); }
  std::uint64_t dropped() const;

 private:
  struct Flight {
    SocketTag to;
    SocketAddress source;
    Bytes bytes;
    bool original = false;  // from the phone itself, undamaged
  };
  // Somebody who sees every packet of one leg and delivers a copy before the original arrives.
  struct Racer {
    SocketAddress address;      // unset: nobody
    Instant original_last{};    // newest original that arrived nevertheless ...
    Instant originals_since{};  // ... and since when they have been arriving without a gap
  };
  struct Call {
    SocketTag id;
    std::array<LegConfig, 2> leg;
    std::array<std::array<SocketAddress, 2>, 2> signalled;
    std::array<Racer, 2> racer;
    std::vector<std::unique_ptr<Endpoint>> phone;
  };

  std::uint32_t pick(std::uint32_t below) { return static_cast<std::uint32_t>(random_() % below); }
  bool chance(std::uint32_t in) { return pick(in) == 0; }
  SrtpKeying random_key(SrtpSuite suite);
  void start_call(std::uint32_t slot);
  void start_leg(Call& call, Side side);
  void step();
  void phones_send();
  void attack();
  void disturb();
  void reoffer(Call& call);
  void crash_and_adopt();
  void launch(Call& call, Side side, Component component, Bytes bytes, const SocketAddress& from);
  void deliver_due();
  void arrives(const Flight& flight);
  void take_outbox();
  void judge(const Send& send);
  bool may_go_to_racer(const Racer& racer) const;
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
  std::uint64_t heard_despite_racer_ = 0;
  std::string violation_;
};

}  // namespace turnpike::sim
