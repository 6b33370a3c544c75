// Sealing, adoption and refusals of shared memory.
#include "relay/io/shared_memory.h"

#include <cstring>
#include <fstream>
#include <string>
#include <utility>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

namespace turnpike {
namespace {

TEST(SharedMemory, new_memory_is_zeroed_and_of_the_size_asked_for) {
  auto memory = SharedMemory::create("test", 10000);
  ASSERT_TRUE(memory);
  EXPECT_EQ(memory->size(), 10000U);
  for (std::size_t i = 0; i < memory->size(); ++i) ASSERT_EQ(memory->data()[i], 0);
}

TEST(SharedMemory, nobody_can_resize_or_unseal_it) {
  auto memory = SharedMemory::create("test", 8192);
  ASSERT_TRUE(memory);
  EXPECT_EQ(ftruncate(memory->fd(), 4096), -1);
  EXPECT_EQ(ftruncate(memory->fd(), 16384), -1);
  EXPECT_EQ(fcntl(memory->fd(), F_ADD_SEALS, F_SEAL_WRITE), -1);
}

TEST(SharedMemory, an_adopter_sees_what_the_creator_wrote_even_after_it_is_gone) {
  int kept = -1;
  {
    auto memory = SharedMemory::create("test", 4096);
    ASSERT_TRUE(memory);
    std::memcpy(memory->data(), "state", 5);
    kept = fcntl(memory->fd(), F_DUPFD_CLOEXEC, 0);
  }
  auto adopted = SharedMemory::adopt(kept, 4096);
  ASSERT_TRUE(adopted);
  EXPECT_EQ(std::memcmp(adopted->data(), "state", 5), 0);
  EXPECT_EQ(adopted->fd(), kept);
}

TEST(SharedMemory, an_adopted_descriptor_does_not_survive_exec) {
  auto memory = SharedMemory::create("test", 4096);
  ASSERT_TRUE(memory);
  const int inheritable = dup(memory->fd());
  auto adopted = SharedMemory::adopt(inheritable, 4096);
  ASSERT_TRUE(adopted);
  EXPECT_EQ(fcntl(adopted->fd(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
  EXPECT_EQ(fcntl(memory->fd(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
}

TEST(SharedMemory, a_wrong_size_is_refused_and_the_descriptor_stays_the_callers) {
  auto memory = SharedMemory::create("test", 4096);
  ASSERT_TRUE(memory);
  const int fd = fcntl(memory->fd(), F_DUPFD_CLOEXEC, 0);
  for (const std::size_t size : {std::size_t{0}, std::size_t{4095}, std::size_t{8192}}) {
    auto adopted = SharedMemory::adopt(fd, size);
    ASSERT_FALSE(adopted) << size;
    EXPECT_NE(adopted.error().message.find("expected " + std::to_string(size)), std::string::npos);
  }
  EXPECT_EQ(close(fd), 0);
}

TEST(SharedMemory, an_unsealed_or_half_sealed_memfd_is_refused) {
  for (const int seals : {0, F_SEAL_SHRINK, F_SEAL_SHRINK | F_SEAL_GROW,
                          F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL | F_SEAL_WRITE}) {
    const int fd = memfd_create("test", MFD_ALLOW_SEALING | MFD_CLOEXEC);
    ASSERT_GE(fd, 0);
    ASSERT_EQ(ftruncate(fd, 4096), 0);
    ASSERT_EQ(fcntl(fd, F_ADD_SEALS, seals), 0);
    EXPECT_FALSE(SharedMemory::adopt(fd, 4096)) << seals;
    close(fd);
  }
}

TEST(SharedMemory, descriptors_that_are_no_memfd_are_refused) {
  EXPECT_FALSE(SharedMemory::adopt(-1, 4096));
  const int fd = open("/dev/zero", O_RDWR | O_CLOEXEC);
  EXPECT_FALSE(SharedMemory::adopt(fd, 4096));
  close(fd);
}

TEST(SharedMemory, a_size_that_cannot_be_had_is_an_error) {
  EXPECT_FALSE(SharedMemory::create("test", 0));
  EXPECT_FALSE(SharedMemory::create("test", std::size_t{1} << 62));
}

TEST(SharedMemory, moving_leaves_one_owner) {
  auto memory = SharedMemory::create("test", 4096);
  ASSERT_TRUE(memory);
  std::uint8_t* const data = memory->data();
  SharedMemory moved(std::move(*memory));
  EXPECT_EQ(moved.data(), data);
  EXPECT_EQ(memory->data(), nullptr);
  EXPECT_EQ(memory->fd(), -1);
  SharedMemory other;
  other = std::move(moved);
  other.data()[0] = 1;
  EXPECT_EQ(other.size(), 4096U);
}

// The kernel shows the flag of madvise(MADV_DONTDUMP) as "dd".
TEST(SharedMemory, it_is_left_out_of_core_dumps) {
  auto memory = SharedMemory::create("turnpike-dump-test", 4096);
  ASSERT_TRUE(memory);
  std::ifstream maps("/proc/self/smaps");
  std::string line;
  bool ours = false;
  std::string flags;
  while (flags.empty() && std::getline(maps, line)) {
    if (line.find("turnpike-dump-test") != std::string::npos) ours = true;
    if (ours && line.rfind("VmFlags:", 0) == 0) flags = line + " ";
  }
  EXPECT_NE(flags.find(" dd "), std::string::npos) << flags;
}

}  // namespace
}  // namespace turnpike
