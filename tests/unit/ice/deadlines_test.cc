// The heap of deadlines against a naive model.
#include "relay/ice/deadlines.h"

#include <map>
#include <random>

#include <gtest/gtest.h>

namespace turnpike::ice {
namespace {

constexpr std::uint32_t kItems = 40;

TEST(Deadlines, agree_with_a_naive_model) {
  std::mt19937 random(3);
  Deadlines deadlines(kItems);
  std::map<std::uint32_t, Instant> model;
  Instant now{Seconds(7)};
  for (int step = 0; step < 50'000; ++step) {
    const auto item = static_cast<std::uint32_t>(random() % kItems);
    if (random() % 4 == 0) {
      deadlines.cancel(item);
      model.erase(item);
    } else {
      const Instant when = now + Milliseconds(10 * (random() % 200));
      deadlines.set(item, when);
      model[item] = when;
    }
    now += Milliseconds(random() % 20);
    Instant first = Instant::max();
    for (const auto& [index, when] : model) first = std::min(first, when);
    if (first != Instant::max()) {
      ASSERT_GE(deadlines.next(), first);
      ASSERT_LT(deadlines.next(), first + Deadlines::kGrid);
    } else {
      ASSERT_EQ(deadlines.next(), Instant::max());
    }
    for (std::uint32_t index = 0; deadlines.pop_due(now, index);) {
      ASSERT_TRUE(model.contains(index));
      ASSERT_LE(model[index], now);
      model.erase(index);
    }
    for (const auto& [index, when] : model) ASSERT_GT(when + Deadlines::kGrid, now);
  }
}

TEST(Deadlines, share_wake_ups_on_a_grid) {
  Deadlines deadlines(2);
  deadlines.set(0, Instant(Milliseconds(1001)));
  deadlines.set(1, Instant(Milliseconds(1009)));
  EXPECT_EQ(deadlines.next(), Instant(Milliseconds(1010)));
  std::uint32_t index = 9;
  EXPECT_FALSE(deadlines.pop_due(Instant(Milliseconds(1009)), index));
  EXPECT_TRUE(deadlines.pop_due(Instant(Milliseconds(1010)), index));
  EXPECT_TRUE(deadlines.pop_due(Instant(Milliseconds(1010)), index));
  EXPECT_EQ(deadlines.next(), Instant::max());
}

}  // namespace
}  // namespace turnpike::ice
