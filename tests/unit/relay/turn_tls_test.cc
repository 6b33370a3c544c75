// TURN clients over TLS: real handshakes with a whole relay, and what is refused.
#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/socket.h>
#include <unistd.h>

#include "relay/crypto/tls_server.h"
#include "relay/io/sockaddr.h"
#include "tests/unit/relay/tls_client.h"

namespace turnpike::test {
namespace {

using turn::ListenerTransport;
using turn::StreamClose;

const SocketAddress kTls{IpAddress::v4(127, 0, 0, 4), 25349};
const SocketAddress kTcp{IpAddress::v4(127, 0, 0, 4), 23480};

int dial(const SocketAddress& server) {
  sockaddr_storage storage{};
  const socklen_t size = to_sockaddr(server, storage);
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  const timeval patience{5, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  EXPECT_EQ(connect(fd, as_sockaddr(storage), size), 0) << std::strerror(errno);
  return fd;
}

class TlsClient : public SecureClient {
 public:
  explicit TlsClient(int version = TLS1_3_VERSION, std::string_view alpn = {})
      : SecureClient(TLS_client_method(), dial(kTls), version, alpn) {
    SSL_set_fd(ssl(), fd());
    shake_hands();
  }
};

class TurnOverTls : public RelayWithTurn {
 protected:
  void SetUp() override {
    start({{ListenerTransport::kTls, kTls}, {ListenerTransport::kTcp, kTcp}});
  }
};

TEST_F(TurnOverTls, both_versions_are_served_on_every_shard) {
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    for (int i = 0; i < 2; ++i) {
      TlsClient client(version);
      ASSERT_TRUE(client.is_up());
      EXPECT_EQ(client.server_name(), "first.example");
      EXPECT_TRUE(client.is_answered());
      EXPECT_TRUE(client.is_answered()) << "a second time";
    }
  }
  EXPECT_EQ(opened(ListenerTransport::kTls), 4U);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_GT(relay_->turn()->counters(i).bindings.value(), 0U) << "shard " << i;
  }
}

TEST_F(TurnOverTls, messages_in_one_record_and_in_many) {
  TlsClient client;
  ASSERT_TRUE(client.is_up());
  for (const std::uint8_t byte : binding()) ASSERT_TRUE(client.send({byte}));
  EXPECT_EQ(client.receive().size(), 32U);
  auto many = binding();
  for (int i = 0; i < 5; ++i) many.insert(many.end(), many.begin(), many.begin() + 20);
  ASSERT_TRUE(client.send(many));
  std::size_t got = 0;
  while (got < 6 * 32U) {
    const std::size_t more = client.receive().size();
    ASSERT_GT(more, 0U);
    got += more;
  }
  EXPECT_EQ(got, 6 * 32U);
}

TEST_F(TurnOverTls, what_is_no_tls_or_too_old_is_refused_and_counted) {
  ASSERT_TRUE(TlsClient().is_answered());
  EXPECT_FALSE(TlsClient(TLS1_1_VERSION).is_up());
  EXPECT_TRUE(soon([this] { return closes(StreamClose::kTlsFailed) == 1; }));
  const int fd = dial(kTls);
  const auto plain = binding();
  EXPECT_EQ(send(fd, plain.data(), plain.size(), MSG_NOSIGNAL), 20);
  std::array<std::uint8_t, 64> bytes;
  while (recv(fd, bytes.data(), bytes.size(), 0) > 0) continue;  // an alert, then the end
  close(fd);
  EXPECT_TRUE(soon([this] { return closes(StreamClose::kTlsFailed) == 2; }));
}

TEST_F(TurnOverTls, the_protocol_of_rfc_7443_is_taken_and_others_are_not) {
  TlsClient named(TLS1_3_VERSION, "stun.turn");
  ASSERT_TRUE(named.is_up());
  EXPECT_EQ(named.alpn(), "stun.turn");
  EXPECT_TRUE(named.is_answered());
  EXPECT_FALSE(TlsClient(TLS1_2_VERSION, "http/1.1").is_up());
  EXPECT_TRUE(TlsClient().is_up()) << "who offers none is welcome";
}

TEST_F(TurnOverTls, another_certificate_is_for_those_to_come) {
  TlsClient before;
  ASSERT_EQ(before.server_name(), "first.example");
  show("second.example");
  EXPECT_TRUE(soon([] { return TlsClient().server_name() == "second.example"; }));
  EXPECT_TRUE(before.is_answered()) << "it was up already";
}

TEST_F(TurnOverTls, without_a_certificate_any_more_nobody_new_is_served) {
  ASSERT_TRUE(TlsClient().is_up());
  auto settings = std::make_shared<turn::Settings>();
  settings->realms.emplace_back().name = "example.org";
  EXPECT_TRUE(relay_->turn()->configure(settings));
  EXPECT_TRUE(soon([] { return !TlsClient().is_up(); }));
}

TEST_F(TurnOverTls, a_certificate_that_the_library_refuses_is_told_of) {
  const Identity good = make_identity("good.example");
  const Identity other = make_identity("other.example");
  for (const auto& [certificate, key] : {std::pair{std::string("no certificate"), good.private_key},
                                         {good.certificate, other.private_key}}) {
    auto settings = std::make_shared<turn::Settings>();
    settings->realms.emplace_back().name = "example.org";
    settings->certificate = certificate;
    settings->private_key = key;
    const auto taken = relay_->turn()->configure(settings);
    ASSERT_FALSE(taken);
    EXPECT_NE(taken.error().message.find("cannot be used"), std::string::npos);
  }
  EXPECT_EQ(TlsClient().server_name(), "first.example") << "the one from before";
}

TEST_F(TurnOverTls, without_a_certificate_the_reason_is_counted) {
  ASSERT_TRUE(TlsClient().is_up());
  auto settings = std::make_shared<turn::Settings>();
  settings->realms.emplace_back().name = "example.org";
  ASSERT_TRUE(relay_->turn()->configure(settings));
  EXPECT_TRUE(soon([this] {
    TlsClient refused;
    return closes(StreamClose::kNoCertificate) != 0;
  }));
}

TEST_F(TurnOverTls, no_renegotiation) {
  TlsClient client(TLS1_2_VERSION);
  ASSERT_TRUE(client.is_answered());
  SSL_renegotiate(client.ssl());
  EXPECT_NE(SSL_do_handshake(client.ssl()), 1);
  ERR_clear_error();
}

TEST_F(TurnOverTls, key_updates_keep_a_connection_up) {
  TlsClient client;
  ASSERT_TRUE(client.is_answered());
  for (int i = 0; i < 20; ++i) {
    ASSERT_EQ(SSL_key_update(client.ssl(), SSL_KEY_UPDATE_REQUESTED), 1);
    ASSERT_TRUE(client.is_answered()) << i;
  }
}

TEST(TlsStream, data_behind_a_key_update_needs_no_arrival_of_its_own) {
  const Identity identity = make_identity("one.example");
  const auto context =
      TlsServerContext::make(identity.certificate, identity.private_key, "stun.turn");
  ASSERT_TRUE(context);
  int ends[2] = {-1, -1};
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
  const auto server = TlsStream::make(*context, ends[0]);
  SSL_CTX* const library = SSL_CTX_new(TLS_client_method());
  SSL* const client = SSL_new(library);
  SSL_set_fd(client, ends[1]);
  SSL_set_connect_state(client);
  TlsStream::Handshake state = TlsStream::Handshake::kWaitsToRead;
  for (int i = 0; i < 20 && state == TlsStream::Handshake::kWaitsToRead; ++i) {
    SSL_do_handshake(client);
    state = server->shake_hands();
  }
  ASSERT_EQ(state, TlsStream::Handshake::kDone);
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(SSL_key_update(client, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
    ASSERT_EQ(SSL_write(client, "data", 4), 4);
    std::array<std::uint8_t, 16> bytes;
    const StreamMoved moved = server->read(bytes);
    EXPECT_EQ(moved.state, StreamState::kMoved) << i;
    EXPECT_EQ(moved.bytes, 4U) << i;
  }
  SSL_free(client);
  SSL_CTX_free(library);
  close(ends[1]);
}

TEST_F(TurnOverTls, handshakes_count_for_their_source) {
  std::vector<int> fds;
  for (int i = 0; i < 25; ++i) fds.push_back(dial(kTls));
  EXPECT_TRUE(soon([this] { return closes(StreamClose::kSourceFull) == 5; }));
  for (const int fd : fds) close(fd);
  EXPECT_TRUE(soon([] { return TlsClient().is_up(); })) << "those that are gone count on";
}

TEST_F(TurnOverTls, a_relay_ends_with_clients_in_every_state) {
  TlsClient up;
  ASSERT_TRUE(up.is_answered());
  const int shaking = dial(kTls);
  const int plain = dial(kTcp);
  relay_.reset();
  close(shaking);
  close(plain);
}

}  // namespace
}  // namespace turnpike::test
