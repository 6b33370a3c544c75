// What the transform does with memory: no allocation per packet, no key left behind. Replaces
// operator new of this program and the allocator of libcrypto.
#include <cstdlib>
#include <new>
#include <span>

#include <gtest/gtest.h>
#include <openssl/crypto.h>

#include "tests/unit/crypto/srtp_testing.h"

namespace {

/// In front of each block of libcrypto: its size, and its neighbours among those that live.
struct alignas(16) BlockHead {
  BlockHead* previous;
  BlockHead* next;
  std::size_t bytes;
};

struct Heap {
  std::size_t allocations = 0;
  BlockHead list{nullptr, nullptr, 0};
  std::span<const std::uint8_t> needle;
  std::size_t freed_with_needle = 0;
};
Heap heap;

std::span<const std::uint8_t> bytes_of(const BlockHead* head) {
  const void* body = head + 1;
  return {static_cast<const std::uint8_t*>(body), head->bytes};
}

bool holds_needle(const BlockHead* head) {
  const std::span<const std::uint8_t> bytes = bytes_of(head);
  return !heap.needle.empty() && std::search(bytes.begin(), bytes.end(), heap.needle.begin(),
                                             heap.needle.end()) != bytes.end();
}

std::size_t live_blocks_with_needle() {
  std::size_t count = 0;
  for (const BlockHead* head = heap.list.next; head != nullptr; head = head->next) {
    count += holds_needle(head) ? 1U : 0U;
  }
  return count;
}

void* counted_malloc(std::size_t bytes, const char*, int) {
  ++heap.allocations;
  auto* head = static_cast<BlockHead*>(std::malloc(sizeof(BlockHead) + bytes));
  if (head == nullptr) {
    return nullptr;
  }
  *head = {&heap.list, heap.list.next, bytes};
  if (head->next != nullptr) {
    head->next->previous = head;
  }
  heap.list.next = head;
  return head + 1;
}

void counted_free(void* body, const char*, int) {
  if (body == nullptr) {
    return;
  }
  BlockHead* head = static_cast<BlockHead*>(body) - 1;
  heap.freed_with_needle += holds_needle(head) ? 1U : 0U;
  head->previous->next = head->next;
  if (head->next != nullptr) {
    head->next->previous = head->previous;
  }
  std::free(head);
}

void* counted_realloc(void* body, std::size_t bytes, const char* file, int line) {
  void* moved = counted_malloc(bytes, file, line);
  if (body != nullptr && moved != nullptr) {
    const BlockHead* head = static_cast<const BlockHead*>(body) - 1;
    std::memcpy(moved, body, std::min(bytes, head->bytes));
    counted_free(body, file, line);
  }
  return moved;
}

// Only possible before libcrypto allocates for the first time.
const bool hooked = CRYPTO_set_mem_functions(counted_malloc, counted_realloc, counted_free) == 1;

void* counted_new(std::size_t bytes) {
  ++heap.allocations;
  return std::malloc(bytes == 0 ? 1 : bytes);
}

}  // namespace

void* operator new(std::size_t bytes) {
  return counted_new(bytes);
}
void* operator new[](std::size_t bytes) {
  return counted_new(bytes);
}
void operator delete(void* block) noexcept {
  std::free(block);
}
void operator delete[](void* block) noexcept {
  std::free(block);
}
void operator delete(void* block, std::size_t) noexcept {
  std::free(block);
}
void operator delete[](void* block, std::size_t) noexcept {
  std::free(block);
}

namespace turnpike {
namespace {

using namespace srtp_testing;

/// One packet out of a prepared buffer, so that the test allocates nothing itself.
SrtpStatus run_once(Sender& sender, Receiver& receiver, std::uint16_t sequence, bool rtcp,
                    bool tampered) {
  std::array<std::uint8_t, 300> buffer{};
  buffer[0] = 0x80;
  if (!rtcp) {
    write_be16(&buffer[2], sequence);
  }
  SrtpJob job;
  job.data = buffer.data();
  job.length = 172;
  job.capacity = buffer.size();
  job.rtcp = rtcp;
  job.context = &sender.context;
  job.send = &sender.stream;
  sender.transform.protect({&job, 1});
  if (job.status != SrtpStatus::kOk) {
    return job.status;
  }
  buffer[100] ^= tampered ? 1 : 0;
  job.context = &receiver.context;
  job.receive = &receiver.stream;
  if (receiver.transform.verify_tag(job) == tampered) {
    return SrtpStatus::kMalformed;
  }
  receiver.transform.unprotect({&job, 1});
  return job.status;
}

TEST(SrtpMemory, nothing_is_allocated_per_packet) {
  ASSERT_TRUE(hooked);
  Random random(21);
  for (const SrtpSuite suite : kSuites) {
    const SrtpKeying keying = random_keying(suite, random, 4);
    Sender sender(keying);
    Receiver receiver(keying);
    const std::size_t before_first = heap.allocations;
    // The first SRTP packet pays for the slot; SRTCP has no first.
    ASSERT_EQ(run_once(sender, receiver, 0, true, false), SrtpStatus::kOk);
    EXPECT_EQ(heap.allocations, before_first);
    ASSERT_EQ(run_once(sender, receiver, 0, false, false), SrtpStatus::kOk);
    EXPECT_GT(heap.allocations, before_first);

    const std::size_t before = heap.allocations;
    std::size_t wrong = 0;
    for (std::uint16_t sequence = 1; sequence < 1000; ++sequence) {
      const bool tampered = sequence % 5 == 0;
      const SrtpStatus expected = tampered ? SrtpStatus::kAuthFailed : SrtpStatus::kOk;
      wrong += run_once(sender, receiver, sequence, sequence % 7 == 0, tampered) != expected;
    }
    EXPECT_EQ(heap.allocations, before) << info_of(suite).name;
    EXPECT_EQ(wrong, 0U);
  }
}

TEST(SrtpMemory, a_new_key_of_the_same_cipher_allocates_nothing_when_used) {
  Random random(22);
  for (const SrtpSuite suite : kSuites) {
    const SrtpKeying first = random_keying(suite, random);
    const SrtpKeying second = random_keying(suite, random);
    Sender sender(first);
    Receiver receiver(first);
    ASSERT_EQ(run_once(sender, receiver, 1, false, false), SrtpStatus::kOk);
    ASSERT_TRUE(derive_srtp_context(second, sender.context));
    ASSERT_TRUE(derive_srtp_context(second, receiver.context));
    sender.stream = SrtpSendStream{};
    receiver.stream = SrtpReceiveStream{};
    const std::size_t before = heap.allocations;
    EXPECT_EQ(run_once(sender, receiver, 1, false, false), SrtpStatus::kOk);
    EXPECT_EQ(heap.allocations, before);
  }
}

TEST(SrtpMemory, forgetting_leaves_no_key) {
  Random random(23);
  for (const SrtpSuite suite : kSuites) {
    const SrtpKeying keying = random_keying(suite, random);
    Sender sender(keying);
    Receiver receiver(keying);
    for (const bool rtcp : {false, true}) {
      ASSERT_EQ(run_once(sender, receiver, rtcp ? 2 : 1, false, false), SrtpStatus::kOk);
      ASSERT_EQ(run_once(sender, receiver, 0, true, false), SrtpStatus::kOk);
      // The first round key of an AES schedule is the head of the session key itself.
      const auto& key = rtcp ? receiver.context.rtcp_key : receiver.context.rtp_key;
      heap.needle = std::span(key).first(16);
      heap.freed_with_needle = 0;
      EXPECT_GE(live_blocks_with_needle(), 2U) << "the test does not see the keys";
      sender.transform.forget(0);
      receiver.transform.forget(0);
      EXPECT_EQ(live_blocks_with_needle(), 0U) << info_of(suite).name << rtcp;
      EXPECT_EQ(heap.freed_with_needle, 0U) << info_of(suite).name << rtcp;
      heap.needle = {};
    }
  }
}

TEST(SrtpMemory, destruction_leaves_no_key) {
  Random random(24);
  for (const SrtpSuite suite : kSuites) {
    const SrtpKeying keying = random_keying(suite, random);
    SrtpContext context;
    ASSERT_TRUE(derive_srtp_context(keying, context));
    {
      Sender sender(keying);
      Receiver receiver(keying);
      ASSERT_EQ(run_once(sender, receiver, 1, false, false), SrtpStatus::kOk);
      heap.needle = std::span(context.rtp_key).first(16);
      heap.freed_with_needle = 0;
      EXPECT_GE(live_blocks_with_needle(), 2U);
    }
    EXPECT_EQ(live_blocks_with_needle(), 0U);
    EXPECT_EQ(heap.freed_with_needle, 0U);
    heap.needle = {};
  }
}

TEST(SrtpMemory, master_key_is_not_kept_by_derivation) {
  Random random(25);
  for (const SrtpSuite suite : kSuites) {
    const SrtpKeying keying = random_keying(suite, random);
    heap.needle = std::span(keying.master_key).first(16);
    heap.freed_with_needle = 0;
    SrtpContext context;
    ASSERT_TRUE(derive_srtp_context(keying, context));
    EXPECT_EQ(live_blocks_with_needle(), 0U);
    EXPECT_EQ(heap.freed_with_needle, 0U);
    heap.needle = {};
    const std::uint8_t* bytes = context.rtp_key.data();
    EXPECT_FALSE(std::equal(bytes, bytes + 16, keying.master_key.begin()));
  }
}

}  // namespace
}  // namespace turnpike
