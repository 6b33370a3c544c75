#include "relay/core/mailbox.h"

#include <memory>
#include <thread>

#include <gtest/gtest.h>

namespace turnpike {
namespace {

TEST(Mailbox, is_bounded_and_keeps_order) {
  Mailbox<int> box(4);
  EXPECT_EQ(box.front(), nullptr);
  for (int i = 1; i <= 4; ++i) EXPECT_TRUE(box.push(i));
  EXPECT_TRUE(box.full());
  EXPECT_FALSE(box.push(5));
  for (int i = 1; i <= 4; ++i) {
    ASSERT_NE(box.front(), nullptr);
    EXPECT_EQ(*box.front(), i);
    box.pop();
  }
  EXPECT_EQ(box.front(), nullptr);
}

TEST(Mailbox, carries_everything_between_two_threads) {
  // On the heap: address sanitizer's stand-in for the stack does not align to a cache line.
  const auto owner = std::make_unique<Mailbox<std::uint64_t>>(64);
  Mailbox<std::uint64_t>& box = *owner;
  constexpr std::uint64_t kItems = 200'000;
  std::thread writer([&] {
    for (std::uint64_t i = 1; i <= kItems; ++i) {
      while (!box.push(i)) std::this_thread::yield();
    }
  });
  std::uint64_t expected = 1;
  while (expected <= kItems) {
    const std::uint64_t* item = box.front();
    if (item == nullptr) {
      std::this_thread::yield();
      continue;
    }
    ASSERT_EQ(*item, expected);
    ++expected;
    box.pop();
  }
  writer.join();
}

TEST(Mailbox, pop_blanks_the_slot) {
  Mailbox<int> box(1);
  EXPECT_TRUE(box.push(42));
  const int* slot = box.front();
  box.pop();
  EXPECT_EQ(*slot, 0);
}

}  // namespace
}  // namespace turnpike
