// The whole relay on real sockets and threads: sessions, forwarding, events, ports that come back.
#include "turnpike/relay.h"

#include <optional>

#include <gtest/gtest.h>
#include <poll.h>

#include "relay/io/loop.h"
#include "relay/pending_commands.h"
#include "tests/support/media_fixture.h"
#include "tests/support/udp_peer.h"

namespace turnpike::test {
namespace {

const IpAddress kOutside = IpAddress::v4(127, 0, 0, 2);
const IpAddress kInside = IpAddress::v4(127, 0, 0, 3);
// Only how long a test goes on before it fails: others may use every core of this machine.
constexpr Seconds kPatience{60};

RelayConfig config_for_test() {
  RelayConfig config;
  const IpAddress loopback6 = *parse_ip("::1");
  config.interfaces = {{"outside", {{kOutside, IpAddress::v4(198, 51, 100, 1)}}},
                       {"inside", {{kInside, kInside}, {loopback6, loopback6}}}};
  config.shards = 2;
  config.pin_shards = false;
  config.sessions_max = 50;
  config.port_min = 40000;
  config.port_max = 40999;
  config.port_quarantine = Seconds(0);
  return config;
}

/// What carries datagrams: every test runs over each.
struct BackEnd {
  const char* name;
  std::uint32_t connect_after;
};

class RelayTest : public ::testing::TestWithParam<BackEnd> {
 protected:
  void start(RelayConfig config) {
    config.connect_after = GetParam().connect_after;
    auto started = Relay::start(config);
    ASSERT_TRUE(started) << started.error().message;
    relay = std::move(*started);
  }
  Relay::Opened open(SessionSpec spec = outside_to_inside()) {
    OpenFailure failure{};
    auto opened = relay->open_session(spec, failure);
    EXPECT_TRUE(opened) << opened.error().message;
    return opened ? *opened : Relay::Opened{};
  }
  static SessionSpec outside_to_inside() {
    SessionSpec spec;
    spec.interface_index = {0, 1};
    return spec;
  }
  // Waits for the event with this token.
  std::optional<Event> wait_for(std::uint64_t token, Milliseconds limit = Milliseconds(5000)) {
    std::optional<Event> found;
    relay->flush();
    pollfd wait{relay->event_fd(), POLLIN, 0};
    while (!found && poll(&wait, 1, static_cast<int>(limit.count())) > 0) {
      relay->poll_events([&](const Event& event) {
        if (event.token == token) found = event;
      });
    }
    return found;
  }
  static LegConfig plain(const UdpPeer& peer) {
    LegConfig config;
    config.remote = {peer.local(), peer.local()};
    return config;
  }

  std::unique_ptr<Relay> relay;
};

INSTANTIATE_TEST_SUITE_P(over, RelayTest,
                         ::testing::Values(BackEnd{"sockets", 0}, BackEnd{"connected", 1}),
                         [](const auto& tested) { return tested.param.name; });

TEST_P(RelayTest, forwards_between_two_programs) {
  start(config_for_test());
  UdpPeer a(kOutside);
  UdpPeer b(kInside);
  const auto session = open();
  EXPECT_EQ(session.ports.advertised[0][0].ip, IpAddress::v4(198, 51, 100, 1));
  EXPECT_EQ(session.ports.local[0][0].port % 2, 0);
  EXPECT_EQ(session.ports.local[0][1].port, session.ports.local[0][0].port + 1);
  relay->update_leg(session.id, Side::kA, plain(a));
  relay->update_leg(session.id, Side::kB, plain(b));
  ASSERT_TRUE(relay->query_session(session.id, 1));
  ASSERT_TRUE(wait_for(1));  // commands are applied in order: the legs are set
  for (std::uint16_t i = 0; i < 100; ++i) {
    const auto packet = rtp_packet(i);
    a.send(packet, session.ports.local[0][0]);
    const auto at_b = b.receive();
    ASSERT_EQ(at_b.bytes, packet);
    EXPECT_EQ(at_b.from, session.ports.local[1][0]);
    b.send(packet, session.ports.local[1][0]);
    ASSERT_EQ(a.receive().bytes, packet);
  }
  relay->close_session(session.id, 2);
  const auto closed = wait_for(2);
  ASSERT_TRUE(closed);
  EXPECT_EQ(closed->kind, EventKind::kSessionClosed);
  EXPECT_EQ(closed->stats.legs[0].packets_received, 100U);
  EXPECT_EQ(closed->stats.legs[0].packets_sent, 100U);
  EXPECT_EQ(relay->usage().sessions, 0U);
  EXPECT_EQ(relay->usage().ports_in_use, 0U);
}

// The kernel hands a connected socket only what comes from its peer, but not before it is
// connected: the rule about sources must not lean on it.
TEST_P(RelayTest, connected_sends_change_nothing_about_who_is_heard) {
  start(config_for_test());
  UdpPeer a(kOutside);
  UdpPeer b(kInside);
  UdpPeer stranger(kInside);
  const auto session = open();
  relay->update_leg(session.id, Side::kA, plain(a));
  relay->update_leg(session.id, Side::kB, plain(b));
  ASSERT_TRUE(relay->query_session(session.id, 1) && wait_for(1));
  for (std::uint16_t i = 0; i < 20; ++i) {
    stranger.send(rtp_packet(i), session.ports.local[1][0]);
    const auto packet = rtp_packet(i);
    b.send(packet, session.ports.local[1][0]);
    const auto at_a = a.receive();
    ASSERT_EQ(at_a.bytes, packet);
    EXPECT_EQ(at_a.from, session.ports.local[0][0]);
    a.send(packet, session.ports.local[0][0]);
    const auto at_b = b.receive();
    ASSERT_EQ(at_b.bytes, packet);
    EXPECT_EQ(at_b.from, session.ports.local[1][0]);
  }
  UdpPeer moved(kInside);  // a re-INVITE names another address
  relay->update_leg(session.id, Side::kB, plain(moved));
  ASSERT_TRUE(relay->query_session(session.id, 2) && wait_for(2));
  a.send(rtp_packet(20), session.ports.local[0][0]);
  EXPECT_EQ(moved.receive().bytes, rtp_packet(20));
  moved.send(rtp_packet(21), session.ports.local[1][0]);
  EXPECT_EQ(a.receive().bytes, rtp_packet(21));
  relay->close_session(session.id, 3);
  const auto closed = wait_for(3);
  ASSERT_TRUE(closed);
  EXPECT_EQ(closed->stats.legs[1].drops[static_cast<std::size_t>(DropReason::kWrongSource)], 20U);
  EXPECT_EQ(closed->stats.legs[1].packets_received, 21U);
}

TEST_P(RelayTest, a_flush_is_all_that_a_new_call_needs) {
  start(config_for_test());
  UdpPeer a(kOutside);
  UdpPeer b(kInside);
  const auto session = open();
  relay->update_leg(session.id, Side::kA, plain(a));
  relay->update_leg(session.id, Side::kB, plain(b));
  // Media may be there before the shard has heard of the call: it waits in the socket.
  a.send(rtp_packet(1), session.ports.local[0][0]);
  relay->flush();
  EXPECT_EQ(b.receive().bytes, rtp_packet(1));
}

TEST_P(RelayTest, srtp_outside_and_ipv6_inside) {
  start(config_for_test());
  UdpPeer a(kOutside);
  UdpPeer b(*parse_ip("::1"));
  SessionSpec spec = outside_to_inside();
  spec.family = {AddressFamily::kIpv4, AddressFamily::kIpv6};
  const auto session = open(spec);
  LegConfig secure = plain(a);
  secure.must_encrypt = true;
  secure.receive = keying(SrtpSuite::kAesCm128HmacSha1_80, 1);
  secure.send = keying(SrtpSuite::kAeadAes256Gcm, 2);
  SrtpPeer client(secure.receive, secure.send);
  relay->update_leg(session.id, Side::kA, secure);
  relay->update_leg(session.id, Side::kB, plain(b));
  ASSERT_TRUE(relay->query_session(session.id, 1) && wait_for(1));
  const auto packet = rtp_packet(1);
  a.send(client.protect(packet), session.ports.local[0][0]);
  ASSERT_EQ(b.receive().bytes, packet);
  b.send(packet, session.ports.local[1][0]);
  EXPECT_EQ(client.unprotect(a.receive().bytes), packet);
}

TEST_P(RelayTest, a_stranger_is_not_heard_and_not_answered) {
  start(config_for_test());
  UdpPeer a(kOutside);
  UdpPeer b(kInside);
  UdpPeer stranger(kOutside);
  const auto session = open();
  relay->update_leg(session.id, Side::kA, plain(a));
  relay->update_leg(session.id, Side::kB, plain(b));
  ASSERT_TRUE(relay->query_session(session.id, 1) && wait_for(1));
  stranger.send(rtp_packet(1), session.ports.local[0][0]);
  a.send(rtp_packet(2), session.ports.local[0][0]);
  EXPECT_EQ(b.receive().bytes, rtp_packet(2));  // the first one never came
  relay->close_session(session.id, 2);
  const auto closed = wait_for(2);
  ASSERT_TRUE(closed);
  EXPECT_EQ(closed->stats.legs[0].drops[static_cast<std::size_t>(DropReason::kWrongSource)], 1U);
}

TEST_P(RelayTest, a_leg_with_both_families_sends_from_the_one_that_its_remote_end_has) {
  start(config_for_test());
  UdpPeer a(kOutside);
  UdpPeer b(kInside);
  UdpPeer b6(*parse_ip("::1"));
  SessionSpec spec = outside_to_inside();
  spec.both_families = {true, true};
  const auto session = open(spec);
  EXPECT_FALSE(session.ports.has_both_families(Side::kA)) << "outside has IPv4 only";
  ASSERT_TRUE(session.ports.has_both_families(Side::kB));
  const SocketAddress inside6 = session.ports.other_local[1][0];
  EXPECT_TRUE(inside6.ip.is_v6());
  EXPECT_EQ(session.ports.other_advertised[1][1].port, inside6.port + 1);
  EXPECT_EQ(relay->usage().ports_in_use, 6U);
  relay->update_leg(session.id, Side::kA, plain(a));
  for (const UdpPeer* peer : {&b6, &b, &b6}) {
    relay->update_leg(session.id, Side::kB, plain(*peer));
    ASSERT_TRUE(relay->query_session(session.id, 1));
    ASSERT_TRUE(wait_for(1));
    const SocketAddress ours = peer == &b ? session.ports.local[1][0] : inside6;
    for (std::uint16_t i = 0; i < 20; ++i) {
      const auto packet = rtp_packet(i);
      a.send(packet, session.ports.local[0][0]);
      const auto received = peer->receive();
      ASSERT_EQ(received.bytes, packet);
      EXPECT_EQ(received.from, ours);
      peer->send(packet, ours);
      ASSERT_EQ(a.receive().bytes, packet);
    }
  }
  relay->close_session(session.id, 2);
  ASSERT_TRUE(wait_for(2));
  EXPECT_EQ(relay->usage().ports_in_use, 0U) << "all are given back";
  const auto plain_session = open();
  EXPECT_EQ(relay->usage().ports_in_use, 4U);
  relay->close_session(plain_session.id, 3);
  ASSERT_TRUE(wait_for(3));
  EXPECT_EQ(relay->usage().ports_in_use, 0U) << "and once";
}

TEST_P(RelayTest, sessions_of_one_call_share_a_shard_and_shards_have_disjoint_ports) {
  start(config_for_test());
  const auto first = open();
  SessionSpec same = outside_to_inside();
  same.shard = first.id.shard;
  EXPECT_EQ(open(same).id.shard, first.id.shard);
  const auto elsewhere = open();
  EXPECT_NE(elsewhere.id.shard, first.id.shard);
  const bool low_first = first.ports.local[0][0].port < 40500;
  const bool low_else = elsewhere.ports.local[0][0].port < 40500;
  EXPECT_NE(low_first, low_else);
}

TEST_P(RelayTest, limits_refuse_and_recover) {
  RelayConfig config = config_for_test();
  config.sessions_max = 3;
  start(config);
  std::vector<Relay::Opened> open_ones;
  for (int i = 0; i < 3; ++i) open_ones.push_back(open());
  OpenFailure failure{};
  const auto refused = relay->open_session(outside_to_inside(), failure);
  ASSERT_FALSE(refused);
  EXPECT_EQ(failure, OpenFailure::kSessionLimit);
  relay->close_session(open_ones[0].id, 9);
  relay->close_session(open_ones[0].id, 10);  // a second time is nothing
  ASSERT_TRUE(wait_for(9));
  EXPECT_EQ(relay->usage().sessions, 2U);
  EXPECT_NE(open().id.generation, 0U);
}

TEST_P(RelayTest, busy_shards_take_no_new_calls_and_go_on_with_those_that_are_up) {
  RelayConfig config = config_for_test();
  config.shards = 1;
  config.busy_max_percent = 2;
  start(config);
  UdpPeer a(kOutside);
  UdpPeer b(kInside);
  const auto session = open();
  relay->update_leg(session.id, Side::kA, plain(a));
  relay->update_leg(session.id, Side::kB, plain(b));
  // Whether a new call is taken now. One call at a time, so that the reason for a refusal is never
  // that the shard had no time yet to close the ones before.
  std::uint64_t calls = 100;
  const auto is_taken = [&] {
    OpenFailure failure{};
    relay->on_tick();
    const auto opened = relay->open_session(outside_to_inside(), failure);
    if (!opened) {
      EXPECT_EQ(failure, OpenFailure::kOverloaded);
      return false;
    }
    relay->close_session(opened->id, ++calls);
    EXPECT_TRUE(wait_for(calls, kPatience));
    return true;
  };
  bool taken = true;
  const Instant began = monotonic_now();
  for (std::uint16_t i = 0; taken && monotonic_now() - began < kPatience; ++i) {
    for (int k = 0; k < 50; ++k) a.send(rtp_packet(i), session.ports.local[0][0]);
    taken = is_taken();
  }
  ASSERT_FALSE(taken);
  EXPECT_EQ(relay->usage().overload_refusals, 1U);
  SessionSpec second_line = outside_to_inside();
  second_line.shard = session.id.shard;
  open(second_line);
  const Instant rests = monotonic_now();
  while (!taken && monotonic_now() - rests < kPatience) {
    taken = is_taken();  // with no load
    wait_for(77, Milliseconds(50));
  }
  EXPECT_TRUE(taken);
}

TEST_P(RelayTest, port_exhaustion_leaves_nothing_half_built) {
  RelayConfig config = config_for_test();
  config.shards = 1;
  config.port_min = 40000;
  config.port_max = 40007;  // four pairs per address
  start(config);
  for (int i = 0; i < 4; ++i) open();
  OpenFailure failure{};
  ASSERT_FALSE(relay->open_session(outside_to_inside(), failure));
  EXPECT_EQ(failure, OpenFailure::kOutOfPorts);
  EXPECT_EQ(relay->usage().ports_in_use, 16U);
  EXPECT_EQ(relay->usage().sessions, 4U);
}

TEST_P(RelayTest, stale_ids_are_harmless) {
  start(config_for_test());
  const auto session = open();
  relay->close_session(session.id, 1);
  ASSERT_TRUE(wait_for(1));
  EXPECT_FALSE(relay->query_session(session.id, 2));
  relay->update_leg(session.id, Side::kA, LegConfig{});
  relay->close_session(session.id, 3);
  EXPECT_FALSE(relay->query_session(SessionId{9999, 1, 9}, 4));
  EXPECT_EQ(relay->usage().sessions, 0U);
}

TEST_P(RelayTest, thousands_of_commands_at_once_are_neither_lost_nor_reordered) {
  RelayConfig config = config_for_test();
  config.shards = 1;
  start(config);
  const auto session = open();
  constexpr std::uint64_t kQueries = 3000;
  for (std::uint64_t i = 1; i <= kQueries; ++i) ASSERT_TRUE(relay->query_session(session.id, i));
  relay->close_session(session.id, kQueries + 1);
  relay->flush();
  std::uint64_t last = 0;
  pollfd wait{relay->event_fd(), POLLIN, 0};
  while (last <= kQueries && poll(&wait, 1, 5000) > 0) {
    relay->poll_events([&](const Event& event) { EXPECT_EQ(event.token, ++last); });
  }
  EXPECT_EQ(last, kQueries + 1);
}

// A control thread that does not read its events stops the shard, and so its own commands pile up.
TEST_P(RelayTest, commands_that_wait_are_bounded_and_the_newest_configuration_wins) {
  RelayConfig config = config_for_test();
  config.shards = 1;
  start(config);
  const auto session = open();
  UdpPeer a(kOutside);
  UdpPeer b(kInside);
  UdpPeer newest(kInside);
  std::uint64_t asked = 0;
  while (relay->query_session(session.id, 1)) ++asked;
  EXPECT_GE(asked, PendingCommands::kWaitingMax);
  EXPECT_EQ(relay->usage().commands_waiting, PendingCommands::kWaitingMax);
  OpenFailure failure{};
  EXPECT_FALSE(relay->open_session(outside_to_inside(), failure));
  EXPECT_EQ(failure, OpenFailure::kSessionLimit);
  EXPECT_EQ(relay->usage().commands_refused, 2U);
  for (int i = 0; i < 10000; ++i) {
    relay->update_leg(session.id, Side::kA, plain(a));
    relay->update_leg(session.id, Side::kB, plain(i < 9999 ? b : newest));
  }
  EXPECT_EQ(relay->usage().commands_waiting, PendingCommands::kWaitingMax + 2);

  while (relay->usage().commands_waiting != 0) wait_for(0, Milliseconds(10));
  ASSERT_TRUE(relay->query_session(session.id, 2));
  ASSERT_TRUE(wait_for(2));
  a.send(rtp_packet(1), session.ports.local[0][0]);
  EXPECT_EQ(newest.receive().bytes, rtp_packet(1));
  open();
}

TEST_P(RelayTest, many_calls_come_and_go_and_every_port_returns) {
  RelayConfig config = config_for_test();
  config.sessions_max = 20;
  start(config);
  std::uint64_t token = 100;
  for (int round = 0; round < 200; ++round) {
    std::vector<Relay::Opened> calls;
    for (int i = 0; i < 20; ++i) calls.push_back(open());
    for (const auto& call : calls) relay->close_session(call.id, ++token);
    ASSERT_TRUE(wait_for(token)) << round;
    while (relay->usage().sessions != 0) ASSERT_TRUE(wait_for(0, Milliseconds(10)) || true);
  }
  EXPECT_EQ(relay->usage().ports_in_use, 0U);
}

}  // namespace
}  // namespace turnpike::test
