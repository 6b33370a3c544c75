// TCP connections of TCP allocations over loopback: who is connected with whom, what waits for how
// long, back-pressure, rates, ends. No engine: the test judges.
#include <string>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "relay/io/loop.h"
#include "relay/io/sockaddr.h"
#include "relay/io/tcp_stream.h"
#include "relay/turn/shared.h"
#include "relay/turn_tcp_relay.h"

namespace turnpike {
namespace {

using turn::PeerClose;
using turn::TcpEvent;
using Kind = TcpEvent::Kind;

const IpAddress kLoopback = IpAddress::v4(127, 0, 0, 1);
constexpr SocketTag kTag{3, 9, Side::kA, Component::kRtp};

/// A socket of the test, which waits for nothing.
class End {
 public:
  explicit End(int fd = -1) : fd_(fd) {
    if (fd >= 0) fcntl(fd, F_SETFL, O_NONBLOCK);
  }
  ~End() { hang_up(); }
  End(End&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  End& operator=(End&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  int fd() const { return fd_; }
  void hang_up() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  void say_goodbye() const { shutdown(fd_, SHUT_WR); }
  std::size_t send(const std::string& text) const {
    const ssize_t sent = ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
    return sent < 0 ? 0 : static_cast<std::size_t>(sent);
  }
  /// What has come; `ended`: and the other end has said good-bye or is gone.
  std::string received() {
    std::string all;
    for (;;) {
      char bytes[65536];
      const ssize_t got = recv(fd_, bytes, sizeof bytes, 0);
      if (got < 0 && errno == EAGAIN) return all;
      if (got <= 0) {
        ended = true;
        return all;
      }
      all.append(bytes, static_cast<std::size_t>(got));
    }
  }
  bool ended = false;

 private:
  int fd_;
};

class TurnTcpRelayTest : public testing::Test {
 protected:
  void SetUp() override {
    shared_->connection_ids = std::make_unique<turn::ConnectionIds>(100);
    traffic_ = std::make_shared<turn::TcpTraffic>();
    relay_ = std::make_unique<TurnTcpRelay>(
        *poll_, TurnTcpRelay::Setup{shared_, &table_, turn::SourceGate(shared_, SipHashKey{1}, 0)},
        counters_, [this](std::uint16_t shard, const TcpEvent& event) {
          EXPECT_EQ(shard, 0);
          events_.push_back(event);
        });
    const auto port =
        slice_.open(AddressFamily::kIpv4, false, nullptr, now_, RelayedKind::kStreams);
    ASSERT_TRUE(port);
    relayed_ = port->local;
    relay_->listen(0, kTag, *port, traffic_);
    listener_ = End(socket(AF_INET, SOCK_STREAM, 0));
    sockaddr_storage storage{};
    socklen_t size = to_sockaddr({kLoopback, 0}, storage);
    ASSERT_EQ(bind(listener_.fd(), as_sockaddr(storage), size), 0);
    ASSERT_EQ(listen(listener_.fd(), 8), 0);
    ASSERT_EQ(getsockname(listener_.fd(), as_sockaddr(storage), &size), 0);
    peer_address_ = from_sockaddr(storage);
  }

  /// Turns, until nothing is to be done at this time.
  void run(Nanoseconds time = {}) {
    now_ += time;
    for (int idle = 0; idle < 3;) {
      std::array<StreamPoll::Ready, 64> ready;
      const std::size_t woken = poll_->wait(ready, Milliseconds(2));
      for (std::size_t i = 0; i < woken; ++i) relay_->on_ready(ready[i].item, now_);
      idle = woken == 0 && relay_->next_turn() > now_ ? idle + 1 : 0;
      relay_->go_on(now_);
      relay_->end_late(now_);
    }
  }
  End accept() { return End(::accept(listener_.fd(), nullptr, nullptr)); }
  /// Of a peer that comes.
  End come() {
    End peer(socket(AF_INET, SOCK_STREAM, 0));
    sockaddr_storage storage{};
    const socklen_t size = to_sockaddr(relayed_, storage);
    ::connect(peer.fd(), as_sockaddr(storage), size);
    run();
    return peer;
  }
  /// As an engine does it.
  void connect(std::uint32_t id) {
    EXPECT_TRUE(shared_->connection_ids->add(id, 1));
    relay_->connect(0, kTag, id, peer_address_, now_);
    run();
    if (last().kind == Kind::kConnected) shared_->connection_ids->await_bind(id);
  }
  End bind_client(std::uint32_t id, std::vector<std::uint8_t> input = {},
                  std::vector<std::uint8_t> output = {}) {
    int ends[2] = {-1, -1};
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    shared_->connection_ids->claim(id, 1);
    auto client = std::make_unique<TurnTcpClient>();
    client->stream = make_tcp_stream(ends[0]);
    client->input = std::move(input);
    client->output = std::move(output);
    relay_->bind(id, std::move(client), now_);
    run();
    return End(ends[1]);
  }
  TcpEvent last() const { return events_.empty() ? TcpEvent{} : events_.back(); }
  std::uint64_t closes(PeerClose why) const {
    return counters_.peer_closes[static_cast<std::size_t>(why)].value();
  }
  std::uint64_t open() const {
    return counters_.peer_connections_opened.value() - counters_.peer_connections_closed.value();
  }

  Instant now_ = monotonic_now();
  std::shared_ptr<turn::Shared> shared_ = std::make_shared<turn::Shared>();
  std::shared_ptr<turn::TcpTraffic> traffic_;
  turn::Counters counters_;
  RelayedPortTable table_{{{kLoopback, kLoopback}}, 41500, 41599, Seconds(5)};
  RelayedPortSlice slice_{table_, 0, 1};
  std::unique_ptr<StreamPoll> poll_ = StreamPoll::make();
  std::vector<TcpEvent> events_;
  std::unique_ptr<TurnTcpRelay> relay_;
  SocketAddress relayed_;
  End listener_;
  SocketAddress peer_address_;
};

TEST_F(TurnTcpRelayTest, connects_from_the_relayed_address_and_carries_both_ways) {
  connect(5);
  ASSERT_EQ(last().kind, Kind::kConnected);
  EXPECT_EQ(last().id, 5U);
  EXPECT_EQ(last().tag.slot, kTag.slot);
  End peer = accept();
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  ASSERT_EQ(getpeername(peer.fd(), as_sockaddr(storage), &size), 0);
  EXPECT_EQ(from_sockaddr(storage), relayed_);
  EXPECT_TRUE(table_.is_of_streams(relayed_));
  peer.send("before");
  run();
  End client = bind_client(5, {'e', 'a', 'r', 'l', 'y'}, {'o', 'k'});
  EXPECT_EQ(client.received(), "okbefore") << "the response first";
  EXPECT_EQ(peer.received(), "early");
  client.send("more");
  peer.send("back");
  run();
  EXPECT_EQ(peer.received(), "more");
  EXPECT_EQ(client.received(), "back");
  EXPECT_EQ(traffic_->bytes_to_peers.load(), 9U);
  EXPECT_EQ(traffic_->bytes_to_clients.load(), 10U) << "responses are no data";
  EXPECT_EQ(counters_.of(turn::ListenerTransport::kTcp).bytes_to_peers.value(), 9U);
  EXPECT_EQ(counters_.realms[0].bytes_to_clients.value(), 10U);
  client.say_goodbye();
  run();
  peer.received();
  EXPECT_TRUE(peer.ended);
  peer.send("last");
  run();
  EXPECT_EQ(client.received(), "last") << "the other way goes on";
  EXPECT_EQ(open(), 1U);
  peer.hang_up();
  run();
  EXPECT_EQ(closes(PeerClose::kDone), 1U);
  EXPECT_EQ(last().kind, Kind::kEnded);
  EXPECT_EQ(open(), 0U);
}

TEST_F(TurnTcpRelayTest, tells_when_nobody_listens) {
  listener_.hang_up();
  connect(5);
  EXPECT_EQ(last().kind, Kind::kEnded);
  EXPECT_EQ(last().id, 5U);
  EXPECT_EQ(closes(PeerClose::kUnreachable), 1U);
  EXPECT_EQ(open(), 0U);
}

TEST_F(TurnTcpRelayTest, who_comes_is_judged_and_only_then_kept) {
  End stranger = come();
  ASSERT_EQ(last().kind, Kind::kComes);
  EXPECT_EQ(last().peer.ip, kLoopback);
  EXPECT_NE(last().id, 0U);
  EXPECT_EQ(open(), 0U);
  relay_->judged(last().id, PeerClose::kNoPermission, now_);
  stranger.received();
  EXPECT_TRUE(stranger.ended) << "at once";
  EXPECT_EQ(closes(PeerClose::kNoPermission), 1U);
  End friendly = come();
  const std::uint32_t id = last().id;
  ASSERT_TRUE(shared_->connection_ids->add(id, 1));
  shared_->connection_ids->await_bind(id);
  friendly.send("hello");
  // Its client may be faster than the verdict.
  End client = bind_client(id);
  relay_->judged(id, std::nullopt, now_);
  EXPECT_EQ(client.received(), "hello");
  EXPECT_EQ(open(), 1U);
}

TEST_F(TurnTcpRelayTest, strangers_that_nobody_has_judged_are_bounded) {
  std::vector<End> strangers;
  constexpr std::size_t kMax = TurnTcpRelay::kUnjudgedOfHomeMax;
  for (std::size_t i = 0; i < kMax + 3; ++i) strangers.push_back(come());
  EXPECT_EQ(events_.size(), kMax);
  for (std::size_t i = 0; i < 3; ++i) relay_->judged(events_[i].id, PeerClose::kNoPermission, now_);
  run();
  EXPECT_EQ(events_.size(), kMax + 3) << "they have waited in the kernel";
  EXPECT_EQ(closes(PeerClose::kFull), 0U);
}

TEST_F(TurnTcpRelayTest, a_peer_that_breaks_off_takes_up_no_place) {
  End peer = come();
  const std::uint32_t id = last().id;
  ASSERT_TRUE(shared_->connection_ids->add(id, 1));
  relay_->judged(id, std::nullopt, now_);
  EXPECT_EQ(open(), 1U);
  const linger at_once{1, 0};
  setsockopt(peer.fd(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  peer.hang_up();
  run();
  EXPECT_EQ(open(), 0U);
  EXPECT_EQ(last().kind, Kind::kEnded);
  EXPECT_EQ(last().id, id);
  EXPECT_EQ(closes(PeerClose::kPeerFailed), 1U);
  connect(5);
  EXPECT_EQ(last().kind, Kind::kConnected);
  accept().say_goodbye();
  run();
  EXPECT_EQ(open(), 1U) << "who only has no more to say may still listen";
}

TEST_F(TurnTcpRelayTest, a_relayed_address_is_nobody_elses) {
  int fds[2] = {-1, -1};
  ASSERT_EQ(open_relayed_listener({kLoopback, 41650}, fds[0]), BindOutcome::kBound);
  EXPECT_EQ(open_relayed_listener({kLoopback, 41650}, fds[1]), BindOutcome::kPortTaken);
  const int from = connect_from({kLoopback, 41650}, peer_address_);
  EXPECT_GE(from, 0) << "but its own connections'";
  for (const int fd : {fds[0], from}) ::close(fd);
}

TEST_F(TurnTcpRelayTest, nobody_waits_longer_than_half_a_minute_for_a_client) {
  connect(5);
  End peer = accept();
  run(Seconds(29));
  EXPECT_EQ(open(), 1U);
  run(Seconds(2));
  peer.received();
  EXPECT_TRUE(peer.ended);
  EXPECT_EQ(closes(PeerClose::kNotBound), 1U);
  EXPECT_EQ(last().kind, Kind::kEnded);
  EXPECT_EQ(shared_->connection_ids->claim(5, 1), turn::ConnectionIds::Claim::kUnknown);
  End late = bind_client(5);
  late.received();
  EXPECT_TRUE(late.ended) << "who comes afterwards finds nothing";
}

TEST_F(TurnTcpRelayTest, a_client_that_was_let_in_is_waited_for) {
  connect(5);
  End peer = accept();
  ASSERT_EQ(shared_->connection_ids->claim(5, 1), turn::ConnectionIds::Claim::kClaimed);
  run(Seconds(31));
  EXPECT_EQ(open(), 1U) << "it is on its way from its shard";
  End client = bind_client(5);
  peer.send("still here");
  run();
  EXPECT_EQ(client.received(), "still here");
}

TEST_F(TurnTcpRelayTest, an_unbound_peer_is_not_read) {
  connect(5);
  End peer = accept();
  std::size_t taken = 0;
  for (std::size_t sent = 1; sent != 0; taken += sent) {
    sent = peer.send(std::string(65536, 'x'));
    run();
  }
  EXPECT_LT(taken, 8U << 20) << "the kernel holds what it can and no more";
  EXPECT_EQ(traffic_->bytes_to_clients.load(), 0U);
}

TEST_F(TurnTcpRelayTest, who_does_not_read_stops_the_other_end) {
  connect(5);
  End peer = accept();
  End client = bind_client(5);
  std::size_t taken = 0;
  for (std::size_t sent = 1; sent != 0; taken += sent) {
    sent = peer.send(std::string(65536, 'x'));
    run();
  }
  EXPECT_LT(taken, 8U << 20);
  std::size_t got = 0;
  for (int i = 0; i < 200 && got < taken; ++i) {
    got += client.received().size();
    run();
  }
  EXPECT_EQ(got, taken) << "and nothing is lost";
}

TEST_F(TurnTcpRelayTest, an_allocation_has_its_rate) {
  traffic_->bytes_per_second = 100'000;
  connect(5);
  End peer = accept();
  End client = bind_client(5);
  std::string much(1 << 16, 'x');
  std::size_t got = 0;
  std::size_t sent = 0;
  const auto pump = [&] {
    for (int i = 0; i < 20; ++i) {
      sent += client.send(much);
      run();
      got += peer.received().size();
    }
  };
  pump();
  const std::size_t at_once = got;
  EXPECT_LT(at_once, 400'000U) << "a second's worth, and a turn's";
  for (int i = 0; i < 10; ++i) {
    run(Seconds(1));
    pump();
  }
  EXPECT_LT(got, 1'500'000U);
  EXPECT_GT(got, 900'000U) << "and it goes on";
  peer.send("the other way");
  run();
  EXPECT_EQ(client.received(), "the other way") << "has its own";
}

TEST_F(TurnTcpRelayTest, half_open_connections_end_when_nothing_comes) {
  connect(5);
  End peer = accept();
  End client = bind_client(5);
  client.say_goodbye();
  run();
  run(Seconds(50));
  peer.send("slow");
  run();
  run(Seconds(50));
  EXPECT_EQ(client.received(), "slow");
  EXPECT_EQ(open(), 1U);
  run(Seconds(11));
  EXPECT_EQ(closes(PeerClose::kHalfOpen), 1U);
}

TEST_F(TurnTcpRelayTest, all_ends_with_the_allocation_and_the_port_rests) {
  connect(5);
  End peer = accept();
  End client = bind_client(5);
  End stranger = come();
  const std::size_t before = events_.size();
  relay_->close(0, kTag, now_);
  for (End* const one : {&peer, &client, &stranger}) {
    one->received();
    EXPECT_TRUE(one->ended);
  }
  EXPECT_EQ(closes(PeerClose::kAllocation), 2U);
  EXPECT_EQ(events_.size(), before) << "nobody is there to be told";
  EXPECT_EQ(open(), 0U);
  EXPECT_FALSE(table_.is_of_streams(relayed_));
  End late = come();
  char byte = 0;
  EXPECT_LE(recv(late.fd(), &byte, 1, 0), 0);
  EXPECT_EQ(events_.size(), before);
  relay_->close(0, kTag, now_);
  relay_->connect(0, kTag, 6, peer_address_, now_);
  EXPECT_EQ(events_.size(), before);
}

TEST_F(TurnTcpRelayTest, a_reset_ends_both_and_says_whose_it_was) {
  const auto reset = [](End& end) {
    const linger now{1, 0};
    setsockopt(end.fd(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
    end.hang_up();
  };
  connect(5);
  End peer = accept();
  End client = bind_client(5);
  reset(peer);
  run();
  EXPECT_EQ(closes(PeerClose::kPeerFailed), 1U);
  client.received();
  EXPECT_TRUE(client.ended);
  EXPECT_EQ(last().kind, Kind::kEnded);
}

}  // namespace
}  // namespace turnpike
