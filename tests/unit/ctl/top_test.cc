// turnpikectl top: what happened between two looks, and its order.
#include "control/ctl/top.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace turnpike::ctl {
namespace {

using testing::HasSubstr;

TopFigures figures(std::uint64_t received, std::uint64_t lost, std::uint64_t dropped,
                   double jitter_ms, const std::string& call_id = "c") {
  return {"audio", call_id, received, lost, dropped, jitter_ms};
}

TEST(CtlTop, a_page_sums_both_legs) {
  const std::string body = R"({"total": 2, "matching": 2, "sessions": [
    {"id": "0-1-1", "kind": "audio", "call_id": "x\u001b", "legs": {
      "a": {"packets_received": 100, "packets_lost": 3, "packets_dropped": 1, "jitter_ms": 1.5},
      "b": {"packets_received": 90, "packets_lost": 0, "packets_dropped": 4, "jitter_ms": 7}}},
    {"id": "0-2-1", "kind": "audio", "call_id": "y", "legs": null}]})";
  TopSnapshot snapshot;
  const auto page = add_page(body, snapshot);
  ASSERT_TRUE(page);
  EXPECT_EQ(page->sessions, 2u) << "also what has no figures is of the page";
  EXPECT_EQ(page->last, "0-2-1");
  ASSERT_EQ(snapshot.size(), 1u);
  const TopFigures& one = snapshot.at("0-1-1");
  EXPECT_EQ(one.received, 190u);
  EXPECT_EQ(one.lost, 3u);
  EXPECT_EQ(one.dropped, 5u);
  EXPECT_EQ(one.jitter_ms, 7);
  EXPECT_EQ(one.call_id, "x?");
  EXPECT_FALSE(add_page("[]", snapshot));
}

TEST(CtlTop, only_what_is_in_both_is_shown_by_what_happened_between) {
  const TopSnapshot before{{"0-1-1", figures(1000, 0, 0, 1)},
                           {"0-2-1", figures(0, 0, 0, 1)},
                           {"0-3-1", figures(5, 0, 0, 1)}};
  const TopSnapshot after{{"0-1-1", figures(1100, 0, 50, 1)},
                          {"0-2-1", figures(150, 50, 0, 9)},
                          {"0-4-1", figures(900, 0, 0, 1)}};
  const std::string shown = print_top(before, after, 2.0, "packets", 10, false);
  EXPECT_EQ(shown,
            "ID     KIND   PACKETS/S  LOSS %  JITTER MS  DROPS/S  CALL-ID\n"
            "0-2-1  audio  75.0       25.0    9.0        0.0      c\n"
            "0-1-1  audio  50.0       0.0     1.0        25.0     c\n");
  const auto first = [&](const std::string& order) {
    return print_top(before, after, 2.0, order, 1, false).substr(61, 5);
  };
  EXPECT_EQ(first("drops"), "0-1-1");
  EXPECT_EQ(first("loss"), "0-2-1");
  EXPECT_EQ(first("jitter"), "0-2-1");
  EXPECT_THAT(print_top(before, after, 2.0, "packets", 1, true),
              HasSubstr("\"packets_per_second\": 75.0"));
  EXPECT_EQ(print_top({}, after, 2.0, "packets", 10, false), "no sessions\n");
}

TEST(CtlTop, counters_that_begin_anew_are_no_rate) {
  const TopSnapshot before{{"0-1-1", figures(1000, 5, 5, 1)}};
  const TopSnapshot after{{"0-1-1", figures(10, 0, 0, 1)}};
  EXPECT_THAT(print_top(before, after, 1.0, "packets", 1, false), HasSubstr("0.0        0.0 "));
}

}  // namespace
}  // namespace turnpike::ctl
