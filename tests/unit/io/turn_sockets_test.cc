// Batches in and out of the sockets of a TURN server.
#include "relay/io/turn_sockets.h"

#include <array>
#include <chrono>
#include <cstring>
#include <string>
#include <string_view>

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "relay/io/flow_socket.h"
#include "relay/io/sockaddr.h"
#include "tests/unit/io/io_test_support.h"

namespace turnpike {
namespace {

using io_test::loopback;
using io_test::UdpSocket;

constexpr std::uint16_t kServerPort = 23478;

SocketAddress address_of(int fd) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  EXPECT_EQ(getsockname(fd, as_sockaddr(storage), &size), 0);
  return from_sockaddr(storage);
}

class TurnSocketsTest : public testing::Test {
 protected:
  void SetUp() override {
    const auto fds = open_shared_port({loopback(9), kServerPort}, 1);
    ASSERT_TRUE(fds) << fds.error().message;
    sockets_ = TurnSockets::make(8);
    ASSERT_NE(sockets_, nullptr);
    ASSERT_TRUE(sockets_->add_listener(fds->front()));
  }

  // `text` outlives what is returned.
  static Send send_of(const SocketTag& tag, std::string_view text, const SocketAddress& to) {
    Send send;
    const void* const bytes = text.data();
    send.data = static_cast<const std::uint8_t*>(bytes);
    send.length = static_cast<std::uint32_t>(text.size());
    send.tag = tag;
    send.destination = to;
    return send;
  }

  static std::string text_of(const Packet& packet) {
    return {packet.data, packet.data + packet.length};
  }

  const SocketAddress server_{loopback(9), kServerPort};
  std::unique_ptr<TurnSockets> sockets_;
  Batch batch_;
};

TEST_F(TurnSocketsTest, clients_come_with_the_listeners_tag_and_room_in_front) {
  const UdpSocket client(loopback(10));
  ASSERT_TRUE(client.send_to(server_, "hello"));
  EXPECT_FALSE(sockets_->receive(batch_));
  ASSERT_EQ(batch_.size(), 1U);
  EXPECT_EQ(text_of(batch_[0]), "hello");
  EXPECT_TRUE(is_shared(batch_[0].tag));
  EXPECT_EQ(batch_[0].tag.generation, 0U);
  EXPECT_EQ(batch_[0].source, address_of(client.fd()));
  std::memset(batch_[0].data - kHeadroomBytes, 1, kHeadroomBytes);
  EXPECT_EQ(text_of(batch_[0]), "hello");
}

TEST_F(TurnSocketsTest, the_kernel_tells_when_the_first_of_a_listener_came) {
  const UdpSocket client(loopback(10));
  const UdpSocket peer(loopback(11));
  const UdpSocket relayed(loopback(9));
  ASSERT_TRUE(sockets_->add(relayed.fd(), {3, 77, Side::kA, Component::kRtp}));
  ASSERT_TRUE(peer.send_to(address_of(relayed.fd()), "data"));
  sockets_->receive(batch_);
  ASSERT_EQ(batch_.size(), 1U);
  EXPECT_FALSE(sockets_->arrival()) << "of what no client sent";

  const auto before = std::chrono::system_clock::now();
  ASSERT_TRUE(client.send_to(server_, "one"));
  ASSERT_TRUE(client.send_to(server_, "two"));
  sockets_->receive(batch_);
  const auto read = std::chrono::system_clock::now();
  ASSERT_EQ(batch_.size(), 3U);
  ASSERT_TRUE(sockets_->arrival());
  EXPECT_EQ(text_of(batch_[sockets_->arrival()->index]), "one");
  EXPECT_GE(sockets_->arrival()->at, before);
  EXPECT_LE(sockets_->arrival()->at, read);
  batch_.clear();
  sockets_->receive(batch_);
  EXPECT_FALSE(sockets_->arrival());
  sockets_->remove({3, 77, Side::kA, Component::kRtp});
}

TEST_F(TurnSocketsTest, a_flood_at_the_listener_leaves_half_of_each_batch) {
  const UdpSocket client(loopback(10));
  const UdpSocket relayed(loopback(9));
  const SocketTag tag{3, 77, Side::kB, Component::kRtp};
  ASSERT_TRUE(sockets_->add(relayed.fd(), tag));
  for (int i = 0; i < 200; ++i) ASSERT_TRUE(client.send_to(server_, "flood"));
  ASSERT_TRUE(client.send_to(address_of(relayed.fd()), "data"));
  EXPECT_TRUE(sockets_->receive(batch_));
  EXPECT_EQ(batch_.size(), kBatchPacketsMax / 2 + 1);
  bool heard = false;
  for (std::size_t i = 0; i < batch_.size(); ++i) {
    if (is_shared(batch_[i].tag)) continue;
    heard = text_of(batch_[i]) == "data" && batch_[i].tag.slot == 3 &&
            batch_[i].tag.generation == 77 && batch_[i].tag.side == Side::kB;
  }
  EXPECT_TRUE(heard);
  EXPECT_EQ(sockets_->remove(tag), relayed.fd());
}

TEST_F(TurnSocketsTest, who_sheds_handles_one_datagram_of_a_relayed_socket) {
  const UdpSocket peer(loopback(11));
  const UdpSocket relayed(loopback(9));
  ASSERT_TRUE(sockets_->add(relayed.fd(), {3, 77, Side::kA, Component::kRtp}));
  const std::string text = "data";
  for (int i = 0; i < 6; ++i) ASSERT_TRUE(peer.send_to(address_of(relayed.fd()), text));
  sockets_->receive(batch_);
  ASSERT_EQ(batch_.size(), 1U);
  EXPECT_EQ(batch_[0].shed_behind, 0U);
  batch_.clear();
  sockets_->receive(batch_, true);
  ASSERT_EQ(batch_.size(), 1U);
  EXPECT_EQ(batch_[0].shed_behind, 4U);
  batch_.clear();
  EXPECT_FALSE(sockets_->receive(batch_, true));
  EXPECT_EQ(batch_.size(), 0U) << "nothing waits any more";
  EXPECT_EQ(sockets_->remove({3, 77, Side::kA, Component::kRtp}), relayed.fd());
}

TEST_F(TurnSocketsTest, a_flood_at_one_listener_starves_no_other) {
  const SocketAddress second{loopback(12), kServerPort};
  const auto fds = open_shared_port(second, 1);
  ASSERT_TRUE(fds) << fds.error().message;
  ASSERT_TRUE(sockets_->add_listener(fds->front()));
  const UdpSocket client(loopback(10));
  for (int turn = 0; turn < 3; ++turn) {
    for (int i = 0; i < 60; ++i) ASSERT_TRUE(client.send_to(server_, "flood"));
    ASSERT_TRUE(client.send_to(second, "quiet"));
    batch_.clear();
    sockets_->receive(batch_);
    int quiet = 0;
    for (std::size_t i = 0; i < batch_.size(); ++i) quiet += batch_[i].tag.generation == 1 ? 1 : 0;
    EXPECT_EQ(quiet, 1) << "in turn " << turn;
  }
}

TEST_F(TurnSocketsTest, sends_leave_by_their_socket_in_order) {
  const UdpSocket client(loopback(10));
  const UdpSocket peer(loopback(11));
  const UdpSocket relayed(loopback(9));
  const SocketTag tag{0, 1, Side::kA, Component::kRtp};
  ASSERT_TRUE(sockets_->add(relayed.fd(), tag));
  const std::vector<Send> sends = {
      send_of(shared_tag(0), "one", address_of(client.fd())),
      send_of(tag, "data", address_of(peer.fd())),
      send_of(shared_tag(0), "two", address_of(client.fd())),
      send_of(shared_tag(0), "three", address_of(client.fd())),
  };
  sockets_->send(sends, [](const Send&, SendResult) { FAIL(); });
  EXPECT_EQ(io_test::receive_soon(client.fd()), "one");
  EXPECT_EQ(io_test::receive_soon(client.fd()), "two");
  EXPECT_EQ(io_test::receive_soon(client.fd()), "three");
  EXPECT_EQ(io_test::receive_soon(peer.fd()), "data");
}

TEST_F(TurnSocketsTest, one_that_fails_does_not_keep_the_others) {
  const UdpSocket client(loopback(10));
  const SocketAddress nowhere{IpAddress{}, 9};
  const std::string too_long(70000, 'x');
  const std::vector<Send> sends = {
      send_of(shared_tag(0), "one", address_of(client.fd())),
      send_of(shared_tag(0), "lost", nowhere),
      send_of(shared_tag(0), too_long, address_of(client.fd())),
      send_of(shared_tag(0), "two", address_of(client.fd())),
      send_of({5, 9, Side::kA, Component::kRtp}, "of nobody", address_of(client.fd())),
      send_of({50, 9, Side::kA, Component::kRtp}, "out of the table", address_of(client.fd())),
  };
  int failed = 0;
  sockets_->send(sends, [&failed](const Send&, SendResult result) {
    EXPECT_EQ(result, SendResult::kFailed);
    ++failed;
  });
  EXPECT_EQ(failed, 4);
  EXPECT_EQ(io_test::receive_soon(client.fd()), "one");
  EXPECT_EQ(io_test::receive_soon(client.fd()), "two");
}

TEST_F(TurnSocketsTest, a_removed_socket_is_not_heard_nor_sent_from) {
  const UdpSocket client(loopback(10));
  const UdpSocket relayed(loopback(9));
  const SocketTag tag{2, 5, Side::kA, Component::kRtp};
  ASSERT_TRUE(sockets_->add(relayed.fd(), tag));
  EXPECT_EQ(sockets_->remove({2, 4, Side::kA, Component::kRtp}), -1) << "another generation";
  EXPECT_EQ(sockets_->remove(tag), relayed.fd());
  EXPECT_EQ(sockets_->remove(tag), -1);
  ASSERT_TRUE(client.send_to(address_of(relayed.fd()), "late"));
  EXPECT_FALSE(sockets_->receive(batch_));
  EXPECT_EQ(batch_.size(), 0U);
}

TEST_F(TurnSocketsTest, too_long_a_datagram_shows_by_its_length) {
  const UdpSocket client(loopback(10));
  ASSERT_TRUE(client.send_to(server_, std::string(kPayloadBytesMax + 1, 'x')));
  sockets_->receive(batch_);
  ASSERT_EQ(batch_.size(), 1U);
  EXPECT_GT(batch_[0].length, kPayloadBytesMax);
}

TEST_F(TurnSocketsTest, errors_of_what_was_sent_come_back_and_stop_nothing) {
  const UdpSocket relayed(loopback(9));
  const SocketTag tag{3, 77, Side::kB, Component::kRtp};
  ASSERT_TRUE(sockets_->add(relayed.fd(), tag));
  const UdpSocket peer(loopback(10));
  SocketAddress closed;
  {
    const UdpSocket gone(loopback(10));
    closed = address_of(gone.fd());
  }
  int failed = 0;
  const auto fate = [&failed](const Send&, SendResult) { ++failed; };
  const Send lost = send_of(tag, "nobody", closed);
  const Send heard = send_of(tag, "peer", address_of(peer.fd()));
  for (int i = 0; i < 3; ++i) {
    const std::array<Send, 4> sends = {lost, heard, lost, heard};
    sockets_->send(sends, fate);
    sockets_->send({&heard, 1}, fate);
  }
  EXPECT_EQ(failed, 0) << "an error of one datagram fails another";
  std::size_t errors = 0;
  for (int i = 0; i < 10; ++i) {
    batch_.clear();
    sockets_->receive(batch_);
    EXPECT_EQ(batch_.size(), 0U);
    for (const IcmpError& error : sockets_->errors()) {
      EXPECT_EQ(error.peer, closed);
      EXPECT_EQ(error.type, 3);
      EXPECT_EQ(error.code, 3);
      EXPECT_EQ(error.tag.slot, tag.slot);
      EXPECT_EQ(error.tag.generation, tag.generation);
      ++errors;
    }
  }
  EXPECT_EQ(errors, 6U);
  pollfd nothing{sockets_->poll_fd(), POLLIN, 0};
  EXPECT_EQ(poll(&nothing, 1, 0), 0) << "the queue is read";
}

}  // namespace
}  // namespace turnpike
