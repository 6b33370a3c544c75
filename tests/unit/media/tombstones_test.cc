// SSRCs that come and go by the hundreds: their used indices stay known, within bounds.
#include <set>

#include "tests/unit/media/left_behind.h"
#include "tests/unit/media/secure_leg.h"

namespace turnpike::test {
namespace {

using media::StreamState;
using media::TombstoneList;
using media::Tombstones;

StreamState used(std::uint32_t ssrc, std::uint64_t highest) {
  StreamState stream;
  stream.ssrc = ssrc;
  stream.send.rtp_highest = highest;
  stream.send.rtp_started = 1;
  stream.send.rtcp_next = 5;
  stream.receive.rtcp_highest = 9;
  stream.receive.rtcp_started = 1;
  return stream;
}

struct Pool : ::testing::Test {
  static constexpr std::uint32_t kSessions = 2;
  static constexpr std::uint32_t kShared = 100;
  Pool()
      : memory(Tombstones::bytes_for(kSessions, kShared)),
        pool(memory.data(), kSessions, kShared) {}
  std::uint32_t fill(std::uint32_t owner, std::uint32_t wanted) {
    std::uint32_t buried = 0;
    for (std::uint32_t ssrc = 0; ssrc < wanted; ++ssrc) {
      buried += pool.bury(owner, lists[owner - 1], used(ssrc, ssrc)) ? 1 : 0;
    }
    return buried;
  }
  std::vector<std::uint8_t> memory;
  Tombstones pool;
  std::array<TombstoneList, 4> lists{};
};

TEST_F(Pool, every_leg_has_its_share_whatever_others_take) {
  EXPECT_EQ(fill(1, 1000), 32U + kShared);
  EXPECT_EQ(fill(2, 1000), 32U);
  pool.drop_all(lists[0]);
  EXPECT_EQ(pool.in_use(), 32U);
  EXPECT_EQ(fill(4, 1000), 32U + kShared);
  EXPECT_EQ(fill(3, 1000), 32U);
}

TEST_F(Pool, a_leg_has_a_limit_of_its_own) {
  memory.assign(Tombstones::bytes_for(1, 10000), 0);
  Tombstones large(memory.data(), 1, 10000);
  TombstoneList list;
  std::uint32_t buried = 0;
  for (std::uint32_t ssrc = 0; ssrc < 6000; ++ssrc) {
    buried += large.bury(1, list, used(ssrc, 7)) ? 1 : 0;
  }
  EXPECT_EQ(buried, media::kTombstonesPerLegMax);
}

TEST_F(Pool, legs_do_not_see_each_others_and_the_same_ssrc_is_one) {
  EXPECT_TRUE(pool.bury(1, lists[0], used(7, 100)));
  EXPECT_TRUE(pool.bury(1, lists[0], used(7, 200)));
  EXPECT_TRUE(pool.bury(2, lists[1], used(7, 300)));
  EXPECT_EQ(pool.in_use(), 2U);
  EXPECT_EQ(pool.find(1, 7)->send_rtp_next, 201U);
  EXPECT_EQ(pool.find(2, 7)->send_rtp_next, 301U);
  EXPECT_EQ(pool.find(3, 7), nullptr);
  EXPECT_EQ(pool.find(1, 8), nullptr);
}

TEST_F(Pool, a_new_key_frees_what_says_nothing_any_more) {
  fill(1, 20);
  pool.forget(lists[0], media::TombstonePart::kSent);
  EXPECT_EQ(pool.in_use(), 20U);  // what was received counts still
  EXPECT_EQ(pool.find(1, 3)->send_rtp_next, 0U);
  EXPECT_EQ(pool.find(1, 3)->receive_rtcp_next, 10U);
  pool.forget(lists[0], media::TombstonePart::kReceived);
  EXPECT_EQ(pool.in_use(), 0U);
  EXPECT_EQ(lists[0].count, 0U);
  EXPECT_EQ(fill(1, 132), 132U);
}

TEST_F(Pool, a_successor_finds_them_without_believing_the_links) {
  fill(1, 50);
  fill(3, 10);
  for (std::size_t i = 64; i + 40 <= memory.size(); i += 40) {
    std::memset(memory.data() + i + 32, 0xff, 8);  // next_of_leg, next_in_bucket
  }
  Tombstones next(memory.data(), kSessions, kShared);
  std::array<TombstoneList, 4> found{};
  next.adopt([&](std::uint32_t owner) { return owner == 1 ? &found[0] : nullptr; });
  EXPECT_EQ(found[0].count, 50U);
  EXPECT_EQ(next.in_use(), 50U);
  EXPECT_EQ(next.find(1, 49)->send_rtp_next, 50U);
  EXPECT_EQ(next.find(3, 5), nullptr);  // its session is gone
  EXPECT_TRUE(next.bury(4, found[3], used(1, 1)));
}

TEST_F(Security, M9_hundreds_of_ssrcs_under_one_key_are_heard_and_never_forgotten) {
  constexpr std::uint32_t kCount = 600;
  for (std::uint32_t ssrc = 1; ssrc <= kCount; ++ssrc) {
    EXPECT_EQ(media.arrive(Side::kB, rtp_packet(100, ssrc)).size(), 1U) << ssrc;
    media.advance(Seconds(6));
  }
  EXPECT_EQ(media.drops(DropReason::kStreamLimit), 0U);
  for (std::uint32_t ssrc = 1; ssrc <= kCount; ssrc += 50) {
    auto other_payload = rtp_packet(100, ssrc);
    other_payload[30] ^= 0xff;
    EXPECT_TRUE(media.arrive(Side::kB, other_payload).empty()) << ssrc;
    media.advance(Seconds(6));
    EXPECT_EQ(media.arrive(Side::kB, rtp_packet(101, ssrc)).size(), 1U) << ssrc;
    media.advance(Seconds(6));
  }
  a.send = keying(kCm, 99);
  media.update(Side::kA, a);
  EXPECT_EQ(media.arena().tombstones().in_use(), 0U);
  EXPECT_EQ(media.arrive(Side::kB, rtp_packet(100, 1)).size(), 1U);
}

TEST_F(Left, tombstones_go_on_with_the_session) {
  for (std::uint32_t ssrc = 1; ssrc <= 100; ++ssrc) {
    media.advance(Seconds(6));
    media.arrive(Side::kB, rtp_packet(100, ssrc));
  }
  image = image_of(media);
  auto arena = adopt();
  ASSERT_TRUE(arena);
  EXPECT_EQ(arena->tombstones().in_use(), media.arena().tombstones().in_use());
  Successor next(*arena, media.now() + Seconds(60));
  EXPECT_EQ(next.arrive(Side::kB, rtp_packet(100, 1)), 0U);
  EXPECT_EQ(next.arrive(Side::kB, rtp_packet(101, 1)), 1U);
  SessionStats stats;
  EXPECT_TRUE(next.engine().close(MediaFixture::kId, stats));
  EXPECT_EQ(arena->tombstones().in_use(), 0U);
}

TEST_F(Security, streams_count_their_replays_and_failures) {
  const auto first = client.protect(rtp_packet(1));
  media.queue(Side::kA, first, MediaFixture::remote(Side::kA));
  media.queue(Side::kA, first, MediaFixture::remote(Side::kA));  // in the batch of its first packet
  media.deliver();
  auto damaged = client.protect(rtp_packet(2));
  damaged.back() ^= 1;
  media.arrive(Side::kA, damaged);
  media.arrive(Side::kA, damaged);
  media.arrive(Side::kA, client.protect(rtp_packet(500)));
  media.arrive(Side::kA, first);                  // behind the window by now
  media.arrive(Side::kA, rtp_packet(1, 0xdead));  // nobody's
  const LegStats stats = media.stats().legs[0];
  ASSERT_EQ(stats.stream_count, 1U);
  EXPECT_EQ(stats.streams[0].packets, 2U);
  EXPECT_EQ(stats.streams[0].replays, 2U);
  EXPECT_EQ(stats.streams[0].auth_failures, 2U);
}

}  // namespace
}  // namespace turnpike::test
