#include "relay/core/overload_policy.h"

#include <gtest/gtest.h>

namespace turnpike::test {
namespace {

class OverloadPolicyTest : public ::testing::Test {
 protected:
  // Turns of 10 ms for so long.
  void turns(Milliseconds duration, bool at_rest, std::size_t shed = 0) {
    for (const Instant end = now_ + duration; now_ < end;) {
      now_ += Milliseconds(10);
      policy_.after_turn(at_rest, shed, now_);
    }
  }

  Instant now_{Seconds(1000)};
  OverloadPolicy policy_;
};

TEST_F(OverloadPolicyTest, nothing_is_shed_while_there_is_rest) {
  turns(Seconds(5), true);
  EXPECT_FALSE(policy_.shedding(now_));
  for (int i = 0; i < 10; ++i) {
    turns(Milliseconds(250), false);
    turns(Milliseconds(10), true);
    EXPECT_FALSE(policy_.shedding(now_));
  }
}

TEST_F(OverloadPolicyTest, sheds_after_a_while_without_rest) {
  turns(Seconds(1), true);
  turns(Milliseconds(290), false);
  EXPECT_FALSE(policy_.shedding(now_));
  turns(Milliseconds(30), false);
  EXPECT_TRUE(policy_.shedding(now_));
}

TEST_F(OverloadPolicyTest, goes_on_while_there_is_something_to_shed_and_ends_in_calm) {
  turns(Seconds(1), false);
  ASSERT_TRUE(policy_.shedding(now_));
  turns(Seconds(3), false, 5);
  EXPECT_TRUE(policy_.shedding(now_));
  turns(Milliseconds(80), true);
  EXPECT_TRUE(policy_.shedding(now_));
  turns(Milliseconds(40), true);
  EXPECT_FALSE(policy_.shedding(now_));
}

// Frames of video come as bursts: were they trouble, one call would keep shedding up for good.
TEST_F(OverloadPolicyTest, bursts_at_rest_do_not_keep_it_up) {
  turns(Seconds(1), false);
  ASSERT_TRUE(policy_.shedding(now_));
  turns(Milliseconds(150), true, 5);
  EXPECT_FALSE(policy_.shedding(now_));
  policy_.stalled(now_);
  turns(Milliseconds(150), true, 5);
  EXPECT_FALSE(policy_.shedding(now_));
}

TEST_F(OverloadPolicyTest, sheds_at_once_after_a_stall_and_ends_in_calm) {
  turns(Seconds(1), true);
  now_ += Seconds(10);
  policy_.stalled(now_);
  EXPECT_TRUE(policy_.shedding(now_));
  turns(Milliseconds(50), false, 100);
  EXPECT_TRUE(policy_.shedding(now_));
  turns(Milliseconds(150), true);
  EXPECT_FALSE(policy_.shedding(now_));
}

TEST_F(OverloadPolicyTest, the_time_of_a_silence_does_not_count) {
  policy_.after_turn(true, 0, now_);
  now_ += Seconds(60);  // asleep: no turn
  policy_.after_turn(false, 0, now_);
  EXPECT_FALSE(policy_.shedding(now_));
}

}  // namespace
}  // namespace turnpike::test
