// What shards have in common, also when they ask at the same time.
#include "relay/turn/shared.h"

#include <random>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/turn_fixture.h"

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

TEST(OwnerRates, shards_share_what_an_owner_has) {
  OwnerRates rates;
  constexpr Nanoseconds kPrice{Seconds(1)};
  const Instant now{Seconds(1000)};
  for (const std::uint64_t owner : {7ULL, 7ULL + (1ULL << 40), 8ULL}) {
    std::atomic<int> taken{0};
    std::vector<std::thread> shards;
    for (int shard = 0; shard < 4; ++shard) {
      shards.emplace_back([&] {
        for (int i = 0; i < 100; ++i) taken += rates.take(owner, now, kPrice, kPrice * 60);
      });
    }
    for (std::thread& shard : shards) shard.join();
    EXPECT_EQ(taken, 60) << owner;
    EXPECT_FALSE(rates.take(owner, now, kPrice, kPrice * 60));
    EXPECT_TRUE(rates.take(owner, now + Seconds(1), kPrice, kPrice * 60));
  }
}

TEST(OwnerRates, who_has_taken_most_is_remembered_longest) {
  OwnerRates rates;
  constexpr Nanoseconds kPrice{Seconds(1)};
  const Instant now{Seconds(1000)};
  ASSERT_TRUE(rates.take(7, now, kPrice * 60, kPrice * 60));
  for (std::uint64_t other = 1; other <= 1000; ++other) {
    rates.take(7 + (other << 20), now, kPrice, kPrice * 60);  // of the same set
  }
  EXPECT_FALSE(rates.take(7, now, kPrice, kPrice * 60));
}

// The rates of an engine are those of all: a user whose clients reach two shards has them once.
TEST(OwnerRates, engines_that_share_count_a_user_together) {
  test::TurnWorld one;
  test::TurnWorld two;
  two.setup.shared = one.setup.shared;
  for (test::TurnWorld* world : {&one, &two}) world->realm().quotas.allocations_per_user = 2;
  int granted = 0;
  for (int i = 0; i < 100; ++i) {
    test::TurnClient client(i % 2 == 0 ? one : two);
    if (client.allocate().code() != 200) continue;
    ++granted;
    client.refresh(0);
  }
  EXPECT_EQ(granted, 60);
  EXPECT_EQ(test::TurnClient(two, "192.0.2.12:40000", "bob").allocate().code(), 200);
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
