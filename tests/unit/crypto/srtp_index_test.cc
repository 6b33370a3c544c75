// Index estimation and replay windows, at their borders and against naive models.
#include "relay/crypto/srtp_index.h"

#include <cstdlib>
#include <set>

#include <gtest/gtest.h>

#include "tests/unit/crypto/srtp_testing.h"

namespace turnpike {
namespace {

TEST(SrtpIndex, estimates_at_the_borders) {
  constexpr std::int64_t kPeriod = 0x10000;
  EXPECT_EQ(estimate_index(0, 1), 1);
  EXPECT_EQ(estimate_index(100, 99), 99);
  EXPECT_EQ(estimate_index(0xffff, 0), kPeriod);
  EXPECT_EQ(estimate_index(0xffff, 0x7ffe), kPeriod + 0x7ffe);
  EXPECT_EQ(estimate_index(0xffff, 0x7fff), 0x7fff);
  EXPECT_EQ(estimate_index(0x8000, 0), 0);
  EXPECT_EQ(estimate_index(0x8001, 0), kPeriod);
  EXPECT_EQ(estimate_index(kPeriod, 0xffff), 0xffff);
  EXPECT_EQ(estimate_index(kPeriod + 0x7fff, 0xffff), kPeriod + 0xffff);
  EXPECT_EQ(estimate_index(kPeriod + 0x7ffe, 0xffff), 0xffff);
  EXPECT_EQ(estimate_index(3, 0xffff), -1);
  EXPECT_EQ(estimate_index(kSrtpIndexCount - 1, 0), std::int64_t{kSrtpIndexCount});
}

TEST(SrtpIndex, estimate_is_the_nearest_index) {
  srtp_testing::Random random(1);
  for (int round = 0; round < 200'000; ++round) {
    const std::uint64_t highest = random() % kSrtpIndexCount;
    const auto sequence = static_cast<std::uint16_t>(random());
    const std::int64_t estimate = estimate_index(highest, sequence);
    ASSERT_EQ(static_cast<std::uint16_t>(estimate), sequence);
    ASSERT_LE(std::abs(estimate - static_cast<std::int64_t>(highest)), 0x8000);
  }
}

TEST(ReplayWindow, holds_128_indices) {
  ReplayWindow window{};
  std::uint64_t highest = 0;
  mark_used(window, highest, 1000);
  EXPECT_EQ(highest, 1000U);
  EXPECT_EQ(place_of(window, highest, 1000), WindowPlace::kUsed);
  EXPECT_EQ(place_of(window, highest, 1001), WindowPlace::kFresh);
  EXPECT_EQ(place_of(window, highest, 873), WindowPlace::kFresh);
  EXPECT_EQ(place_of(window, highest, 872), WindowPlace::kBehind);
  mark_used(window, highest, 873);
  EXPECT_EQ(highest, 1000U);
  EXPECT_EQ(place_of(window, highest, 873), WindowPlace::kUsed);
  mark_used(window, highest, 1001);
  EXPECT_EQ(place_of(window, highest, 873), WindowPlace::kBehind);
  EXPECT_EQ(place_of(window, highest, 1000), WindowPlace::kUsed);
}

TEST(ReplayWindow, agrees_with_a_set) {
  srtp_testing::Random random(2);
  for (int round = 0; round < 200; ++round) {
    ReplayWindow window{};
    std::uint64_t highest = random() % 1000;
    std::set<std::uint64_t> used{highest};
    mark_used(window, highest, highest);
    for (int step = 0; step < 500; ++step) {
      const std::uint64_t reach = std::uint64_t{1} << (random() % 10);
      std::uint64_t index = highest + random() % reach;
      index -= std::min(index, random() % 200);
      const WindowPlace place = place_of(window, highest, index);
      if (index + kReplayWindowPackets <= highest) {
        ASSERT_EQ(place, WindowPlace::kBehind);
        continue;
      }
      ASSERT_EQ(place, used.contains(index) ? WindowPlace::kUsed : WindowPlace::kFresh);
      mark_used(window, highest, index);
      used.insert(index);
      ASSERT_EQ(highest, *used.rbegin());
    }
  }
}

}  // namespace
}  // namespace turnpike
