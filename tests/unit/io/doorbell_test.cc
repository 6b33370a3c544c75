// Rings of one thread and the sleep of another.
#include "relay/io/doorbell.h"

#include <atomic>
#include <thread>

#include <gtest/gtest.h>
#include <poll.h>

namespace turnpike::test {
namespace {

TEST(Doorbell, no_ring_is_lost_to_who_waits_for_its_descriptor) {
  constexpr std::uint32_t kRings = 200'000;
  Doorbell bell;
  std::atomic<std::uint32_t> brought{0};
  std::thread ringer([&] {
    for (std::uint32_t i = 0; i < kRings; ++i) {
      brought.fetch_add(1);
      bell.ring();
    }
  });
  std::uint32_t seen = 0;
  pollfd waiting{bell.fd(), POLLIN, 0};
  while (seen < kRings && poll(&waiting, 1, 5000) == 1) {
    bell.answer();
    seen = brought.load();
  }
  EXPECT_EQ(seen, kRings) << "whoever rings later wakes nobody any more";
  ringer.join();
}

TEST(Doorbell, is_readable_until_it_is_answered) {
  Doorbell bell;
  pollfd waiting{bell.fd(), POLLIN, 0};
  EXPECT_EQ(poll(&waiting, 1, 0), 0);
  for (int i = 0; i < 3; ++i) {
    bell.ring();
    bell.ring();
    EXPECT_EQ(poll(&waiting, 1, 0), 1);
    bell.answer();
    EXPECT_EQ(poll(&waiting, 1, 0), 0);
  }
}

}  // namespace
}  // namespace turnpike::test
