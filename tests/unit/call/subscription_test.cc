// NG "publish", "subscribe request", "subscribe answer", "unsubscribe": who hears whom, for how
// long.
#include <gtest/gtest.h>

#include "tests/unit/call/call_fixture.h"

namespace turnpike::call {
namespace {

constexpr std::string_view kRecorder = "m=audio 7000 RTP/AVP 0 8\na=recvonly\n";

class Subscription : public CallTest {
 protected:
  void connect(std::string_view media = kAudio) {
    offered_sdp(offer(request(sdp_of(media))));
    offered_sdp(answer(request(sdp_of(media, "10.0.0.20"), "a", "b")));
  }
  using Method = void (CallService::*)(const CallRequest&, ReplyFunction);
  Dict ask(Method method, const CallRequest& asked) {
    Dict reply;
    (service_.get()->*method)(asked, [&](Dict dict) { reply = std::move(dict); });
    deliver_events();
    return reply;
  }
  Dict subscribe(const std::function<void(CallRequest&)>& with = {}) {
    CallRequest asked = request("", "a");
    if (with) with(asked);
    return ask(&CallService::subscribe, asked);
  }
  Dict answer_it(const std::string& tag, std::string_view media = kRecorder) {
    return ask(&CallService::answer_subscription, request(sdp_of(media, "10.0.0.30"), "", tag));
  }
  Dict unsubscribe(const std::string& tag) {
    return ask(&CallService::unsubscribe, request("", "", tag));
  }
  static std::string error(const Dict& reply) { return text(reply, "error-reason"); }
};

TEST_F(Subscription, offers_what_participants_send) {
  connect(
      "m=audio 4000 RTP/AVP 0 101\na=rtpmap:101 telephone-event/8000\na=fmtp:101 0-15\n"
      "a=rtcp-fb:* nack\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:abc\n");
  const Dict one = subscribe([](auto& asked) { asked.set_label = "recorder"; });
  const std::string sdp = offered_sdp(one);
  EXPECT_EQ(lines(sdp, "m="), "audio 36002 RTP/AVP 0 101");
  EXPECT_EQ(lines(sdp, "c="), "IN IP4 10.0.0.1") << "the inside, where recorders are";
  EXPECT_NE(lines(sdp, "o=").find("IN IP4 10.0.0.1"), std::string::npos);
  EXPECT_EQ(lines(sdp, "a="),
            "label:1|rtpmap:0 PCMU/8000|rtpmap:101 telephone-event/8000|fmtp:101 0-15|sendonly|"
            "rtcp:36003");
  EXPECT_EQ(text(one, "from-tag"), "a");
  EXPECT_FALSE(text(one, "to-tag").empty());
  const Dict all = subscribe([](auto& asked) {
    asked.from_tag.clear();
    asked.all = true;
    asked.to_tag = "mine";
  });
  EXPECT_EQ(lines(offered_sdp(all), "m="), "audio 36004 RTP/AVP 0 101|audio 36006 RTP/AVP 0 101");
  EXPECT_EQ(text(all, "to-tag"), "mine");
  const auto& medias = *find(all, "tag-medias")->as_list();
  ASSERT_EQ(medias.size(), 2U);
  EXPECT_EQ(text(*medias[1].as_dict(), "tag"), "b");
  const Dict& label = dict(dict(all, "media-labels"), "2");
  EXPECT_EQ(text(label, "tag") + text(label, "type"), "baudio");
  EXPECT_EQ(number(label, "index"), 1);
  const Dict by_list = subscribe([](auto& asked) {
    asked.from_tag.clear();
    asked.from_tags = {"b", "a"};
  });
  EXPECT_EQ(find(by_list, "from-tags")->as_list()->size(), 2U);
  EXPECT_EQ(text(subscribe([](auto& asked) { asked.from_tag = "b"; }), "from-tag"), "b");
}

TEST_F(Subscription, answer_begins_it_and_unsubscribe_ends_it) {
  connect();
  const std::string tag = text(subscribe(), "to-tag");
  EXPECT_TRUE(leg(1, Side::kB).absent);
  EXPECT_FALSE(leg(1, Side::kB).hears.session.is_set()) << "nobody has said where to";
  EXPECT_EQ(text(answer_it(tag), "result"), "ok");
  EXPECT_EQ(leg(1, Side::kB).hears, (HeardLeg{relay_->id_of(0), Side::kA}));
  EXPECT_EQ(leg(1, Side::kA).remote[0], (SocketAddress{IpAddress::v4(10, 0, 0, 30), 7000}));
  EXPECT_FALSE(leg(1, Side::kA).expects_media);
  EXPECT_FALSE(leg(1, Side::kB).expects_media);
  EXPECT_EQ(relay_->id_of(0).shard, relay_->id_of(1).shard);
  EXPECT_TRUE(relay_->session(1).spec.one_sided);
  const Dict figures = query(request(""));
  const auto& who = *find(dict(dict(figures, "tags"), "a"), "subscribers")->as_list();
  ASSERT_EQ(who.size(), 2U) << "the other end, and who subscribes";
  EXPECT_EQ(text(*who[1].as_dict(), "tag") + " " + text(*who[1].as_dict(), "type"),
            tag + " pub/sub");
  EXPECT_EQ(text(unsubscribe(tag), "result"), "ok");
  EXPECT_EQ(relay_->sessions.size(), 1U);
  EXPECT_EQ(error(unsubscribe(tag)), "Unknown call-id or to-tag of a subscription");
  EXPECT_EQ(service_->call_count(), 1U);
  EXPECT_TRUE(ended_.empty()) << "a subscription is no call to bill";
}

TEST_F(Subscription, keys_are_those_of_the_subscriber_alone) {
  connect();
  const Dict offered = subscribe([](auto& asked) {
    asked.to_tag = "s";
    asked.transport_protocol = "RTP/SAVP";
  });
  const std::string crypto = lines(offered_sdp(offered), "a=crypto:");
  ASSERT_NE(crypto.find("AES_CM_128_HMAC_SHA1_80"), std::string::npos);
  EXPECT_EQ(text(answer_it("s",
                           "m=audio 7000 RTP/SAVP 0\na=recvonly\na=crypto:4 "
                           "AES_CM_128_HMAC_SHA1_80 "
                           "inline:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"),
                 "result"),
            "ok");
  EXPECT_TRUE(leg(1, Side::kA).must_encrypt);
  EXPECT_EQ(leg(1, Side::kA).send.suite, SrtpSuite::kAesCm128HmacSha1_80);
  EXPECT_FALSE(leg(0, Side::kA).must_encrypt);
  EXPECT_NE(error(answer_it("s", kRecorder)), "") << "plain RTP on a leg that is SRTP";
}

TEST_F(Subscription, ends_with_its_call_and_follows_it) {
  connect();
  const std::string tag = text(subscribe(), "to-tag");
  answer_it(tag);
  subscribe([](auto& asked) { asked.from_tag = "b"; });
  EXPECT_EQ(service_->call_count(), 3U);
  // Another peer: the m-line has another session from then on.
  CallRequest again = request(sdp_of(kAudio), "a");
  again.direction = {"inside", "inside"};
  offered_sdp(offer(again));
  deliver_events();
  EXPECT_EQ(leg(0, Side::kB).hears.session, relay_->id_of(2)) << "what the m-line is now";
  remove(request("", "a"));
  expect_nothing_left();
  EXPECT_EQ(ended_.size(), 1U);
}

TEST_F(Subscription, one_that_nobody_answers_ends_and_others_stay) {
  connect();
  answer_it(text(subscribe(), "to-tag"));
  subscribe();
  now_ += Seconds(181);
  service_->on_tick();
  deliver_events();
  EXPECT_EQ(relay_->sessions.size(), 2U);
  now_ += Seconds(7200);
  service_->on_tick();
  deliver_events();
  EXPECT_EQ(relay_->sessions.size(), 2U) << "it has no media of its own to wait for";
}

TEST_F(Subscription, is_refused_with_a_reason) {
  const auto with_tag = [](const char* tag) {
    return [tag](CallRequest& asked) { asked.from_tag = tag; };
  };
  EXPECT_EQ(error(subscribe()), "Unknown call-id");
  connect();
  EXPECT_EQ(error(subscribe(with_tag("x"))),
            "No participant of this call has that label or from-tag");
  EXPECT_EQ(error(subscribe(with_tag(""))), "No from-tag, from-tags, label or all in message");
  EXPECT_EQ(error(subscribe([](auto& asked) { asked.to_tag = "b"; })),
            "to-tag is that of a participant of the call");
  EXPECT_NE(error(subscribe([](auto& asked) { asked.direction = {"nowhere"}; })), "");
  const std::string tag = text(subscribe(), "to-tag");
  EXPECT_EQ(error(answer_it(tag, "m=audio 7000 RTP/AVP 8\na=recvonly\n")),
            "m-line 1 of the answer takes none of the formats that were offered; media is not "
            "transcoded here");
  EXPECT_EQ(error(answer_it("other")), "Unknown call-id or to-tag of a subscription");
  EXPECT_EQ(relay_->sessions.size(), 2U);
  EXPECT_EQ(error(offer(request(sdp_of(kAudio)))), "");
  CallRequest of_subscription = request(sdp_of(kAudio));
  of_subscription.call_id = "call-1,subscriber=" + tag;
  EXPECT_EQ(error(offer(of_subscription)), "call-id is that of published media");
}

TEST_F(Subscription, subscribers_of_one_participant_are_bounded) {
  connect();
  for (unsigned i = 0; i < kSubscribersPerLegMax; ++i) offered_sdp(subscribe());
  EXPECT_EQ(error(subscribe()),
            "A participant has 16 subscribers already, which is as many as it may have");
  EXPECT_EQ(error(subscribe([](auto& asked) { asked.from_tag = "b"; })), "") << "another one has";
  Dict calls;
  service_->list(request(""), [&](Dict reply) { calls = std::move(reply); });
  EXPECT_EQ(find(calls, "calls")->as_list()->size(), 1U) << "subscriptions are no calls";
}

TEST_F(Subscription, the_same_to_tag_begins_anew) {
  connect();
  const auto mine = [](auto& asked) { asked.to_tag = "mine"; };
  offered_sdp(subscribe(mine));
  answer_it("mine");
  offered_sdp(subscribe(mine));
  EXPECT_EQ(relay_->sessions.size(), 2U);
  EXPECT_FALSE(leg(1, Side::kB).hears.session.is_set());
}

TEST_F(Subscription, lives_on_over_a_restart_of_the_process) {
  connect();
  const std::string tag = text(subscribe(), "to-tag");
  answer_it(tag);
  const auto kept = relay_->records;
  relay_->records_found.assign(kept.begin(), kept.end());
  for (const auto& [id, session] : relay_->sessions) {
    relay_->sessions_found.push_back({id, session.ports});
  }
  restart(test_config());
  service_->adopt();
  EXPECT_EQ(service_->call_count(), 2U);
  EXPECT_EQ(text(unsubscribe(tag), "result"), "ok");
  EXPECT_EQ(text(subscribe(), "result"), "ok") << "what the ends speak is known as before";
  remove(request("", "a"));
  expect_nothing_left();
}

TEST_F(Subscription, what_is_published_is_heard_by_who_subscribes) {
  CallRequest published = request(
      sdp_of("m=audio 4000 RTP/SAVP 101 8 0\na=rtpmap:101 telephone-event/8000\na=rtcp-mux\n"
             "a=sendonly\na=crypto:1 AES_CM_128_HMAC_SHA1_80 "
             "inline:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"));
  published.call_id.clear();
  const Dict reply = ask(&CallService::publish, published);
  const std::string sdp = offered_sdp(reply);
  EXPECT_EQ(lines(sdp, "m="), "audio 36000 RTP/SAVP 8");
  EXPECT_EQ(lines(sdp, "a=recvonly"), "");
  EXPECT_NE(sdp.find("a=recvonly"), std::string::npos);
  EXPECT_NE(sdp.find("a=rtcp-mux"), std::string::npos);
  EXPECT_EQ(text(reply, "from-tag"), "a");
  EXPECT_TRUE(leg(0, Side::kB).absent);
  EXPECT_TRUE(leg(0, Side::kA).expects_media) << "a publisher that falls silent has left";
  EXPECT_EQ(leg(0, Side::kA).receive.suite, SrtpSuite::kAesCm128HmacSha1_80);
  const auto of_it = [&](CallRequest asked) {
    asked.call_id = text(reply, "call-id");
    return asked;
  };
  const Dict offered = ask(&CallService::subscribe, of_it(request("", "a", "s")));
  EXPECT_EQ(lines(offered_sdp(offered), "m="), "audio 36002 RTP/AVP 8");
  EXPECT_EQ(text(ask(&CallService::answer_subscription,
                     of_it(request(sdp_of(kRecorder, "10.0.0.30"), "", "s"))),
                 "result"),
            "ok");
  EXPECT_EQ(leg(1, Side::kB).hears, (HeardLeg{relay_->id_of(0), Side::kA}));
  EXPECT_EQ(error(offer(of_it(request(sdp_of(kAudio))))), "call-id is that of published media");
  CallRequest other = of_it(published);
  other.from_tag = "z";
  EXPECT_EQ(error(ask(&CallService::publish, other)),
            "call-id is that of a call, or of media that another one publishes");
  EXPECT_EQ(lines(offered_sdp(ask(&CallService::publish, of_it(published))), "m="),
            "audio 36000 RTP/SAVP 8")
      << "again: nothing moves";
  remove(of_it(request("", "a")));
  expect_nothing_left();
}

}  // namespace
}  // namespace turnpike::call
