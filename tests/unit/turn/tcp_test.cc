// TCP allocations (RFC 6062): what is granted, what is refused and with which code, whose
// connections are whose, and that all of it ends.
#include <gtest/gtest.h>

#include "tests/support/access_token.h"
#include "tests/support/turn_tcp.h"

namespace turnpike::test {
namespace {

using turn::PeerClose;
using turn::Refusal;
using Kind = turn::TcpEvent::Kind;

const SocketAddress kPeer = turn_address("9.9.9.9:5000");
const SocketAddress kOther = turn_address("9.9.9.10:5000");

class TurnTcp : public testing::Test {
 protected:
  /// The CONNECTION-ID in a message.
  static std::uint32_t id_in(const TurnBytes& bytes) {
    const auto message = stun::Message::parse(bytes);
    return message ? message->u32(stun::kConnectionId).value_or(0) : 0;
  }
  /// Of one that is being connected.
  std::uint32_t begin(const SocketAddress& peer = kPeer) {
    EXPECT_EQ(client.connect(peer).code(), 0) << "no answer before it is known";
    for (const auto& [id, one] : world.tcp.connecting) {
      if (one.peer == peer) return id;
    }
    ADD_FAILURE() << "nothing was begun";
    return 0;
  }
  /// Of one that waits for its ConnectionBind.
  std::uint32_t connected(const SocketAddress& peer = kPeer) {
    const std::uint32_t id = begin(peer);
    EXPECT_EQ(world.tell(Kind::kConnected, id).size(), 1U);
    return id;
  }

  TurnTcpWorld world;
  TurnTcpClientOf client{world};
};

TEST_F(TurnTcp, is_off_without_a_word_of_it) {
  TurnWorld plain;
  TurnTcpClientOf one(plain);
  EXPECT_EQ(one.allocate_tcp().code(), 442);
  ASSERT_EQ(one.allocate().code(), 200);
  EXPECT_EQ(one.connect(kPeer).code(), 0);
  EXPECT_EQ(plain.dropped(turn::Drop::kUnknownMessage), 1U);
}

TEST_F(TurnTcp, allocation_has_a_port_of_its_own_kind) {
  const TurnReply reply = client.allocate_tcp();
  ASSERT_EQ(reply.code(), 200);
  EXPECT_EQ(reply.relayed(), world.tcp.listening.begin()->second);
  EXPECT_TRUE(world.ports.bound.empty());
  std::vector<turn::AllocationReport> list;
  world.engine().list([&list](const auto& one) { list.push_back(one); }, world.now);
  ASSERT_EQ(list.size(), 1U);
  EXPECT_TRUE(list[0].is_tcp);
  EXPECT_EQ(client.refresh(0).code(), 200);
  EXPECT_TRUE(world.tcp.listening.empty());
}

TEST_F(TurnTcp, allocation_is_refused_where_it_makes_no_sense) {
  TurnClient by_udp(world);
  EXPECT_EQ(by_udp.ask(stun::kAllocate, TurnTcpClientOf::add_tcp).code(), 400);
  TurnTcpClientOf by_dtls(world, 2);
  by_dtls.transport = turn::ListenerTransport::kDtls;
  EXPECT_EQ(by_dtls.allocate_tcp().code(), 400);
  const auto with = [this](std::uint16_t type, const TurnBytes& value) {
    return client.allocate_tcp([&](stun::Writer& writer) { writer.add(type, value); }).code();
  };
  EXPECT_EQ(with(stun::kEvenPort, {0}), 400);
  EXPECT_EQ(with(stun::kReservationToken, {1, 2, 3, 4, 5, 6, 7, 8}), 400);
  EXPECT_EQ(with(stun::kDontFragment, {}), 400);
  EXPECT_EQ(with(stun::kAdditionalAddressFamily, {2, 0, 0, 0}), 400);
  world.settings.mobility = true;
  world.configure();
  EXPECT_EQ(with(stun::kMobilityTicket, {}), 405);
  world.tcp.has_room = false;
  EXPECT_EQ(client.allocate_tcp().code(), 508);
  EXPECT_EQ(world.engine().allocations(), 0U);
  world.tcp.has_room = true;
  EXPECT_EQ(with(stun::kRequestedAddressFamily, {2, 0, 0, 0}), 200);
  EXPECT_EQ(client.relayed.ip, *parse_ip("2606:2800::1"));
}

TEST_F(TurnTcp, datagrams_have_no_place_in_it) {
  ASSERT_EQ(client.allocate_tcp().code(), 200);
  ASSERT_EQ(client.permit({kPeer}).code(), 200);
  EXPECT_EQ(client.bind(0x4000, kPeer).code(), 403);
  EXPECT_EQ(world.refused(Refusal::kTcpAllocation), 1U);
  EXPECT_TRUE(client.send_indication(kPeer, {1, 2, 3}).empty());
  EXPECT_EQ(world.dropped(turn::Drop::kTcpAllocation), 1U);
}

TEST_F(TurnTcp, connect_is_answered_when_the_peer_is_there) {
  ASSERT_EQ(client.allocate_tcp().code(), 200);
  const std::uint32_t id = begin();
  const stun::TransactionId asked = client.transaction;
  EXPECT_EQ(client.bind_connection(id).code(), 437) << "not by the control connection";
  TurnTcpClientOf data(world, 2);
  EXPECT_EQ(data.bind_connection(id).code(), 400) << "not before it is there";
  const auto sent = world.tell(Kind::kConnected, id);
  ASSERT_EQ(sent.size(), 1U);
  const TurnReply reply(sent[0].bytes);
  EXPECT_EQ(reply.code(), 200);
  EXPECT_TRUE(client.is_sealed(reply));
  EXPECT_EQ(reply.message()->transaction(), asked);
  EXPECT_EQ(id_in(sent[0].bytes), id);
  EXPECT_EQ(sent[0].tag.slot, client.tag.slot);
  EXPECT_EQ(data.bind_connection(id).code(), 200);
  ASSERT_EQ(world.tcp.bound.size(), 1U);
  EXPECT_EQ(world.tcp.bound[0].first.slot, data.tag.slot);
  EXPECT_EQ(world.tcp.bound[0].second, id);
  EXPECT_EQ(TurnTcpClientOf(world, 3).bind_connection(id).code(), 400) << "once";
  EXPECT_EQ(world.refused(Refusal::kConnectionUnknown), 2U);
}

TEST_F(TurnTcp, connect_that_fails_says_so_and_may_be_tried_again) {
  ASSERT_EQ(client.allocate_tcp().code(), 200);
  const auto sent = world.tell(Kind::kEnded, begin());
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(TurnReply(sent[0].bytes).code(), 447);
  EXPECT_TRUE(client.is_sealed(TurnReply(sent[0].bytes)));
  EXPECT_EQ(world.refused(Refusal::kConnectionFailed), 1U);
  world.tcp.connecting.clear();
  const std::uint32_t id = connected();
  EXPECT_TRUE(world.tell(Kind::kEnded, id).empty()) << "it was answered";
}

TEST_F(TurnTcp, there_is_one_connection_with_a_peer) {
  ASSERT_EQ(client.allocate_tcp().code(), 200);
  const std::uint32_t id = begin();
  EXPECT_EQ(client.connect(kPeer).code(), 446) << "on its way";
  world.tell(Kind::kConnected, id);
  EXPECT_EQ(client.connect(kPeer).code(), 446) << "there";
  world.tell(Kind::kEnded, id);
  world.tcp.connecting.clear();
  begin();
}

TEST_F(TurnTcp, connect_needs_a_tcp_allocation_and_an_address) {
  EXPECT_EQ(client.connect(kPeer).code(), 437);
  ASSERT_EQ(client.allocate().code(), 200);
  EXPECT_EQ(client.connect(kPeer).code(), 437);
  TurnTcpClientOf tcp(world, 2);
  ASSERT_EQ(tcp.allocate_tcp().code(), 200);
  EXPECT_EQ(tcp.ask(stun::kConnect).code(), 400);
  EXPECT_EQ(tcp.connect(turn_address("[2606:4700::1]:5000")).code(), 443);
  world.tcp.begun = turn::TcpPorts::Begun::kNo;
  EXPECT_EQ(tcp.connect(kPeer).code(), 508);
  world.tcp.begun = turn::TcpPorts::Begun::kForbidden;
  EXPECT_EQ(tcp.connect(kPeer).code(), 403);
  world.tcp.begun = turn::TcpPorts::Begun::kYes;
  EXPECT_EQ(tcp.connect(kPeer).code(), 0) << "nothing of these was kept";
}

TEST_F(TurnTcp, bind_needs_a_stream_a_number_and_credentials) {
  ASSERT_EQ(client.allocate_tcp().code(), 200);
  const std::uint32_t id = connected();
  TurnTcpClientOf data(world, 2);
  EXPECT_EQ(data.ask_once(stun::kConnectionBind).code(), 401);
  EXPECT_EQ(data.ask(stun::kConnectionBind).code(), 400);
  EXPECT_EQ(data.bind_connection(id + 1).code(), 400);
  TurnTcpClientOf by_dtls(world, 3);
  by_dtls.realm = data.realm;
  by_dtls.transport = turn::ListenerTransport::kDtls;
  by_dtls.learn(by_dtls.ask_once(stun::kAllocate, TurnClient::add_udp));
  EXPECT_EQ(by_dtls.bind_connection(id).code(), 400);
  TurnTcpClientOf guesser(world, 4);
  guesser.password = "guessed";
  EXPECT_EQ(guesser.bind_connection(id).code(), 401);
  EXPECT_TRUE(world.tcp.bound.empty());
  EXPECT_EQ(data.bind_connection(id).code(), 200);
}

TEST_F(TurnTcp, peers_that_come_need_a_permission) {
  ASSERT_EQ(client.allocate_tcp().code(), 200);
  EXPECT_TRUE(world.tell(Kind::kComes, 7, kPeer).empty());
  EXPECT_EQ(world.tcp.verdicts.at(7), PeerClose::kNoPermission);
  EXPECT_EQ(TurnTcpClientOf(world, 2).bind_connection(7).code(), 400);
  ASSERT_EQ(client.permit({kPeer}).code(), 200);
  const auto sent = world.tell(Kind::kComes, 8, {kPeer.ip, 40000});
  ASSERT_EQ(sent.size(), 1U);
  const auto message = stun::Message::parse(sent[0].bytes);
  ASSERT_TRUE(message);
  EXPECT_EQ(message->message_class(), stun::Class::kIndication);
  EXPECT_EQ(message->method(), stun::kConnectionAttempt);
  EXPECT_EQ(message->xor_address(stun::kXorPeerAddress), (SocketAddress{kPeer.ip, 40000}));
  EXPECT_EQ(id_in(sent[0].bytes), 8U);
  EXPECT_EQ(sent[0].tag.slot, client.tag.slot);
  EXPECT_EQ(world.tcp.verdicts.at(8), std::nullopt);
  EXPECT_EQ(TurnTcpClientOf(world, 3).bind_connection(8).code(), 200);
  EXPECT_TRUE(world.tell(Kind::kComes, 9, {kPeer.ip, 80}).empty()) << "low ports neither";
  world.run(Seconds(301));
  EXPECT_TRUE(world.tell(Kind::kComes, 10, kPeer).empty()) << "permissions end";
}

TEST_F(TurnTcp, connections_are_limited_by_allocation_user_and_in_all) {
  world.setup.tcp_connections_per_allocation_max = 3;
  world.realm().quotas.tcp_connections_per_user = 5;
  ASSERT_EQ(client.allocate_tcp().code(), 200);
  for (std::uint8_t i = 1; i <= 3; ++i) begin({IpAddress::v4(9, 9, 9, i), 5000});
  EXPECT_EQ(client.connect(kPeer).code(), 508);
  ASSERT_EQ(client.permit({kPeer}).code(), 200);
  world.tell(Kind::kComes, 77, kPeer);
  EXPECT_EQ(world.tcp.verdicts.at(77), PeerClose::kFull);
  TurnTcpClientOf second(world, 2);
  ASSERT_EQ(second.allocate_tcp().code(), 200);
  EXPECT_EQ(second.connect({IpAddress::v4(9, 9, 9, 4), 5000}).code(), 0);
  EXPECT_EQ(second.connect({IpAddress::v4(9, 9, 9, 5), 5000}).code(), 0);
  EXPECT_EQ(second.connect({IpAddress::v4(9, 9, 9, 6), 5000}).code(), 508) << "of the user";
  for (std::uint32_t i = 3; i < 5; ++i) {
    TurnTcpClientOf bob(world, i, "bob");
    ASSERT_EQ(bob.allocate_tcp().code(), 200);
    EXPECT_EQ(bob.connect(kPeer).code(), 0);
  }
  TurnTcpClientOf last(world, 5, "bob");
  ASSERT_EQ(last.allocate_tcp().code(), 200);
  EXPECT_EQ(last.connect(kPeer).code(), 0);
  EXPECT_EQ(last.connect(kOther).code(), 508) << "in all";
  EXPECT_EQ(world.refused(Refusal::kConnectionQuota), 3U);
  // All come back.
  EXPECT_EQ(client.refresh(0).code(), 200);
  EXPECT_EQ(last.connect(kOther).code(), 0);
  EXPECT_EQ(second.connect({IpAddress::v4(9, 9, 9, 6), 5000}).code(), 0);
}

TEST_F(TurnTcp, connects_count_as_new_peers) {
  world.realm().quotas.new_peers_per_minute = 3;
  ASSERT_EQ(client.allocate_tcp().code(), 200);
  for (std::uint16_t port = 5000; port < 5003; ++port) {
    const std::uint32_t id = begin({kPeer.ip, port});
    world.tell(Kind::kEnded, id);
    world.tcp.connecting.clear();
  }
  EXPECT_EQ(client.connect({kPeer.ip, 5003}).code(), 508);
  EXPECT_EQ(world.refused(Refusal::kPeerRate), 1U);
  world.run(Seconds(21));
  begin({kPeer.ip, 5003});
}

TEST_F(TurnTcp, everything_ends_with_the_allocation) {
  for (int how = 0; how < 3; ++how) {
    ASSERT_EQ(client.allocate_tcp().code(), 200);
    const std::uint32_t id = connected();
    const SocketTag tag = world.socket();
    if (how == 0) {
      EXPECT_EQ(client.refresh(0).code(), 200);
    }
    if (how == 1) world.engine().stream_closed(client.tag);
    if (how == 2) world.run(Seconds(601));
    EXPECT_TRUE(world.tcp.listening.empty()) << how;
    EXPECT_EQ(TurnTcpClientOf(world, 2).bind_connection(id).code(), 400) << how;
    EXPECT_TRUE(world.tell({Kind::kConnected, tag, id, {}}).empty());
    EXPECT_TRUE(world.tell({Kind::kComes, tag, id, kPeer}).empty());
  }
  ASSERT_EQ(client.allocate_tcp().code(), 200);
  world.realm().users.erase("alice");
  world.configure();
  EXPECT_TRUE(world.tcp.listening.empty()) << "nor do they outlive their user";
}

TEST_F(TurnTcp, new_rules_end_connections_and_new_rates_are_told) {
  ASSERT_EQ(client.allocate_tcp().code(), 200);
  const std::uint32_t id = connected();
  const std::uint32_t other = connected(kOther);
  world.realm().peers.denied = {{kPeer.ip, 32}};
  world.realm().quotas.bytes_per_second = 12345;
  world.configure();
  EXPECT_EQ(world.tcp.ended.at(id), PeerClose::kRules);
  EXPECT_FALSE(world.tcp.ended.contains(other));
  EXPECT_EQ(world.tcp.traffics.at(world.socket())->bytes_per_second.load(), 12345U);
}

// ---- What keeps it from being abused (docs/security.md)

TEST(Security, T1_connect_asks_the_policy_as_every_method_does) {
  TurnTcpWorld world;
  world.setup.media_port_min = 30000;
  world.setup.media_port_max = 39999;
  TurnTcpClientOf client(world);
  ASSERT_EQ(client.allocate_tcp().code(), 200);
  for (const char* forbidden :
       {"10.0.0.1:5000", "127.0.0.1:5000", "169.254.169.254:5000", "192.168.1.1:5000",
        "224.0.0.1:5000", "0.0.0.0:5000", "9.9.9.9:80", "9.9.9.9:1023", "93.184.216.9:5000",
        "10.1.1.1:5000", "93.184.216.1:3478", "93.184.216.1:23999", "93.184.216.1:30000"}) {
    EXPECT_EQ(client.connect(turn_address(forbidden)).code(), 403) << forbidden;
  }
  EXPECT_EQ(client.connect({kPeer.ip, 0}).code(), 403) << "no port";
  EXPECT_EQ(client.connect(client.relayed).code(), 403) << "not to itself";
  EXPECT_TRUE(world.tcp.connecting.empty());
  // Who comes is judged alike.
  ASSERT_EQ(client.permit({client.relayed}).code(), 200);
  world.tell(turn::TcpEvent::Kind::kComes, 5, turn_address("93.184.216.1:3478"));
  EXPECT_EQ(world.tcp.verdicts.at(5), PeerClose::kNoPermission);
  world.tell(turn::TcpEvent::Kind::kComes, 6, turn_address("93.184.216.1:24999"));
  EXPECT_EQ(world.tcp.verdicts.at(6), std::nullopt) << "another allocation's";
  EXPECT_EQ(client.connect(turn_address("93.184.216.1:24998")).code(), 0);
}

TEST_F(TurnTcp, connections_belong_to_the_present_token) {
  const std::string server = "turn.example.org";
  const std::string key(32, '7');
  world.realm().token_keys = {{"kid", key, {}, {}}};
  world.realm().token_server = server;
  int tokens = 0;
  const auto give = [&](TurnClient& to) {
    ++tokens;
    to.user = "kid";
    to.session_key = TurnBytes(20, static_cast<std::uint8_t>(tokens));
    const auto issued = static_cast<std::uint64_t>(world.wall.count()) << 16;
    to.token = seal_token(key, server, TurnBytes(12, static_cast<std::uint8_t>(tokens)),
                          token_block(to.session_key, issued, 1200));
  };
  give(client);
  ASSERT_EQ(client.allocate_tcp().code(), 200);
  const TurnTcpClientOf at_first = client;
  const std::uint32_t before = connected();
  give(client);
  ASSERT_EQ(client.refresh(600).code(), 200);
  const std::uint32_t after = connected(kOther);
  const auto bind_with = [this](const TurnClient& whose, std::uint32_t number, std::uint32_t id) {
    TurnTcpClientOf data(world, number);
    data.user = whose.user;
    data.session_key = whose.session_key;
    data.token = whose.token;
    return data.bind_connection(id).code();
  };
  EXPECT_EQ(bind_with(at_first, 2, after), 441);
  EXPECT_EQ(bind_with(client, 3, after), 200);
  EXPECT_EQ(bind_with(client, 4, before), 200) << "also those from before";
}

TEST(Security, T24_connections_belong_to_their_user) {
  TurnTcpWorld world;
  TurnTcpClientOf client(world);
  ASSERT_EQ(client.allocate_tcp().code(), 200);
  ASSERT_EQ(client.connect(kPeer).code(), 0);
  const std::uint32_t id = world.tcp.connecting.begin()->first;
  world.tell(turn::TcpEvent::Kind::kConnected, id);
  TurnTcpClientOf thief(world, 2, "bob");
  EXPECT_EQ(thief.bind_connection(id).code(), 441);
  EXPECT_TRUE(world.tcp.bound.empty());
  EXPECT_EQ(TurnTcpClientOf(world, 3).bind_connection(id).code(), 200);
}

TEST(Security, T16_connection_ids_are_random_and_no_two_alike) {
  turn::ConnectionIds ids(3);
  EXPECT_FALSE(ids.add(0, 1));
  EXPECT_TRUE(ids.add(5, 1));
  EXPECT_FALSE(ids.add(5, 2)) << "taken";
  EXPECT_TRUE(ids.add(6, 1));
  EXPECT_TRUE(ids.add(7, 1));
  EXPECT_FALSE(ids.add(8, 1)) << "full";
  EXPECT_EQ(ids.claim(5, 1), turn::ConnectionIds::Claim::kUnknown) << "does not wait";
  ids.await_bind(5);
  EXPECT_EQ(ids.claim(5, 2), turn::ConnectionIds::Claim::kOthers);
  EXPECT_EQ(ids.claim(5, 1), turn::ConnectionIds::Claim::kClaimed);
  EXPECT_EQ(ids.claim(5, 1), turn::ConnectionIds::Claim::kUnknown) << "once";
  EXPECT_FALSE(ids.expire(5));
  ids.await_bind(6);
  EXPECT_TRUE(ids.expire(6));
  EXPECT_EQ(ids.claim(6, 1), turn::ConnectionIds::Claim::kUnknown);
  ids.remove(6);
  EXPECT_TRUE(ids.add(8, 1));

  TurnTcpWorld world;
  TurnTcpClientOf client(world);
  ASSERT_EQ(client.allocate_tcp().code(), 200);
  for (std::uint16_t port = 5000; port < 5004; ++port) client.connect({kPeer.ip, port});
  std::set<std::uint32_t> high;
  for (const auto& [id, one] : world.tcp.connecting) high.insert(id >> 16);
  EXPECT_EQ(high.size(), 4U) << "not one after the other";
}

}  // namespace
}  // namespace turnpike::test
