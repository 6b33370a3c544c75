// The TURN server of a whole relay: its sockets on every shard, settings, questions and answers.
#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <string>

#include <gtest/gtest.h>
#include <poll.h>

#include "relay/io/loop.h"
#include "tests/support/udp_peer.h"
#include "turnpike/relay.h"

namespace turnpike::test {
namespace {

const IpAddress kServer = IpAddress::v4(127, 0, 0, 4);
constexpr std::uint16_t kPort = 23479;

std::vector<std::uint8_t> request(std::uint8_t method) {
  std::vector<std::uint8_t> bytes = {0, method, 0, 0, 0x21, 0x12, 0xa4, 0x42};
  for (std::uint8_t i = 0; i < 12; ++i) bytes.push_back(i);
  return bytes;
}

RelayConfig config_for_test() {
  RelayConfig config;
  config.interfaces = {{"outside", {{kServer, kServer}}}};
  config.shards = 2;
  config.pin_shards = false;
  config.sessions_max = 10;
  config.port_min = 40000;
  config.port_max = 40099;
  config.turn.listeners = {{turn::ListenerTransport::kUdp, {kServer, kPort}}};
  config.turn.relay_addresses = {{kServer, kServer}};
  config.turn.port_min = 41000;
  config.turn.port_max = 41099;
  config.turn.allocations_max = 20;
  return config;
}

std::shared_ptr<turn::Settings> settings_for_test() {
  auto settings = std::make_shared<turn::Settings>();
  settings->realms.emplace_back().name = "example.org";
  return settings;
}

class RelayTurn : public testing::Test {
 protected:
  void SetUp() override {
    auto started = Relay::start(config_for_test());
    ASSERT_TRUE(started) << started.error().message;
    relay = std::move(*started);
    ASSERT_NE(relay->turn(), nullptr);
    EXPECT_TRUE(relay->turn()->configure(settings_for_test()));
  }

  template <typename Condition>
  bool poll_until(Condition condition) {
    pollfd wait{relay->event_fd(), POLLIN, 0};
    for (int i = 0; i < 100 && !condition(); ++i) {
      poll(&wait, 1, 100);
      relay->poll_events([](const Event&) {});
    }
    return condition();
  }

  std::uint64_t total(Counter turn::Counters::*counter) const {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < relay->shard_count(); ++i) {
      sum += (relay->turn()->counters(i).*counter).value();
    }
    return sum;
  }

  std::unique_ptr<Relay> relay;
};

TEST_F(RelayTurn, none_without_listeners) {
  relay.reset();
  RelayConfig config = config_for_test();
  config.turn.listeners.clear();
  auto started = Relay::start(config);
  ASSERT_TRUE(started);
  EXPECT_EQ((*started)->turn(), nullptr);
}

TEST_F(RelayTurn, a_port_that_others_have_leaves_calls_alone) {
  RelayConfig config = config_for_test();
  config.port_min = 40100;
  config.port_max = 40199;
  const auto again = Relay::start(config);
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ((*again)->turn(), nullptr);
  OpenFailure failure{};
  EXPECT_TRUE((*again)->open_session(SessionSpec{}, failure));
}

// RFC 5780 section 6.1: whichever shard hears it has sockets at all four places.
TEST_F(RelayTurn, answers_leave_from_the_other_address_and_port) {
  relay.reset();
  const IpAddress other = IpAddress::v4(127, 0, 0, 5);
  const std::array<SocketAddress, 4> places = {
      {{kServer, kPort}, {kServer, kPort + 1}, {other, kPort}, {other, kPort + 1}}};
  RelayConfig config = config_for_test();
  config.turn.listeners.push_back({turn::ListenerTransport::kTcp, {kServer, kPort}});
  for (std::size_t i = 1; i < places.size(); ++i) {
    config.turn.listeners.push_back({turn::ListenerTransport::kUdp, places[i]});
  }
  config.turn.discovery = {{0, 2, 3, 4}};
  auto started = Relay::start(config);
  ASSERT_TRUE(started) << started.error().message;
  relay = std::move(*started);
  ASSERT_NE(relay->turn(), nullptr);
  EXPECT_TRUE(relay->turn()->configure(settings_for_test()));
  for (std::uint8_t i = 0; i < 32; ++i) {
    const UdpPeer client(kServer);
    std::vector<std::uint8_t> bytes = request(1);
    bytes[3] = 8;  // CHANGE-REQUEST
    const std::uint8_t flags = (i / 4) % 4;
    bytes.insert(bytes.end(), {0, 3, 0, 4, 0, 0, 0, static_cast<std::uint8_t>(flags << 1)});
    client.send(bytes, places[i % 4]);
    const auto answer = client.receive();
    ASSERT_GE(answer.bytes.size(), 20U);
    EXPECT_EQ(answer.bytes[0], 1) << "no success";
    EXPECT_EQ(answer.from, places[(i % 4) ^ flags]);
  }
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_GT(relay->turn()->counters(i).bindings.value(), 0U) << "this shard heard nothing";
  }
}

TEST_F(RelayTurn, every_client_is_answered_whichever_shard_hears_it) {
  for (int i = 0; i < 16; ++i) {
    const UdpPeer client(kServer);
    client.send(request(1), {kServer, kPort});
    const auto answer = client.receive();
    ASSERT_GE(answer.bytes.size(), 20U);
    EXPECT_EQ(answer.bytes[0], 1) << "no success";
    EXPECT_EQ(answer.from, (SocketAddress{kServer, kPort}));
  }
  EXPECT_EQ(total(&turn::Counters::bindings), 16U);
  EXPECT_GT(relay->turn()->counters(0).bindings.value(), 0U);
  EXPECT_GT(relay->turn()->counters(1).bindings.value(), 0U);
}

TEST_F(RelayTurn, who_shows_no_credentials_is_challenged) {
  const UdpPeer client(kServer);
  client.send(request(3), {kServer, kPort});
  const auto answer = client.receive();
  ASSERT_GE(answer.bytes.size(), 28U);
  EXPECT_EQ(answer.bytes[0], 1);
  EXPECT_EQ(answer.bytes[1], 0x13);
  EXPECT_EQ(relay->turn()->allocations(), 0U);
}

TEST_F(RelayTurn, its_load_turns_no_calls_away) {
  relay.reset();
  RelayConfig config = config_for_test();
  config.shards = 1;
  config.busy_max_percent = 8;
  auto started = Relay::start(config);
  ASSERT_TRUE(started) << started.error().message;
  relay = std::move(*started);
  EXPECT_TRUE(relay->turn()->configure(settings_for_test()));
  const UdpPeer client(kServer);
  const auto used = [this] { return relay->shard_counters(0).cpu_us.value(); };
  // Until it would be too much for calls; what waking up costs is no matter of TURN alone.
  double percent = 0;
  for (int window = 0; window < 10 && percent < 12; ++window) {
    const std::uint64_t before = used();
    const Instant began = monotonic_now();
    while (monotonic_now() - began < Milliseconds(1500)) {
      for (int k = 0; k < 500; ++k) client.send(request(1), {kServer, kPort});
      relay->on_tick();
    }
    const std::chrono::duration<double, std::micro> lasted = monotonic_now() - began;
    percent = 100 * static_cast<double>(used() - before) / lasted.count();
  }
  ASSERT_GT(percent, 12) << "the shard was hardly busy";
  OpenFailure failure{};
  EXPECT_TRUE(relay->open_session(SessionSpec{}, failure)) << static_cast<int>(failure);
}

TEST_F(RelayTurn, questions_are_answered_by_all_shards) {
  std::optional<std::size_t> listed;
  ASSERT_TRUE(relay->turn()->list([&listed](const auto& list) { listed = list.size(); }));
  EXPECT_TRUE(poll_until([&listed] { return listed.has_value(); }));
  EXPECT_EQ(listed, 0U);

  std::optional<bool> ended;
  const auto keep = [&ended](bool found) { ended = found; };
  ASSERT_TRUE(relay->turn()->end({1, 5, 7}, keep));
  EXPECT_TRUE(poll_until([&ended] { return ended.has_value(); }));
  EXPECT_EQ(ended, false);
  ended.reset();
  ASSERT_TRUE(relay->turn()->end({9, 5, 7}, keep)) << "of a shard that there is not";
  EXPECT_EQ(ended, false);
}

TEST_F(RelayTurn, more_questions_than_there_is_room_for_are_refused) {
  int answered = 0;
  int taken = 0;
  while (relay->turn()->list([&answered](const auto&) { ++answered; })) ++taken;
  EXPECT_GE(taken, 16);
  EXPECT_LE(taken, 64);
  EXPECT_TRUE(poll_until([&] { return answered == taken; })) << answered << " of " << taken;
  EXPECT_TRUE(relay->turn()->list([](const auto&) {}));
}

TEST_F(RelayTurn, settings_arrive_however_often_they_change) {
  std::vector<std::weak_ptr<const turn::Settings>> old;
  for (int i = 0; i < 500; ++i) {
    const auto settings = settings_for_test();
    old.push_back(settings);
    EXPECT_TRUE(relay->turn()->configure(settings));
  }
  const auto last = settings_for_test();
  EXPECT_TRUE(relay->turn()->configure(last));
  // A shard that had not come to the last one would still hold another, or its mailbox would.
  EXPECT_TRUE(poll_until([&old] {
    return std::all_of(old.begin(), old.end(), [](const auto& one) { return one.expired(); });
  }));
  EXPECT_GE(last.use_count(), 2);
}

}  // namespace
}  // namespace turnpike::test
