// What the packet path must not do: allocate, take a lock, ask for the time, write anywhere. The
// program counts its own calls of libc for that, so it is not built with the sanitizers, which
// replace the same functions.
#include <cstdlib>

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <time.h>

#include "tests/support/media_fixture.h"
#include "tests/support/turn_fixture.h"

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

// A datagram in prepared memory through `handle(packet, outbox)`, 1,000 times.
template <typename Handle>
Calls calls_of_turn(const TurnBytes& bytes, const SocketAddress& source, const SocketTag& tag,
                    std::size_t sends, Handle handle) {
  Batch batch;
  Outbox outbox;
  Packet* packet = batch.next();
  std::uint8_t* const memory = packet->data;
  Calls spent;
  for (int i = 0; i < 1000; ++i) {
    outbox.clear();
    packet->data = memory;
    std::memcpy(packet->data, bytes.data(), bytes.size());
    packet->length = static_cast<std::uint32_t>(bytes.size());
    packet->source = source;
    packet->tag = tag;
    const Calls before = calls;
    handle(*packet, outbox);
    spent.allocations += calls.allocations - before.allocations;
    spent.locks += calls.locks - before.locks;
    spent.clock_reads += calls.clock_reads - before.clock_reads;
    spent.writes += calls.writes - before.writes;
    EXPECT_EQ(outbox.size(), sends);
  }
  return spent;
}

TEST(TurnHotPath, forward_path_does_not_allocate) {
  TurnWorld world;
  world.realm().quotas.bytes_per_second = 1'000'000'000;
  TurnClient client(world);
  ASSERT_EQ(client.allocate().code(), 200);
  const SocketAddress peer = turn_address("9.9.9.9:5000");
  const SocketAddress permitted = turn_address("9.9.9.9:5001");
  const SocketAddress stranger = turn_address("8.8.8.8:5000");
  ASSERT_EQ(client.bind(0x4000, peer).code(), 200);
  const turn::Listener listener{turn::ListenerTransport::kUdp, turn_address("93.184.216.9:3478")};
  const auto from_client = [&](Packet& packet, Outbox& out) {
    world.engine().from_client(packet, listener, world.now, world.wall, out);
  };
  const auto from_peer = [&](Packet& packet, Outbox& out) {
    world.engine().from_peer(packet, world.now, out);
  };
  TurnBytes send(100);
  stun::Writer writer(send, stun::Class::kIndication, stun::kSend, {});
  writer.add_xor_address(stun::kXorPeerAddress, peer);
  writer.add(stun::kDataValue, TurnBytes(50));
  send.resize(writer.finish().size());
  const TurnBytes channel = {0x40, 0, 0, 4, 1, 2, 3, 4};
  const TurnBytes unbound = {0x40, 1, 0, 4, 1, 2, 3, 4};
  const TurnBytes data(172, 1);
  const SocketTag socket = world.socket_of(client.relayed);
  for (const Calls& spent : {calls_of_turn(channel, client.address, client.tag, 1, from_client),
                             calls_of_turn(send, client.address, client.tag, 1, from_client),
                             calls_of_turn(data, peer, socket, 1, from_peer),
                             calls_of_turn(data, permitted, socket, 1, from_peer),
                             // What goes nowhere is as cheap.
                             calls_of_turn(unbound, client.address, client.tag, 0, from_client),
                             calls_of_turn(channel, stranger, client.tag, 0, from_client),
                             calls_of_turn(data, client.address, client.tag, 0, from_client),
                             calls_of_turn(data, stranger, socket, 0, from_peer)}) {
    EXPECT_EQ(spent.allocations, 0U);
    EXPECT_EQ(spent.locks, 0U);
    EXPECT_EQ(spent.clock_reads, 0U);
    EXPECT_EQ(spent.writes, 0U);
  }
}

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
