// NG "publish", "subscribe request", "subscribe answer", "unsubscribe": who hears whom, for how
// long.
#include <algorithm>

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
  const std::string taken =
      "call-id has \",subscriber=\" in it, which is the name of a subscription";
  EXPECT_EQ(error(offer(of_subscription)), taken);
  EXPECT_NE(text(remove(of_subscription), "warning"), "") << "a Call-ID that a client made up";
  of_subscription.call_id = "call-2,subscriber=x";
  EXPECT_EQ(error(offer(of_subscription)), taken);
  EXPECT_EQ(error(ask(&CallService::publish, of_subscription)), taken);
  EXPECT_EQ(error(subscribe([](auto& asked) { asked.to_tag = std::string(1025, 't'); })),
            "to-tag is longer than 1024 bytes");
  EXPECT_EQ(text(answer_it(tag), "result"), "ok");
}

TEST_F(Subscription, is_to_the_participant_that_was_named) {
  offered_sdp(offer(request(sdp_of(kAudio))));
  offered_sdp(answer(request(sdp_of(kAudio, "10.0.0.20"), "a", "b1")));
  const std::string one = text(subscribe([](auto& asked) { asked.from_tag = "b1"; }), "to-tag");
  answer_it(one);
  const std::string all = text(subscribe([](auto& asked) { asked.all = true; }), "to-tag");
  ASSERT_EQ(text(answer_it(all, std::string(kRecorder) + std::string(kRecorder)), "result"), "ok");
  const HeardLeg of_b{relay_->id_of(0), Side::kB};
  EXPECT_EQ(leg(1, Side::kB).hears, of_b);
  // Another branch answers: nobody has asked to hear that one but who hears all.
  offered_sdp(answer(request(sdp_of(kAudio, "10.0.0.21"), "a", "b2")));
  EXPECT_FALSE(leg(1, Side::kB).hears.session.is_set());
  EXPECT_EQ(leg(2, Side::kB).hears, (HeardLeg{relay_->id_of(0), Side::kA}));
  EXPECT_EQ(leg(3, Side::kB).hears, of_b);
  EXPECT_NE(std::find(log_.begin(), log_.end(),
                      "call-1,subscriber=" + one +
                          ": silent: another end answers for the one that is subscribed to"),
            log_.end());
  const Dict figures = query(request(""));
  EXPECT_EQ(find(dict(dict(figures, "tags"), "b2"), "subscribers")->as_list()->size(), 2U);
  offered_sdp(answer(request(sdp_of(kAudio, "10.0.0.20"), "a", "b1")));
  EXPECT_EQ(leg(1, Side::kB).hears, of_b) << "it is there again";
}

TEST_F(Subscription, hears_an_m_line_that_comes_back_on_its_shard) {
  connect();
  answer_it(text(subscribe(), "to-tag"));
  const std::uint16_t shard = relay_->id_of(1).shard;
  CallRequest other = request(sdp_of(kAudio));
  other.call_id = "call-2";  // the next session would be on another shard, were it not said which
  offered_sdp(offer(other));
  offered_sdp(offer(request(sdp_of("m=audio 0 RTP/AVP 0\n"), "a", "b")));
  offered_sdp(answer(request(sdp_of("m=audio 0 RTP/AVP 0\n", "10.0.0.20"), "a", "b")));
  deliver_events();
  ASSERT_EQ(relay_->sessions.size(), 2U);
  EXPECT_FALSE(leg(0, Side::kB).hears.session.is_set());
  offered_sdp(offer(request(sdp_of(kAudio), "a", "b")));
  offered_sdp(answer(request(sdp_of(kAudio, "10.0.0.20"), "a", "b")));
  EXPECT_EQ(relay_->id_of(2).shard, shard);
  EXPECT_EQ(leg(0, Side::kB).hears, (HeardLeg{relay_->id_of(2), Side::kA}));
}

TEST_F(Subscription, has_the_numbers_of_formats_that_each_end_is_sent) {
  offered_sdp(
      offer(request(sdp_of("m=audio 4000 RTP/AVP 0 111 112 8\na=rtpmap:111 OPUS/48000/2\n"
                           "a=fmtp:111 useinbandfec=1\na=rtpmap:112 AMR/8000/1\n"))));
  const auto formats_of = [&](const char* tag) {
    const std::string sdp = offered_sdp(subscribe([tag](auto& asked) { asked.from_tag = tag; }));
    return lines(sdp, "m=audio ").substr(6) + "; " + lines(sdp, "a=rtpmap:111") +
           lines(sdp, "a=fmtp");
  };
  EXPECT_EQ(formats_of("a"), "RTP/AVP 0 111 112 8;  OPUS/48000/2:111 useinbandfec=1");
  offered_sdp(answer(request(sdp_of("m=audio 5000 RTP/AVP 96 97\na=rtpmap:96 opus/48000/2\n"
                                    "a=rtpmap:97 AMR/8000\n",
                                    "10.0.0.20"),
                             "a", "b")));
  EXPECT_EQ(formats_of("a"), "RTP/AVP 96 97; ") << "what b said that it takes";
  EXPECT_EQ(formats_of("b"), "RTP/AVP 111 112;  OPUS/48000/2:111 useinbandfec=1") << "and a";
  const std::string tag = text(subscribe([](auto& asked) { asked.from_tag = "b"; }), "to-tag");
  EXPECT_NE(error(answer_it(tag, "m=audio 7000 RTP/AVP 96\na=recvonly\n")), "");
  EXPECT_EQ(error(answer_it(tag, "m=audio 7000 RTP/AVP 111\na=recvonly\n")), "");
  // An m-line that is offered, and not answered yet, is no obstacle.
  offered_sdp(offer(request(sdp_of("m=audio 4000 RTP/AVP 111\na=rtpmap:111 opus/48000/2\n"
                                   "m=video 4002 RTP/AVP 100\na=rtpmap:100 VP8/90000\n"),
                            "a", "b")));
  const std::string all = offered_sdp(subscribe([](auto& asked) { asked.all = true; }));
  EXPECT_NE(all.find("m=video "), std::string::npos);
  EXPECT_NE(all.find(" RTP/AVP 100\r\n"), std::string::npos);
}

TEST_F(Subscription, can_be_blocked_by_itself) {
  connect();
  answer_it(text(subscribe([](auto& asked) { asked.to_tag = "s"; }), "to-tag"));
  CallRequest asked = request("", "");
  asked.call_id = "call-1,subscriber=s";
  Dict reply;
  service_->switch_media(MediaCommand::kBlock, asked, [&](Dict dict) { reply = std::move(dict); });
  EXPECT_EQ(text(reply, "result"), "ok");
  EXPECT_TRUE(relay_->session(1).switches[index_of(Side::kB)].blocked);
  EXPECT_FALSE(relay_->session(0).switches[index_of(Side::kA)].blocked);
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
  EXPECT_EQ(relay_->records.size(), 2U);
}

TEST_F(Subscription, that_is_not_renewed_goes_on) {
  connect();
  for (unsigned i = 1; i < kSubscribersPerLegMax; ++i) offered_sdp(subscribe());
  const auto mine = [](auto& asked) { asked.to_tag = "mine"; };
  offered_sdp(subscribe(mine));
  answer_it("mine");
  const auto hears = [&] {
    return leg(relay_->sessions.size() - 1, Side::kB).hears == HeardLeg{relay_->id_of(0), Side::kA};
  };
  ASSERT_TRUE(hears());
  EXPECT_NE(error(subscribe([](auto& asked) {
              asked.to_tag = "mine";
              asked.transport_protocol = "UDP";
            })),
            "");
  relay_->opens_until_out_of_ports = 0;
  EXPECT_NE(error(subscribe(mine)), "");
  EXPECT_TRUE(hears());
  EXPECT_EQ(relay_->sessions.size(), 1U + kSubscribersPerLegMax);
  relay_->opens_until_out_of_ports = 1;
  EXPECT_EQ(error(subscribe(mine)), "") << "it takes no more room than it has";
  EXPECT_FALSE(hears());
  EXPECT_EQ(service_->call_count(), 1U + kSubscribersPerLegMax);
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
