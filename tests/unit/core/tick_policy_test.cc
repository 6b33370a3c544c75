#include "relay/core/tick_policy.h"

#include <gtest/gtest.h>

namespace turnpike {
namespace {

constexpr Nanoseconds kTick = std::chrono::microseconds{500};
constexpr Nanoseconds kNone{0};

/// What the policy says after `count` drains of `packets` each, `gap` apart.
Nanoseconds after(TickPolicy& policy, Instant& now, int count, std::size_t packets,
                  Nanoseconds gap) {
  Nanoseconds pause{0};
  for (int i = 0; i < count; ++i) {
    now += gap;
    pause = policy.after_drain(packets, now);
  }
  return pause;
}

TEST(TickPolicy, few_packets_are_handled_as_they_come) {
  TickPolicy policy(kTick);
  Instant now{Seconds{1000}};
  EXPECT_EQ(after(policy, now, 100, 1, Milliseconds{1}), kNone);
}

TEST(TickPolicy, many_packets_are_collected) {
  TickPolicy policy(kTick);
  Instant now{Seconds{1000}};
  EXPECT_EQ(after(policy, now, 100, 1, std::chrono::microseconds{100}), kTick);
  EXPECT_EQ(after(policy, now, 100, 5, kTick), kTick) << "a tick's packets keep it going";
}

TEST(TickPolicy, an_empty_tick_waits_for_the_next_packet) {
  TickPolicy policy(kTick);
  Instant now{Seconds{1000}};
  ASSERT_EQ(after(policy, now, 100, 5, kTick), kTick);
  EXPECT_EQ(policy.after_drain(0, now + kTick), kNone);
}

TEST(TickPolicy, traffic_that_ceases_is_no_reason_to_wait_for_long) {
  TickPolicy policy(kTick);
  Instant now{Seconds{1000}};
  ASSERT_EQ(after(policy, now, 100, 5, kTick), kTick);
  EXPECT_EQ(after(policy, now, 1, 1, Seconds{3600}), kNone);
}

TEST(TickPolicy, traffic_that_comes_back_is_noticed_soon) {
  TickPolicy policy(kTick);
  Instant now{Seconds{1000}};
  ASSERT_EQ(after(policy, now, 1, 1, Seconds{3600}), kNone);
  EXPECT_EQ(after(policy, now, 60, 1, std::chrono::microseconds{50}), kTick);
}

TEST(TickPolicy, no_tick_means_never) {
  TickPolicy policy(kNone);
  Instant now{Seconds{1000}};
  EXPECT_EQ(after(policy, now, 1000, 64, std::chrono::microseconds{1}), kNone);
}

}  // namespace
}  // namespace turnpike
