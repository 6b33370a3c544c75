// The thread of the handshakes itself: its certificates. What it does for calls is tested through
// Relay and with real clients.
#include "relay/handshake_thread.h"

#include <set>

#include <gtest/gtest.h>

#include "relay/io/loop.h"

namespace turnpike {
namespace {

// At the latest after a second's sleep of the thread, and a key or two.
constexpr Seconds kPatience{20};

std::uint32_t other_than(const HandshakeThread& thread, std::uint32_t id) {
  const Instant begin = monotonic_now();
  while (thread.identity().id == id && monotonic_now() - begin < kPatience) {
    pause_for(Milliseconds{5});
  }
  return thread.identity().id;
}

TEST(HandshakeThread, has_a_certificate_at_once) {
  const HandshakeThread thread(1, [](std::size_t) {});
  EXPECT_NE(thread.identity().id, 0U);
  EXPECT_EQ(thread.identity().fingerprint.hash, FingerprintHash::kSha256);
}

TEST(HandshakeThread, renews_its_certificate) {
  const HandshakeThread thread(
      1, [](std::size_t) {}, {}, Milliseconds{1});
  std::set<std::uint32_t> seen;
  std::uint32_t id = thread.identity().id;
  for (int i = 0; i < 3; ++i) {
    seen.insert(id);
    id = other_than(thread, id);
  }
  EXPECT_EQ(seen.size(), 3U);
}

TEST(HandshakeThread, goes_on_with_the_certificate_of_another) {
  const HandshakeThread before(1, [](std::size_t) {});
  const HandshakeThread after(
      1, [](std::size_t) {}, before.kept_identity());
  EXPECT_EQ(after.identity().id, before.identity().id);
  EXPECT_EQ(after.identity().fingerprint, before.identity().fingerprint);
}

TEST(HandshakeThread, makes_its_own_when_what_was_kept_is_damaged) {
  const HandshakeThread before(1, [](std::size_t) {});
  std::vector<std::uint8_t> kept(before.kept_identity().begin(), before.kept_identity().end());
  for (std::size_t bytes = 0; bytes < kept.size(); bytes += 7) {
    const HandshakeThread after(
        1, [](std::size_t) {}, std::span(kept).first(bytes));
    EXPECT_NE(after.identity().id, 0U);
    EXPECT_NE(after.identity().id, before.identity().id);
  }
}

TEST(HandshakeThread, two_have_different_certificates) {
  const HandshakeThread a(1, [](std::size_t) {});
  const HandshakeThread b(1, [](std::size_t) {});
  EXPECT_NE(a.identity().id, b.identity().id);
  EXPECT_NE(a.identity().fingerprint.bytes, b.identity().fingerprint.bytes);
}

}  // namespace
}  // namespace turnpike
