#include "relay/core/timer_wheel.h"

#include <map>
#include <random>

#include <gtest/gtest.h>

namespace turnpike {
namespace {

Instant at(std::int64_t ms) {
  return Instant(Milliseconds(1'000'000 + ms));
}

TEST(TimerWheel, fires_at_its_tick_and_not_before) {
  TimerWheel wheel(4);
  std::uint32_t index = 99;
  EXPECT_EQ(wheel.next_deadline(), Instant::max());
  wheel.set(2, at(1000));
  EXPECT_FALSE(wheel.pop_due(at(999), index));
  EXPECT_TRUE(wheel.pop_due(at(1000), index));
  EXPECT_EQ(index, 2U);
  EXPECT_FALSE(wheel.pop_due(at(2000), index));
  EXPECT_EQ(wheel.next_deadline(), Instant::max());
}

TEST(TimerWheel, set_again_replaces_and_cancel_removes) {
  TimerWheel wheel(4);
  std::uint32_t index = 99;
  wheel.set(1, at(500));
  wheel.set(1, at(5000));
  wheel.set(3, at(500));
  wheel.cancel(3);
  wheel.cancel(3);
  EXPECT_FALSE(wheel.pop_due(at(4900), index));
  EXPECT_TRUE(wheel.pop_due(at(5000), index));
  EXPECT_EQ(index, 1U);
}

// Against a map, over horizons longer than the wheel and with long sleeps in between.
TEST(TimerWheel, agrees_with_a_naive_model) {
  constexpr std::uint32_t kItems = 50;
  for (unsigned seed = 1; seed <= 20; ++seed) {
    std::mt19937 random(seed);
    TimerWheel wheel(kItems);
    std::map<std::uint32_t, std::int64_t> model;  // due tick
    std::int64_t now = 0;
    for (int step = 0; step < 3000; ++step) {
      const auto item = static_cast<std::uint32_t>(random() % kItems);
      switch (random() % 4) {
        case 0:
        case 1: {
          const std::int64_t due = now + static_cast<std::int64_t>(random() % 300'000);
          wheel.set(item, at(due));
          model[item] = (due + 99) / 100;
          break;
        }
        case 2:
          wheel.cancel(item);
          model.erase(item);
          break;
        default:
          now += random() % 50 == 0 ? static_cast<std::int64_t>(random() % 400'000)
                                    : static_cast<std::int64_t>(random() % 500);
          std::uint32_t index = 0;
          while (wheel.pop_due(at(now), index)) {
            ASSERT_TRUE(model.contains(index)) << "seed " << seed;
            ASSERT_LE(model[index], now / 100) << "seed " << seed;
            model.erase(index);
          }
          for (const auto& [left, tick] : model) ASSERT_GT(tick, now / 100) << "seed " << seed;
      }
    }
  }
}

}  // namespace
}  // namespace turnpike
