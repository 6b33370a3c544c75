// NG over HTTP and WebSocket on real sockets: who is let in, framing, limits, clients that leave.
#include "control/api/ng_door.h"

#include <cerrno>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/ng/dispatcher.h"
#include "tests/unit/ng/support.h"

namespace turnpike::api {
namespace {

using ng::Refusal;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

const std::string kToken = "a token of some length";
const std::string kAuthorized = "Host: localhost\r\nAuthorization: Bearer " + kToken + "\r\n";
const std::string kPing = R"({"command":"ping"})";
const std::string kPong = R"({"result":"pong"})";

class NgDoorTest : public testing::Test {
 protected:
  void open(ng::GateRules rules = {}, NgDoorOptions options = {}) {
    rules.token = kToken;
    options.tcp = {IpAddress::v4(127, 0, 0, 1), 0};
    options.host_names = {"ng.example.com"};
    gate_ = std::make_unique<ng::Gate>(std::move(rules), ng::MessageLimits{}, dispatcher_);
    auto door = NgDoor::open(loop_, options, *gate_);
    ASSERT_TRUE(door) << door.error().message;
    door_ = std::move(*door);
  }
  ~NgDoorTest() override {
    for (const int fd : open_) close(fd);
    door_.reset();
  }

  int connect_tcp() {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(door_->tcp_address().port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(fd, loop::as_sockaddr(address), sizeof address), 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    open_.push_back(fd);
    return fd;
  }

  /// Runs the loop until the peer has closed or `enough` is in what arrived.
  std::string receive(int fd, const std::string& enough = "") {
    std::string received;
    bool ended = false;
    ng::run_until(loop_, [&] {
      char bytes[65536];
      const ssize_t got = read(fd, bytes, sizeof bytes);
      if (got > 0) received.append(bytes, static_cast<std::size_t>(got));
      ended = got == 0 || (got < 0 && errno != EAGAIN);
      return ended || (!enough.empty() && received.find(enough) != std::string::npos);
    });
    return received;
  }

  void send_all(int fd, std::string_view bytes) {
    ng::run_until(loop_, [&] {
      const ssize_t sent = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent > 0) bytes.remove_prefix(static_cast<std::size_t>(sent));
      return bytes.empty() || (sent < 0 && errno != EAGAIN);
    });
  }

  static std::string post(const std::string& headers, const std::string& body,
                          const std::string& path = "/ng") {
    return "POST " + path + " HTTP/1.1\r\n" + headers +
           "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  }

  std::string ask(const std::string& request, const std::string& enough = "") {
    const int fd = connect_tcp();
    send_all(fd, request);
    return receive(fd, enough);
  }

  std::uint64_t refused(Refusal refusal) const {
    return dispatcher_.counters().refusals[static_cast<std::size_t>(refusal)];
  }

  // ---- WebSocket

  static std::string upgrade(const std::string& headers,
                             const std::string& protocol = "ng.rtpengine.com",
                             const std::string& path = "/ng") {
    return "GET " + path + " HTTP/1.1\r\n" + headers +
           "Upgrade: websocket\r\nConnection: Upgrade\r\n"
           "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n" +
           (protocol.empty() ? "" : "Sec-WebSocket-Protocol: " + protocol + "\r\n") + "\r\n";
  }

  /// RFC 6455 section 5.2, masked with zeros.
  static std::string frame(std::string_view payload, char first = '\x81') {
    std::string bytes(1, first);
    const auto put = [&bytes](std::size_t byte) { bytes += static_cast<char>(byte); };
    if (payload.size() < 126) {
      put(0x80 | payload.size());
    } else if (payload.size() < 65536) {
      put(0x80 | 126);
      put(payload.size() >> 8);
      put(payload.size() & 0xff);
    } else {
      put(0x80 | 127);
      for (int shift = 56; shift >= 0; shift -= 8) put((payload.size() >> shift) & 0xff);
    }
    return bytes + std::string(4, '\0') + std::string(payload);
  }

  int connect_web_socket() {
    const int fd = connect_tcp();
    send_all(fd, upgrade(kAuthorized));
    const std::string answer = receive(fd, "\r\n\r\n");
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 101 "));
    EXPECT_THAT(answer, HasSubstr("ng.rtpengine.com"));
    return fd;
  }

  loop::EventLoop loop_;
  ng::RecordingCalls calls_;
  ng::Dispatcher dispatcher_{calls_, &loop::EventLoop::now, {}};
  std::unique_ptr<ng::Gate> gate_;
  std::unique_ptr<NgDoor> door_;
  std::vector<int> open_;
};

TEST_F(NgDoorTest, post_is_answered_in_its_form_and_the_connection_goes_on) {
  open();
  const int fd = connect_tcp();
  for (int i = 0; i < 3; ++i) {
    send_all(fd, post(kAuthorized, kPing));
    EXPECT_THAT(receive(fd, kPong), testing::AllOf(StartsWith("HTTP/1.1 200 OK\r\n"),
                                                   HasSubstr("content-type: application/json\r\n"),
                                                   EndsWith("\r\n\r\n" + kPong)));
  }
  send_all(fd, post(kAuthorized, "1_2 d7:command4:pinge"));
  EXPECT_THAT(receive(fd, "ponge"), EndsWith("\r\n\r\n1_2 d6:result4:ponge"));
}

TEST_F(NgDoorTest, large_messages_come_and_go_whole) {
  calls_.answer_with = {{"result", "ok"}, {"sdp", std::string(300000, 's')}};
  open();
  const std::string sdp(60000, 'v');
  const std::string answer =
      ask(post(kAuthorized,
               R"({"command":"offer","call-id":"c","from-tag":"f","sdp":")" + sdp + R"("})"),
          "s\"}");
  EXPECT_EQ(answer.size() - answer.find("\r\n\r\n") - 4, 300000u + 24);
  ASSERT_EQ(calls_.seen.size(), 1u);
  EXPECT_EQ(calls_.seen[0].request.sdp, sdp);
}

TEST_F(NgDoorTest, T19_token_host_and_origin_are_asked_for_before_anything_else) {
  open();
  struct Case {
    std::string headers;
    std::string status;
    Refusal refusal;
  };
  const std::string token = "Authorization: Bearer " + kToken + "\r\n";
  for (const Case& one :
       {Case{"Host: localhost\r\n", "401", Refusal::kToken},
        Case{"Host: localhost\r\nAuthorization: Bearer wrong\r\n", "401", Refusal::kToken},
        Case{"Host: localhost\r\nAuthorization: Basic " + kToken + "\r\n", "401", Refusal::kToken},
        Case{"Host: evil.example\r\n" + token, "403", Refusal::kHost},
        Case{"Host: 127.0.0.2\r\n" + token, "403", Refusal::kHost},
        Case{token, "403", Refusal::kHost},
        Case{kAuthorized + "Origin: http://localhost\r\n", "403", Refusal::kOrigin},
        Case{kAuthorized + "Origin: null\r\n", "403", Refusal::kOrigin}}) {
    for (const std::string& request : {post(one.headers, kPing), upgrade(one.headers)}) {
      const std::uint64_t before = refused(one.refusal);
      EXPECT_THAT(ask(request), StartsWith("HTTP/1.1 " + one.status + " ")) << request;
      EXPECT_EQ(refused(one.refusal), before + 1) << request;
    }
  }
  EXPECT_EQ(dispatcher_.counters().commands[static_cast<std::size_t>(ng::Command::kPing)].requests,
            0u);
  EXPECT_THAT(ask(post("Host: NG.example.com:1\r\n" + token, kPing), kPong), EndsWith(kPong));
}

TEST_F(NgDoorTest, T19_what_is_withdrawn_ends_web_sockets_and_requests_of_open_connections) {
  open();
  const int asking = connect_web_socket();
  const int idle = connect_web_socket();
  const int post_again = connect_tcp();
  send_all(post_again, post(kAuthorized, kPing));
  receive(post_again, kPong);
  send_all(asking, frame(kPing));
  EXPECT_THAT(receive(asking, kPong), EndsWith(kPong));
  door_->end_withdrawn();
  gate_->set_token(kToken);
  send_all(asking, frame(kPing));
  EXPECT_THAT(receive(asking, kPong), EndsWith(kPong)) << "the same token, read anew";
  gate_->set_token("another token than that");
  calls_.seen.clear();
  send_all(asking, frame(R"({"command":"delete","call-id":"c","from-tag":"f"})"));
  const std::string policy_violation = "\x88\x02\x03\xf0";
  EXPECT_EQ(receive(asking, policy_violation), policy_violation);
  EXPECT_EQ(refused(Refusal::kToken), 1u);
  door_->end_withdrawn();
  EXPECT_EQ(receive(idle), "");
  EXPECT_GE(refused(Refusal::kToken), 2u);
  gate_->set_token(kToken);
  gate_->set_rules({.is_client = [](const IpAddress&) { return false; }});
  send_all(post_again, post(kAuthorized, kPing));
  EXPECT_THAT(receive(post_again), StartsWith("HTTP/1.1 403 "));
  EXPECT_EQ(refused(Refusal::kNetwork), 1u);
  EXPECT_TRUE(calls_.seen.empty());
}

TEST_F(NgDoorTest, connect_is_closed) {
  open();
  for (int i = 0; i < 70; ++i) {
    const int fd = connect_tcp();
    send_all(fd, "CONNECT /ng HTTP/1.1\r\n" + kAuthorized + "\r\n");
    EXPECT_EQ(receive(fd), "");
    ASSERT_FALSE(HasFailure());
  }
  EXPECT_GE(refused(Refusal::kProtocol), 70u);
  EXPECT_EQ(refused(Refusal::kConnections), 0u);
}

TEST_F(NgDoorTest, what_follows_a_message_is_no_second_one) {
  calls_.hold = true;
  open();
  const std::string query = R"({"command":"query","call-id":"c"})";
  for (const std::string& behind : {post(kAuthorized, query), std::string("\r\n")}) {
    calls_.seen.clear();
    const int fd = connect_tcp();
    send_all(fd, post(kAuthorized, query) + behind);
    ng::run_until(loop_, [&] { return !calls_.held.empty(); });
    for (int turn = 0; turn < 50; ++turn) {
      loop_.post([] {});
      loop_.run_once();
    }
    EXPECT_EQ(calls_.held.size(), 1u);
    calls_.release_all();
    const std::string answer = receive(fd);
    EXPECT_THAT(answer, EndsWith(R"({"result":"ok","sdp":"late"})"));
    EXPECT_EQ(answer.find("HTTP/1.1", 1), std::string::npos) << answer;
  }
}

TEST_F(NgDoorTest, a_refusal_of_what_follows_leaves_the_reply_whole) {
  calls_.answer_with = {{"result", "ok"}, {"sdp", std::string(3000000, 's') + "end"}};
  open({.requests_per_second_max = 1});
  const int fd = connect_tcp();
  send_all(fd, post(kAuthorized, R"({"command":"query","call-id":"c"})"));
  ng::run_until(loop_, [&] { return calls_.seen.size() == 1; });
  std::string begin(1000, '\0');
  ng::run_until(loop_, [&] { return read(fd, begin.data(), begin.size()) > 0; });
  for (int i = 0; i < 3; ++i) {
    send_all(fd, "\r\n");
    for (int turn = 0; turn < 20; ++turn) {
      loop_.post([] {});
      loop_.run_once();
    }
  }
  const std::string rest = receive(fd, "end\"}");
  EXPECT_EQ(begin.find("Too many"), std::string::npos);
  EXPECT_GT(rest.size(), 2999000u);
  EXPECT_THAT(rest, EndsWith("end\"}"));
  EXPECT_EQ(rest.find("Too many"), std::string::npos);
}

TEST_F(NgDoorTest, only_post_to_ng) {
  open();
  EXPECT_THAT(ask("GET /ng HTTP/1.1\r\n" + kAuthorized + "\r\n"), StartsWith("HTTP/1.1 404 "));
  EXPECT_THAT(ask(post(kAuthorized, kPing, "/")), StartsWith("HTTP/1.1 404 "));
  EXPECT_THAT(ask(post(kAuthorized, kPing, "/ng/x")), StartsWith("HTTP/1.1 404 "));
  EXPECT_EQ(refused(Refusal::kProtocol), 3u);
}

TEST_F(NgDoorTest, statuses_tell_bad_messages_and_quotas) {
  open({.requests_per_second_max = 1});
  EXPECT_THAT(ask(post(kAuthorized, "nonsense"), "error"), StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(ask(post(kAuthorized, ""), "error"), StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(ask(post(kAuthorized, kPing), kPong), StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(ask(post(kAuthorized, kPing), "}"),
              testing::AllOf(StartsWith("HTTP/1.1 429 "), HasSubstr("Too many requests a second")));
}

TEST_F(NgDoorTest, body_has_a_limit) {
  open();
  const int fd = connect_tcp();
  send_all(fd, post(kAuthorized, std::string(200000, 'x')));
  const std::string answer = receive(fd);
  EXPECT_TRUE(answer.empty() || answer.starts_with("HTTP/1.1 413 ")) << answer;
  EXPECT_EQ(refused(Refusal::kTooLong), 1u);
  EXPECT_THAT(ask(post(kAuthorized, kPing), kPong), EndsWith(kPong));
}

TEST_F(NgDoorTest, T19_a_message_that_trickles_has_its_time_and_no_more) {
  open({}, {.message_time = Milliseconds{300}});
  const int body = connect_tcp();
  send_all(body, "POST /ng HTTP/1.1\r\n" + kAuthorized + "Content-Length: 60000\r\n\r\n");
  const int web_socket = connect_web_socket();
  send_all(web_socket, "\x01\x81" + std::string(4, '\0') + "{");
  const int whole = connect_web_socket();
  const Instant begin = loop::EventLoop::now();
  std::size_t pieces = 0;
  const auto trickle = [&](int fd, std::string_view piece) {
    pieces += send(fd, piece.data(), piece.size(), MSG_NOSIGNAL) > 0 ? 1 : 0;
    char byte = 0;
    const ssize_t got = read(fd, &byte, 1);
    return got == 0 || (got < 0 && errno != EAGAIN);
  };
  bool body_ended = false;
  bool web_socket_ended = false;
  const std::string fragment = std::string("\x00\x81", 2) + std::string(4, '\0') + " ";
  ng::run_until(loop_, [&] {
    body_ended = body_ended || trickle(body, " ");
    web_socket_ended = web_socket_ended || trickle(web_socket, fragment);
    return body_ended && web_socket_ended;
  });
  EXPECT_GT(pieces, 10u) << "each of them would begin the time anew";
  EXPECT_GE(loop::EventLoop::now() - begin, Milliseconds{250});
  EXPECT_EQ(dispatcher_.counters().connections_timed_out, 2u);
  send_all(whole, frame(kPing));
  EXPECT_THAT(receive(whole, kPong), EndsWith(kPong)) << "between messages there is no such time";
}

TEST_F(NgDoorTest, a_web_socket_without_a_sign_of_life_is_asked_and_closed) {
  open({}, {.ping_seconds = 1, .hang_up_seconds = 2});
  const int fd = connect_web_socket();
  EXPECT_EQ(receive(fd).substr(0, 1), "\x89") << "a ping first (RFC 6455 section 5.5.2)";
}

TEST_F(NgDoorTest, late_replies_find_their_request_or_nobody) {
  calls_.hold = true;
  open();
  const int gone = connect_tcp();
  const int waits = connect_tcp();
  const std::string query = R"({"command":"query","call-id":"c"})";
  send_all(gone, post(kAuthorized, query));
  send_all(waits, post(kAuthorized, query));
  ng::run_until(loop_, [&] { return calls_.held.size() == 2; });
  close(gone);
  open_.erase(open_.begin());
  EXPECT_THAT(ask(post(kAuthorized, kPing), kPong), EndsWith(kPong));
  calls_.release_all();
  EXPECT_THAT(receive(waits, "late"), HasSubstr(R"({"result":"ok","sdp":"late"})"));
}

TEST_F(NgDoorTest, door_may_go_while_requests_wait) {
  calls_.hold = true;
  open();
  const int fd = connect_tcp();
  const int web_socket = connect_web_socket();
  send_all(fd, post(kAuthorized, R"({"command":"query","call-id":"c"})"));
  send_all(web_socket, frame(R"({"command":"query","call-id":"c"})"));
  ng::run_until(loop_, [&] { return calls_.held.size() == 2; });
  door_.reset();
  calls_.release_all();
  EXPECT_EQ(receive(fd), "");
}

TEST_F(NgDoorTest, web_socket_answers_each_message_in_its_kind) {
  open();
  const int fd = connect_web_socket();
  send_all(fd, frame("1 " + kPing) + frame("2 d7:command4:pinge", '\x82'));
  const std::string expected =
      "\x81\x13"
      "1 " +
      kPong +
      "\x82\x12"
      "2 d6:result4:ponge";
  EXPECT_EQ(receive(fd, "ponge"), expected);
  // A message in three fragments, each cut again by TCP.
  for (const char byte :
       frame("3 {\"comm", '\x01') + frame("and\":", '\0') + frame("\"ping\"}", '\x80')) {
    send_all(fd, {&byte, 1});
    loop_.post([] {});
    loop_.run_once();
  }
  EXPECT_EQ(receive(fd, "pong\"}"),
            "\x81\x13"
            "3 " +
                kPong);
}

TEST_F(NgDoorTest, web_socket_takes_the_largest_message_and_no_larger_one) {
  calls_.answer_with = {{"result", "ok"}, {"sdp", std::string(200000, 's') + "end"}};
  open();
  const int fd = connect_web_socket();
  send_all(fd, frame(R"({"command":"offer","call-id":"c","from-tag":"f","sdp":")" +
                     std::string(65000, 'v') + R"("})"));
  EXPECT_GT(receive(fd, "end\"}").size(), 200000u);
  ASSERT_EQ(calls_.seen.size(), 1u);
  EXPECT_EQ(calls_.seen[0].request.sdp.size(), 65000u);
  send_all(fd, frame(std::string(70000, 'x')));
  ng::run_until(loop_, [&] { return refused(Refusal::kTooLong) == 1; });
}

TEST_F(NgDoorTest, web_socket_needs_its_protocol) {
  open();
  EXPECT_THAT(ask(upgrade(kAuthorized, "sip")), StartsWith("HTTP/1.1 404 "));
  EXPECT_THAT(ask(upgrade(kAuthorized, "")), StartsWith("HTTP/1.1 404 "));
  EXPECT_EQ(refused(Refusal::kProtocol), 2u);
}

TEST_F(NgDoorTest, T19_a_web_socket_may_have_the_token_in_its_path_where_that_is_allowed) {
  const std::string protocol = "ng.rtpengine.com";
  const std::string path = "/ng/a%20token%20of%20some%20length";
  const std::string host = "Host: 127.0.0.1:2225\r\n";
  const std::string origin = "Origin: http://127.0.0.1\r\n";
  open();
  EXPECT_THAT(ask(upgrade(host, protocol, path)), StartsWith("HTTP/1.1 401 "));
  NgDoorOptions options;
  options.token_in_path = true;
  open({}, options);
  for (const std::string& headers : {host, host + origin}) {
    EXPECT_THAT(ask(upgrade(headers, protocol, path), "\r\n\r\n"), StartsWith("HTTP/1.1 101 "));
  }
  for (const char* wrong :
       {"/ng", "/ng/", "/ng/a%20token", "/other/a%20token%20of%20some%20length"}) {
    EXPECT_THAT(ask(upgrade(host, protocol, wrong)), StartsWith("HTTP/1.1 401 ")) << wrong;
  }
  EXPECT_THAT(ask(upgrade(host + "Origin: http://evil.example\r\n", protocol, path)),
              StartsWith("HTTP/1.1 403 "));
  EXPECT_THAT(ask(upgrade("Host: evil.example\r\nOrigin: http://evil.example\r\n", protocol, path)),
              StartsWith("HTTP/1.1 403 "));
  EXPECT_THAT(ask(post(host, kPing, path)), StartsWith("HTTP/1.1 401 ")) << "only WebSockets";
  EXPECT_THAT(ask(post(kAuthorized + origin, kPing)), StartsWith("HTTP/1.1 403 "));
}

TEST_F(NgDoorTest, web_socket_that_does_not_read_is_closed) {
  calls_.answer_with = {{"result", "ok"}, {"sdp", std::string(60000, 's')}};
  open({.requests_per_second_max = 100000});
  const int fd = connect_web_socket();
  const std::string query = frame(R"({"command":"query","call-id":"c"})");
  ng::run_until(loop_, [&] {
    static_cast<void>(send(fd, query.data(), query.size(), MSG_NOSIGNAL));
    return refused(Refusal::kUnread) > 0;
  });
  EXPECT_LT(calls_.seen.size(), 500u);
}

TEST_F(NgDoorTest, T19_addresses_that_are_not_the_clients_are_closed_at_once) {
  open({.is_client = [](const IpAddress& ip) { return ip == IpAddress::v4(127, 0, 0, 9); }});
  EXPECT_EQ(receive(connect_tcp()), "");
  EXPECT_EQ(refused(Refusal::kNetwork), 1u);
}

TEST_F(NgDoorTest, garbage_leaves_it_serving) {
  open();
  std::string garbage(100000, '\0');
  for (std::size_t i = 0; i < garbage.size(); ++i) garbage[i] = static_cast<char>(i * 131 + i / 7);
  for (const std::string& request :
       {garbage, "POST /" + std::string(100000, 'a') + " HTTP/1.1\r\n\r\n",
        std::string("POST /ng HTTP/1.1\r\nContent-Length: -1\r\n\r\nx"),
        "POST /ng HTTP/1.1\r\n" + kAuthorized + "Content-Length: 99999999999999999999\r\n\r\nx",
        "POST /ng HTTP/1.1\r\n" + kAuthorized + "Transfer-Encoding: chunked\r\n\r\nzz\r\n"}) {
    const int fd = connect_tcp();
    static_cast<void>(send(fd, request.data(), request.size(), MSG_NOSIGNAL));
    shutdown(fd, SHUT_WR);
    receive(fd);
  }
  const int fd = connect_web_socket();
  static_cast<void>(send(fd, garbage.data(), garbage.size(), MSG_NOSIGNAL));
  receive(fd);
  std::string answer;
  for (int i = 0; i < 100 && answer.empty(); ++i) answer = ask(post(kAuthorized, kPing), kPong);
  EXPECT_THAT(answer, EndsWith(kPong));
}

TEST_F(NgDoorTest, connections_have_a_limit) {
  open();
  for (int i = 0; i < 64; ++i) connect_tcp();
  EXPECT_EQ(receive(connect_tcp()), "");
  EXPECT_EQ(refused(Refusal::kConnections), 1u);
}

TEST(Security, T19_ng_over_http_stays_on_loopback) {
  loop::EventLoop loop;
  ng::RecordingCalls calls;
  ng::Dispatcher dispatcher(calls, &loop::EventLoop::now, {});
  ng::Gate gate({.token = kToken}, {}, dispatcher);
  const auto door = NgDoor::open(loop, {.tcp = {IpAddress::v4(0, 0, 0, 0), 8080}}, gate);
  ASSERT_FALSE(door);
  EXPECT_THAT(door.error().message, HasSubstr("not a loopback address"));
}

}  // namespace
}  // namespace turnpike::api
