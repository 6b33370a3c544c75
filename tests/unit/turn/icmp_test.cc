// ICMP errors of relayed data, as clients are told them (RFC 8656 sections 11.5, 18.13).
#include <array>

#include <gtest/gtest.h>

#include "tests/support/turn_fixture.h"

namespace turnpike::test {
namespace {

using turn::Drop;

const SocketAddress kPeer = turn_address("9.9.9.9:5000");
const SocketAddress kPeer6 = turn_address("[2620:fe::fe]:5000");

class TurnIcmp : public testing::Test {
 protected:
  TurnIcmp() : client(world) {
    const auto both = [](stun::Writer& writer) {
      writer.add(stun::kAdditionalAddressFamily, TurnBytes{2, 0, 0, 0});
    };
    const TurnReply made = client.allocate(both);
    EXPECT_EQ(made.code(), 200);
    for (const auto& [tag, address] : world.ports.bound) {
      (address.ip.is_v4() ? relayed : relayed6) = address;
    }
    EXPECT_EQ(client.permit({kPeer, kPeer6}).code(), 200);
    EXPECT_EQ(client.send_indication(kPeer, {1, 2, 3}).size(), 1U);
  }
  TurnWorld world;
  TurnClient client;
  SocketAddress relayed;
  SocketAddress relayed6;
};

TEST_F(TurnIcmp, a_client_is_told_what_came_back) {
  const auto sent = world.from_icmp(relayed, kPeer, 3, 4, 1280);
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].to, client.address);
  const auto message = stun::Message::parse(sent[0].bytes);
  ASSERT_TRUE(message);
  EXPECT_EQ(message->message_class(), stun::Class::kIndication);
  EXPECT_EQ(message->method(), stun::kData);
  EXPECT_EQ(message->xor_address(stun::kXorPeerAddress), kPeer);
  EXPECT_FALSE(message->find(stun::kDataValue));
  const auto value = message->find(stun::kIcmp);
  ASSERT_TRUE(value);
  // Reserved, type 3 in 7 bits, code 4 in 9 bits, the MTU.
  EXPECT_EQ(TurnBytes(value->begin(), value->end()), (TurnBytes{0, 0, 0x06, 0x04, 0, 0, 5, 0}));
  EXPECT_EQ(world.counters.icmp_errors.value(), 1U);
  EXPECT_EQ(world.from_icmp(relayed6, kPeer6, 1, 4).size(), 1U);
  // Permissions are of addresses: any port that rules allow.
  EXPECT_EQ(world.from_icmp(relayed, turn_address("9.9.9.9:6000"), 11, 0).size(), 1U);
}

TEST_F(TurnIcmp, kinds_that_are_no_errors_are_not_told) {
  for (const auto type : std::to_array<std::uint8_t>({0, 4, 5, 8, 12, 1, 2})) {
    EXPECT_TRUE(world.from_icmp(relayed, kPeer, type, 0).empty()) << int{type};
  }
  for (const auto type : std::to_array<std::uint8_t>({0, 4, 128, 129, 130, 133})) {
    EXPECT_TRUE(world.from_icmp(relayed6, kPeer6, type, 0).empty()) << int{type};
  }
  EXPECT_EQ(world.counters.icmp_errors.value(), 0U);
}

TEST_F(TurnIcmp, M12_which_of_our_ports_are_in_use_is_not_told) {
  const SocketAddress ours{world.ports.relay_v4.ip, 24002};
  ASSERT_EQ(client.permit({ours}).code(), 200);
  EXPECT_EQ(client.send_indication(ours, {1}).size(), 1U);
  EXPECT_TRUE(world.from_icmp(relayed, ours, 3, 3).empty());
  EXPECT_EQ(world.dropped(Drop::kPeerForbidden), 1U);
}

TEST_F(TurnIcmp, T1_nothing_is_told_of_who_is_no_peer) {
  EXPECT_TRUE(world.from_icmp(relayed, turn_address("8.8.8.8:5000"), 3, 3).empty());
  EXPECT_EQ(world.dropped(Drop::kNoPermission), 1U);
  EXPECT_TRUE(world.from_icmp(relayed, turn_address("9.9.9.9:53"), 3, 3).empty());
  EXPECT_EQ(world.dropped(Drop::kPeerForbidden), 1U);
  TurnClient quiet(world, "192.0.2.10:40001");
  ASSERT_EQ(quiet.allocate().code(), 200);
  ASSERT_EQ(quiet.permit({kPeer}).code(), 200);
  EXPECT_TRUE(world.from_icmp(quiet.relayed, kPeer, 3, 3).empty()) << "it has sent nothing";
  world.run(Seconds(301));
  EXPECT_TRUE(world.from_icmp(relayed, kPeer, 3, 3).empty()) << "the permission is over";
  world.run(Seconds(300));
  EXPECT_TRUE(world.from_icmp(relayed, kPeer, 3, 3).empty());
  EXPECT_EQ(world.dropped(Drop::kNoAllocation), 1U);
}

TEST_F(TurnIcmp, T15_a_flood_becomes_some_a_second) {
  std::size_t told = 0;
  for (int i = 0; i < 1000; ++i) told += world.from_icmp(relayed, kPeer, 3, 3).size();
  EXPECT_EQ(told, 20U);
  EXPECT_EQ(world.dropped(Drop::kRate), 980U);
  world.run(Seconds(1));
  told = 0;
  for (int i = 0; i < 100; ++i) told += world.from_icmp(relayed, kPeer, 3, 3).size();
  EXPECT_EQ(told, 10U);
}

}  // namespace
}  // namespace turnpike::test
