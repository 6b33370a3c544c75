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
#include <sys/resource.h>
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

int dial(const IpAddress& from = IpAddress::v4(127, 0, 0, 1)) {
  sockaddr_storage storage{};
  const socklen_t size = to_sockaddr(kDoor, storage);
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  const timeval patience{5, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  const int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  sockaddr_storage local{};
  const socklen_t local_size = to_sockaddr({from, 0}, local);
  EXPECT_EQ(bind(fd, as_sockaddr(local), local_size), 0) << std::strerror(errno);
  EXPECT_EQ(connect(fd, as_sockaddr(storage), size), 0) << std::strerror(errno);
  return fd;
}

class Client {
 public:
  explicit Client(const IpAddress& from = IpAddress::v4(127, 0, 0, 1)) : fd_(dial(from)) {}
  ~Client() { close(fd_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  int fd() const { return fd_; }
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

/// SO_RCVLOWAT of the socket at our end of it; 0: there is none.
int bytes_waited_for(const Client& client) {
  for (int fd = 3; fd < 1024; ++fd) {
    sockaddr_storage storage{};
    socklen_t size = sizeof storage;
    if (getpeername(fd, as_sockaddr(storage), &size) != 0 || fd == client.fd() ||
        from_sockaddr(storage).port != client.port()) {
      continue;
    }
    int bytes = 0;
    size = sizeof bytes;
    getsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &bytes, &size);
    return bytes;
  }
  return 0;
}

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
    config.targets[static_cast<std::size_t>(door::Target::kTurn)].open = true;
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
  EXPECT_TRUE(comes_to(Outcome::kTurnTcp, 4));
  EXPECT_EQ(opened(ListenerTransport::kTcp), 4U);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_GT(relay_->turn()->counters(i).bindings.value(), 0U) << "shard " << i;
  }
  EXPECT_TRUE(soon([&] { return held() == 0; }));
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
  EXPECT_TRUE(comes_to(Outcome::kTurnTls, 2));
  EXPECT_EQ(opened(ListenerTransport::kTls), 2U);
}

TEST_F(FrontDoorTest, a_hello_in_single_bytes_is_found_when_it_is_whole) {
  open();
  const Client client;
  const auto hello = in_records(hello_message({.name = "a.test"}), 30);
  for (const std::uint8_t byte : hello) client.send({byte});
  EXPECT_TRUE(comes_to(Outcome::kTurnTls));
}

TEST_F(FrontDoorTest, a_hello_in_small_segments_is_looked_at_seldom) {
  open();
  const Client client;
  const auto hello = in_records(hello_message({.name = "a.test", .padding_bytes = 8000}));
  const auto end = hello.end() - 1;
  client.send({hello.begin(), hello.begin() + 20});
  EXPECT_TRUE(soon([&] { return bytes_waited_for(client) == static_cast<int>(hello.size()); }))
      << bytes_waited_for(client);
  for (auto at = hello.begin() + 20; at < end; at += 20) client.send({at, std::min(at + 20, end)});
  EXPECT_EQ(outcomes(Outcome::kTurnTls), 0U);
  client.send({hello.back()});
  EXPECT_TRUE(comes_to(Outcome::kTurnTls));
  EXPECT_NE(bytes_waited_for(client), static_cast<int>(hello.size())) << "whoever has it now";
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
  EXPECT_TRUE(soon([&] { return held() == 0; }));
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
  for (std::size_t i = 0; i + 1 < door::kWaitingMax; ++i) {
    waiting.push_back(std::make_unique<Client>());
  }
  ASSERT_TRUE(soon([&] { return held() == door::kWaitingMax; }));
  EXPECT_TRUE(oldest.is_open());
  const Client client;
  client.send(binding());
  EXPECT_EQ(client.receive().size(), 32U);
  EXPECT_TRUE(oldest.is_closed());
  EXPECT_EQ(outcomes(Outcome::kEvicted), 1U);
}

// ---- PROXY headers

const SocketAddress kProxied{IpAddress::v4(198, 51, 100, 7), 40000};
const IpAddress kBalancer = IpAddress::v4(127, 0, 0, 9);

door::Config behind_a_balancer() {
  door::Config config;
  config.proxies = {{kBalancer, 32}};
  return config;
}

TEST_F(FrontDoorTest, a_listed_load_balancer_says_who_the_client_is) {
  open(behind_a_balancer());
  auto bytes = proxy_header(kProxied, kDoor, {4, 0, 1, 0});
  const auto request = binding();
  bytes.insert(bytes.end(), request.begin(), request.end());
  for (const bool in_crumbs : {false, true}) {
    const Client client(kBalancer);
    if (!in_crumbs) client.send(bytes);
    for (std::size_t i = 0; in_crumbs && i < bytes.size(); ++i) client.send({bytes[i]});
    const auto answer = client.receive();
    ASSERT_EQ(answer.size(), 32U);
    EXPECT_EQ((answer[26] << 8 | answer[27]) ^ 0x2112, kProxied.port);
    EXPECT_EQ(answer[28] ^ 0x21, 198);
  }
  EXPECT_TRUE(comes_to(Outcome::kTurnTcp, 2));
}

TEST_F(FrontDoorTest, nobody_else_can_say_so) {
  open(behind_a_balancer());
  const Client client;
  client.send(proxy_header(kProxied, kDoor));
  EXPECT_TRUE(client.is_closed());
  EXPECT_EQ(outcomes(Outcome::kUnknownProtocol), 1U);
}

TEST_F(FrontDoorTest, from_a_load_balancer_a_sound_header_is_required) {
  open(behind_a_balancer());
  const auto with = [](std::size_t at, std::uint8_t value) {
    auto bytes = proxy_header(kProxied, kDoor, {3, 0, 4, 1, 2, 3, 4});
    bytes[at] = value;
    return bytes;
  };
  const std::pair<std::vector<std::uint8_t>, Outcome> cases[] = {
      {binding(), Outcome::kNoProxyHeader},    {with(12, 0x31), Outcome::kBadProxyHeader},
      {with(13, 0x31), Outcome::kOtherFamily}, {with(12, 0x21), Outcome::kBadChecksum},
      {with(12, 0x20), Outcome::kHealthCheck},
  };
  for (const auto& [bytes, why] : cases) {
    const Client client(kBalancer);
    client.send(bytes);
    EXPECT_TRUE(client.is_closed());
    EXPECT_EQ(outcomes(why), 1U) << door::kOutcomes[static_cast<std::size_t>(why)].label;
  }
  EXPECT_TRUE(soon([&] { return held() == 0; }));
}

TEST_F(FrontDoorTest, clients_behind_a_load_balancer_count_for_themselves) {
  door::Config config = behind_a_balancer();
  config.connections_per_source_max = 2;
  open(config);
  std::vector<std::unique_ptr<Client>> waiting;
  const auto come = [&waiting](std::uint8_t last) -> Client& {
    waiting.push_back(std::make_unique<Client>(kBalancer));
    waiting.back()->send(proxy_header({IpAddress::v4(198, 51, 100, last), 40000}, kDoor));
    return *waiting.back();
  };
  for (const std::uint8_t last : std::vector<std::uint8_t>{1, 1, 2, 2}) come(last);
  ASSERT_TRUE(soon([&] { return held() == 4; }));
  EXPECT_TRUE(come(1).is_closed());
  EXPECT_EQ(outcomes(Outcome::kSourceFull), 1U);
  waiting.clear();
  EXPECT_TRUE(soon([&] { return held() == 0; }));
  Client& again = come(1);
  again.send(binding());
  EXPECT_EQ(again.receive().size(), 32U);
}

// ---- Other targets

TEST_F(FrontDoorTest, callers_of_the_api_are_given_to_control_unread) {
  door::Config config = behind_a_balancer();
  config.targets[static_cast<std::size_t>(door::Target::kApi)] = {true, {"api.example"}};
  open(config);
  const auto hello =
      in_records(hello_message({.name = "api.example", .protocols = {"h2", "http/1.1"}}));
  const Client client;
  client.send(hello);
  const Client proxied(kBalancer);
  auto bytes = proxy_header(kProxied, kDoor);
  bytes.insert(bytes.end(), hello.begin(), hello.end());
  proxied.send(bytes);
  std::vector<std::uint16_t> ports;
  EXPECT_TRUE(soon([&] {
    for (door::Caller caller; door_->next_caller(caller);) {
      std::vector<std::uint8_t> got(4096);
      got.resize(static_cast<std::size_t>(recv(caller.fd, got.data(), got.size(), 0)));
      EXPECT_EQ(got, hello);
      ports.push_back(caller.client.port);
      close(caller.fd);
    }
    return ports.size() == 2;
  }));
  std::sort(ports.begin(), ports.end());
  std::vector<std::uint16_t> expected = {client.port(), kProxied.port};
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(ports, expected);
  EXPECT_TRUE(comes_to(Outcome::kApi, 2));
  EXPECT_TRUE(soon([&] { return held() == 0; }));
}

/// What stands where the SIP server would.
class SipServer {
 public:
  SipServer() : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_storage storage{};
    const socklen_t size = to_sockaddr(address(), storage);
    const int one = 1;
    setsockopt(fd_, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    const timeval patience{5, 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    EXPECT_EQ(bind(fd_, as_sockaddr(storage), size), 0) << std::strerror(errno);
    EXPECT_EQ(listen(fd_, 16), 0);
  }
  ~SipServer() { close(fd_); }
  SipServer(const SipServer&) = delete;
  SipServer& operator=(const SipServer&) = delete;

  static SocketAddress address() { return {IpAddress::v4(127, 0, 0, 1), 28443}; }
  /// The next one; `source`: as it is seen here.
  int next(IpAddress& source) const {
    sockaddr_storage storage{};
    socklen_t size = sizeof storage;
    const int fd = accept(fd_, as_sockaddr(storage), &size);
    source = from_sockaddr(storage).ip;
    const timeval patience{5, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return fd;
  }

 private:
  int fd_;
};

std::vector<std::uint8_t> read_all(int fd, std::size_t count) {
  std::vector<std::uint8_t> all(count);
  std::size_t got = 0;
  while (got < count) {
    const ssize_t some = recv(fd, all.data() + got, count - got, 0);
    if (some <= 0) break;
    got += static_cast<std::size_t>(some);
  }
  all.resize(got);
  return all;
}

class FrontDoorToSip : public FrontDoorTest {
 protected:
  void SetUp() override {
    door::Config config;
    config.targets[static_cast<std::size_t>(door::Target::kSip)] = {true, {"sip.example"}};
    config.sip = SipServer::address();
    config.connections_per_source_max = 4;
    open(config);
  }
  const std::vector<std::uint8_t> hello_ = in_records(hello_message({.name = "sip.example"}));
};

TEST_F(FrontDoorToSip, bytes_go_both_ways_and_ends_one_by_one) {
  const SipServer server;
  const Client client;
  client.send(hello_);
  IpAddress source;
  const int there = server.next(source);
  EXPECT_EQ(read_all(there, hello_.size()), hello_);
  EXPECT_EQ(::send(there, "answer", 6, 0), 6);
  EXPECT_EQ(client.receive().size(), 6U);
  EXPECT_TRUE(comes_to(Outcome::kSip));
  EXPECT_EQ(held(), 1U) << "what it carries is the door's";
  shutdown(client.fd(), SHUT_WR);
  EXPECT_TRUE(read_all(there, 1).empty()) << "the end is told";
  EXPECT_EQ(::send(there, "late", 4, 0), 4);
  EXPECT_EQ(client.receive().size(), 4U) << "the other way is still open";
  close(there);
  EXPECT_TRUE(client.is_closed());
  EXPECT_TRUE(soon([&] { return held() == 0; }));
}

TEST_F(FrontDoorToSip, a_reader_that_stands_still_holds_the_writer_up) {
  const SipServer server;
  const Client client;
  client.send(hello_);
  IpAddress source;
  const int there = server.next(source);
  read_all(there, hello_.size());
  std::vector<std::uint8_t> data(1 << 20);
  for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::uint8_t>(i * 7 >> 3);
  std::size_t sent = 0;
  pollfd room{there, POLLOUT, 0};
  while (sent < 64 * data.size() && poll(&room, 1, 300) > 0) {
    const std::size_t at = sent % data.size();
    const ssize_t some = ::send(there, data.data() + at, data.size() - at, MSG_DONTWAIT);
    if (some > 0) sent += static_cast<std::size_t>(some);
  }
  EXPECT_LT(sent, 32 * data.size()) << "somebody buffers without bound";
  const auto got = read_all(client.fd(), sent);
  ASSERT_EQ(got.size(), sent);
  for (std::size_t i = 0; i < sent; ++i) ASSERT_EQ(got[i], data[i % data.size()]) << i;
  close(there);
}

TEST_F(FrontDoorToSip, a_source_has_one_stand_in) {
  const SipServer server;
  std::vector<IpAddress> seen;
  for (const std::uint8_t last : std::vector<std::uint8_t>{1, 1, 2, 3}) {
    const Client client(IpAddress::v4(127, 0, 0, last));
    client.send(hello_);
    close(server.next(seen.emplace_back()));
    EXPECT_TRUE(client.is_closed());
  }
  EXPECT_EQ(seen[0], seen[1]);
  EXPECT_NE(seen[0], seen[2]);
  EXPECT_NE(seen[2], seen[3]);
  EXPECT_TRUE(std::equal(seen[0].bytes.begin(), seen[0].bytes.begin() + 3, seen[3].bytes.begin()))
      << "of one /24";
  for (const IpAddress& one : seen) {
    EXPECT_EQ(one.bytes[0], 127);
    EXPECT_NE(one.bytes[1], 0) << "not as this host's own programs";
  }
}

TEST_F(FrontDoorToSip, a_server_that_is_away_is_counted) {
  const Client client;
  client.send(hello_);
  EXPECT_TRUE(client.is_closed());
  EXPECT_TRUE(comes_to(Outcome::kTargetDown));
  EXPECT_TRUE(soon([&] { return held() == 0; }));
}

TEST_F(FrontDoorToSip, a_lack_of_descriptors_is_none_of_the_server) {
  const SipServer server;
  const Client client;
  client.send({hello_.begin(), hello_.begin() + 10});
  EXPECT_TRUE(soon([&] { return held() == 1; }));
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  const rlimit none{3, limit.rlim_max};
  setrlimit(RLIMIT_NOFILE, &none);
  client.send({hello_.begin() + 10, hello_.end()});
  EXPECT_TRUE(client.is_closed());
  setrlimit(RLIMIT_NOFILE, &limit);
  EXPECT_TRUE(comes_to(Outcome::kNoDescriptor));
  EXPECT_EQ(outcomes(Outcome::kTargetDown), 0U);
  EXPECT_TRUE(soon([&] { return held() == 0; }));
}

TEST_F(FrontDoorToSip, what_is_carried_counts_for_its_source) {
  const SipServer server;
  std::vector<std::unique_ptr<Client>> clients;
  std::vector<int> there;
  for (int i = 0; i < 4; ++i) {
    clients.push_back(std::make_unique<Client>());
    clients.back()->send(hello_);
    IpAddress source;
    there.push_back(server.next(source));
  }
  const Client fifth;
  fifth.send(hello_);
  EXPECT_TRUE(fifth.is_closed());
  EXPECT_TRUE(comes_to(Outcome::kSourceFull));
  for (const int fd : there) close(fd);
  clients.clear();
  EXPECT_TRUE(soon([&] { return held() == 0; }));
}

TEST(StandIn, sites_stay_sites) {
  const SipHashKey key{1, 2};
  const auto site_of = [&](const char* text) {
    const IpAddress there = stand_in_for(*parse_ip(text), key);
    return std::array{there.bytes[0], there.bytes[1], there.bytes[2]};
  };
  EXPECT_EQ(site_of("2001:db8:1:1::1"), site_of("2001:db8:1:2::1")) << "of one /48";
  EXPECT_NE(site_of("2001:db8:1:1::1"), site_of("2001:db8:2:1::1"));
  EXPECT_EQ(site_of("192.0.2.1"), site_of("192.0.2.200"));
  EXPECT_NE(site_of("192.0.2.1"), site_of("192.0.3.1"));
  EXPECT_EQ(stand_in_for(*parse_ip("2001:db8:1:1::1"), key),
            stand_in_for(*parse_ip("2001:db8:1:1:9::9"), key))
      << "of one /64";
  EXPECT_NE(stand_in_for(*parse_ip("192.0.2.1"), key), stand_in_for(*parse_ip("192.0.2.2"), key));
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
