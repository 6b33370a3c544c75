// Tokens, scopes, client certificates, and the pause after many wrong tokens.
#include "control/api/gate.h"

#include <cstring>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace turnpike::api {
namespace {

using testing::HasSubstr;
using testing::Not;

const std::string kReader = "reader-0123456789-0123456789";
const std::string kOperator = "operator-0123456789-0123456";

std::vector<Token> tokens() {
  return {{"grafana", Scope::kRead, Secret(kReader)}, {"anna", Scope::kOperate, Secret(kOperator)}};
}

class GateTest : public testing::Test {
 protected:
  GateTest() : gate_(context(), tokens()) {}

  GateContext context() {
    return {[this] { return now_; },
            [](void* buffer, std::size_t size) { std::memset(buffer, 0x5a, size); },
            [this](Refusal why, const IpAddress&, const std::string& name) {
              told_ += std::string(kRefusals[static_cast<std::size_t>(why)]) + ":" + name + " ";
            }};
  }

  Request request(const std::string& authorization, const IpAddress& source) {
    Request request{Door::kApi, "/v1/status"};
    request.authorization = authorization;
    request.source = source;
    return request;
  }

  /// 200 when the request may go on.
  unsigned ask(const std::string& authorization, Scope scope = Scope::kRead,
               const IpAddress& source = IpAddress::v4(198, 51, 100, 7)) {
    Request asked = request(authorization, source);
    const auto refusal = gate_.judge(asked, scope);
    EXPECT_TRUE(asked.authorization.empty());
    asker_ = asked.asker;
    if (!refusal) return 200;
    EXPECT_THAT(refusal->body, Not(HasSubstr("0123")));
    EXPECT_THAT(told_, Not(HasSubstr("0123")));
    return refusal->status;
  }

  std::uint64_t refused(Refusal why) { return gate_.counters()[static_cast<std::size_t>(why)]; }

  Instant now_{Seconds{1000}};
  std::string told_;
  std::string asker_;
  Gate gate_;
};

TEST_F(GateTest, a_token_admits_whose_it_is) {
  EXPECT_EQ(ask("Bearer " + kReader), 200u);
  EXPECT_EQ(asker_, "grafana");
  EXPECT_EQ(ask("bearer  " + kOperator), 200u);
  EXPECT_EQ(asker_, "anna");
  EXPECT_EQ(told_, "");
}

TEST_F(GateTest, T19_nothing_else_admits) {
  for (const std::string& text : {std::string(), kReader, "Basic " + kReader, std::string("Bearer"),
                                  std::string("Bearer ")}) {
    EXPECT_EQ(ask(text), 401u) << text;
  }
  EXPECT_EQ(refused(Refusal::kNoToken), 5u);
  for (const std::string& text : {"Bearer " + kReader + "x", "Bearer " + kReader.substr(1),
                                  "Bearer " + kReader.substr(0, 20), "Bearer x " + kReader}) {
    EXPECT_EQ(ask(text), 401u) << text;
  }
  EXPECT_EQ(refused(Refusal::kWrongToken), 4u);
  EXPECT_EQ(told_, "wrong_token: wrong_token: wrong_token: wrong_token: ");
}

TEST_F(GateTest, a_scope_is_what_the_token_may) {
  EXPECT_EQ(ask("Bearer " + kReader, Scope::kOperate), 403u);
  EXPECT_EQ(told_, "scope:grafana ");
  EXPECT_EQ(ask("Bearer " + kOperator, Scope::kOperate), 200u);
  EXPECT_EQ(refused(Refusal::kScope), 1u);
}

TEST_F(GateTest, T18_who_guesses_waits_and_nobody_else) {
  for (int i = 0; i < 10; ++i) EXPECT_EQ(ask("Bearer wrong-" + std::to_string(i)), 401u);
  EXPECT_EQ(ask("Bearer wrong-10"), 429u);
  EXPECT_EQ(ask(""), 429u);
  EXPECT_EQ(ask("Bearer " + kReader), 200u) << "guesses of others there keep nobody out";
  EXPECT_EQ(ask("Bearer wrong-11"), 429u) << "and a right one ends no pause";
  EXPECT_EQ(ask("Bearer " + kReader, Scope::kRead, IpAddress::v4(198, 51, 100, 8)), 200u);
  EXPECT_EQ(ask("Bearer wrong", Scope::kRead, IpAddress::v4(198, 51, 100, 8)), 401u);
  EXPECT_EQ(refused(Refusal::kTooManyAttempts), 3u);
  now_ += Seconds{61};
  EXPECT_EQ(ask("Bearer wrong-12"), 401u);
}

TEST_F(GateTest, T18_an_ipv6_network_is_one_source) {
  const auto source = [](int last) {
    return parse_socket_address("[2001:db8:1:2::" + std::to_string(last) + "]:1")->ip;
  };
  for (int i = 1; i <= 10; ++i) ask("Bearer wrong", Scope::kRead, source(i));
  EXPECT_EQ(ask("Bearer wrong", Scope::kRead, source(99)), 429u);
}

TEST_F(GateTest, many_sources_are_remembered_within_bounds) {
  for (int i = 0; i < 5000; ++i) {
    const auto source = IpAddress::v4(10, 0, static_cast<std::uint8_t>(i / 250),
                                      static_cast<std::uint8_t>(i % 250));
    EXPECT_EQ(ask("Bearer wrong", Scope::kRead, source), 401u);
  }
  EXPECT_EQ(ask("Bearer " + kReader), 200u);
}

TEST_F(GateTest, new_tokens_replace_the_old_ones) {
  gate_.replace({{"new", Scope::kRead, Secret("new-0123456789-0123456789")}});
  EXPECT_EQ(ask("Bearer " + kReader), 401u);
  EXPECT_EQ(ask("Bearer new-0123456789-0123456789"), 200u);
}

TEST_F(GateTest, a_certificate_admits_for_reading_where_there_are_no_tokens) {
  Request asked = request("", IpAddress::v4(198, 51, 100, 7));
  asked.has_certificate = true;
  asked.certificate_name = "monitor";
  EXPECT_EQ(gate_.judge(asked, Scope::kRead)->status, 401u) << "both are needed";
  Gate without(context(), {});
  EXPECT_FALSE(without.judge(asked, Scope::kRead));
  EXPECT_EQ(asked.asker, "certificate monitor");
  EXPECT_EQ(without.judge(asked, Scope::kOperate)->status, 403u);
  asked.certificate_name.clear();
  EXPECT_FALSE(without.judge(asked, Scope::kRead)) << "a subject may be without a common name";
  EXPECT_EQ(asked.asker, "certificate without a name");
  asked.has_certificate = false;
  EXPECT_EQ(without.judge(asked, Scope::kRead)->status, 401u);
  asked.authorization = "Bearer " + kReader;
  EXPECT_EQ(without.judge(asked, Scope::kRead)->status, 401u);
}

TEST_F(GateTest, other_doors_and_open_paths_need_nothing) {
  Request asked = request("", {});
  EXPECT_FALSE(gate_.judge(asked, std::nullopt));
  asked.door = Door::kUnix;
  EXPECT_FALSE(gate_.judge(asked, Scope::kOperate));
  EXPECT_EQ(asked.asker, "unix socket");
  asked.door = Door::kTcp;
  EXPECT_FALSE(gate_.judge(asked, Scope::kRead));
}

}  // namespace
}  // namespace turnpike::api
