// The pool as its user sees it: which ports, which options, which refusals.
#include "relay/io/port_pool.h"

#include <map>
#include <set>
#include <string>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "tests/unit/io/io_test_support.h"

namespace turnpike {
namespace {

using namespace io_test;

int option(int fd, int level, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  return getsockopt(fd, level, name, &value, &size) == 0 ? value : -1;
}

TEST(PortPool, rtp_is_even_and_rtcp_the_next_and_both_are_bound) {
  PortPool pool(small_config(20000, 20099), 1, nullptr);
  auto pair = acquire(pool, at(1));
  ASSERT_TRUE(pair);
  EXPECT_EQ(pair->local[0].port % 2, 0);
  EXPECT_EQ(pair->local[1].port, pair->local[0].port + 1);
  for (std::size_t c = 0; c < 2; ++c) {
    EXPECT_EQ(pair->local[c].ip, loopback(1));
    const UdpSocket sender(loopback(2));
    ASSERT_TRUE(sender.send_to(pair->local[c], "hello"));
    EXPECT_EQ(receive_soon(pair->fd[c]), "hello");
  }
}

TEST(PortPool, sockets_have_the_options_that_media_needs) {
  RelayConfig config = small_config(20000, 20099);
  config.socket_buffer_bytes = 65536;
  config.interfaces[0].addresses.push_back({loopback_v6(), loopback_v6()});
  PortPool pool(config, 1, nullptr);
  OpenFailure failure{};
  for (const auto family : {AddressFamily::kIpv4, AddressFamily::kIpv6}) {
    auto pair = pool.acquire(0, 0, family, 46, at(1), failure);
    ASSERT_TRUE(pair);
    for (const int fd : pair->fd) {
      EXPECT_NE(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
      EXPECT_NE(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
      EXPECT_EQ(option(fd, SOL_SOCKET, SO_REUSEADDR), 0);
      EXPECT_EQ(option(fd, SOL_SOCKET, SO_REUSEPORT), 0);
      EXPECT_EQ(option(fd, SOL_SOCKET, SO_RCVBUF), 2 * 65536);
      EXPECT_EQ(option(fd, SOL_SOCKET, SO_SNDBUF), 2 * 65536);
      if (family == AddressFamily::kIpv4) {
        EXPECT_EQ(option(fd, IPPROTO_IP, IP_TOS), 46 << 2);
      } else {
        EXPECT_EQ(option(fd, IPPROTO_IPV6, IPV6_TCLASS), 46 << 2);
        EXPECT_EQ(option(fd, IPPROTO_IPV6, IPV6_V6ONLY), 1);
      }
    }
  }
}

TEST(PortPool, without_a_buffer_size_the_kernels_default_is_back_after_parking) {
  const UdpSocket fresh(loopback(2));
  const int kernels = option(fresh.fd(), SOL_SOCKET, SO_RCVBUF);
  PortPool pool(small_config(20000, 20001), 1, nullptr);
  for (int i = 0; i < 3; ++i) {
    auto pair = acquire(pool, at(10 * i));
    ASSERT_TRUE(pair);
    EXPECT_EQ(option(pair->fd[0], SOL_SOCKET, SO_RCVBUF), kernels);
    pool.release(pair->handle, at(10 * i));
    EXPECT_LT(option(pair->fd[0], SOL_SOCKET, SO_RCVBUF), 4096);
  }
}

TEST(PortPool, a_pair_beside_another_has_its_numbers_if_they_are_parked) {
  RelayConfig config = small_config(20000, 20007);
  config.interfaces[0].addresses.push_back({loopback_v6(), loopback_v6()});
  PortPool pool(config, 1, nullptr);
  for (int i = 0; i < 4; ++i) pool.stock_up(at(1));  // all four pairs of both families
  std::vector<PortPair> first;
  for (int i = 0; i < 3; ++i) {
    first.push_back(*acquire(pool, at(1)));
    const auto beside = pool.acquire_beside(first.back(), 0, 0, 46, at(1));
    ASSERT_TRUE(beside);
    EXPECT_EQ(beside->local[0], (SocketAddress{loopback_v6(), first.back().local[0].port}));
    EXPECT_EQ(option(beside->fd[1], IPPROTO_IPV6, IPV6_TCLASS), 46 << 2);
  }
  const auto any = pool.acquire_beside(first[0], 0, 0, 46, at(1));
  ASSERT_TRUE(any) << "its numbers are taken: the last pair";
  EXPECT_TRUE(any->local[0].ip.is_v6());
  EXPECT_FALSE(pool.acquire_beside(first[0], 0, 0, 46, at(1))) << "none is left";
  EXPECT_EQ(pool.usage().ports_in_use, 14U);
  EXPECT_EQ(pool.usage().descriptor_shortages, 0U);
  pool.release(any->handle, at(1));
  EXPECT_EQ(pool.usage().ports_in_use, 12U);
  EXPECT_TRUE(pool.acquire_beside(first[0], 0, 0, 46, at(7))) << "after its quarantine";
}

TEST(PortPool, there_is_nothing_beside_on_an_interface_of_one_family) {
  PortPool pool(small_config(20000, 20007), 1, nullptr);
  const auto first = acquire(pool, at(1));
  ASSERT_TRUE(first);
  EXPECT_FALSE(pool.acquire_beside(*first, 0, 0, 46, at(1)));
  EXPECT_EQ(pool.usage().ports_in_use, 2U);
}

TEST(PortPool, dscp_follows_the_last_user) {
  PortPool pool(small_config(20000, 20001), 1, nullptr);
  OpenFailure failure{};
  double now = 0;
  for (const std::uint8_t dscp : std::initializer_list<std::uint8_t>{46, 34, 34, 0, 63}) {
    auto pair = pool.acquire(0, 0, AddressFamily::kIpv4, dscp, at(now), failure);
    ASSERT_TRUE(pair);
    EXPECT_EQ(option(pair->fd[0], IPPROTO_IP, IP_TOS), dscp << 2);
    EXPECT_EQ(option(pair->fd[1], IPPROTO_IP, IP_TOS), dscp << 2);
    pool.release(pair->handle, at(now));
    now += 10;
  }
}

TEST(PortPool, a_released_pair_is_not_given_out_before_its_quarantine_ends) {
  PortPool pool(small_config(20000, 20001), 1, nullptr);
  auto pair = acquire(pool, at(1));
  ASSERT_TRUE(pair);
  pool.release(pair->handle, at(100));
  EXPECT_EQ(pool.usage().ports_quarantined, 2U);
  EXPECT_FALSE(acquire(pool, at(100)));
  EXPECT_FALSE(acquire(pool, at(104.999)));
  auto again = acquire(pool, at(105));
  ASSERT_TRUE(again);
  EXPECT_EQ(again->local[0], pair->local[0]);
  EXPECT_EQ(pool.usage().ports_quarantined, 0U);
}

TEST(PortPool, exhaustion_is_out_of_ports_and_ends_with_a_release) {
  PortPool pool(small_config(20000, 20019), 1, nullptr);
  std::vector<PortPair> held;
  std::set<std::uint16_t> ports;
  for (int i = 0; i < 10; ++i) {
    auto pair = acquire(pool, at(1));
    ASSERT_TRUE(pair) << i;
    held.push_back(*pair);
    EXPECT_TRUE(ports.insert(pair->local[0].port).second);
  }
  EXPECT_EQ(*ports.begin(), 20000);
  EXPECT_EQ(*ports.rbegin(), 20018);
  OpenFailure failure{};
  auto none = pool.acquire(0, 0, AddressFamily::kIpv4, 0, at(1), failure);
  ASSERT_FALSE(none);
  EXPECT_EQ(failure, OpenFailure::kOutOfPorts);
  EXPECT_NE(none.error().message.find("outside"), std::string::npos);
  EXPECT_EQ(pool.usage().ports_in_use, 20U);
  EXPECT_EQ(pool.usage().ports_total, 20U);

  pool.release(held[3].handle, at(2));
  auto pair = acquire(pool, at(7));
  ASSERT_TRUE(pair);
  EXPECT_EQ(pair->local[0], held[3].local[0]);
}

TEST(PortPool, stock_is_filled_ahead_up_to_its_size_and_not_further) {
  const std::size_t before = open_descriptors();
  PortPool pool(small_config(20000, 20999), 2, nullptr, {.chunk_pairs = 8, .stock_pairs = 100});
  pool.stock_up(at(1));
  EXPECT_GT(open_descriptors(), before);
  EXPECT_LE(open_descriptors(), before + 64);  // four chunks
  for (int i = 0; i < 100; ++i) pool.stock_up(at(1));
  EXPECT_EQ(open_descriptors(), before + 200);  // 50 pairs for each shard
  ASSERT_TRUE(acquire(pool, at(2)));
  EXPECT_EQ(open_descriptors(), before + 200);
  pool.stock_up(at(2));
  EXPECT_EQ(open_descriptors(), before + 202);
}

TEST(PortPool, stock_is_not_filled_again_and_again_on_an_address_that_the_host_lacks) {
  RelayConfig config = small_config(20000, 20999);
  config.interfaces[0].addresses = {{IpAddress::v4(203, 0, 113, 77), {}}};
  PortPool pool(config, 1, nullptr);
  for (int i = 0; i < 10; ++i) pool.stock_up(at(10 * i));
  EXPECT_EQ(pool.usage().address_failures, 1U);
  EXPECT_FALSE(acquire(pool, at(200)));  // who needs it does try
  EXPECT_EQ(pool.usage().address_failures, 2U);
}

TEST(PortPool, slices_of_shards_are_disjoint_equal_consecutive_and_complete) {
  const RelayConfig config = small_config(20000, 20045);  // 23 pairs over 4 shards
  PortPool pool(config, 4, nullptr);
  std::map<std::uint16_t, std::size_t> shard_by_port;
  std::vector<std::size_t> count(4);
  OpenFailure failure{};
  for (std::size_t shard = 0; shard < 4; ++shard) {
    while (auto pair = pool.acquire(shard, 0, AddressFamily::kIpv4, 0, at(1), failure)) {
      EXPECT_TRUE(shard_by_port.emplace(pair->local[0].port, shard).second);
      ++count[shard];
    }
    EXPECT_GE(count[shard], 5U);
    EXPECT_LE(count[shard], 6U);
  }
  EXPECT_EQ(shard_by_port.size(), 23U);
  std::size_t previous = 0;
  for (const auto& [port, shard] : shard_by_port) {
    EXPECT_GE(shard, previous) << port;
    previous = shard;
  }
}

TEST(PortPool, usage_by_address_and_shard_sums_up) {
  RelayConfig config = small_config(20000, 20039);
  config.interfaces.push_back({"again", config.interfaces[0].addresses});
  PortPool pool(config, 2, nullptr);
  OpenFailure failure{};
  const auto first = pool.acquire(1, 0, AddressFamily::kIpv4, 0, at(1), failure);
  const auto second = pool.acquire(1, 0, AddressFamily::kIpv4, 0, at(1), failure);
  ASSERT_TRUE(first && second);
  pool.release(first->handle, at(1));
  const auto slices = pool.slices();
  ASSERT_EQ(slices.size(), 2U);
  EXPECT_EQ(slices[0].interfaces, config.interfaces[0].name + ", again");
  EXPECT_EQ(slices[0].local, loopback(1));
  EXPECT_EQ(slices[0].port_min, 20000);
  EXPECT_EQ(slices[0].port_max, 20019);
  EXPECT_EQ(slices[0].free, 20U);
  EXPECT_EQ(slices[1].shard, 1);
  EXPECT_EQ(slices[1].port_min, 20020);
  EXPECT_EQ(slices[1].port_max, 20039);
  EXPECT_EQ(slices[1].taken, 2U);
  EXPECT_EQ(slices[1].quarantined, 2U);
  EXPECT_EQ(slices[1].free, 16U);
}

TEST(PortPool, more_shards_than_pairs_leaves_some_without_ports) {
  PortPool pool(small_config(20000, 20003), 5, nullptr);
  OpenFailure failure{};
  int pairs = 0;
  for (std::size_t shard = 0; shard < 5; ++shard) {
    if (pool.acquire(shard, 0, AddressFamily::kIpv4, 0, at(1), failure)) ++pairs;
  }
  EXPECT_EQ(pairs, 2);
}

TEST(PortPool, several_addresses_of_a_family_extend_the_range) {
  RelayConfig config = small_config(20000, 20019);
  config.interfaces[0].addresses.push_back({loopback(3), loopback(3)});
  PortPool pool(config, 1, nullptr);
  EXPECT_EQ(pool.usage().ports_total, 40U);
  std::set<SocketAddress> taken;
  std::map<IpAddress, int> by_address;
  while (auto pair = acquire(pool, at(1))) {
    EXPECT_TRUE(taken.insert(pair->local[0]).second);
    ++by_address[pair->local[0].ip];
  }
  EXPECT_EQ(by_address[loopback(1)], 10);
  EXPECT_EQ(by_address[loopback(3)], 10);
}

TEST(PortPool, two_interfaces_on_one_address_share_its_ports) {
  RelayConfig config = small_config(20000, 20009);
  config.interfaces.push_back({"inside", config.interfaces[0].addresses});
  PortPool pool(config, 1, nullptr);
  OpenFailure failure{};
  std::set<std::uint16_t> ports;
  for (std::size_t i = 0; i < 5; ++i) {
    auto pair = pool.acquire(0, i % 2, AddressFamily::kIpv4, 0, at(1), failure);
    ASSERT_TRUE(pair);
    EXPECT_TRUE(ports.insert(pair->local[0].port).second);
  }
  EXPECT_FALSE(pool.acquire(0, 1, AddressFamily::kIpv4, 0, at(1), failure));
}

TEST(PortPool, what_does_not_exist_is_a_bad_spec_and_binds_nothing) {
  PortPool pool(small_config(20000, 20009), 1, nullptr);
  const auto before = open_descriptors();
  const auto failure_of = [&](std::size_t shard, std::size_t interface, AddressFamily family,
                              std::uint8_t dscp) {
    OpenFailure failure{};
    EXPECT_FALSE(pool.acquire(shard, interface, family, dscp, at(1), failure));
    return failure;
  };
  EXPECT_EQ(failure_of(1, 0, AddressFamily::kIpv4, 0), OpenFailure::kBadSpec);
  EXPECT_EQ(failure_of(0, 1, AddressFamily::kIpv4, 0), OpenFailure::kBadSpec);
  EXPECT_EQ(failure_of(0, 0, AddressFamily::kIpv6, 0), OpenFailure::kBadSpec);
  EXPECT_EQ(failure_of(0, 0, AddressFamily::kNone, 0), OpenFailure::kBadSpec);
  EXPECT_EQ(failure_of(0, 0, AddressFamily::kIpv4, 64), OpenFailure::kBadSpec);
  EXPECT_EQ(open_descriptors(), before);
}

TEST(PortPool, a_port_of_somebody_else_is_counted_avoided_and_retried_later) {
  const RelayConfig config = small_config(20000, 20007);
  auto foreign = std::make_unique<UdpSocket>(loopback(1), 20003);  // the RTCP port of 20002
  ASSERT_TRUE(foreign->bound());
  PortPool pool(config, 1, nullptr);
  std::set<std::uint16_t> ports;
  while (auto pair = acquire(pool, at(1))) ports.insert(pair->local[0].port);
  EXPECT_EQ(ports, (std::set<std::uint16_t>{20000, 20004, 20006}));
  EXPECT_EQ(pool.usage().bind_failures, 1U);
  EXPECT_FALSE(acquire(pool, at(30.9)));
  EXPECT_EQ(pool.usage().bind_failures, 1U) << "a port that failed is left alone for a while";
  const UdpSocket rtp_was_given_back(loopback(1), 20002);
  EXPECT_TRUE(rtp_was_given_back.bound());
  foreign.reset();
  EXPECT_FALSE(acquire(pool, at(31))) << "its RTP port is taken now";
  EXPECT_EQ(pool.usage().bind_failures, 2U);
}

TEST(PortPool, all_ports_taken_by_somebody_else_is_out_of_ports) {
  std::vector<std::unique_ptr<UdpSocket>> foreign;
  for (std::uint16_t port = 20000; port < 20020; port = static_cast<std::uint16_t>(port + 2)) {
    foreign.push_back(std::make_unique<UdpSocket>(loopback(1), port));
  }
  PortPool pool(small_config(20000, 20019), 1, nullptr);
  OpenFailure failure{};
  EXPECT_FALSE(pool.acquire(0, 0, AddressFamily::kIpv4, 0, at(1), failure));
  EXPECT_EQ(failure, OpenFailure::kOutOfPorts);
  foreign.clear();
  EXPECT_TRUE(acquire(pool, at(40)));
}

TEST(PortPool, an_address_that_the_host_lacks_fails_alone_and_is_retried) {
  RelayConfig config = small_config(20000, 20009);
  config.interfaces[0].addresses[0].local = IpAddress::v4(192, 0, 2, 77);
  PortPool lacking(config, 1, nullptr);
  OpenFailure failure{};
  EXPECT_FALSE(lacking.acquire(0, 0, AddressFamily::kIpv4, 0, at(1), failure));
  EXPECT_EQ(failure, OpenFailure::kOutOfPorts);
  EXPECT_FALSE(lacking.acquire(0, 0, AddressFamily::kIpv4, 0, at(1.5), failure));
  EXPECT_EQ(lacking.usage().bind_failures, 1U) << "no attempt per call";
  EXPECT_FALSE(lacking.acquire(0, 0, AddressFamily::kIpv4, 0, at(2), failure));
  EXPECT_EQ(lacking.usage().bind_failures, 2U);

  config.interfaces[0].addresses.push_back({loopback(1), loopback(1)});
  PortPool half(config, 1, nullptr);
  for (int i = 0; i < 5; ++i) {
    auto pair = half.acquire(0, 0, AddressFamily::kIpv4, 0, at(1), failure);
    ASSERT_TRUE(pair) << i;
    EXPECT_EQ(pair->local[0].ip, loopback(1));
  }
}

TEST(PortPool, the_pool_closes_everything_it_opened) {
  const auto before = open_descriptors();
  {
    PortPool pool(small_config(20000, 20199), 1, nullptr);
    for (int i = 0; i < 50; ++i) ASSERT_TRUE(acquire(pool, at(1)));
    EXPECT_GT(open_descriptors(), before + 99);
  }
  EXPECT_EQ(open_descriptors(), before);
}

TEST(PortPool, sockets_grow_with_the_load_and_not_with_the_range) {
  const auto before = open_descriptors();
  PortPool pool(small_config(20000, 29999), 1, nullptr, {.chunk_pairs = 8, .stock_pairs = 16});
  for (int i = 0; i < 2000; ++i) {
    auto pair = acquire(pool, at(i * 10));
    ASSERT_TRUE(pair);
    pool.release(pair->handle, at(i * 10));
  }
  EXPECT_LE(open_descriptors() - before, 2U * (16 + 8));
}

TEST(PortPoolDeathTest, releasing_twice_is_a_broken_invariant) {
  PortPool pool(small_config(20000, 20001), 1, nullptr);
  auto pair = acquire(pool, at(1));
  ASSERT_TRUE(pair);
  pool.release(pair->handle, at(1));
  EXPECT_DEATH(pool.release(pair->handle, at(1)), "broken invariant");
  EXPECT_DEATH(pool.release(12345, at(1)), "broken invariant");
}

}  // namespace
}  // namespace turnpike
