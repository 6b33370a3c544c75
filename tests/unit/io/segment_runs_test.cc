// Which datagrams leave together, in which order, and what becomes of them when the kernel will
// not.
#include "relay/io/segment_runs.h"

#include <cerrno>
#include <map>
#include <random>
#include <vector>

#include <gtest/gtest.h>
#include <sys/socket.h>

#include "tests/support/udp_peer.h"
#include "tests/unit/io/io_test_support.h"

namespace turnpike::io_test {
namespace {

using Bytes = std::vector<std::uint8_t>;

struct Call {
  int fd = -1;
  std::size_t segment_bytes = 0;
  SocketAddress to;
  std::vector<Bytes> datagrams;
};

class SegmentRunsTest : public ::testing::Test {
 protected:
  SegmentRunsTest() {
    runs.add_socket(5, true);
    runs.add_socket(6, true);
    runs.on_fate([this](const Send& send, SendResult result) {
      EXPECT_EQ(send.data, nullptr);
      fates[send.line] = result;
    });
  }
  int transmit(int fd, std::span<std::uint8_t> bytes, std::size_t segment_bytes,
               const SocketAddress& to) {
    EXPECT_LE(bytes.size(), SegmentRuns::kBytesMax);
    Call call{fd, segment_bytes, to, {}};
    const std::size_t step = segment_bytes == 0 ? bytes.size() : segment_bytes;
    for (std::size_t begin = 0; begin < bytes.size(); begin += step) {
      const auto part = bytes.subspan(begin, std::min(step, bytes.size() - begin));
      call.datagrams.emplace_back(part.begin(), part.end());
    }
    EXPECT_LE(call.datagrams.size(), SegmentRuns::kSegmentsMax);
    calls.push_back(call);
    return kernel(call);
  }
  std::uint32_t add(std::size_t bytes, SegmentRuns::Stream& stream,
                    const SegmentRuns::Way& way = {5, 0, {}}) {
    Send send;
    const std::uint8_t nothing = 0;
    send.data = &nothing;
    send.line = ++serial;
    std::uint8_t* place = runs.add(way, bytes, stream, send);
    std::fill_n(place, bytes, static_cast<std::uint8_t>(serial));
    return serial;
  }
  std::uint32_t add(std::size_t bytes) {
    SegmentRuns::Stream alone;
    return add(bytes, alone);
  }
  void expect_all(SendResult result) const {
    EXPECT_EQ(fates.size(), serial);
    for (const auto& [line, fate] : fates) EXPECT_EQ(fate, result) << line;
  }

  std::function<int(const Call&)> kernel = [](const Call&) { return 0; };
  SegmentRuns runs{
      [this](int fd, std::span<std::uint8_t> bytes, std::size_t segment_bytes,
             const SocketAddress& to) { return transmit(fd, bytes, segment_bytes, to); }};
  std::vector<Call> calls;
  std::map<std::uint32_t, SendResult> fates;
  std::uint32_t serial = 0;
};

TEST_F(SegmentRunsTest, two_sizes_in_turn_make_two_runs) {
  for (int i = 0; i < 20; ++i) {
    add(192);
    add(202);
  }
  EXPECT_TRUE(calls.empty());
  EXPECT_TRUE(fates.empty()) << "nothing is said to be sent that waits";
  runs.flush();
  ASSERT_EQ(calls.size(), 2U);
  EXPECT_EQ(calls[0].segment_bytes, 192U);
  EXPECT_EQ(calls[1].segment_bytes, 202U);
  for (std::uint8_t i = 0; i < 20; ++i) {
    EXPECT_EQ(calls[0].datagrams.at(i), Bytes(192, static_cast<std::uint8_t>(2 * i + 1)));
    EXPECT_EQ(calls[1].datagrams.at(i), Bytes(202, static_cast<std::uint8_t>(2 * i + 2)));
  }
  expect_all(SendResult::kSent);
  runs.flush();
  EXPECT_EQ(calls.size(), 2U) << "nothing leaves twice";
}

TEST_F(SegmentRunsTest, one_datagram_is_a_plain_send) {
  add(192);
  runs.flush();
  ASSERT_EQ(calls.size(), 1U);
  EXPECT_EQ(calls[0].segment_bytes, 0U);
  expect_all(SendResult::kSent);
}

TEST_F(SegmentRunsTest, socket_destination_and_shard_are_kept_apart) {
  const SocketAddress one{IpAddress::v4(192, 0, 2, 1), 7000};
  const SocketAddress other{IpAddress::v4(192, 0, 2, 1), 7001};
  for (int i = 0; i < 3; ++i) {
    SegmentRuns::Stream stream;
    add(100, stream, {5, 0, one});
    add(100, stream = {}, {5, 1, one});
    add(100, stream = {}, {5, 0, other});
    add(100, stream = {}, {6, 0, one});
  }
  runs.flush();
  ASSERT_EQ(calls.size(), 4U);
  for (const Call& call : calls) EXPECT_EQ(call.datagrams.size(), 3U);
  EXPECT_EQ(calls[0].to, one);
  EXPECT_EQ(calls[2].to, other);
  EXPECT_EQ(calls[3].fd, 6);
}

TEST_F(SegmentRunsTest, a_full_run_leaves_at_once) {
  for (std::size_t i = 0; i <= SegmentRuns::kSegmentsMax; ++i) add(100);
  ASSERT_EQ(calls.size(), 1U);
  EXPECT_EQ(calls[0].datagrams.size(), SegmentRuns::kSegmentsMax);
  for (int i = 0; i < 60; ++i) add(1900);
  ASSERT_EQ(calls.size(), 2U);
  EXPECT_EQ(calls[1].datagrams.size(), SegmentRuns::kBytesMax / 1900);
  runs.flush();
  expect_all(SendResult::kSent);
}

TEST_F(SegmentRunsTest, more_sizes_than_runs_send_the_oldest_off) {
  for (std::size_t i = 0; i < SegmentRuns::kRunsMax + 3; ++i) add(100 + i);
  ASSERT_EQ(calls.size(), 3U);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(calls[i].datagrams[0].size(), 100 + i);
  runs.flush();
  expect_all(SendResult::kSent);
}

TEST_F(SegmentRunsTest, the_last_of_a_frame_ends_its_run) {
  SegmentRuns::Stream video;
  for (const std::size_t bytes : {1200U, 1200U, 1200U, 350U}) add(bytes, video);
  add(1200, video);  // of the next frame
  runs.flush();
  ASSERT_EQ(calls.size(), 2U);
  EXPECT_EQ(calls[0].datagrams.size(), 4U);
  EXPECT_EQ(calls[0].datagrams[3], Bytes(350, 4));
  EXPECT_EQ(calls[1].datagrams[0], Bytes(1200, 5));
}

TEST_F(SegmentRunsTest, a_longer_one_of_a_stream_does_not_overtake) {
  SegmentRuns::Stream stream;
  add(300);
  add(200, stream);
  add(300, stream);
  ASSERT_EQ(calls.size(), 1U);
  EXPECT_EQ(calls[0].datagrams[0], Bytes(200, 2));
  runs.flush();
  EXPECT_EQ(calls.size(), 2U);
}

TEST_F(SegmentRunsTest, no_stream_ever_changes_its_order) {
  std::mt19937 random(20261122);  // the same each time
  constexpr std::size_t kStreams = 12;
  std::array<SegmentRuns::Stream, kStreams> streams;
  std::map<std::uint8_t, std::vector<std::uint8_t>> left;
  kernel = [&](const Call& call) {
    if (call.datagrams.size() > 1 && random() % 8 == 0) return random() % 2 == 0 ? ENOBUFS : EPERM;
    for (const Bytes& datagram : call.datagrams) left[datagram[0]].push_back(datagram[1]);
    return 0;
  };
  for (int turn = 0; turn < 300; ++turn) {
    std::array<std::uint8_t, kStreams> next{};
    left.clear();
    for (unsigned i = 0; i < random() % 250; ++i) {
      const auto stream = static_cast<std::uint8_t>(random() % kStreams);
      const SegmentRuns::Way way{5, static_cast<std::uint8_t>(random() % 30 == 0), {}};
      Send send;
      send.line = ++serial;
      std::uint8_t* place =
          runs.add(way, 20 + random() % (turn % 2 == 0 ? 4 : 40), streams[stream], send);
      place[0] = stream;
      place[1] = next[stream]++;
    }
    runs.flush();
    for (std::uint8_t stream = 0; stream < kStreams; ++stream) {
      ASSERT_EQ(left[stream].size(), next[stream]);
      for (std::size_t i = 0; i < next[stream]; ++i) ASSERT_EQ(left[stream][i], i);
    }
  }
  expect_all(SendResult::kSent);
}

TEST_F(SegmentRunsTest, what_the_kernel_has_no_room_for_is_not_called_sent) {
  kernel = [](const Call&) { return EAGAIN; };
  for (int i = 0; i < 5; ++i) add(100);
  runs.flush();
  EXPECT_EQ(calls.size(), 1U);
  expect_all(SendResult::kBlocked);
}

TEST_F(SegmentRunsTest, each_has_its_own_fate_when_a_run_fails) {
  kernel = [&](const Call& call) {
    if (call.segment_bytes != 0) return ECONNREFUSED;
    return call.datagrams[0][0] == 2 ? EHOSTUNREACH : 0;
  };
  for (int i = 0; i < 3; ++i) add(100);
  runs.flush();
  EXPECT_EQ(calls.size(), 4U);
  EXPECT_EQ(fates[1], SendResult::kSent);
  EXPECT_EQ(fates[2], SendResult::kFailed);
  EXPECT_EQ(fates[3], SendResult::kSent);
  for (int i = 0; i < 3; ++i) add(100);
  runs.flush();
  EXPECT_EQ(calls[4].datagrams.size(), 3U) << "such an error does not end runs";
}

TEST_F(SegmentRunsTest, a_socket_that_takes_no_segments_is_asked_once) {
  for (const int error : {EIO, ENOPROTOOPT, EOPNOTSUPP}) {
    runs.add_socket(5, true);
    calls.clear();
    kernel = [&](const Call& call) { return call.segment_bytes != 0 && call.fd == 5 ? error : 0; };
    for (int i = 0; i < 3; ++i) add(100);
    runs.flush();
    EXPECT_EQ(calls.size(), 4U);
    for (int i = 0; i < 3; ++i) add(200);
    runs.flush();
    EXPECT_EQ(calls.size(), 7U);
    SegmentRuns::Stream stream;
    for (int i = 0; i < 3; ++i) add(200, stream, {6, 0, {}});
    runs.flush();
    EXPECT_EQ(calls.size(), 8U) << "the other socket still does";
    expect_all(SendResult::kSent);
  }
}

TEST_F(SegmentRunsTest, segments_too_long_for_the_path_leave_alone_and_shorter_ones_do_not) {
  for (const int error : {EMSGSIZE, EINVAL}) {
    runs.add_socket(5, true);
    kernel = [&](const Call& call) { return call.segment_bytes >= 1200 ? error : 0; };
    for (int i = 0; i < 3; ++i) add(1200);
    runs.flush();
    calls.clear();
    for (int i = 0; i < 3; ++i) add(1300);
    for (int i = 0; i < 3; ++i) add(1199);
    runs.flush();
    EXPECT_EQ(calls.size(), 4U);
    expect_all(SendResult::kSent);
  }
}

TEST_F(SegmentRunsTest, of_a_socket_without_segments_each_leaves_alone_in_order) {
  SegmentRuns::Stream stream;
  runs.add_socket(5, false);
  for (const std::size_t bytes : {100U, 100U, 90U, 100U}) add(bytes, stream);
  runs.flush();
  ASSERT_EQ(calls.size(), 4U);
  for (std::uint8_t i = 0; i < 4; ++i) {
    EXPECT_EQ(calls[i].segment_bytes, 0U);
    EXPECT_EQ(calls[i].datagrams[0][0], i + 1);
  }
}

TEST(TransmitDatagrams, the_kernel_cuts_a_run_into_its_datagrams) {
  for (const IpAddress& address : {loopback(2), loopback_v6()}) {
    const test::UdpPeer receiver(address);
    const UdpSocket sender(address);
    ASSERT_TRUE(offers_segments(sender.fd()));
    std::vector<std::uint8_t> bytes(250);
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(i);
    ASSERT_EQ(transmit_datagrams(sender.fd(), bytes, 100, receiver.local()), 0);
    EXPECT_EQ(receiver.receive().bytes, Bytes(bytes.begin(), bytes.begin() + 100));
    EXPECT_EQ(receiver.receive().bytes, Bytes(bytes.begin() + 100, bytes.begin() + 200));
    EXPECT_EQ(receiver.receive().bytes, Bytes(bytes.begin() + 200, bytes.end()));
    ASSERT_TRUE(sender.connect_to(receiver.local()));
    ASSERT_EQ(transmit_datagram(sender.fd(), bytes, {}), 0);
    EXPECT_EQ(receiver.receive().bytes, bytes);
  }
  EXPECT_EQ(result_of_transmit(transmit_datagram(-1, Bytes(3), {})), SendResult::kFailed);
  EXPECT_FALSE(offers_segments(-1));
}

}  // namespace
}  // namespace turnpike::io_test
