// ICE between two of our engines: every pair of NATs, and a thousand seeds of everything at once.
#include "tests/sim/ice_world.h"

#include <algorithm>
#include <cstdlib>

#include <gtest/gtest.h>

namespace turnpike::sim {
namespace {

constexpr std::array<NatKind, 5> kNats = {NatKind::kNone, NatKind::kFullCone, NatKind::kRestricted,
                                          NatKind::kPortRestricted, NatKind::kSymmetric};

std::uint64_t seeds(std::uint64_t fallback) {
  const char* text = std::getenv("TURNPIKE_SIM_ICE_SEEDS");
  return text == nullptr ? fallback : std::strtoull(text, nullptr, 10);
}

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

TEST(IceWorld, invariants_hold_under_every_seed) {
  std::uint64_t connected = 0;
  const std::uint64_t last = seeds(1000);
  for (std::uint64_t seed = 1; seed <= last; ++seed) {
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
    ASSERT_EQ(world.violation(), "");
    ASSERT_EQ(world.connected(), IceWorld::path_exists(scenario.nat[0], scenario.nat[1]));
    ASSERT_TRUE(!world.connected() || world.agrees());
    connected += world.connected() ? 1 : 0;
    // 70 s: at most 20 checks a second and an answer for each of the other side's.
    ASSERT_LT(world.sent(0), 1500U);
    ASSERT_LT(world.sent(1), 1500U);
  }
  EXPECT_GT(connected, last / 2);
}

// One end of one family, the other of both, or both of both: as clients of mobile networks and we.
TEST(IceWorld, ends_of_one_family_and_of_both_find_each_other) {
  const std::uint64_t last = seeds(1000) / 2;
  for (std::uint64_t seed = 1; seed <= last; ++seed) {
    IceScenario scenario = scenario_of(seed);
    scenario.nat_forgets = false;
    // A check that is lost seven times is over, and an end of one family may have that one only.
    scenario.loss_percent = std::min(scenario.loss_percent, 15U);
    const std::size_t ours = seed % 2;
    scenario.has_ipv6[ours] = true;
    const std::uint64_t kind = seed / 2 % 3;
    scenario.has_ipv4[1 - ours] = kind != 0;
    scenario.has_ipv6[1 - ours] = kind != 1;
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    IceWorld world(seed, scenario);
    world.call();
    world.run(Seconds(25));
    if (scenario.restart) world.restart();
    world.run(Seconds(20));
    world.calm();
    world.send_attacker_away();
    world.run(Seconds(25));
    ASSERT_EQ(world.violation(), "");
    ASSERT_EQ(world.connected(), IceWorld::path_exists(scenario));
    ASSERT_TRUE(!world.connected() || world.agrees());
  }
}

TEST(IceWorld, consent_ends_in_a_blackout_and_a_restart_connects_again) {
  std::uint64_t connected = 0;
  const std::uint64_t last = seeds(1000) / 5;
  for (std::uint64_t seed = 1; seed <= last; ++seed) {
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
  EXPECT_GT(connected, last / 2);
}

}  // namespace
}  // namespace turnpike::sim
