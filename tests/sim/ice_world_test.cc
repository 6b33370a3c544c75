// ICE between two of our engines: every pair of NATs, and a thousand seeds of everything at once.
// TURNPIKE_SIM_ICE_SEED runs one seed, TURNPIKE_SIM_ICE_SEEDS that many.
#include "tests/sim/ice_world.h"

#include <algorithm>
#include <cstdlib>

#include <gtest/gtest.h>

namespace turnpike::sim {
namespace {

constexpr std::array<NatKind, 5> kNats = {NatKind::kNone, NatKind::kFullCone, NatKind::kRestricted,
                                          NatKind::kPortRestricted, NatKind::kSymmetric};

std::uint64_t from_environment(const char* name, std::uint64_t fallback) {
  const char* text = std::getenv(name);
  return text == nullptr ? fallback : std::strtoull(text, nullptr, 10);
}

/// The seeds to run: from `first` to `last`.
struct Seeds {
  explicit Seeds(std::uint64_t share)
      : first(from_environment("TURNPIKE_SIM_ICE_SEED", 1)),
        last(first != 1 ? first : from_environment("TURNPIKE_SIM_ICE_SEEDS", 1000) / share) {}
  /// Whether there are enough of them to judge how many connect.
  bool are_many() const { return last - first > 50; }

  std::uint64_t first;
  std::uint64_t last;
};

TEST(IceWorld, every_pair_of_nats_connects_where_a_path_exists) {
  for (const NatKind a : kNats) {
    for (const NatKind b : kNats) {
      for (std::uint64_t seed = 1; seed <= 4; ++seed) {
        IceScenario scenario;
        scenario.nat = {a, b};
        IceWorld world(seed, scenario);
        world.call();
        world.run(Seconds(20));
        SCOPED_TRACE(::testing::Message() << "NATs " << static_cast<int>(a) << " and "
                                          << static_cast<int>(b) << ", seed " << seed);
        ASSERT_EQ(world.violation(), "");
        EXPECT_EQ(world.connected(), IceWorld::path_exists(a, b));
        EXPECT_TRUE(!world.connected() || world.agrees());
      }
    }
  }
}

IceScenario scenario_of(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  IceScenario scenario;
  for (NatKind& nat : scenario.nat) nat = kNats[random() % kNats.size()];
  scenario.loss_percent = random() % 3 == 0 ? static_cast<std::uint32_t>(random() % 30) : 0;
  scenario.rtcp_mux = random() % 2 == 0;
  scenario.same_role = random() % 3 == 0;
  scenario.restart = random() % 3 == 0;
  scenario.attacker = random() % 2 == 0;
  // A lite agent is for hosts on the public network.
  if (scenario.nat[0] == NatKind::kNone && random() % 3 == 0) {
    scenario.mode[0] = IceMode::kLite;
    scenario.attacker = false;
  }
  const bool one_public = scenario.nat[0] == NatKind::kNone || scenario.nat[1] == NatKind::kNone;
  scenario.nat_forgets = one_public && random() % 2 == 0;
  return scenario;
}

/// Where there is a path, both ends have it in the end. On a lossy line all checks of 30 seconds
/// may be lost, and consent with them (RFC 7675 section 5.1): then nothing is sent, and a restart
/// helps.
void expect_end(IceWorld& world, const IceScenario& scenario) {
  ASSERT_EQ(world.violation(), "");
  const bool path = IceWorld::path_exists(scenario);
  if (scenario.loss_percent != 0 && path && world.has_lost_consent()) {
    world.restart();
    world.run(Seconds(20));
    ASSERT_EQ(world.violation(), "");
  }
  ASSERT_EQ(world.connected(), path);
  ASSERT_TRUE(!world.connected() || world.agrees());
}

TEST(IceWorld, invariants_hold_under_every_seed) {
  std::uint64_t connected = 0;
  const Seeds seeds(1);
  for (std::uint64_t seed = seeds.first; seed <= seeds.last; ++seed) {
    const IceScenario scenario = scenario_of(seed);
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    IceWorld world(seed, scenario);
    world.call();
    world.run(Seconds(25));
    if (scenario.restart) world.restart();
    if (scenario.nat_forgets) world.forget_nat();
    world.run(Seconds(20));
    world.calm();
    world.run(Seconds(25));
    ASSERT_NO_FATAL_FAILURE(expect_end(world, scenario));
    connected += world.connected() ? 1 : 0;
    // 70 s: at most 20 checks a second and an answer for each of the other side's.
    ASSERT_LT(world.sent(0), 1500U);
    ASSERT_LT(world.sent(1), 1500U);
  }
  EXPECT_TRUE(!seeds.are_many() || connected > seeds.last / 2);
}

// One end of one family, the other of both, or both of both: as clients of mobile networks and we.
IceScenario family_scenario_of(std::uint64_t seed) {
  IceScenario scenario = scenario_of(seed);
  scenario.nat_forgets = false;
  // A check that is lost seven times is over, and an end of one family may have that one only.
  scenario.loss_percent = std::min(scenario.loss_percent, 15U);
  const std::size_t ours = seed % 2;
  scenario.has_ipv6[ours] = true;
  const std::uint64_t kind = seed / 2 % 3;
  scenario.has_ipv4[1 - ours] = kind != 0;
  scenario.has_ipv6[1 - ours] = kind != 1;
  return scenario;
}

void live_through(IceWorld& world, const IceScenario& scenario) {
  world.call();
  world.run(Seconds(25));
  if (scenario.restart) world.restart();
  world.run(Seconds(20));
  world.calm();
  world.send_attacker_away();
  // A lite end that a late copy of a nomination sent to another pair stays there until nobody has
  // asked on it for 30 seconds (seed 3628).
  world.run(Seconds(35));
}

TEST(IceWorld, ends_of_one_family_and_of_both_find_each_other) {
  const Seeds seeds(2);
  for (std::uint64_t seed = seeds.first; seed <= seeds.last; ++seed) {
    const IceScenario scenario = family_scenario_of(seed);
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    IceWorld world(seed, scenario);
    live_through(world, scenario);
    ASSERT_NO_FATAL_FAILURE(expect_end(world, scenario));
  }
}

// Seed 3307: five checks in a row are lost, and a lite end asks nothing itself.
TEST(IceWorld, consent_that_was_lost_on_a_lossy_line_comes_back_by_a_restart) {
  const IceScenario scenario = family_scenario_of(3307);
  ASSERT_EQ(scenario.mode[0], IceMode::kLite);
  IceWorld world(3307, scenario);
  live_through(world, scenario);
  EXPECT_TRUE(world.has_lost_consent());
  EXPECT_TRUE(world.silent());
  ASSERT_NO_FATAL_FAILURE(expect_end(world, scenario));
}

TEST(IceWorld, consent_ends_in_a_blackout_and_a_restart_connects_again) {
  std::uint64_t connected = 0;
  const Seeds seeds(5);
  for (std::uint64_t seed = seeds.first; seed <= seeds.last; ++seed) {
    IceScenario scenario = scenario_of(seed);
    scenario.loss_percent = 0;
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    IceWorld world(seed, scenario);
    world.call();
    world.run(Seconds(15));
    connected += world.connected() ? 1 : 0;
    world.black_out();
    world.run(Seconds(32));
    ASSERT_EQ(world.violation(), "");
    ASSERT_TRUE(world.silent());
    world.calm();
    world.restart();
    world.run(Seconds(20));
    ASSERT_EQ(world.violation(), "");
    ASSERT_EQ(world.connected(), IceWorld::path_exists(scenario.nat[0], scenario.nat[1]));
    ASSERT_TRUE(!world.connected() || world.agrees());
  }
  EXPECT_TRUE(!seeds.are_many() || connected > seeds.last / 2);
}

}  // namespace
}  // namespace turnpike::sim
