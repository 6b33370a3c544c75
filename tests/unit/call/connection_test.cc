// NG "connect": ends of two calls talk to each other.
#include <algorithm>

#include <gtest/gtest.h>

#include "tests/unit/call/call_fixture.h"

namespace turnpike::call {
namespace {

constexpr std::string_view kSecured =
    "m=audio 4000 RTP/SAVP 0 8\na=crypto:1 AES_CM_128_HMAC_SHA1_80 "
    "inline:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNk\n";

class Connection : public CallTest {
 protected:
  /// From "a" outside to "b" inside.
  void call(const std::string& id, std::string_view media = kAudio) {
    CallRequest offered = request(sdp_of(media));
    CallRequest answered = request(sdp_of(kAudio, "10.0.0.20"), "a", "b");
    offered.call_id = answered.call_id = id;
    offered.transport_protocol = "RTP/AVP";
    offered_sdp(offer(offered));
    offered_sdp(answer(answered));
  }
  Dict connect(const std::string& from, const std::string& to,
               const std::function<void(CallRequest&)>& with = {}) {
    CallRequest asked = request("", from, to);
    asked.to_call_id = "call-2";
    if (with) with(asked);
    Dict reply;
    service_->connect(asked, [&](Dict dict) { reply = std::move(dict); });
    deliver_events();
    return reply;
  }
  Dict remove_call(const std::string& id) {
    CallRequest asked = request("");
    asked.call_id = id;
    return remove(asked);
  }
  SocketAddress port(std::size_t session, Side side, Component component = Component::kRtp) {
    return relay_->session(session).ports.local[index_of(side)][index_of(component)];
  }
  static std::string error(const Dict& reply) { return text(reply, "error-reason"); }
};

TEST_F(Connection, ends_of_two_calls_talk_to_each_other) {
  call("call-1", kSecured);
  call("call-2");
  const LegConfig caller = leg(0, Side::kA);
  const LegConfig called = leg(1, Side::kA);
  EXPECT_EQ(text(connect("a", "a"), "result"), "ok");
  // What the ends have is as it was.
  EXPECT_EQ(leg(0, Side::kA).remote, caller.remote);
  EXPECT_EQ(leg(0, Side::kA).receive.suite, caller.receive.suite);
  EXPECT_EQ(leg(1, Side::kA).remote, called.remote);
  const LegConfig& here = leg(0, Side::kB);
  const LegConfig& there = leg(1, Side::kB);
  EXPECT_EQ(here.remote[0], port(1, Side::kB));
  EXPECT_EQ(here.remote[1], port(1, Side::kB, Component::kRtcp));
  EXPECT_EQ(there.remote[0], port(0, Side::kB));
  EXPECT_FALSE(here.remote_unproven) << "each would wait for the other";
  EXPECT_FALSE(there.remote_unproven);
  EXPECT_FALSE(here.must_encrypt || there.must_encrypt) << "both were plain, within this host";
  EXPECT_TRUE(here.expects_media);
}

TEST_F(Connection, has_keys_of_its_own_where_the_sides_were_srtp) {
  call("call-1", kSecured);
  call("call-2", kSecured);
  EXPECT_EQ(text(connect("b", "b"), "result"), "ok");
  const LegConfig& here = leg(0, Side::kA);
  const LegConfig& there = leg(1, Side::kA);
  EXPECT_TRUE(here.must_encrypt && there.must_encrypt);
  ASSERT_EQ(here.send.suite, SrtpSuite::kAesCm128HmacSha1_80);
  EXPECT_EQ(here.send.master_key, there.receive.master_key);
  EXPECT_EQ(here.receive.master_key, there.send.master_key);
  EXPECT_NE(here.send.master_key, here.receive.master_key);
  // The end that was left never gets a key of that way, nor is one of its own used again.
  const auto bridge_key = here.send.master_key;
  CallRequest again = request(sdp_of(kAudio, "10.0.0.20"), "b", "a");
  again.transport_protocol = "RTP/SAVP";
  const std::string offered = offered_sdp(offer(again));
  EXPECT_EQ(leg(0, Side::kA).send.master_key, bridge_key) << "until its answer";
  const std::size_t suite = offered.find(" AES_CM_128_HMAC_SHA1_80 ");
  const std::size_t tag = offered.rfind(':', suite) + 1;
  std::string taken(kSecured);
  taken.replace(taken.find("crypto:1") + 7, 1, offered.substr(tag, suite - tag));
  offered_sdp(answer(request(sdp_of(taken), "b", "a")));
  EXPECT_NE(leg(0, Side::kA).send.master_key, bridge_key);
  EXPECT_FALSE(leg(1, Side::kA).remote[0].is_set());
}

TEST_F(Connection, hears_by_its_own_rules_not_by_those_of_the_end_that_was_there) {
  auto config = test_config();
  config.source_policy = SourcePolicy::kLatch;
  start(config);
  call("call-1");
  call("call-2");
  ASSERT_EQ(leg(0, Side::kB).source_policy, SourcePolicy::kLatch);
  connect("a", "a");
  EXPECT_EQ(leg(0, Side::kB).source_policy, SourcePolicy::kStrict);
  EXPECT_FALSE(leg(0, Side::kB).received_from.is_set());
}

TEST_F(Connection, of_a_call_that_ends_the_other_is_sent_nowhere) {
  call("call-1");
  call("call-2");
  connect("b", "a");
  remove_call("call-2");
  EXPECT_FALSE(leg(0, Side::kA).remote[0].is_set());
  EXPECT_EQ(service_->call_count(), 1U);
  EXPECT_NE(std::find(log_.begin(), log_.end(), "call-1: the end that it was connected to is gone"),
            log_.end());
  remove_call("call-1");
  EXPECT_TRUE(relay_->sessions.empty());
}

TEST_F(Connection, a_new_one_takes_the_place_of_the_one_before) {
  for (const char* id : {"call-1", "call-2", "call-3"}) call(id, kSecured);
  const auto to_third = [](auto& asked) { asked.to_call_id = "call-3"; };
  connect("b", "b");
  connect("b", "b", to_third);
  EXPECT_EQ(leg(0, Side::kA).remote[0], port(2, Side::kA));
  EXPECT_FALSE(leg(1, Side::kA).remote[0].is_set()) << "who was connected before is not any more";
  const auto key = leg(0, Side::kA).send.master_key;
  connect("b", "b", to_third);
  EXPECT_NE(leg(0, Side::kA).send.master_key, key) << "else its indices would begin again";
}

TEST_F(Connection, ends_with_an_answer_of_the_end_that_was_there) {
  call("call-1");
  call("call-2");
  connect("a", "a");
  CallRequest again = request(sdp_of(kAudio), "a", "b");
  again.transport_protocol = "RTP/AVP";
  offered_sdp(offer(again));
  offered_sdp(answer(request(sdp_of(kAudio, "10.0.0.20"), "a", "b")));
  EXPECT_EQ(leg(0, Side::kB).remote[0].ip, IpAddress::v4(10, 0, 0, 20));
  EXPECT_FALSE(leg(1, Side::kB).remote[0].is_set());
}

TEST_F(Connection, survives_a_restart) {
  call("call-1");
  call("call-2");
  connect("a", "a");
  relay_->records_found.assign(relay_->records.begin(), relay_->records.end());
  for (const auto& [id, session] : relay_->sessions) {
    relay_->sessions_found.push_back({id, session.ports});
  }
  restart(test_config());
  EXPECT_EQ(service_->adopt().calls, 2U);
  EXPECT_TRUE(leg(0, Side::kB).remote[0].is_set());
  remove_call("call-2");
  EXPECT_FALSE(leg(0, Side::kB).remote[0].is_set());
}

TEST_F(Connection, ends_with_a_restart_that_the_other_call_does_not_survive) {
  call("call-1");
  call("call-2");
  connect("a", "a");
  relay_->records_found.assign(relay_->records.begin(), relay_->records.end());
  relay_->sessions_found.push_back({relay_->id_of(0), relay_->session(0).ports});
  restart(test_config());
  EXPECT_EQ(service_->adopt().calls, 1U);
  EXPECT_FALSE(leg(0, Side::kB).remote[0].is_set());
}

TEST_F(Connection, what_was_said_of_the_end_before_is_not_for_the_new_one) {
  call("call-1");
  call("call-2");
  CallRequest asked = request("", "b");
  asked.directional = true;
  service_->switch_media(MediaCommand::kBlock, asked, [](const Dict&) {});
  EXPECT_TRUE(relay_->session(0).switches[1].blocked);
  connect("a", "a");
  EXPECT_FALSE(relay_->session(0).switches[1].blocked);
}

TEST_F(Connection, subscribers_of_the_end_before_do_not_hear_the_new_one) {
  call("call-1");
  call("call-2");
  CallRequest asked = request("", "b", "s");
  service_->subscribe(asked, [](const Dict&) {});
  service_->answer_subscription(
      request(sdp_of("m=audio 7000 RTP/AVP 0\na=recvonly\n", "10.0.0.30"), "", "s"),
      [](const Dict&) {});
  ASSERT_TRUE(leg(2, Side::kB).hears.session.is_set());
  connect("a", "a");
  EXPECT_FALSE(leg(2, Side::kB).hears.session.is_set());
  Dict reply;
  service_->subscribe(request("", "b", "t"), [&](Dict dict) { reply = std::move(dict); });
  EXPECT_EQ(error(reply), "Another end is connected in the place of that participant");
}

TEST_F(Connection, is_refused_with_the_reason) {
  call("call-1");
  EXPECT_EQ(error(connect("a", "b")), "Unknown to-call-id");
  call("call-2", "m=audio 4000 RTP/AVP 96\na=rtpmap:96 opus/48000/2\n");
  EXPECT_EQ(error(connect("x", "b")), "No participant of this call has that from-tag");
  EXPECT_EQ(error(connect("a", "x")), "No participant of the other call has that to-tag");
  EXPECT_EQ(error(connect("a", "b", [](auto& asked) { asked.to_call_id.clear(); })),
            "Participants of one call are joined by offer and answer");
  CallRequest video = request(sdp_of("m=video 4000 RTP/AVP 34\n"));
  video.call_id = "call-3";
  offered_sdp(offer(video));
  const auto to_third = [](auto& asked) { asked.to_call_id = "call-3"; };
  EXPECT_EQ(error(connect("a", "a", to_third)), "A participant has no media that was answered");
  video = request(sdp_of("m=video 4000 RTP/AVP 34\n", "10.0.0.20"), "a", "b");
  video.call_id = "call-3";
  offered_sdp(answer(video));
  EXPECT_EQ(error(connect("a", "a", to_third)), "The m-lines of both are not of the same kinds");
  EXPECT_EQ(leg(0, Side::kB).remote[0].ip, IpAddress::v4(10, 0, 0, 20)) << "nothing has changed";
}

TEST_F(Connection, is_refused_where_a_number_means_two_codecs) {
  const std::string tones = "a=rtpmap:101 telephone-event/8000\n";
  call("call-1", "m=audio 4000 RTP/AVP 96 101\na=rtpmap:96 opus/48000/2\n" + tones);
  call("call-2", "m=audio 4000 RTP/AVP 96 101\na=rtpmap:96 AMR-WB/16000\n" + tones);
  EXPECT_EQ(error(connect("a", "a")),
            "Both speak no codec by the same number, or two by one; media is not changed here");
  call("call-3", "m=audio 4000 RTP/AVP 8 96\na=rtpmap:96 OPUS/48000/2\n");
  call("call-4", "m=audio 4000 RTP/AVP 96 8\na=rtpmap:96 AMR-WB/16000\n");
  const auto of_both = [](auto& asked) {
    asked.call_id = "call-4";
    asked.to_call_id = "call-3";
  };
  EXPECT_EQ(error(connect("a", "a", of_both)),
            "Both speak no codec by the same number, or two by one; media is not changed here")
      << "8 is common, but 96 may be sent";
  EXPECT_EQ(text(connect("a", "a", [](auto& asked) { asked.to_call_id = "call-3"; }), "result"),
            "ok");
}

TEST_F(Connection, is_refused_to_ends_that_were_left_and_to_unlike_sides) {
  call("call-1");
  call("call-2");
  call("call-3", kSecured);
  const auto to_third = [](auto& asked) { asked.to_call_id = "call-3"; };
  EXPECT_EQ(error(connect("a", "b", to_third)),
            "On the side that is left one call has SRTP and the other one plain RTP");
  EXPECT_EQ(text(connect("a", "a"), "result"), "ok");
  // Else the four sides would be a ring, and nobody at it.
  EXPECT_EQ(error(connect("b", "b")), "Another end is connected in the place of that participant");
  EXPECT_EQ(error(connect("a", "b")), "Another end is connected in the place of that participant");
  CallRequest over = request("", "a", "b");
  over.delete_delay = Seconds{30};
  EXPECT_EQ(text(remove(over), "result"), "ok");
  EXPECT_EQ(error(connect("a", "a")), "One of the calls is about to end");
}

}  // namespace
}  // namespace turnpike::call
