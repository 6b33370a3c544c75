// The header of shared flows and its tag.
#include "relay/mux/header.h"

#include <vector>

#include <gtest/gtest.h>

#include "relay/crypto/siphash.h"

namespace turnpike::mux {
namespace {

SipHashKey counting_key() {
  SipHashKey key{};
  for (std::size_t i = 0; i < key.size(); ++i) key[i] = static_cast<std::uint8_t>(i);
  return key;
}

// The example of the definition's appendix, and two of its authors' table: messages 00 01 02 ...
TEST(SipHash, agrees_with_the_published_values) {
  std::vector<std::uint8_t> message;
  EXPECT_EQ(siphash_2_4(counting_key(), message), 0x726fdb47dd0e0e31U);
  for (std::uint8_t i = 0; i < 8; ++i) message.push_back(i);
  EXPECT_EQ(siphash_2_4(counting_key(), message), 0x93f5f5799a932462U);
  for (std::uint8_t i = 8; i < 15; ++i) message.push_back(i);
  EXPECT_EQ(siphash_2_4(counting_key(), message), 0xa129ca6149be45e5U);
}

class FlowHeader : public ::testing::Test {
 protected:
  FlowHeader() : datagram(kHeaderBytes + 30, 0xaa) {
    write_header(key, header, 30, datagram.data());
  }

  const SipHashKey key = counting_key();
  const Header header{5, 0x1234, Side::kB, Component::kRtcp, 200, 0xabcdef, 0x12345678};
  std::vector<std::uint8_t> datagram;
};

TEST_F(FlowHeader, comes_back_as_it_was_written) {
  Header read;
  ASSERT_TRUE(has_header(datagram));
  ASSERT_EQ(read_header(datagram, read), HeaderFault::kNone);
  EXPECT_EQ(read.shard, header.shard);
  EXPECT_EQ(read.flow, header.flow);
  EXPECT_EQ(read.side, header.side);
  EXPECT_EQ(read.component, header.component);
  EXPECT_EQ(read.source, header.source);
  EXPECT_EQ(read.slot, header.slot);
  EXPECT_EQ(read.generation, short_generation(header.generation));
  EXPECT_TRUE(tag_is_right(key, datagram));
  EXPECT_EQ(datagram[kShardOffset], header.shard);
}

TEST_F(FlowHeader, every_changed_bit_and_every_other_length_breaks_the_tag) {
  for (std::size_t bit = 0; bit < kHeaderBytes * 8; ++bit) {
    auto forged = datagram;
    forged[bit / 8] = static_cast<std::uint8_t>(forged[bit / 8] ^ (1U << bit % 8));
    EXPECT_FALSE(tag_is_right(key, forged)) << bit;
  }
  for (std::size_t size = 0; size < datagram.size(); ++size) {
    EXPECT_FALSE(tag_is_right(key, std::span(datagram).first(size))) << size;
  }
  auto longer = datagram;
  longer.push_back(0);
  EXPECT_FALSE(tag_is_right(key, longer));
  SipHashKey other = key;
  other[15] ^= 1;
  EXPECT_FALSE(tag_is_right(other, datagram));
}

TEST_F(FlowHeader, another_version_kind_or_length_is_refused) {
  Header read;
  EXPECT_EQ(read_header(std::span(datagram).first(kHeaderBytes - 1), read), HeaderFault::kTooShort);
  auto changed = datagram;
  changed[0] = 0xc2;
  EXPECT_EQ(read_header(changed, read), HeaderFault::kVersion);
  changed = datagram;
  changed[4] = 4;
  EXPECT_EQ(read_header(changed, read), HeaderFault::kKind);
}

TEST_F(FlowHeader, stun_has_none) {
  for (int first = 0; first < 256; ++first) {
    const std::vector<std::uint8_t> one{static_cast<std::uint8_t>(first)};
    EXPECT_EQ(has_header(one), first >= 0xc0) << first;
  }
  EXPECT_FALSE(has_header({}));
}

}  // namespace
}  // namespace turnpike::mux
