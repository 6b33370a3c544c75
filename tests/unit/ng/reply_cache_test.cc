// The reply cache: who waits, who is answered again, what is forgotten, and the limits.
#include "control/ng/reply_cache.h"

#include <string>

#include <gtest/gtest.h>

namespace turnpike::ng {
namespace {

using Verdict = ReplyCache::Verdict;
constexpr Instant kStart{Seconds{1000}};

TEST(ReplyCache, repeats_a_reply_and_never_the_work) {
  ReplyCache cache;
  EXPECT_EQ(cache.begin("k", kStart).verdict, Verdict::kNew);
  EXPECT_EQ(cache.finish("k", "reply"), 1u);
  for (int i = 0; i < 3; ++i) {
    const auto found = cache.begin("k", kStart + Seconds{i});
    ASSERT_EQ(found.verdict, Verdict::kReplay);
    EXPECT_EQ(*found.reply, "reply");
  }
  EXPECT_EQ(cache.finish("k", "another"), 0u) << "it is not in work";
}

TEST(ReplyCache, repetitions_wait_for_the_first_up_to_a_limit) {
  ReplyCache cache({.waiting_max = 2});
  EXPECT_EQ(cache.begin("k", kStart).verdict, Verdict::kNew);
  EXPECT_EQ(cache.begin("k", kStart).verdict, Verdict::kWaits);
  EXPECT_EQ(cache.begin("k", kStart).verdict, Verdict::kWaits);
  EXPECT_EQ(cache.begin("k", kStart).verdict, Verdict::kDropped);
  EXPECT_EQ(cache.finish("k", "reply"), 3u);
}

TEST(ReplyCache, key_tells_peers_cookies_and_contents_apart) {
  const SocketAddress one{IpAddress::v4(127, 0, 0, 1), 1000};
  const SocketAddress other{IpAddress::v4(127, 0, 0, 1), 1001};
  const std::string key = ReplyCache::key_of(one, "c", "de");
  EXPECT_EQ(ReplyCache::key_of(one, "c", "de"), key);
  EXPECT_NE(ReplyCache::key_of(other, "c", "de"), key);
  EXPECT_NE(ReplyCache::key_of(one, "d", "de"), key);
  EXPECT_NE(ReplyCache::key_of(one, "c", "d1:a0:e"), key);
}

TEST(ReplyCache, forgets_at_the_age_limit_and_reports_what_was_still_in_work) {
  ReplyCache cache({.age_max = Seconds{60}});
  cache.begin("done", kStart);
  cache.finish("done", "reply");
  cache.begin("stuck", kStart + Seconds{1});
  EXPECT_EQ(cache.expire(kStart + Seconds{60} - Nanoseconds{1}), 0u);
  EXPECT_EQ(cache.size(), 2u);
  EXPECT_EQ(cache.expire(kStart + Seconds{60}), 0u);
  EXPECT_EQ(cache.size(), 1u);
  EXPECT_EQ(cache.expire(kStart + Seconds{61}), 1u);
  EXPECT_EQ(cache.finish("stuck", "late"), 0u);
  EXPECT_EQ(cache.bytes(), 0u);
}

TEST(ReplyCache, at_the_entry_limit_the_oldest_reply_goes_and_work_stays) {
  ReplyCache cache({.entries_max = 3});
  cache.begin("work", kStart);
  cache.begin("old", kStart);
  cache.finish("old", "reply");
  cache.begin("new", kStart);
  cache.finish("new", "reply");
  EXPECT_EQ(cache.begin("next", kStart).verdict, Verdict::kNew);
  EXPECT_EQ(cache.size(), 3u);
  EXPECT_EQ(cache.begin("work", kStart).verdict, Verdict::kWaits);
  EXPECT_EQ(cache.begin("new", kStart).verdict, Verdict::kReplay);
  EXPECT_EQ(cache.begin("old", kStart).verdict, Verdict::kNew) << "it was forgotten";
  EXPECT_EQ(cache.begin("one more", kStart).verdict, Verdict::kFull);
}

TEST(ReplyCache, at_the_byte_limit_old_replies_go) {
  ReplyCache cache({.bytes_max = 1000});
  for (int i = 0; i < 100; ++i) {
    const std::string key = "key" + std::to_string(i);
    ASSERT_EQ(cache.begin(key, kStart).verdict, Verdict::kNew);
    ASSERT_EQ(cache.finish(key, std::string(300, 'r')), 1u);
    ASSERT_LE(cache.bytes(), 1000u);
  }
  EXPECT_EQ(cache.size(), 3u);
  cache.begin("huge", kStart);
  EXPECT_EQ(cache.finish("huge", std::string(5000, 'r')), 1u);
  EXPECT_EQ(cache.bytes(), 0u);
}

}  // namespace
}  // namespace turnpike::ng
