// What a port does between two calls.
#include <string>

#include <gtest/gtest.h>
#include <sys/socket.h>

#include "relay/io/media_socket.h"
#include "tests/unit/io/io_test_support.h"

namespace turnpike {
namespace {

using namespace io_test;

struct ParkedSocket : testing::Test {
  RelayConfig config = small_config(20100, 20101);
  PortPool pool{config, 1, nullptr};
  UdpSocket sender{loopback(2)};

  PortPair take(double seconds) {
    auto pair = acquire(pool, at(seconds));
    EXPECT_TRUE(pair);
    return *pair;
  }
};

TEST_F(ParkedSocket, what_waited_at_release_is_never_delivered) {
  const PortPair pair = take(1);
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(sender.send_to(pair.local[0], "late"));
  pool.release(pair.handle, at(1));
  EXPECT_EQ(receive_memory(pair.fd[0]), 0U);
  const PortPair again = take(10);
  EXPECT_EQ(receive(again.fd[0]), "");
  ASSERT_TRUE(sender.send_to(again.local[0], "new"));
  EXPECT_EQ(receive_soon(again.fd[0]), "new");
}

TEST_F(ParkedSocket, what_comes_while_parked_is_never_delivered) {
  PortPair pair = take(1);
  for (int round = 1; round <= 20; ++round) {
    pool.release(pair.handle, at(round * 10));
    for (int i = 0; i < round; ++i) {
      ASSERT_TRUE(sender.send_to(pair.local[0], "stale"));
      ASSERT_TRUE(sender.send_to(pair.local[1], "stale"));
    }
    if (round % 2 == 0) pool.tend(at(round * 10));
    pair = take(round * 10 + 5);
    EXPECT_EQ(receive(pair.fd[0]), "");
    EXPECT_EQ(receive(pair.fd[1]), "");
    ASSERT_TRUE(sender.send_to(pair.local[0], "fresh"));
    ASSERT_TRUE(sender.send_to(pair.local[1], "fresh"));
    EXPECT_EQ(receive_soon(pair.fd[0]), "fresh");
    EXPECT_EQ(receive_soon(pair.fd[1]), "fresh");
  }
}

TEST_F(ParkedSocket, a_flood_holds_one_small_buffer_until_tended_and_nothing_after) {
  const PortPair pair = take(1);
  pool.release(pair.handle, at(1));
  const auto flood = [&] {
    for (int i = 0; i < 2000; ++i)
      ASSERT_TRUE(sender.send_to(pair.local[0], std::string(200, 'x')));
  };
  flood();
  EXPECT_GT(receive_memory(pair.fd[0]), 0U);
  EXPECT_LE(receive_memory(pair.fd[0]), 4096U);
  pool.tend(at(1));
  EXPECT_EQ(receive_memory(pair.fd[0]), 0U);
  flood();
  EXPECT_EQ(receive_memory(pair.fd[0]), 0U);
}

TEST_F(ParkedSocket, a_port_that_was_never_used_is_parked_too) {
  PortPool fresh(small_config(20200, 20203), 1, nullptr);
  auto used = acquire(fresh, at(1));
  ASSERT_TRUE(used);
  const auto other = static_cast<std::uint16_t>(used->local[0].port == 20200 ? 20202 : 20200);
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(sender.send_to({loopback(1), other}, "early"));
  auto pair = acquire(fresh, at(1));
  ASSERT_TRUE(pair);
  ASSERT_EQ(pair->local[0].port, other);
  EXPECT_EQ(receive(pair->fd[0]), "");
}

// The sockets of this process that are bound to the port; -1 when there is none.
int socket_on_port(std::uint16_t port) {
  for (int fd = 0; fd < 1024; ++fd) {
    SocketAddress local;
    if (inspect_media_socket(fd, local) && local.port == port) return fd;
  }
  return -1;
}

TEST_F(ParkedSocket, a_port_that_was_never_used_holds_nothing_once_tended) {
  PortPool fresh(small_config(20210, 20213), 1, nullptr);
  auto used = acquire(fresh, at(1));
  ASSERT_TRUE(used);
  const auto other = static_cast<std::uint16_t>(used->local[0].port == 20210 ? 20212 : 20210);
  const int fd = socket_on_port(other);
  ASSERT_GE(fd, 0);
  const auto flood = [&] {
    for (int i = 0; i < 100; ++i) {
      ASSERT_TRUE(sender.send_to({loopback(1), other}, std::string(200, 'x')));
    }
  };
  flood();
  EXPECT_GT(receive_memory(fd), 4096U);
  fresh.tend(at(1.1));
  EXPECT_EQ(receive_memory(fd), 0U);
  flood();
  EXPECT_EQ(receive_memory(fd), 0U);
  auto pair = acquire(fresh, at(1.2));
  ASSERT_TRUE(pair);
  ASSERT_EQ(pair->fd[0], fd);
  ASSERT_TRUE(sender.send_to(pair->local[0], "heard"));
  EXPECT_EQ(receive_soon(fd), "heard");
}

TEST_F(ParkedSocket, one_that_was_tended_unused_takes_little_until_it_is_used) {
  PortPool fresh(small_config(20220, 20223), 1, nullptr);
  auto used = acquire(fresh, at(1));
  ASSERT_TRUE(used);
  const auto other = static_cast<std::uint16_t>(used->local[0].port == 20220 ? 20222 : 20220);
  const int fd = socket_on_port(other);
  ASSERT_GE(fd, 0);
  const auto buffer = [](int of) {
    int bytes = 0;
    socklen_t size = sizeof bytes;
    EXPECT_EQ(getsockopt(of, SOL_SOCKET, SO_RCVBUF, &bytes, &size), 0);
    return bytes;
  };
  fresh.tend(at(1.1));
  EXPECT_LT(buffer(fd), 4096);
  ASSERT_TRUE(acquire(fresh, at(1.2)));
  EXPECT_EQ(buffer(fd), buffer(used->fd[0]));
}

TEST_F(ParkedSocket, a_connected_socket_hears_everybody_again_after_its_release) {
  const PortPair pair = take(1);
  sockaddr_storage peer{};
  socklen_t size = sizeof peer;
  const UdpSocket only(loopback(4));
  ASSERT_EQ(getsockname(only.fd(), reinterpret_cast<sockaddr*>(&peer), &size), 0);
  ASSERT_EQ(connect(pair.fd[0], reinterpret_cast<sockaddr*>(&peer), size), 0);
  pool.release(pair.handle, at(1));
  const PortPair again = take(10);
  EXPECT_EQ(again.local[0], pair.local[0]);
  ASSERT_TRUE(sender.send_to(again.local[0], "anybody"));
  EXPECT_EQ(receive_soon(again.fd[0]), "anybody");
}

TEST_F(ParkedSocket, an_icmp_error_of_the_last_user_does_not_reach_the_next) {
  const PortPair pair = take(1);
  sockaddr_storage peer{};
  socklen_t size = sizeof peer;
  {
    const UdpSocket gone(loopback(4));
    ASSERT_EQ(getsockname(gone.fd(), reinterpret_cast<sockaddr*>(&peer), &size), 0);
  }
  ASSERT_EQ(connect(pair.fd[0], reinterpret_cast<sockaddr*>(&peer), size), 0);
  ASSERT_EQ(send(pair.fd[0], "x", 1, 0), 1);  // loopback: the port-unreachable is there at once
  pool.release(pair.handle, at(1));
  const PortPair again = take(10);
  ASSERT_TRUE(sender.send_to(again.local[0], "hello"));
  EXPECT_EQ(receive_soon(again.fd[0]), "hello");
}

// M12: no ICMP tells a free port from one in use.
TEST_F(ParkedSocket, neither_a_parked_port_nor_one_in_use_answers_a_probe) {
  const PortPair pair = take(1);
  const auto probe_is_refused = [](const SocketAddress& target) {
    const UdpSocket prober(loopback(5));
    EXPECT_TRUE(prober.connect_to(target));
    EXPECT_EQ(send(prober.fd(), "probe", 5, 0), 5);
    return send(prober.fd(), "probe", 5, 0) < 0;  // the ICMP error of the first
  };
  EXPECT_FALSE(probe_is_refused(pair.local[0]));
  pool.release(pair.handle, at(1));
  EXPECT_FALSE(probe_is_refused(pair.local[0]));
  pool.tend(at(1));
  EXPECT_FALSE(probe_is_refused(pair.local[0]));
  EXPECT_TRUE(probe_is_refused({loopback(1), 20300})) << "the probe itself must work";
}

TEST_F(ParkedSocket, tending_reaches_every_parked_socket) {
  PortPool many(small_config(21000, 24999), 1, nullptr, {.chunk_pairs = 2000});
  auto pair = acquire(many, at(1));  // binds all 2000
  ASSERT_TRUE(pair);
  std::vector<PortPair> all{*pair};
  while (auto next = acquire(many, at(1))) all.push_back(*next);
  ASSERT_EQ(all.size(), 2000U);
  for (const PortPair& one : all) many.release(one.handle, at(1));
  for (const PortPair& one : all) ASSERT_TRUE(sender.send_to(one.local[1], "x"));
  for (int i = 0; i < 8; ++i) many.tend(at(2));
  for (const PortPair& one : all) EXPECT_EQ(receive_memory(one.fd[1]), 0U);
}

}  // namespace
}  // namespace turnpike
