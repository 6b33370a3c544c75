// The front door with a whole relay behind it: who is passed on to TURN, unread, and who is not.
#include "relay/front_door.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "relay/io/sockaddr.h"
#include "tests/support/hello_bytes.h"
#include "tests/unit/relay/tls_client.h"

namespace turnpike::test {
namespace {

using door::Outcome;
using turn::ListenerTransport;

const SocketAddress kDoor{IpAddress::v4(127, 0, 0, 6), 20443};

int dial() {
  sockaddr_storage storage{};
  const socklen_t size = to_sockaddr(kDoor, storage);
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  const timeval patience{5, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  const int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  EXPECT_EQ(connect(fd, as_sockaddr(storage), size), 0) << std::strerror(errno);
  return fd;
}

class Client {
 public:
  Client() : fd_(dial()) {}
  ~Client() { close(fd_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  void send(const std::vector<std::uint8_t>& bytes) const {
    ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }
  std::vector<std::uint8_t> receive() const {
    std::vector<std::uint8_t> bytes(4096);
    const ssize_t got = recv(fd_, bytes.data(), bytes.size(), 0);
    bytes.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
    return bytes;
  }
  bool is_closed() const {
    std::uint8_t byte = 0;
    return recv(fd_, &byte, 1, 0) == 0 || errno == ECONNRESET;
  }
  bool is_open() const {
    std::uint8_t byte = 0;
    return recv(fd_, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
  }
  std::uint16_t port() const {
    sockaddr_storage storage{};
    socklen_t size = sizeof storage;
    getsockname(fd_, as_sockaddr(storage), &size);
    return from_sockaddr(storage).port;
  }

 private:
  int fd_;
};

class TlsClient : public SecureClient {
 public:
  explicit TlsClient(std::string_view alpn = {}, const char* name = nullptr)
      : SecureClient(TLS_client_method(), dial(), TLS1_3_VERSION, alpn) {
    if (name != nullptr) {
      SSL_ctrl(ssl(), SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
               const_cast<char*>(name));
    }
    SSL_set_fd(ssl(), fd());
    shake_hands();
  }
};

class FrontDoorTest : public RelayWithTurn {
 protected:
  void open(door::Config config = {}) {
    start({{.transport = ListenerTransport::kTcp, .local = kDoor, .at_door = true},
           {.transport = ListenerTransport::kTls, .local = kDoor, .at_door = true}});
    config.listeners = {kDoor};
    config.targets[0].open = true;
    const auto opened = relay_->open_front_door(config);
    ASSERT_TRUE(opened) << opened.error().message;
    door_ = *opened;
  }
  std::uint64_t outcomes(Outcome outcome) const {
    return door_->counters().outcomes[static_cast<std::size_t>(outcome)].value();
  }
  bool comes_to(Outcome outcome, std::uint64_t count = 1) {
    return soon([&] { return outcomes(outcome) >= count; });
  }
  std::uint64_t held() const {
    return door_->counters().entered.value() - door_->counters().left.value();
  }

  FrontDoor* door_ = nullptr;
};

TEST_F(FrontDoorTest, stun_in_the_clear_is_answered_with_the_clients_address) {
  open();
  for (int i = 0; i < 4; ++i) {
    const Client client;
    client.send(binding());
    const auto answer = client.receive();
    ASSERT_EQ(answer.size(), 32U);
    EXPECT_EQ((answer[26] << 8 | answer[27]) ^ 0x2112, client.port());
  }
  EXPECT_EQ(outcomes(Outcome::kTurnTcp), 4U);
  EXPECT_EQ(opened(ListenerTransport::kTcp), 4U);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_GT(relay_->turn()->counters(i).bindings.value(), 0U) << "shard " << i;
  }
  EXPECT_EQ(held(), 0U);
}

TEST_F(FrontDoorTest, tls_is_passed_on_untouched) {
  open();
  for (const char* alpn : {"", "stun.turn"}) {
    TlsClient client(alpn);
    ASSERT_TRUE(client.is_up());
    EXPECT_EQ(client.server_name(), "first.example");
    EXPECT_EQ(client.alpn(), alpn);
    EXPECT_TRUE(client.is_answered());
    EXPECT_TRUE(client.is_answered()) << "a second time";
  }
  EXPECT_EQ(outcomes(Outcome::kTurnTls), 2U);
  EXPECT_EQ(opened(ListenerTransport::kTls), 2U);
}

TEST_F(FrontDoorTest, a_hello_in_single_bytes_is_found_when_it_is_whole) {
  open();
  const Client client;
  const auto hello = in_records(hello_message({.name = "a.test"}), 30);
  for (const std::uint8_t byte : hello) client.send({byte});
  EXPECT_TRUE(comes_to(Outcome::kTurnTls));
}

TEST_F(FrontDoorTest, names_and_protocols_decide) {
  door::Config config;
  config.targets[0].names = {"turn.example"};
  open(config);
  EXPECT_TRUE(TlsClient("", "Turn.Example").is_up());
  EXPECT_TRUE(TlsClient("stun.turn", "turn.example").is_up());
  EXPECT_FALSE(TlsClient("", "other.example").is_up());
  EXPECT_FALSE(TlsClient("stun.turn").is_up()) << "without a name";
  EXPECT_FALSE(TlsClient("http/1.1", "turn.example").is_up());
  EXPECT_EQ(outcomes(Outcome::kNoTarget), 3U);
}

TEST_F(FrontDoorTest, what_is_nothing_of_ours_is_closed) {
  open();
  const std::pair<std::vector<std::uint8_t>, Outcome> cases[] = {
      {{'G', 'E', 'T', ' '}, Outcome::kUnknownProtocol},
      {{0x40, 0, 0, 0}, Outcome::kUnknownProtocol},  // ChannelData is never first
      {{0x0d, 0x0a, 0x0d, 0x0a}, Outcome::kUnknownProtocol},
      {{22, 3, 1, 0, 0}, Outcome::kBadHello},
      {{22, 3, 1, 0, 4, 1, 0xff, 0xff, 0xff}, Outcome::kLongHello},
  };
  for (const auto& [bytes, why] : cases) {
    const std::uint64_t before = outcomes(why);
    const Client client;
    client.send(bytes);
    EXPECT_TRUE(client.is_closed());
    EXPECT_TRUE(comes_to(why, before + 1)) << door::kOutcomes[static_cast<std::size_t>(why)].label;
  }
  { const Client leaves; }
  EXPECT_TRUE(comes_to(Outcome::kGone));
  EXPECT_EQ(held(), 0U);
}

TEST_F(FrontDoorTest, who_is_slow_is_closed) {
  door::Config config;
  config.first_byte_max = Milliseconds{300};
  config.hello_max = Milliseconds{900};
  open(config);
  const Client silent;
  const Client slow;
  slow.send({22});
  EXPECT_TRUE(silent.is_closed());
  EXPECT_TRUE(slow.is_open());
  slow.send({3});
  EXPECT_TRUE(slow.is_closed());
  EXPECT_EQ(outcomes(Outcome::kSilent), 1U);
  EXPECT_EQ(outcomes(Outcome::kSlowHello), 1U);
}

TEST_F(FrontDoorTest, a_source_has_its_number_and_gets_it_back) {
  door::Config config;
  config.connections_per_source_max = 3;
  open(config);
  {
    std::vector<std::unique_ptr<Client>> waiting;
    for (int i = 0; i < 3; ++i) waiting.push_back(std::make_unique<Client>());
    ASSERT_TRUE(soon([&] { return held() == 3; }));
    EXPECT_TRUE(Client().is_closed());
    EXPECT_EQ(outcomes(Outcome::kSourceFull), 1U);
    waiting[0]->send(binding());
    EXPECT_EQ(waiting[0]->receive().size(), 32U);
    const Client next;  // who was passed on is no longer the door's
    next.send(binding());
    EXPECT_EQ(next.receive().size(), 32U);
  }
  EXPECT_TRUE(soon([&] { return held() == 0; }));
}

TEST_F(FrontDoorTest, all_together_have_theirs) {
  door::Config config;
  config.connections_max = 2;
  open(config);
  const Client one;
  const Client two;
  ASSERT_TRUE(soon([&] { return held() == 2; }));
  EXPECT_TRUE(Client().is_closed());
  EXPECT_EQ(outcomes(Outcome::kFull), 1U);
}

TEST_F(FrontDoorTest, who_waits_longest_makes_room) {
  door::Config config;
  config.connections_max = 10000;
  config.connections_per_source_max = 0;
  open(config);
  const Client oldest;
  ASSERT_TRUE(soon([&] { return held() == 1; }));
  std::vector<std::unique_ptr<Client>> waiting;
  for (std::size_t i = 0; i + 1 < FrontDoorThread::kWaitingMax; ++i) {
    waiting.push_back(std::make_unique<Client>());
  }
  ASSERT_TRUE(soon([&] { return held() == FrontDoorThread::kWaitingMax; }));
  EXPECT_TRUE(oldest.is_open());
  const Client client;
  client.send(binding());
  EXPECT_EQ(client.receive().size(), 32U);
  EXPECT_TRUE(oldest.is_closed());
  EXPECT_EQ(outcomes(Outcome::kEvicted), 1U);
}

TEST_F(FrontDoorTest, a_port_that_is_taken_is_told_of) {
  open();
  start({{.transport = ListenerTransport::kUdp, .local = {kDoor.ip, 23499}}});
  door::Config config;
  config.listeners = {{IpAddress::v4(192, 0, 2, 77), 20443}};
  const auto opened = relay_->open_front_door(config);
  ASSERT_FALSE(opened);
  EXPECT_NE(opened.error().message.find("192.0.2.77:20443"), std::string::npos);
}

}  // namespace
}  // namespace turnpike::test
