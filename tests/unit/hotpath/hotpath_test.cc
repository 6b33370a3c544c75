// What the packet path must not do: allocate, take a lock, ask for the time, write anywhere. The
// program counts its own calls of libc for that, so it is not built with the sanitizers, which
// replace the same functions.
#include <cstdlib>

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <time.h>

#include "tests/support/media_fixture.h"

namespace {

struct Calls {
  std::uint64_t allocations = 0;
  std::uint64_t locks = 0;
  std::uint64_t clock_reads = 0;
  std::uint64_t writes = 0;
};
Calls calls;

template <typename Function>
Function next(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

}  // namespace

extern "C" {
void* __libc_malloc(size_t bytes);
void* __libc_calloc(size_t count, size_t bytes);
void* __libc_realloc(void* block, size_t bytes);

void* malloc(size_t bytes) {
  ++calls.allocations;
  return __libc_malloc(bytes);
}
void* calloc(size_t count, size_t bytes) {
  ++calls.allocations;
  return __libc_calloc(count, bytes);
}
void* realloc(void* block, size_t bytes) {
  ++calls.allocations;
  return __libc_realloc(block, bytes);
}
int pthread_mutex_lock(pthread_mutex_t* mutex) noexcept {
  ++calls.locks;
  static const auto real = next<int (*)(pthread_mutex_t*)>("pthread_mutex_lock");
  return real(mutex);
}
int pthread_rwlock_rdlock(pthread_rwlock_t* lock) noexcept {
  ++calls.locks;
  static const auto real = next<int (*)(pthread_rwlock_t*)>("pthread_rwlock_rdlock");
  return real(lock);
}
int pthread_rwlock_wrlock(pthread_rwlock_t* lock) noexcept {
  ++calls.locks;
  static const auto real = next<int (*)(pthread_rwlock_t*)>("pthread_rwlock_wrlock");
  return real(lock);
}
int clock_gettime(clockid_t clock, timespec* now) noexcept {
  ++calls.clock_reads;
  static const auto real = next<int (*)(clockid_t, timespec*)>("clock_gettime");
  return real(clock, now);
}
ssize_t write(int fd, const void* data, size_t bytes) {
  ++calls.writes;
  static const auto real = next<ssize_t (*)(int, const void*, size_t)>("write");
  return real(fd, data, bytes);
}
}

namespace turnpike::test {
namespace {

// Both directions, all in prepared memory; the engine alone works between the two readings.
Calls calls_of(SrtpSuite suite, bool hostile) {
  MediaFixture media;
  const LegConfig a = suite == SrtpSuite::kNone ? MediaFixture::plain(Side::kA)
                                                : MediaFixture::secure(Side::kA, suite, 1);
  media.update(Side::kA, a);
  media.update(Side::kB, MediaFixture::plain(Side::kB));
  SrtpPeer client(a.receive, a.send);
  const bool seal = suite != SrtpSuite::kNone && !hostile;
  Batch batch;
  Outbox outbox;
  media::Notices notices;
  Calls spent;
  for (std::uint16_t round = 0; round < 50; ++round) {
    batch.clear();
    outbox.clear();
    for (std::uint16_t i = 0; i < kBatchPacketsMax; ++i) {
      const auto sequence = static_cast<std::uint16_t>(round * kBatchPacketsMax + i);
      const Side side = i % 2 == 0 ? Side::kA : Side::kB;
      auto bytes = rtp_packet(sequence, hostile ? sequence : 5U);
      if (seal && side == Side::kA) bytes = client.protect(bytes);
      Packet* packet = batch.next();
      std::memcpy(packet->data, bytes.data(), bytes.size());
      packet->length = static_cast<std::uint32_t>(bytes.size());
      packet->source = MediaFixture::remote(hostile ? other(side) : side);
      packet->tag = {MediaFixture::kId.slot, MediaFixture::kId.generation, side, Component::kRtp};
      batch.commit();
    }
    const Calls before = calls;
    media.engine().handle(media.now(), batch, outbox, notices);
    for (const Send& send : outbox) media.engine().sent(send, media.now());
    if (round > 0) {  // the first round may build library contexts
      spent.allocations += calls.allocations - before.allocations;
      spent.locks += calls.locks - before.locks;
      spent.clock_reads += calls.clock_reads - before.clock_reads;
      spent.writes += calls.writes - before.writes;
    }
    EXPECT_EQ(outbox.size() == 0, hostile);
  }
  return spent;
}

class HotPath : public ::testing::TestWithParam<std::tuple<SrtpSuite, bool>> {};

TEST_P(HotPath, forward_path_does_not_allocate_lock_ask_the_time_or_write) {
  const auto [suite, hostile] = GetParam();
  const Calls spent = calls_of(suite, hostile);
  EXPECT_EQ(spent.allocations, 0U);
  EXPECT_EQ(spent.locks, 0U);
  EXPECT_EQ(spent.clock_reads, 0U);
  EXPECT_EQ(spent.writes, 0U);
}

INSTANTIATE_TEST_SUITE_P(
    Suites, HotPath,
    ::testing::Combine(::testing::Values(SrtpSuite::kNone, SrtpSuite::kAesCm128HmacSha1_80,
                                         SrtpSuite::kAesCm256HmacSha1_32, SrtpSuite::kAeadAes128Gcm,
                                         SrtpSuite::kAeadAes256Gcm),
                       ::testing::Bool()));

TEST(HotPathCounters, see_what_they_should) {
  const Calls before = calls;
  void* volatile block = std::malloc(10);
  std::free(block);
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_mutex_lock(&mutex);
  pthread_mutex_unlock(&mutex);
  EXPECT_GE(calls.allocations, before.allocations + 1);
  EXPECT_GE(calls.clock_reads, before.clock_reads + 1);
  EXPECT_GE(calls.locks, before.locks + 1);
}

}  // namespace
}  // namespace turnpike::test
