// The pool when the process may not open any more descriptors. In a child, whose limit it is.
#include <functional>

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "relay/io/port_pool.h"
#include "tests/unit/io/io_test_support.h"

namespace turnpike {
namespace {

using namespace io_test;

void set_soft_limit(std::size_t descriptors) {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = descriptors;
  EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/// The number that the next descriptor gets: with it as the limit there is no next one.
std::size_t next_descriptor() {
  const int fd = dup(STDERR_FILENO);
  close(fd);
  return static_cast<std::size_t>(fd);
}

/// Expectations that fail in the child print there and fail here.
void in_child(const std::function<void()>& body) {
  const pid_t child = fork();
  if (child == 0) {
    body();
    _exit(testing::Test::HasFailure() ? 1 : 0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

OpenFailure failure_of(PortPool& pool, Instant now) {
  OpenFailure failure{};
  EXPECT_FALSE(pool.acquire(0, 0, AddressFamily::kIpv4, 0, now, failure));
  return failure;
}

TEST(PortPoolDescriptors, what_others_may_need_is_left_for_them) {
  in_child([] {
    set_soft_limit(1200);
    PortPool pool(small_config(24500, 26499), 1, nullptr);
    pool.leave_for_others(200);
    std::size_t sockets = 0;
    while (acquire(pool, at(1))) sockets += 2;
    EXPECT_EQ(sockets, 1200U - 256 - 200);
    EXPECT_EQ(failure_of(pool, at(1)), OpenFailure::kOutOfDescriptors);
    pool.leave_for_others(100000);  // half of all at most
    EXPECT_EQ(failure_of(pool, at(1)), OpenFailure::kOutOfDescriptors);
    pool.leave_for_others(0);
    EXPECT_TRUE(acquire(pool, at(1)));
  });
}

TEST(PortPoolDescriptors, none_left_is_told_from_no_ports_and_leaks_nothing) {
  in_child([] {
    PortPool pool(small_config(24500, 24899), 1, nullptr, {.chunk_pairs = 4, .stock_pairs = 8});
    auto pair = acquire(pool, at(1));
    EXPECT_TRUE(pair);
    const auto open = next_descriptor();
    set_soft_limit(open);
    while (acquire(pool, at(1))) {
    }
    EXPECT_EQ(failure_of(pool, at(1)), OpenFailure::kOutOfDescriptors);
    EXPECT_GE(pool.usage().descriptor_shortages, 1U);
    set_soft_limit(open + 1);  // room for half a pair
    EXPECT_EQ(failure_of(pool, at(1)), OpenFailure::kOutOfDescriptors);
    EXPECT_EQ(next_descriptor(), open);
    EXPECT_EQ(pool.usage().bind_failures, 0U) << "no port's fault";

    pool.release(pair->handle, at(1));
    EXPECT_TRUE(acquire(pool, at(10))) << "what is bound can be used on";
    set_soft_limit(open + 100);
    for (int i = 0; i < 40; ++i) EXPECT_TRUE(acquire(pool, at(10))) << i;
  });
}

TEST(PortPoolDescriptors, the_pool_leaves_a_reserve_for_everybody_else) {
  in_child([] {
    const auto open = open_descriptors();
    set_soft_limit(400);
    PortPool pool(small_config(24500, 25299), 1, nullptr);
    int pairs = 0;
    while (acquire(pool, at(1))) ++pairs;
    EXPECT_EQ(failure_of(pool, at(1)), OpenFailure::kOutOfDescriptors);
    EXPECT_EQ(pairs, 100);
    EXPECT_EQ(open_descriptors(), open + 200);
  });
}

TEST(PortPoolDescriptors, what_one_interface_keeps_ready_does_not_starve_another) {
  in_child([] {
    RelayConfig config = small_config(24500, 25299);
    config.interfaces.push_back({"inside", {{loopback(2), loopback(2)}}});
    set_soft_limit(400);  // 100 pairs for the pool
    PortPool pool(config, 1, nullptr);
    for (int i = 0; i < 60; ++i) EXPECT_TRUE(acquire(pool, at(1))) << i;
    OpenFailure failure{};
    for (int i = 0; i < 15; ++i) {
      EXPECT_TRUE(pool.acquire(0, 1, AddressFamily::kIpv4, 0, at(1), failure)) << i;
    }
  });
}

}  // namespace
}  // namespace turnpike
