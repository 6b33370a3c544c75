// Allocations that follow their client (RFC 8016), within a shard and to another one.
#include <gtest/gtest.h>

#include "tests/support/turn_fixture.h"

namespace turnpike::test {
namespace {

using turn::Drop;
using turn::Refusal;

const SocketAddress kPeer = turn_address("9.9.9.9:5000");
const TurnBytes kData = {1, 2, 3, 4, 5};

class MobileWorld : public TurnWorld {
 public:
  MobileWorld() { settings.mobility = true; }
};

TurnBytes allocate_mobile(TurnClient& client) {
  const TurnReply reply = client.allocate(TurnClient::with_ticket({}));
  EXPECT_EQ(reply.code(), 200);
  return reply.code() == 200 ? reply.ticket() : TurnBytes();
}

TurnReply resume(TurnClient& client, const TurnBytes& ticket) {
  return client.refresh(std::nullopt, TurnClient::with_ticket(ticket));
}

TEST(TurnMobility, off_unless_the_operator_wants_it) {
  TurnWorld world;
  TurnClient client(world);
  EXPECT_EQ(client.allocate(TurnClient::with_ticket({})).code(), 405);
  ASSERT_EQ(client.allocate().code(), 200);
  EXPECT_EQ(resume(client, TurnBytes(32, 'A')).code(), 405);
  EXPECT_EQ(world.refused(Refusal::kMobilityForbidden), 2U);
  EXPECT_EQ(client.refresh().code(), 200);
}

TEST(TurnMobility, tickets_are_for_who_asks_for_one) {
  MobileWorld world;
  TurnClient client(world);
  EXPECT_EQ(client.allocate(TurnClient::with_ticket({1})).code(), 400);
  EXPECT_EQ(client.allocate().ticket(), TurnBytes());
  TurnClient mobile(world, "192.0.2.10:40001");
  const TurnBytes ticket = allocate_mobile(mobile);
  EXPECT_EQ(ticket.size(), 32U);
  EXPECT_TRUE(std::all_of(ticket.begin(), ticket.end(), [](int c) { return c > ' ' && c < 127; }))
      << "some clients take it for text";
  EXPECT_EQ(resume(mobile, ticket).ticket(), ticket) << "where it is it stays good";
  EXPECT_EQ(mobile.refresh().ticket(), TurnBytes());
}

TEST(TurnMobility, an_allocation_follows_its_client) {
  MobileWorld world;
  TurnClient client(world);
  const TurnBytes ticket = allocate_mobile(client);
  ASSERT_EQ(client.bind(0x4000, kPeer).code(), 200);
  const TurnClient old = client;
  client.go("198.51.100.7:1234");
  const TurnReply moved = resume(client, ticket);
  ASSERT_EQ(moved.code(), 200);
  EXPECT_TRUE(client.is_sealed(moved));
  EXPECT_NE(moved.ticket(), ticket);
  EXPECT_EQ(world.engine().allocations(), 1U);
  EXPECT_EQ(world.ports.in_use(), 1U);
  EXPECT_EQ(world.counters.moves.value(), 1U);
  // Its channel is there, its old address is nobody's.
  const auto to_peer = client.send_channel(0x4000, kData);
  ASSERT_EQ(to_peer.size(), 1U);
  EXPECT_EQ(to_peer[0].to, kPeer);
  const auto to_client = client.from_peer(kPeer, kData);
  ASSERT_EQ(to_client.size(), 1U);
  EXPECT_EQ(to_client[0].to, client.address);
  TurnClient left = old;
  EXPECT_TRUE(left.send_channel(0x4000, kData).empty());
  EXPECT_EQ(left.refresh().code(), 437);
  // And back again, over a connection.
  client.go("192.0.2.10:40000");
  client.transport = turn::ListenerTransport::kTcp;
  client.tag = {7, 1};
  EXPECT_EQ(resume(client, moved.ticket()).code(), 200);
  EXPECT_EQ(client.from_peer(kPeer, kData).at(0).tag.slot, 7U);
  EXPECT_EQ(world.counters.of(turn::ListenerTransport::kTcp).allocations_opened.value(), 1U);
  EXPECT_EQ(client.refresh(0).code(), 200);
  EXPECT_EQ(world.total(&turn::ClientCounters::allocations_opened),
            world.total(&turn::ClientCounters::allocations_closed));
}

TEST(TurnMobility, a_lost_response_locks_nobody_out) {
  MobileWorld world;
  TurnClient client(world);
  const TurnBytes first = allocate_mobile(client);
  client.go("198.51.100.7:1234");
  const TurnReply moved = resume(client, first);
  ASSERT_EQ(moved.code(), 200);
  EXPECT_EQ(resume(client, first).ticket(), moved.ticket()) << "sent again";
  EXPECT_EQ(world.counters.moves.value(), 1U);
  client.go("198.51.100.8:1234");
  ASSERT_EQ(resume(client, first).code(), 200) << "nothing was heard of the second ticket";
  client.go("198.51.100.9:1234");
  EXPECT_EQ(resume(client, moved.ticket()).code(), 437) << "of a place between";
}

class TurnMobilityOver : public testing::TestWithParam<turn::ListenerTransport> {};

// As operators see the only allocation.
bool is_away(MobileWorld& world) {
  bool away = false;
  world.engine().list([&away](const auto& report) { away = report.away; }, world.now);
  return away;
}

TEST_P(TurnMobilityOver, a_connection_that_is_lost_leaves_its_allocation) {
  MobileWorld world;
  TurnClient client(world);
  client.transport = GetParam();
  client.tag = {3, 1};
  const TurnBytes ticket = allocate_mobile(client);
  ASSERT_EQ(client.permit({kPeer}).code(), 200);
  world.engine().stream_closed(client.tag);
  EXPECT_EQ(world.engine().allocations(), 1U);
  EXPECT_FALSE(world.engine().stream_has_allocation(client.tag));
  EXPECT_TRUE(is_away(world));
  EXPECT_TRUE(client.from_peer(kPeer, kData).empty());
  EXPECT_EQ(world.dropped(Drop::kNoClient), 1U);
  TurnClient back = client;
  back.tag = {4, 9};
  back.nonce.clear();
  ASSERT_EQ(resume(back, ticket).code(), 200);
  EXPECT_FALSE(is_away(world));
  EXPECT_EQ(back.from_peer(kPeer, kData).size(), 1U);
  EXPECT_EQ(world.counters.of(GetParam()).allocations_opened.value(), 2U) << "once by the move";
  // Without a client it ends in time.
  world.engine().stream_closed(back.tag);
  world.run(Seconds(601));
  EXPECT_EQ(world.engine().allocations(), 0U);
  EXPECT_EQ(world.ports.in_use(), 0U);
}

INSTANTIATE_TEST_SUITE_P(Connections, TurnMobilityOver,
                         testing::Values(turn::ListenerTransport::kTcp,
                                         turn::ListenerTransport::kTls,
                                         turn::ListenerTransport::kDtls));

TEST(Security, T24_a_ticket_is_of_its_user_and_allocation) {
  MobileWorld world;
  world.setup.source_limits = {};
  TurnClient alice(world);
  const TurnBytes ticket = allocate_mobile(alice);
  TurnClient bob(world, "198.51.100.7:1", "bob");
  EXPECT_EQ(resume(bob, ticket).code(), 441);
  TurnClient moved = alice;
  moved.go("198.51.100.7:2");
  moved.learn(moved.ask_once(stun::kAllocate, TurnClient::add_udp));
  for (std::size_t i = 0; i < ticket.size(); ++i) {
    TurnBytes forged = ticket;
    forged[i] ^= 0x10;
    EXPECT_EQ(resume(moved, forged).code(), 400) << "byte " << i;
  }
  EXPECT_EQ(resume(moved, {}).code(), 400);
  EXPECT_EQ(resume(moved, TurnBytes(ticket.begin(), ticket.end() - 1)).code(), 400);
  // One that has an allocation cannot take over another.
  TurnClient second(world, "198.51.100.7:3");
  allocate_mobile(second);
  EXPECT_EQ(resume(second, ticket).code(), 437);
  // Who shows no credentials is asked for them; with a ticket of nobody's not even that.
  TurnClient nobody(world, "198.51.100.7:4");
  EXPECT_EQ(nobody.ask_once(stun::kRefresh, TurnClient::with_ticket(ticket)).code(), 401);
  const TurnClient::Fill none = TurnClient::with_ticket(TurnBytes(32, 'A'));
  EXPECT_EQ(nobody.ask_once(stun::kRefresh, none).code(), 437);
  EXPECT_EQ(alice.refresh().code(), 200) << "it has not moved";
  // One of an allocation that is over, whose slot another one has.
  ASSERT_EQ(alice.refresh(0).code(), 200);
  TurnClient next(world, "198.51.100.7:5");
  allocate_mobile(next);
  EXPECT_EQ(resume(moved, ticket).code(), 437);
}

TEST(Security, T14_moves_evade_no_quota_and_are_bounded) {
  MobileWorld world;
  world.setup.source_limits = {};
  world.realm().quotas.allocations_per_user = 1;
  TurnClient client(world);
  TurnBytes ticket = allocate_mobile(client);
  int moves = 0;
  int code = 200;
  for (int i = 0; i < 60 && code == 200; ++i) {
    client.go(("198.51.100.7:" + std::to_string(2000 + i)).c_str());
    const TurnReply reply = resume(client, ticket);
    code = reply.code();
    if (code == 200) ticket = reply.ticket();
    moves += code == 200 ? 1 : 0;
  }
  EXPECT_EQ(code, 508);
  EXPECT_EQ(moves, 30);
  EXPECT_EQ(world.refused(Refusal::kMoveRate), 1U);
  TurnClient more(world, "192.0.2.10:40001");
  EXPECT_EQ(more.allocate().code(), 486);
  EXPECT_EQ(world.ports.in_use(), 1U);
  world.run(Seconds(2));
  ASSERT_EQ(resume(client, ticket).code(), 200);
  EXPECT_EQ(client.refresh(0).code(), 200);
  EXPECT_EQ(more.allocate().code(), 200);
}

/// Two shards of one server.
class TwoShards : public testing::Test {
 protected:
  TwoShards() {
    for (MobileWorld* world : {&first, &second}) {
      world->setup.source_limits = {};
      world->setup.shared = first.setup.shared;
      world->setup.wake = [this](std::uint16_t shard) { woken.push_back(shard); };
      world->realm().quotas.allocations_per_user = 2;
    }
    second.setup.shard = 1;
    second.ports.other = &first.ports;
    first.ports.other = &second.ports;
  }
  /// The client as the kernel brings it to a shard, with a nonce for its address there.
  static TurnClient come(MobileWorld& world, const TurnClient& client,
                         const char* address = "198.51.100.7:1234") {
    TurnClient moved(world, address, client.user);
    moved.relayed = client.relayed;
    moved.learn(moved.ask_once(stun::kAllocate, TurnClient::add_udp));
    return moved;
  }
  static TurnBytes request(TurnClient& client, const TurnBytes& ticket) {
    return client.request(stun::kRefresh, TurnClient::with_ticket(ticket));
  }
  /// Asks for the move; the response, once both shards have looked.
  TurnReply move(TurnClient& client, const TurnBytes& ticket) {
    EXPECT_TRUE(client.send(request(client, ticket)).empty()) << "the answer comes later";
    MobileWorld& from = &client.world == &first ? second : first;
    EXPECT_TRUE(from.run_moves().empty());
    const auto sent = client.world.run_moves();
    EXPECT_EQ(sent.size(), 1U);
    if (sent.size() != 1) return {};
    EXPECT_EQ(sent[0].to, client.address);
    const TurnReply reply(sent[0].bytes);
    EXPECT_TRUE(client.is_sealed(reply));
    return reply;
  }

  MobileWorld first;
  MobileWorld second;
  std::vector<std::uint16_t> woken;
};

TEST_F(TwoShards, an_allocation_moves_with_all_that_it_has) {
  TurnClient client(first);
  const TurnReply made = client.allocate([](stun::Writer& writer) {
    writer.add(stun::kMobilityTicket, {});
    writer.add(stun::kAdditionalAddressFamily, TurnBytes{2, 0, 0, 0});
  });
  ASSERT_EQ(made.code(), 200);
  ASSERT_EQ(client.bind(0x4000, kPeer).code(), 200);
  TurnClient moved = come(second, client);
  const TurnReply reply = move(moved, made.ticket());
  ASSERT_EQ(reply.code(), 200);
  EXPECT_EQ(woken, (std::vector<std::uint16_t>{0, 1}));
  EXPECT_EQ(reply.lifetime(), 600U);
  EXPECT_EQ(first.engine().allocations(), 0U);
  EXPECT_EQ(first.ports.in_use(), 0U);
  EXPECT_EQ(second.engine().allocations(), 1U);
  EXPECT_EQ(second.ports.in_use(), 2U);
  EXPECT_EQ(moved.from_peer(kPeer, kData).at(0).to, moved.address);
  EXPECT_EQ(moved.send_channel(0x4000, kData).at(0).to, kPeer);
  EXPECT_EQ(client.refresh().code(), 437);
  // The response was lost: the same request again.
  EXPECT_EQ(resume(moved, made.ticket()).code(), 200);
  EXPECT_EQ(second.counters.moves.value(), 1U);
  // And back.
  TurnClient back = come(first, moved, "192.0.2.10:40000");
  ASSERT_EQ(move(back, reply.ticket()).code(), 200);
  EXPECT_EQ(back.send_channel(0x4000, kData).at(0).to, kPeer);
  first.run(Seconds(601));
  EXPECT_EQ(first.ports.in_use() + second.ports.in_use(), 0U);
  // Nothing stays counted for the user.
  TurnClient a = come(first, client, "192.0.2.10:1");
  TurnClient b = come(first, client, "192.0.2.10:2");
  EXPECT_EQ(a.allocate().code() + b.allocate().code(), 400);
}

TEST_F(TwoShards, a_request_sent_again_meanwhile_has_one_answer) {
  TurnClient client(first);
  const TurnBytes ticket = allocate_mobile(client);
  TurnClient moved = come(second, client);
  const TurnBytes bytes = request(moved, ticket);
  EXPECT_TRUE(moved.send(bytes).empty());
  EXPECT_TRUE(moved.send(bytes).empty());
  EXPECT_TRUE(second.run_moves().empty()) << "nothing has come";
  first.run_moves();
  EXPECT_EQ(second.run_moves().size(), 1U);
  EXPECT_TRUE(second.run_moves().empty());
}

TEST_F(TwoShards, what_speaks_against_it_is_told) {
  TurnClient client(first);
  const TurnBytes ticket = allocate_mobile(client);
  TurnClient bob(second, "198.51.100.7:1", "bob");
  bob.learn(bob.ask_once(stun::kAllocate, TurnClient::add_udp));
  EXPECT_EQ(move(bob, ticket).code(), 441);
  TurnClient moved = come(second, client);
  first.ports.hands_over = 0;
  EXPECT_EQ(move(moved, ticket).code(), 508) << "no room for its socket";
  EXPECT_EQ(client.refresh().code(), 200);
  first.ports.hands_over = 1;
  EXPECT_EQ(client.refresh(0).code(), 200);
  EXPECT_EQ(move(moved, ticket).code(), 437) << "it is over";
  EXPECT_EQ(first.ports.in_use() + second.ports.in_use(), 0U);
}

TEST_F(TwoShards, half_of_it_does_not_move) {
  TurnClient client(first);
  const TurnReply made = client.allocate([](stun::Writer& writer) {
    writer.add(stun::kMobilityTicket, {});
    writer.add(stun::kAdditionalAddressFamily, TurnBytes{2, 0, 0, 0});
  });
  first.ports.hands_over = 1;
  TurnClient moved = come(second, client);
  EXPECT_EQ(move(moved, made.ticket()).code(), 508);
  EXPECT_EQ(first.ports.bound.size(), 2U);
  ASSERT_EQ(client.permit({kPeer}).code(), 200);
  EXPECT_EQ(client.from_peer(kPeer, kData).size(), 1U);
}

TEST_F(TwoShards, without_room_it_stays_where_it_is) {
  second.setup.allocations_max = 1;
  TurnClient client(first);
  const TurnBytes ticket = allocate_mobile(client);
  TurnClient other(second, "198.51.100.9:1", "bob");
  ASSERT_EQ(other.allocate().code(), 200);
  TurnClient moved = come(second, client);
  EXPECT_EQ(moved.send_for_reply(request(moved, ticket)).code(), 508);
  EXPECT_EQ(client.refresh().code(), 200);
  ASSERT_EQ(other.refresh(0).code(), 200);
  // What is on its way has its place.
  EXPECT_TRUE(moved.send(request(moved, ticket)).empty());
  EXPECT_EQ(other.allocate().code(), 508);
  first.run_moves();
  EXPECT_EQ(second.run_moves().size(), 1U);
  EXPECT_EQ(second.engine().allocations(), 1U);
}

TEST_F(TwoShards, who_is_gone_meanwhile_may_come_back) {
  TurnClient client(first);
  const TurnBytes ticket = allocate_mobile(client);
  ASSERT_EQ(client.permit({kPeer}).code(), 200);
  TurnClient moved = come(second, client);
  moved.transport = turn::ListenerTransport::kTcp;
  moved.tag = {5, 2};
  EXPECT_TRUE(moved.send(request(moved, ticket)).empty());
  second.engine().stream_closed(moved.tag);
  first.run_moves();
  EXPECT_TRUE(second.run_moves().empty());
  EXPECT_EQ(second.engine().allocations(), 1U);
  EXPECT_TRUE(moved.from_peer(kPeer, kData).empty());
  EXPECT_EQ(second.dropped(Drop::kNoClient), 1U);
  second.run(Seconds(601));
  EXPECT_EQ(second.ports.in_use() + first.ports.in_use(), 0U);
}

TEST_F(TwoShards, settings_that_came_before_it_hold_for_it) {
  for (MobileWorld* world : {&first, &second}) world->add_secret();
  second.settings.strict_expiry = true;
  TurnClient client(first);
  client.use_secret(TurnWorld::kSecret, first.wall + Seconds(100));
  const TurnBytes ticket = allocate_mobile(client);
  TurnClient moved = come(second, client);
  moved.password = client.password;
  moved.transport = turn::ListenerTransport::kTcp;
  moved.tag = {5, 2};
  EXPECT_TRUE(moved.send(request(moved, ticket)).empty());
  second.engine().stream_closed(moved.tag);  // nobody refreshes it
  first.run_moves();
  second.run_moves();
  EXPECT_EQ(second.engine().allocations(), 1U);
  second.run(Seconds(101));
  EXPECT_EQ(second.engine().allocations(), 0U) << "with its credential";
}

TEST_F(TwoShards, who_allocates_meanwhile_keeps_that) {
  TurnClient client(first);
  const TurnBytes ticket = allocate_mobile(client);
  TurnClient moved = come(second, client);
  const TurnBytes bytes = request(moved, ticket);
  EXPECT_TRUE(moved.send(bytes).empty());
  ASSERT_EQ(moved.allocate().code(), 200);
  first.run_moves();
  const auto sent = second.run_moves();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(TurnReply(sent[0].bytes).code(), 437);
  EXPECT_EQ(second.engine().allocations(), 2U);
  EXPECT_EQ(moved.refresh(0).code(), 200);
  second.run(Seconds(601));
  EXPECT_EQ(second.ports.in_use(), 0U);
}

TEST_F(TwoShards, revocation_ends_it_wherever_it_is) {
  TurnClient client(first);
  const TurnBytes ticket = allocate_mobile(client);
  TurnClient moved = come(second, client);
  EXPECT_TRUE(moved.send(request(moved, ticket)).empty());
  first.run_moves();
  second.realm().users.erase("alice");
  second.configure();
  EXPECT_EQ(second.run_moves().size(), 1U);
  EXPECT_EQ(second.engine().allocations(), 0U);
  EXPECT_EQ(second.ports.in_use() + first.ports.in_use(), 0U);
}

TEST_F(TwoShards, T14_requests_that_wait_are_bounded) {
  TurnClient client(first);
  const TurnBytes ticket = allocate_mobile(client);
  int waiting = 0;
  int refused = 0;
  for (int i = 0; i < 40; ++i) {
    TurnClient moved = come(second, client, ("198.51.100.7:" + std::to_string(i + 1)).c_str());
    const auto sent = moved.send(request(moved, ticket));
    ++(sent.empty() ? waiting : refused);
    EXPECT_TRUE(sent.empty() || TurnReply(sent[0].bytes).code() == 508);
  }
  EXPECT_EQ(waiting, 16);
  EXPECT_EQ(refused, 24);
  first.run_moves();
  EXPECT_EQ(second.run_moves().size(), 16U);
  EXPECT_EQ(second.engine().allocations(), 1U) << "one of them has it";
  EXPECT_EQ(first.ports.in_use() + second.ports.in_use(), 1U);
}

}  // namespace
}  // namespace turnpike::test
