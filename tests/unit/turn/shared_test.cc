// What shards have in common, also when they ask at the same time.
#include "relay/turn/shared.h"

#include <random>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace turnpike::turn {
namespace {

TEST(OwnerCounts, hardly_anybody_is_refused_for_others) {
  OwnerCounts counts;
  std::mt19937_64 random(1);
  for (int i = 0; i < 20'000; ++i) counts.add(random(), 0);
  int refused = 0;
  for (int i = 0; i < 20'000; ++i) {
    const std::uint64_t owner = random();
    if (!counts.add(owner, 1)) {
      ++refused;
    } else {
      counts.remove(owner);
    }
  }
  EXPECT_LE(refused, 40);
}

TEST(OwnerCounts, never_more_than_the_maximum_and_all_comes_back) {
  OwnerCounts counts;
  constexpr std::uint64_t kOwner = 0x123456789abcdef0;
  std::atomic<int> granted{0};
  std::vector<std::thread> shards;
  for (int shard = 0; shard < 4; ++shard) {
    shards.emplace_back([&] {
      for (int i = 0; i < 1000; ++i) granted += counts.add(kOwner, 100);
    });
  }
  for (std::thread& shard : shards) shard.join();
  EXPECT_LE(granted, 100);
  EXPECT_EQ(counts.count(kOwner), static_cast<std::uint32_t>(granted));
  while (granted-- > 0) counts.remove(kOwner);
  EXPECT_EQ(counts.count(kOwner), 0U);
}

TEST(Reservations, each_is_taken_once_and_by_its_owner) {
  Reservations reservations;
  for (std::uint32_t i = 1; i <= Reservations::kMax; ++i) {
    ASSERT_TRUE(reservations.add({1000 + i, i, 7}));
  }
  EXPECT_FALSE(reservations.add({5, 5, 7}));
  EXPECT_FALSE(reservations.take(1001, 8));
  EXPECT_TRUE(reservations.has(1001));
  std::atomic<int> taken{0};
  std::vector<std::thread> shards;
  for (int shard = 0; shard < 4; ++shard) {
    const bool thief = shard == 3;
    shards.emplace_back([&reservations, &taken, thief] {
      for (std::uint32_t i = 1; i <= Reservations::kMax; ++i) {
        const auto entry = reservations.take(1000 + i, thief ? 8 : 7);
        if (!entry) continue;
        EXPECT_EQ(entry->reservation, i);
        EXPECT_FALSE(thief);
        ++taken;
      }
    });
  }
  for (std::thread& shard : shards) shard.join();
  EXPECT_EQ(taken, static_cast<int>(Reservations::kMax));
  EXPECT_FALSE(reservations.take(0, 0));
}

}  // namespace
}  // namespace turnpike::turn
