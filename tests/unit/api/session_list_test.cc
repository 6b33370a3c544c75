// Which sessions are listed, in which order, and figures that come, come late, or never.
#include "control/api/session_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/unit/api/fakes.h"

namespace turnpike::api {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::uint64_t kFirst = 1000;

class SessionListTest : public testing::Test {
 protected:
  SessionListTest()
      : list_(
            relay_, calls_, [this] { return now_; }, kFirst) {
    for (std::uint32_t i = 0; i < 60; ++i) {
      call::CallSummary call;
      call.call_id = "call-" + std::to_string(i) + (i == 7 ? "-Needle" : "");
      call.from_tag = "from";
      call.created = now_ - Seconds{i == 3 ? 500 : i};
      call.sessions = {{SessionId{.slot = i, .generation = 1, .shard = 0}, "audio", {}}};
      call.sessions[0].legs[0].interface = "outside";
      if (i == 9) call.sessions[0].legs[1].remote = *parse_socket_address("10.20.0.99:4000");
      calls_.summaries.push_back(call);
    }
    relay_.any_session = true;
  }

  Response get(std::map<std::string, std::string> query) {
    answer_ = {0, "", ""};
    list_.handle({Door::kUnix, "/v1/sessions", Method::kGet, std::move(query)},
                 [this](Response response) { answer_ = std::move(response); });
    return answer_;
  }
  json sessions(std::map<std::string, std::string> query) {
    return json::parse(get(std::move(query)).body);
  }
  static std::vector<std::string> ids(const json& answer) {
    std::vector<std::string> all;
    for (const auto& one : answer.at("sessions")) all.push_back(one.at("id"));
    return all;
  }

  Event figures(std::uint64_t token) {
    Event event;
    event.kind = EventKind::kSessionStats;
    event.token = token;
    LegStats& leg = event.stats.legs[0];
    leg.packets_received = 500;
    leg.last_packet = leg.last_rtp = now_;
    leg.drops[static_cast<std::size_t>(DropReason::kAuthFailed)] = 3;
    leg.drops[static_cast<std::size_t>(DropReason::kReplayed)] = 4;
    leg.stream_count = 2;
    leg.streams[0].packets_lost = 9;
    leg.streams[0].jitter = 70;
    leg.streams[1].packets_lost = 1;
    leg.streams[1].jitter = 30;
    leg.streams[1].last_packet = leg.streams[1].last_rtp = now_;
    return event;
  }

  Instant now_{Seconds{1000}};
  FakeRelay relay_;
  FakeCalls calls_;
  Response answer_;
  SessionList list_;
};

TEST_F(SessionListTest, without_a_wish_all_are_listed) {
  const json answer = sessions({});
  EXPECT_EQ(answer["total"], 60);
  EXPECT_EQ(answer["matching"], 60);
  EXPECT_EQ(answer["sessions"].size(), 60u);
  EXPECT_FALSE(answer["sessions"][0].contains("legs"));
  EXPECT_TRUE(relay_.tokens.empty());
}

TEST_F(SessionListTest, search_finds_names_and_addresses_in_any_case) {
  EXPECT_THAT(ids(sessions({{"search", "nEEdle"}})), ElementsAre("0-7-1"));
  EXPECT_THAT(ids(sessions({{"search", "10.20.0.99"}})), ElementsAre("0-9-1"));
  const json none = sessions({{"search", "nowhere"}});
  EXPECT_EQ(none["matching"], 0);
  EXPECT_EQ(none["total"], 60);
}

TEST_F(SessionListTest, order_and_pages) {
  EXPECT_THAT(ids(sessions({{"sort", "newest"}, {"limit", "2"}})), ElementsAre("0-0-1", "0-1-1"));
  EXPECT_THAT(ids(sessions({{"sort", "oldest"}, {"limit", "2"}})), ElementsAre("0-3-1", "0-59-1"));
  EXPECT_THAT(ids(sessions({{"sort", "call_id"}, {"limit", "3"}, {"offset", "1"}})),
              ElementsAre("0-1-1", "0-10-1", "0-11-1"));
  EXPECT_TRUE(ids(sessions({{"offset", "60"}})).empty());
  EXPECT_TRUE(ids(sessions({{"offset", "4294967295"}})).empty());
}

TEST_F(SessionListTest, a_walk_meets_each_session_once_and_costs_what_it_meets) {
  std::vector<std::string> met;
  std::string last;
  for (;;) {
    const json page = sessions({{"after", last}, {"limit", "25"}});
    EXPECT_EQ(page["total"], 60 - (met.empty() ? 0 : 10));
    for (const std::string& id : ids(page)) met.push_back(id);
    if (page["sessions"].size() < 25) break;
    last = met.back();
    // Sessions of the first page end: what is behind them is not passed over.
    if (met.size() == 25)
      calls_.summaries.erase(calls_.summaries.begin(), calls_.summaries.begin() + 10);
  }
  ASSERT_EQ(met.size(), 60u);
  for (std::uint32_t i = 0; i < 60; ++i) EXPECT_EQ(met[i], "0-" + std::to_string(i) + "-1");
  EXPECT_EQ(calls_.asked_for_all, 0) << "each page would cost all calls";
  for (const auto& [name, value] : std::vector<std::pair<std::string, std::string>>{
           {"search", "x"}, {"sort", "newest"}, {"offset", "1"}}) {
    EXPECT_EQ(get({{"after", ""}, {name, value}}).status, 400u) << name;
  }
}

TEST_F(SessionListTest, wrong_wishes_are_named) {
  for (const auto& [name, value] :
       std::vector<std::pair<std::string, std::string>>{{"sort", "best"},
                                                        {"limit", "0"},
                                                        {"limit", "-1"},
                                                        {"limit", "4294967296"},
                                                        {"limit", "3x"},
                                                        {"offset", ""},
                                                        {"figures", "1"},
                                                        {"figures", "true"},
                                                        {"after", "1-2"},
                                                        {"x", "y"}}) {
    const Response answer = get({{name, value}});
    EXPECT_EQ(answer.status, 400u) << name << value;
    EXPECT_THAT(answer.body, HasSubstr("error"));
  }
  EXPECT_EQ(get({{"figures", "true"}, {"limit", "51"}}).status, 400u);
}

TEST_F(SessionListTest, figures_of_the_page_come_together) {
  get({{"figures", "true"}, {"limit", "2"}, {"sort", "newest"}});
  EXPECT_EQ(answer_.status, 0u);
  ASSERT_EQ(relay_.tokens.size(), 2u);
  EXPECT_TRUE(list_.on_event(figures(relay_.tokens[1])));
  EXPECT_EQ(answer_.status, 0u);
  EXPECT_TRUE(list_.on_event(figures(relay_.tokens[0])));
  const json leg = json::parse(answer_.body)["sessions"][0]["legs"]["a"];
  EXPECT_EQ(leg["packets_received"], 500);
  EXPECT_EQ(leg["packets_lost"], 10);
  EXPECT_EQ(leg["packets_dropped"], 7);
  EXPECT_EQ(leg["jitter_timestamp_units"], 30) << "of the stream that is heard";
}

TEST_F(SessionListTest, sessions_that_end_meanwhile_have_none) {
  relay_.any_session = false;
  get({{"figures", "true"}, {"limit", "2"}});
  ASSERT_EQ(answer_.status, 200u);
  EXPECT_TRUE(json::parse(answer_.body)["sessions"][0]["legs"].is_null());
}

TEST_F(SessionListTest, what_does_not_come_is_left_out) {
  get({{"figures", "true"}, {"limit", "2"}});
  list_.on_event(figures(relay_.tokens[0]));
  list_.on_tick();
  EXPECT_EQ(answer_.status, 0u);
  now_ += Seconds{3};
  list_.on_tick();
  ASSERT_EQ(answer_.status, 200u);
  EXPECT_FALSE(json::parse(answer_.body)["sessions"][0]["legs"].is_null());
  EXPECT_TRUE(json::parse(answer_.body)["sessions"][1]["legs"].is_null());
  EXPECT_TRUE(list_.on_event(figures(relay_.tokens[1]))) << "late, but ours";
}

TEST_F(SessionListTest, waiting_pages_are_limited) {
  for (int i = 0; i < 8; ++i) get({{"figures", "true"}, {"limit", "50"}});
  EXPECT_EQ(answer_.status, 0u);
  EXPECT_EQ(get({{"figures", "true"}, {"limit", "50"}}).status, 503u);
  EXPECT_EQ(relay_.tokens.size(), 400u);
}

TEST_F(SessionListTest, events_of_others_are_left_to_them) {
  EXPECT_FALSE(list_.on_event(figures(kFirst - 1)));
  EXPECT_FALSE(list_.on_event(figures(kFirst + (std::uint64_t{1} << 32))));
}

}  // namespace
}  // namespace turnpike::api
