// Two ICE engines under one seed, each of one or both address families, behind a NAT or none, with
// signalling that is slow and out of step, candidates that are dead, a network that delays, loses,
// doubles and reorders, NATs that forget, restarts, and somebody who repeats what he saw. Checks
// after each step that nothing is sent where nobody asked for it; at the end that both sides agree.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "relay/ice/engine.h"
#include "tests/sim/nat.h"

namespace turnpike::sim {

struct IceScenario {
  std::array<NatKind, 2> nat{};  ///< of IPv4
  std::array<bool, 2> has_ipv4{true, true};
  std::array<bool, 2> has_ipv6{};  ///< without NAT
  std::array<IceMode, 2> mode{IceMode::kFull, IceMode::kFull};
  std::uint32_t loss_percent = 0;
  bool rtcp_mux = true;
  bool same_role = false;    // both begin as controlling, or both as controlled
  bool nat_forgets = false;  // one NAT does, in the middle
  bool restart = false;
  bool attacker = false;
};

/// What else travels over the paths that ICE finds: datagrams of DTLS, by their first byte.
class Rider {
 public:
  /// At the RTP socket of a side; `validated`: a check has come from there.
  virtual void receive(std::size_t side, const SocketAddress& from, bool validated,
                       const std::vector<std::uint8_t>& bytes, Instant now) = 0;
  /// Where the media of a side goes from now on; unset: nowhere.
  virtual void selected(std::size_t side, const SocketAddress& to, Instant now) = 0;
  virtual Instant next_deadline() const = 0;
  virtual void on_deadline(Instant now) = 0;

 protected:
  ~Rider() = default;
};

class IceWorld {
 public:
  IceWorld(std::uint64_t seed, const IceScenario& scenario, Rider* rider = nullptr);
  ~IceWorld();
  void run(Milliseconds duration);
  /// NATs let packets through without help of a third host.
  static bool path_exists(NatKind a, NatKind b);
  static bool path_exists(const IceScenario& scenario);

  /// Signalling begins; what comes of it takes its time.
  void call();
  void forget_nat();
  void restart();
  /// Nothing gets through until calm().
  void black_out() { scenario_.loss_percent = 100; }
  /// The network becomes perfect, as it must be before judging the end.
  void calm() { scenario_.loss_percent = 0; }
  /// Nobody repeats what he saw any more. A nomination that is repeated from where it came from
  /// moves media to another pair of the same end, until that one's next check (seed 233 of ends
  /// with both families): such ends agree, but not at every moment.
  void send_attacker_away() { scenario_.attacker = false; }

  /// From the rider, by the RTP socket of a side.
  void send(std::size_t side, const SocketAddress& to, std::vector<std::uint8_t> bytes);
  /// Whether anything that ICE takes has ever come from there.
  bool has_heard(std::size_t side, const SocketAddress& from) const;
  /// The RTP socket of a side, and where others see it when it speaks to `to`.
  SocketAddress socket(std::size_t side) const;
  SocketAddress seen(std::size_t side, const SocketAddress& to);
  Instant now() const { return now_; }

  bool connected() const;
  /// Both sides had a path, and may not use it any more (RFC 7675 section 5.1).
  bool has_lost_consent() const;
  /// Neither side has a destination.
  bool silent() const;
  /// Each side's destination is where the other side's packets come from.
  bool agrees();
  const std::string& violation() const { return violation_; }
  std::uint64_t sent(std::size_t side) const;

 private:
  struct End;
  struct Flight {
    SocketAddress from;
    SocketAddress to;
    std::vector<std::uint8_t> bytes;
  };

  std::uint32_t pick(std::uint32_t below) { return static_cast<std::uint32_t>(random_() % below); }
  void launch(const SocketAddress& from, const SocketAddress& to, std::vector<std::uint8_t> bytes);
  void deliver(const Flight& flight);
  void receive(End& end, unsigned component, const Flight& flight);
  void signal(std::size_t from);
  void learn(std::size_t side, const IceConfig& theirs, std::uint8_t candidates);
  void update(std::size_t side);
  void describe(std::size_t side);
  void attack();
  void judge();
  void fail(const std::string& what);

  std::mt19937_64 random_;
  IceScenario scenario_;
  Rider* rider_;
  Instant now_{Seconds(100)};
  Instant next_attack_{};
  std::array<std::unique_ptr<End>, 2> ends_;
  std::multimap<Instant, Flight> in_flight_;
  std::multimap<Instant, std::function<void()>> plans_;  // of signalling
  std::vector<Flight> recorded_;
  std::vector<Flight> recorded_ridden_;
  std::string violation_;
};

}  // namespace turnpike::sim
