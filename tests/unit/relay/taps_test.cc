// What a tap may copy, and a relay that captures on real sockets.
#include "relay/taps.h"

#include <gtest/gtest.h>

#include "tests/support/media_fixture.h"
#include "tests/support/udp_peer.h"
#include "turnpike/relay.h"

namespace turnpike::test {
namespace {

struct Copied {
  CapturedPacket packet;
  std::vector<std::uint8_t> bytes;
};

class TapsTest : public ::testing::Test {
 protected:
  static constexpr SocketTag kId = MediaFixture::kId;

  void tap(Side side, bool headers_only = false, bool plain_payload = false) {
    taps.add({static_cast<std::uint8_t>(index_of(side)),
              {kId.slot, kId.generation, 5},
              side,
              headers_only,
              plain_payload},
             ring);
  }
  void receive(Side side, const std::vector<std::uint8_t>& bytes, std::uint32_t shed = 0,
               const SocketAddress& source = {}) {
    Batch batch;
    Packet* packet = batch.next();
    std::copy(bytes.begin(), bytes.end(), packet->data);
    packet->length = static_cast<std::uint32_t>(bytes.size());
    packet->source = source.is_set() ? source : MediaFixture::remote(side);
    packet->tag = {kId.slot, kId.generation, side, Component::kRtp};
    packet->shed_behind = shed;
    batch.commit();
    taps.received(batch, media.now());
  }
  std::vector<Copied> take() {
    std::vector<Copied> copied;
    while (ring.bytes.size() != 0) {
      std::array<std::uint8_t, sizeof(TapRecord)> head;
      ring.bytes.take(head);
      TapRecord record;
      std::memcpy(&record, head.data(), sizeof record);
      copied.push_back({record.packet, std::vector<std::uint8_t>(record.captured)});
      ring.bytes.take(copied.back().bytes);
    }
    return copied;
  }

  MediaFixture media;
  TapRing ring;
  Taps taps{5, media.engine()};
};

TEST_F(TapsTest, of_plain_rtp_only_the_header_is_copied_unless_asked) {
  media.update(Side::kA, MediaFixture::plain(Side::kA));
  tap(Side::kA);
  receive(Side::kA, rtp_packet(1));
  auto copied = take();
  ASSERT_EQ(copied.size(), 1u);
  EXPECT_EQ(copied[0].bytes.size(), 12u);
  EXPECT_EQ(copied[0].packet.length, 172u);
  EXPECT_EQ(copied[0].packet.source, MediaFixture::remote(Side::kA));
  EXPECT_EQ(copied[0].packet.destination.port, 36000);
  EXPECT_EQ(copied[0].packet.session.shard, 5);
  tap(Side::kA, false, true);
  receive(Side::kA, rtp_packet(2));
  EXPECT_EQ(take().at(0).bytes, rtp_packet(2));
  receive(Side::kA, std::vector<std::uint8_t>(50, 0x50));
  EXPECT_EQ(take().at(0).bytes.size(), 50u);
  tap(Side::kA);
  receive(Side::kA, std::vector<std::uint8_t>(50, 0x50));
  EXPECT_EQ(take().at(0).bytes.size(), 12u) << "what is not understood may be media";
  receive(Side::kA, rtcp_packet());
  EXPECT_EQ(take().at(0).bytes, rtcp_packet());
}

TEST_F(TapsTest, srtp_is_copied_whole_or_its_header) {
  media.update(Side::kA, MediaFixture::secure(Side::kA, SrtpSuite::kAeadAes128Gcm, 1));
  tap(Side::kA);
  receive(Side::kA, rtp_packet(1));
  EXPECT_EQ(take().at(0).bytes, rtp_packet(1)) << "the leg has keys: this is the wire's";
  tap(Side::kA, true);
  receive(Side::kA, rtp_packet(2));
  EXPECT_EQ(take().at(0).bytes.size(), 12u);
}

TEST_F(TapsTest, of_a_datagram_that_was_cut_short_only_what_was_read_is_copied) {
  media.update(Side::kA, MediaFixture::plain(Side::kA));
  tap(Side::kA, false, true);
  Batch batch;
  Packet* packet = batch.next();
  std::fill_n(packet->data, kPayloadBytesMax, std::uint8_t{0x80});
  // What an earlier packet left there, perhaps of another call.
  std::fill_n(packet->data + kPayloadBytesMax, kTailroomBytes, std::uint8_t{0xee});
  packet->length = 5000;
  packet->source = MediaFixture::remote(Side::kA);
  packet->tag = {kId.slot, kId.generation, Side::kA, Component::kRtp};
  batch.commit();
  taps.received(batch, media.now());
  const auto copied = take();
  ASSERT_EQ(copied.size(), 1u);
  EXPECT_EQ(copied[0].packet.length, 5000u);
  EXPECT_EQ(copied[0].bytes, std::vector<std::uint8_t>(kPayloadBytesMax, 0x80));
}

TEST_F(TapsTest, strangers_do_not_crowd_out_the_remote_end) {
  media.update(Side::kA, MediaFixture::plain(Side::kA));
  tap(Side::kA);
  const SocketAddress stranger{IpAddress::v4(203, 0, 113, 9), 4000};
  const std::uint32_t most = Taps::kStrangersASecond;
  for (std::uint32_t i = 0; i < most + 300; ++i) receive(Side::kA, rtp_packet(1), 0, stranger);
  EXPECT_EQ(take().size(), most);
  EXPECT_EQ(ring.missed[0].load(), 300u);
  receive(Side::kA, rtp_packet(2));
  EXPECT_EQ(take().size(), 1u) << "of the remote end all";
  media.advance(Seconds(1));
  receive(Side::kA, rtp_packet(3), 0, stranger);
  EXPECT_EQ(take().size(), 1u) << "some every second";
}

TEST_F(TapsTest, dtls_legs_without_keys_count_as_plain_and_opaque_ones_as_encrypted) {
  LegConfig dtls = MediaFixture::plain(Side::kA);
  dtls.must_encrypt = dtls.dtls = true;
  media.update(Side::kA, dtls);
  tap(Side::kA);
  receive(Side::kA, rtp_packet(1));
  EXPECT_EQ(take().at(0).bytes.size(), 12u);
  LegConfig opaque = MediaFixture::plain(Side::kA);
  opaque.opaque = true;
  media.update(Side::kA, opaque);
  receive(Side::kA, rtp_packet(1));
  EXPECT_EQ(take().at(0).bytes.size(), 172u);
}

TEST_F(TapsTest, only_the_tapped_leg_is_copied_until_it_is_not) {
  media.update(Side::kA, MediaFixture::plain(Side::kA));
  media.update(Side::kB, MediaFixture::plain(Side::kB));
  tap(Side::kB);
  receive(Side::kA, rtp_packet(1));
  EXPECT_TRUE(take().empty());
  const auto bytes = rtp_packet(9);
  taps.sent({bytes.data(),
             172,
             {kId.slot, kId.generation, Side::kB, Component::kRtp},
             MediaFixture::remote(Side::kB)},
            media.now());
  const auto copied = take();
  ASSERT_EQ(copied.size(), 1u);
  EXPECT_TRUE(copied[0].packet.sent);
  EXPECT_EQ(copied[0].packet.destination, MediaFixture::remote(Side::kB));
  taps.forget(kId);
  EXPECT_TRUE(taps.empty());
  tap(Side::kB);
  EXPECT_FALSE(taps.empty());
  CaptureTap second;
  second.number = 1;
  taps.remove(second);
  EXPECT_TRUE(taps.empty());
  taps.add({9, {kId.slot, kId.generation + 1, 5}, Side::kA}, ring);
  EXPECT_TRUE(taps.empty()) << "a session that has gone";
}

TEST_F(TapsTest, a_full_ring_loses_whole_packets_and_counts_them) {
  media.update(Side::kA, MediaFixture::plain(Side::kA));
  tap(Side::kA, false, true);
  constexpr std::size_t kPackets = 2000;
  for (std::size_t i = 0; i < kPackets; ++i) {
    receive(Side::kA, rtp_packet(static_cast<std::uint16_t>(i), 1, 1000));
  }
  const std::uint64_t missed = ring.missed[0].load();
  EXPECT_GT(missed, 0u);
  const auto copied = take();
  EXPECT_EQ(copied.size() + missed, kPackets);
  for (std::size_t i = 0; i < copied.size(); ++i) {
    ASSERT_EQ(copied[i].bytes, rtp_packet(static_cast<std::uint16_t>(i), 1, 1000));
  }
  receive(Side::kA, rtp_packet(1), 7);
  EXPECT_EQ(ring.missed[0].load(), missed + 7) << "what was not read is missing too";
  EXPECT_EQ(take().size(), 1u);
}

TEST(Capture, a_relay_hands_over_what_its_sockets_saw) {
  RelayConfig config;
  const IpAddress outside = IpAddress::v4(127, 0, 0, 2);
  const IpAddress inside = IpAddress::v4(127, 0, 0, 3);
  config.interfaces = {{"outside", {{outside, outside}}}, {"inside", {{inside, inside}}}};
  config.shards = 2;
  config.pin_shards = false;
  config.sessions_max = 10;
  config.port_min = 41000;
  config.port_max = 41999;
  auto relay = Relay::start(config);
  ASSERT_TRUE(relay) << relay.error().message;
  Captures& captures = captures_of(**relay);
  EXPECT_FALSE(captures.add({0, {1, 1, 0}})) << "no such session";
  UdpPeer a(outside);
  UdpPeer b(inside);
  OpenFailure failure{};
  SessionSpec spec;
  spec.interface_index = {0, 1};
  const auto session = (*relay)->open_session(spec, failure);
  ASSERT_TRUE(session);
  for (const auto& [side, peer] : {std::pair{Side::kA, &a}, std::pair{Side::kB, &b}}) {
    LegConfig leg;
    leg.remote = {peer->local(), peer->local()};
    (*relay)->update_leg(session->id, side, leg);
  }
  ASSERT_TRUE(captures.add({1, session->id, Side::kA, false, true}));
  ASSERT_TRUE(captures.add({2, session->id, Side::kB}));
  (*relay)->flush();
  std::vector<Copied> copied;
  for (std::uint16_t i = 0; i < 20; ++i) {
    a.send(rtp_packet(i), session->ports.local[0][0]);
    ASSERT_EQ(b.receive().bytes, rtp_packet(i));
    captures.poll([&](const CapturedPacket& packet) {
      copied.push_back({packet, {packet.bytes.begin(), packet.bytes.end()}});
    });
  }
  // The copy of the last one may be made after it was sent.
  for (int i = 0; i < 1000 && copied.size() < 40; ++i) {
    (*relay)->on_tick();
    captures.poll([&](const CapturedPacket& packet) {
      copied.push_back({packet, {packet.bytes.begin(), packet.bytes.end()}});
    });
  }
  ASSERT_EQ(copied.size(), 40u);
  EXPECT_EQ(copied[0].bytes, rtp_packet(0));
  EXPECT_EQ(copied[0].packet.source, a.local());
  EXPECT_EQ(copied[0].packet.destination, session->ports.local[0][0]);
  EXPECT_FALSE(copied[0].packet.sent);
  EXPECT_EQ(copied[1].bytes.size(), 12u);
  EXPECT_TRUE(copied[1].packet.sent);
  EXPECT_EQ(copied[1].packet.destination, b.local());
  EXPECT_EQ(captures.missed(1) + captures.missed(2), 0u);
}

}  // namespace
}  // namespace turnpike::test
