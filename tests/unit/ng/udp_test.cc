// NG over UDP: replies, repetitions, refusals, floods of nonsense. And the dispatcher's texts.
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/ng/bencode.h"
#include "control/ng/client.h"
#include "control/ng/server.h"
#include "tests/unit/ng/support.h"

namespace turnpike::ng {
namespace {

const SocketAddress kAnyPort{IpAddress::v4(127, 0, 0, 1), 0};
const std::string kPing = "d7:command4:pinge";
const std::string kPong = "d6:result4:ponge";
const std::string kQuery = "d7:call-id1:c7:command5:querye";

class UdpTest : public testing::Test {
 protected:
  void start(ReplyCacheLimits limits = {}, SocketAddress address = kAnyPort) {
    auto created = Server::create(loop_, {.udp = {address}, .reply_cache = limits}, calls_,
                                  [this](const std::string& line) { log_.push_back(line); });
    ASSERT_TRUE(created) << created.error().message;
    server_ = *std::move(created);
  }
  PlainSocket connect() { return PlainSocket::to_udp(server_->udp_addresses().at(0)); }
  std::string ask(PlainSocket& socket, const std::string& datagram) {
    socket.send(datagram);
    return await_bytes(loop_, socket);
  }
  /// Sends without expecting a reply; a ping behind it proves that it was read.
  void tell(PlainSocket& socket, const std::string& datagram) {
    socket.send(datagram);
    const std::string cookie = "tell" + std::to_string(++told_) + " ";
    EXPECT_EQ(ask(socket, cookie + kPing), cookie + kPong);
  }
  std::string error_for(const std::string& dictionary) {
    auto socket = connect();
    const std::string reply = ask(socket, "c " + dictionary);
    const auto value = decode_bencode(reply.substr(2));
    return value ? text_of(find(*value->as_dict(), "error-reason")) : value.error().message;
  }
  const ServerCounters& counters() const { return server_->counters(); }
  std::uint64_t faults(ParseFault fault) const {
    return counters().parse_faults[static_cast<std::size_t>(fault)];
  }
  const CommandCounters& command(Command which) const {
    return counters().commands[static_cast<std::size_t>(which)];
  }

  loop::EventLoop loop_;
  RecordingCalls calls_;
  std::vector<std::string> log_;
  std::unique_ptr<Server> server_;
  int told_ = 0;
};

TEST_F(UdpTest, ping_pong) {
  start();
  auto socket = connect();
  EXPECT_EQ(ask(socket, "1_2_3 " + kPing), "1_2_3 " + kPong);
}

TEST_F(UdpTest, works_over_ipv6) {
  start({}, {*parse_ip("::1"), 0});
  auto socket = connect();
  EXPECT_EQ(ask(socket, "1_2_3 " + kPing), "1_2_3 " + kPong);
}

TEST_F(UdpTest, each_command_reaches_its_method) {
  start();
  auto socket = connect();
  const std::string tags = "7:call-id1:c8:from-tag1:f6:to-tag1:t3:sdp3:v=0";
  int number = 0;
  for (const char* name : {"5:offer", "6:answer", "6:delete", "5:query"}) {
    const std::string cookie = std::to_string(number++) + " ";
    EXPECT_NE(ask(socket, cookie + "d" + tags + "7:command" + name + "e").find("6:result2:ok"),
              std::string::npos);
  }
  std::vector<std::string> methods;
  for (const auto& seen : calls_.seen) {
    methods.push_back(seen.method);
    EXPECT_EQ(seen.request.call_id, "c");
  }
  EXPECT_THAT(methods, testing::ElementsAre("offer", "answer", "delete", "query"));
  EXPECT_EQ(command(Command::kAnswer).requests, 1u);
  EXPECT_EQ(command(Command::kAnswer).errors, 0u);
}

TEST_F(UdpTest, error_texts_are_exact) {
  start();
  EXPECT_EQ(error_for("de"), "Unrecognized command");
  EXPECT_EQ(error_for("d7:command4:pinke"), "Unrecognized command");
  EXPECT_EQ(error_for("d7:commandlee"), "Unrecognized command");
  EXPECT_EQ(error_for("d7:command10:play mediae"),
            "Command 'play media' is not supported: media is not made here: "
            "streams pass as they are");
  EXPECT_EQ(error_for("d7:command5:offere"), "No call-id in message");
  EXPECT_EQ(error_for("d7:command6:deletee"), "No call-id in message");
  EXPECT_EQ(error_for("d7:command5:querye"), "No call-id in message");
  EXPECT_EQ(error_for("d7:call-id1:c7:command5:offere"), "No SDP body in message");
  EXPECT_TRUE(calls_.seen.empty());
  EXPECT_EQ(command(Command::kUnrecognized).errors, 3u);
  EXPECT_EQ(command(Command::kUnsupported).errors, 1u);
  EXPECT_EQ(command(Command::kOffer).errors, 2u);
}

TEST_F(UdpTest, load_limit_passes_through_and_is_counted_apart) {
  calls_.answer_with = {{"result", "load limit"}, {"message", "draining"}};
  start();
  auto socket = connect();
  EXPECT_EQ(ask(socket, "c " + kQuery), "c d6:result10:load limit7:message8:draininge");
  EXPECT_EQ(command(Command::kQuery).load_limits, 1u);
  EXPECT_EQ(command(Command::kQuery).errors, 0u);
}

TEST_F(UdpTest, durations_are_measured_to_the_reply) {
  start();
  auto socket = connect();
  ask(socket, "1 " + kQuery);
  calls_.hold = true;
  socket.send("2 " + kQuery);
  run_until(loop_, [&] { return calls_.held.size() == 1; });
  const Instant held_until = loop::EventLoop::now() + Milliseconds{3};
  run_until(loop_, [&] { return loop::EventLoop::now() >= held_until; });
  calls_.release_all();
  await_bytes(loop_, socket);
  const auto& histogram = command(Command::kQuery).duration;
  std::uint64_t fast = 0;
  std::uint64_t slow = 0;
  for (std::size_t i = 0; i < histogram.buckets.size(); ++i) {
    const bool is_fast = i < kDurationBounds.size() && kDurationBounds[i] <= Milliseconds{1};
    (is_fast ? fast : slow) += histogram.buckets[i];
  }
  EXPECT_EQ(fast + slow, 2u);
  EXPECT_GE(slow, 1u);
  EXPECT_GE(histogram.sum, Milliseconds{3});
}

// ---- repetitions

TEST_F(UdpTest, repeated_request_is_carried_out_once) {
  start();
  auto socket = connect();
  const std::string first = ask(socket, "c " + kQuery);
  EXPECT_EQ(ask(socket, "c " + kQuery), first);
  EXPECT_EQ(ask(socket, "c " + kQuery), first);
  EXPECT_EQ(calls_.seen.size(), 1u);
  EXPECT_EQ(counters().replies_replayed, 2u);
  EXPECT_EQ(command(Command::kQuery).requests, 1u);
  EXPECT_NE(ask(socket, "d " + kQuery), first);
  EXPECT_EQ(calls_.seen.size(), 2u);
}

TEST_F(UdpTest, same_cookie_from_two_peers_is_two_requests) {
  start();
  auto one = connect();
  auto other = connect();
  const std::string first = ask(one, "c " + kQuery);
  const std::string second = ask(other, "c " + kQuery);
  EXPECT_NE(first, second);
  EXPECT_EQ(calls_.seen.size(), 2u);
  EXPECT_EQ(ask(one, "c " + kQuery), first);
  EXPECT_EQ(ask(other, "c " + kQuery), second);
}

TEST_F(UdpTest, same_cookie_with_another_content_is_a_new_request) {
  start();
  auto socket = connect();
  ask(socket, "c " + kQuery);
  EXPECT_EQ(ask(socket, "c " + kPing), "c " + kPong);
}

TEST_F(UdpTest, repetition_waits_for_the_first_and_both_are_answered) {
  calls_.hold = true;
  start();
  auto socket = connect();
  socket.send("c " + kQuery);
  run_until(loop_, [&] { return calls_.held.size() == 1; });
  tell(socket, "c " + kQuery);
  EXPECT_EQ(counters().duplicates_waiting, 1u);
  EXPECT_EQ(calls_.seen.size(), 1u);
  calls_.release_all();
  const std::string expected = "c d6:result2:ok3:sdp4:latee";
  EXPECT_EQ(await_bytes(loop_, socket), expected);
  EXPECT_EQ(await_bytes(loop_, socket), expected);
  EXPECT_EQ(ask(socket, "c " + kQuery), expected) << "from the cache now";
  EXPECT_EQ(calls_.seen.size(), 1u);
}

TEST_F(UdpTest, too_many_repetitions_do_not_wait) {
  calls_.hold = true;
  start({.waiting_max = 2});
  auto socket = connect();
  for (int i = 0; i < 6; ++i) tell(socket, "c " + kQuery);
  EXPECT_EQ(counters().duplicates_waiting, 2u);
  EXPECT_EQ(counters().duplicates_dropped, 3u);
  calls_.release_all();
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(await_bytes(loop_, socket).starts_with("c "));
  tell(socket, "x");
  EXPECT_EQ(socket.read_once(), "");
}

TEST_F(UdpTest, requests_in_work_have_a_limit) {
  calls_.hold = true;
  start({.entries_max = 3});
  auto socket = connect();
  for (int i = 0; i < 3; ++i) socket.send(std::to_string(i) + " " + kQuery);
  EXPECT_EQ(ask(socket, "more " + kQuery),
            "more " + encode_bencode(error_reply("Too many requests in work")));
  EXPECT_EQ(counters().requests_refused, 1u);
  calls_.release_all();
  for (int i = 0; i < 3; ++i)
    EXPECT_TRUE(await_bytes(loop_, socket).find("late") != std::string::npos);
  calls_.hold = false;
  EXPECT_NE(ask(socket, "again " + kQuery).find("2:ok"), std::string::npos);
}

TEST_F(UdpTest, server_may_go_while_requests_are_in_work) {
  calls_.hold = true;
  start();
  auto socket = connect();
  socket.send("c " + kQuery);
  run_until(loop_, [&] { return calls_.held.size() == 1; });
  server_.reset();
  calls_.release_all();
  EXPECT_EQ(socket.read_once(), "");
}

TEST_F(UdpTest, a_second_reply_to_one_request_goes_nowhere) {
  calls_.hold = true;
  start();
  auto socket = connect();
  socket.send("c " + kQuery);
  run_until(loop_, [&] { return calls_.held.size() == 1; });
  calls_.held[0]({{"result", "ok"}});
  calls_.held[0]({{"result", "ok"}});
  EXPECT_EQ(await_bytes(loop_, socket), "c d6:result2:oke");
  tell(socket, "x");
  EXPECT_EQ(socket.read_once(), "");
}

TEST_F(UdpTest, reply_that_no_datagram_can_carry_becomes_an_error) {
  calls_.answer_with = {{"result", "ok"}, {"sdp", std::string(70000, 's')}};
  start();
  auto socket = connect();
  EXPECT_EQ(ask(socket, "c " + kQuery),
            "c " + encode_bencode(error_reply("Reply is too large for UDP")));
}

// ---- what is not understood

TEST_F(UdpTest, damaged_dictionary_gets_the_reason_with_its_cookie) {
  start();
  auto socket = connect();
  EXPECT_EQ(
      ask(socket, "c d7:command04:pinge"),
      "c " + encode_bencode(error_reply("a number is not in canonical decimal form at byte 10")));
  EXPECT_EQ(ask(socket, "c d7:command4:ping"),
            "c " + encode_bencode(error_reply("the message ends too early at byte 16")));
  EXPECT_EQ(ask(socket, "c " + kPing + "x"),
            "c " + encode_bencode(error_reply("bytes follow the dictionary at byte 17")));
  EXPECT_EQ(faults(ParseFault::kBadNumber), 1u);
  EXPECT_EQ(faults(ParseFault::kIncomplete), 1u);
  EXPECT_EQ(faults(ParseFault::kTrailingBytes), 1u);
  EXPECT_EQ(ask(socket, "c " + kPing), "c " + kPong) << "a fault is not remembered";
}

TEST_F(UdpTest, json_is_answered_in_json_and_remembered) {
  start();
  auto socket = connect();
  const std::string query = R"(c {"call-id": "c", "command": "query"})";
  const std::string reply = R"(c {"result":"ok","sdp":"query-1"})";
  EXPECT_EQ(ask(socket, query), reply);
  EXPECT_EQ(ask(socket, query), reply);
  EXPECT_EQ(calls_.seen.size(), 1u);
  EXPECT_EQ(ask(socket, "d " + query.substr(2) + "\r\n"), R"(d {"result":"ok","sdp":"query-2"})");
}

TEST_F(UdpTest, damaged_json_gets_the_reason_in_json) {
  start();
  auto socket = connect();
  EXPECT_EQ(ask(socket, "c {\"command\":\"p\xff\"}"),
            R"(c {"result":"error","error-reason":"a text is not UTF-8 at byte 13"})");
  EXPECT_EQ(ask(socket, R"(c {"command":"ping"}})"),
            R"(c {"result":"error","error-reason":"bytes follow the dictionary at byte 18"})");
  EXPECT_EQ(ask(socket, R"(c {"command":"ping")"),
            R"(c {"result":"error","error-reason":"the message ends too early at byte 17"})");
  EXPECT_EQ(faults(ParseFault::kNotUtf8), 1u);
  EXPECT_EQ(faults(ParseFault::kTrailingBytes), 1u);
  EXPECT_EQ(faults(ParseFault::kIncomplete), 1u);
}

TEST_F(UdpTest, what_is_no_ng_gets_no_reply) {
  start();
  auto socket = connect();
  for (const char* nonsense : {"", "x", " ", "cookie ", "cookie text", "d7:command4:pinge"}) {
    tell(socket, nonsense);
    EXPECT_EQ(socket.read_once(), "") << nonsense;
  }
  EXPECT_EQ(faults(ParseFault::kNoCookie), 4u);
  EXPECT_EQ(faults(ParseFault::kNotADictionary), 2u);
}

// Sanitizers keep freed memory for a while; what they find instead is leaks and wild pointers.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kMemoryIsMeasurable = false;
#else
constexpr bool kMemoryIsMeasurable = true;
#endif

std::size_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::size_t total = 0;
  std::size_t resident = 0;
  file >> total >> resident;
  return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

TEST_F(UdpTest, a_hundred_thousand_random_datagrams_change_only_counters) {
  start();
  auto socket = connect();
  auto probe = connect();
  std::mt19937 random(42);
  std::string datagram;
  const std::string alphabet = "c dlie0123456789:-ab";
  const auto flood = [&](int count) {
    for (int i = 0; i < count; ++i) {
      datagram.clear();
      const std::size_t length = random() % 200;
      while (datagram.size() < length) {
        datagram +=
            i % 2 == 0 ? static_cast<char>(random() % 256) : alphabet[random() % alphabet.size()];
      }
      if (i % 3 == 0) datagram.insert(0, "c d7:command");
      socket.send(datagram);
      // The server's buffer is small: a ping from elsewhere proves that it has read this far.
      if (i % 32 == 31) tell(probe, "x");
      while (!socket.read_once().empty()) {
      }
    }
  };
  const auto total_faults = [&] {
    std::uint64_t total = 0;
    for (const std::uint64_t count : counters().parse_faults) total += count;
    return total;
  };
  flood(10000);  // everything that grows once has grown
  const std::size_t before = resident_bytes();
  const std::uint64_t faults_before = total_faults();
  flood(100000);
  if (kMemoryIsMeasurable) {
    EXPECT_LT(resident_bytes(), before + (4u << 20));
  }
  EXPECT_GT(total_faults(), faults_before + 90000);
  EXPECT_TRUE(calls_.seen.empty());
  EXPECT_LT(log_.size(), 10u) << "no line per datagram";
  std::uint64_t executed = 0;  // the pings, and what is a dictionary by chance
  for (const CommandCounters& each : counters().commands) executed += each.requests;
  EXPECT_LE(server_->cached_replies(), executed);
  EXPECT_LT(executed, static_cast<std::uint64_t>(told_) + 100);
}

TEST_F(UdpTest, a_name_without_effect_is_logged_once) {
  start();
  auto socket = connect();
  for (int i = 0; i < 3; ++i) {
    ask(socket, std::to_string(i) + " d7:call-id1:c7:command5:query5:x-foo6:secrete");
  }
  EXPECT_THAT(log_, testing::ElementsAre("NG key 'x-foo' has no effect and is ignored"));
  ASSERT_EQ(server_->ignored().entries().size(), 1u);
  EXPECT_EQ(server_->ignored().entries()[0].count, 3u);
}

TEST_F(UdpTest, another_transport_can_hand_in_messages) {
  start();
  std::string reply;
  server_->gate().handle(IpAddress::v4(127, 0, 0, 1), "1 " + kPing,
                         [&](Gate::Outcome, std::string text) { reply = std::move(text); });
  EXPECT_EQ(reply, "1 " + kPong);
}

TEST_F(UdpTest, client_class_speaks_to_it) {
  start();
  std::string result;
  std::thread peer([&] {
    auto client = Client::connect_udp(server_->udp_addresses().at(0));
    const auto reply = client->request({{"command", "ping"}}, Milliseconds{5000});
    result = reply ? encode_bencode(*reply) : reply.error().message;
    loop_.stop();
  });
  loop_.run();
  peer.join();
  EXPECT_EQ(result, kPong);
}

TEST(ServerConfig, refuses_what_cannot_work) {
  loop::EventLoop loop;
  RecordingCalls calls;
  EXPECT_FALSE(Server::create(loop, {}, calls, {}));
  EXPECT_FALSE(Server::create(loop, {.udp = {SocketAddress{}}}, calls, {}));
  EXPECT_FALSE(Server::create(loop, {.unix_path = "/nonexistent/ng"}, calls, {}));
}

TEST(Security, T19_ng_refuses_udp_beyond_loopback_unless_told) {
  loop::EventLoop loop;
  RecordingCalls calls;
  for (const char* text : {"0.0.0.0", "::", "192.0.2.1", "10.0.0.1", "2001:db8::1"}) {
    const auto server = Server::create(loop, {.udp = {{*parse_ip(text), 0}}}, calls, {});
    ASSERT_FALSE(server) << text;
    EXPECT_NE(server.error().message.find("loopback"), std::string::npos);
  }
  EXPECT_TRUE(Server::create(loop, {.udp = {{*parse_ip("127.0.0.2"), 0}}}, calls, {}));
  EXPECT_TRUE(Server::create(
      loop, {.udp = {{*parse_ip("0.0.0.0"), 0}}, .udp_beyond_loopback = true}, calls, {}));
}

}  // namespace
}  // namespace turnpike::ng
