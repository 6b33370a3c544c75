// Port lists, and the host's settings in a network namespace of the test's own.
#include "relay/io/reserved_ports.h"

#include <fstream>
#include <functional>
#include <string>

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "turnpike/host.h"

namespace turnpike {
namespace {

/// 0: `body` was true in a forked child, 1: it was not, 2: the child could not be prepared.
int in_child(const std::function<bool()>& prepare, const std::function<bool()>& body) {
  const pid_t child = fork();
  if (child == 0) _exit(!prepare() ? 2 : body() ? 0 : 1);
  int status = 0;
  return waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

std::string first_line(const char* path) {
  std::string line;
  std::getline(std::ifstream(path) >> std::ws, line);
  return line;
}

constexpr const char* kReserved = "/proc/sys/net/ipv4/ip_local_reserved_ports";

TEST(ReservedPorts, a_range_is_covered_by_one_or_by_adjacent_entries) {
  EXPECT_TRUE(covers("36000-59999", 36000, 59999));
  EXPECT_TRUE(covers("1-65535\n", 36000, 59999));
  EXPECT_TRUE(covers("36000-50000,50001-59999", 36000, 59999));
  EXPECT_TRUE(covers("50000-59999,36000-52000", 36000, 59999));
  EXPECT_TRUE(covers("7,36000,36001", 36000, 36001));
  EXPECT_FALSE(covers("", 36000, 59999));
  EXPECT_FALSE(covers("36001-59999", 36000, 59999));
  EXPECT_FALSE(covers("36000-59998", 36000, 59999));
  EXPECT_FALSE(covers("36000-50000,50002-59999", 36000, 59999));
}

TEST(ReservedPorts, damaged_entries_cover_nothing) {
  for (const char* list : {"x", "36000-", "-59999", "36000-99999999", "59999-36000", "36000-59999x",
                           "36000--59999", ","}) {
    EXPECT_FALSE(covers(list, 36000, 36001)) << list;
    EXPECT_EQ(with_ports(list, 10, 11), "10-11") << list;
  }
}

TEST(ReservedPorts, adding_keeps_what_was_there) {
  EXPECT_EQ(with_ports("", 36000, 59999), "36000-59999");
  EXPECT_EQ(with_ports("8080,9000-9100\n", 36000, 59999), "8080,9000-9100,36000-59999");
  EXPECT_EQ(with_ports("60000,35000-36500", 36000, 59999), "35000-60000");
  EXPECT_EQ(with_ports("65535", 65534, 65534), "65534-65535");
}

TEST(Host, reserving_a_range_merges_and_is_idempotent) {
  const int code = in_child(
      [] {
        return unshare(CLONE_NEWNET) == 0 && static_cast<bool>(std::ofstream(kReserved) << "8080");
      },
      [] {
        if (port_range_advice(36000, 59999).find("8080,36000-59999") == std::string::npos) {
          return false;
        }
        if (first_line(kReserved) != "8080") return false;  // advice changes nothing
        if (!reserve_port_range(36000, 59999)) return false;
        if (first_line(kReserved) != "8080,36000-59999") return false;
        if (!reserve_port_range(40000, 50001)) return false;
        // Below the ephemeral range there is nothing to reserve.
        if (!reserve_port_range(20000, 29999)) return false;
        return first_line(kReserved) == "8080,36000-59999" &&
               port_range_advice(36000, 59999).empty();
      });
  if (code == 2) GTEST_SKIP() << "needs the right to make a network namespace";
  EXPECT_EQ(code, 0);
}

TEST(Host, without_the_right_to_reserve_the_error_says_what_to_set) {
  const int code = in_child(
      [] {
        return unshare(CLONE_NEWNET) == 0 && setresgid(65534, 65534, 65534) == 0 &&
               setresuid(65534, 65534, 65534) == 0;
      },
      [] {
        auto reserved = reserve_port_range(36000, 59999);
        return !reserved &&
               reserved.error().message.find("net.ipv4.ip_local_reserved_ports=36000-59999") !=
                   std::string::npos;
      });
  if (code == 2) GTEST_SKIP() << "needs the right to make a network namespace";
  EXPECT_EQ(code, 0);
}

TEST(Host, the_descriptor_limit_is_raised_as_far_as_permitted_and_never_lowered) {
  const auto limits = [](rlim_t soft, rlim_t hard) {
    return [=] {
      const rlimit limit{soft, hard};
      // Without root, so that the hard limit is one.
      return setrlimit(RLIMIT_NOFILE, &limit) == 0 && setresuid(65534, 65534, 65534) == 0;
    };
  };
  if (geteuid() != 0) GTEST_SKIP() << "needs root to become another user";
  EXPECT_EQ(in_child(limits(100, 500), [] { return raise_descriptor_limit(300) == 300; }), 0);
  EXPECT_EQ(in_child(limits(100, 500), [] { return raise_descriptor_limit(1000) == 500; }), 0);
  EXPECT_EQ(in_child(limits(400, 500), [] { return raise_descriptor_limit(300) == 400; }), 0);
}

}  // namespace
}  // namespace turnpike
