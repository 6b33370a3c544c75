// What is said of calls at their end, and how long a daemon that stops waits for it.
#include <array>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "control/call/tally.h"
#include "control/call_records.h"
#include "control/record_line.h"
#include "tests/support/fake_relay.h"

namespace turnpike {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

std::string content_of(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(RecordLine, dates_of_a_call_do_not_move_with_the_clock) {
  const std::map<SessionId, SessionStats> stats;
  const std::array<diagnosis::Verdict, 2> verdicts;
  CallEnd end{.node = "n", .call = {}, .why = "deleted", .stats = stats, .verdicts = verdicts};
  end.call.created = Instant{Seconds{1000}};
  end.call.created_unix_us = 1'700'000'000'250'000;
  end.call.answered_at = end.call.created + Milliseconds{1500};
  end.call.ended_at = end.call.created + Seconds{60};
  for (const int set_by : {0, 3600, -3600}) {
    end.call.ended_unix_us = (1'700'000'060LL + set_by) * 1'000'000;
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

class KeptRecords : public testing::Test {
 protected:
  KeptRecords() { std::filesystem::remove(path_); }
  ~KeptRecords() override { std::filesystem::remove(path_); }

  static call::CallSummary call(std::uint64_t key) {
    call::CallSummary summary;
    summary.call_id = "call-" + std::to_string(key);
    summary.record_key = key;
    return summary;
  }

  const std::string path_ = testing::TempDir() + "kept_records_" + std::to_string(::getpid());
  test::FakeRelay relay_{{}};
  log::Log log_{log::Options{}};
};

TEST_F(KeptRecords, a_line_is_kept_until_it_is_in_the_file) {
  relay_.records[7] = "the call";
  {
    CallRecords records("n", log_);
    records.keep_in(relay_, 8);
    records.set({.path = path_});
    records.end(call(7), "deleted", {}, {});
    EXPECT_TRUE(relay_.records[7].starts_with(kCallRecordBegin)) << relay_.records[7];
    records.finish();
    EXPECT_TRUE(relay_.records.empty());
  }
  EXPECT_THAT(content_of(path_), HasSubstr("call-7"));
}

TEST_F(KeptRecords, lines_of_a_process_before_are_written_once) {
  {
    CallRecords before("n", log_);
    before.keep_in(relay_, 8);
    before.set({.path = path_});
    for (const std::uint64_t key : {7, 8}) {  // the line of the first may be forgotten by then
      before.end(call(key), "deleted", {}, {});
      relay_.records_found.emplace_back(key, relay_.records.at(key));
    }
    before.finish();
  }
  ASSERT_EQ(relay_.records_found.size(), 2U);
  const std::string both = content_of(path_);
  // Killed after the first line, before any was forgotten.
  std::filesystem::resize_file(path_, both.find('\n') + 1);
  CallRecords after("n", log_);
  after.keep_in(relay_, 8);
  after.set({.path = path_});
  for (const auto& [key, bytes] : relay_.records_found) {
    relay_.records[key] = bytes;
    EXPECT_TRUE(after.adopt(key, bytes));
  }
  EXPECT_FALSE(after.adopt(9, "1CPT"));
  after.finish();
  EXPECT_EQ(content_of(path_), both);
  EXPECT_TRUE(relay_.records.empty());
}

TEST_F(KeptRecords, who_writes_none_keeps_none_and_calls_keep_their_room) {
  CallRecords records("n", log_);
  records.keep_in(relay_, 2);
  relay_.records[7] = "the call";
  records.end(call(7), "deleted", {}, {});
  relay_.records[8] = "{\"version\":1}";
  EXPECT_TRUE(records.adopt(8, relay_.records[8]));
  EXPECT_TRUE(relay_.records.empty());
  records.set({.path = path_});
  for (std::uint64_t key = 10; key < 100; ++key) {
    relay_.records[key] = "the call";
    records.end(call(key), "deleted", {}, {});
    EXPECT_LE(relay_.records.size(), 2U);
  }
  records.finish();
  EXPECT_TRUE(relay_.records.empty());
}

}  // namespace
}  // namespace turnpike
