// State that another process takes over: what is refused, what is dropped, what goes on.
#include <algorithm>
#include <cstring>
#include <span>

#include "tests/unit/media/left_behind.h"

namespace turnpike::test {
namespace {

TEST_F(Left, goes_on_with_indices_and_windows) {
  auto arena = adopt();
  ASSERT_TRUE(arena);
  EXPECT_EQ(report.sessions, 1U);
  EXPECT_EQ(arena->streams_in_use(), 2U);
  Successor next(*arena, media.now());
  EXPECT_EQ(next.arrive(Side::kB, rtp_packet(20, 0x2222)), 0U);  // used by the dead process
  EXPECT_EQ(next.arrive(Side::kB, rtp_packet(21, 0x2222)), 1U);
  const auto fresh = client.protect(rtp_packet(21));
  EXPECT_EQ(next.arrive(Side::kA, fresh), 1U);
  EXPECT_EQ(next.arrive(Side::kA, fresh), 0U);
}

TEST_F(Left, every_damaged_header_byte_is_refused) {
  const auto intact = image;
  unsigned refused = 0;
  for (std::size_t i = 0; i < 20; ++i) {
    image = intact;
    image[i] ^= 0x40;
    if (!adopt() && !media::Arena::read_shape(image)) ++refused;
  }
  EXPECT_EQ(refused, 20U);
}

TEST_F(Left, tells_its_shape) {
  const auto shape = media::Arena::read_shape(std::span(image).first(256));
  ASSERT_TRUE(shape);
  EXPECT_EQ(*shape, kShape);
  EXPECT_FALSE(media::Arena::read_shape(std::span(image).first(16)));
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
