// Who is reported to a capture server when, and what is lost.
#include "control/homer_service.h"

#include <fstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/api/endpoints.h"
#include "tests/unit/api/fakes.h"

namespace turnpike {
namespace {

using testing::HasSubstr;
using testing::Not;

SessionId id_of(std::uint32_t slot) {
  return {.slot = slot, .generation = 1, .shard = 0};
}

class HomerServiceTest : public testing::Test {
 protected:
  HomerServiceTest() {
    log::Options options;
    options.capture = [this](log::Level, const std::string& line) { log_lines_ += line + "\n"; };
    log_ = std::make_unique<log::Log>(options);
    receiver_ = *loop::UdpSocket::bind(
        loop_, {IpAddress::v4(127, 0, 0, 1), 0},
        [this](std::string_view datagram, const SocketAddress&) { got_.emplace_back(datagram); });
    settings_.node.name = "edge1";
    settings_.homer.address = receiver_.local_address();
    settings_.homer.capture_id = 7;
    settings_.homer.interval = Seconds{4};
    settings_.homer.reports_per_second_max = 100;
    relay_.any_session = true;
    for (std::uint32_t i = 1; i <= 8; ++i) {
      call::CallSummary call;
      call.call_id = "call" + std::to_string(i) + ",pass";
      call.sessions = {{id_of(i), "audio", {}, {}}};
      calls_.summaries.push_back(call);
    }
  }

  void start() { service_ = HomerService::start(loop_, settings_, relay_, calls_, *log_); }
  void tick(int second) { service_->on_tick(Instant{Seconds{1000 + second}}); }
  static SessionStats figures(std::uint64_t packets, std::uint32_t lost = 0) {
    SessionStats stats;
    LegStats& leg = stats.legs[0];
    leg.stream_count = 1;
    leg.streams[0].ssrc = 0x1234;
    leg.streams[0].packets = packets;
    leg.streams[0].packets_lost = lost;
    return stats;
  }
  /// The relay answers what it was asked last.
  bool answer(std::uint32_t slot, const SessionStats& stats) {
    Event event;
    event.session = id_of(slot);
    event.token = relay_.tokens.at(relay_.tokens.size() - 1);
    event.stats = stats;
    return service_->on_event(event);
  }
  std::vector<std::string> received(std::size_t count) {
    while (got_.size() < count && loop_.run_once()) {
    }
    return std::exchange(got_, {});
  }

  loop::EventLoop loop_;
  loop::UdpSocket receiver_;
  std::vector<std::string> got_;
  std::string log_lines_;
  std::unique_ptr<log::Log> log_;
  config::Settings settings_;
  api::FakeRelay relay_;
  api::FakeCalls calls_;
  std::unique_ptr<HomerService> service_;
};

TEST_F(HomerServiceTest, without_an_address_there_is_none) {
  settings_.homer.address = {};
  start();
  EXPECT_EQ(service_, nullptr);
}

TEST_F(HomerServiceTest, a_key_that_cannot_be_read_closes_it_and_is_told) {
  settings_.homer.key_file = "/nowhere/key";
  start();
  EXPECT_EQ(service_, nullptr);
  EXPECT_THAT(log_lines_, HasSubstr("event=homer_closed"));
}

TEST_F(HomerServiceTest, each_session_has_its_turn_once_in_an_interval) {
  start();
  for (int second = 1; second <= 4; ++second) {
    tick(second);
    EXPECT_EQ(relay_.tokens.size(), static_cast<std::size_t>(second) * 2);
  }
  for (const std::uint64_t token : relay_.tokens) EXPECT_GE(token, HomerService::kFirstToken);
  tick(5);  // the last one was not known for the last: a second to see it, then anew
  tick(6);
  EXPECT_EQ(relay_.tokens.size(), 10u);
}

TEST_F(HomerServiceTest, zero_seconds_ask_for_nothing_while_calls_are_up) {
  settings_.homer.interval = Seconds{0};
  start();
  for (int second = 1; second <= 4; ++second) tick(second);
  EXPECT_TRUE(relay_.tokens.empty());
}

TEST_F(HomerServiceTest, loss_is_told_since_the_report_before_and_silence_is_not_told_again) {
  calls_.summaries.resize(1);
  start();
  tick(1);
  EXPECT_TRUE(answer(1, figures(75, 25)));
  const std::string first = received(1).at(0);
  EXPECT_THAT(first, HasSubstr("\"fraction_lost\":64,\"packets_lost\":25"));
  EXPECT_THAT(first, HasSubstr("call1")) << "the correlation id";
  EXPECT_THAT(first, Not(HasSubstr("pass")));
  tick(2);
  tick(3);
  EXPECT_TRUE(answer(1, figures(175, 25)));
  EXPECT_THAT(received(1).at(0), HasSubstr("\"fraction_lost\":0,\"packets_lost\":25"));
  tick(4);
  tick(5);
  EXPECT_TRUE(answer(1, figures(175, 25)));
  EXPECT_EQ(service_->counters().sent, 2u);
}

TEST_F(HomerServiceTest, events_of_others_are_left_to_them) {
  start();
  Event event;
  for (const std::uint64_t token : {std::uint64_t{0}, std::uint64_t{5}, api::kFirstToken}) {
    event.token = token;
    EXPECT_FALSE(service_->on_event(event)) << token;
  }
}

TEST_F(HomerServiceTest, answers_that_never_come_are_given_up_and_counted) {
  calls_.summaries.resize(1);
  start();
  tick(1);
  tick(20);
  EXPECT_EQ(service_->counters().lost, 1u);
  EXPECT_TRUE(answer(1, figures(5))) << "late, and nobody else's";
}

TEST_F(HomerServiceTest, an_end_is_reported_with_the_key_and_no_more_than_allowed) {
  const std::string path = testing::TempDir() + "homer_key_" + std::to_string(getpid());
  std::ofstream(path) << "0123456789abcdef-key\n";
  chmod(path.c_str(), 0600);
  settings_.homer.key_file = path;
  settings_.homer.reports_per_second_max = 2;
  start();
  ASSERT_NE(service_, nullptr) << log_lines_;
  unlink(path.c_str());
  const std::map<SessionId, SessionStats> stats{{id_of(1), figures(100)}};
  const std::array<diagnosis::Verdict, 2> verdicts;
  for (int i = 0; i < 5; ++i) service_->end(calls_.summaries[0], "deleted", stats, verdicts);
  const auto packets = received(2);
  EXPECT_THAT(packets.at(0), HasSubstr("\"TYPE\":\"FINAL\""));
  EXPECT_THAT(packets.at(0), HasSubstr("0123456789abcdef-key"));
  EXPECT_THAT(log_lines_, Not(HasSubstr("0123456789abcdef-key")));
  EXPECT_EQ(service_->counters().sent, 2u);
  EXPECT_EQ(service_->counters().lost, 3u);
  tick(1);
  service_->end(calls_.summaries[0], "deleted", stats, verdicts);
  EXPECT_EQ(service_->counters().sent, 3u) << "another second";
}

}  // namespace
}  // namespace turnpike
