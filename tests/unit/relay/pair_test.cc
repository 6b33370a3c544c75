// Two relays as edge and core, on real sockets: media between a client outside and a phone inside
// through the shared flows, with different numbers of shards.
#include <set>

#include <gtest/gtest.h>
#include <poll.h>

#include "relay/io/loop.h"
#include "relay/io/secure_random.h"
#include "relay/mux/header.h"
#include "tests/support/media_fixture.h"
#include "tests/support/udp_peer.h"
#include "tests/unit/relay/client_hello.h"
#include "turnpike/relay.h"

namespace turnpike::test {
namespace {

const IpAddress kOutside = IpAddress::v4(127, 0, 0, 2);
const IpAddress kInside = IpAddress::v4(127, 0, 0, 3);
const IpAddress kFlows = IpAddress::v4(127, 0, 0, 4);
constexpr unsigned kEdgeShards = 2;
constexpr unsigned kCoreShards = 3;
constexpr SrtpSuite kSuite = SrtpSuite::kAesCm128HmacSha1_80;

RelayConfig base_config(const char* name, const IpAddress& address, unsigned shards) {
  RelayConfig config;
  config.interfaces = {{name, {{address, address}}}};
  config.shards = shards;
  config.pin_shards = false;
  config.sessions_max = 20;
  config.port_min = 41000;
  config.port_max = 41999;
  config.port_quarantine = Seconds(0);
  config.connect_after = 0;  // in a burst a connected socket is read before what came earlier
  return config;
}

std::vector<SocketAddress> two_free_ports() {
  const UdpPeer first(kFlows);
  const UdpPeer second(kFlows);
  return {first.local(), second.local()};
}

class PairTest : public ::testing::Test {
 protected:
  PairTest() {
    RelayConfig edge_config = base_config("outside", kOutside, kEdgeShards);
    edge_config.pair_role = PairRole::kEdge;
    edge_config.flow_ports = two_free_ports();
    ports = edge_config.flow_ports;
    edge = start(edge_config);
    RelayConfig core_config = base_config("inside", kInside, kCoreShards);
    core_config.pair_role = PairRole::kCore;
    core = start(core_config);
    for (std::uint16_t shard = 0; shard < kCoreShards; ++shard) {
      CoreFlow flow;
      flow.shard = shard;
      flow.remote = ports[shard % ports.size()];
      fill_random(&flow.keys, sizeof flow.keys);
      flow.number = *edge->flows()->add_flow(flow.keys);
      EXPECT_TRUE(core->flows()->set_flow(flow));
      flows.push_back(flow);
    }
    core->flush();
    EXPECT_TRUE(soon([&] {
      for (const CoreFlow& flow : flows) {
        if (!edge->flows()->edge_report(flow.number).address.is_set()) return false;
        if (!core->flows()->core_report(0, flow.shard).address.is_set()) return false;
      }
      return true;
    })) << "the flows are bound";
  }
  static std::unique_ptr<Relay> start(const RelayConfig& config) {
    auto started = Relay::start(config);
    EXPECT_TRUE(started) << started.error().message;
    return std::move(*started);
  }
  template <typename Condition>
  bool soon(Condition condition) const {
    for (int i = 0; i < 500; ++i) {
      if (condition()) return true;
      poll(nullptr, 0, 10);
    }
    return false;
  }

  struct Call {
    Relay::Opened edge;
    Relay::Opened core;
  };
  static Relay::Opened open(Relay& relay, std::array<bool, 2> carried, int shard) {
    SessionSpec spec;
    spec.carried = carried;
    spec.shard = shard;
    OpenFailure failure{};
    auto opened = relay.open_session(spec, failure);
    EXPECT_TRUE(opened) << opened.error().message;
    return *opened;
  }
  // The client sends with key 1 and receives with key 2.
  Call set_up(const SocketAddress& client, const SocketAddress& phone, int edge_shard,
              int core_shard) {
    Call call;
    call.edge = open(*edge, {false, true}, edge_shard);
    call.core = open(*core, {true, false}, core_shard);
    const CoreFlow& flow = flows[static_cast<std::size_t>(core_shard)];
    LegConfig outside;
    outside.opaque = true;
    outside.remote = {client, client};
    edge->update_leg(call.edge.id, Side::kA, outside);
    LegConfig to_core;
    to_core.opaque = true;
    to_core.carriage = {flow.number, static_cast<std::uint8_t>(core_shard), Side::kA,
                        call.core.id.slot, call.core.id.generation};
    edge->update_leg(call.edge.id, Side::kB, to_core);

    LegConfig to_edge;
    to_edge.must_encrypt = true;
    to_edge.receive = keying(kSuite, 1);
    to_edge.send = keying(kSuite, 2);
    to_edge.remote = {address_of_source(0), address_of_source(0)};
    to_edge.carriage = {0, static_cast<std::uint8_t>(edge_shard), Side::kB, call.edge.id.slot,
                        call.edge.id.generation};
    core->update_leg(call.core.id, Side::kA, to_edge);
    LegConfig inside;
    inside.remote = {phone, phone};
    core->update_leg(call.core.id, Side::kB, inside);
    stats(*edge, call.edge.id);  // commands are applied in order: the legs are set
    stats(*core, call.core.id);
    return call;
  }
  SessionStats stats(Relay& relay, SessionId id) {
    const std::uint64_t token = ++serial;
    EXPECT_TRUE(relay.query_session(id, token));
    relay.flush();
    std::optional<SessionStats> found;
    pollfd wait{relay.event_fd(), POLLIN, 0};
    while (!found && poll(&wait, 1, 5000) > 0) {
      relay.poll_events([&](const Event& event) {
        if (event.token == token) found = event.stats;
      });
    }
    EXPECT_TRUE(found);
    return found.value_or(SessionStats{});
  }
  static std::uint64_t drops(const Relay& relay, DropReason reason) {
    std::uint64_t sum = 0;
    for (std::size_t shard = 0; shard < relay.shard_count(); ++shard) {
      sum += relay.shard_counters(shard).drops[static_cast<std::size_t>(reason)].value();
    }
    return sum;
  }

  static std::uint64_t taken_in(const Relay& relay) {
    std::uint64_t sum = 0;
    for (std::size_t shard = 0; shard < relay.shard_count(); ++shard) {
      sum += relay.shard_counters(shard).transport_received.value();
    }
    return sum;
  }

  std::vector<SocketAddress> ports;
  std::unique_ptr<Relay> edge;
  std::unique_ptr<Relay> core;
  std::vector<CoreFlow> flows;
  std::uint64_t serial = 0;
};

TEST_F(PairTest, a_client_outside_talks_to_a_phone_inside_over_every_pair_of_shards) {
  for (int edge_shard = 0; edge_shard < static_cast<int>(kEdgeShards); ++edge_shard) {
    for (int core_shard = 0; core_shard < static_cast<int>(kCoreShards); ++core_shard) {
      UdpPeer client(kOutside);
      UdpPeer phone(kInside);
      SrtpPeer srtp(keying(kSuite, 1), keying(kSuite, 2));
      const Call call = set_up(client.local(), phone.local(), edge_shard, core_shard);
      EXPECT_FALSE(call.edge.ports.local[1][0].is_set());
      EXPECT_FALSE(call.core.ports.local[0][0].is_set());
      for (std::uint16_t i = 0; i < 50; ++i) {
        const auto packet = rtp_packet(i);
        client.send(srtp.protect(packet), call.edge.ports.local[0][0]);
        ASSERT_EQ(phone.receive().bytes, packet) << edge_shard << " x " << core_shard;
        phone.send(packet, call.core.ports.local[1][0]);
        const auto at_client = client.receive();
        ASSERT_EQ(srtp.unprotect(at_client.bytes), packet);
        EXPECT_EQ(at_client.from, call.edge.ports.local[0][0]);
      }
      client.send(srtp.protect(rtcp_packet(), true), call.edge.ports.local[0][1]);
      EXPECT_EQ(phone.receive().bytes, rtcp_packet());
      EXPECT_EQ(stats(*edge, call.edge.id).legs[0].packets_received, 50U);
      EXPECT_EQ(stats(*core, call.core.id).legs[0].packets_received, 50U);
      EXPECT_EQ(stats(*core, call.core.id).legs[0].rtcp_received, 1U);
    }
  }
}

// What leaves in one piece goes to one shard of the edge, and comes apart in order.
TEST_F(PairTest, bursts_of_many_calls_and_sizes_arrive_whole_and_in_order) {
  constexpr std::size_t kCalls = 6;
  constexpr std::uint16_t kPackets = 120;
  std::array<UdpPeer, kCalls> clients{UdpPeer(kOutside), UdpPeer(kOutside), UdpPeer(kOutside),
                                      UdpPeer(kOutside), UdpPeer(kOutside), UdpPeer(kOutside)};
  std::array<UdpPeer, kCalls> phones{UdpPeer(kInside), UdpPeer(kInside), UdpPeer(kInside),
                                     UdpPeer(kInside), UdpPeer(kInside), UdpPeer(kInside)};
  std::array<Call, kCalls> calls;
  for (std::size_t i = 0; i < kCalls; ++i) {  // all on one flow, to both shards of the edge
    calls[i] = set_up(clients[i].local(), phones[i].local(), static_cast<int>(i % kEdgeShards), 1);
  }
  const auto packet_of = [](std::size_t call, std::uint16_t sequence) {
    auto packet = rtp_packet(sequence);
    packet.resize(packet.size() + 10 * (call % 2) + (sequence % 5 == 4 ? 7 : 0), 0x11);
    return packet;
  };
  std::array<SrtpPeer, kCalls> srtp{SrtpPeer(keying(kSuite, 1), keying(kSuite, 2)),
                                    SrtpPeer(keying(kSuite, 1), keying(kSuite, 2)),
                                    SrtpPeer(keying(kSuite, 1), keying(kSuite, 2)),
                                    SrtpPeer(keying(kSuite, 1), keying(kSuite, 2)),
                                    SrtpPeer(keying(kSuite, 1), keying(kSuite, 2)),
                                    SrtpPeer(keying(kSuite, 1), keying(kSuite, 2))};
  for (std::uint16_t sequence = 0; sequence < kPackets; ++sequence) {
    for (std::size_t i = 0; i < kCalls; ++i) {
      const auto packet = packet_of(i, sequence);
      clients[i].send(srtp[i].protect(packet), calls[i].edge.ports.local[0][0]);
      phones[i].send(packet, calls[i].core.ports.local[1][0]);
    }
  }
  for (std::size_t i = 0; i < kCalls; ++i) {
    for (std::uint16_t sequence = 0; sequence < kPackets; ++sequence) {
      ASSERT_EQ(phones[i].receive().bytes, packet_of(i, sequence)) << i << ' ' << sequence;
      ASSERT_EQ(srtp[i].unprotect(clients[i].receive().bytes), packet_of(i, sequence));
    }
    for (const SessionStats& all :
         {stats(*edge, calls[i].edge.id), stats(*core, calls[i].core.id)}) {
      for (const LegStats& leg : all.legs) {
        EXPECT_EQ(leg.packets_received, kPackets);
        EXPECT_EQ(leg.packets_sent, kPackets) << "counted when it has left";
      }
    }
  }
  EXPECT_EQ(drops(*edge, DropReason::kFlowForeign), 0U);
}

TEST_F(PairTest, a_client_that_moves_is_followed_by_what_it_proves) {
  UdpPeer client(kOutside);
  UdpPeer moved(kOutside);
  UdpPeer stranger(kOutside);
  UdpPeer phone(kInside);
  SrtpPeer srtp(keying(kSuite, 1), keying(kSuite, 2));
  const Call call = set_up(client.local(), phone.local(), 0, 1);
  std::uint16_t sequence = 0;
  const auto talk = [&](const UdpPeer& from) {
    const auto packet = rtp_packet(sequence++);
    from.send(srtp.protect(packet), call.edge.ports.local[0][0]);
    EXPECT_EQ(phone.receive().bytes, packet);
    phone.send(packet, call.core.ports.local[1][0]);
  };
  talk(client);
  EXPECT_FALSE(client.receive().bytes.empty());
  for (int i = 0; i < 20; ++i) {
    stranger.send(rtp_packet(500), call.edge.ports.local[0][0]);
    talk(client);
    EXPECT_FALSE(client.receive().bytes.empty());
  }
  bool followed = false;
  for (int i = 0; i < 200 && !followed; ++i) {
    talk(moved);
    followed = !moved.receive(Milliseconds(5)).bytes.empty();
  }
  EXPECT_TRUE(followed);
  EXPECT_TRUE(stranger.receive(Milliseconds(20)).bytes.empty());
  EXPECT_EQ(stats(*core, call.core.id).legs[0].source_moves, 1U);
  EXPECT_GE(drops(*core, DropReason::kAuthFailed), 20U);
}

// A ClientHello that is faster than the answer of the same phone (RFC 5763 section 5).
TEST_F(PairTest, an_early_client_hello_reaches_the_core_after_its_answer) {
  UdpPeer client(kOutside);
  UdpPeer stranger(kOutside);
  Call call;
  call.edge = open(*edge, {false, true}, 0);
  call.core = open(*core, {true, false}, 1);
  LegConfig outside;
  outside.opaque = true;
  LegConfig to_core;
  to_core.opaque = true;
  to_core.carriage = {flows[1].number, 1, Side::kA, call.core.id.slot, call.core.id.generation};
  edge->update_leg(call.edge.id, Side::kA, outside);
  edge->update_leg(call.edge.id, Side::kB, to_core);
  stats(*edge, call.edge.id);
  client.send(client_hello(), call.edge.ports.local[0][0]);
  stranger.send(client_hello(), call.edge.ports.local[0][0]);
  EXPECT_TRUE(soon([&] { return taken_in(*edge) == 2; }));
  EXPECT_EQ(drops(*core, DropReason::kFlowForeign), 0U) << "before anybody has answered";

  outside.remote = {client.local(), client.local()};
  edge->update_leg(call.edge.id, Side::kA, outside);
  edge->flush();
  EXPECT_TRUE(soon([&] { return drops(*core, DropReason::kFlowForeign) >= 2; }));
  LegConfig to_edge;
  to_edge.must_encrypt = true;
  to_edge.remote = {address_of_source(0), address_of_source(0)};
  to_edge.carriage = {0, 0, Side::kB, call.edge.id.slot, call.edge.id.generation};
  core->update_leg(call.core.id, Side::kA, to_edge);
  core->flush();
  // This core's leg is not keyed by DTLS, and says so: four times of both in all.
  const auto heard = [&] {
    const SessionStats all = stats(*core, call.core.id);
    return all.legs[0].drops[static_cast<std::size_t>(DropReason::kUnexpectedDtls)];
  };
  EXPECT_TRUE(soon([&] { return heard() + drops(*core, DropReason::kFlowForeign) == 8; }));
  EXPECT_GE(heard(), 2U);
}

// Where the client's own address needs proof, signalling names none; the core takes who proves it.
TEST_F(PairTest, dtls_of_a_client_at_an_address_that_needs_proof_passes) {
  UdpPeer client(kOutside);
  UdpPeer phone(kInside);
  const Call call = set_up(client.local(), phone.local(), 0, 1);
  LegConfig outside;
  outside.opaque = true;
  outside.remote_unproven = true;
  outside.received_from = client.local().ip;
  edge->update_leg(call.edge.id, Side::kA, outside);
  stats(*edge, call.edge.id);
  client.send(client_hello(), call.edge.ports.local[0][0]);
  EXPECT_TRUE(soon([&] {
    const SessionStats all = stats(*core, call.core.id);
    return all.legs[0].drops[static_cast<std::size_t>(DropReason::kUnexpectedDtls)] == 1;
  })) << "which this core's leg does not speak";
  EXPECT_EQ(drops(*edge, DropReason::kUnexpectedDtls), 0U);
}

TEST_F(PairTest, spraying_shared_ports_moves_nothing_but_counters) {
  UdpPeer client(kOutside);
  UdpPeer phone(kInside);
  SrtpPeer srtp(keying(kSuite, 1), keying(kSuite, 2));
  const Call call = set_up(client.local(), phone.local(), 1, 2);
  UdpPeer stranger(kFlows);
  const auto spray = [&](const std::vector<std::uint8_t>& datagram) {
    for (const SocketAddress& port : ports) stranger.send(datagram, port);
  };
  std::vector<std::uint8_t> forged(60, 0x33);
  mux::Header header;
  header.shard = 1;
  header.flow = flows[2].number;
  header.side = Side::kB;
  header.slot = call.edge.id.slot;
  header.generation = call.edge.id.generation;
  mux::write_header({}, header, 40, forged.data());
  spray(forged);  // everything right but the key
  header.flow = 999;
  mux::write_header({}, header, 40, forged.data());
  spray(forged);
  // Right for another flow, which has no say in this session.
  header.flow = flows[0].number;
  mux::write_header(flows[0].keys.to_edge, header, 40, forged.data());
  spray(forged);
  for (std::size_t size = 0; size < 24; ++size) {
    spray(std::vector<std::uint8_t>(size, 0xc1));
    spray(std::vector<std::uint8_t>(size, 0x01));
  }
  const auto all = ports.size();
  EXPECT_TRUE(soon([&] {
    return drops(*edge, DropReason::kFlowTag) >= all &&
           drops(*edge, DropReason::kFlowUnknown) >= all &&
           drops(*edge, DropReason::kFlowForeign) >= all &&
           drops(*edge, DropReason::kFlowMalformed) >= all * 23 &&
           drops(*edge, DropReason::kFlowBinding) >= all * 24;
  })) << drops(*edge, DropReason::kFlowTag)
      << ' ' << drops(*edge, DropReason::kFlowUnknown) << ' '
      << drops(*edge, DropReason::kFlowForeign) << ' ' << drops(*edge, DropReason::kFlowMalformed)
      << ' ' << drops(*edge, DropReason::kFlowBinding);
  const auto packet = rtp_packet(1);
  client.send(srtp.protect(packet), call.edge.ports.local[0][0]);
  EXPECT_EQ(phone.receive().bytes, packet);
  EXPECT_EQ(stats(*edge, call.edge.id).legs[1].packets_received, 0U);
}

TEST_F(PairTest, a_session_that_is_over_is_heard_no_more) {
  UdpPeer client(kOutside);
  UdpPeer phone(kInside);
  SrtpPeer srtp(keying(kSuite, 1), keying(kSuite, 2));
  const Call call = set_up(client.local(), phone.local(), 0, 0);
  edge->close_session(call.edge.id, 777);
  edge->flush();
  EXPECT_TRUE(soon([&] {
    edge->poll_events([](const Event&) {});
    return edge->usage().sessions == 0;
  }));
  phone.send(rtp_packet(1), call.core.ports.local[1][0]);
  EXPECT_TRUE(soon([&] { return drops(*edge, DropReason::kFlowForeign) == 1; }));
  EXPECT_EQ(edge->usage().ports_in_use, 0U);
}

TEST_F(PairTest, without_a_role_nothing_can_be_carried) {
  auto single = start(base_config("outside", kOutside, 1));
  EXPECT_EQ(single->flows(), nullptr);
  SessionSpec spec;
  spec.carried = {false, true};
  OpenFailure failure{};
  EXPECT_FALSE(single->open_session(spec, failure));
  EXPECT_EQ(failure, OpenFailure::kBadSpec);
  EXPECT_EQ(single->usage().ports_in_use, 0U);
  EXPECT_FALSE(core->flows()->add_flow({}));
  EXPECT_FALSE(edge->flows()->set_flow({}));
}

}  // namespace
}  // namespace turnpike::test
