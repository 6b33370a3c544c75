// What an operator is told of calls: log lines, the end with its figures, legs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/call/call_fixture.h"

namespace turnpike::call {
namespace {

using testing::ElementsAre;

class Summary : public CallTest {};

TEST_F(Summary, offer_answer_and_end_are_told) {
  offered_sdp(offer(request(sdp_of(kAudio))));
  offered_sdp(answer(request(sdp_of(kAudio), "a", "b")));
  relay_->session(0).stats.legs[0].packets_received = 17;
  remove(request(""));
  EXPECT_THAT(log_, ElementsAre("call-1: offer", "call-1: answer", "call-1: ended: deleted"));
  ASSERT_EQ(ended_stats_.size(), 1U);
  EXPECT_EQ(ended_stats_[0].legs[0].packets_received, 17U);
  EXPECT_EQ(ended_.at(0).to_tag, "b");
  EXPECT_TRUE(ended_[0].answered);
}

TEST_F(Summary, refused_offers_are_told_and_not_offered) {
  offer(request("v=0\n"));
  for (const std::string& line : log_) EXPECT_NE(line, "call-1: offer");
  EXPECT_TRUE(ended_.empty());
}

TEST_F(Summary, legs_have_interface_addresses_and_suite) {
  offered_sdp(offer(request(sdp_of(kAudio))));
  CallSummary call = service_->calls().at(0);
  ASSERT_EQ(call.sessions.size(), 1U);
  EXPECT_EQ(call.sessions[0].kind, "audio");
  const LegSummary& a = call.sessions[0].legs[0];
  EXPECT_EQ(a.interface, "outside");
  EXPECT_EQ(a.remote.port, 4000);
  EXPECT_EQ(a.suite, SrtpSuite::kNone);
  EXPECT_TRUE(a.local.is_set());
  EXPECT_EQ(call.sessions[0].legs[1].interface, "inside");
  EXPECT_FALSE(call.sessions[0].legs[1].remote.is_set()) << "not answered yet";
}

}  // namespace
}  // namespace turnpike::call
