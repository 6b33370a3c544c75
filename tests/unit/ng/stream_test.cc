// NG over unix stream sockets: framing in every cut, order, half-open and slow clients, limits.
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "control/ng/bencode.h"
#include "control/ng/client.h"
#include "control/ng/server.h"
#include "tests/unit/ng/support.h"

namespace turnpike::ng {
namespace {

const std::string kPing = "d7:command4:pinge";
const std::string kPong = "d6:result4:ponge";
const std::string kQuery = "d7:call-id1:c7:command5:querye";

class StreamTest : public testing::Test {
 protected:
  void start(StreamLimits limits = {}) {
    auto created =
        Server::create(loop_, {.unix_path = folder_.socket(), .stream = limits}, calls_, {});
    ASSERT_TRUE(created) << created.error().message;
    server_ = *std::move(created);
  }
  PlainSocket connect() { return PlainSocket::to_unix(folder_.socket()); }
  const ServerCounters& counters() const { return server_->counters(); }
  std::uint64_t faults(ParseFault fault) const {
    return counters().parse_faults[static_cast<std::size_t>(fault)];
  }
  std::uint64_t pings() const {
    return counters().commands[static_cast<std::size_t>(Command::kPing)].requests;
  }
  void await_end(PlainSocket& socket) {
    run_until(loop_, [&] { return socket.read_once().empty() && socket.ended; });
  }

  loop::EventLoop loop_;
  RecordingCalls calls_;
  TemporaryFolder folder_;
  std::unique_ptr<Server> server_;
};

TEST_F(StreamTest, bare_dictionary_gets_a_bare_reply_in_one_read) {
  start();
  auto socket = connect();
  socket.send(kPing);
  EXPECT_EQ(await_bytes(loop_, socket), kPong);
}

TEST_F(StreamTest, request_with_cookie_gets_its_cookie_back) {
  start();
  auto socket = connect();
  socket.send("1_2_3 " + kPing);
  EXPECT_EQ(await_bytes(loop_, socket), "1_2_3 " + kPong);
}

TEST_F(StreamTest, one_connection_serves_both_framings_and_many_requests) {
  start();
  auto socket = connect();
  std::string expected;
  for (int i = 0; i < 100; ++i) {
    const std::string cookie = i % 2 == 0 ? "" : std::to_string(i) + " ";
    socket.send(cookie + kPing);
    expected += cookie + kPong;
  }
  std::string received;
  run_until(loop_, [&] { return (received += socket.read_once()).size() >= expected.size(); });
  EXPECT_EQ(received, expected);
  EXPECT_EQ(counters().connections_accepted, 1u);
}

TEST_F(StreamTest, request_may_come_byte_by_byte) {
  start();
  for (const std::string& request : {kPing, "cookie " + kPing}) {
    auto socket = connect();
    for (const char byte : request) {
      EXPECT_EQ(socket.read_once(), "");
      socket.send({&byte, 1});
      for (int turn = 0; turn < 2; ++turn) {
        loop_.post([] {});
        loop_.run_once();
      }
    }
    EXPECT_TRUE(await_bytes(loop_, socket).ends_with(kPong));
  }
  EXPECT_EQ(pings(), 2u);
}

TEST_F(StreamTest, json_gets_json_with_and_without_cookie_beside_bencode) {
  start();
  auto socket = connect();
  const std::string json_ping = R"({"command": "ping"})";
  const std::string json_pong = R"({"result":"pong"})";
  const std::string expected = json_pong + "1_2 " + json_pong + kPong + "3 " + kPong + json_pong;
  socket.send(json_ping + "1_2 " + json_ping + "\n" + kPing + "3 " + kPing + json_ping);
  std::string received;
  run_until(loop_, [&] { return (received += socket.read_once()).size() >= expected.size(); });
  EXPECT_EQ(received, expected);
}

TEST_F(StreamTest, json_may_come_byte_by_byte_and_is_whole_with_its_last_brace) {
  start();
  const std::string request =
      "c "
      R"({"call-id":"\u00e9}","flags":["}{"],"x":{"a":[]},"command":"query"})";
  auto socket = connect();
  for (const char byte : request) {
    EXPECT_EQ(socket.read_once(), "");
    socket.send({&byte, 1});
    for (int turn = 0; turn < 2; ++turn) {
      loop_.post([] {});
      loop_.run_once();
    }
  }
  EXPECT_EQ(await_bytes(loop_, socket), R"(c {"result":"ok","sdp":"query-1"})");
  EXPECT_EQ(calls_.seen.at(0).request.call_id, "\u00e9}");
}

TEST_F(StreamTest, json_that_is_damaged_gets_the_reason_in_json_and_the_end) {
  start();
  auto socket = connect();
  socket.send(R"({"command":"ping","command":"offer"})");
  EXPECT_EQ(
      await_bytes(loop_, socket),
      R"({"result":"error","error-reason":"an object has two keys of this name at byte 18"})");
  await_end(socket);
  EXPECT_EQ(faults(ParseFault::kDuplicateKey), 1u);
}

TEST_F(StreamTest, large_reply_and_largest_request_go_through) {
  calls_.answer_with = {{"result", "ok"}, {"sdp", std::string(60000, 's')}};
  start();
  auto socket = connect();
  std::string request = "d7:call-id1:c7:command5:offer8:from-tag1:f3:sdp";
  const std::size_t room = MessageLimits{}.bytes_max - request.size() - 1 - 6;
  request += std::to_string(room) + ":" + std::string(room, 'v') + "e";
  ASSERT_EQ(request.size(), MessageLimits{}.bytes_max);
  socket.send(request);
  std::string reply;
  const std::string expected = encode_bencode(calls_.answer_with);
  run_until(loop_, [&] { return (reply += socket.read_once()).size() >= expected.size(); });
  EXPECT_EQ(reply, expected);
  EXPECT_EQ(calls_.seen.at(0).request.sdp.size(), room);
}

TEST_F(StreamTest, request_over_the_limit_is_refused_before_it_is_there) {
  start();
  auto socket = connect();
  socket.send("d3:sdp65536:");
  EXPECT_EQ(await_bytes(loop_, socket),
            encode_bencode(error_reply("the message is too long at byte 6")));
  await_end(socket);
  EXPECT_EQ(faults(ParseFault::kTooLong), 1u);
  EXPECT_EQ(counters().connections, 0u);
}

TEST_F(StreamTest, replies_keep_the_order_of_the_requests) {
  calls_.hold = true;
  start();
  auto socket = connect();
  socket.send("a " + kQuery + "b " + kPing);
  run_until(loop_, [&] { return calls_.held.size() == 1; });
  EXPECT_EQ(pings(), 0u) << "the second waits for the first";
  calls_.release_all();
  std::string received;
  const std::string expected =
      "a d6:result2:ok3:sdp4:latee"
      "b " +
      kPong;
  run_until(loop_, [&] { return (received += socket.read_once()).size() >= expected.size(); });
  EXPECT_EQ(received, expected);
}

TEST_F(StreamTest, half_closed_client_gets_its_late_reply) {
  calls_.hold = true;
  start();
  auto socket = connect();
  socket.send(kQuery);
  socket.end_sending();
  run_until(loop_, [&] { return calls_.held.size() == 1; });
  calls_.release_all();
  EXPECT_EQ(await_bytes(loop_, socket), "d6:result2:ok3:sdp4:latee");
  await_end(socket);
  EXPECT_EQ(counters().connections, 0u);
}

TEST_F(StreamTest, client_that_is_gone_when_the_reply_comes_changes_nothing) {
  calls_.hold = true;
  start();
  auto socket = connect();
  socket.send(kQuery);
  run_until(loop_, [&] { return calls_.held.size() == 1; });
  socket.close();
  calls_.release_all();
  run_until(loop_, [&] { return counters().connections == 0; });
  auto other = connect();
  other.send(kPing);
  EXPECT_EQ(await_bytes(loop_, other), kPong);
}

TEST_F(StreamTest, end_in_the_middle_of_a_request_is_counted) {
  start();
  auto socket = connect();
  socket.send("d7:comm");
  socket.end_sending();
  await_end(socket);
  EXPECT_EQ(faults(ParseFault::kIncomplete), 1u);
}

TEST_F(StreamTest, line_ends_between_requests_are_passed_over) {
  start();
  auto socket = connect();
  socket.send("\r\n" + kPing + "\n");
  EXPECT_EQ(await_bytes(loop_, socket), kPong);
  socket.send("c " + kPing + "\r\n");
  EXPECT_EQ(await_bytes(loop_, socket), "c " + kPong);
  socket.end_sending();
  await_end(socket);
  EXPECT_EQ(faults(ParseFault::kIncomplete), 0u);
}

TEST_F(StreamTest, garbage_gets_an_error_and_the_end) {
  start();
  struct Case {
    std::string bytes;
    ParseFault fault;
  };
  for (const Case& garbage :
       {Case{"d1:axe", ParseFault::kUnexpectedByte}, Case{"c d1:axe", ParseFault::kUnexpectedByte},
        Case{"di1ei1ee", ParseFault::kKeyNotAString}, Case{"c xyz", ParseFault::kNotADictionary},
        Case{" " + kPing, ParseFault::kNoCookie},
        Case{std::string(300, 'c'), ParseFault::kCookieTooLong}}) {
    const std::uint64_t before = faults(garbage.fault);
    auto socket = connect();
    socket.send(garbage.bytes);
    EXPECT_NE(await_bytes(loop_, socket).find("d6:result5:error12:error-reason"), std::string::npos)
        << garbage.bytes;
    await_end(socket);
    EXPECT_EQ(faults(garbage.fault), before + 1) << garbage.bytes;
  }
}

TEST_F(StreamTest, slow_request_idle_client_and_missing_reply_each_have_a_time) {
  StreamLimits limits;
  limits.idle_timeout = limits.request_timeout = limits.reply_timeout = Milliseconds{40};
  start(limits);
  calls_.hold = true;
  auto idle = connect();
  auto slow = connect();
  slow.send("d7:comm");
  auto unanswered = connect();
  unanswered.send(kQuery);
  await_end(idle);
  await_end(slow);
  await_end(unanswered);
  EXPECT_EQ(counters().connections_timed_out, 3u);
  EXPECT_EQ(counters().connections, 0u);
  calls_.release_all();  // too late, and nobody is there
}

TEST_F(StreamTest, a_trickle_does_not_extend_the_time_of_a_request) {
  StreamLimits limits;
  limits.request_timeout = Milliseconds{60};
  start(limits);
  auto socket = connect();
  socket.send("d3:sdp1000:");
  loop::Timer trickle(
      loop_, [&] { static_cast<void>(::send(socket.fd(), "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT)); });
  trickle.start(Milliseconds{1}, Milliseconds{5});
  await_end(socket);
  EXPECT_EQ(counters().connections_timed_out, 1u);
}

TEST_F(StreamTest, client_that_does_not_read_stops_being_read) {
  StreamLimits limits;
  limits.unsent_bytes_max = 100000;
  limits.reply_timeout = Milliseconds{200};
  calls_.answer_with = {{"result", "ok"}, {"sdp", std::string(50000, 's')}};
  start(limits);
  auto socket = connect();
  for (int i = 0; i < 100; ++i) socket.send(kQuery);
  run_until(loop_, [&] { return counters().connections_timed_out == 1; });
  EXPECT_LT(calls_.seen.size(), 20u) << "work stops when nobody takes the replies";
  EXPECT_EQ(counters().connections, 0u);
}

TEST_F(StreamTest, client_that_reads_late_gets_everything) {
  StreamLimits limits;
  limits.unsent_bytes_max = 100000;
  calls_.answer_with = {{"result", "ok"}, {"sdp", std::string(50000, 's')}};
  start(limits);
  auto socket = connect();
  for (int i = 0; i < 100; ++i) socket.send(kQuery);
  const std::size_t expected = 100 * encode_bencode(calls_.answer_with).size();
  std::size_t received = 0;
  run_until(loop_, [&] { return (received += socket.read_once().size()) >= expected; });
  EXPECT_EQ(received, expected);
  EXPECT_EQ(calls_.seen.size(), 100u);
}

TEST_F(StreamTest, connections_have_a_limit_and_places_come_back) {
  StreamLimits limits;
  limits.connections_max = 3;
  start(limits);
  std::vector<PlainSocket> open;
  for (int i = 0; i < 3; ++i) {
    open.push_back(connect());
    open.back().send(kPing);
    EXPECT_EQ(await_bytes(loop_, open.back()), kPong);
  }
  auto refused = connect();
  await_end(refused);
  EXPECT_EQ(counters().connections_refused, 1u);
  open.clear();
  run_until(loop_, [&] { return counters().connections == 0; });
  auto next = connect();
  next.send(kPing);
  EXPECT_EQ(await_bytes(loop_, next), kPong);
}

TEST_F(StreamTest, many_short_connections_leave_nothing) {
  start();
  for (int i = 0; i < 500; ++i) {
    auto socket = connect();
    socket.send(kPing);
    ASSERT_EQ(await_bytes(loop_, socket), kPong);
  }
  run_until(loop_, [&] { return counters().connections == 0; });
  EXPECT_EQ(counters().connections_accepted, 500u);
  EXPECT_EQ(pings(), 500u);
}

TEST_F(StreamTest, server_may_go_while_requests_are_in_work) {
  calls_.hold = true;
  start();
  auto socket = connect();
  socket.send(kQuery);
  run_until(loop_, [&] { return calls_.held.size() == 1; });
  server_.reset();
  calls_.release_all();
  await_end(socket);
}

TEST_F(StreamTest, client_class_speaks_to_it) {
  start();
  std::vector<std::string> results;
  std::thread peer([&] {
    auto client = Client::connect_unix(folder_.socket());
    for (const char* command : {"ping", "nonsense"}) {
      const auto reply = client->request({{"command", command}}, Milliseconds{5000});
      results.push_back(reply ? encode_bencode(*reply) : reply.error().message);
    }
    loop_.stop();
  });
  loop_.run();
  peer.join();
  EXPECT_EQ(results,
            (std::vector<std::string>{kPong, encode_bencode(error_reply("Unrecognized command"))}));
}

TEST(Security, T19_ng_socket_is_closed_to_other_users) {
  loop::EventLoop loop;
  RecordingCalls calls;
  const TemporaryFolder folder;
  const auto server = Server::create(loop, {.unix_path = folder.socket()}, calls, {});
  ASSERT_TRUE(server);
  struct stat status {};
  ASSERT_EQ(::stat(folder.socket().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777u, 0660u);
  EXPECT_FALSE(
      Server::create(loop, {.unix_path = folder.socket() + "x", .unix_mode = 0666}, calls, {}));
}

}  // namespace
}  // namespace turnpike::ng
