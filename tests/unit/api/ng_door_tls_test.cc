// NG over HTTPS and secure WebSocket: who is let in by token or certificate, files that change,
// clients that speak something else.
#include <cerrno>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/api/ng_door.h"
#include "control/ng/dispatcher.h"
#include "tests/support/certificates.h"
#include "tests/unit/ng/support.h"

namespace turnpike::api {
namespace {

using ng::Refusal;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

const std::string kToken = "a_token_of_some_length";
const std::string kAuthorization = "Authorization: Bearer " + kToken + "\r\n";
const std::string kPing = R"({"command":"ping"})";
const std::string kPong = R"({"result":"pong"})";

std::string post(const std::string& headers) {
  return "POST /ng HTTP/1.1\r\nHost: localhost\r\n" + headers +
         "Content-Length: " + std::to_string(kPing.size()) + "\r\n\r\n" + kPing;
}

std::string upgrade(const std::string& headers, const std::string& path = "/ng") {
  return "GET " + path + " HTTP/1.1\r\nHost: 127.0.0.1:2225\r\n" + headers +
         "Upgrade: websocket\r\nConnection: Upgrade\r\n"
         "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
         "Sec-WebSocket-Protocol: ng.rtpengine.com\r\n\r\n";
}

/// A TCP connection to the door, which may become one with TLS.
class Client {
 public:
  Client(loop::EventLoop& loop, std::uint16_t port) : loop_(loop) {
    fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(fd_, loop::as_sockaddr(address), sizeof address), 0);
    fcntl(fd_, F_SETFL, O_NONBLOCK);
  }
  ~Client() {
    SSL_free(tls_);
    close(fd_);
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  int fd() const { return fd_; }

  /// `identity`: certificate and key to show, without ".pem"; empty: none.
  /// `name`: of the server that it asks for (SNI).
  bool greet(const std::string& trust, const std::string& identity, std::string name = "") {
    SSL_CTX* context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
    EXPECT_EQ(SSL_CTX_load_verify_locations(context, trust.c_str(), nullptr), 1);
    if (!identity.empty()) {
      const std::string key = identity + ".key";
      EXPECT_EQ(SSL_CTX_use_certificate_chain_file(context, (identity + ".pem").c_str()), 1);
      EXPECT_EQ(SSL_CTX_use_PrivateKey_file(context, key.c_str(), SSL_FILETYPE_PEM), 1);
    }
    tls_ = SSL_new(context);
    SSL_CTX_free(context);
    SSL_set_fd(tls_, fd_);
    if (!name.empty()) {
      SSL_ctrl(tls_, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, name.data());
    }
    return goes_on([&] { return SSL_connect(tls_); });
  }

  /// The serial number of the certificate that the door has shown.
  long shown() const {
    X509* certificate = SSL_get1_peer_certificate(tls_);
    const long serial = ASN1_INTEGER_get(X509_get0_serialNumber(certificate));
    X509_free(certificate);
    return serial;
  }

  bool send(const std::string& bytes) {
    return SSL_write(tls_, bytes.data(), static_cast<int>(bytes.size())) > 0;
  }

  /// What comes until `enough` is in it or the door has closed.
  std::string ask(const std::string& request, const std::string& enough) {
    std::string received;
    if (!goes_on([&] { return SSL_write(tls_, request.data(), static_cast<int>(request.size())); }))
      return received;
    std::string part(65536, '\0');
    int got = 0;
    while (received.find(enough) == std::string::npos && goes_on([&] {
             return got = SSL_read(tls_, part.data(), static_cast<int>(part.size()));
           })) {
      received.append(part, 0, static_cast<std::size_t>(got));
    }
    return received;
  }

 private:
  /// Turns the loop until `step` has done something; false when it never will.
  template <typename Step>
  bool goes_on(Step step) {
    int done = 0;
    ng::run_until(loop_, [&] {
      ERR_clear_error();
      done = step();
      const int why = SSL_get_error(tls_, done);
      return done > 0 || (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE);
    });
    return done > 0;
  }

  loop::EventLoop& loop_;
  int fd_;
  SSL* tls_ = nullptr;
};

class NgDoorTlsTest : public testing::Test {
 protected:
  NgDoorTlsTest() {
    files_.issue("node", {.alternative_names = "DNS:localhost"});
    files_.issue("client", {});
    options_.tcp = {IpAddress::v4(127, 0, 0, 1), 0};
    options_.tls = {files_.path("node.pem"), files_.path("node.key"), ""};
  }
  ~NgDoorTlsTest() override {
    clients_.clear();
    door_.reset();
  }

  void open(const std::string& token) {
    gate_ =
        std::make_unique<ng::Gate>(ng::GateRules{.token = token}, ng::MessageLimits{}, dispatcher_);
    auto door = NgDoor::open(loop_, options_, *gate_);
    ASSERT_TRUE(door) << door.error().message;
    door_ = std::move(*door);
  }
  void want_certificates() { options_.tls.client_trust_file = files_.trust(); }

  Client& connect() {
    clients_.push_back(std::make_unique<Client>(loop_, door_->tcp_address().port));
    return *clients_.back();
  }
  Client& greeted(const std::string& identity = "") {
    Client& client = connect();
    EXPECT_TRUE(client.greet(files_.trust(), identity.empty() ? "" : files_.path(identity)));
    return client;
  }
  /// The status of the answer; "" without any.
  std::string status(const std::string& identity, const std::string& request,
                     const std::string& name = "") {
    Client& client = connect();
    // By TLS 1.3 a client is done before the door has seen its certificate.
    if (!client.greet(files_.trust(), identity, name)) return "";
    return client.ask(request, "\r\n\r\n").substr(0, 12);
  }
  std::uint64_t refused(Refusal refusal) const {
    return dispatcher_.counters().refusals[static_cast<std::size_t>(refusal)];
  }

  CertificateFolder files_;
  NgDoorOptions options_;
  loop::EventLoop loop_;
  ng::RecordingCalls calls_;
  ng::Dispatcher dispatcher_{calls_, &loop::EventLoop::now, {}};
  std::unique_ptr<ng::Gate> gate_;
  std::unique_ptr<NgDoor> door_;
  std::vector<std::unique_ptr<Client>> clients_;
};

TEST_F(NgDoorTlsTest, T19_a_token_is_asked_for_behind_tls_too) {
  open(kToken);
  Client& client = greeted();
  for (int i = 0; i < 2; ++i) {
    EXPECT_THAT(client.ask(post(kAuthorization), kPong), EndsWith(kPong));
  }
  EXPECT_EQ(status("", post("")), "HTTP/1.1 401");
  EXPECT_EQ(status("", post(kAuthorization + "Origin: https://localhost\r\n")), "HTTP/1.1 403");
  EXPECT_EQ(status("", upgrade(kAuthorization)), "HTTP/1.1 101");
  EXPECT_EQ(status("", upgrade("")), "HTTP/1.1 401");
  EXPECT_EQ(status("", upgrade("", "/ng/" + kToken)), "HTTP/1.1 401");
  EXPECT_EQ(refused(Refusal::kTls), 0u);
}

TEST_F(NgDoorTlsTest, T19_the_token_in_a_path_comes_with_our_own_origin) {
  options_.token_in_path = true;
  open(kToken);
  const std::string path = "/ng/" + kToken;
  EXPECT_EQ(status("", upgrade("Origin: https://127.0.0.1\r\n", path)), "HTTP/1.1 101");
  EXPECT_EQ(status("", upgrade("Origin: http://127.0.0.1\r\n", path)), "HTTP/1.1 101");
  EXPECT_EQ(status("", upgrade("Origin: https://evil.example\r\n", path)), "HTTP/1.1 403");
}

TEST_F(NgDoorTlsTest, T19_what_is_no_tls_gets_no_answer) {
  open(kToken);
  for (const std::string& request :
       {post(kAuthorization), upgrade(kAuthorization), std::string(100, '\0'), post(kAuthorization),
        upgrade(kAuthorization), std::string(100, '\0')}) {
    const std::uint64_t before = refused(Refusal::kTls);
    Client& client = connect();
    // The first three are there when the connection is taken, the others come later.
    for (int turn = 0; before >= 3 && turn < 20; ++turn) {
      loop_.post([] {});
      loop_.run_once();
    }
    EXPECT_GT(send(client.fd(), request.data(), request.size(), MSG_NOSIGNAL), 0);
    std::string received;
    ng::run_until(loop_, [&] {
      char bytes[4096];
      const ssize_t got = read(client.fd(), bytes, sizeof bytes);
      if (got > 0) received.append(bytes, static_cast<std::size_t>(got));
      return got == 0 || (got < 0 && errno != EAGAIN);
    });
    EXPECT_EQ(received.find("HTTP"), std::string::npos) << received;
    ng::run_until(loop_, [&] { return refused(Refusal::kTls) == before + 1; });
  }
  EXPECT_THAT(greeted().ask(post(kAuthorization), kPong), EndsWith(kPong));
}

TEST_F(NgDoorTlsTest, T19_a_certificate_admits_where_there_is_no_token) {
  want_certificates();
  open("");
  CertificateFolder others;
  others.issue("stranger", {});
  files_.issue("server", {.purposes = "serverAuth"});
  files_.issue("old", {.valid_from_seconds = -7200, .valid_to_seconds = -3600});
  EXPECT_EQ(status(files_.path("client"), post("")), "HTTP/1.1 200");
  EXPECT_EQ(status(files_.path("client"), upgrade("")), "HTTP/1.1 101");
  EXPECT_EQ(refused(Refusal::kTls), 0u);
  for (const std::string& identity :
       {std::string(), others.path("stranger"), files_.path("server"), files_.path("old")}) {
    EXPECT_EQ(status(identity, post(kAuthorization)), "") << identity;
  }
  ng::run_until(loop_, [&] { return refused(Refusal::kTls) == 4; });
}

TEST_F(NgDoorTlsTest, T19_besides_a_token_both_are_needed) {
  want_certificates();
  open(kToken);
  EXPECT_EQ(status(files_.path("client"), post("")), "HTTP/1.1 401");
  EXPECT_EQ(status("", post(kAuthorization)), "");
  EXPECT_EQ(status(files_.path("client"), post(kAuthorization)), "HTTP/1.1 200");
  gate_->set_token("");
  EXPECT_EQ(status(files_.path("client"), post("")), "HTTP/1.1 200");
}

TEST_F(NgDoorTlsTest, T19_without_token_and_authorities_nobody_gets_in) {
  open("");
  EXPECT_EQ(status("", post(kAuthorization)), "HTTP/1.1 401");
  EXPECT_EQ(status(files_.path("client"), post("")), "HTTP/1.1 401");
}

TEST_F(NgDoorTlsTest, a_renewed_certificate_is_shown_and_a_broken_one_changes_nothing) {
  open(kToken);
  Client& first = greeted();
  std::ofstream(files_.path("node.pem")) << "no certificate\n";
  EXPECT_FALSE(door_->renew_certificates());
  EXPECT_EQ(greeted().shown(), first.shown());
  files_.issue("node", {.alternative_names = "DNS:localhost"});
  ASSERT_TRUE(door_->renew_certificates());
  EXPECT_NE(greeted().shown(), first.shown());
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(door_->renew_certificates());
  EXPECT_THAT(first.ask(post(kAuthorization), kPong), EndsWith(kPong)) << "files are the same";
}

TEST_F(NgDoorTlsTest, T19_who_names_a_server_meets_the_present_files_too) {
  want_certificates();
  open("");
  const auto trust = [this](const std::string& authorities) {
    std::ofstream(files_.path("next.pem")) << std::ifstream(authorities).rdbuf();
    rename(files_.path("next.pem").c_str(), options_.tls.client_trust_file.c_str());
  };
  CertificateFolder others;
  others.issue("client", {});
  const std::string own_authorities = files_.path("own.pem");
  std::ofstream(own_authorities) << std::ifstream(files_.trust()).rdbuf();
  trust(others.trust());
  ASSERT_TRUE(door_->renew_certificates());
  const auto asks = [&](const std::string& identity, const std::string& name) {
    Client& client = connect();
    if (!client.greet(own_authorities, identity, name)) return std::string();
    return client.ask(post(""), "\r\n\r\n").substr(0, 12);
  };
  for (const char* name : {"", "localhost", "l", "listener-0", "listener-1", "plain"}) {
    EXPECT_EQ(asks(files_.path("client"), name), "") << "was withdrawn: " << name;
    EXPECT_EQ(asks(others.path("client"), name), "HTTP/1.1 200") << name;
  }
  std::ofstream(options_.tls.client_trust_file) << "no certificate\n";
  EXPECT_FALSE(door_->renew_certificates());
  EXPECT_EQ(asks(others.path("client"), ""), "HTTP/1.1 200") << "nothing has changed";
}

TEST_F(NgDoorTlsTest, T19_a_page_in_a_browser_with_a_certificate_gets_nothing) {
  want_certificates();
  options_.token_in_path = true;
  open("");
  const std::string client = files_.path("client");
  EXPECT_EQ(status(client, upgrade("Origin: https://127.0.0.1\r\n")), "HTTP/1.1 401");
  EXPECT_EQ(status(client, upgrade("")), "HTTP/1.1 101");
}

TEST_F(NgDoorTlsTest, T19_a_body_that_comes_after_the_token_has_changed_is_for_nothing) {
  open(kToken);
  Client& client = greeted();
  const std::string request = post(kAuthorization);
  const std::string body = kPing.substr(5);
  const std::string head = request.substr(0, request.size() - body.size());
  ng::run_until(loop_, [&] { return client.send(head); });
  for (int turn = 0; turn < 50; ++turn) {
    loop_.post([] {});
    loop_.run_once();
  }
  gate_->set_token("another_token_of_some_length");
  EXPECT_THAT(client.ask(body, "\r\n\r\n"), StartsWith("HTTP/1.1 401"));
}

TEST_F(NgDoorTlsTest, T19_other_authorities_end_what_the_old_ones_let_in) {
  want_certificates();
  open("");
  Client& web_socket = greeted("client");
  EXPECT_THAT(web_socket.ask(upgrade(""), "\r\n\r\n"), StartsWith("HTTP/1.1 101 "));
  Client& open_connection = greeted("client");
  EXPECT_THAT(open_connection.ask(post(""), kPong), EndsWith(kPong));
  files_.issue("node", {.alternative_names = "DNS:localhost"});
  ASSERT_TRUE(door_->renew_certificates());
  door_->end_withdrawn();
  EXPECT_THAT(open_connection.ask(post(""), kPong), EndsWith(kPong)) << "the same authorities";
  CertificateFolder others;
  std::ofstream(files_.path("other.pem")) << std::ifstream(others.trust()).rdbuf();
  rename(files_.path("other.pem").c_str(), files_.trust().c_str());
  ASSERT_TRUE(door_->renew_certificates());
  EXPECT_EQ(refused(Refusal::kCertificate), 0u);
  door_->end_withdrawn();
  EXPECT_EQ(refused(Refusal::kCertificate), 1u);
  EXPECT_EQ(web_socket.ask("\x81\x80\x01\x02\x03\x04", "\x01"), "");
  EXPECT_EQ(open_connection.ask(post(""), "x").find("200"), std::string::npos);
}

TEST_F(NgDoorTlsTest, T19_handshakes_are_few_at_a_time_and_have_their_time) {
  options_.handshake_time = Milliseconds{300};
  open(kToken);
  for (int i = 0; i < 20; ++i) {
    // The head of a TLS record, and its body a byte now and then: never a whole ClientHello.
    EXPECT_EQ(send(connect().fd(), "\x16\x03\x01\x3f\xff", 5, MSG_NOSIGNAL), 5);
  }
  const Instant begin = loop::EventLoop::now();
  Instant sent = begin;
  std::size_t pieces = 0;
  ng::run_until(loop_, [&] {
    const Instant now = loop::EventLoop::now();
    if (now - sent > Milliseconds{20}) {
      for (const auto& client : clients_) send(client->fd(), "\x01", 1, MSG_NOSIGNAL);
      sent = now;
      ++pieces;
    }
    return dispatcher_.counters().connections_timed_out == 16;
  });
  EXPECT_GE(loop::EventLoop::now() - begin, Milliseconds{250});
  EXPECT_GT(pieces, 5u) << "each of them would begin the time anew";
  EXPECT_EQ(refused(Refusal::kConnections), 4u);
  EXPECT_EQ(refused(Refusal::kTls), 0u) << "counted once, as late";
  for (int turn = 0; turn < 50; ++turn) {  // in which the library takes leave of them
    loop_.post([] {});
    loop_.run_once();
  }
  EXPECT_THAT(greeted().ask(post(kAuthorization), kPong), EndsWith(kPong));
}

TEST_F(NgDoorTlsTest, T19_with_tls_it_may_listen_for_others) {
  options_.tcp = {IpAddress::v4(0, 0, 0, 0), 0};
  open(kToken);
  EXPECT_EQ(status("", upgrade(kAuthorization)), "HTTP/1.1 101")
      << "by the address it was asked at";
}

TEST_F(NgDoorTlsTest, a_file_that_cannot_be_used_is_named) {
  options_.tls.private_key_file = files_.path("client.key");
  gate_ =
      std::make_unique<ng::Gate>(ng::GateRules{.token = kToken}, ng::MessageLimits{}, dispatcher_);
  const auto door = NgDoor::open(loop_, options_, *gate_);
  ASSERT_FALSE(door);
  EXPECT_THAT(door.error().message, HasSubstr("node.pem"));
}

}  // namespace
}  // namespace turnpike::api
