// NG over TCP: the token line, what comes without it, large and split messages, quotas.
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "control/ng/bencode.h"
#include "control/ng/server.h"
#include "tests/unit/ng/support.h"

namespace turnpike::ng {
namespace {

const std::string kToken = "a token of some length";
const std::string kTokenLine = "Authorization: Bearer " + kToken + "\n";
const std::string kPing = "d7:command4:pinge";
const std::string kPong = "d6:result4:ponge";

class TcpTest : public testing::Test {
 protected:
  void start(StreamLimits limits = {}, GateRules gate = {}) {
    gate.token = kToken;
    auto created = Server::create(
        loop_,
        {.tcp = {{IpAddress::v4(127, 0, 0, 1), 0}}, .gate = std::move(gate), .stream = limits},
        calls_, {});
    ASSERT_TRUE(created) << created.error().message;
    server_ = *std::move(created);
  }
  PlainSocket connect() { return PlainSocket::to_tcp(server_->tcp_addresses().at(0)); }
  std::uint64_t refused(Refusal refusal) const {
    return server_->counters().refusals[static_cast<std::size_t>(refusal)];
  }
  std::uint64_t faults(ParseFault fault) const {
    return server_->counters().parse_faults[static_cast<std::size_t>(fault)];
  }
  std::string receive(PlainSocket& socket, std::size_t size) {
    std::string received;
    run_until(loop_, [&] {
      received += socket.read_once();
      return received.size() >= size || socket.ended;
    });
    return received;
  }
  std::string receive_all(PlainSocket& socket) { return receive(socket, 1u << 30); }

  loop::EventLoop loop_;
  RecordingCalls calls_;
  std::unique_ptr<Server> server_;
};

TEST_F(TcpTest, requests_follow_the_token_line_in_both_encodings) {
  start();
  auto socket = connect();
  socket.send(kTokenLine + kPing + "1 {\"command\":\"ping\"}");
  const std::string expected = kPong + "1 {\"result\":\"pong\"}";
  EXPECT_EQ(receive(socket, expected.size()), expected);
  socket.send(kPing);
  EXPECT_EQ(receive(socket, kPong.size()), kPong);
  auto other = connect();
  other.send("AUTHORIZATION:   bearer " + kToken + "\r\n2 " + kPing);
  EXPECT_EQ(receive(other, kPong.size() + 2), "2 " + kPong);
}

TEST_F(TcpTest, messages_come_in_any_pieces_and_large_ones_whole) {
  start();
  auto socket = connect();
  for (const char byte : kTokenLine + "c " + kPing) {
    EXPECT_EQ(socket.read_once(), "");
    socket.send({&byte, 1});
    loop_.post([] {});
    loop_.run_once();
  }
  EXPECT_EQ(receive(socket, kPong.size() + 2), "c " + kPong);

  calls_.answer_with = {{"result", "ok"}, {"sdp", std::string(60000, 's')}};
  const std::string sdp(60000, 'v');
  const std::string offer = encode_bencode(
      Value::Dict{{"call-id", "c"}, {"command", "offer"}, {"from-tag", "f"}, {"sdp", sdp}});
  const std::string reply = encode_bencode(calls_.answer_with);
  for (int i = 0; i < 3; ++i) socket.send(offer);
  EXPECT_EQ(receive(socket, 3 * reply.size()), reply + reply + reply);
  ASSERT_EQ(calls_.seen.size(), 3u);
  EXPECT_EQ(calls_.seen[2].request.sdp, sdp);
}

TEST_F(TcpTest, T19_nothing_is_done_without_the_token) {
  start();
  for (const std::string& first : std::vector<std::string>{
           kPing, "1 " + kPing, std::string("\n") + kPing, "Authorization: Bearer wrong\n" + kPing,
           "Authorization: Bearer " + kToken + "x\n" + kPing, "Bearer " + kToken + "\n" + kPing,
           "X" + kTokenLine + kPing, std::string(2000, 'x'), "GET / HTTP/1.1\r\n\r\n"}) {
    const std::uint64_t before = refused(Refusal::kToken);
    auto socket = connect();
    socket.send(first);
    const std::string reply = receive_all(socket);
    EXPECT_EQ(reply,
              encode_bencode(error_reply("the first line must be \"Authorization: Bearer TOKEN\"")))
        << first;
    EXPECT_EQ(refused(Refusal::kToken), before + 1) << first;
  }
  EXPECT_EQ(server_->counters().commands[static_cast<std::size_t>(Command::kPing)].requests, 0u);
}

TEST_F(TcpTest, T19_half_a_token_line_is_none) {
  start();
  auto socket = connect();
  socket.send(kTokenLine.substr(0, kTokenLine.size() - 1));
  socket.end_sending();
  EXPECT_NE(receive_all(socket).find("the first line must be"), std::string::npos);
  EXPECT_EQ(refused(Refusal::kToken), 1u);
}

TEST_F(TcpTest, who_sends_on_after_a_refusal_still_reads_it_and_is_cut_off_in_time) {
  StreamLimits limits;
  limits.reply_timeout = Milliseconds{100};
  start(limits);
  auto socket = connect();
  socket.send("no token\n" + std::string(50000, 'x'));
  EXPECT_NE(receive(socket, 1).find("Authorization"), std::string::npos);
  run_until(loop_, [&] { return server_->counters().connections == 0; });
  EXPECT_EQ(server_->counters().connections_timed_out, 1u);
}

TEST_F(TcpTest, silence_before_the_token_has_the_time_of_a_request) {
  StreamLimits limits;
  limits.request_timeout = Milliseconds{50};
  start(limits);
  auto silent = connect();
  auto trickling = connect();
  trickling.send("Authoriz");
  receive_all(silent);
  receive_all(trickling);
  EXPECT_EQ(server_->counters().connections_timed_out, 2u);
}

TEST_F(TcpTest, a_fault_ends_the_connection_after_its_reason) {
  start();
  auto socket = connect();
  socket.send(kTokenLine + "c d1:axe" + kPing);
  socket.end_sending();
  EXPECT_EQ(receive_all(socket),
            "c " + encode_bencode(error_reply("no value begins with this byte at byte 4")));
  EXPECT_EQ(faults(ParseFault::kUnexpectedByte), 1u);
}

TEST_F(TcpTest, quota_is_answered_and_the_connection_goes_on) {
  start({}, {.requests_per_second_max = 2});
  auto socket = connect();
  const std::string refusal = encode_bencode(error_reply("Too many requests a second"));
  socket.send(kTokenLine + "1 " + kPing + "2 " + kPing + "3 " + kPing);
  const std::string expected = "1 " + kPong + "2 " + kPong + "3 " + refusal;
  EXPECT_EQ(receive(socket, expected.size()), expected);
  EXPECT_EQ(refused(Refusal::kRate), 1u);
  std::string reply;
  run_until(loop_, [&] {
    socket.send("4 " + kPing);
    reply = receive(socket, kPong.size());
    return reply == "4 " + kPong;
  });
}

TEST_F(TcpTest, T19_addresses_that_are_not_the_clients_are_closed_at_once) {
  start({}, {.is_client = [](const IpAddress& ip) { return ip == IpAddress::v4(127, 0, 0, 9); }});
  auto socket = connect();
  EXPECT_EQ(receive_all(socket), "");
  EXPECT_EQ(refused(Refusal::kNetwork), 1u);
}

TEST_F(TcpTest, T19_a_token_or_network_that_is_withdrawn_ends_what_it_let_in) {
  for (const bool asks : {true, false}) {
    for (const Refusal why : {Refusal::kToken, Refusal::kNetwork}) {
      start();
      auto socket = connect();
      socket.send(kTokenLine + kPing);
      EXPECT_EQ(receive(socket, kPong.size()), kPong);
      server_->gate().set_token(kToken);
      socket.send(kPing);
      EXPECT_EQ(receive(socket, kPong.size()), kPong) << "the same token, read anew";
      if (why == Refusal::kToken) server_->gate().set_token("another token than that");
      if (why == Refusal::kNetwork) {
        server_->gate().set_rules({.is_client = [](const IpAddress&) { return false; }});
      }
      calls_.seen.clear();
      if (asks) socket.send("d7:call-id1:c7:command6:delete8:from-tag1:fe");
      EXPECT_NE(receive_all(socket).find("connect anew"), std::string::npos);
      EXPECT_TRUE(calls_.seen.empty());
      EXPECT_EQ(refused(why), 1u);
      if (why == Refusal::kNetwork) continue;
      auto again = connect();
      again.send("Authorization: Bearer another token than that\n" + kPing);
      EXPECT_EQ(receive(again, kPong.size()), kPong);
    }
  }
}

TEST_F(TcpTest, T19_who_has_shown_no_token_yet_when_its_network_is_withdrawn_is_not_obeyed) {
  start();
  auto socket = connect();
  socket.send(kTokenLine.substr(0, 5));
  run_until(loop_, [&] { return server_->counters().connections == 1; });
  server_->gate().set_rules({.is_client = [](const IpAddress&) { return false; }});
  socket.send(kTokenLine.substr(5) + kPing);
  EXPECT_NE(receive_all(socket).find("connect anew"), std::string::npos);
}

TEST_F(TcpTest, connections_have_a_limit_of_their_own) {
  StreamLimits limits;
  limits.connections_max = 1;
  TemporaryFolder folder;
  auto created = Server::create(loop_,
                                {.unix_path = folder.socket(),
                                 .tcp = {{IpAddress::v4(127, 0, 0, 1), 0}},
                                 .gate = {.token = kToken},
                                 .stream = limits},
                                calls_, {});
  ASSERT_TRUE(created);
  server_ = *std::move(created);
  auto first = connect();
  first.send(kTokenLine + kPing);
  EXPECT_EQ(receive(first, kPong.size()), kPong);
  auto second = connect();
  EXPECT_EQ(receive_all(second), "");
  EXPECT_EQ(refused(Refusal::kConnections), 1u);
  auto local = PlainSocket::to_unix(folder.socket());
  local.send(kPing);
  EXPECT_EQ(receive(local, kPong.size()), kPong);
}

TEST(Security, T19_ng_refuses_tcp_beyond_loopback_and_without_a_token) {
  loop::EventLoop loop;
  RecordingCalls calls;
  for (const char* text : {"0.0.0.0", "::", "192.0.2.1"}) {
    const auto server =
        Server::create(loop, {.tcp = {{*parse_ip(text), 0}}, .gate = {.token = kToken}}, calls, {});
    ASSERT_FALSE(server) << text;
    EXPECT_NE(server.error().message.find("loopback"), std::string::npos);
  }
  const auto open = Server::create(loop, {.tcp = {{*parse_ip("127.0.0.1"), 0}}}, calls, {});
  ASSERT_FALSE(open);
  EXPECT_NE(open.error().message.find("token"), std::string::npos);
}

}  // namespace
}  // namespace turnpike::ng
