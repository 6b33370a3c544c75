// Calls of plain RTP: what goes into descriptions and what the relay is told.
#include "tests/unit/call/call_fixture.h"

namespace turnpike::call {
namespace {

constexpr std::string_view kOffer =
    "v=0\r\n"
    "o=alice 2890844526 2890844527 IN IP4 192.0.2.10\r\n"
    "s=Call\r\n"
    "c=IN IP4 192.0.2.10\r\n"
    "b=AS:80\r\n"
    "t=0 0\r\n"
    "a=tool:phone 1.0\r\n"
    "m=audio 4000 RTP/AVP 8 0 101\r\n"
    "a=silenceSupp:off - - - -\r\n"
    "a=ptime:20\r\n"
    "a=fmtp:101 0-16\r\n"
    "a=rtpmap:101 telephone-event/8000\r\n"
    "a=rtcp:4777\r\n"
    "a=mid:audio\r\n";

constexpr std::string_view kAnswer =
    "v=0\n"
    "o=bob 7 7 IN IP4 10.0.0.20\n"
    "s=-\n"
    "t=0 0\n"
    "m=audio 5000 RTP/AVP 8 101\n"
    "c=IN IP4 10.0.0.20\n"
    "a=rtpmap:101 telephone-event/8000\n";

class PlainCall : public CallTest {};

TEST_F(PlainCall, offer_and_answer_byte_for_byte) {
  CallRequest invite = request(std::string(kOffer));
  invite.replace_origin = true;
  EXPECT_EQ(offered_sdp(offer(invite)),
            "v=0\r\n"
            "o=alice 2890844526 2890844527 IN IP4 10.0.0.1\r\n"
            "s=Call\r\n"
            "b=AS:80\r\n"
            "t=0 0\r\n"
            "a=tool:phone 1.0\r\n"
            "m=audio 46000 RTP/AVP 8 0 101\r\n"
            "c=IN IP4 10.0.0.1\r\n"
            "a=mid:audio\r\n"
            "a=rtpmap:8 PCMA/8000\r\n"
            "a=rtpmap:0 PCMU/8000\r\n"
            "a=rtpmap:101 telephone-event/8000\r\n"
            "a=fmtp:101 0-16\r\n"
            "a=silenceSupp:off - - - -\r\n"
            "a=sendrecv\r\n"
            "a=rtcp:46001\r\n"
            "a=ptime:20\r\n");
  ASSERT_EQ(relay_->sessions.size(), 1U);
  EXPECT_EQ(to_string(leg(0, Side::kA).remote[0]), "192.0.2.10:4000");
  EXPECT_EQ(to_string(leg(0, Side::kA).remote[1]), "192.0.2.10:4777");
  EXPECT_FALSE(leg(0, Side::kB).remote[0].is_set());
  EXPECT_FALSE(leg(0, Side::kA).expects_media);
  EXPECT_EQ(relay_->session(0).spec.interface_index, (std::array<std::uint16_t, 2>{0, 1}));
  EXPECT_EQ(relay_->session(0).spec.dscp, (std::array<std::uint8_t, 2>{46, 46}));

  EXPECT_EQ(offered_sdp(answer(request(std::string(kAnswer), "a", "b"))),
            "v=0\r\n"
            "o=bob 7 7 IN IP4 10.0.0.20\r\n"
            "s=-\r\n"
            "t=0 0\r\n"
            "m=audio 36000 RTP/AVP 8 101\r\n"
            "c=IN IP4 198.51.100.1\r\n"
            "a=rtpmap:8 PCMA/8000\r\n"
            "a=rtpmap:101 telephone-event/8000\r\n"
            "a=sendrecv\r\n"
            "a=rtcp:36001\r\n");
  EXPECT_EQ(to_string(leg(0, Side::kB).remote[0]), "10.0.0.20:5000");
  EXPECT_EQ(to_string(leg(0, Side::kB).remote[1]), "10.0.0.20:5001");
  EXPECT_TRUE(leg(0, Side::kA).expects_media);
  EXPECT_TRUE(leg(0, Side::kB).expects_media);
  EXPECT_FALSE(leg(0, Side::kA).must_encrypt);
  EXPECT_EQ(leg(0, Side::kA).clock_rate_hz, 8000U);

  EXPECT_EQ(text(remove(request("", "a")), "result"), "ok");
  expect_nothing_left();
}

TEST_F(PlainCall, ipv6_caller_to_ipv6_and_across) {
  const std::string out = offered_sdp(offer(request(sdp_of(kAudio, "2001:db8::10"))));
  EXPECT_EQ(out,
            "v=0\r\n"
            "o=- 5 6 IN IP6 2001:db8::10\r\n"
            "s=-\r\n"
            "t=0 0\r\n"
            "m=audio 46000 RTP/AVP 0\r\n"
            "c=IN IP6 fd00::1\r\n"
            "a=rtpmap:0 PCMU/8000\r\n"
            "a=sendrecv\r\n"
            "a=rtcp:46001\r\n");
  remove(request(""));

  CallRequest across = request(sdp_of(kAudio, "2001:db8::10"));
  across.address_family = AddressFamily::kIpv4;
  across.replace_origin = true;
  const std::string v4 = offered_sdp(offer(across));
  EXPECT_EQ(lines(v4, "c="), "IN IP4 10.0.0.1");
  EXPECT_EQ(lines(v4, "o="), "- 5 6 IN IP4 10.0.0.1");
  EXPECT_EQ(lines(offered_sdp(answer(request(sdp_of(kAudio, "10.0.0.9"), "a", "b"))), "c="),
            "IN IP6 2001:db8:1::1");
}

TEST_F(PlainCall, missing_family_is_replaced_unless_it_was_asked_for) {
  CallServiceConfig config = test_config();
  config.interfaces[1].addresses.pop_back();  // inside has IPv4 only
  start(config);
  EXPECT_EQ(lines(offered_sdp(offer(request(sdp_of(kAudio, "2001:db8::10")))), "c="),
            "IN IP4 10.0.0.1");
  remove(request(""));
  CallRequest asked = request(sdp_of(kAudio, "2001:db8::10"));
  asked.address_family = AddressFamily::kIpv6;
  EXPECT_EQ(text(offer(asked), "error-reason"),
            "SDP line 6 (m=): interface inside has no IPv6 address");
  expect_nothing_left();
}

TEST_F(PlainCall, direction_chooses_interfaces) {
  CallRequest invite = request(sdp_of(kAudio, "10.0.0.7"));
  invite.direction = {"inside", "outside"};
  EXPECT_EQ(lines(offered_sdp(offer(invite)), "c="), "IN IP4 198.51.100.1");
  EXPECT_EQ(lines(offered_sdp(answer(request(sdp_of(kAudio), "a", "b"))), "c="), "IN IP4 10.0.0.1");
}

TEST_F(PlainCall, unknown_interface_is_an_error) {
  CallRequest invite = request(sdp_of(kAudio));
  invite.direction = {"outside", "moon"};
  EXPECT_EQ(text(offer(invite), "error-reason"),
            "direction names interface \"moon\", which is not configured");
  expect_nothing_left();
}

TEST_F(PlainCall, advertised_and_media_address) {
  CallServiceConfig config = test_config();
  config.interfaces[1].addresses[0].advertised = IpAddress::v4(203, 0, 113, 9);
  start(config);
  EXPECT_EQ(lines(offered_sdp(offer(request(sdp_of(kAudio)))), "c="), "IN IP4 203.0.113.9");
  remove(request(""));
  CallRequest invite = request(sdp_of(kAudio));
  invite.media_address = IpAddress::v4(203, 0, 113, 77);
  EXPECT_EQ(lines(offered_sdp(offer(invite)), "c="), "IN IP4 203.0.113.77");
}

TEST_F(PlainCall, user_and_session_name_stay_what_a_side_saw_first) {
  CallRequest invite = request(
      "v=0\no=al 1 1 IN IP4 192.0.2.1\ns=one\nc=IN IP4 192.0.2.1\nt=0 0\n" + std::string(kAudio));
  invite.replace_username = true;
  invite.replace_session_name = true;
  EXPECT_EQ(lines(offered_sdp(offer(invite)), "o="), "al 1 1 IN IP4 192.0.2.1");
  answer(request(sdp_of(kAudio), "a", "b"));
  invite.sdp =
      "v=0\no=xy 1 2 IN IP4 192.0.2.1\ns=two\nc=IN IP4 192.0.2.1\nt=0 0\n" + std::string(kAudio);
  invite.to_tag = "b";
  const std::string again = offered_sdp(offer(invite));
  EXPECT_EQ(lines(again, "o="), "al 1 2 IN IP4 192.0.2.1");
  EXPECT_EQ(lines(again, "s="), "one");
}

TEST_F(PlainCall, ice_and_bundle_do_not_pass) {
  CallRequest invite = request(
      sdp_of("a=group:BUNDLE 0\na=ice-lite\na=msid-semantic:WMS\n"
             "m=audio 4000 RTP/AVP 0\na=mid:0\na=ice-ufrag:abcd\n"
             "a=ice-pwd:0123456789012345678901\na=ice-options:trickle\n"
             "a=candidate:1 1 UDP 2130706431 192.0.2.10 4000 typ host\na=end-of-candidates\n"
             "a=remote-candidates:1 192.0.2.1 1\na=rtcp-fb:0 nack\na=extmap:1 urn:x\n"));
  invite.ice = IceWish::kRemove;
  EXPECT_EQ(lines(offered_sdp(offer(invite)), "a="),
            "msid-semantic:WMS|mid:0|rtpmap:0 PCMU/8000|rtcp-fb:0 nack|extmap:1 urn:x|sendrecv|"
            "rtcp:46001");
}

TEST_F(PlainCall, audio_and_video_share_a_shard_and_have_their_own_class) {
  const std::string out = offered_sdp(offer(
      request(sdp_of("m=audio 4000 RTP/AVP 0\nm=video 4002 RTP/AVP 96\na=rtpmap:96 VP8/90000\n"))));
  EXPECT_EQ(out,
            "v=0\r\n"
            "o=- 5 6 IN IP4 192.0.2.10\r\n"
            "s=-\r\n"
            "t=0 0\r\n"
            "m=audio 46000 RTP/AVP 0\r\n"
            "c=IN IP4 10.0.0.1\r\n"
            "a=rtpmap:0 PCMU/8000\r\n"
            "a=sendrecv\r\n"
            "a=rtcp:46001\r\n"
            "m=video 46002 RTP/AVP 96\r\n"
            "c=IN IP4 10.0.0.1\r\n"
            "a=rtpmap:96 VP8/90000\r\n"
            "a=sendrecv\r\n"
            "a=rtcp:46003\r\n");
  ASSERT_EQ(relay_->sessions.size(), 2U);
  EXPECT_EQ(relay_->id_of(0).shard, relay_->id_of(1).shard);
  EXPECT_EQ(relay_->session(0).spec.kind, MediaKind::kAudio);
  EXPECT_EQ(relay_->session(1).spec.kind, MediaKind::kVideo);
  EXPECT_EQ(relay_->session(1).spec.dscp[0], 34);
}

TEST_F(PlainCall, tos_becomes_dscp) {
  CallRequest invite = request(sdp_of(kAudio));
  invite.tos = 184;
  offer(invite);
  EXPECT_EQ(relay_->session(0).spec.dscp, (std::array<std::uint8_t, 2>{46, 46}));
  remove(request(""));
  invite.tos = 0;
  offer(invite);
  EXPECT_EQ(relay_->session(0).spec.dscp, (std::array<std::uint8_t, 2>{0, 0}));
}

TEST_F(PlainCall, missing_keys_are_named) {
  CallRequest bare = request(sdp_of(kAudio));
  bare.call_id.clear();
  EXPECT_EQ(text(offer(bare), "error-reason"), "No call-id in message");
  EXPECT_EQ(text(answer(bare), "error-reason"), "No call-id in message");
  EXPECT_EQ(text(remove(bare), "error-reason"), "No call-id in message");
  EXPECT_EQ(text(query(bare), "error-reason"), "No call-id in message");
  EXPECT_EQ(text(offer(request(sdp_of(kAudio), "")), "error-reason"), "No from-tag in message");
  EXPECT_EQ(text(offer(request("")), "error-reason"), "No SDP body in message");
  EXPECT_EQ(text(answer(request(sdp_of(kAudio))), "error-reason"), "No to-tag in message");
  EXPECT_EQ(text(answer(request(sdp_of(kAudio), "a", "b")), "error-reason"), "Unknown call-id");
  EXPECT_EQ(text(query(request("")), "error-reason"), "Unknown call-id");
  EXPECT_EQ(text(offer(request("v=0\nnonsense")), "error-reason"),
            "SDP line 2: is not of the form x=value");
  expect_nothing_left();
}

TEST_F(PlainCall, answer_of_a_stranger_is_refused) {
  offer(request(sdp_of(kAudio)));
  EXPECT_EQ(text(answer(request(sdp_of(kAudio), "x", "b")), "error-reason"),
            "from-tag belongs to no side of this call");
  EXPECT_EQ(text(answer(request(sdp_of("m=audio 1 RTP/AVP 0\nm=audio 1 RTP/AVP 0\n"), "a", "b")),
                 "error-reason"),
            "answer has 2 m= lines, its offer had 1");
  EXPECT_EQ(text(answer(request(sdp_of("m=video 1 RTP/AVP 0\n"), "a", "b")), "error-reason"),
            "SDP line 6 (m=): answer has another media type");
  EXPECT_FALSE(leg(0, Side::kB).remote[0].is_set());
  EXPECT_FALSE(service_->calls()[0].answered);
}

}  // namespace
}  // namespace turnpike::call
