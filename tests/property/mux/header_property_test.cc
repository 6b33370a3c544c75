// Random headers of shared flows: what is written comes back, and whatever anybody changes, or
// signs with another key, or cuts to another length, has no right tag.
#include <algorithm>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "relay/mux/header.h"

namespace turnpike::mux {
namespace {

constexpr int kRounds = 20'000;

struct Sent {
  Header header;
  std::vector<std::uint8_t> datagram;
};

class FlowHeaders : public testing::Test {
 protected:
  std::uint32_t random(std::uint32_t below) {
    return static_cast<std::uint32_t>(random_() % below);
  }
  SipHashKey key() {
    SipHashKey key;
    std::generate(key.begin(), key.end(),
                  [this] { return static_cast<std::uint8_t>(random(256)); });
    return key;
  }
  Sent sent(const SipHashKey& key) {
    Sent sent;
    sent.header = {static_cast<std::uint8_t>(random(256)),
                   static_cast<std::uint16_t>(random(65536)),
                   random(2) == 0 ? Side::kA : Side::kB,
                   random(2) == 0 ? Component::kRtp : Component::kRtcp,
                   static_cast<std::uint8_t>(random(256)),
                   random(kSlotsMax),
                   random(1U << 24)};
    sent.datagram.assign(kHeaderBytes + random(200), 0);
    for (std::uint8_t& byte : sent.datagram) byte = static_cast<std::uint8_t>(random(256));
    write_header(key, sent.header, sent.datagram.size() - kHeaderBytes, sent.datagram.data());
    return sent;
  }

 private:
  std::mt19937 random_{20261123};
};

TEST_F(FlowHeaders, come_back_and_are_right_for_their_key_alone) {
  for (int i = 0; i < kRounds; ++i) {
    const SipHashKey own = key();
    const Sent one = sent(own);
    Header read;
    ASSERT_TRUE(has_header(one.datagram));
    ASSERT_EQ(read_header(one.datagram, read), HeaderFault::kNone);
    EXPECT_EQ(read.shard, one.header.shard);
    EXPECT_EQ(read.flow, one.header.flow);
    EXPECT_EQ(read.side, one.header.side);
    EXPECT_EQ(read.component, one.header.component);
    EXPECT_EQ(read.source, one.header.source);
    EXPECT_EQ(read.slot, one.header.slot);
    EXPECT_EQ(read.generation, one.header.generation);
    EXPECT_TRUE(tag_is_right(own, one.datagram));
    EXPECT_FALSE(tag_is_right(key(), one.datagram));
  }
}

TEST_F(FlowHeaders, that_were_changed_are_never_right) {
  const SipHashKey own = key();
  for (int i = 0; i < kRounds; ++i) {
    Sent one = sent(own);
    const std::size_t bit = random(8 * kHeaderBytes);
    one.datagram[bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
    Header read;
    const bool taken = has_header(one.datagram) &&
                       read_header(one.datagram, read) == HeaderFault::kNone &&
                       tag_is_right(own, one.datagram);
    EXPECT_FALSE(taken) << "bit " << bit;
    one.datagram[bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
    ASSERT_TRUE(tag_is_right(own, one.datagram));
    const std::size_t size = one.datagram.size();
    one.datagram.resize(kHeaderBytes + random(400));
    EXPECT_EQ(tag_is_right(own, one.datagram), one.datagram.size() == size) << "of " << size;
  }
}

TEST_F(FlowHeaders, of_random_bytes_are_refused_or_wrong) {
  const SipHashKey own = key();
  for (int i = 0; i < kRounds; ++i) {
    std::vector<std::uint8_t> bytes(random(64));
    for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random(256));
    Header read;
    if (read_header(bytes, read) != HeaderFault::kNone) continue;
    EXPECT_FALSE(tag_is_right(own, bytes));
  }
}

}  // namespace
}  // namespace turnpike::mux
