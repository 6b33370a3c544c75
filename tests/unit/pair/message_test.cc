// The messages by which two nodes agree on their shared flows.
#include "control/pair/message.h"

#include <gtest/gtest.h>

namespace turnpike::pair {
namespace {

OfferedFlow offered(std::uint8_t shard, std::uint8_t fill) {
  OfferedFlow flow;
  flow.shard = shard;
  flow.keys.to_edge.fill(fill);
  flow.keys.to_core.fill(static_cast<std::uint8_t>(fill + 1));
  flow.keys.binding.fill(static_cast<std::uint8_t>(fill + 2));
  return flow;
}

TEST(PairMessage, an_offer_comes_back_as_it_was) {
  const std::string message = write({offered(0, 1), offered(255, 7)});
  const auto read = read_offer(message);
  ASSERT_TRUE(read);
  ASSERT_EQ(read->size(), 2U);
  EXPECT_EQ(read->at(1).shard, 255);
  EXPECT_EQ(read->at(1).keys.to_edge[15], 7);
  EXPECT_EQ(read->at(1).keys.to_core[0], 8);
  EXPECT_EQ(read->at(1).keys.binding[31], 9);
  EXPECT_FALSE(read_numbers(message));
}

TEST(PairMessage, numbers_come_back_as_they_were) {
  const std::string message = write({NumberedFlow{3, 1024, 36011}, NumberedFlow{4, 0, 36000}});
  const auto read = read_numbers(message);
  ASSERT_TRUE(read);
  ASSERT_EQ(read->size(), 2U);
  EXPECT_EQ(read->at(0).shard, 3);
  EXPECT_EQ(read->at(0).number, 1024);
  EXPECT_EQ(read->at(0).port, 36011);
  EXPECT_EQ(read->at(1).number, 0);
  EXPECT_FALSE(read_offer(message));
}

TEST(PairMessage, anything_damaged_is_refused) {
  const std::string offer = write({offered(0, 1), offered(1, 2)});
  const std::string numbers = write({NumberedFlow{0, 1, 2}, NumberedFlow{1, 2, 3}});
  for (const std::string& whole : {offer, numbers}) {
    for (std::size_t size = 0; size < whole.size(); ++size) {
      EXPECT_FALSE(read_offer(whole.substr(0, size))) << size;
      EXPECT_FALSE(read_numbers(whole.substr(0, size))) << size;
    }
    EXPECT_FALSE(read_offer(whole + "x"));
    EXPECT_FALSE(read_numbers(whole + "x"));
  }
  EXPECT_FALSE(read_offer(write({offered(5, 1), offered(5, 2)}))) << "a shard twice";
  EXPECT_FALSE(read_numbers(write({NumberedFlow{5, 1, 1}, NumberedFlow{5, 2, 1}})));
  EXPECT_FALSE(read_offer(std::string("\1\xff\xff", 3))) << "a count of nothing";
}

}  // namespace
}  // namespace turnpike::pair
