// What happens within a dialog: hold and resume, m-lines that come and go, glare, forks, retries.
#include "tests/unit/call/call_fixture.h"

namespace turnpike::call {
namespace {

constexpr std::string_view kAudioVideo =
    "m=audio 4000 RTP/AVP 0\nm=video 4002 RTP/AVP 96\na=rtpmap:96 VP8/90000\n";

class Reinvite : public CallTest {
 protected:
  /// A call between a (192.0.2.10) and b (10.0.0.20).
  void connect(std::string_view offered = kAudio,
               std::string_view answered = "m=audio 5000 RTP/AVP 0\n") {
    ASSERT_EQ(text(offer(request(sdp_of(offered))), "result"), "ok");
    ASSERT_EQ(text(answer(request(sdp_of(answered, "10.0.0.20"), "a", "b")), "result"), "ok");
  }
  std::string reoffer(std::string_view media, std::string_view address = "192.0.2.10") {
    return offered_sdp(offer(request(sdp_of(media, address), "a", "b")));
  }
  std::string reanswer(std::string_view media, std::string_view address = "10.0.0.20") {
    return offered_sdp(answer(request(sdp_of(media, address), "a", "b")));
  }
  std::string expectations(std::size_t session = 0) {
    return std::string(leg(session, Side::kA).expects_media ? "A" : "-") +
           (leg(session, Side::kB).expects_media ? "B" : "-");
  }
};

TEST_F(Reinvite, hold_and_resume_byte_for_byte) {
  connect();
  EXPECT_EQ(expectations(), "AB");
  EXPECT_EQ(reoffer("m=audio 4000 RTP/AVP 0\na=sendonly\n"),
            "v=0\r\n"
            "o=- 5 6 IN IP4 192.0.2.10\r\n"
            "s=-\r\n"
            "t=0 0\r\n"
            "m=audio 46000 RTP/AVP 0\r\n"
            "c=IN IP4 10.0.0.1\r\n"
            "a=rtpmap:0 PCMU/8000\r\n"
            "a=sendonly\r\n"
            "a=rtcp:46001\r\n");
  EXPECT_EQ(reanswer("m=audio 5000 RTP/AVP 0\na=recvonly\n"),
            "v=0\r\n"
            "o=- 5 6 IN IP4 10.0.0.20\r\n"
            "s=-\r\n"
            "t=0 0\r\n"
            "m=audio 36000 RTP/AVP 0\r\n"
            "c=IN IP4 198.51.100.1\r\n"
            "a=rtpmap:0 PCMU/8000\r\n"
            "a=recvonly\r\n"
            "a=rtcp:36001\r\n");
  EXPECT_EQ(expectations(), "A-");
  EXPECT_TRUE(leg(0, Side::kA).remote[0].is_set());

  EXPECT_EQ(lines(reoffer(kAudio), "a=send"), "recv");
  EXPECT_EQ(lines(reanswer("m=audio 5000 RTP/AVP 0\n"), "m="), "audio 36000 RTP/AVP 0");
  EXPECT_EQ(expectations(), "AB");
  EXPECT_EQ(relay_->opened_ever, 1);
}

TEST_F(Reinvite, inactive_expects_nothing_from_either_side) {
  connect();
  EXPECT_EQ(lines(reoffer("a=inactive\nm=audio 4000 RTP/AVP 0\n"), "a=inactive"), "");
  reanswer("m=audio 5000 RTP/AVP 0\na=inactive\n");
  EXPECT_EQ(expectations(), "--");
}

TEST_F(Reinvite, null_address_is_passed_on_as_the_direction_that_it_means) {
  connect();
  const std::string out = reoffer(kAudio, "0.0.0.0");
  EXPECT_EQ(lines(out, "c="), "IN IP4 10.0.0.1");
  EXPECT_EQ(lines(out, "a=sendonly"), "");
  EXPECT_NE(out.find("a=sendonly\r\n"), std::string::npos);
  reanswer("m=audio 5000 RTP/AVP 0\na=recvonly\n");
  EXPECT_FALSE(leg(0, Side::kA).remote[0].is_set());
  EXPECT_FALSE(leg(0, Side::kA).remote[1].is_set());
  EXPECT_TRUE(leg(0, Side::kB).remote[0].is_set());
  EXPECT_EQ(expectations(), "--");

  EXPECT_NE(reoffer("m=audio 4000 RTP/AVP 0\na=recvonly\n", "0.0.0.0").find("a=inactive\r\n"),
            std::string::npos);
  reoffer(kAudio);
  reanswer("m=audio 5000 RTP/AVP 0\n");
  EXPECT_EQ(to_string(leg(0, Side::kA).remote[0]), "192.0.2.10:4000");
  EXPECT_EQ(expectations(), "AB");
  EXPECT_EQ(relay_->opened_ever, 1);
}

TEST_F(Reinvite, answerer_may_hold_too) {
  connect();
  const std::string out = offered_sdp(
      offer(request(sdp_of("m=audio 5000 RTP/AVP 0\na=sendonly\n", "10.0.0.20"), "b", "a")));
  EXPECT_EQ(lines(out, "m="), "audio 36000 RTP/AVP 0");
  EXPECT_EQ(lines(out, "c="), "IN IP4 198.51.100.1");
  const std::string back =
      offered_sdp(answer(request(sdp_of("m=audio 4000 RTP/AVP 0\na=recvonly\n"), "b", "a")));
  EXPECT_EQ(lines(back, "m="), "audio 46000 RTP/AVP 0");
  EXPECT_EQ(expectations(), "-B");
}

TEST_F(Reinvite, refused_reinvite_changes_nothing) {
  connect();
  reoffer("m=audio 4444 RTP/AVP 0\na=inactive\n", "192.0.2.99");
  EXPECT_EQ(to_string(leg(0, Side::kA).remote[0]), "192.0.2.10:4000");
  EXPECT_EQ(expectations(), "AB");
  EXPECT_EQ(relay_->session(0).updates, (std::array<int, 2>{2, 2}));
}

TEST_F(Reinvite, new_address_takes_effect_with_the_answer) {
  connect();
  reoffer("m=audio 4444 RTP/AVP 0\n", "192.0.2.99");
  reanswer("m=audio 5000 RTP/AVP 0\n");
  EXPECT_EQ(to_string(leg(0, Side::kA).remote[0]), "192.0.2.99:4444");
}

TEST_F(Reinvite, m_lines_are_added_and_given_up) {
  connect();
  const std::string added = reoffer(kAudioVideo);
  EXPECT_EQ(lines(added, "m="), "audio 46000 RTP/AVP 0|video 46002 RTP/AVP 96");
  ASSERT_EQ(relay_->sessions.size(), 2U);
  reanswer("m=audio 5000 RTP/AVP 0\nm=video 5002 RTP/AVP 96\n");
  EXPECT_EQ(expectations(1), "AB");

  const std::string dropped = reoffer(
      "m=audio 4000 RTP/AVP 0\nm=video 0 RTP/AVP 96\na=mid:v\na=label:2\na=rtpmap:96 VP8/90000\n");
  EXPECT_EQ(dropped.substr(dropped.find("m=video")),
            "m=video 0 RTP/AVP 96\r\n"
            "c=IN IP4 0.0.0.0\r\n"
            "a=mid:v\r\n"
            "a=label:2\r\n");
  EXPECT_EQ(relay_->sessions.size(), 2U) << "ended before its answer";
  const std::string back = reanswer("m=audio 5000 RTP/AVP 0\nm=video 0 RTP/AVP 96\n");
  EXPECT_EQ(lines(back, "m="), "audio 36000 RTP/AVP 0|video 0 RTP/AVP 96");
  EXPECT_EQ(relay_->sessions.size(), 1U);

  // The slot may be used again, for something else.
  EXPECT_EQ(lines(reoffer("m=audio 4000 RTP/AVP 0\nm=audio 4008 RTP/AVP 8\n"), "m="),
            "audio 46000 RTP/AVP 0|audio 46004 RTP/AVP 8");
  EXPECT_EQ(relay_->session(1).spec.kind, MediaKind::kAudio);
  EXPECT_EQ(relay_->id_of(1).shard, relay_->id_of(0).shard);
}

TEST_F(Reinvite, added_m_line_that_the_peer_refuses_ends) {
  connect();
  reoffer(kAudioVideo);
  EXPECT_EQ(lines(reanswer("m=audio 5000 RTP/AVP 0\nm=video 0 RTP/AVP 96\n"), "m="),
            "audio 36000 RTP/AVP 0|video 0 RTP/AVP 96");
  EXPECT_EQ(relay_->sessions.size(), 1U);
  EXPECT_EQ(
      text(answer(request(sdp_of("m=audio 5000 RTP/AVP 0\nm=video 5002 RTP/AVP 96\n"), "a", "b")),
           "error-reason"),
      "SDP line 7 (m=): answer to an m= line that was given up");
}

TEST_F(Reinvite, first_answer_byte_for_byte_with_a_refused_m_line) {
  offer(request(sdp_of(kAudioVideo)));
  EXPECT_EQ(reanswer("m=audio 5000 RTP/AVP 0\nm=video 0 RTP/AVP 96\na=mid:v\na=inactive\n"),
            "v=0\r\n"
            "o=- 5 6 IN IP4 10.0.0.20\r\n"
            "s=-\r\n"
            "t=0 0\r\n"
            "m=audio 36000 RTP/AVP 0\r\n"
            "c=IN IP4 198.51.100.1\r\n"
            "a=rtpmap:0 PCMU/8000\r\n"
            "a=sendrecv\r\n"
            "a=rtcp:36001\r\n"
            "m=video 0 RTP/AVP 96\r\n"
            "c=IN IP4 0.0.0.0\r\n"
            "a=mid:v\r\n");
  EXPECT_FALSE(leg(1, Side::kA).remote[0].is_set());
  EXPECT_EQ(expectations(1), "--");
}

TEST_F(Reinvite, another_branch_may_take_what_the_first_refused) {
  offer(request(sdp_of(kAudioVideo)));
  reanswer("m=audio 5000 RTP/AVP 0\nm=video 0 RTP/AVP 96\n");
  EXPECT_EQ(relay_->sessions.size(), 2U);
  const std::string second = offered_sdp(answer(request(
      sdp_of("m=audio 6000 RTP/AVP 0\nm=video 6002 RTP/AVP 96\n", "10.0.0.30"), "a", "b2")));
  EXPECT_EQ(lines(second, "m="), "audio 36000 RTP/AVP 0|video 36002 RTP/AVP 96");
  EXPECT_EQ(to_string(leg(0, Side::kB).remote[0]), "10.0.0.30:6000");
  EXPECT_EQ(to_string(leg(1, Side::kA).remote[0]), "192.0.2.10:4002");
  EXPECT_EQ(service_->calls()[0].to_tag, "b2");
}

TEST_F(Reinvite, unsupported_m_lines_are_refused_when_others_are_usable) {
  const std::string out = offered_sdp(offer(request(
      sdp_of("m=audio 4000 RTP/AVP 0\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\na=mid:d\n"
             "a=sctp-port:5000\n"))));
  EXPECT_EQ(out.substr(out.find("m=application")),
            "m=application 0 UDP/DTLS/SCTP webrtc-datachannel\r\n"
            "c=IN IP4 0.0.0.0\r\n"
            "a=mid:d\r\n");
  EXPECT_EQ(relay_->sessions.size(), 1U);
  remove(request(""));
  EXPECT_EQ(text(offer(request(sdp_of("m=image 4000 udptl t38\n"))), "error-reason"),
            "no m= line of the offer can be relayed; supported are RTP/AVP, RTP/AVPF, RTP/SAVP, "
            "RTP/SAVPF, UDP/TLS/RTP/SAVP and UDP/TLS/RTP/SAVPF");
  expect_nothing_left();
}

TEST_F(Reinvite, glare_leaves_both_offers_answerable) {
  connect();
  reoffer("m=audio 4444 RTP/AVP 0\n", "192.0.2.99");
  offered_sdp(offer(request(sdp_of("m=audio 5555 RTP/AVP 0\n", "10.0.0.77"), "b", "a")));
  // Both were refused with 491; then a tries again and is answered.
  reoffer("m=audio 4446 RTP/AVP 0\n", "192.0.2.98");
  reanswer("m=audio 5000 RTP/AVP 0\n");
  EXPECT_EQ(to_string(leg(0, Side::kA).remote[0]), "192.0.2.98:4446");
  EXPECT_EQ(to_string(leg(0, Side::kB).remote[0]), "10.0.0.20:5000");
  EXPECT_EQ(relay_->opened_ever, 1);
  remove(request(""));
  expect_nothing_left();
}

TEST_F(Reinvite, retransmitted_offer_and_answer_repeat_themselves) {
  const Dict first = offer(request(sdp_of(kAudioVideo)));
  EXPECT_EQ(offer(request(sdp_of(kAudioVideo))), first);
  EXPECT_EQ(relay_->opened_ever, 2);
  const CallRequest ok =
      request(sdp_of("m=audio 5000 RTP/AVP 0\nm=video 5002 RTP/AVP 96\n"), "a", "b");
  const Dict answered = answer(ok);
  EXPECT_EQ(answer(ok), answered);
  EXPECT_EQ(relay_->opened_ever, 2);
}

TEST_F(Reinvite, offer_in_the_200_comes_from_the_callee) {
  // INVITE without SDP: the 200 OK offers, the ACK answers.
  const std::string out =
      offered_sdp(offer(request(sdp_of("m=audio 5000 RTP/AVP 0\n", "10.0.0.20"), "b", "a")));
  EXPECT_EQ(service_->calls()[0].from_tag, "b");
  offered_sdp(answer(request(sdp_of(kAudio), "b", "a")));
  EXPECT_EQ(expectations(), "AB");
  // The caller's own re-INVITE.
  EXPECT_EQ(lines(offered_sdp(offer(request(sdp_of(kAudio), "a", "b"))), "m="),
            "audio 36000 RTP/AVP 0");
}

TEST_F(Reinvite, stranger_cannot_offer_into_a_call) {
  connect();
  EXPECT_EQ(text(offer(request(sdp_of(kAudio), "x")), "error-reason"),
            "from-tag belongs to no side of this call");
  EXPECT_EQ(text(offer(request(sdp_of(kAudio), "x", "b")), "error-reason"),
            "from-tag belongs to no side of this call");
  // A branch of the callee's that speaks to the caller is no stranger.
  EXPECT_EQ(text(offer(request(sdp_of(kAudio), "b2", "a")), "result"), "ok");
}

TEST_F(Reinvite, stranger_cannot_take_over_a_ringing_call) {
  offered_sdp(offer(request(sdp_of(kAudio))));
  const std::string record = relay_->records.begin()->second;
  for (const char* to : {"", "b", "x"}) {
    EXPECT_EQ(text(offer(request(sdp_of(kAudio, "203.0.113.66"), "x", to)), "error-reason"),
              "from-tag belongs to no side of this call");
  }
  EXPECT_EQ(relay_->records.begin()->second, record);
  EXPECT_FALSE(leg(0, Side::kB).remote[0].is_set());
  // The callee's own early offer (UPDATE, PRACK) names the caller.
  offered_sdp(offer(request(sdp_of(kAudio, "10.0.0.20"), "b", "a")));
  EXPECT_EQ(service_->calls()[0].to_tag, "b");
}

TEST_F(Reinvite, fork_towards_another_interface_gets_new_ports) {
  connect();
  CallRequest again = request(sdp_of(kAudio));
  again.direction = {"outside", "outside"};
  const std::string out = offered_sdp(offer(again));
  EXPECT_EQ(lines(out, "c="), "IN IP4 198.51.100.1");
  EXPECT_EQ(relay_->sessions.size(), 1U);
  EXPECT_EQ(relay_->opened_ever, 2);
  // Within a dialog directions do not move anybody.
  answer(request(sdp_of(kAudio), "a", "c"));
  again.to_tag = "c";
  again.direction = {"outside", "inside"};
  EXPECT_EQ(lines(offered_sdp(offer(again)), "c="), "IN IP4 198.51.100.1");
  EXPECT_EQ(relay_->opened_ever, 2);
}

TEST_F(Reinvite, fork_from_srtp_to_plain_gets_a_leg_of_its_own) {
  CallRequest first = request(sdp_of(kAudio));
  first.transport_protocol = "RTP/SAVP";
  offer(first);
  EXPECT_TRUE(leg(0, Side::kB).must_encrypt);
  CallRequest second = request(sdp_of(kAudio));
  second.transport_protocol = "RTP/AVP";
  EXPECT_EQ(lines(offered_sdp(offer(second)), "m="), "audio 46002 RTP/AVP 0");
  EXPECT_FALSE(leg(0, Side::kB).must_encrypt);
  EXPECT_EQ(relay_->sessions.size(), 1U);
}

TEST_F(Reinvite, media_in_use_keeps_family_and_kind) {
  connect();
  const std::string record = relay_->records.begin()->second;
  EXPECT_EQ(text(offer(request(sdp_of(kAudio, "2001:db8::10"), "a", "b")), "error-reason"),
            "SDP line 6 (m=): a re-offer cannot change the address family of media in use");
  CallRequest asked = request(sdp_of(kAudio), "a", "b");
  asked.address_family = AddressFamily::kIpv6;
  EXPECT_EQ(text(offer(asked), "error-reason"),
            "SDP line 6 (m=): a re-offer cannot change the address family of media in use");
  EXPECT_EQ(text(offer(request(sdp_of("m=video 4000 RTP/AVP 96\n"), "a", "b")), "error-reason"),
            "SDP line 6 (m=): a re-offer cannot change the kind of media in use");
  // The session that carries the call's media was not touched.
  EXPECT_EQ(relay_->opened_ever, 1);
  EXPECT_EQ(relay_->sessions.size(), 1U);
  EXPECT_EQ(relay_->records.begin()->second, record);
  // Another peer may have what it likes.
  EXPECT_EQ(lines(offered_sdp(offer(request(sdp_of(kAudio, "2001:db8::10")))), "m="),
            "audio 46002 RTP/AVP 0");
  EXPECT_EQ(relay_->sessions.size(), 1U);
}

TEST_F(Reinvite, slot_that_was_given_up_may_get_another_kind_and_family) {
  connect(kAudioVideo, "m=audio 5000 RTP/AVP 0\nm=video 5002 RTP/AVP 96\n");
  reoffer("m=audio 4000 RTP/AVP 0\nm=video 0 RTP/AVP 96\n");
  reanswer("m=audio 5000 RTP/AVP 0\nm=video 0 RTP/AVP 96\n");
  EXPECT_EQ(relay_->sessions.size(), 1U);
  reoffer("m=audio 4000 RTP/AVP 0\nm=audio 4002 RTP/AVP 8\nc=IN IP6 2001:db8::10\n");
  EXPECT_EQ(relay_->sessions.size(), 2U);
}

struct SourceCase {
  const char* what;
  void (*set)(CallRequest&);
  SourcePolicy policy;
  const char* remote;
};
class SourceFlags : public CallTest, public testing::WithParamInterface<SourceCase> {};

TEST_P(SourceFlags, reach_the_leg) {
  CallRequest invite = request(sdp_of(kAudio));
  invite.received_from = IpAddress::v4(203, 0, 113, 5);
  GetParam().set(invite);
  offer(invite);
  EXPECT_EQ(leg(0, Side::kA).source_policy, GetParam().policy);
  EXPECT_EQ(to_string(leg(0, Side::kA).remote[0]), GetParam().remote);
  EXPECT_EQ(to_string(leg(0, Side::kA).received_from), "203.0.113.5");
  EXPECT_EQ(leg(0, Side::kB).source_policy, SourcePolicy::kStrict);

  CallRequest ok = request(sdp_of(kAudio, "10.0.0.9"), "a", "b");
  GetParam().set(ok);
  answer(ok);
  EXPECT_EQ(leg(0, Side::kB).source_policy, GetParam().policy);
  EXPECT_EQ(to_string(leg(0, Side::kB).remote[0]), "10.0.0.9:4000");
}

INSTANTIATE_TEST_SUITE_P(
    Call, SourceFlags,
    testing::Values(
        SourceCase{"none", [](CallRequest&) {}, SourcePolicy::kStrict, "192.0.2.10:4000"},
        SourceCase{"latch", [](CallRequest& r) { r.port_latching = true; }, SourcePolicy::kLatch,
                   "192.0.2.10:4000"},
        SourceCase{"asymmetric", [](CallRequest& r) { r.asymmetric = true; },
                   SourcePolicy::kAsymmetric, "192.0.2.10:4000"},
        SourceCase{"strict_wins",
                   [](CallRequest& r) { r.strict_source = r.port_latching = r.asymmetric = true; },
                   SourcePolicy::kStrict, "192.0.2.10:4000"},
        SourceCase{"sip_source",
                   [](CallRequest& r) { r.sip_source_address = r.received_from.is_set(); },
                   SourcePolicy::kStrict, "203.0.113.5:4000"}),
    [](const auto& test) { return std::string(test.param.what); });

class SourceDefault : public CallTest {};

TEST_F(SourceDefault, configured_policy_holds_for_messages_without_a_flag) {
  CallServiceConfig config = test_config();
  config.source_policy = SourcePolicy::kLatch;
  start(config);
  offer(request(sdp_of(kAudio)));
  EXPECT_EQ(leg(0, Side::kA).source_policy, SourcePolicy::kLatch);
  CallRequest strict = request(sdp_of(kAudio), "a", "b");
  strict.strict_source = true;
  answer(strict);
  EXPECT_EQ(leg(0, Side::kB).source_policy, SourcePolicy::kStrict);
}

}  // namespace
}  // namespace turnpike::call
