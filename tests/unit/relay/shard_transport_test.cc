// What a shard lets through to the DTLS handshakes, and what it makes of their results. The remote
// end is our own DTLS engine, which has tests against others of its own (unit_dtls).
#include "relay/shard_transport.h"

#include <atomic>
#include <vector>

#include <gtest/gtest.h>

#include "relay/io/loop.h"
#include "tests/support/media_fixture.h"

namespace turnpike::test {
namespace {

using Bytes = std::vector<std::uint8_t>;

const SocketTag kLeg{MediaFixture::kId.slot, MediaFixture::kId.generation, Side::kA,
                     Component::kRtp};
const LegKey kClientLeg{0, 1, 1, Side::kA};
const SocketAddress kStranger{IpAddress::v4(203, 0, 113, 66), 6666};
constexpr Seconds kPatience{20};

struct Sent {
  SocketAddress to;
  Bytes bytes;
};

class FakeIo final : public UdpIo {
 public:
  bool add(int, const SocketTag&) override { return true; }
  bool add_other_family(int, const SocketTag&, AddressFamily) override { return true; }
  void remove(int, const SocketTag&) override {}
  bool add_shared(int, std::uint32_t) override { return true; }
  void begin_turn() override {}
  int poll_fd() const override { return -1; }
  Waiting receive(Batch&, bool) override { return Waiting::kNothing; }
  bool readable() const override { return false; }
  SendResult send(const Send& send) override {
    sent.push_back({send.destination, {send.data, send.data + send.length}});
    return SendResult::kSent;
  }
  std::vector<Sent> sent;
};

/// The remote end of the leg.
class Client final : public HandshakeSink {
 public:
  Client() { identity = handshakes.add_identity(); }

  void begin(const Fingerprint& ours, DtlsRole role) {
    DtlsConfig config;
    config.enabled = true;
    config.role = role;
    config.association = 1;
    config.identity = identity.id;
    config.remote = ours;
    handshakes.update(kClientLeg, config, relay, monotonic_now(), *this);
  }
  void hear(const Bytes& bytes) {
    handshakes.handle(kClientLeg, relay, true, bytes, monotonic_now(), *this);
  }

  void send(const LegKey&, const SocketAddress&, std::span<const std::uint8_t> datagram) override {
    out.emplace_back(datagram.begin(), datagram.end());
  }
  void established(const LegKey&, std::uint32_t, const SocketAddress&, const SrtpKeying& receive,
                   const SrtpKeying& sending) override {
    keys = {receive, sending};
    complete = true;
  }
  void changed(const LegKey&, std::uint32_t, DtlsState state, DtlsFailure,
               const DtlsFlights&) override {
    is_closed = state == DtlsState::kClosed;
  }
  void goodbyes(const LegKey&, std::span<const Goodbye>) override {}

  Handshakes handshakes;
  DtlsIdentity identity;
  SocketAddress relay{IpAddress::v4(192, 0, 2, 1), 36000};
  std::vector<Bytes> out;
  std::array<SrtpKeying, 2> keys{};
  bool complete = false;
  bool is_closed = false;
};

struct ShardTransportTest : ::testing::Test {
  ShardTransportTest() {
    leg.dtls = true;
    leg.must_encrypt = true;
    config.dtls.enabled = true;
    config.dtls.role = DtlsRole::kPassive;
    config.dtls.association = 1;
    config.dtls.identity = thread.identity().id;
    config.dtls.remote = client.identity.fingerprint;
    media.update(Side::kB, MediaFixture::plain(Side::kB));
  }

  void start() {
    media.update(Side::kA, leg);
    transport.update(kLeg, config, monotonic_now());
  }
  void arrive(Bytes bytes, const SocketAddress& source, Instant now = monotonic_now()) {
    Packet packet;
    packet.data = bytes.data();
    packet.length = static_cast<std::uint32_t>(bytes.size());
    packet.source = source;
    packet.tag = kLeg;
    transport.handle(packet, now);
  }
  void client_sends(const SocketAddress& source) {
    for (Bytes& bytes : std::exchange(client.out, {})) arrive(std::move(bytes), source);
  }
  void client_hears() {
    for (const Sent& sent : std::exchange(io.sent, {})) client.hear(sent.bytes);
  }
  template <typename Done>
  bool eventually(Done done) {
    const Instant begin = monotonic_now();
    while (!done()) {
      if (monotonic_now() - begin > kPatience) return false;
      pause_for(Milliseconds{1});
    }
    return true;
  }
  /// Passes everything to and fro until the client has its keys.
  bool shake_hands(const SocketAddress& source) {
    return eventually([&] {
      client_sends(source);
      transport.take_results();
      client_hears();
      return client.complete;
    });
  }
  /// Holds the handshake thread, which takes no more then, and leaves no room for requests.
  bool fill_queue() {
    HandshakeRequest filler;
    filler.ask = HandshakeAsk::kDatagram;
    filler.leg = kLeg;
    filler.length = 13;
    held = true;
    thread.want_room(0);
    if (!thread.push(0, filler)) return false;
    return eventually([&] { return thread.room(0) == HandshakeThread::kRequestsMax; }) &&
           eventually([&] {
             while (thread.push(0, filler)) {
             }
             pause_for(Milliseconds{20});
             return thread.room(0) == 0;
           });
  }
  bool keyed() { return media::is_keyed(media.state().legs[0].receive); }
  TransportReport report() {
    SessionStats stats;
    transport.report(kLeg, stats);
    return stats.legs[0].transport;
  }

  MediaFixture media;
  FakeIo io;
  std::atomic<bool> held{false};  // the handshake thread, where it wakes us
  HandshakeThread thread{1, [this](std::size_t) {
                           while (held) pause_for(Milliseconds{1});
                         }};
  std::vector<Event> events;
  ShardTransport transport{
      0, 8, media.engine(), io, thread, media.counters(), [this](const Event& event) {
        events.push_back(event);
      }};
  Client client;
  LegConfig leg = MediaFixture::plain(Side::kA);
  TransportConfig config;
};

struct Security : ShardTransportTest {};

TEST_F(ShardTransportTest, puts_the_keys_of_a_handshake_into_the_leg) {
  start();
  client.begin(thread.identity().fingerprint, DtlsRole::kActive);
  const SocketAddress source = MediaFixture::remote(Side::kA);
  ASSERT_TRUE(shake_hands(source));
  ASSERT_TRUE(eventually([&] {
    transport.take_results();
    return report().dtls == DtlsState::kEstablished;
  }));
  SrtpPeer peer(client.keys[1], client.keys[0]);
  EXPECT_EQ(media.arrive(Side::kA, peer.protect(rtp_packet(1)), source).size(), 1U);
  const auto sent = media.arrive(Side::kB, rtp_packet(7));
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_FALSE(peer.unprotect(sent[0].bytes).empty());
  EXPECT_EQ(events.back().kind, EventKind::kDtlsState);
  EXPECT_EQ(events.back().dtls, DtlsState::kEstablished);
  EXPECT_GT(media.counters().transport_received.value(), 1U);
}

TEST_F(Security, M4_dtls_is_taken_from_named_addresses_only) {
  leg.received_from = IpAddress::v4(203, 0, 113, 50);
  start();
  client.begin(thread.identity().fingerprint, DtlsRole::kActive);
  ASSERT_FALSE(client.out.empty());
  const Bytes hello = client.out.front();
  arrive(hello, kStranger);
  EXPECT_EQ(media.drops(DropReason::kDtlsRefused), 1U);
  EXPECT_EQ(media.counters().transport_received.value(), 0U);
  arrive(hello, MediaFixture::remote(Side::kA));
  arrive(hello, {leg.received_from, 40001});
  EXPECT_EQ(media.counters().transport_received.value(), 2U);
  EXPECT_EQ(media.drops(DropReason::kDtlsRefused), 1U);
}

struct EarlyHello : ShardTransportTest {
  EarlyHello() {
    answered = leg.remote;
    leg.remote = {};
    config.dtls.role = DtlsRole::kUndecided;
    config.dtls.remote = {};
    start();
    client.begin(thread.identity().fingerprint, DtlsRole::kActive);
  }
  void answer() {
    leg.remote = answered;
    media.update(Side::kA, leg);
    config.dtls.role = DtlsRole::kPassive;
    config.dtls.remote = client.identity.fingerprint;
    transport.update(kLeg, config, monotonic_now());
  }
  /// Whether the handshake goes on without anything that the client sends again.
  bool is_heard() {
    pause_for(Milliseconds{50});
    transport.take_results();
    return !io.sent.empty();
  }
  std::uint64_t refused_of_leg() {
    return media.state().legs[0].drops[static_cast<std::size_t>(DropReason::kDtlsRefused)];
  }
  decltype(leg.remote) answered;
};

TEST_F(EarlyHello, is_heard_when_the_answer_comes) {
  const SocketAddress source = MediaFixture::remote(Side::kA);
  client_sends(source);
  EXPECT_EQ(media.drops(DropReason::kDtlsRefused), 0U);
  EXPECT_FALSE(is_heard()) << "before the answer";
  answer();
  ASSERT_TRUE(eventually([&] { return is_heard(); }));
  EXPECT_EQ(io.sent.front().to, source);
  client_hears();
  EXPECT_TRUE(shake_hands(source));
}

TEST_F(EarlyHello, of_a_stranger_is_refused_when_the_answer_comes) {
  client_sends(kStranger);
  answer();
  EXPECT_EQ(refused_of_leg(), 1U);
  EXPECT_EQ(media.counters().transport_received.value(), 1U);
  EXPECT_EQ(media.drops(DropReason::kDtlsRefused), 0U) << "a packet is counted once";
  EXPECT_FALSE(is_heard());
}

TEST_F(EarlyHello, stays_where_strangers_send_more) {
  const Bytes hello = client.out.front();
  client_sends(MediaFixture::remote(Side::kA));
  arrive(hello, kStranger);
  answer();
  EXPECT_TRUE(eventually([&] { return is_heard(); }));
  EXPECT_EQ(refused_of_leg(), 1U);
}

TEST_F(EarlyHello, is_forgotten_after_a_while) {
  arrive(client.out.front(), MediaFixture::remote(Side::kA),
         monotonic_now() - EarlyHellos::kAgeMax - Milliseconds{1});
  answer();
  EXPECT_FALSE(is_heard());
}

TEST_F(EarlyHello, is_one_that_is_a_hello) {
  arrive(Bytes{22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0}, MediaFixture::remote(Side::kA));
  EXPECT_EQ(media.drops(DropReason::kDtlsRefused), 1U);
}

TEST_F(Security, M4_with_ice_dtls_waits_for_a_validated_address) {
  leg.ice = true;
  config.ice.mode = IceMode::kFull;
  config.ice.local.ufrag.assign("abcdefgh");
  config.ice.local.password.assign("0123456789abcdefghijklmn");
  start();
  client.begin(thread.identity().fingerprint, DtlsRole::kActive);
  arrive(client.out.front(), MediaFixture::remote(Side::kA));
  EXPECT_EQ(media.drops(DropReason::kDtlsRefused), 1U);
  EXPECT_EQ(media.counters().transport_received.value(), 0U);
}

TEST_F(Security, M4_a_flood_beside_the_client_leaves_it_its_budget) {
  leg.received_from = kStranger.ip;
  start();
  client.begin(thread.identity().fingerprint, DtlsRole::kActive);
  const Bytes junk = {22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
  const Instant now = monotonic_now();
  for (int i = 0; i < 1000; ++i) arrive(junk, kStranger, now);
  const std::uint64_t refused = media.drops(DropReason::kDtlsRefused);
  EXPECT_GT(refused, 500U);
  // Room in the queue of all legs is another matter.
  ASSERT_TRUE(eventually([&] { return thread.room(0) == HandshakeThread::kRequestsMax; }));
  arrive(client.out.front(), MediaFixture::remote(Side::kA), now);
  EXPECT_EQ(media.drops(DropReason::kDtlsRefused), refused);
}

TEST_F(Security, M8_keys_of_a_replaced_association_are_not_taken) {
  start();
  client.begin(thread.identity().fingerprint, DtlsRole::kActive);
  // Flights to and fro, but for the relay's last one with the keys: that stays in the queue.
  ASSERT_TRUE(eventually([&] {
    client_sends(MediaFixture::remote(Side::kA));
    if (thread.counters().completed.value() != 0) return true;
    transport.take_results();
    client_hears();
    return false;
  }));
  ASSERT_FALSE(keyed());
  config.dtls.association = 2;
  config.dtls.remote.bytes[0] ^= 1;
  transport.update(kLeg, config, monotonic_now());
  // What the thread says of the new association comes behind all that it said of the old one.
  ASSERT_TRUE(eventually([&] {
    transport.take_results();
    return report().dtls == DtlsState::kWaiting;
  }));
  EXPECT_FALSE(keyed());
}

TEST_F(Security, T1_an_unproven_address_gets_no_client_hello) {
  config.dtls.role = DtlsRole::kActive;
  leg.remote[0] = {IpAddress::v4(10, 20, 0, 10), 5000};
  leg.remote_unproven = true;
  start();
  leg.remote[0] = MediaFixture::remote(Side::kA);
  leg.remote_unproven = false;
  media.update(Side::kA, leg);
  transport.leg_updated(kLeg, monotonic_now());
  ASSERT_TRUE(eventually([&] {
    transport.take_results();
    return !io.sent.empty();
  }));
  for (const Sent& sent : io.sent) EXPECT_EQ(sent.to, MediaFixture::remote(Side::kA));
}

TEST_F(ShardTransportTest, a_held_leg_is_sent_nothing_when_its_handshake_ends) {
  leg.received_from = kStranger.ip;
  leg.remote = {};
  start();
  client.begin(thread.identity().fingerprint, DtlsRole::kActive);
  ASSERT_TRUE(shake_hands(kStranger));
  ASSERT_TRUE(eventually([&] {
    transport.take_results();
    return keyed();
  }));
  EXPECT_FALSE(media.state().legs[0].component[0].destination.is_set());
}

struct EstablishedTransport : ShardTransportTest {
  /// False when there is no handshake.
  bool establish() {
    start();
    client.begin(thread.identity().fingerprint, DtlsRole::kActive);
    return shake_hands(source) && eventually([&] {
             transport.take_results();
             return report().dtls == DtlsState::kEstablished;
           });
  }
  bool says_goodbye() {
    io.sent.clear();
    return eventually([&] {
      transport.take_results();
      transport.say_goodbye(kLeg);
      return !io.sent.empty();
    });
  }
  const SocketAddress source = MediaFixture::remote(Side::kA);
};

TEST_F(EstablishedTransport, says_goodbye_while_it_has_the_socket) {
  ASSERT_TRUE(establish());
  ASSERT_TRUE(says_goodbye());
  ASSERT_EQ(io.sent.size(), 1U);
  EXPECT_EQ(io.sent[0].to, source);
  client_hears();
  EXPECT_TRUE(client.is_closed);
  transport.say_goodbye(kLeg);
  transport.close(kLeg);
  EXPECT_TRUE(io.sent.empty());
}

TEST_F(EstablishedTransport, goodbye_goes_where_media_goes) {
  ASSERT_TRUE(establish());
  const SocketAddress moved{IpAddress::v4(198, 51, 100, 10), 5050};
  media.engine().set_destination(kLeg, moved);
  ASSERT_TRUE(says_goodbye());
  EXPECT_EQ(io.sent[0].to, moved);
}

TEST_F(EstablishedTransport, says_goodbye_when_the_leg_leaves_dtls) {
  ASSERT_TRUE(establish());
  ASSERT_TRUE(eventually([&] {
    transport.take_results();
    return thread.room(0) == HandshakeThread::kRequestsMax;
  }));
  io.sent.clear();
  leg.dtls = false;
  media.update(Side::kA, leg);
  transport.leg_updated(kLeg, monotonic_now());
  client_hears();
  EXPECT_TRUE(client.is_closed);
}

TEST_F(EstablishedTransport, sends_nothing_to_a_remote_end_that_has_left) {
  ASSERT_TRUE(establish());
  ASSERT_EQ(media.arrive(Side::kB, rtp_packet(1)).size(), 1U);
  SrtpPeer peer(client.keys[1], client.keys[0]);
  client.handshakes.close(kClientLeg, client);
  client_sends(source);
  ASSERT_TRUE(eventually([&] {
    transport.take_results();
    return report().dtls == DtlsState::kClosed;
  }));
  EXPECT_EQ(events.back().kind, EventKind::kDtlsState);
  EXPECT_EQ(events.back().dtls, DtlsState::kClosed);
  EXPECT_TRUE(media.arrive(Side::kB, rtp_packet(2)).empty());
  EXPECT_TRUE(media.arrive(Side::kA, peer.protect(rtp_packet(3)), source).empty());
  EXPECT_EQ(media.drops(DropReason::kPeerClosed), 2U);
  // Another association brings it back.
  client.complete = false;
  config.dtls.association = 2;
  transport.update(kLeg, config, monotonic_now());
  client.begin(thread.identity().fingerprint, DtlsRole::kActive);
  ASSERT_TRUE(shake_hands(source));
  EXPECT_TRUE(eventually([&] {
    transport.take_results();
    return !media.arrive(Side::kB, rtp_packet(4)).empty();
  }));
}

TEST_F(ShardTransportTest, what_left_before_a_restart_is_still_gone) {
  media.update(Side::kA, leg);
  media.engine().set_keys(kLeg, keying(SrtpSuite::kAeadAes256Gcm, 1),
                          keying(SrtpSuite::kAeadAes256Gcm, 2));
  media.engine().close_leg(kLeg);
  for (int i = 0; i < 2; ++i) {
    transport.update(kLeg, config, monotonic_now());
    EXPECT_EQ(report().dtls, DtlsState::kClosed);
  }
  client.begin(thread.identity().fingerprint, DtlsRole::kActive);
  arrive(client.out.front(), MediaFixture::remote(Side::kA));
  EXPECT_EQ(media.drops(DropReason::kDtlsRefused), 1U);
}

TEST_F(ShardTransportTest, goes_on_with_the_keys_of_a_process_before) {
  media.update(Side::kA, leg);
  media.engine().set_keys(kLeg, keying(SrtpSuite::kAeadAes256Gcm, 1),
                          keying(SrtpSuite::kAeadAes256Gcm, 2));
  transport.update(kLeg, config, monotonic_now());
  EXPECT_EQ(report().dtls, DtlsState::kAdopted);
  client.begin(thread.identity().fingerprint, DtlsRole::kActive);
  arrive(client.out.front(), MediaFixture::remote(Side::kA));
  EXPECT_EQ(media.drops(DropReason::kDtlsRefused), 1U);
  // The next description asks for an association of this process.
  config.dtls.association = 2;
  transport.update(kLeg, config, monotonic_now());
  EXPECT_TRUE(shake_hands(MediaFixture::remote(Side::kA)));
}

TEST_F(ShardTransportTest, a_full_queue_delays_a_request_and_loses_none) {
  start();
  config.dtls.role = DtlsRole::kActive;
  config.dtls.association = 2;
  ASSERT_TRUE(fill_queue());
  transport.update(kLeg, config, monotonic_now());
  held = false;
  ASSERT_TRUE(eventually([&] {
    transport.take_results();
    return !io.sent.empty();
  }));
  EXPECT_EQ(io.sent.front().to, MediaFixture::remote(Side::kA));
}

TEST_F(EstablishedTransport, a_full_queue_delays_new_keys_and_loses_none) {
  ASSERT_TRUE(establish());
  // More SSRCs have used these keys than are remembered of keys that are given up.
  for (std::uint32_t ssrc = 1; ssrc <= 400; ++ssrc) {
    media.arrive(Side::kB, rtp_packet(1, ssrc));
    if (ssrc % 8 == 0) media.advance(Seconds{6});
  }
  media.engine().set_keys(kLeg, keying(SrtpSuite::kAeadAes256Gcm, 1),
                          keying(SrtpSuite::kAeadAes256Gcm, 2));
  // Another fork answers, and then the first one again: it has its keys already.
  for (const std::uint32_t association : {2U, 3U}) {
    config.dtls.association = association;
    config.dtls.remote.bytes[0] ^= 1;
    transport.update(kLeg, config, monotonic_now());
  }
  ASSERT_TRUE(eventually([&] { return thread.room(0) == HandshakeThread::kRequestsMax; }));
  ASSERT_TRUE(fill_queue());
  transport.take_results();
  EXPECT_EQ(report().dtls, DtlsState::kEstablished);
  EXPECT_FALSE(keyed()) << "an index would be used twice";
  held = false;
  EXPECT_TRUE(eventually([&] {
    transport.take_results();
    return report().dtls == DtlsState::kWaiting;
  })) << "nobody begins the handshake that is needed";
}

}  // namespace
}  // namespace turnpike::test
