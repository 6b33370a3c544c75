// Lines of the log: form, escaping, levels, limit, secrets.
#include "control/log/log.h"

#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <unistd.h>

namespace turnpike::log {
namespace {

using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::MatchesRegex;
using testing::Not;

struct Recorder {
  std::vector<std::string> lines;
  std::chrono::steady_clock::time_point now{std::chrono::hours(1)};

  Options options(Level level = Level::kInfo) {
    Options options;
    options.level = level;
    options.capture = [this](Level, const std::string& line) { lines.push_back(line); };
    options.clock = [this] { return now; };
    return options;
  }
};

TEST(Log, line_has_level_event_and_fields) {
  Recorder recorder;
  Log log(recorder.options());
  log.info("call_end", {{"call_id", "a84b@host"}, {"packets", 17u}, {"answered", true}});
  EXPECT_THAT(recorder.lines,
              ElementsAre("level=info event=call_end call_id=a84b@host packets=17 answered=true"));
}

TEST(Log, values_from_outside_cannot_break_the_line) {
  EXPECT_EQ(logfmt("e", {{"k", "a b"}}), "event=e k=\"a b\"");
  EXPECT_EQ(logfmt("e", {{"k", ""}}), "event=e k=\"\"");
  EXPECT_EQ(logfmt("e", {{"k", "a=b"}}), "event=e k=\"a=b\"");
  EXPECT_EQ(logfmt("e", {{"k", "x\nlevel=error event=fake"}}),
            "event=e k=\"x\\x0alevel=error event=fake\"");
  EXPECT_EQ(logfmt("e", {{"k", "say \"hi\" \\"}}), "event=e k=\"say \\\"hi\\\" \\\\\"");
  EXPECT_EQ(logfmt("e", {{"k", "\x1b[2J\x7f\xc3\xa9"}}), "event=e k=\"\\x1b[2J\\x7f\\xc3\\xa9\"");
  EXPECT_EQ(logfmt("e", {{"k", std::string_view("\0x", 2)}}), "event=e k=\"\\x00x\"");
}

TEST(Log, long_values_are_cut) {
  const std::string line = logfmt("e", {{"k", std::string(100000, 'x')}});
  EXPECT_LT(line.size(), kValueBytesMax + 20);
  EXPECT_THAT(line, EndsWith("x...\""));
}

TEST(Log, format_characters_are_text) {
  Recorder recorder;
  Log log(recorder.options());
  log.info("e", {{"k", "{}{0}%s%n"}});
  EXPECT_THAT(recorder.lines.at(0), EndsWith("k={}{0}%s%n"));
}

TEST(Log, who_did_what_is_written_at_every_level_and_as_often_as_it_happens) {
  Recorder recorder;
  Log log(recorder.options(Level::kError));
  for (int i = 0; i < 20; ++i) log.audit("api_operate", {{"what", "drain"}});
  EXPECT_EQ(recorder.lines.size(), 20u);
  EXPECT_THAT(recorder.lines.back(), EndsWith("level=info event=api_operate what=drain"));
  EXPECT_EQ(log.counters().lines, 20u);
}

TEST(Log, less_important_lines_are_left_out) {
  Recorder recorder;
  Log log(recorder.options(Level::kWarning));
  log.debug("a");
  log.info("b");
  log.warning("c");
  log.error("d");
  EXPECT_THAT(recorder.lines,
              ElementsAre(HasSubstr("level=warning event=c"), HasSubstr("level=error event=d")));
  EXPECT_EQ(log.counters().lines, 2u);
}

TEST(Log, repeated_warnings_are_limited_and_counted) {
  Recorder recorder;
  Log log(recorder.options());
  for (int i = 0; i < 1000; ++i) log.warning("flood");
  EXPECT_EQ(recorder.lines.size(), 10u);
  EXPECT_EQ(log.counters().suppressed, 990u);
  log.warning("other");
  EXPECT_EQ(recorder.lines.size(), 11u) << "another event has its own limit";
  recorder.now += std::chrono::milliseconds(2500);
  for (int i = 0; i < 5; ++i) log.warning("flood");
  ASSERT_EQ(recorder.lines.size(), 13u);
  EXPECT_THAT(recorder.lines[11], EndsWith("event=flood suppressed=990"));
  EXPECT_THAT(recorder.lines[12], EndsWith("event=flood"));
  recorder.now += std::chrono::hours(5);
  for (int i = 0; i < 50; ++i) log.warning("flood");
  EXPECT_EQ(recorder.lines.size(), 23u);
}

TEST(Log, calls_are_not_limited) {
  Recorder recorder;
  Log log(recorder.options());
  for (int i = 0; i < 1000; ++i) log.info("call_offer");
  EXPECT_EQ(recorder.lines.size(), 1000u);
}

TEST(Log, writes_to_standard_output) {
  testing::internal::CaptureStdout();
  {
    Log log(Options{});
    for (int i = 0; i < 100; ++i) log.info("hello", {{"i", i}});
  }
  const std::string out = testing::internal::GetCapturedStdout();
  EXPECT_THAT(out.substr(0, out.find('\n')),
              MatchesRegex("ts=[0-9]{4}-[0-9][0-9]-[0-9][0-9]T[0-9:]{8}\\.[0-9]{3}Z level=info "
                           "event=hello i=0"));
  EXPECT_THAT(out, EndsWith("event=hello i=99\n"));
}

/// A reader that takes nothing, behind a pipe that is full.
class StalledPipe {
 public:
  StalledPipe() {
    EXPECT_EQ(pipe2(ends_, O_CLOEXEC | O_NONBLOCK), 0);
    const std::string filling(4096, '.');
    while (write(ends_[1], filling.data(), filling.size()) > 0) {
    }
    fcntl(ends_[1], F_SETFL, 0);
  }
  ~StalledPipe() {
    close(ends_[0]);
    close(ends_[1]);
  }
  int writing_end() const { return ends_[1]; }
  std::string drain() {
    std::string all;
    char bytes[4096];
    for (ssize_t got = 0; (got = read(ends_[0], bytes, sizeof bytes)) > 0;) {
      all.append(bytes, static_cast<std::size_t>(got));
    }
    return all;
  }

 private:
  int ends_[2] = {-1, -1};
};

Options writing_to(int descriptor) {
  Options options;
  options.descriptor = descriptor;
  return options;
}

TEST(Log, a_reader_that_stalls_costs_lines_and_not_the_end) {
  StalledPipe pipe;
  const auto started = std::chrono::steady_clock::now();
  {
    Log log(writing_to(pipe.writing_end()));
    for (int i = 0; i < 100; ++i) log.info("unread", {{"i", i}});
    while (log.counters().lost < 100) std::this_thread::yield();
    pipe.drain();
    log.info("read_again");
  }
  EXPECT_LT(std::chrono::steady_clock::now() - started, std::chrono::seconds(5));
  const std::string rest = pipe.drain();
  EXPECT_THAT(rest, HasSubstr("event=read_again\n"));
  EXPECT_THAT(rest, Not(HasSubstr("event=unread")));
}

TEST(Log, the_end_does_not_wait_for_a_terminal_that_nobody_reads) {
  int master = -1;
  int slave = -1;
  ASSERT_EQ(openpty(&master, &slave, nullptr, nullptr, nullptr), 0);
  const auto started = std::chrono::steady_clock::now();
  {
    Log log(writing_to(slave));
    for (int i = 0; i < 2000; ++i) log.info("unread", {{"filling", std::string(500, 'x')}});
  }
  EXPECT_LT(std::chrono::steady_clock::now() - started, std::chrono::seconds(5));
  // The writer that was left behind may still hold the other end: it stays open, and fails now.
  close(master);
}

TEST(Log, the_end_writes_what_a_slow_reader_can_take) {
  StalledPipe pipe;
  std::string read;
  {
    Log log(writing_to(pipe.writing_end()));
    log.info("patient");
    read = pipe.drain();
  }
  EXPECT_THAT(read + pipe.drain(), HasSubstr("event=patient\n"));
}

template <typename T>
concept CanBeLogged = requires(T value) {
  Field("key", value);
};
static_assert(CanBeLogged<std::string> && CanBeLogged<int> && CanBeLogged<SocketAddress>);
static_assert(!CanBeLogged<Secret>, "a Secret must not become a field");

}  // namespace
}  // namespace turnpike::log
