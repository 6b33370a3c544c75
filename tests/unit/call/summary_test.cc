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

// The figures of a leg that sends, and that media was sent to.
void talk(LegStats& leg, Instant now) {
  leg.packets_received = leg.packets_sent = 100;
  leg.last_packet = leg.last_carried = leg.last_rtp = leg.last_rtp_carried = now;
}

TEST_F(Summary, the_end_tells_a_verdict_for_each_side) {
  offered_sdp(offer(request(sdp_of(kAudio))));
  offered_sdp(answer(request(sdp_of(kAudio), "a", "b")));
  now_ += Seconds{30};
  talk(relay_->session(0).stats.legs[0], now_ - Seconds{1});
  remove(request(""));
  EXPECT_EQ(ended_verdicts_[0].info().id, "nothing_to_send");
  EXPECT_EQ(ended_verdicts_[1].info().id, "never_received");
}

TEST_F(Summary, a_camera_that_is_off_spoils_no_audio_at_the_end) {
  const std::string both = std::string(kAudio) + "m=video 4100 RTP/AVP 96\n";
  offered_sdp(offer(request(sdp_of(both))));
  offered_sdp(answer(request(sdp_of(both), "a", "b")));
  ASSERT_EQ(service_->calls().at(0).sessions.size(), 2U);
  now_ += Seconds{30};
  for (LegStats& leg : relay_->session(0).stats.legs) talk(leg, now_);
  remove(request(""));
  EXPECT_EQ(ended_verdicts_[0].info().id, "healthy");
  EXPECT_EQ(ended_verdicts_[1].info().id, "healthy");
}

TEST_F(Summary, video_alone_is_judged_at_the_end) {
  const std::string video = "m=video 4100 RTP/AVP 96\n";
  offered_sdp(offer(request(sdp_of(video))));
  offered_sdp(answer(request(sdp_of(video), "a", "b")));
  now_ += Seconds{30};
  talk(relay_->session(0).stats.legs[0], now_);
  remove(request(""));
  EXPECT_EQ(ended_verdicts_[1].info().id, "never_received");
}

TEST_F(Summary, a_call_that_ends_for_want_of_media_was_not_well) {
  offered_sdp(offer(request(sdp_of(kAudio))));
  offered_sdp(answer(request(sdp_of(kAudio), "a", "b")));
  for (LegStats& leg : relay_->session(0).stats.legs) talk(leg, now_);
  now_ += Seconds{60};
  Event event;
  event.kind = EventKind::kMediaTimeout;
  event.session = service_->calls().at(0).sessions.at(0).id;
  for (const Side side : {Side::kA, Side::kB}) {
    event.side = side;
    service_->on_event(event);
  }
  for (int turn = 0; turn < 3; ++turn) {
    relay_->poll_events([&](const Event& told) { service_->on_event(told); });
  }
  ASSERT_EQ(ended_.size(), 1U);
  EXPECT_EQ(ended_verdicts_[0].info().id, "stopped");
  EXPECT_EQ(ended_verdicts_[1].info().id, "stopped");
}

TEST_F(Summary, a_hold_is_a_verdict_of_signalling) {
  offered_sdp(offer(request(sdp_of(kAudio))));
  offered_sdp(answer(request(sdp_of(std::string(kAudio) + "a=sendonly\n"), "a", "b")));
  now_ += Seconds{30};
  const CallSummary call = service_->calls().at(0);
  const auto& signalled = call.sessions.at(0).signalled;
  EXPECT_TRUE(signalled.answered && signalled.accepted);
  EXPECT_EQ(signalled.legs[1].direction, "sendonly");
  EXPECT_FALSE(signalled.legs[1].receives);
  remove(request(""));
  EXPECT_EQ(ended_verdicts_[0].info().id, "muted_by_sdp");
}

TEST_F(Summary, silence_of_an_answered_call_is_told_with_its_cause) {
  offered_sdp(offer(request(sdp_of(kAudio))));
  const auto silence = [&](Side side) {
    Event event;
    event.kind = EventKind::kSilent;
    event.session = service_->calls().at(0).sessions.at(0).id;
    event.side = side;
    service_->on_event(event);
    relay_->poll_events([&](const Event& told) { service_->on_event(told); });
  };
  now_ += Seconds{10};
  silence(Side::kA);
  EXPECT_THAT(silent_, ElementsAre()) << "it still rings";
  offered_sdp(answer(request(sdp_of(kAudio), "a", "b")));
  now_ += Seconds{10};
  talk(relay_->session(0).stats.legs[0], now_);
  silence(Side::kA);
  EXPECT_THAT(silent_, ElementsAre()) << "it has come back";
  silence(Side::kB);
  EXPECT_THAT(silent_, ElementsAre("audio b never_received"));
  // Heard, and cannot go on: a matter of the other leg.
  relay_->session(0).stats.legs[0].last_rtp_carried = Instant{};
  silence(Side::kA);
  EXPECT_THAT(silent_, ElementsAre("audio b never_received", "audio a no_destination"));
}

}  // namespace
}  // namespace turnpike::call
