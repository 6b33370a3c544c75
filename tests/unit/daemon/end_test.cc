// What is said of calls at their end, and how long a daemon that stops waits for it.
#include <array>
#include <fstream>
#include <map>
#include <string>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "control/call/tally.h"
#include "control/call_records.h"
#include "control/drain.h"
#include "control/record_line.h"

namespace turnpike {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

std::string content_of(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(DrainTest, waits_for_calls_in_time_and_for_the_figures_of_the_last_ones) {
  const Instant end{Seconds{100}};
  const Drain drain{end};
  using Step = Drain::Step;
  EXPECT_EQ(drain.step(0, 0, end - Seconds{50}), Step::kDone);
  EXPECT_EQ(drain.step(1, 0, end - Milliseconds{1}), Step::kWait);
  EXPECT_EQ(drain.step(1, 0, end), Step::kLate);
  EXPECT_EQ(drain.step(0, 1, end - Seconds{50}), Step::kWait) << "its record is still to come";
  EXPECT_EQ(drain.step(0, 1, end + Seconds{50}), Step::kWait) << "it comes within two seconds";
  EXPECT_EQ(drain.step(1, 1, end), Step::kWait);
  EXPECT_EQ(drain.step(1, 1, end + Drain::kLastFigures), Step::kLate) << "calls go on to end";
}

TEST(RecordLine, dates_of_a_call_do_not_move_with_the_clock) {
  const std::map<SessionId, SessionStats> stats;
  const std::array<diagnosis::Verdict, 2> verdicts;
  CallEnd end{.node = "n", .call = {}, .why = "deleted", .stats = stats, .verdicts = verdicts};
  end.call.created = Instant{Seconds{1000}};
  end.call.created_unix_us = 1'700'000'000'250'000;
  end.call.answered_at = end.call.created + Milliseconds{1500};
  end.now = end.call.created + Seconds{60};
  for (const int set_by : {0, 3600, -3600}) {
    end.date = std::chrono::system_clock::time_point{std::chrono::seconds{1'700'000'060 + set_by}};
    const json record = json::parse(call_record(end));
    EXPECT_EQ(record["started"], "2023-11-14T22:13:20.250Z");
    EXPECT_EQ(record["answered"], "2023-11-14T22:13:21.750Z");
    EXPECT_EQ(record["seconds"], 60);
  }
  end.call.answered_at = {};
  const std::string line = call_record(end);
  EXPECT_TRUE(json::parse(line)["answered"].is_null());
  EXPECT_TRUE(line.starts_with(kCallRecordBegin)) << "or the next start takes it for no record";
}

TEST(RecordLine, the_documentation_names_every_end_and_kind) {
  const std::string text = content_of(TURNPIKE_SOURCE_DIR "/docs/records.md");
  for (std::size_t i = 0; i < static_cast<std::size_t>(call::Ending::kCount); ++i) {
    const std::string why = call::text_of(static_cast<call::Ending>(i));
    EXPECT_THAT(text, HasSubstr("`" + why + "`"));
  }
  EXPECT_THAT(text, HasSubstr("`" + std::string(call::kCarrierKind) + "`"));
}

TEST(CallRecordsTest, to_write_no_more_is_not_to_write_again) {
  std::string lines;
  log::Options options;
  options.capture = [&lines](log::Level, const std::string& line) { lines += line + "\n"; };
  log::Log log(options);
  CallRecords records("n", log);
  records.set({.path = "/nowhere/calls"});
  records.end({}, "deleted", {}, {});
  while (records.counters().lost == 0) std::this_thread::yield();
  records.on_tick();
  EXPECT_THAT(lines, HasSubstr("records_lost"));
  records.set({});
  records.on_tick();
  EXPECT_THAT(lines, Not(HasSubstr("records_written")));
}

}  // namespace
}  // namespace turnpike
