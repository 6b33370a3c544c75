// Relayed transport addresses: random, within the slice, at rest after use, reserved across shards.
#include "relay/io/relayed_ports.h"

#include <memory>
#include <set>

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/unit/io/io_test_support.h"

namespace turnpike {
namespace {

using io_test::at;
using io_test::loopback;

constexpr std::uint16_t kFirst = 24000;

std::unique_ptr<RelayedPortTable> table(std::uint16_t last, Seconds quarantine = Seconds{5}) {
  return std::make_unique<RelayedPortTable>(
      std::vector<RelayedPortTable::Place>{{loopback(7), IpAddress::v4(203, 0, 113, 7)}}, kFirst,
      last, quarantine);
}

TEST(RelayedPorts, every_port_of_the_slice_is_given_once) {
  const auto all = table(kFirst + 31);
  RelayedPortSlice slice(*all, 0, 2);
  std::set<std::uint16_t> given;
  std::vector<RelayedPort> ports;
  while (const auto port = slice.open(AddressFamily::kIpv4, false, nullptr, at(100))) {
    EXPECT_TRUE(given.insert(port->local.port).second);
    EXPECT_EQ(port->advertised, IpAddress::v4(203, 0, 113, 7));
    ports.push_back(*port);
  }
  EXPECT_EQ(given.size(), 16U);
  EXPECT_EQ(*given.begin(), kFirst);
  EXPECT_EQ(*given.rbegin(), kFirst + 15);
  for (const RelayedPort& port : ports) all->give_back(port, at(100));
}

TEST(RelayedPorts, slices_cover_the_range_without_overlap) {
  const auto all = table(kFirst + 37);
  std::uint16_t next = kFirst;
  for (std::size_t shard = 0; shard < 5; ++shard) {
    const RelayedPortSlice slice(*all, shard, 5);
    EXPECT_EQ(slice.first(), next);
    next = static_cast<std::uint16_t>(slice.last() + 1);
  }
  EXPECT_EQ(next, kFirst + 38);
}

TEST(RelayedPorts, a_range_smaller_than_the_shards_leaves_some_empty) {
  const auto all = table(kFirst + 1);
  std::size_t ports = 0;
  for (std::size_t shard = 0; shard < 4; ++shard) {
    RelayedPortSlice slice(*all, shard, 4);
    while (const auto port = slice.open(AddressFamily::kIpv4, false, nullptr, at(1))) {
      ++ports;
      close(port->fd);
    }
  }
  EXPECT_EQ(ports, 2U);
}

TEST(RelayedPorts, a_port_rests_before_it_is_given_again) {
  const auto all = table(kFirst, Seconds{5});
  RelayedPortSlice slice(*all, 0, 1);
  const auto port = slice.open(AddressFamily::kIpv4, false, nullptr, at(100));
  ASSERT_TRUE(port);
  all->give_back(*port, at(100));
  EXPECT_FALSE(slice.open(AddressFamily::kIpv4, false, nullptr, at(104.9)));
  const auto again = slice.open(AddressFamily::kIpv4, false, nullptr, at(106.1));
  ASSERT_TRUE(again);
  all->give_back(*again, at(106.1));
}

TEST(RelayedPorts, even_ports_and_pairs) {
  const auto all = table(kFirst + 7);
  RelayedPortSlice slice(*all, 0, 1);
  std::vector<RelayedPort> ports;
  for (int i = 0; i < 3; ++i) {
    RelayedPort next;
    const auto port = slice.open(AddressFamily::kIpv4, true, &next, at(1));
    ASSERT_TRUE(port);
    EXPECT_EQ(port->local.port % 2, 0);
    EXPECT_EQ(next.local.port, port->local.port + 1);
    ports.push_back(*port);
    ports.push_back(next);
  }
  const auto even = slice.open(AddressFamily::kIpv4, true, nullptr, at(1));
  ASSERT_TRUE(even);
  EXPECT_EQ(even->local.port % 2, 0);
  ports.push_back(*even);
  RelayedPort next;
  EXPECT_FALSE(slice.open(AddressFamily::kIpv4, true, &next, at(1))) << "only an odd one is left";
  EXPECT_FALSE(slice.open(AddressFamily::kIpv4, true, nullptr, at(1)));
  EXPECT_FALSE(slice.open(AddressFamily::kIpv6, false, nullptr, at(1))) << "no place of the family";
  for (const RelayedPort& port : ports) all->give_back(port, at(1));
}

TEST(RelayedPorts, what_another_program_has_is_left_alone) {
  const io_test::UdpSocket other(loopback(7), kFirst + 1);
  ASSERT_TRUE(other.bound());
  const auto all = table(kFirst + 1, Seconds{0});
  RelayedPortSlice slice(*all, 0, 1);
  for (int i = 0; i < 10; ++i) {
    const auto port = slice.open(AddressFamily::kIpv4, false, nullptr, at(1 + i));
    ASSERT_TRUE(port);
    EXPECT_EQ(port->local.port, kFirst);
    all->give_back(*port, at(1 + i));
  }
}

TEST(RelayedPorts, a_failed_pair_leaves_nothing_taken) {
  const io_test::UdpSocket other(loopback(7), kFirst + 1);
  const auto all = table(kFirst + 1, Seconds{0});
  RelayedPortSlice slice(*all, 0, 1);
  const std::size_t before = io_test::open_descriptors();
  RelayedPort next;
  EXPECT_FALSE(slice.open(AddressFamily::kIpv4, true, &next, at(1)));
  EXPECT_EQ(io_test::open_descriptors(), before);
  const auto port = slice.open(AddressFamily::kIpv4, false, nullptr, at(1));
  ASSERT_TRUE(port) << "the even one of the pair is free";
  all->give_back(*port, at(1));
}

TEST(RelayedPorts, a_reserved_port_goes_to_whoever_takes_it_once) {
  const auto all = table(kFirst + 7);
  RelayedPortSlice slice(*all, 0, 1);
  const auto port = slice.open(AddressFamily::kIpv4, false, nullptr, at(1));
  ASSERT_TRUE(port);
  const std::uint32_t name = all->reserve(*port);
  ASSERT_NE(name, 0U);
  EXPECT_FALSE(all->take(name ^ 0x100));
  EXPECT_FALSE(all->take(0));
  EXPECT_FALSE(all->take(1));  // what a place in use shows for a moment
  const auto taken = all->take(name);
  ASSERT_TRUE(taken);
  EXPECT_EQ(taken->local, port->local);
  EXPECT_FALSE(all->take(name));
  all->give_back(*taken, at(1));
}

TEST(RelayedPorts, reservations_have_a_limit_and_end_with_the_table) {
  const std::size_t before = io_test::open_descriptors();
  {
    const auto all = table(kFirst + 599);
    RelayedPortSlice slice(*all, 0, 1);
    for (std::size_t i = 0; i < RelayedPortTable::kReservationsMax; ++i) {
      const auto port = slice.open(AddressFamily::kIpv4, false, nullptr, at(1));
      ASSERT_TRUE(port);
      ASSERT_NE(all->reserve(*port), 0U);
    }
    const auto more = slice.open(AddressFamily::kIpv4, false, nullptr, at(1));
    ASSERT_TRUE(more);
    EXPECT_EQ(all->reserve(*more), 0U);
    all->give_back(*more, at(1));
  }
  EXPECT_EQ(io_test::open_descriptors(), before);
}

TEST(RelayedPorts, descriptors_are_left_for_calls) {
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit low{640, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
  const auto all = table(kFirst + 999);
  RelayedPortSlice slice(*all, 0, 1);
  std::vector<RelayedPort> ports;
  while (const auto port = slice.open(AddressFamily::kIpv4, false, nullptr, at(1))) {
    ports.push_back(*port);
  }
  EXPECT_LE(ports.size(), 640U - 256U);
  EXPECT_GE(ports.size(), 200U);
  for (const RelayedPort& port : ports) all->give_back(port, at(1));
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
}

// T16: ports cannot be foretold.
TEST(Security, T16_relayed_ports_are_random) {
  const auto all = table(kFirst + 999, Seconds{0});
  RelayedPortSlice slice(*all, 0, 1);
  std::set<int> steps;
  int last = 0;
  for (int i = 0; i < 50; ++i) {
    const auto port = slice.open(AddressFamily::kIpv4, false, nullptr, at(1));
    ASSERT_TRUE(port);
    steps.insert(port->local.port - last);
    last = port->local.port;
    all->give_back(*port, at(1));
  }
  EXPECT_GT(steps.size(), 40U);
}

}  // namespace
}  // namespace turnpike
