// TURN clients over DTLS: real handshakes with a whole relay, and what ends an association and what
// does not.
#include <array>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "relay/io/sockaddr.h"
#include "tests/unit/relay/client_hello.h"
#include "tests/unit/relay/tls_client.h"

namespace turnpike::test {
namespace {

using turn::Drop;
using turn::ListenerTransport;
using turn::StreamClose;

using Bytes = std::vector<std::uint8_t>;

const SocketAddress kDtls{IpAddress::v4(127, 0, 0, 6), 25350};

int dial(std::uint16_t port) {
  const int fd = socket(AF_INET, SOCK_DGRAM, 0);
  sockaddr_storage storage{};
  socklen_t size = to_sockaddr({kDtls.ip, port}, storage);
  const int yes = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  EXPECT_EQ(bind(fd, as_sockaddr(storage), size), 0) << std::strerror(errno);
  size = to_sockaddr(kDtls, storage);
  EXPECT_EQ(connect(fd, as_sockaddr(storage), size), 0);
  return fd;
}

class DtlsClient : public SecureClient {
 public:
  /// `port`: its own; 0: any.
  explicit DtlsClient(std::uint16_t port = 0, int version = DTLS1_2_VERSION,
                      std::string_view alpn = {})
      : SecureClient(DTLS_client_method(), dial(port), version, alpn) {
    sockaddr_storage server{};
    to_sockaddr(kDtls, server);
    BIO* const bio = BIO_new_dgram(fd(), BIO_NOCLOSE);
    BIO_ctrl(bio, BIO_CTRL_DGRAM_SET_CONNECTED, 0, &server);
    SSL_set_bio(ssl(), bio, bio);
    shake_hands();
  }

  std::uint16_t port() const {
    sockaddr_storage storage{};
    socklen_t size = sizeof storage;
    getsockname(fd(), as_sockaddr(storage), &size);
    return from_sockaddr(storage).port;
  }
  bool said_goodbye() { return (SSL_get_shutdown(ssl()) & SSL_RECEIVED_SHUTDOWN) != 0; }
  bool has_ended() { return receive().empty() && said_goodbye(); }
};

class TurnOverDtls : public RelayWithTurn {
 protected:
  void SetUp() override { start({{ListenerTransport::kDtls, kDtls}}); }

  std::uint64_t open() const {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < relay_->shard_count(); ++i) {
      const auto& of =
          relay_->turn()->counters(i).clients[static_cast<std::size_t>(ListenerTransport::kDtls)];
      sum += of.connections_opened.value() - of.connections_closed.value();
    }
    return sum;
  }
  std::uint64_t drops(Drop why) const {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < relay_->shard_count(); ++i) {
      sum += relay_->turn()->counters(i).drops[static_cast<std::size_t>(why)].value();
    }
    return sum;
  }
};

TEST_F(TurnOverDtls, clients_are_served_on_every_shard) {
  const auto opened_at = [this](std::size_t shard) {
    const auto& clients = relay_->turn()->counters(shard).clients;
    return clients[static_cast<std::size_t>(ListenerTransport::kDtls)].connections_opened.value();
  };
  // The kernel chooses by port.
  std::uint64_t count = 0;
  while (count < 60 && (opened_at(0) == 0 || opened_at(1) == 0)) {
    DtlsClient client;
    ASSERT_TRUE(client.is_up());
    EXPECT_EQ(client.server_name(), "first.example");
    for (int k = 0; k < 3; ++k) ASSERT_TRUE(client.is_answered()) << count << " " << k;
    ++count;
    if (count % 8 == 0) poll(nullptr, 0, 1000);  // as often as one source may begin
  }
  EXPECT_GT(opened_at(0), 0U);
  EXPECT_GT(opened_at(1), 0U);
  EXPECT_EQ(opened(ListenerTransport::kDtls), count);
}

class TurnOverDtlsWithOnePlace : public TurnOverDtls {
 protected:
  void SetUp() override {
    connections_max_ = 1;
    TurnOverDtls::SetUp();
  }
};

// Of its own shard the newcomer replaces who has no allocation; of another it is told to go.
TEST_F(TurnOverDtlsWithOnePlace, nobody_is_left_in_the_belief_to_be_up) {
  DtlsClient first;
  ASSERT_TRUE(first.is_answered());
  for (int i = 0; i < 60 && (closes(StreamClose::kEvicted) == 0 || closes(StreamClose::kFull) == 0);
       ++i) {
    const std::uint64_t evicted = closes(StreamClose::kEvicted);
    DtlsClient client;
    ASSERT_TRUE(client.is_up());
    const bool is_served = client.is_answered();
    EXPECT_EQ(is_served, closes(StreamClose::kEvicted) == evicted + 1);
    EXPECT_TRUE(is_served || client.said_goodbye());
    EXPECT_EQ(open(), 1U);
    if (i % 8 == 7) poll(nullptr, 0, 1000);
  }
  EXPECT_GT(closes(StreamClose::kEvicted), 0U);
  EXPECT_GT(closes(StreamClose::kFull), 0U);
  EXPECT_TRUE(closes(StreamClose::kEvicted) == 0 || first.has_ended());
}

TEST_F(TurnOverDtls, the_protocol_of_rfc_7443_is_taken_and_others_and_old_versions_are_not) {
  DtlsClient named(0, DTLS1_2_VERSION, "stun.turn");
  ASSERT_TRUE(named.is_answered());
  EXPECT_EQ(named.alpn(), "stun.turn");
  EXPECT_FALSE(DtlsClient(0, DTLS1_2_VERSION, "http/1.1").is_up());
  EXPECT_FALSE(DtlsClient(0, DTLS1_VERSION).is_up());
  EXPECT_TRUE(soon([this] { return closes(StreamClose::kTlsFailed) == 2; }));
}

TEST_F(TurnOverDtls, another_certificate_is_for_those_to_come) {
  DtlsClient before;
  ASSERT_EQ(before.server_name(), "first.example");
  show("second.example");
  EXPECT_TRUE(soon([] { return DtlsClient().server_name() == "second.example"; }));
  EXPECT_TRUE(before.is_answered()) << "it was up already";
}

TEST_F(TurnOverDtls, a_client_that_says_good_bye_is_gone) {
  DtlsClient client;
  ASSERT_TRUE(client.is_answered());
  ASSERT_EQ(open(), 1U);
  SSL_shutdown(client.ssl());
  EXPECT_TRUE(soon([this] { return open() == 0; }));
  EXPECT_EQ(closes(StreamClose::kClient), 1U);
}

TEST_F(TurnOverDtls, what_has_no_keys_ends_no_association) {
  DtlsClient client;
  ASSERT_TRUE(client.is_answered());
  // From the client's own address, as anybody who forges it can.
  const Bytes alert = {21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 2, 40};
  Bytes sealed = {21, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 99, 0, 26};
  sealed.resize(13 + 26, 7);
  Bytes data = {23, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 98, 0, 60};
  data.resize(73, 7);
  const Bytes hello = client_hello();
  for (const Bytes& one : {alert, sealed, data, hello, Bytes(100, 0xff)}) {
    ASSERT_EQ(send(client.fd(), one.data(), one.size(), 0), static_cast<ssize_t>(one.size()));
  }
  ASSERT_TRUE(soon([this] {
    return relay_->turn()->counters(0).cookies.value() +
               relay_->turn()->counters(1).cookies.value() ==
           2;
  })) << "the ClientHello is asked for a cookie";
  EXPECT_TRUE(client.is_answered());
  EXPECT_EQ(open(), 1U);
  EXPECT_EQ(drops(Drop::kBadRecord), 2U);
  EXPECT_EQ(drops(Drop::kNoAssociation), 1U);
}

TEST_F(TurnOverDtls, a_client_that_begins_anew_replaces_itself_when_it_is_up) {
  DtlsClient before;
  ASSERT_TRUE(before.is_answered());
  DtlsClient again(before.port());
  ASSERT_TRUE(again.is_up());
  EXPECT_TRUE(again.is_answered());
  EXPECT_EQ(opened(ListenerTransport::kDtls), 2U);
  EXPECT_EQ(open(), 1U);
}

TEST_F(TurnOverDtls, without_a_certificate_the_reason_is_counted) {
  auto settings = std::make_shared<turn::Settings>();
  settings->realms.emplace_back().name = "example.org";
  ASSERT_TRUE(relay_->turn()->configure(settings));
  const int fd = socket(AF_INET, SOCK_DGRAM, 0);
  sockaddr_storage storage{};
  const socklen_t size = to_sockaddr(kDtls, storage);
  ASSERT_EQ(connect(fd, as_sockaddr(storage), size), 0);
  EXPECT_TRUE(soon([this, fd] {
    const Bytes hello = client_hello();
    std::array<std::uint8_t, 100> reply{};
    const timeval patience{0, 200000};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    static_cast<void>(send(fd, hello.data(), hello.size(), 0));
    const ssize_t got = recv(fd, reply.data(), reply.size(), 0);
    if (got > 28) {
      const Bytes proven = client_hello({reply.begin() + 28, reply.begin() + got});
      static_cast<void>(send(fd, proven.data(), proven.size(), 0));
    }
    return closes(StreamClose::kNoCertificate) != 0;
  }));
  close(fd);
}

TEST_F(TurnOverDtls, a_relay_ends_with_clients_in_every_state) {
  DtlsClient up;
  ASSERT_TRUE(up.is_answered());
  DtlsClient idle;
  relay_.reset();
  EXPECT_FALSE(DtlsClient(0, DTLS1_VERSION).is_up());
}

}  // namespace
}  // namespace turnpike::test
