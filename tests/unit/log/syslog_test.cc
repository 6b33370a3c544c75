// The log as syslog messages: their form whatever stands in them, and receivers that are not there.
#include <chrono>
#include <string>
#include <thread>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "control/log/log.h"
#include "control/log/syslog_message.h"
#include "control/loop/socket_address.h"

namespace turnpike::log {
namespace {

using testing::ContainsRegex;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

std::string sent(std::string_view text, std::string_view host = "edge1") {
  return to_syslog({.facility = SyslogFacility::kLocal0,
                    .severity = SyslogSeverity::kWarning,
                    .timestamp = "2026-11-23T15:08:00.042Z",
                    .host_name = host,
                    .process_id = 17,
                    .sequence = 3,
                    .text = text});
}

TEST(Syslog, message_has_header_structured_data_and_text) {
  EXPECT_EQ(sent("level=warning event=no_media call_id=a"),
            "<132>1 2026-11-23T15:08:00.042Z edge1 turnpiked 17 no_media [meta sequenceId=\"3\"] "
            "level=warning event=no_media call_id=a");
}

TEST(Syslog, priority_is_facility_times_eight_and_severity) {
  SyslogMessage message;
  message.timestamp = "t";
  message.text = "x";
  EXPECT_THAT(to_syslog(message), StartsWith("<30>1 t - turnpiked 0 - ["));
  message.facility = SyslogFacility::kLocal7;
  message.severity = SyslogSeverity::kDebug;
  EXPECT_THAT(to_syslog(message), StartsWith("<191>1 "));
  message.facility = SyslogFacility::kUser;
  message.severity = SyslogSeverity::kError;
  EXPECT_THAT(to_syslog(message), StartsWith("<11>1 "));
}

TEST(Syslog, values_from_outside_stay_in_the_text_of_one_message) {
  const std::string hostile = "x]\"\n<0>1 - evil - - - - \xc3\xa9\xff\x1b[2J\\";
  const std::string line = sent("level=info " + logfmt("call", {{"call_id", hostile}}));
  EXPECT_THAT(line, EndsWith("[meta sequenceId=\"3\"] level=info event=call "
                             "call_id=\"x]\\\"\\x0a<0>1 - evil - - - - "
                             "\\xc3\\xa9\\xff\\x1b[2J\\\\\""));
  EXPECT_THAT(line, Not(HasSubstr("\n")));
  // Also if somebody forgot to escape.
  EXPECT_THAT(sent(std::string("event=e \r\n\x7f\xc3\xa9") + '\0' + 'z'),
              EndsWith("event=e       z"));
}

TEST(Syslog, fields_of_the_header_are_printable_and_bounded) {
  EXPECT_THAT(sent("event=e", "my host\n\xc3\xa9"), HasSubstr("Z my?host??? turnpiked"));
  EXPECT_THAT(sent("event=e", ""), HasSubstr("Z - turnpiked 17 e ["));
  EXPECT_THAT(sent("event=e", std::string(300, 'h')),
              HasSubstr("Z " + std::string(255, 'h') + " turnpiked"));
  EXPECT_THAT(sent("event=" + std::string(40, 'e') + " k=v"),
              HasSubstr(" 17 " + std::string(32, 'e') + " ["));
  EXPECT_THAT(sent("no event"), HasSubstr(" 17 - ["));
}

TEST(Syslog, long_messages_are_cut) {
  const std::string line = sent("event=e k=" + std::string(20000, 'x'));
  EXPECT_EQ(line.size(), kSyslogBytesMax);
  EXPECT_THAT(line, EndsWith("xxx..."));
}

TEST(Syslog, facilities_have_names) {
  EXPECT_EQ(parse_facility("daemon"), SyslogFacility::kDaemon);
  EXPECT_EQ(parse_facility("user"), SyslogFacility::kUser);
  EXPECT_EQ(static_cast<int>(*parse_facility("local0")), 16);
  EXPECT_EQ(static_cast<int>(*parse_facility("local7")), 23);
  for (const char* word : {"", "local", "local8", "local10", "locale", "kern", "Daemon"}) {
    EXPECT_FALSE(parse_facility(word)) << word;
  }
}

/// A datagram socket that a log may send to.
class Receiver {
 public:
  explicit Receiver(const std::string& path) : descriptor_(socket(AF_UNIX, SOCK_DGRAM, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    unlink(path.c_str());
    EXPECT_EQ(bind(descriptor_, loop::as_sockaddr(address), sizeof address), 0);
  }
  Receiver() : descriptor_(socket(AF_INET, SOCK_DGRAM, 0)) {
    const sockaddr_storage any = loop::to_sockaddr({IpAddress::v4(127, 0, 0, 1), 0});
    EXPECT_EQ(bind(descriptor_, loop::as_sockaddr(any), loop::length_of(any)), 0);
  }
  ~Receiver() { close(descriptor_); }

  SocketAddress address() const {
    sockaddr_storage own{};
    socklen_t length = sizeof own;
    EXPECT_EQ(getsockname(descriptor_, loop::as_sockaddr(own), &length), 0);
    return loop::from_sockaddr(loop::as_sockaddr(own));
  }
  /// "" when nothing comes.
  std::string read(std::chrono::microseconds patience = std::chrono::seconds(5)) const {
    const timeval limit{patience.count() / 1'000'000, patience.count() % 1'000'000};
    setsockopt(descriptor_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    char bytes[9000];
    const ssize_t got = recv(descriptor_, bytes, sizeof bytes, 0);
    return got < 0 ? "" : std::string(bytes, static_cast<std::size_t>(got));
  }

 private:
  int descriptor_;
};

Options sending_to(SyslogTarget target, int null) {
  Options options;
  options.descriptor = null;
  options.syslog.push_back(std::move(target));
  return options;
}

class SyslogSinkTest : public testing::Test {
 protected:
  SyslogSinkTest() : path_(testing::TempDir() + "syslog_" + std::to_string(getpid())) {}
  ~SyslogSinkTest() override {
    unlink(path_.c_str());
    close(null_);
  }

  const std::string path_;
  const int null_ = open("/dev/null", O_WRONLY | O_CLOEXEC);
};

TEST_F(SyslogSinkTest, lines_reach_a_unix_socket_and_udp_with_numbers) {
  const Receiver local(path_);
  const Receiver remote;
  Options options = sending_to({path_, {}, SyslogFacility::kDaemon}, null_);
  options.syslog.push_back({"", remote.address(), SyslogFacility::kLocal0});
  Log log(options);
  log.info("first");
  log.error("second", {{"k", "a b"}});
  log.debug("not_written");
  EXPECT_THAT(local.read(), ContainsRegex("^<30>1 [0-9T:.-]+Z [^ ]+ turnpiked [0-9]+ first "
                                          ".meta sequenceId=\"1\". level=info event=first$"));
  EXPECT_THAT(local.read(), EndsWith("sequenceId=\"2\"] level=error event=second k=\"a b\""));
  EXPECT_THAT(remote.read(), StartsWith("<134>1 "));
  EXPECT_THAT(remote.read(), StartsWith("<131>1 "));
  EXPECT_EQ(log.counters().syslog_lost, 0u);
}

TEST_F(SyslogSinkTest, a_receiver_that_comes_back_is_found_and_what_it_missed_is_counted) {
  Log log(sending_to({path_, {}, SyslogFacility::kDaemon}, null_));
  log.info("nobody_there");
  while (log.counters().syslog_lost < 1) std::this_thread::yield();
  {
    const Receiver first(path_);
    std::string got;
    // One look a second: until then lines are lost.
    for (int i = 0; i < 200 && got.empty(); ++i) {
      log.info("hello");
      got = first.read(std::chrono::milliseconds(50));
    }
    EXPECT_THAT(got, EndsWith("event=hello"));
  }
  const std::uint64_t lost = log.counters().syslog_lost;
  log.info("gone");
  while (log.counters().syslog_lost == lost) std::this_thread::yield();
}

TEST_F(SyslogSinkTest, one_that_does_not_read_costs_lines_and_no_time) {
  const Receiver idle(path_);
  const auto started = std::chrono::steady_clock::now();
  Log log(sending_to({path_, {}, SyslogFacility::kDaemon}, null_));
  for (int i = 0; i < 5000; ++i) log.info("unread", {{"filling", std::string(200, 'x')}});
  while (log.counters().syslog_lost == 0) std::this_thread::yield();
  EXPECT_LT(std::chrono::steady_clock::now() - started, std::chrono::seconds(10));
  EXPECT_THAT(idle.read(), HasSubstr("sequenceId=\"1\"")) << "what fitted is there";
}

TEST_F(SyslogSinkTest, udp_that_nobody_listens_to_is_counted) {
  SocketAddress closed;
  { closed = Receiver().address(); }
  Log log(sending_to({"", closed, SyslogFacility::kDaemon}, null_));
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (log.counters().syslog_lost == 0) {
    ASSERT_LT(std::chrono::steady_clock::now(), give_up);
    log.info("hello");
    std::this_thread::yield();
  }
  EXPECT_LE(log.counters().syslog_lost, log.counters().lines);
}

}  // namespace
}  // namespace turnpike::log
