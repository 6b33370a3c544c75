// The queue of records between two threads: what comes out, and that nothing stays.
#include "relay/core/byte_ring.h"

#include <array>
#include <memory>
#include <numeric>
#include <vector>

#include <gtest/gtest.h>

namespace turnpike {
namespace {

// On the heap: AddressSanitizer's stack for what is used after a return keeps no alignment of 64.
std::unique_ptr<ByteRing> ring_of(std::size_t bytes) {
  return std::make_unique<ByteRing>(bytes);
}

TEST(ByteRing, records_come_out_as_they_went_in_across_the_seam) {
  const auto ring = ring_of(64);
  std::vector<std::uint8_t> body(20);
  for (std::uint8_t i = 0; i < 40; ++i) {
    const std::array<std::uint8_t, 3> head{i, 1, 2};
    std::iota(body.begin(), body.end(), i);
    ASSERT_TRUE(ring->push(head, body));
    std::array<std::uint8_t, 3> head_out{};
    std::vector<std::uint8_t> body_out(body.size());
    ring->take(head_out);
    ring->take(body_out);
    ASSERT_EQ(head_out, head);
    ASSERT_EQ(body_out, body);
    ASSERT_TRUE(ring->is_blank()) << "after record " << int{i};
  }
}

TEST(ByteRing, a_record_without_room_is_left_out_whole) {
  const auto ring = ring_of(32);
  const std::array<std::uint8_t, 30> body{};
  EXPECT_TRUE(ring->push({}, body));
  EXPECT_FALSE(ring->push(std::span(body).first(1), std::span(body).first(2)));
  EXPECT_EQ(ring->size(), 30u);
}

}  // namespace
}  // namespace turnpike
