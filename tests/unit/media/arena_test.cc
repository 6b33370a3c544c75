// State that another process takes over: what is refused, what is dropped, what goes on.
#include <algorithm>
#include <cstring>

#include <gtest/gtest.h>

#include "tests/support/media_fixture.h"

namespace turnpike::test {
namespace {

constexpr media::ArenaShape kShape{8, 64, 0, 1, 36000, 59999};

std::vector<std::uint8_t> image_of(MediaFixture& media) {
  const std::size_t bytes = media::Arena::bytes_for(kShape);
  // The fixture's arena begins at a fixed offset before its first session.
  const auto* session0 = reinterpret_cast<const std::uint8_t*>(&media.arena().session(0));
  std::vector<std::uint8_t> image(bytes);
  std::vector<std::uint8_t> blank(bytes);
  media::Arena fresh = media::Arena::format(blank.data(), kShape);
  const auto offset = reinterpret_cast<const std::uint8_t*>(&fresh.session(0)) - blank.data();
  std::memcpy(image.data(), session0 - offset, bytes);
  return image;
}

// One SRTP call with traffic both ways, as a dead process left it.
struct Left : ::testing::Test {
  Left()
      : a(MediaFixture::secure(Side::kA, SrtpSuite::kAesCm128HmacSha1_80, 1)),
        client(a.receive, a.send) {
    media.update(Side::kA, a);
    media.update(Side::kB, MediaFixture::plain(Side::kB));
    for (std::uint16_t i = 1; i <= 20; ++i) {
      media.arrive(Side::kA, client.protect(rtp_packet(i)));
      media.arrive(Side::kB, rtp_packet(i, 0x2222));
    }
    image = image_of(media);
  }
  Result<media::Arena> adopt() {
    report = {};
    return media::Arena::adopt(image.data(), image.size(), kShape, report);
  }
  MediaFixture media;
  LegConfig a;
  SrtpPeer client;
  std::vector<std::uint8_t> image;
  media::ArenaReport report;
};

TEST_F(Left, goes_on_with_indices_and_windows) {
  auto arena = adopt();
  ASSERT_TRUE(arena);
  EXPECT_EQ(report.sessions, 1U);
  EXPECT_EQ(arena->streams_in_use(), 2U);
  ShardCounters counters;
  media::Engine engine(*arena, {}, counters);
  engine.resume(media.now());
  Batch batch;
  Outbox out;
  media::Notices notices;
  const auto arrive = [&](Side side, const std::vector<std::uint8_t>& bytes) {
    Packet* packet = batch.next();
    std::memcpy(packet->data, bytes.data(), bytes.size());
    packet->length = static_cast<std::uint32_t>(bytes.size());
    packet->source = MediaFixture::remote(side);
    packet->tag = {MediaFixture::kId.slot, MediaFixture::kId.generation, side, Component::kRtp};
    batch.commit();
    out.clear();
    engine.handle(media.now(), batch, out, notices);
    batch.clear();
    return out.size();
  };
  EXPECT_EQ(arrive(Side::kB, rtp_packet(20, 0x2222)), 0U);  // index used by the dead process
  EXPECT_EQ(arrive(Side::kB, rtp_packet(21, 0x2222)), 1U);
  const auto fresh = client.protect(rtp_packet(21));
  EXPECT_EQ(arrive(Side::kA, fresh), 1U);
  EXPECT_EQ(arrive(Side::kA, fresh), 0U);
}

TEST_F(Left, every_damaged_header_byte_is_refused) {
  const auto intact = image;
  unsigned refused = 0;
  for (std::size_t i = 0; i < 20; ++i) {
    image = intact;
    image[i] ^= 0x40;
    if (!adopt()) ++refused;
  }
  EXPECT_EQ(refused, 20U);
}

TEST_F(Left, another_shape_is_refused) {
  media::ArenaShape other_ports = kShape;
  other_ports.port_max = 49999;
  auto arena = media::Arena::adopt(image.data(), image.size(), other_ports, report);
  ASSERT_FALSE(arena);
  EXPECT_NE(arena.error().message.find("another configuration"), std::string::npos);
  EXPECT_FALSE(media::Arena::adopt(image.data(), image.size() - 1, kShape, report));
}

TEST_F(Left, a_session_caught_in_an_edit_is_dropped_alone) {
  auto arena = adopt();
  ASSERT_TRUE(arena);
  ++arena->session(MediaFixture::kId.slot).edits;
  ASSERT_TRUE(adopt());
  EXPECT_EQ(report.sessions, 0U);
  EXPECT_EQ(report.dropped, 1U);
}

TEST_F(Left, broken_stream_chains_never_lead_astray) {
  auto arena = adopt();
  ASSERT_TRUE(arena);
  media::SessionState& session = arena->session(MediaFixture::kId.slot);
  const std::uint32_t first = session.legs[0].first_stream;
  for (const std::uint32_t bad : {std::uint32_t{64}, first, std::uint32_t{0xfffffffe}}) {
    const auto intact = image;
    arena->stream(first).next = bad;
    ASSERT_TRUE(adopt());
    EXPECT_EQ(report.dropped, 1U) << bad;
    image = intact;
  }
}

TEST_F(Left, keys_of_dropped_sessions_are_wiped) {
  auto arena = adopt();
  ASSERT_TRUE(arena);
  ++arena->session(MediaFixture::kId.slot).edits;
  ASSERT_TRUE(adopt());
  const auto& key = a.receive.master_key;
  EXPECT_EQ(std::search(image.begin(), image.end(), key.begin(), key.begin() + 16), image.end());
}

}  // namespace
}  // namespace turnpike::test
