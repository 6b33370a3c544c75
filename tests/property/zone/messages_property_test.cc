// Random messages between the nodes of a pair: what is written comes back, in one form only; what
// is damaged is refused or is another message that has one form, too; and no cut is taken for a
// whole.
#include <algorithm>
#include <random>
#include <string>

#include <gtest/gtest.h>

#include "control/pair/message.h"
#include "control/zone/message.h"

namespace turnpike {
namespace {

constexpr int kRounds = 5'000;

class PairMessages : public testing::Test {
 protected:
  std::uint32_t random(std::uint32_t below) {
    return static_cast<std::uint32_t>(random_() % below);
  }
  std::string name() {
    std::string text(random(zone::kNameBytesMax + 1), ' ');
    for (char& c : text) c = static_cast<char>('!' + random(94));
    return text;
  }
  zone::Hello hello() {
    zone::Hello hello;
    hello.purpose = static_cast<zone::Purpose>(1 + random(3));
    hello.role = random(2) == 0 ? zone::Role::kEdge : zone::Role::kCore;
    hello.epoch = (std::uint64_t{random_()} << 32U) | std::uint64_t{random_()};
    fill(hello.nonce);
    hello.zone = name();
    hello.node = name();
    hello.user = name();
    return hello;
  }
  std::vector<pair::OfferedFlow> flows() {
    std::vector<pair::OfferedFlow> flows(random(6));
    std::uint8_t shard = 0;
    for (pair::OfferedFlow& flow : flows) {
      flow.shard = shard = static_cast<std::uint8_t>(shard + 1 + random(40));
      fill(flow.keys.to_edge);
      fill(flow.keys.to_core);
      fill(flow.keys.binding);
    }
    return flows;
  }
  template <typename Bytes>
  void fill(Bytes& bytes) {
    for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random(256));
  }
  void damage(std::string& bytes) {
    for (std::uint32_t n = 1 + random(3); n > 0 && !bytes.empty(); --n) {
      char& byte = bytes[random(static_cast<std::uint32_t>(bytes.size()))];
      byte = static_cast<char>(byte ^ static_cast<char>(1U << random(8)));
    }
  }

  std::mt19937 random_{20261123};
};

TEST_F(PairMessages, hellos_come_back_and_have_one_form) {
  for (int i = 0; i < kRounds; ++i) {
    const zone::Hello one = hello();
    std::string bytes = write(one);
    bool bad = false;
    const auto frame = zone::first_message(bytes, bad);
    ASSERT_TRUE(frame && !bad);
    EXPECT_EQ(frame->size, bytes.size());
    EXPECT_EQ(zone::read_hello(frame->body), one);
    const std::string cut = bytes.substr(0, random(static_cast<std::uint32_t>(bytes.size())));
    EXPECT_FALSE(zone::first_message(cut, bad)) << "of " << cut.size();
    damage(bytes);
    const auto other = zone::first_message(bytes, bad);
    if (!other || other->type != zone::MessageType::kHello) continue;
    const auto read = zone::read_hello(other->body);
    if (read && read->version == zone::kProtocolVersion) {
      EXPECT_EQ(write(*read), bytes.substr(0, other->size));
    }
  }
}

TEST_F(PairMessages, offers_of_flows_come_back_and_have_one_form) {
  for (int i = 0; i < kRounds; ++i) {
    const auto offered = flows();
    std::string bytes = pair::write(offered);
    const auto read = pair::read_offer(bytes);
    ASSERT_TRUE(read);
    EXPECT_EQ(pair::write(*read), bytes);
    EXPECT_FALSE(pair::read_numbers(bytes)) << "the other message";
    EXPECT_FALSE(pair::read_offer(bytes + "x"));
    EXPECT_FALSE(
        pair::read_offer(bytes.substr(0, random(static_cast<std::uint32_t>(bytes.size())))));
    damage(bytes);
    if (const auto other = pair::read_offer(bytes)) {
      EXPECT_EQ(pair::write(*other), bytes);
    }
  }
}

}  // namespace
}  // namespace turnpike
