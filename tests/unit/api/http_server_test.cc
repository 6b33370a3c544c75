// The HTTP server over real sockets: answers, refusals, limits, clients that behave badly.
#include "control/api/http_server.h"

#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace turnpike::api {
namespace {

using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

class Growing final : public BodyStream {
 public:
  void add(const std::string& text) {
    waiting_ += text;
    tell();
  }
  void end() {
    ended_ = true;
    tell();
  }
  std::string take(std::size_t bytes_max) override {
    const std::string part = waiting_.substr(0, bytes_max);
    waiting_.erase(0, part.size());
    return part;
  }
  bool ended() const override { return ended_ && waiting_.empty(); }

 private:
  std::string waiting_;
  bool ended_ = false;
};

class HttpServerTest : public testing::Test {
 protected:
  HttpServerTest() {
    char folder[] = "/tmp/tp-http-XXXXXX";
    folder_ = mkdtemp(folder);
    options_.unix_path = folder_ + "/api.sock";
    options_.tcp = SocketAddress{IpAddress::v4(127, 0, 0, 1), 0};
    options_.host_names = {"Edge.Example.com"};
    options_.api = SocketAddress{IpAddress::v4(127, 0, 0, 1), 0};
    auto server = HttpServer::start(loop_, options_, [this](const Request& request, Respond reply) {
      ++handled_;
      last_ = request;
      if (request.path == "/later") {
        later_ = std::move(reply);
      } else if (request.path == "/stream") {
        Response response;
        response.stream = stream_;
        reply(std::move(response));
      } else if (request.path == "/big") {
        reply({200, "text/plain", std::string(3000000, 'x') + "end"});
      } else {
        reply({200, "text/plain", "path=" + request.path + "\n"});
      }
    });
    EXPECT_TRUE(server) << server.error().message;
    server_ = std::move(*server);
  }
  ~HttpServerTest() override {
    server_.reset();
    rmdir(folder_.c_str());
  }

  int connect_tcp() { return connect_to(server_->tcp_address()); }

  static int connect_to(const SocketAddress& listener) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(listener.port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
  }

  int connect_unix() {
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    options_.unix_path.copy(address.sun_path, sizeof address.sun_path - 1);
    EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
  }

  /// Runs the loop until the peer has closed or `enough` is in what arrived.
  std::string receive(int fd, const std::string& enough = "") {
    std::string received;
    const Instant deadline = loop::EventLoop::now() + Seconds{10};
    for (;;) {
      if (loop::EventLoop::now() > deadline) {
        ADD_FAILURE() << "neither closed nor enough after ten seconds";
        return received;
      }
      char bytes[65536];
      const ssize_t got = read(fd, bytes, sizeof bytes);
      if (got == 0 || (got < 0 && errno != EAGAIN)) return received;
      if (got > 0) received.append(bytes, static_cast<std::size_t>(got));
      if (!enough.empty() && received.find(enough) != std::string::npos) return received;
      if (got < 0) {
        loop_.post([] {});
        loop_.run_once();
      }
    }
  }

  std::string ask(int fd, const std::string& request, const std::string& enough) {
    EXPECT_EQ(write(fd, request.data(), request.size()), static_cast<ssize_t>(request.size()));
    return receive(fd, enough);
  }

  std::string get(const std::string& path, const std::string& headers, const std::string& enough) {
    const int fd = connect_tcp();
    std::string answer = ask(fd, "GET " + path + " HTTP/1.1\r\n" + headers + "\r\n", enough);
    close(fd);
    return answer;
  }

  /// `request` without the empty line, through the kApi door; "API" becomes its address.
  std::string ask_api(std::string request, const std::string& enough) {
    const std::string own = to_string(server_->api_address());
    for (std::size_t at = 0; (at = request.find("API", at)) != std::string::npos;) {
      request.replace(at, 3, own);
    }
    const int fd = connect_to(server_->api_address());
    std::string answer = ask(fd, request + "\r\n", enough);
    close(fd);
    return answer;
  }

  std::string folder_;
  HttpServerOptions options_;
  Request last_;
  loop::EventLoop loop_;
  std::unique_ptr<HttpServer> server_;
  std::shared_ptr<Growing> stream_;
  Respond later_;
  int handled_ = 0;
};

TEST_F(HttpServerTest, answers_over_tcp_and_unix_socket) {
  EXPECT_THAT(get("/a/b", "Host: localhost\r\n", "path"),
              testing::AllOf(StartsWith("HTTP/1.1 200 OK\r\n"), HasSubstr("content-length: 10\r\n"),
                             HasSubstr("x-content-type-options: nosniff\r\n"),
                             EndsWith("\r\n\r\npath=/a/b\n")));
  const int fd = connect_unix();
  const std::string request = "GET /v1/status HTTP/1.1\r\nHost: anything\r\n\r\n";
  EXPECT_THAT(ask(fd, request, "path="), EndsWith("path=/v1/status\n"));
  EXPECT_THAT(ask(fd, request, "path="), EndsWith("path=/v1/status\n")) << "connection goes on";
  close(fd);
}

TEST_F(HttpServerTest, unix_socket_is_for_owner_and_group) {
  struct stat status {};
  ASSERT_EQ(stat(options_.unix_path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0660u);
}

TEST_F(HttpServerTest, head_has_no_body) {
  const int fd = connect_tcp();
  const std::string answer =
      ask(fd, "HEAD /x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "\r\n\r\n");
  EXPECT_THAT(answer, HasSubstr("content-length: 8\r\n"));
  EXPECT_THAT(answer, EndsWith("\r\n\r\n"));
  close(fd);
}

TEST_F(HttpServerTest, large_answers_arrive_whole) {
  const int fd = connect_tcp();
  const std::string answer = ask(fd, "GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n", "end");
  const std::size_t body = answer.find("\r\n\r\n");
  ASSERT_NE(body, std::string::npos);
  EXPECT_EQ(answer.size() - body - 4, 3000003u);
  close(fd);
}

TEST_F(HttpServerTest, a_stream_comes_as_it_grows_and_ends_with_its_connection) {
  stream_ = std::make_shared<Growing>();
  const int fd = connect_tcp();
  EXPECT_THAT(ask(fd, "GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n", "\r\n\r\n"),
              AllOf(StartsWith("HTTP/1.1 200"), Not(HasSubstr("content-length"))));
  stream_->add(std::string(100000, 'x') + "middle");
  EXPECT_EQ(receive(fd, "middle").size(), 100006u);
  stream_->add("the end");
  stream_->end();
  EXPECT_EQ(receive(fd), "the end") << "and then the connection is closed";
  close(fd);
}

TEST_F(HttpServerTest, a_stream_is_let_go_when_its_client_leaves) {
  stream_ = std::make_shared<Growing>();
  const int fd = connect_tcp();
  ask(fd, "GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n", "\r\n\r\n");
  const std::weak_ptr<Growing> held = std::exchange(stream_, nullptr);
  ASSERT_FALSE(held.expired());
  close(fd);
  const Instant deadline = loop::EventLoop::now() + Seconds{10};
  while (!held.expired() && loop::EventLoop::now() < deadline) {
    if (const auto open = held.lock()) open->add("");
    loop_.run_once();
  }
  EXPECT_TRUE(held.expired());
}

TEST_F(HttpServerTest, answer_may_come_later) {
  const int fd = connect_tcp();
  const std::string request = "GET /later HTTP/1.1\r\nHost: localhost\r\n\r\n";
  ASSERT_EQ(write(fd, request.data(), request.size()), static_cast<ssize_t>(request.size()));
  while (!later_) loop_.run_once();
  later_({200, "text/plain", "at last"});
  later_({200, "text/plain", "a second answer is ignored"});
  EXPECT_THAT(receive(fd, "at last"), EndsWith("\r\n\r\nat last"));
  close(fd);
}

TEST_F(HttpServerTest, answer_to_a_client_that_left_is_harmless) {
  const int fd = connect_tcp();
  const std::string request = "GET /later HTTP/1.1\r\nHost: localhost\r\n\r\n";
  ASSERT_EQ(write(fd, request.data(), request.size()), static_cast<ssize_t>(request.size()));
  while (!later_) loop_.run_once();
  close(fd);
  EXPECT_THAT(get("/x", "Host: localhost\r\n", "path"), HasSubstr("path=/x"));
  later_({200, "text/plain", "too late"});
  EXPECT_THAT(get("/x", "Host: localhost\r\n", "path"), HasSubstr("path=/x"));
}

TEST_F(HttpServerTest, server_may_go_while_requests_wait) {
  const int fd = connect_tcp();
  const int idle = connect_tcp();
  const std::string request = "GET /later HTTP/1.1\r\nHost: localhost\r\n\r\n";
  ASSERT_EQ(write(fd, request.data(), request.size()), static_cast<ssize_t>(request.size()));
  while (!later_) loop_.run_once();
  server_.reset();
  later_({200, "text/plain", "too late"});
  EXPECT_THAT(receive(fd), IsEmpty());
  EXPECT_NE(access(options_.unix_path.c_str(), F_OK), 0) << "the socket file is gone";
  close(fd);
  close(idle);
}

TEST_F(HttpServerTest, T19_foreign_host_names_and_origins_are_refused) {
  for (const char* headers :
       {"Host: evil.example\r\n", "Host: localhost.evil.example\r\n", "Host: 127.0.0.2\r\n",
        "Host: \r\n", "Host: localhost\r\nOrigin: http://localhost\r\n",
        "Host: localhost\r\nOrigin: null\r\n", "Host: 127.0.0.1@evil.example\r\n", ""}) {
    handled_ = 0;
    EXPECT_THAT(get("/metrics", headers, "allowed\n"), StartsWith("HTTP/1.1 403 ")) << headers;
    EXPECT_EQ(handled_, 0) << headers;
  }
  for (const char* headers : {"Host: localhost:9464\r\n", "Host: 127.0.0.1\r\n",
                              "Host: 127.0.0.1:1\r\n", "Host: EDGE.example.com\r\n"}) {
    EXPECT_THAT(get("/metrics", headers, "path"), StartsWith("HTTP/1.1 200 ")) << headers;
  }
  EXPECT_GE(server_->counters().refused, 7u);
}

TEST_F(HttpServerTest, T19_the_api_door_lets_its_own_pages_ask) {
  for (const char* headers :
       {"Host: API\r\nOrigin: http://API\r\n", "Host: API\r\n", "Host: localhost:1\r\n",
        "Host: edge.example.com\r\nOrigin: http://edge.example.com\r\n"}) {
    EXPECT_THAT(ask_api("GET /a HTTP/1.1\r\n" + std::string(headers), "path"),
                StartsWith("HTTP/1.1 200 "))
        << headers;
    EXPECT_EQ(last_.door, Door::kApi);
    EXPECT_EQ(to_string(last_.source), "127.0.0.1");
  }
  for (const char* headers :
       {"Host: evil.example\r\n", "Host: evil.example\r\nOrigin: http://evil.example\r\n",
        "Host: API\r\nOrigin: http://localhost\r\n", "Host: API\r\nOrigin: null\r\n",
        "Host: API\r\nOrigin: https://API\r\n", "Host: API\r\nOrigin: http://API.evil\r\n"}) {
    handled_ = 0;
    EXPECT_THAT(ask_api("GET /a HTTP/1.1\r\n" + std::string(headers), "allowed\n"),
                StartsWith("HTTP/1.1 403 "))
        << headers;
    EXPECT_EQ(handled_, 0) << headers;
  }
}

TEST_F(HttpServerTest, the_api_door_hears_query_and_authorization) {
  ask_api(
      "GET /v1/sessions?search=a%20b%26c&limit=25&flag&limit=9 HTTP/1.1\r\nHost: API\r\n"
      "Authorization: Bearer abc\r\n",
      "path");
  EXPECT_EQ(last_.path, "/v1/sessions");
  EXPECT_EQ(last_.query.at("search"), "a b&c");
  EXPECT_EQ(last_.query.at("limit"), "25");
  EXPECT_EQ(last_.query.at("flag"), "");
  EXPECT_EQ(last_.authorization, "Bearer abc");
  ask_api("GET /" + std::string("?") + std::string(900, 'x') + "&y=1 HTTP/1.1\r\nHost: API\r\n",
          "path");
  EXPECT_LE(last_.query.size(), 2u);
}

TEST_F(HttpServerTest, a_query_is_taken_whole_or_refused) {
  std::string names = "n0=0";
  for (int i = 1; i < 16; ++i) names += "&n" + std::to_string(i) + "=" + std::to_string(i);
  ask_api("GET /a?" + names + " HTTP/1.1\r\nHost: API\r\n", "path");
  EXPECT_EQ(last_.query.size(), 16u);
  handled_ = 0;
  for (const std::string& query : {names + "&limit=1", "search=" + std::string(1100, 'x'),
                                   "a=1&search=" + std::string(1100, 'x') + "&limit=1"}) {
    EXPECT_THAT(ask_api("GET /a?" + query + " HTTP/1.1\r\nHost: API\r\n", "too long\n"),
                StartsWith("HTTP/1.1 400 "));
  }
  EXPECT_EQ(handled_, 0);
}

TEST_F(HttpServerTest, a_body_that_trickles_holds_no_connection) {
  for (const char* body : {"Content-Length: 1000\r\n", "Transfer-Encoding: chunked\r\n"}) {
    const int fd = connect_to(server_->api_address());
    const std::string answer =
        ask(fd, "GET /a HTTP/1.1\r\nHost: localhost\r\n" + std::string(body) + "\r\n", "");
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 ")) << "and is closed";
    EXPECT_THAT(answer, HasSubstr("connection: close\r\n"));
    close(fd);
  }
}

TEST_F(HttpServerTest, the_api_door_takes_post_without_reading_a_body) {
  EXPECT_THAT(ask_api("POST /v1/drain HTTP/1.1\r\nHost: API\r\nContent-Length: 0\r\n", "path="),
              StartsWith("HTTP/1.1 200 "));
  EXPECT_EQ(last_.method, Method::kPost);
  handled_ = 0;
  const std::string answer = ask_api(
      "POST /v1/drain HTTP/1.1\r\nHost: API\r\nContent-Length: 5\r\n\r\nhelloGET /b HTTP/1.1\r\n"
      "Host: API\r\n",
      "\x01");
  EXPECT_LE(handled_, 1) << answer;
  EXPECT_NE(last_.path, "/b") << "what follows is not taken for a request";
  for (const char* method : {"PUT", "DELETE", "OPTIONS", "PATCH"}) {
    handled_ = 0;
    ask_api(std::string(method) + " /v1/drain HTTP/1.1\r\nHost: API\r\nContent-Length: 0\r\n",
            "\x01");
    EXPECT_EQ(handled_, 0) << method;
  }
}

/// With a certificate of its own for the kApi door.
class HttpTlsTest : public HttpServerTest {
 protected:
  HttpTlsTest() {
    const std::string key = folder_ + "/key.pem";
    const std::string certificate = folder_ + "/cert.pem";
    const std::string make =
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "
        "-days 2 -subj /CN=test -keyout " +
        key + " -out " + certificate + " 2>/dev/null";
    EXPECT_EQ(std::system(make.c_str()), 0);
    options_.tls.certificate_file = certificate;
    options_.tls.private_key_file = key;
    options_.unix_path.clear();
    options_.handshake_time = Milliseconds{300};
    server_.reset();
    auto server = HttpServer::start(loop_, options_, [](const Request&, const Respond& reply) {
      reply({200, "text/plain", "here\n"});
    });
    EXPECT_TRUE(server) << server.error().message;
    server_ = std::move(*server);
    unlink(key.c_str());
    unlink(certificate.c_str());
  }
};

TEST_F(HttpTlsTest, T19_handshakes_are_few_at_a_time_and_have_their_time) {
  std::vector<int> open;
  for (int i = 0; i < 20; ++i) open.push_back(connect_to(server_->api_address()));
  // The head of a TLS record, and its body a byte now and then: never a whole ClientHello.
  for (const int fd : open) EXPECT_EQ(send(fd, "\x16\x03\x01\x3f\xff", 5, MSG_NOSIGNAL), 5);
  const auto ended = [](int fd) {
    char byte = 0;
    const ssize_t got = read(fd, &byte, 1);
    return got == 0 || (got < 0 && errno != EAGAIN);
  };
  const Instant begin = loop::EventLoop::now();
  Instant sent = begin;
  while (!open.empty() && loop::EventLoop::now() - begin < Seconds{10}) {
    const Instant now = loop::EventLoop::now();
    loop_.post([] {});
    loop_.run_once();
    if (now - sent > Milliseconds{20}) {
      for (const int fd : open) static_cast<void>(send(fd, "\x01", 1, MSG_NOSIGNAL));
      sent = now;
    }
    std::erase_if(open, [&](int fd) { return ended(fd) && close(fd) == 0; });
    if (now - begin < Milliseconds{200}) {
      EXPECT_GE(open.size(), 16u);
    }
  }
  EXPECT_TRUE(open.empty());
  EXPECT_EQ(server_->counters().connections_refused, 4u);
  EXPECT_EQ(server_->counters().handshakes_late, 16u);
}

TEST_F(HttpServerTest, a_crowd_on_tcp_leaves_the_unix_socket_free) {
  std::vector<int> idle;
  for (int i = 0; i < 64; ++i) idle.push_back(connect_tcp());
  const int one_too_many = connect_tcp();
  EXPECT_THAT(receive(one_too_many), IsEmpty()) << "is closed at once";
  EXPECT_EQ(server_->counters().connections_refused, 1u);
  const int fd = connect_unix();
  EXPECT_THAT(ask(fd, "GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n", "path="),
              EndsWith("path=/v1/status\n"));
  EXPECT_EQ(server_->counters().connections_refused, 1u);
  for (const int each : idle) close(each);
  close(one_too_many);
  close(fd);
}

TEST_F(HttpServerTest, only_reading_methods) {
  for (const char* method : {"POST", "PUT", "DELETE", "OPTIONS", "PATCH"}) {
    handled_ = 0;
    const int fd = connect_tcp();
    const std::string answer =
        ask(fd,
            std::string(method) +
                " /v1/status HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
            "\x01");
    EXPECT_TRUE(answer.empty() || answer.starts_with("HTTP/1.1 4")) << answer;
    EXPECT_EQ(handled_, 0) << method;
    close(fd);
  }
}

TEST_F(HttpServerTest, upgrades_are_refused) {
  const std::string answer =
      get("/",
          "Host: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
          "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n",
          "\x01");
  EXPECT_THAT(answer, Not(HasSubstr(" 101 ")));
}

TEST_F(HttpServerTest, connect_is_closed_at_every_door) {
  const std::string request = "CONNECT /x HTTP/1.1\r\nHost: localhost\r\n\r\n";
  for (int i = 0; i < 70; ++i) {
    for (const int fd : {connect_tcp(), connect_to(server_->api_address()), connect_unix()}) {
      EXPECT_THAT(ask(fd, request, ""), Not(HasSubstr("200")));
      close(fd);
      ASSERT_FALSE(HasFailure());
    }
  }
  EXPECT_EQ(handled_, 0);
  EXPECT_GE(server_->counters().refused, 210u);
  EXPECT_EQ(server_->counters().connections_refused, 0u);
}

TEST_F(HttpServerTest, garbage_and_floods_leave_it_serving) {
  std::string garbage(200000, '\0');
  for (std::size_t i = 0; i < garbage.size(); ++i) garbage[i] = static_cast<char>(i * 131 + i / 7);
  for (const std::string& request :
       {garbage, "GET /" + std::string(100000, 'a') + " HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\n" + std::string(100000, 'h') + ": x\r\n\r\n",
        std::string("\r\n\r\n\r\n"), std::string("GET\r\n\r\n"),
        std::string("GET /%zz%00 HTTP/1.1\r\nHost: localhost\r\n\r\n")}) {
    const int fd = connect_tcp();
    EXPECT_NE(send(fd, request.data(), request.size(), MSG_NOSIGNAL), 0);
    shutdown(fd, SHUT_WR);
    receive(fd);
    close(fd);
  }
  std::vector<int> idle;
  for (int i = 0; i < 100; ++i) {
    idle.push_back(connect_tcp());
    loop_.post([] {});
    loop_.run_once();
  }
  EXPECT_THAT(receive(idle.back()), IsEmpty()) << "one too many is closed at once";
  for (const int fd : idle) close(fd);
  std::string answer;
  for (int i = 0; i < 1000 && answer.empty(); ++i) {
    answer = get("/x", "Host: localhost\r\n", "path");
  }
  EXPECT_THAT(answer, HasSubstr("path=/x"));
}

TEST_F(HttpServerTest, a_taken_port_is_named) {
  loop::EventLoop other;
  HttpServerOptions options;
  options.tcp = server_->tcp_address();
  const auto second = HttpServer::start(other, options, [](const Request&, const Respond&) {});
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error().message,
              testing::AllOf(HasSubstr("cannot listen on tcp " + to_string(options.tcp)),
                             HasSubstr("Address already in use; stop what uses it")));
}

TEST(HttpHost, own_names) {
  const SocketAddress v6 = *parse_socket_address("[2001:db8::1]:9464");
  EXPECT_TRUE(is_own_host("[2001:DB8::1]:9464", v6, {}));
  EXPECT_TRUE(is_own_host("[2001:db8::1]", v6, {}));
  EXPECT_FALSE(is_own_host("2001:db8::1", v6, {}));
  EXPECT_FALSE(is_own_host("", v6, {}));
  EXPECT_FALSE(is_own_host("example.com", v6, {"www.example.com"}));
}

}  // namespace
}  // namespace turnpike::api
