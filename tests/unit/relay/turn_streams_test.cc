// Connections of TURN clients: messages cut out of bytes, back-pressure, limits, times, ends.
#include "relay/turn_streams.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "relay/io/sockaddr.h"
#include "relay/io/tcp_stream.h"
#include "turnpike/address.h"

namespace turnpike {
namespace {

using turn::ListenerTransport;
using turn::StreamClose;

using Bytes = std::vector<std::uint8_t>;

Bytes binding(std::uint8_t number = 0) {
  Bytes bytes = {0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42};
  for (std::uint8_t i = 0; i < 12; ++i) bytes.push_back(number);
  return bytes;
}

/// Without and with its padding.
Bytes channel_data(std::size_t size, std::uint8_t fill) {
  Bytes bytes = {0x40, 0, static_cast<std::uint8_t>(size >> 8), static_cast<std::uint8_t>(size)};
  bytes.insert(bytes.end(), size, fill);
  return bytes;
}
Bytes padded(Bytes message) {
  message.resize((message.size() + 3) / 4 * 4);
  return message;
}

Bytes binding_and_100_data() {
  Bytes stream = binding();
  for (std::uint8_t i = 0; i < 100; ++i) {
    const Bytes one = channel_data(4, i);
    stream.insert(stream.end(), one.begin(), one.end());
  }
  return stream;
}

/// The client's end.
class Client {
 public:
  Client() = default;
  explicit Client(int fd) : fd_(fd) {}
  ~Client() { hang_up(); }
  Client(Client&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Client& operator=(Client&&) = delete;

  void hang_up() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  void send(const Bytes& bytes) const {
    ASSERT_EQ(::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
  }
  /// What waits.
  Bytes receive() const {
    Bytes bytes(1 << 20);
    const ssize_t length = recv(fd_, bytes.data(), bytes.size(), MSG_DONTWAIT);
    bytes.resize(length < 0 ? 0 : static_cast<std::size_t>(length));
    return bytes;
  }
  bool is_hung_up_on() const {
    pollfd one{fd_, POLLRDHUP, 0};
    return poll(&one, 1, 2000) == 1 && (one.revents & (POLLRDHUP | POLLHUP)) != 0;
  }

 private:
  int fd_ = -1;
};

class TurnStreamsTest : public testing::Test {
 protected:
  void SetUp() override { make(100, 0); }

  void make(std::uint32_t connections_max, std::uint32_t per_source_max) {
    shared_ = std::make_shared<turn::Shared>();
    gate_.emplace(shared_, SipHashKey{1}, per_source_max);
    streams_ =
        TurnStreams::make(connections_max, *gate_, counters_,
                          {.has_allocation = [this](const SocketTag&) { return has_allocation_; },
                           .closed = [this](const SocketTag& tag) { closed_.push_back(tag); }});
    ASSERT_NE(streams_, nullptr);
  }

  Client connect(const char* from = "45.9.1.10:5000") {
    int ends[2] = {-1, -1};
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    const SocketAddress source = *parse_socket_address(from);
    const std::uint64_t name = gate_->name_of(source.ip);
    EXPECT_TRUE(gate_->enter(name));
    streams_->adopt(make_tcp_stream(ends[0]), source, name, 7, ListenerTransport::kTcp, now_);
    return Client(ends[1]);
  }

  /// Whole messages of one turn.
  std::vector<Bytes> turn() {
    batch_.clear();
    more_ = streams_->receive(batch_, now_);
    std::vector<Bytes> messages;
    for (std::size_t i = 0; i < batch_.size(); ++i) {
      messages.emplace_back(batch_[i].data, batch_[i].data + batch_[i].length);
      last_tag_ = batch_[i].tag;
    }
    streams_->reap();
    return messages;
  }

  SendResult post(const SocketTag& tag, const Bytes& message) {
    Send send;
    send.data = message.data();
    send.length = static_cast<std::uint32_t>(message.size());
    send.tag = tag;
    return streams_->post(send, now_);
  }

  void run(Seconds time) {
    const Instant until = now_ + time;
    while (streams_->next_deadline() <= until) {
      now_ = std::max(now_, streams_->next_deadline());
      streams_->on_deadline(now_);
    }
    now_ = until;
  }

  std::uint64_t closes(StreamClose why) const {
    return counters_.closes[static_cast<std::size_t>(why)].value();
  }

  Instant now_{Seconds(1000)};
  bool has_allocation_ = false;
  bool more_ = false;
  turn::Counters counters_;
  std::shared_ptr<turn::Shared> shared_;
  std::optional<turn::SourceGate> gate_;
  std::vector<SocketTag> closed_;
  std::unique_ptr<TurnStreams> streams_;
  Batch batch_;
  SocketTag last_tag_;
};

TEST_F(TurnStreamsTest, messages_are_whole_however_their_bytes_come) {
  const std::vector<Bytes> messages = {binding(1), channel_data(5, 9), channel_data(0, 0),
                                       channel_data(1500, 3), binding(2)};
  Bytes stream;
  for (const Bytes& message : messages) {
    const Bytes all = padded(message);
    stream.insert(stream.end(), all.begin(), all.end());
  }
  for (const std::size_t piece : {std::size_t{1}, std::size_t{3}, std::size_t{7}, stream.size()}) {
    const Client client = connect();
    std::vector<Bytes> got;
    for (std::size_t at = 0; at < stream.size(); at += piece) {
      const std::size_t end = std::min(at + piece, stream.size());
      client.send(Bytes(stream.begin() + static_cast<std::ptrdiff_t>(at),
                        stream.begin() + static_cast<std::ptrdiff_t>(end)));
      for (const Bytes& message : turn()) got.push_back(message);
    }
    EXPECT_EQ(got, messages) << "in pieces of " << piece;
    EXPECT_TRUE(is_stream(last_tag_));
    EXPECT_EQ(streams_->listener_of(last_tag_), 7U);
    EXPECT_EQ(batch_[0].source, *parse_socket_address("45.9.1.10:5000"));
  }
}

TEST_F(TurnStreamsTest, what_follows_a_connection_bind_waits_for_its_verdict) {
  Bytes stream = binding();
  stream[1] = 0x0b;
  const Bytes data = {'n', 'o', ' ', 'm', 'e', 's', 's', 'a', 'g', 'e'};
  stream.insert(stream.end(), data.begin(), data.end());
  const Client kept = connect();
  const Client given = connect();
  given.send(stream);
  EXPECT_EQ(turn().size(), 1U);
  EXPECT_TRUE(turn().empty());
  EXPECT_EQ(post(last_tag_, binding(9)), SendResult::kWaiting);
  const auto client = streams_->release(last_tag_);
  ASSERT_NE(client, nullptr);
  EXPECT_EQ(client->input, data);
  EXPECT_EQ(client->output, binding(9)) << "the response goes along";
  EXPECT_EQ(client->transport, ListenerTransport::kTcp);
  EXPECT_TRUE(closed_.empty());
  EXPECT_EQ(streams_->size(), 1U);
  EXPECT_EQ(shared_->connections.load(), 2U) << "it counts on";
  EXPECT_EQ(streams_->release(last_tag_), nullptr) << "once";
  streams_->write_out(now_);
  streams_->go_on_after_binds();
  EXPECT_TRUE(turn().empty());
  // Who is not let in is a client like others.
  Bytes refused = binding();
  refused[1] = 0x0b;
  const Bytes next = binding(3);
  refused.insert(refused.end(), next.begin(), next.end());
  kept.send(refused);
  EXPECT_EQ(turn().size(), 1U);
  EXPECT_TRUE(turn().empty());
  streams_->go_on_after_binds();
  EXPECT_TRUE(streams_->has_unread());
  EXPECT_EQ(turn(), std::vector<Bytes>{next});
}

TEST_F(TurnStreamsTest, more_than_a_turn_takes_comes_in_the_next_ones_and_in_order) {
  const Client busy = connect();
  const Client other = connect();
  busy.send(binding_and_100_data());
  other.send(binding(9));
  std::vector<Bytes> got = turn();
  EXPECT_EQ(got.size(), TurnStreams::kMessagesMax + 1) << "the other is not kept waiting";
  EXPECT_TRUE(more_);
  EXPECT_TRUE(streams_->has_unread());
  std::erase(got, binding(9));
  for (int i = 0; i < 20 && streams_->has_unread(); ++i) {
    for (const Bytes& message : turn()) got.push_back(message);
  }
  ASSERT_EQ(got.size(), 101U);
  for (std::uint8_t i = 0; i < 100; ++i) EXPECT_EQ(got[i + 1U], channel_data(4, i));
  EXPECT_FALSE(streams_->has_unread());
}

TEST_F(TurnStreamsTest, what_is_no_message_closes_the_connection) {
  Bytes bad_cookie = binding();
  bad_cookie[5] = 0;
  Bytes too_long = binding();
  too_long[2] = 0x10;  // 4 KiB
  Bytes late = binding();
  late.push_back(0xff);
  std::uint64_t closed = 0;
  for (const Bytes& bytes :
       {Bytes{'G', 'E', 'T', ' '}, bad_cookie, too_long, padded(channel_data(8, 1)), late}) {
    const Client client = connect();
    client.send(bytes);
    EXPECT_EQ(turn().size(), bytes == late ? 1U : 0U);
    EXPECT_EQ(closes(StreamClose::kMalformed), ++closed);
    EXPECT_TRUE(client.is_hung_up_on());
  }
  EXPECT_EQ(streams_->size(), 0U);
  EXPECT_EQ(closed_.size(), closed) << "the engine was not told";
}

TEST_F(TurnStreamsTest, a_slot_is_another_connection_the_next_time) {
  Client first = connect();
  first.send(binding());
  turn();
  const SocketTag old = last_tag_;
  first.hang_up();
  turn();
  EXPECT_EQ(closes(StreamClose::kClient), 1U);
  ASSERT_EQ(closed_.size(), 1U);
  EXPECT_EQ(closed_[0].generation, old.generation);
  const Client second = connect();
  second.send(binding());
  turn();
  EXPECT_EQ(last_tag_.slot, old.slot);
  EXPECT_NE(last_tag_.generation, old.generation);
  EXPECT_EQ(post(old, binding()), SendResult::kFailed) << "would reach another client";
}

TEST_F(TurnStreamsTest, who_does_not_read_loses_data_then_the_connection) {
  const Client client = connect();
  has_allocation_ = true;
  client.send(binding());
  turn();
  const Bytes data = channel_data(996, 5);
  std::size_t taken = 0;
  while (taken < 10000 && post(last_tag_, data) == SendResult::kWaiting) ++taken;
  ASSERT_LT(taken, 10000U) << "no limit";
  EXPECT_EQ(post(last_tag_, data), SendResult::kBlocked);
  EXPECT_EQ(post(last_tag_, binding(3)), SendResult::kWaiting) << "answers have room of their own";
  run(Seconds(10));
  EXPECT_EQ(streams_->size(), 1U);
  // It reads now: all comes, whole and in order.
  Bytes got;
  for (int i = 0; i < 100; ++i) {
    const Bytes more = client.receive();
    got.insert(got.end(), more.begin(), more.end());
    turn();
  }
  ASSERT_EQ(got.size(), taken * data.size() + binding().size());
  EXPECT_TRUE(std::equal(data.begin(), data.end(), got.begin()));
  EXPECT_EQ(Bytes(got.end() - 20, got.end()), binding(3));
  run(Seconds(100));
  EXPECT_EQ(streams_->size(), 1U) << "nothing waits any more";
  while (post(last_tag_, data) == SendResult::kWaiting) continue;
  run(Seconds(30));
  EXPECT_EQ(closes(StreamClose::kStalled), 1U);
  EXPECT_EQ(streams_->size(), 0U);
}

TEST_F(TurnStreamsTest, nobody_stays_without_a_message_or_without_an_allocation) {
  const Client silent = connect();
  const Client talker = connect();
  const Client slow = connect();
  talker.send(binding());
  slow.send({0});  // and never a whole one
  turn();
  run(Seconds(9));
  EXPECT_EQ(streams_->size(), 3U);
  run(Seconds(7));
  EXPECT_EQ(closes(StreamClose::kSilent), 2U);
  EXPECT_EQ(streams_->size(), 1U);
  for (int i = 0; i < 5; ++i) {
    talker.send(binding());  // does not make it any younger
    turn();
    run(Seconds(10));
  }
  EXPECT_EQ(closes(StreamClose::kIdle), 1U);
  EXPECT_EQ(streams_->size(), 0U);
  has_allocation_ = true;
  const Client client = connect();
  client.send(binding());
  turn();
  run(Seconds(1000));
  EXPECT_EQ(streams_->size(), 1U);
}

TEST_F(TurnStreamsTest, connections_are_limited_in_all) {
  make(2, 0);
  Client first = connect();
  const Client second = connect();
  const Client third = connect();
  EXPECT_TRUE(third.is_hung_up_on());
  EXPECT_EQ(closes(StreamClose::kFull), 1U);
  first.hang_up();
  turn();
  const Client fourth = connect();
  EXPECT_EQ(streams_->size(), 2U);
}

TEST_F(TurnStreamsTest, strangers_make_room_for_who_comes) {
  make(32, 0);
  std::vector<Client> strangers;
  for (int i = 0; i < 40; ++i) {
    strangers.push_back(connect());
    turn();
  }
  EXPECT_EQ(closes(StreamClose::kFull), 0U);
  EXPECT_EQ(closes(StreamClose::kEvicted), 9U) << "one of 16 places is kept";
  EXPECT_TRUE(strangers[8].is_hung_up_on());
  EXPECT_EQ(streams_->size(), 31U);
  // Who has an allocation stays, and is asked once only.
  has_allocation_ = true;
  std::vector<Client> clients;
  for (int i = 0; i < 2; ++i) {
    clients.push_back(connect());
    turn();
  }
  EXPECT_EQ(closes(StreamClose::kEvicted), 9U);
  EXPECT_EQ(streams_->size(), 32U);
  EXPECT_EQ(closes(StreamClose::kFull), 1U);
  // When it has none any more, it is a stranger again.
  has_allocation_ = false;
  for (std::size_t i = 9; i < strangers.size(); ++i) strangers[i].send(binding());
  turn();
  run(TurnStreams::kLook);
  connect();
  turn();
  EXPECT_EQ(closes(StreamClose::kEvicted), 10U);
}

TEST_F(TurnStreamsTest, those_who_send_without_end_keep_nobody_waiting) {
  std::vector<Client> busy;
  for (int i = 0; i < 5; ++i) {
    busy.push_back(connect());
    busy.back().send(binding_and_100_data());
  }
  const Client client = connect();
  client.send(binding(9));
  bool heard = false;
  for (int i = 0; i < 3; ++i) {
    for (const Bytes& message : turn()) heard = heard || message == binding(9);
  }
  EXPECT_TRUE(heard);
}

// ---- With listening sockets

TEST_F(TurnStreamsTest, who_waits_for_its_poll_hears_of_messages_that_were_read_already) {
  const Client client = connect();
  client.send(binding_and_100_data());
  std::size_t got = 0;
  for (pollfd one{streams_->poll_fd(), POLLIN, 0}; poll(&one, 1, 0) == 1;) got += turn().size();
  EXPECT_EQ(got, 101U);
}

TEST_F(TurnStreamsTest, places_are_those_of_all_shards_and_who_is_alone_makes_room) {
  gate_.emplace(shared_, SipHashKey{1}, 0, 32);
  const auto on_a_shard = [this](bool has_allocation) {
    return TurnStreams::make(100, *gate_, counters_,
                             {.has_allocation = [=](const SocketTag&) { return has_allocation; },
                              .closed = [](const SocketTag&) {}});
  };
  const auto busy = on_a_shard(true);
  const auto idle = on_a_shard(false);
  std::vector<Client> clients;
  const auto connect_to = [&](TurnStreams& streams) {
    int ends[2] = {-1, -1};
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    clients.emplace_back(ends[1]);
    const bool taken = streams.adopt(make_tcp_stream(ends[0]), {IpAddress::v4(45, 9, 1, 9), 1}, 1,
                                     0, ListenerTransport::kTcp, now_);
    streams.reap();
    return taken;
  };
  for (int i = 0; i < 16; ++i) EXPECT_TRUE(connect_to(*busy));
  for (int i = 0; i < 30; ++i) EXPECT_TRUE(connect_to(*idle)) << "who is alone makes room";
  EXPECT_LE(shared_->connections.load(), 32U);
  EXPECT_EQ(busy->size(), 16U) << "nobody with an allocation goes";
  EXPECT_GE(counters_.closes[static_cast<std::size_t>(StreamClose::kEvicted)].value(), 14U);
  int taken = 0;
  for (int i = 0; i < 30; ++i) taken += connect_to(*busy) ? 1 : 0;
  EXPECT_LE(taken, 2);
  EXPECT_LE(busy->size() + idle->size(), 32U) << "of both shards";
  EXPECT_GT(counters_.closes[static_cast<std::size_t>(StreamClose::kFull)].value(), 27U);
}

TEST(TcpStream, little_waits_that_cannot_be_sent_yet) {
  const auto fds = open_stream_port({IpAddress::v4(127, 0, 0, 1), 0}, 1);
  ASSERT_TRUE(fds) << fds.error().message;
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  ASSERT_EQ(getsockname(fds->front(), as_sockaddr(storage), &size), 0);
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  const int little = 4096;
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &little, sizeof little);
  const Client client(fd);
  ASSERT_EQ(::connect(fd, as_sockaddr(storage), size), 0);
  const Accepted accepted = accept_stream(fds->front());
  ASSERT_EQ(accepted.state, AcceptState::kAccepted);
  const auto stream = make_tcp_stream(accepted.fd);
  const Bytes data(1000, 7);
  int taken = 0;
  while (stream->write(data).state == StreamState::kMoved) ++taken;
  int unsent = 0;
  ASSERT_EQ(ioctl(accepted.fd, SIOCOUTQNSD, &unsent), 0);
  EXPECT_GT(unsent, 0);
  EXPECT_LT(unsent, 80 << 10) << taken;
  ::close(fds->front());
}

class TurnListenerTest : public TurnStreamsTest {
 protected:
  void SetUp() override {
    make(100, 0);
    listen();
  }

  void listen() {
    const auto fds = open_stream_port({IpAddress::v4(127, 0, 0, 1), 0}, 1);
    ASSERT_TRUE(fds) << fds.error().message;
    sockaddr_storage storage{};
    socklen_t size = sizeof storage;
    ASSERT_EQ(getsockname(fds->front(), as_sockaddr(storage), &size), 0);
    server_ = from_sockaddr(storage);
    ASSERT_TRUE(streams_->add_listener(fds->front(), 3, ListenerTransport::kTcp));
  }

  Client dial() const {
    sockaddr_storage storage{};
    const socklen_t size = to_sockaddr(server_, storage);
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    EXPECT_EQ(::connect(fd, as_sockaddr(storage), size), 0) << std::strerror(errno);
    return Client(fd);
  }

  bool is_readable() const {
    pollfd one{streams_->poll_fd(), POLLIN, 0};
    return poll(&one, 1, 0) == 1;
  }

  SocketAddress server_;
};

TEST_F(TurnListenerTest, a_storm_of_connections_is_taken_in_turns) {
  std::vector<Client> clients;
  for (int i = 0; i < 20; ++i) clients.push_back(dial());
  turn();
  EXPECT_EQ(streams_->size(), static_cast<std::size_t>(TurnStreams::kAcceptsMax));
  EXPECT_TRUE(more_);
  turn();
  turn();
  EXPECT_EQ(streams_->size(), 20U);
  EXPECT_EQ(counters_.of(ListenerTransport::kTcp).connections_opened.value(), 20U);
  clients[4].send(binding());
  EXPECT_EQ(turn().size(), 1U);
  EXPECT_EQ(streams_->listener_of(last_tag_), 3U);
  clients.clear();
  turn();
  EXPECT_EQ(streams_->size(), 0U);
  EXPECT_EQ(counters_.of(ListenerTransport::kTcp).connections_closed.value(), 20U);
}

TEST_F(TurnListenerTest, one_source_takes_no_more_than_its_share) {
  make(100, 3);
  listen();
  std::vector<Client> clients;
  for (int i = 0; i < 5; ++i) clients.push_back(dial());
  turn();
  EXPECT_EQ(streams_->size(), 3U);
  EXPECT_EQ(closes(StreamClose::kSourceFull), 2U);
  EXPECT_TRUE(clients[4].is_hung_up_on());
  clients[0].hang_up();
  turn();
  clients.push_back(dial());
  turn();
  EXPECT_EQ(streams_->size(), 3U);
  EXPECT_EQ(closes(StreamClose::kSourceFull), 2U) << "what was closed counts on";
}

TEST_F(TurnListenerTest, without_descriptors_nobody_is_taken_and_nothing_spins) {
  const Client client = dial();
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit none{0, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  turn();
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_EQ(closes(StreamClose::kNoDescriptor), 1U);
  EXPECT_EQ(streams_->size(), 0U);
  EXPECT_FALSE(is_readable()) << "the shard would turn on and on";
  run(Seconds(1));
  EXPECT_TRUE(is_readable());
  turn();
  EXPECT_EQ(streams_->size(), 1U) << "who waited is taken in the end";
}

}  // namespace
}  // namespace turnpike
