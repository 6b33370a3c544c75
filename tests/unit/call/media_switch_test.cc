// NG "block media", "silence media" and what takes them back: whom they concern, and how long.
#include <gtest/gtest.h>

#include "tests/unit/call/call_fixture.h"

namespace turnpike::call {
namespace {

constexpr MediaSwitches kNone{};
constexpr MediaSwitches kBlocked{true, false};
constexpr MediaSwitches kSilenced{false, true};

class MediaSwitch : public CallTest {
 protected:
  void connect(std::string_view media = kAudio, std::string_view answer_media = {}) {
    CallRequest first = request(sdp_of(media));
    first.label = "caller";
    offered_sdp(offer(first));
    if (answer_media.empty()) answer_media = media;
    CallRequest second = request(sdp_of(answer_media, "10.0.0.20"), "a", "b");
    second.label = "callee";
    offered_sdp(answer(second));
  }
  /// The error, or "".
  std::string ask(MediaCommand what, const std::function<void(CallRequest&)>& with = {}) {
    CallRequest asked = request("", "a", "");
    if (with) with(asked);
    Dict reply;
    service_->switch_media(what, asked, [&](Dict dict) { reply = std::move(dict); });
    EXPECT_EQ(text(reply, "result"), text(reply, "error-reason").empty() ? "ok" : "error");
    return text(reply, "error-reason");
  }
  void expect(const MediaSwitches& a, const MediaSwitches& b, std::size_t session = 0) {
    EXPECT_EQ(relay_->session(session).switches[0], a);
    EXPECT_EQ(relay_->session(session).switches[1], b);
  }
};

TEST_F(MediaSwitch, blocks_a_call_or_what_one_participant_sends) {
  connect("m=audio 4000 RTP/AVP 0\nm=video 4002 RTP/AVP 96\n");
  EXPECT_EQ(ask(MediaCommand::kBlock), "") << "a from-tag that is not directional means nobody";
  for (const std::size_t session : {0U, 1U}) expect(kBlocked, kBlocked, session);
  EXPECT_EQ(log_.back(), "call-1: block media");
  EXPECT_EQ(ask(MediaCommand::kUnblock), "");
  expect(kNone, kNone);
  EXPECT_EQ(ask(MediaCommand::kBlock, [](auto& asked) { asked.directional = true; }), "");
  for (const std::size_t session : {0U, 1U}) expect(kBlocked, kNone, session);
  EXPECT_EQ(log_.back(), "call-1: block media of leg a");
  EXPECT_EQ(ask(MediaCommand::kBlock, [](auto& asked) { asked.call_id = "?"; }), "Unknown call-id");
}

TEST_F(MediaSwitch, participants_are_named_by_tag_label_or_address) {
  connect();
  const auto block = [&](const std::function<void(CallRequest&)>& with) {
    const std::string error = ask(MediaCommand::kBlock, with);
    const auto switches = relay_->session(0).switches;
    ask(MediaCommand::kUnblock, [](auto& asked) { asked.all = true; });
    if (!error.empty()) return error;
    return std::string(switches[0].blocked ? "a" : "") + (switches[1].blocked ? "b" : "");
  };
  const auto by_tag = [](const char* from, const char* to) {
    return [from, to](CallRequest& asked) {
      asked.directional = true;
      asked.from_tag = from;
      asked.to_tag = to;
    };
  };
  EXPECT_EQ(block(by_tag("b", "")), "b");
  EXPECT_EQ(block(by_tag("b", "a")), "b");
  EXPECT_EQ(block(by_tag("b", "c")), "to-tag is not that of the other participant");
  const std::string nobody = "No participant of this call has that label, address or from-tag";
  EXPECT_EQ(block(by_tag("c", "")), nobody);
  EXPECT_EQ(block(by_tag("", "")), nobody);
  EXPECT_EQ(block([](auto& asked) { asked.label = "callee"; }), "b");
  EXPECT_EQ(block([](auto& asked) { asked.label = "nobody"; }), nobody);
  const auto to_label = [](const char* label) {
    return [label](CallRequest& asked) {
      asked.label = "callee";
      asked.to_label = label;
    };
  };
  EXPECT_EQ(block(to_label("caller")), "b");
  EXPECT_EQ(block(to_label("callee")), "to-label is not that of the other participant");
  const auto by_address = [](const IpAddress& address) {
    return [address](CallRequest& asked) { asked.address = address; };
  };
  EXPECT_EQ(block(by_address(IpAddress::v4(192, 0, 2, 10))), "a");
  EXPECT_EQ(block(by_address(IpAddress::v4(10, 0, 0, 20))), "b");
  EXPECT_EQ(block(by_address(IpAddress::v4(10, 0, 0, 21))), nobody);
  EXPECT_EQ(text(dict(dict(query(request("")), "tags"), "b"), "label"), "callee");
}

TEST_F(MediaSwitch, unblocking_all_is_for_all) {
  connect();
  const auto directional = [](CallRequest& asked) { asked.directional = true; };
  ask(MediaCommand::kBlock, directional);
  ask(MediaCommand::kBlock);
  ask(MediaCommand::kUnblock);
  expect(kBlocked, kNone);
  ask(MediaCommand::kBlock);
  ask(MediaCommand::kUnblock, directional);
  expect(kBlocked, kBlocked);
  ask(MediaCommand::kBlock, directional);
  ask(MediaCommand::kUnblock, [](auto& asked) { asked.all = true; });
  expect(kNone, kNone);
}

TEST_F(MediaSwitch, is_of_the_participant_and_not_of_who_answers_next) {
  connect();
  ask(MediaCommand::kBlock, [](auto& asked) { asked.label = "callee"; });
  expect(kNone, kBlocked);
  offered_sdp(answer(request(sdp_of(kAudio, "10.0.0.20"), "a", "b2")));
  expect(kNone, kNone);
  EXPECT_EQ(text(dict(dict(query(request("")), "tags"), "b2"), "label"), "");
  ask(MediaCommand::kBlock, [](auto& asked) {
    asked.directional = true;
    asked.from_tag = "b2";
  });
  expect(kNone, kBlocked);
  offered_sdp(answer(request(sdp_of(kAudio, "10.0.0.20"), "a", "b2")));
  expect(kNone, kBlocked);
  // Within the dialog another tag is but a word: it frees nobody.
  CallRequest other = request(sdp_of(kAudio, "10.0.0.21"), "b3", "a");
  offered_sdp(offer(other));
  expect(kNone, kBlocked);
  CallRequest again = request(sdp_of(kAudio, "10.0.0.10"), "a", "b3");
  offered_sdp(offer(again));
  offered_sdp(answer(request(sdp_of(kAudio, "10.0.0.21"), "a", "b3-invented")));
  expect(kNone, kBlocked);
  ask(MediaCommand::kBlock);
  offered_sdp(answer(request(sdp_of(kAudio, "10.0.0.22"), "a", "b4")));
  expect(kBlocked, kBlocked);
}

TEST_F(MediaSwitch, silence_is_made_of_g711_only) {
  connect("m=audio 4000 RTP/AVP 96 8\nm=video 4002 RTP/AVP 97\n");
  EXPECT_EQ(ask(MediaCommand::kSilence), "");
  expect(kSilenced, kSilenced);
  expect(kNone, kNone, 1);
  EXPECT_EQ(ask(MediaCommand::kUnsilence), "");
  expect(kNone, kNone);
  const char* opus = "m=audio 4000 RTP/AVP 96\nm=video 4002 RTP/AVP 97\n";
  offered_sdp(offer(request(sdp_of(opus), "a", "b")));
  offered_sdp(answer(request(sdp_of(opus, "10.0.0.20"), "a", "b")));
  EXPECT_EQ(ask(MediaCommand::kSilence),
            "m-line 1 has neither PCMU nor PCMA, and no other payload can be made silent here");
  expect(kNone, kNone);
  EXPECT_EQ(ask(MediaCommand::kUnsilence), "");
}

TEST_F(MediaSwitch, a_call_without_audio_cannot_be_silenced) {
  connect("m=video 4002 RTP/AVP 97\n");
  EXPECT_EQ(ask(MediaCommand::kSilence), "The call has no audio");
}

TEST_F(MediaSwitch, lasts_over_new_m_lines_and_a_restart) {
  connect();
  ask(MediaCommand::kBlock, [](auto& asked) { asked.label = "callee"; });
  const char* two = "m=audio 4000 RTP/AVP 0\nm=video 4002 RTP/AVP 96\n";
  offered_sdp(offer(request(sdp_of(two), "a", "b")));
  expect(kNone, kBlocked, 1);
  offered_sdp(answer(request(sdp_of(two, "10.0.0.20"), "a", "b")));
  for (auto& [key, record] : relay_->records) relay_->records_found.emplace_back(key, record);
  for (auto& [id, session] : relay_->sessions) {
    relay_->sessions_found.push_back({id, session.ports});
    session.switches = {kBlocked, kNone};  // the relay may have missed the last change
  }
  restart(test_config());
  ASSERT_EQ(service_->adopt().calls, 1U);
  expect(kNone, kBlocked);
  EXPECT_EQ(ask(MediaCommand::kUnblock, [](auto& asked) { asked.label = "callee"; }), "");
  expect(kNone, kNone);
  expect(kNone, kNone, 1);
}

}  // namespace
}  // namespace turnpike::call
