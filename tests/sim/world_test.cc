// Many seeds, short lives. TURNPIKE_SIM_SEED runs one seed, TURNPIKE_SIM_SEEDS that many.
#include "tests/sim/world.h"

#include <cstdlib>

#include <gtest/gtest.h>

namespace turnpike::sim {
namespace {

std::uint64_t from_environment(const char* name, std::uint64_t fallback) {
  const char* text = std::getenv(name);
  return text == nullptr ? fallback : std::strtoull(text, nullptr, 10);
}

TEST(World, invariants_hold_under_every_seed) {
  const std::uint64_t only = from_environment("TURNPIKE_SIM_SEED", 0);
  const std::uint64_t first = only != 0 ? only : 1;
  const std::uint64_t last = only != 0 ? only : from_environment("TURNPIKE_SIM_SEEDS", 300);
  std::uint64_t heard = 0;
  std::uint64_t heard_despite_racer = 0;
  std::uint64_t dropped = 0;
  for (std::uint64_t seed = first; seed <= last; ++seed) {
    World world(seed);
    world.run(Seconds(20));
    world.finish();
    ASSERT_EQ(world.violation(), "") << "seed " << seed << " (TURNPIKE_SIM_SEED=" << seed << ")";
    heard += world.heard();
    heard_despite_racer += world.heard_despite_racer();
    dropped += world.dropped();
  }
  // The worlds must have been alive, or the invariants held for nothing.
  EXPECT_GT(heard, 1000 * (last - first + 1));
  EXPECT_GT(heard_despite_racer, 200 * (last - first + 1));
  EXPECT_GT(dropped, 50 * (last - first + 1));
}

TEST(World, same_seed_same_world) {
  World one(7);
  World two(7);
  one.run(Seconds(10));
  two.run(Seconds(10));
  EXPECT_EQ(one.heard(), two.heard());
  EXPECT_EQ(one.forwarded(), two.forwarded());
  EXPECT_EQ(one.dropped(), two.dropped());
}

}  // namespace
}  // namespace turnpike::sim
