// DTLS over every pair of NATs, and a thousand seeds of everything at once.
#include "tests/sim/dtls_world.h"

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

TEST(DtlsWorld, every_pair_of_nats_gives_keys_where_a_path_exists) {
  for (const NatKind a : kNats) {
    for (const NatKind b : kNats) {
      for (std::uint64_t seed = 1; seed <= 2; ++seed) {
        DtlsScenario scenario;
        scenario.network.nat = {a, b};
        scenario.active = seed % 2;
        DtlsWorld world(seed, scenario);
        world.call();
        world.run(Seconds(20));
        SCOPED_TRACE(::testing::Message() << "NATs " << static_cast<int>(a) << " and "
                                          << static_cast<int>(b) << ", seed " << seed);
        ASSERT_EQ(world.violation(), "");
        EXPECT_EQ(world.secured(), IceWorld::path_exists(a, b));
      }
    }
  }
}

TEST(DtlsWorld, every_nat_lets_a_client_without_ice_reach_a_public_server) {
  for (const NatKind nat : kNats) {
    DtlsScenario scenario;
    scenario.network.nat = {nat, NatKind::kNone};
    scenario.ice = false;
    DtlsWorld world(1, scenario);
    world.call();
    world.run(Seconds(5));
    ASSERT_EQ(world.violation(), "");
    EXPECT_TRUE(world.secured()) << world.why(1);
    EXPECT_GT(world.cookies(), 0U);
  }
}

DtlsScenario scenario_of(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  DtlsScenario scenario;
  IceScenario& network = scenario.network;
  for (NatKind& nat : network.nat) nat = kNats[random() % kNats.size()];
  network.loss_percent = random() % 3 == 0 ? static_cast<std::uint32_t>(random() % 15) : 0;
  network.rtcp_mux = random() % 2 == 0;
  network.attacker = random() % 2 == 0;
  scenario.ice = random() % 4 != 0;
  scenario.active = random() % 2;
  scenario.impostor = random() % 8 == 0;
  scenario.renews = random() % 3 == 0;
  scenario.answer_after = Milliseconds(random() % 2 == 0 ? 0 : random() % 8000);
  if (!scenario.ice) {
    network.nat[1] = NatKind::kNone;
    scenario.active = 0;
  } else if (random() % 3 == 0) {
    network.restart = true;
  }
  const bool one_public = network.nat[0] == NatKind::kNone || network.nat[1] == NatKind::kNone;
  network.nat_forgets = scenario.ice && one_public && random() % 2 == 0;
  return scenario;
}

TEST(DtlsWorld, invariants_hold_under_every_seed) {
  const std::uint64_t only = from_environment("TURNPIKE_SIM_DTLS_SEED", 0);
  const std::uint64_t first = only != 0 ? only : 1;
  const std::uint64_t last = only != 0 ? only : from_environment("TURNPIKE_SIM_DTLS_SEEDS", 1000);
  std::uint64_t secured = 0;
  std::uint64_t refused = 0;
  std::uint64_t broken = 0;
  for (std::uint64_t seed = first; seed <= last; ++seed) {
    const DtlsScenario scenario = scenario_of(seed);
    const IceScenario& network = scenario.network;
    SCOPED_TRACE(::testing::Message()
                 << "seed " << seed << " (TURNPIKE_SIM_DTLS_SEED): NATs "
                 << static_cast<int>(network.nat[0]) << " and " << static_cast<int>(network.nat[1])
                 << ", loss " << network.loss_percent << " %, attacker " << network.attacker
                 << ", ICE " << scenario.ice << ", active " << scenario.active << ", impostor "
                 << scenario.impostor << ", renews " << scenario.renews << ", answer after "
                 << scenario.answer_after.count() << " ms");
    DtlsWorld world(seed, scenario);
    world.call();
    world.run(Seconds(25));
    if (network.restart) world.network().restart();
    if (network.nat_forgets) world.network().forget_nat();
    world.run(Seconds(10));
    if (scenario.renews) world.renew();
    world.run(Seconds(15));
    world.network().calm();
    world.run(Seconds(20));
    ASSERT_EQ(world.violation(), "");
    const bool path = !scenario.ice || IceWorld::path_exists(network);
    const bool possible = path && !scenario.impostor;
    if (network.attacker && possible && !world.secured()) {
      // Who forges messages of a handshake in plaintext, before there are keys, can break it.
      ++broken;
      ASSERT_TRUE(world.state(0) == DtlsState::kFailed || world.state(1) == DtlsState::kFailed);
    } else {
      ASSERT_EQ(world.secured(), possible)
          << "active " << scenario.active << ": " << world.why(0) << "; " << world.why(1);
    }
    secured += world.secured() ? 1 : 0;
    refused += world.refused();
    if (!world.secured()) continue;
    world.hang_up();
    world.run(Seconds(2));
    ASSERT_EQ(world.violation(), "");
    ASSERT_EQ(world.state(1), DtlsState::kClosed);
  }
  if (only != 0) return;
  // The worlds must have been alive, or the invariants held for nothing.
  EXPECT_GT(secured, last / 2);
  EXPECT_GT(refused, last);
  EXPECT_LT(broken, last / 20);
}

}  // namespace
}  // namespace turnpike::sim
