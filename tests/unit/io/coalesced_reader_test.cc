// Datagrams that come in one piece: taken apart in order, and none lost that a batch has no room
// for.
#include "relay/io/coalesced_reader.h"

#include <cstring>

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>

#include "relay/io/flow_socket.h"
#include "relay/io/media_socket.h"
#include "relay/io/segment_runs.h"
#include "relay/io/sockets_io.h"
#include "tests/unit/io/io_test_support.h"

namespace turnpike::io_test {
namespace {

// What the kernel says beside a piece of `length` bytes.
struct Said {
  int level = SOL_UDP;
  int type = UDP_GRO;
  int value = 0;
  std::size_t value_bytes = sizeof(int);
};
std::size_t bytes_of(const Said& said, std::size_t length) {
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = said.level;
  header->cmsg_type = said.type;
  header->cmsg_len = CMSG_LEN(said.value_bytes);
  std::memcpy(CMSG_DATA(header), &said.value, said.value_bytes);
  return segment_bytes_of(message, length);
}

TEST(SegmentBytes, sizes_that_make_no_sense_leave_one_datagram) {
  EXPECT_EQ(bytes_of({SOL_UDP, UDP_GRO, 100}, 250), 100U);
  EXPECT_EQ(bytes_of({SOL_UDP, UDP_GRO, 1}, 250), 1U);
  for (const int value : {0, -1, -100, 250, 251, 70000, INT32_MAX, INT32_MIN}) {
    EXPECT_EQ(bytes_of({SOL_UDP, UDP_GRO, value}, 250), 250U) << value;
    EXPECT_EQ(bytes_of({SOL_UDP, UDP_GRO, value}, 0), 0U) << value;
  }
  EXPECT_EQ(bytes_of({SOL_SOCKET, UDP_GRO, 100}, 250), 250U);
  EXPECT_EQ(bytes_of({SOL_UDP, UDP_SEGMENT, 100}, 250), 250U);
  EXPECT_EQ(bytes_of({SOL_UDP, UDP_GRO, 100, 2}, 250), 250U);
  EXPECT_EQ(segment_bytes_of(msghdr{}, 250), 250U);
}

constexpr SocketTag kClient{1, 7, Side::kA, Component::kRtp};

class CoalescedTest : public ::testing::Test {
 protected:
  CoalescedTest() { EXPECT_TRUE(inspect_media_socket(port.fd(), local)); }

  // `count` datagrams of `bytes` whose first byte counts on; the kernel may leave them together.
  void send(std::size_t count, std::size_t bytes) {
    std::vector<std::uint8_t> run(count * bytes, 0x55);
    for (std::size_t i = 0; i < count; ++i) run[i * bytes] = next++;
    ASSERT_EQ(transmit_datagrams(sender.fd(), run, bytes, local), 0);
  }
  // The datagrams of the batch: all whole, and in order.
  void expect_next(std::size_t count, std::size_t bytes) {
    ASSERT_EQ(batch.size(), count);
    for (std::size_t i = 0; i < count; ++i) {
      EXPECT_EQ(batch[i].length, bytes);
      EXPECT_EQ(batch[i].data[0], expected++);
      EXPECT_EQ(batch[i].data[bytes - 1], bytes == 1 ? batch[i].data[0] : 0x55);
      EXPECT_TRUE(is_shared(batch[i].tag));
      EXPECT_EQ(batch[i].tag.generation, 3U);
      EXPECT_EQ(batch[i].source, from);
    }
    batch.clear();
  }

  UdpSocket port{loopback(1)};
  UdpSocket sender{loopback(2)};
  SocketAddress local;
  SocketAddress from = [this] {
    SocketAddress address;
    EXPECT_TRUE(inspect_media_socket(sender.fd(), address));
    return address;
  }();
  std::uint8_t next = 0;
  std::uint8_t expected = 0;
  Batch batch;
};

TEST_F(CoalescedTest, a_piece_is_taken_apart_over_as_many_batches_as_it_needs) {
  CoalescedReader reader;
  ASSERT_TRUE(reader.ask(port.fd()));
  EXPECT_FALSE(reader.keeps());
  send(50, 200);
  send(3, 100);
  EXPECT_FALSE(reader.read(port.fd(), 3, 8));
  EXPECT_EQ(reader.take(batch, 30), 30U);
  expect_next(30, 200);
  EXPECT_TRUE(reader.keeps());
  EXPECT_EQ(reader.take(batch, 20), 20U);
  expect_next(20, 200);
  EXPECT_EQ(reader.take(batch, 30), 3U);
  expect_next(3, 100);
  EXPECT_FALSE(reader.keeps());
  EXPECT_EQ(reader.take(batch, 30), 0U);
  EXPECT_FALSE(reader.read(port.fd(), 3, 8)) << "nothing waits";
  EXPECT_FALSE(reader.keeps());
}

TEST_F(CoalescedTest, a_full_batch_takes_no_more_and_pieces_that_were_not_read_wait) {
  CoalescedReader reader;
  ASSERT_TRUE(reader.ask(port.fd()));
  send(64, 1);
  send(64, 2);
  EXPECT_TRUE(reader.read(port.fd(), 3, 1));
  EXPECT_EQ(reader.take(batch, 1000), kBatchPacketsMax);
  EXPECT_EQ(reader.take(batch, 1000), 0U);
  expect_next(64, 1);
  EXPECT_TRUE(reader.read(port.fd(), 3, 1));
  EXPECT_EQ(reader.take(batch, 1000), 64U);
  expect_next(64, 2);
}

TEST_F(CoalescedTest, empty_and_oversized_datagrams_are_told_by_their_length) {
  CoalescedReader reader;
  ASSERT_TRUE(reader.ask(port.fd()));
  ASSERT_EQ(transmit_datagrams(sender.fd(), {}, 0, local), 0);
  send(3, 2500);
  send(1, 60000);
  EXPECT_FALSE(reader.read(port.fd(), 3, 8));
  EXPECT_EQ(reader.take(batch, 30), 5U);
  EXPECT_EQ(batch[0].length, 0U);
  for (std::size_t i = 1; i <= 3; ++i) EXPECT_EQ(batch[i].length, 2500U);
  EXPECT_EQ(batch[4].length, 60000U);
  EXPECT_FALSE(reader.keeps());
}

TEST_F(CoalescedTest, a_port_of_several_sockets_gets_single_datagrams) {
  const auto fds = open_flow_port({loopback(4), from.port}, 2, 1);
  ASSERT_TRUE(fds);
  CoalescedReader reader;
  for (const int fd : *fds) EXPECT_FALSE(reader.ask(fd));
  for (const int fd : *fds) close(fd);
  EXPECT_FALSE(reader.ask(-1));
}

class CoalescedIoTest : public CoalescedTest {
 protected:
  CoalescedIoTest() {
    EXPECT_TRUE(inspect_media_socket(client.fd(), client_local));
    EXPECT_TRUE(io->add_shared(port.fd(), 3));
    EXPECT_TRUE(io->add(client.fd(), kClient));
  }
  bool poll_fd_is_readable() const {
    pollfd wait{io->poll_fd(), POLLIN, 0};
    return poll(&wait, 1, 0) > 0;
  }

  std::unique_ptr<UdpIo> io = make_sockets_io(4, 0);
  UdpSocket client{loopback(3)};
  SocketAddress client_local;
};

TEST_F(CoalescedIoTest, what_does_not_fit_waits_in_order_and_says_so) {
  send(60, 200);
  send(20, 100);
  io->begin_turn();
  EXPECT_EQ(io->receive(batch, false), Waiting::kMore);
  expect_next(kSharedBurst, 200);
  EXPECT_TRUE(io->readable()) << "the socket is empty, yet something is kept";
  io->end_turn();
  EXPECT_TRUE(poll_fd_is_readable());
  io->begin_turn();
  EXPECT_EQ(io->receive(batch, false), Waiting::kMore);
  ASSERT_EQ(batch.size(), kSharedBurst);
  EXPECT_EQ(batch[27].length, 200U);
  EXPECT_EQ(batch[28].length, 100U);
  EXPECT_EQ(batch[31].data[0], 63);
  batch.clear();
  expected = 64;
  EXPECT_EQ(io->receive(batch, false), Waiting::kLittle);
  expect_next(16, 100);
  EXPECT_EQ(io->receive(batch, false), Waiting::kNothing);
  io->end_turn();
  EXPECT_FALSE(poll_fd_is_readable());
  EXPECT_FALSE(io->readable());
  send(2, 300);
  EXPECT_EQ(io->receive(batch, false), Waiting::kLittle);
  expect_next(2, 300);
}

TEST_F(CoalescedIoTest, kept_datagrams_make_the_next_turn_come_each_time) {
  send(64, 10);
  send(64, 11);
  send(64, 12);
  for (std::size_t taken = 0; taken < 192; taken += kSharedBurst) {
    ASSERT_TRUE(poll_fd_is_readable()) << taken;
    io->begin_turn();
    io->receive(batch, false);
    expect_next(kSharedBurst, 10 + taken / 64);
    io->end_turn();
  }
  io->receive(batch, false);  // reads the bell
  io->end_turn();
  EXPECT_FALSE(poll_fd_is_readable());
}

TEST_F(CoalescedIoTest, clients_ports_are_read_beside_a_flood_of_pieces) {
  for (int i = 0; i < 6; ++i) send(64, 100);
  ASSERT_TRUE(sender.send_to(client_local, "client"));
  Waiting left = io->receive(batch, false);
  bool heard = false;
  for (std::size_t i = 0; i < batch.size(); ++i) heard |= !is_shared(batch[i].tag);
  EXPECT_TRUE(heard);
  EXPECT_EQ(batch.size(), kSharedBurst + 1);
  std::size_t total = batch.size() - 1;
  while (left != Waiting::kNothing) {
    batch.clear();
    left = io->receive(batch, false);
    EXPECT_LE(batch.size(), kSharedBurst);
    total += batch.size();
  }
  EXPECT_EQ(total, 6U * 64U);
}

TEST_F(CoalescedIoTest, a_second_shared_socket_waits_for_what_is_kept_of_the_first) {
  const UdpSocket second(loopback(5));
  SocketAddress second_local;
  ASSERT_TRUE(inspect_media_socket(second.fd(), second_local));
  ASSERT_TRUE(io->add_shared(second.fd(), 4));
  send(64, 100);
  std::vector<std::uint8_t> run(40 * 30, 0x66);
  ASSERT_EQ(transmit_datagrams(sender.fd(), run, 30, second_local), 0);
  std::size_t first = 0;
  std::size_t other = 0;
  for (int round = 0; round < 8; ++round) {
    batch.clear();
    io->receive(batch, false);
    EXPECT_LE(batch.size(), kSharedBurst);
    for (std::size_t i = 0; i < batch.size(); ++i) {
      const bool is_first = batch[i].tag.generation == 3;
      EXPECT_EQ(batch[i].length, is_first ? 100U : 30U);
      if (is_first) {
        EXPECT_EQ(batch[i].data[0], first);
      }
      ++(is_first ? first : other);
    }
  }
  EXPECT_EQ(first, 64U);
  EXPECT_EQ(other, 40U);
}

}  // namespace
}  // namespace turnpike::io_test
