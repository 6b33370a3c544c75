// The portable back-end on real sockets: what is sent through a connected twin, and that nothing
// which reaches the port is lost or mistaken because of it.
#include "relay/io/sockets_io.h"

#include <array>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "relay/io/connected_twin.h"
#include "relay/io/media_socket.h"
#include "relay/io/sockaddr.h"
#include "tests/support/udp_peer.h"
#include "tests/unit/io/io_test_support.h"

namespace turnpike::io_test {
namespace {

using test::UdpPeer;

constexpr std::uint32_t kConnectAfter = 3;
constexpr SocketTag kTag{1, 7, Side::kB, Component::kRtp};

class SocketsIoTest : public ::testing::Test {
 protected:
  SocketsIoTest() {
    EXPECT_TRUE(inspect_media_socket(port_.fd(), local_));
    EXPECT_TRUE(io_->add(port_.fd(), kTag));
  }

  SendResult send(const SocketAddress& to, const std::string& text = "media") {
    Send one;
    one.data = reinterpret_cast<const std::uint8_t*>(text.data());
    one.length = static_cast<std::uint32_t>(text.size());
    one.tag = kTag;
    one.destination = to;
    return io_->send(one);
  }
  void settle_on(const UdpPeer& peer) {
    for (std::uint32_t i = 0; i < kConnectAfter; ++i) {
      EXPECT_EQ(send(peer.local()), SendResult::kSent);
      EXPECT_EQ(text_of(peer.receive()), "media");
    }
  }
  static std::string text_of(const UdpPeer::Received& received) {
    return {received.bytes.begin(), received.bytes.end()};
  }
  // What waits within 2 s: source and text; both empty when nothing came.
  std::pair<SocketAddress, std::string> heard() {
    pollfd wait{io_->poll_fd(), POLLIN, 0};
    while (poll(&wait, 1, 2000) > 0) {
      Batch batch;
      io_->receive(batch, false);
      if (batch.size() == 0) continue;  // an ICMP error
      EXPECT_EQ(batch[0].tag.slot, kTag.slot);
      EXPECT_EQ(batch[0].tag.side, kTag.side);
      EXPECT_EQ(batch[0].tag.generation, kTag.generation);
      return {batch[0].source,
              std::string(reinterpret_cast<const char*>(batch[0].data), batch[0].length)};
    }
    return {};
  }
  // How many waited; all of them the stranger's.
  int take_all(int fd) const {
    int taken = 0;
    std::array<char, 8> data;
    sockaddr_storage source{};
    socklen_t size = sizeof source;
    while (recvfrom(fd, data.data(), data.size(), MSG_DONTWAIT, as_sockaddr(source), &size) > 0) {
      EXPECT_EQ(from_sockaddr(source), stranger_.local());
      ++taken;
    }
    return taken;
  }
  void expect_hears(const UdpPeer& peer, const std::string& text) {
    peer.send({text.begin(), text.end()}, local_);
    const auto [source, what] = heard();
    EXPECT_EQ(what, text);
    EXPECT_EQ(source, peer.local());
  }

  UdpSocket port_{loopback(1)};
  SocketAddress local_;
  std::unique_ptr<UdpIo> io_ = make_sockets_io(4, kConnectAfter);
  UdpPeer peer_{loopback(2)};
  UdpPeer stranger_{loopback(3)};
};

TEST_F(SocketsIoTest, a_settled_port_gets_a_twin_and_everybody_is_still_heard) {
  const std::size_t before = open_descriptors();
  settle_on(peer_);
  EXPECT_EQ(open_descriptors(), before + 1);
  EXPECT_EQ(send(peer_.local(), "through the twin"), SendResult::kSent);
  const auto received = peer_.receive();
  EXPECT_EQ(text_of(received), "through the twin");
  EXPECT_EQ(received.from, local_);
  expect_hears(peer_, "from the peer");
  expect_hears(stranger_, "from a stranger");
  io_->remove(port_.fd(), kTag);
  EXPECT_EQ(open_descriptors(), before);
}

TEST_F(SocketsIoTest, a_peer_that_is_gone_is_evidence_and_keeps_nobody_busy) {
  SocketAddress gone;
  {
    const UdpPeer leaver(loopback(4));
    settle_on(leaver);
    gone = leaver.local();
  }
  EXPECT_EQ(io_->errors_of(kTag).refused, 0U);
  // Each is answered by ICMP before the next one is sent.
  for (int i = 0; i < 5; ++i) EXPECT_EQ(send(gone), SendResult::kSent);
  pollfd wait{io_->poll_fd(), POLLIN, 0};
  for (int turn = 0; turn < 10 && poll(&wait, 1, 20) > 0; ++turn) {
    Batch batch;
    io_->receive(batch, false);
    EXPECT_EQ(batch.size(), 0U) << "an error is no packet";
  }
  EXPECT_GE(io_->errors_of(kTag).refused, 1U);
  EXPECT_NE(io_->errors_of(kTag).last, Instant{});
  EXPECT_EQ(poll(&wait, 1, 0), 0) << "errors that nobody takes would wake the shard for ever";
  expect_hears(peer_, "others are heard");
  EXPECT_EQ(io_->errors_of({1, 8, Side::kB, Component::kRtp}).refused, 0U) << "another session";
}

// A check of ICE or a DTLS handshake tries addresses that media never goes to.
TEST_F(SocketsIoTest, an_address_that_is_only_tried_is_not_the_one_that_fails) {
  settle_on(peer_);
  const std::size_t before = open_descriptors();
  Send check;
  check.data = reinterpret_cast<const std::uint8_t*>("check");
  check.length = 5;
  check.tag = kTag;
  check.destination = {IpAddress::v4(255, 255, 255, 255), 9};  // not allowed without an option
  check.transport = true;
  EXPECT_EQ(io_->send(check), SendResult::kFailed);
  EXPECT_EQ(io_->errors_of(kTag).unreachable, 0U);
  EXPECT_EQ(io_->errors_of(kTag).to, peer_.local());
  EXPECT_EQ(send(peer_.local(), "still through the twin"), SendResult::kSent);
  EXPECT_EQ(text_of(peer_.receive()), "still through the twin");
  EXPECT_EQ(open_descriptors(), before);
  check.transport = false;
  EXPECT_EQ(io_->send(check), SendResult::kFailed);
  EXPECT_EQ(io_->errors_of(kTag).unreachable, 1U);
  EXPECT_EQ(io_->errors_of(kTag).to, check.destination);
  EXPECT_EQ(send(peer_.local()), SendResult::kSent);
  EXPECT_EQ(io_->errors_of(kTag).unreachable, 0U) << "of the address before";
}

TEST_F(SocketsIoTest, one_datagram_of_each_socket_and_the_rest_later_or_never) {
  for (const char text : {'1', '2', '3', '4'})
    peer_.send({static_cast<std::uint8_t>(text)}, local_);
  EXPECT_EQ(heard().second, "1");
  Batch batch;
  EXPECT_EQ(io_->receive(batch, true), Waiting::kLittle);
  ASSERT_EQ(batch.size(), 1U);
  EXPECT_EQ(batch[0].data[0], '2');
  EXPECT_EQ(batch[0].shed_behind, 2U);
  batch.clear();
  EXPECT_EQ(io_->receive(batch, true), Waiting::kNothing);
  expect_hears(peer_, "afterwards");
}

TEST_F(SocketsIoTest, another_destination_is_sent_to_at_once_and_the_old_one_still_heard) {
  settle_on(peer_);
  peer_.send({'q'}, local_);  // waits in the twin
  EXPECT_EQ(send(stranger_.local(), "moved"), SendResult::kSent);
  EXPECT_EQ(text_of(stranger_.receive()), "moved");
  EXPECT_EQ(heard().second, "q");
  settle_on(stranger_);
  EXPECT_EQ(send(stranger_.local(), "settled again"), SendResult::kSent);
  const auto received = stranger_.receive();
  EXPECT_EQ(text_of(received), "settled again");
  EXPECT_EQ(received.from, local_);
  expect_hears(peer_, "from the old one");
  expect_hears(stranger_, "from the new one");
}

TEST_F(SocketsIoTest, a_twin_waits_until_what_came_before_it_was_read) {
  const std::size_t before = open_descriptors();
  peer_.send({'1'}, local_);
  settle_on(peer_);
  EXPECT_EQ(open_descriptors(), before);
  EXPECT_EQ(heard().second, "1");
  EXPECT_EQ(send(peer_.local()), SendResult::kSent);
  EXPECT_EQ(open_descriptors(), before + 1);
  expect_hears(peer_, "2");
}

TEST_F(SocketsIoTest, a_port_in_a_flood_gets_its_twin_early_and_without_waiting_for_ever) {
  io_ = make_sockets_io(4, 1000);
  ASSERT_TRUE(io_->add(port_.fd(), kTag));
  const std::size_t before = open_descriptors();
  for (int i = 0; i < 8; ++i) stranger_.send({'f'}, local_);
  io_->begin_turn();
  Waiting left = Waiting::kNothing;
  for (int round = 0; round < 4; ++round) {
    EXPECT_NE(left, Waiting::kBacklog) << round;
    Batch batch;
    left = io_->receive(batch, false);
    EXPECT_EQ(batch.size(), 1U);
  }
  EXPECT_EQ(left, Waiting::kBacklog);
  int sends = 0;
  for (; open_descriptors() == before && sends < 100; ++sends) {
    EXPECT_EQ(send(peer_.local()), SendResult::kSent);
    EXPECT_EQ(text_of(peer_.receive()), "media");
  }
  EXPECT_EQ(sends, 8 + 32) << "eight in a row, and it was put off while the flood waited";
  expect_hears(stranger_, "f");
}

TEST_F(SocketsIoTest, a_flood_that_begins_in_the_call_brings_the_twin_too) {
  io_ = make_sockets_io(4, 1000);
  ASSERT_TRUE(io_->add(port_.fd(), kTag));
  const std::size_t before = open_descriptors();
  for (int i = 0; i < 20; ++i) EXPECT_EQ(send(peer_.local()), SendResult::kSent);
  EXPECT_EQ(open_descriptors(), before);
  for (int i = 0; i < 4; ++i) stranger_.send({'f'}, local_);
  io_->begin_turn();
  for (int i = 0; i < 4; ++i) {
    Batch batch;
    io_->receive(batch, false);
  }
  EXPECT_EQ(send(peer_.local()), SendResult::kSent);
  EXPECT_EQ(open_descriptors(), before + 1);
}

TEST_F(SocketsIoTest, a_few_datagrams_in_each_of_several_turns_are_no_backlog) {
  for (int turn = 0; turn < 6; ++turn) {
    io_->begin_turn();
    for (int i = 0; i < 3; ++i) {
      peer_.send({'m'}, local_);
      Batch batch;
      EXPECT_EQ(io_->receive(batch, false), Waiting::kLittle);
      EXPECT_EQ(batch.size(), 1U);
    }
  }
}

TEST_F(SocketsIoTest, what_finds_no_room_is_counted_once_and_only_of_this_session) {
  const auto flood = [&] {
    int buffer = 0;
    socklen_t size = sizeof buffer;
    ASSERT_EQ(getsockopt(port_.fd(), SOL_SOCKET, SO_RCVBUF, &buffer, &size), 0);
    // A datagram costs more of the buffer than it is long.
    for (int i = 0; i < buffer / 500; ++i) stranger_.send({'f'}, local_);
  };
  flood();
  io_->remove(port_.fd(), kTag);
  ASSERT_TRUE(io_->add(port_.fd(), kTag));  // as the next session: what was lost before is not its
  std::uint32_t overflowed = 0;
  const auto read_all = [&] {
    Batch batch;
    io_->begin_turn();
    while (io_->receive(batch, false) != Waiting::kNothing) {
      overflowed += batch[batch.size() - 1].overflowed;
      batch.clear();
    }
  };
  read_all();
  EXPECT_EQ(overflowed, 0U);
  flood();
  read_all();
  EXPECT_GT(overflowed, 0U);
  const std::uint32_t once = overflowed;
  for (int i = 0; i < 8; ++i) stranger_.send({'f'}, local_);
  read_all();
  EXPECT_EQ(overflowed, once);
}

TEST_F(SocketsIoTest, unreachable_ports_cost_no_later_datagram) {
  SocketAddress gone;
  {
    const UdpPeer peer(loopback(2));
    settle_on(peer);
    gone = peer.local();
  }
  for (int i = 0; i < 5; ++i) EXPECT_EQ(send(gone, "lost"), SendResult::kSent);
  const UdpSocket back(gone.ip, gone.port);
  ASSERT_TRUE(back.bound());
  EXPECT_EQ(send(gone, "found"), SendResult::kSent);
  EXPECT_EQ(receive_soon(back.fd()), "found");
  expect_hears(stranger_, "not disturbed");
}

TEST_F(SocketsIoTest, nobody_can_share_the_port_beside_its_twin) {
  settle_on(peer_);
  const int fd = socket(AF_INET, SOCK_DGRAM, 0);
  const int on = 1;
  ASSERT_EQ(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on), 0);
  sockaddr_storage local{};
  const socklen_t size = to_sockaddr(local_, local);
  EXPECT_NE(bind(fd, as_sockaddr(local), size), 0);
  close(fd);
}

TEST_F(SocketsIoTest, twins_leave_descriptors_to_others) {
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit few = before;
  std::vector<int> others(60);  // a twin's number is higher, and beyond three quarters
  for (int& fd : others) fd = dup(STDERR_FILENO);
  few.rlim_cur = static_cast<rlim_t>(others.back()) + 10;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
  auto io = make_sockets_io(4, kConnectAfter);
  std::swap(io, io_);
  EXPECT_TRUE(io_->add(port_.fd(), kTag));
  const std::size_t open = open_descriptors();
  settle_on(peer_);
  EXPECT_EQ(send(peer_.local()), SendResult::kSent);
  EXPECT_EQ(open_descriptors(), open);
  setrlimit(RLIMIT_NOFILE, &before);
  for (const int fd : others) close(fd);
}

TEST_F(SocketsIoTest, two_families_under_one_tag) {
  const UdpSocket port6(loopback_v6());
  SocketAddress local6;
  ASSERT_TRUE(inspect_media_socket(port6.fd(), local6));
  const UdpPeer peer6(loopback_v6());
  EXPECT_EQ(send(peer6.local()), SendResult::kFailed) << "no socket of that family yet";
  const std::size_t before = open_descriptors();
  ASSERT_TRUE(io_->add_other_family(port6.fd(), kTag, AddressFamily::kIpv6));
  expect_hears(peer_, "IPv4");
  peer6.send({'6'}, local6);
  EXPECT_EQ(heard(), std::pair(peer6.local(), std::string("6")));
  // Back and forth, with a twin of each family in turn.
  for (int turn = 0; turn < 3; ++turn) {
    settle_on(peer6);
    EXPECT_EQ(open_descriptors(), before + 1) << "one twin at a time";
    EXPECT_EQ(send(peer6.local(), "settled"), SendResult::kSent);
    EXPECT_EQ(peer6.receive().from, local6);
    peer6.send({'t'}, local6);
    EXPECT_EQ(heard().second, "t");
    expect_hears(peer_, "the other one still");
    settle_on(peer_);
    EXPECT_EQ(send(peer_.local(), "settled"), SendResult::kSent);
    EXPECT_EQ(peer_.receive().from, local_);
    expect_hears(peer_, "t");
  }
  settle_on(peer6);
  io_->remove(port6.fd(), kTag);
  EXPECT_EQ(open_descriptors(), before) << "its twin is gone with it";
  EXPECT_EQ(send(peer6.local()), SendResult::kFailed);
  expect_hears(stranger_, "not disturbed");
  io_->remove(port_.fd(), kTag);
}

// Between its bind and its connect a twin hears whoever sends to the port.
TEST_F(SocketsIoTest, nothing_is_lost_while_a_twin_is_made) {
  constexpr int kRounds = 200;
  constexpr int kDatagrams = 50;  // fit into a socket's buffer
  int in_the_twin = 0;
  for (int round = 0; round < kRounds; ++round) {
    std::thread sender([&] {
      for (int i = 0; i < kDatagrams; ++i) stranger_.send({'s'}, local_);
    });
    const int twin = open_connected_twin(port_.fd(), peer_.local());
    sender.join();
    ASSERT_GE(twin, 0);
    const int by_twin = take_all(twin);
    int received = by_twin + take_all(port_.fd());
    for (pollfd wait{port_.fd(), POLLIN, 0}; received < kDatagrams && poll(&wait, 1, 2000) > 0;) {
      received += take_all(port_.fd());
    }
    in_the_twin += by_twin;
    close(twin);
    ASSERT_EQ(received, kDatagrams);
  }
  RecordProperty("in_the_twin", in_the_twin);
}

}  // namespace
}  // namespace turnpike::io_test
