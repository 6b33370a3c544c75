// What the transform does with memory: no allocation at all, and no key left behind anywhere in
// the process. Replaces operator new of this program.
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <new>

#include <gtest/gtest.h>

#include "tests/unit/crypto/srtp_testing.h"

namespace {
std::size_t allocations = 0;
}  // namespace

// Not inlined: the compiler would see that one takes from malloc what the other frees.
[[gnu::noinline]] void* operator new(std::size_t bytes) {
  ++allocations;
  return std::malloc(bytes == 0 ? 1 : bytes);
}
[[gnu::noinline]] void operator delete(void* block) noexcept {
  std::free(block);
}
[[gnu::noinline]] void operator delete(void* block, std::size_t) noexcept {
  std::free(block);
}

namespace turnpike {
namespace {

using namespace srtp_testing;

#ifndef __SANITIZE_ADDRESS__
/// A session key, inverted: not to be found as itself.
using Inverted = std::array<std::uint8_t, 16>;

Inverted inverted(const SrtpContext& context) {
  Inverted needle;
  for (std::size_t i = 0; i < needle.size(); ++i) {
    needle[i] = static_cast<std::uint8_t>(~context.rtp_key[i]);
  }
  return needle;
}

std::size_t count_in(const std::uint8_t* begin, const std::uint8_t* end, const Inverted& needle) {
  std::size_t count = 0;
  const auto first = static_cast<std::uint8_t>(~needle[0]);
  for (const std::uint8_t* at = begin; at + needle.size() <= end; ++at) {
    at = static_cast<const std::uint8_t*>(
        std::memchr(at, first, static_cast<std::size_t>(end - at) - needle.size() + 1));
    if (at == nullptr) break;
    std::size_t same = 1;
    while (same < needle.size() && at[same] == static_cast<std::uint8_t>(~needle[same])) ++same;
    count += same == needle.size() ? 1U : 0U;
  }
  return count;
}

/// Copies of the key in everything that this process may write to.
std::size_t copies_in_process(const Inverted& needle) {
  std::size_t count = 0;
  std::ifstream maps("/proc/self/maps");
  std::string line;
  while (std::getline(maps, line)) {
    std::uintptr_t begin = 0;
    std::uintptr_t end = 0;
    std::array<char, 5> rights{};
    if (std::sscanf(line.c_str(), "%lx-%lx %4s", &begin, &end, rights.data()) != 3) continue;
    if (rights[0] != 'r' || rights[1] != 'w') continue;
    count += count_in(reinterpret_cast<const std::uint8_t*>(begin),
                      reinterpret_cast<const std::uint8_t*>(end), needle);
  }
  return count;
}
#endif

SrtpStatus protect_once(Sender& sender, std::uint16_t sequence, bool rtcp) {
  std::array<std::uint8_t, 300> buffer{};
  buffer[0] = 0x80;
  write_be16(&buffer[2], sequence);
  SrtpJob job;
  job.data = buffer.data();
  job.length = 172;
  job.capacity = buffer.size();
  job.rtcp = rtcp;
  job.context = &sender.context;
  job.send = &sender.stream;
  sender.transform.protect({&job, 1});
  return job.status;
}

TEST(SrtpMemory, nothing_is_allocated_per_packet) {
  Random random(21);
  for (const SrtpSuite suite : kSuites) {
    Sender sender(random_keying(suite, random, 4));
    const std::size_t before = allocations;
    std::size_t wrong = 0;
    for (std::uint16_t sequence = 0; sequence < 1000; ++sequence) {
      wrong += protect_once(sender, sequence, sequence % 7 == 0) != SrtpStatus::kOk ? 1U : 0U;
    }
    EXPECT_EQ(allocations, before) << info_of(suite).name;
    EXPECT_EQ(wrong, 0U);
  }
}

#ifndef __SANITIZE_ADDRESS__  // its shadow is as large as the address space
TEST(SrtpMemory, forgetting_leaves_no_key) {
  Random random(23);
  for (const SrtpSuite suite : kSuites) {
    Sender sender(random_keying(suite, random));
    const Inverted needle = inverted(sender.context);
    const std::size_t before = copies_in_process(needle);
    ASSERT_EQ(protect_once(sender, 1, false), SrtpStatus::kOk);
    EXPECT_GT(copies_in_process(needle), before) << "the search does not see the schedule";
    sender.transform.forget(0);
    wipe_srtp_context(sender.context);
    EXPECT_EQ(copies_in_process(needle), 0U) << info_of(suite).name;
  }
}

TEST(SrtpMemory, destruction_leaves_no_key) {
  Random random(24);
  for (const SrtpSuite suite : kSuites) {
    Inverted needle{};
    {
      Sender sender(random_keying(suite, random));
      needle = inverted(sender.context);
      ASSERT_EQ(protect_once(sender, 1, false), SrtpStatus::kOk);
      wipe_srtp_context(sender.context);
      EXPECT_GT(copies_in_process(needle), 0U);
    }
    EXPECT_EQ(copies_in_process(needle), 0U) << info_of(suite).name;
  }
}
#endif

}  // namespace
}  // namespace turnpike
