// Permissions, channels and data in both directions (RFC 8656 sections 9 to 12).
#include <gtest/gtest.h>

#include "tests/support/turn_fixture.h"

namespace turnpike::test {
namespace {

using turn::Drop;
using turn::Refusal;

const SocketAddress kPeer = turn_address("9.9.9.9:5000");
const SocketAddress kOtherPort = turn_address("9.9.9.9:5001");
const SocketAddress kStranger = turn_address("8.8.8.8:5000");
const TurnBytes kData = {1, 2, 3, 4, 5};

struct TurnData : ::testing::Test {
  TurnWorld world;
  TurnClient client{world};
  void SetUp() override { ASSERT_EQ(client.allocate().code(), 200); }
};

TEST_F(TurnData, send_indication_reaches_a_permitted_peer) {
  EXPECT_TRUE(client.send_indication(kPeer, kData).empty());
  EXPECT_EQ(world.dropped(Drop::kNoPermission), 1U);
  ASSERT_EQ(client.permit({kPeer}).code(), 200);
  for (const SocketAddress& to : {kPeer, kOtherPort}) {
    const auto sent = client.send_indication(to, kData);
    ASSERT_EQ(sent.size(), 1U);
    EXPECT_EQ(sent[0].bytes, kData);
    EXPECT_EQ(sent[0].to, to);
    EXPECT_EQ(world.ports.bound.at(sent[0].tag), client.relayed);
  }
  EXPECT_EQ(world.total(&turn::ClientCounters::packets_to_peers), 2U);
  EXPECT_EQ(world.total(&turn::ClientCounters::bytes_to_peers), 10U);
}

TEST_F(TurnData, data_of_a_permitted_peer_comes_as_an_indication) {
  EXPECT_TRUE(client.from_peer(kPeer, kData).empty());
  EXPECT_EQ(world.dropped(Drop::kNoPermission), 1U);
  ASSERT_EQ(client.permit({kPeer}).code(), 200);
  EXPECT_TRUE(client.from_peer(kStranger, kData).empty());
  for (std::size_t size = 0; size < 9; ++size) {
    const TurnBytes data(size, 7);
    const auto sent = client.from_peer(kPeer, data);
    ASSERT_EQ(sent.size(), 1U);
    EXPECT_EQ(sent[0].to, client.address);
    EXPECT_EQ(sent[0].tag.slot, client.tag.slot);
    const auto message = stun::Message::parse(sent[0].bytes);
    ASSERT_TRUE(message);
    EXPECT_EQ(message->message_class(), stun::Class::kIndication);
    EXPECT_EQ(message->method(), stun::kData);
    EXPECT_EQ(message->xor_address(stun::kXorPeerAddress), kPeer);
    const stun::Bytes value = *message->find(stun::kDataValue);
    EXPECT_EQ(TurnBytes(value.begin(), value.end()), data);
  }
  EXPECT_EQ(world.total(&turn::ClientCounters::packets_to_clients), 9U);
  EXPECT_EQ(world.total(&turn::ClientCounters::bytes_to_clients), 36U);
}

TEST_F(TurnData, channel_carries_both_directions) {
  ASSERT_EQ(client.bind(0x4000, kPeer).code(), 200);
  const auto out = client.send_channel(0x4000, kData);
  ASSERT_EQ(out.size(), 1U);
  EXPECT_EQ(out[0].bytes, kData);
  EXPECT_EQ(out[0].to, kPeer);
  const auto in = client.from_peer(kPeer, kData);
  ASSERT_EQ(in.size(), 1U);
  EXPECT_EQ(in[0].bytes, (TurnBytes{0x40, 0, 0, 5, 1, 2, 3, 4, 5}));
  // Another port of the same address is permitted, but not of the channel.
  const auto other = client.from_peer(kOtherPort, kData);
  ASSERT_EQ(other.size(), 1U);
  EXPECT_TRUE(stun::Message::parse(other[0].bytes));
  EXPECT_TRUE(client.send_channel(0x4001, kData).empty());
  EXPECT_EQ(world.dropped(Drop::kNoChannel), 1U);
}

TEST_F(TurnData, channel_data_may_be_padded_and_must_not_lie) {
  ASSERT_EQ(client.bind(0x4001, kPeer).code(), 200);
  const auto padded = client.send({0x40, 1, 0, 5, 1, 2, 3, 4, 5, 0, 0, 0});
  ASSERT_EQ(padded.size(), 1U);
  EXPECT_EQ(padded[0].bytes, kData);
  EXPECT_TRUE(client.send({0x40, 1, 0, 6, 1, 2, 3, 4, 5}).empty());
  EXPECT_TRUE(client.send({0x40, 1, 0}).empty());
  EXPECT_TRUE(client.send({0x40}).empty());
  EXPECT_TRUE(client.send({0x80, 1, 0, 0}).empty());
  EXPECT_TRUE(client.send({}).empty());
  EXPECT_EQ(world.dropped(Drop::kMalformed), 5U);
  EXPECT_EQ(client.send({0x40, 1, 0, 0}).size(), 1U) << "an empty datagram is one";
}

TEST_F(TurnData, stream_clients_get_padded_channel_data) {
  TurnClient stream(world, "192.0.2.20:40000");
  stream.transport = turn::ListenerTransport::kTcp;
  stream.tag = {0xfffffffe, 1};
  ASSERT_EQ(stream.allocate().code(), 200);
  ASSERT_EQ(stream.bind(0x4000, kPeer).code(), 200);
  const auto in = stream.from_peer(kPeer, kData);
  ASSERT_EQ(in.size(), 1U);
  EXPECT_EQ(in[0].bytes, (TurnBytes{0x40, 0, 0, 5, 1, 2, 3, 4, 5, 0, 0, 0}));
  EXPECT_EQ(world.engine().allocations(), 2U);
  world.engine().stream_closed({0xfffffffe, 2});
  EXPECT_EQ(world.engine().allocations(), 2U);
  world.engine().stream_closed(stream.tag);
  EXPECT_EQ(world.engine().allocations(), 1U);
}

TEST_F(TurnData, longest_datagrams_fit_with_their_headers) {
  ASSERT_EQ(client.permit({kPeer}).code(), 200);
  const TurnBytes longest(kPayloadBytesMax, 9);
  const auto sent = client.from_peer(kPeer, longest);
  ASSERT_EQ(sent.size(), 1U);
  ASSERT_TRUE(stun::Message::parse(sent[0].bytes));
  EXPECT_TRUE(client.from_peer(kPeer, TurnBytes(kPayloadBytesMax + 1)).empty());
  EXPECT_TRUE(client.send_channel(0x4000, TurnBytes(kPayloadBytesMax - 3)).empty());
  EXPECT_EQ(world.dropped(Drop::kTooLong), 2U);
}

TEST_F(TurnData, permissions_last_five_minutes_and_channels_ten) {
  ASSERT_EQ(client.refresh(3600).code(), 200);
  ASSERT_EQ(client.bind(0x4000, kPeer).code(), 200);
  world.run(Seconds(299));
  EXPECT_EQ(client.from_peer(kPeer, kData).size(), 1U);
  world.run(Seconds(1));
  EXPECT_TRUE(client.from_peer(kPeer, kData).empty());
  EXPECT_TRUE(client.send_channel(0x4000, kData).empty());
  EXPECT_EQ(world.dropped(Drop::kNoPermission), 2U);
  // Sending does not refresh a permission, but asking does, and the channel is still there.
  ASSERT_EQ(client.permit({kPeer}).code(), 200);
  EXPECT_EQ(client.send_channel(0x4000, kData).size(), 1U);
  EXPECT_EQ(client.from_peer(kPeer, kData)[0].bytes[0], 0x40);
  world.run(Seconds(299));
  EXPECT_EQ(client.send_channel(0x4000, kData).size(), 1U);
  world.run(Seconds(1));
  EXPECT_TRUE(client.send_channel(0x4000, kData).empty());
  EXPECT_EQ(world.dropped(Drop::kNoChannel), 1U);
}

TEST_F(TurnData, channel_binds_one_number_to_one_address) {
  EXPECT_EQ(client.bind(0x3fff, kPeer).code(), 400);
  EXPECT_EQ(client.bind(0x8000, kPeer).code(), 400);
  EXPECT_EQ(client.bind(0x4fff, kPeer).code(), 200);
  EXPECT_EQ(client.bind(0x4ffe, kPeer).code(), 400);
  EXPECT_EQ(client.bind(0x4fff, kOtherPort).code(), 400);
  EXPECT_EQ(client.bind(0x4fff, kStranger).code(), 400);
  EXPECT_EQ(client.bind(0x4ffe, kOtherPort).code(), 200);
  EXPECT_EQ(client.bind(0x4fff, kPeer).code(), 200) << "refreshed";
  const auto number = [](stun::Writer& w) { w.add_u32(stun::kChannelNumber, 0x40010000); };
  const auto address = [](stun::Writer& w) { w.add_xor_address(stun::kXorPeerAddress, kPeer); };
  EXPECT_EQ(client.ask(stun::kChannelBind, number).code(), 400);
  EXPECT_EQ(client.ask(stun::kChannelBind, address).code(), 400);
  EXPECT_EQ(client.bind(0x4001, turn_address("[2620:fe::fe]:1")).code(), 443);
  EXPECT_EQ(world.refused(Refusal::kFamilyMismatch), 1U);
  // A number that was refused is still free.
  EXPECT_TRUE(client.send_channel(0x4ffd, kData).empty());
}

TEST_F(TurnData, permissions_are_all_or_nothing) {
  EXPECT_EQ(client.permit({}).code(), 400);
  EXPECT_EQ(client.permit({kPeer, turn_address("10.0.0.1:5000")}).code(), 403);
  EXPECT_TRUE(client.send_indication(kPeer, kData).empty());
  EXPECT_EQ(client.permit({kPeer, turn_address("[2620:fe::fe]:1")}).code(), 443);
  EXPECT_TRUE(client.send_indication(kPeer, kData).empty());
  EXPECT_EQ(client.permit({kPeer, kStranger, kPeer}).code(), 200);
  EXPECT_EQ(client.send_indication(kPeer, kData).size(), 1U);
  EXPECT_EQ(client.send_indication(kStranger, kData).size(), 1U);
  EXPECT_EQ(world.counters.permissions.value(), 2U);
  const TurnReply malformed = client.ask(stun::kCreatePermission, [](stun::Writer& writer) {
    writer.add_xor_address(stun::kXorPeerAddress, kPeer);
    writer.add(stun::kXorPeerAddress, TurnBytes{0, 1, 0, 1});
  });
  EXPECT_EQ(malformed.code(), 400);
}

TEST(TurnLimits, permissions_and_channels_of_one_allocation) {
  TurnWorld world;
  world.setup.permissions_max = 4;
  world.realm().quotas.new_peers_per_minute = 0;
  TurnClient client(world);
  ASSERT_EQ(client.allocate().code(), 200);
  std::vector<SocketAddress> peers;
  for (std::uint8_t i = 1; i <= 5; ++i) peers.push_back({IpAddress::v4(9, 9, 9, i), 5000});
  EXPECT_EQ(client.permit(peers).code(), 508);
  EXPECT_TRUE(client.send_indication(peers[0], kData).empty());
  EXPECT_EQ(client.permit({peers.begin(), peers.begin() + 4}).code(), 200);
  EXPECT_EQ(client.permit({peers[4]}).code(), 508);
  EXPECT_EQ(client.bind(0x4000, peers[4]).code(), 508);
  EXPECT_TRUE(client.send_channel(0x4000, kData).empty());
  for (std::uint16_t i = 0; i < 4; ++i) {
    EXPECT_EQ(client.bind(static_cast<std::uint16_t>(0x4000 + i), peers[i]).code(), 200);
  }
  EXPECT_EQ(client.bind(0x4004, {peers[0].ip, 5001}).code(), 508);
  EXPECT_EQ(world.refused(Refusal::kCapacity), 4U);
  // What is over makes room: permissions first while a channel holds its address.
  ASSERT_EQ(client.refresh(3600).code(), 200);
  world.run(Seconds(301));
  EXPECT_EQ(client.permit({peers[4]}).code(), 508);
  world.run(Seconds(300));
  EXPECT_EQ(client.permit({peers[4]}).code(), 200);
}

TEST(TurnLimits, rate_of_new_peers) {
  TurnWorld world;
  world.realm().quotas.new_peers_per_minute = 3;
  TurnClient client(world);
  ASSERT_EQ(client.allocate().code(), 200);
  const auto peer = [](std::uint8_t i) { return SocketAddress{IpAddress::v4(9, 9, 9, i), 5000}; };
  EXPECT_EQ(client.permit({peer(1), peer(2)}).code(), 200);
  EXPECT_EQ(client.permit({peer(3), peer(4)}).code(), 508);
  EXPECT_EQ(client.bind(0x4000, peer(3)).code(), 200);
  EXPECT_EQ(client.bind(0x4001, peer(4)).code(), 508);
  EXPECT_EQ(world.refused(Refusal::kPeerRate), 2U);
  EXPECT_EQ(client.permit({peer(1), peer(2), peer(3)}).code(), 200) << "known ones are free";
  world.run(Seconds(20));
  EXPECT_EQ(client.permit({peer(4)}).code(), 200);
}

TEST(TurnLimits, new_allocations_bring_no_new_peers_without_end) {
  TurnWorld world;
  world.realm().quotas.new_peers_per_minute = 3;
  TurnClient client(world);
  int permitted = 0;
  for (std::uint8_t i = 0; i < 40; ++i) {
    ASSERT_EQ(client.allocate().code(), 200);
    permitted += client.permit({{IpAddress::v4(9, 9, 9, i), 5000}}).code() == 200;
    ASSERT_EQ(client.refresh(0).code(), 200);
  }
  EXPECT_EQ(permitted, 30);
}

TEST(TurnLimits, bytes_each_second_and_direction) {
  TurnWorld world;
  world.realm().quotas.bytes_per_second = 20'000;
  TurnClient client(world);
  ASSERT_EQ(client.allocate().code(), 200);
  ASSERT_EQ(client.bind(0x4000, kPeer).code(), 200);
  const TurnBytes data(1000, 1);
  std::size_t out = 0;
  std::size_t in = 0;
  for (int i = 0; i < 30; ++i) {
    out += client.send_channel(0x4000, data).size();
    in += client.from_peer(kPeer, data).size();
  }
  EXPECT_EQ(out, 20U);
  EXPECT_EQ(in, 20U);
  EXPECT_EQ(world.dropped(Drop::kRate), 20U);
  world.run(Milliseconds(100));
  for (int i = 0; i < 30; ++i) out += client.send_channel(0x4000, data).size();
  EXPECT_EQ(out, 22U);
}

TEST_F(TurnData, indications_of_nobody_go_nowhere) {
  TurnClient stranger(world, "192.0.2.66:40000");
  EXPECT_TRUE(stranger.send_indication(kPeer, kData).empty());
  EXPECT_TRUE(stranger.send_channel(0x4000, kData).empty());
  EXPECT_EQ(world.dropped(Drop::kNoAllocation), 2U);
  EXPECT_TRUE(world.from_peer(kData, kPeer, {0, 77, Side::kA, Component::kRtp}).empty());
  EXPECT_TRUE(world.from_peer(kData, kPeer, {55, 1, Side::kA, Component::kRtp}).empty());
  EXPECT_EQ(world.dropped(Drop::kNoAllocation), 4U);
}

TEST_F(TurnData, only_what_a_server_takes_is_looked_at) {
  const auto message = [](stun::Class message_class, std::uint16_t method) {
    TurnBytes bytes(20);
    const stun::Writer writer(bytes, message_class, method, {});
    return bytes;
  };
  for (const std::uint16_t method : {stun::kData, stun::kAllocate}) {
    EXPECT_TRUE(client.send(message(stun::Class::kIndication, method)).empty());
  }
  EXPECT_TRUE(client.send(message(stun::Class::kSuccess, stun::kAllocate)).empty());
  EXPECT_TRUE(client.send(message(stun::Class::kError, stun::kBinding)).empty());
  for (const int number : {0x000, 0x002, 0x005, 0x006, 0x007, 0x00a, 0xfff}) {
    const auto method = static_cast<std::uint16_t>(number);
    EXPECT_TRUE(client.send(message(stun::Class::kRequest, method)).empty());
  }
  EXPECT_EQ(world.dropped(Drop::kUnknownMessage), 11U);
  EXPECT_TRUE(client.send(message(stun::Class::kIndication, stun::kBinding)).empty());
  EXPECT_EQ(world.dropped(Drop::kUnknownMessage), 11U) << "a keep-alive is welcome";
}

TEST_F(TurnData, send_without_its_attributes_goes_nowhere) {
  ASSERT_EQ(client.permit({kPeer}).code(), 200);
  const auto send = [this](const TurnClient::Fill& fill) {
    TurnBytes buffer(200);
    stun::Writer writer(buffer, stun::Class::kIndication, stun::kSend, {});
    fill(writer);
    const stun::Bytes bytes = writer.finish();
    return client.send({bytes.begin(), bytes.end()}).size();
  };
  const auto peer = [](stun::Writer& w) { w.add_xor_address(stun::kXorPeerAddress, kPeer); };
  const auto data = [](stun::Writer& w) { w.add(stun::kDataValue, kData); };
  EXPECT_EQ(send(peer), 0U);
  EXPECT_EQ(send(data), 0U);
  EXPECT_EQ(send([&](stun::Writer& w) { peer(w), data(w), w.add_u32(0x7abc, 0); }), 0U);
  EXPECT_EQ(world.dropped(Drop::kMalformed), 3U);
  EXPECT_EQ(send([&](stun::Writer& w) { peer(w), data(w), w.add_u32(0xfabc, 0); }), 1U);
  EXPECT_EQ(send([&](stun::Writer& w) { peer(w), data(w), w.add_flag(stun::kDontFragment); }), 1U);
}

TEST_F(TurnData, what_must_not_be_fragmented_is_not) {
  ASSERT_EQ(client.permit({kPeer}).code(), 200);
  const auto send = [this](std::size_t bytes, bool dont_fragment) {
    TurnBytes buffer(1900);
    stun::Writer writer(buffer, stun::Class::kIndication, stun::kSend, {});
    writer.add_xor_address(stun::kXorPeerAddress, kPeer);
    if (dont_fragment) writer.add_flag(stun::kDontFragment);
    writer.add(stun::kDataValue, TurnBytes(bytes));
    const stun::Bytes message = writer.finish();
    return client.send({message.begin(), message.end()}).size();
  };
  EXPECT_EQ(send(1472, true), 1U);
  EXPECT_EQ(send(1473, true), 0U);
  EXPECT_EQ(send(1473, false), 1U);
  EXPECT_EQ(world.dropped(Drop::kTooLong), 1U);
}

TEST_F(TurnData, requests_need_an_allocation) {
  TurnClient other(world, "192.0.2.10:40009");
  other.learn(other.ask_once(stun::kAllocate, TurnClient::add_udp));
  EXPECT_EQ(other.refresh().code(), 437);
  EXPECT_EQ(other.permit({kPeer}).code(), 437);
  EXPECT_EQ(other.bind(0x4000, kPeer).code(), 437);
  EXPECT_EQ(world.refused(Refusal::kMismatch), 3U);
}

TEST_F(TurnData, refresh_keeps_changes_and_ends) {
  EXPECT_EQ(client.refresh().lifetime(), 600U);
  EXPECT_EQ(client.refresh(1000).lifetime(), 1000U);
  EXPECT_EQ(
      client.refresh(std::nullopt, [](stun::Writer& w) { w.add(stun::kLifetime, TurnBytes{1}); })
          .code(),
      400);
  EXPECT_EQ(client.refresh(0).lifetime(), 0U);
  EXPECT_EQ(world.engine().allocations(), 0U);
  EXPECT_EQ(client.refresh(0).code(), 437);
  EXPECT_EQ(world.counters.refreshes.value(), 3U);
}

TEST(TurnLifetime, no_refresh_beyond_the_maximal_age) {
  TurnWorld world;
  world.settings.allocation_age_max = Seconds(1000);
  TurnClient client(world);
  ASSERT_EQ(client.allocate().code(), 200);
  world.run(Seconds(500));
  EXPECT_EQ(client.refresh().lifetime(), 500U);
  world.run(Seconds(499));
  EXPECT_EQ(client.refresh().lifetime(), 1U);
  EXPECT_EQ(world.engine().allocations(), 1U);
  world.run(Seconds(2));
  EXPECT_EQ(world.engine().allocations(), 0U);
}

TEST_F(TurnData, operators_see_and_end_allocations) {
  ASSERT_EQ(client.bind(0x4000, kPeer).code(), 200);
  ASSERT_EQ(client.permit({kStranger}).code(), 200);
  ASSERT_EQ(client.send_channel(0x4000, kData).size(), 1U);
  std::vector<turn::AllocationReport> reports;
  world.engine().list([&](const turn::AllocationReport& r) { reports.push_back(r); }, world.now);
  ASSERT_EQ(reports.size(), 1U);
  EXPECT_EQ(reports[0].user, "alice");
  EXPECT_EQ(reports[0].realm, TurnWorld::kRealm);
  EXPECT_EQ(reports[0].client, client.address);
  EXPECT_EQ(reports[0].relayed[0], client.relayed);
  EXPECT_EQ(reports[0].permissions, 2U);
  EXPECT_EQ(reports[0].channels, 1U);
  EXPECT_EQ(reports[0].bytes_to_peers, 5U);
  EXPECT_EQ(reports[0].expires - reports[0].created, Seconds(600));
  turn::AllocationId id = reports[0].id;
  ++id.generation;
  EXPECT_FALSE(world.engine().end(id, world.now));
  EXPECT_TRUE(world.engine().end(reports[0].id, world.now));
  EXPECT_FALSE(world.engine().end(reports[0].id, world.now));
  EXPECT_EQ(world.ports.in_use(), 0U);
}

TEST(TurnBinding, tells_the_reflexive_address) {
  TurnWorld world;
  TurnClient v4(world);
  const TurnReply reply = v4.ask_once(stun::kBinding);
  EXPECT_EQ(reply.code(), 200);
  EXPECT_EQ(reply.message()->xor_address(stun::kXorMappedAddress), v4.address);
  TurnClient v6(world, "[2001:db8::7]:40000");
  EXPECT_EQ(v6.ask_once(stun::kBinding).message()->xor_address(stun::kXorMappedAddress),
            v6.address);
  EXPECT_EQ(v4.ask_once(stun::kBinding, [](stun::Writer& w) { w.add_u32(0x7abc, 0); }).code(), 420);
  EXPECT_EQ(world.counters.bindings.value(), 2U);
}

}  // namespace
}  // namespace turnpike::test
