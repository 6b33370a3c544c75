#include "relay/core/load_watch.h"

#include <gtest/gtest.h>

namespace turnpike::test {
namespace {

TEST(LoadWatch, tells_the_share_of_the_last_second) {
  LoadWatch watch;
  Instant now{Seconds(1000)};
  Nanoseconds used{0};
  const auto second_at = [&](unsigned percent) {
    for (int i = 0; i < 10; ++i) {
      now += Milliseconds(100);
      used += Milliseconds(percent);
      watch.note(used, now);
    }
    return watch.percent();
  };
  EXPECT_EQ(second_at(50), 0U) << "nothing to compare with yet";
  second_at(50);
  EXPECT_EQ(second_at(50), 50U);
  second_at(97);
  EXPECT_EQ(second_at(97), 97U);
  second_at(3);
  EXPECT_EQ(second_at(3), 3U);
}

TEST(LoadWatch, a_window_with_a_gap_is_not_judged) {
  LoadWatch watch;
  Instant now{Seconds(1000)};
  watch.note(Seconds(1), now);
  now += Seconds(1);
  watch.note(Seconds(2), now);
  ASSERT_EQ(watch.percent(), 100U);
  now += Seconds(20);  // stopped
  watch.note(Seconds(2), now);
  EXPECT_EQ(watch.percent(), 100U) << "as it was";
  now += Seconds(1);
  watch.note(Seconds(2), now);
  EXPECT_EQ(watch.percent(), 0U);
}

}  // namespace
}  // namespace turnpike::test
