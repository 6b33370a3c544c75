// The gate: networks, the token, quotas of each client, messages of every form.
#include "control/ng/gate.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/unit/ng/support.h"

namespace turnpike::ng {
namespace {

const IpAddress kHere = IpAddress::v4(127, 0, 0, 1);
const IpAddress kThere = IpAddress::v4(127, 0, 0, 2);
const IpAddress kElsewhere = IpAddress::v4(192, 0, 2, 1);

class GateTest : public testing::Test {
 protected:
  std::unique_ptr<Gate> gate(GateRules rules = {}) {
    return std::make_unique<Gate>(std::move(rules), MessageLimits{}, dispatcher_);
  }
  std::uint64_t refused(Refusal refusal) const {
    return dispatcher_.counters().refusals[static_cast<std::size_t>(refusal)];
  }
  struct Answer {
    Gate::Outcome outcome{};
    std::string text;
  };
  void ask(Gate& gate, std::string_view message) {
    gate.handle(kHere, message, [this](Gate::Outcome outcome, std::string text) {
      answers_.push_back({outcome, std::move(text)});
    });
  }

  RecordingCalls calls_;
  Dispatcher dispatcher_{calls_, [] { return Instant{}; }, {}};
  std::vector<Answer> answers_;
};

TEST_F(GateTest, admits_this_host_or_the_networks_that_are_given) {
  const auto usual = gate();
  EXPECT_TRUE(usual->admits(kHere));
  EXPECT_TRUE(usual->admits(*parse_ip("::1")));
  EXPECT_FALSE(usual->admits(kElsewhere));
  EXPECT_FALSE(usual->admits(IpAddress{}));
  EXPECT_EQ(refused(Refusal::kNetwork), 2u);
  const auto narrow = gate({.is_client = [](const IpAddress& ip) { return ip == kThere; }});
  EXPECT_TRUE(narrow->admits(kThere));
  EXPECT_FALSE(narrow->admits(kHere));
}

TEST_F(GateTest, token_is_the_whole_of_it_behind_the_scheme) {
  const auto with = gate({.token = "correct horse battery"});
  EXPECT_TRUE(with->is_authorised("Bearer correct horse battery"));
  EXPECT_TRUE(with->is_authorised("bEARER correct horse battery"));
  for (const char* text :
       {"", "Bearer", "Bearer ", "correct horse battery", "Basic correct horse battery",
        "Bearer correct horse batterY", "Bearer correct horse batter",
        "Bearer correct horse battery ", "Bearer  correct horse battery", "Bearer-correct"}) {
    EXPECT_FALSE(with->is_authorised(text)) << text;
  }
  const auto without = gate();
  EXPECT_FALSE(without->is_authorised("Bearer "));
  EXPECT_FALSE(without->is_authorised("Bearer x"));
}

TEST_F(GateTest, what_was_let_in_is_judged_again_by_new_rules) {
  const auto open = gate({.token = "correct horse battery"});
  const std::uint64_t shown = open->token_number();
  EXPECT_EQ(open->judge_again(kHere, shown), Refusal::kNone);
  open->set_token("correct horse battery");
  EXPECT_EQ(open->judge_again(kHere, shown), Refusal::kNone) << "read anew, and the same";
  open->set_token("another horse battery");
  EXPECT_EQ(open->judge_again(kHere, shown), Refusal::kToken);
  open->set_token("correct horse battery");
  EXPECT_EQ(open->judge_again(kHere, shown), Refusal::kToken) << "it was withdrawn meanwhile";
  open->set_rules({.is_client = [](const IpAddress& ip) { return ip == kThere; }});
  EXPECT_EQ(open->judge_again(kHere, open->token_number()), Refusal::kNetwork);
  EXPECT_EQ(open->judge_again(kThere, open->token_number()), Refusal::kNone);
}

TEST_F(GateTest, requests_in_work_are_limited_for_each_client_alone) {
  const auto limited = gate({.requests_in_work_max = 2});
  const Instant now{Seconds{100}};
  auto first = limited->enter(kHere, now);
  const auto second = limited->enter(kHere, now);
  ASSERT_NE(first.place, nullptr);
  ASSERT_NE(second.place, nullptr);
  const auto third = limited->enter(kHere, now);
  EXPECT_EQ(third.place, nullptr);
  EXPECT_EQ(third.refusal, Refusal::kInWork);
  EXPECT_NE(limited->enter(kThere, now).place, nullptr);
  first.place.reset();
  EXPECT_NE(limited->enter(kHere, now).place, nullptr);
  EXPECT_EQ(refused(Refusal::kInWork), 1u);
}

TEST_F(GateTest, requests_per_second_are_limited_and_come_back) {
  const auto limited = gate({.requests_per_second_max = 4});
  Instant now{Seconds{100}};
  for (int i = 0; i < 4; ++i) EXPECT_NE(limited->enter(kHere, now).place, nullptr) << i;
  EXPECT_EQ(limited->enter(kHere, now).refusal, Refusal::kRate);
  EXPECT_NE(limited->enter(kThere, now).place, nullptr);
  now += Milliseconds{250};
  EXPECT_NE(limited->enter(kHere, now).place, nullptr);
  EXPECT_EQ(limited->enter(kHere, now).refusal, Refusal::kRate);
  now += Seconds{3600};  // a long rest earns no more than a second's worth
  for (int i = 0; i < 4; ++i) EXPECT_NE(limited->enter(kHere, now).place, nullptr) << i;
  EXPECT_EQ(limited->enter(kHere, now).refusal, Refusal::kRate);
  EXPECT_EQ(refused(Refusal::kRate), 3u);
}

TEST_F(GateTest, figures_of_clients_are_bounded_and_idle_ones_make_room) {
  const auto small = gate({.requests_per_second_max = 1, .clients_max = 2});
  Instant now{Seconds{100}};
  EXPECT_NE(small->enter(kHere, now).place, nullptr);
  EXPECT_NE(small->enter(kThere, now).place, nullptr);
  EXPECT_EQ(small->enter(kElsewhere, now).place, nullptr);
  now += Seconds{2};
  EXPECT_NE(small->enter(kElsewhere, now).place, nullptr);
}

TEST_F(GateTest, place_outlives_the_gate) {
  auto short_lived = gate();
  const auto entry = short_lived->enter(kHere, Instant{});
  short_lived.reset();
  EXPECT_NE(entry.place, nullptr);
}

TEST_F(GateTest, message_may_be_bare_or_have_a_cookie_in_both_encodings) {
  const auto open = gate();
  ask(*open, "d7:command4:pinge");
  ask(*open, "1_2 d7:command4:pinge");
  ask(*open, R"({"command":"ping"})");
  ask(*open, "1_2 {\"command\":\"ping\"}\r\n");
  ASSERT_EQ(answers_.size(), 4u);
  EXPECT_EQ(answers_[0].text, "d6:result4:ponge");
  EXPECT_EQ(answers_[1].text, "1_2 d6:result4:ponge");
  EXPECT_EQ(answers_[2].text, R"({"result":"pong"})");
  EXPECT_EQ(answers_[3].text, R"(1_2 {"result":"pong"})");
  for (const Answer& answer : answers_) EXPECT_EQ(answer.outcome, Gate::Outcome::kReply);
}

TEST_F(GateTest, unreadable_messages_say_why) {
  const auto open = gate();
  ask(*open, "");
  ask(*open, "nonsense");
  ask(*open, R"({"command":null})");
  ask(*open, "c d7:command4:pinge ");
  ASSERT_EQ(answers_.size(), 4u);
  for (const Answer& answer : answers_) EXPECT_EQ(answer.outcome, Gate::Outcome::kUnreadable);
  EXPECT_NE(answers_[0].text.find("no cookie"), std::string::npos);
  EXPECT_EQ(answers_[2].text,
            R"({"result":"error","error-reason":"no value begins with this byte at byte 11"})");
  EXPECT_TRUE(answers_[3].text.starts_with("c d6:result5:error12:error-reason"));
  EXPECT_NE(answers_[3].text.find("bytes follow the dictionary"), std::string::npos);
  EXPECT_TRUE(calls_.seen.empty());
}

TEST_F(GateTest, too_much_is_refused_in_the_encoding_and_places_come_back_with_replies) {
  calls_.hold = true;
  const auto limited = gate({.requests_in_work_max = 1});
  ask(*limited, R"({"call-id":"c","command":"query"})");
  ask(*limited, R"(7 {"command":"ping"})");
  ask(*limited, "d7:command4:pinge");
  ASSERT_EQ(answers_.size(), 2u);
  EXPECT_EQ(answers_[0].outcome, Gate::Outcome::kRefused);
  EXPECT_EQ(answers_[0].text, R"(7 {"result":"error","error-reason":"Too many requests in work"})");
  EXPECT_TRUE(answers_[1].text.starts_with("d6:result5:error"));
  calls_.release_all();
  ASSERT_EQ(answers_.size(), 3u);
  ask(*limited, R"({"command":"ping"})");
  EXPECT_EQ(answers_.back().text, R"({"result":"pong"})");
}

}  // namespace
}  // namespace turnpike::ng
