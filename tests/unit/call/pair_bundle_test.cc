// Browsers that share one transport among their m-lines (RFC 9143), over a traversal pair.
#include "tests/unit/call/browsers.h"
#include "tests/unit/call/pair_fixture.h"

namespace turnpike::call {
namespace {

class BundledPairCall : public PairCall {
 protected:
  /// As a page with `bundlePolicy: "max-bundle"` makes it.
  static std::string max_bundle_offer() {
    std::string offer = chromium_offer();
    const std::size_t video = offer.find("m=video 9");
    offer.replace(video, 9, "m=video 0");
    const std::size_t transport = offer.find("a=candidate", video);
    offer.erase(transport, offer.find("a=mid", transport) - transport);
    offer.erase(offer.find("a=rtcp-mux", video), std::string_view("a=rtcp-mux\r\n").size());
    return offer.insert(offer.find("a=mid", video), "a=bundle-only\r\n");
  }
  /// To a core of a version that does not share transports over the pair, as in an upgrade.
  void offer_to_old_core(const std::string& page, std::string to = "") {
    zone_offer_ = sdp(edge_.offer(request(page, "a", to, {"outside", "dmz/core-1"})));
    const std::size_t group = zone_offer_.find("a=group:BUNDLE");
    ASSERT_NE(group, std::string::npos);
    auto inside = request(zone_offer_, "a", std::move(to), {"dmz/edge-1", "inside"});
    inside.sdp.erase(group, inside.sdp.find('\n', group) + 1 - group);
    inside.transport_protocol = "RTP/AVP";
    inside.rtcp_mux = {RtcpMuxFlag::kDemux};
    sdp(core_.offer(inside));
  }
  static std::string two_lines(int video_port = 5002) {
    return sdp_of("m=audio 5000 RTP/AVP 8\nm=video " + std::to_string(video_port) +
                      " RTP/AVP 96\na=rtpmap:96 VP8/90000\n",
                  "10.0.0.50");
  }
  /// A browser's answer that has both lines on one transport.
  static std::string bundled_answer(const std::string& group = "a=group:BUNDLE 0 1\n") {
    const std::string transport =
        "a=rtcp-mux\na=ice-ufrag:abcd\na=ice-pwd:0123456789012345678901\na=setup:active\n" +
        fingerprint_line(0xc1);
    return sdp_of(group + "m=audio 4000 UDP/TLS/RTP/SAVPF 8\na=mid:0\n" + transport +
                  "m=video 4000 UDP/TLS/RTP/SAVPF 96\na=rtpmap:96 VP8/90000\na=mid:1\n" +
                  transport);
  }
  void expect_one_transport(Side client) {
    const Side peer = other(client);
    // The edge forwards one transport as it is ...
    EXPECT_TRUE(edge_.leg(client, 0).ice);
    EXPECT_FALSE(edge_.leg(client, 1).ice);
    EXPECT_FALSE(edge_.leg(client, 1).bundle.transport.is_set());
    EXPECT_FALSE(edge_.leg(client, 1).expects_media);
    EXPECT_EQ(edge_.leg(peer, 0).carriage.slot, 0U);
    EXPECT_NE(edge_.leg(peer, 0).carriage.generation, 0U);
    EXPECT_EQ(edge_.leg(peer, 1).carriage.generation, 0U);
    // ... and the core tells its lines apart.
    EXPECT_EQ(core_.leg(client, 1).bundle.transport, core_.relay.id_of(0));
    EXPECT_EQ(core_.leg(client, 1).bundle.mid.view(), "1");
    EXPECT_EQ(core_.leg(client, 0).carriage.slot, 0U);
    EXPECT_NE(core_.leg(client, 0).carriage.generation, 0U);
    EXPECT_TRUE(core_.leg(client, 1).expects_media);
    EXPECT_FALSE(core_.leg(peer, 1).bundle.transport.is_set()) << "the phone shares nothing";
  }
};

TEST_F(BundledPairCall, a_page_that_may_share_a_transport_does) {
  offer_in(chromium_offer());
  EXPECT_EQ(lines(zone_offer_, "a=group:"), "BUNDLE 0 1");
  EXPECT_EQ(lines(zone_offer_, "a=turnpike-session:"), "1 0 b 0 1|1 0 b 1 1");
  const std::string to_client = answer_out(two_lines());
  EXPECT_EQ(lines(zone_answer_, "a=group:"), "BUNDLE 0 1");
  EXPECT_EQ(lines(zone_answer_, "a=turnpike-session:"), "1 0 a 0 1|1 0 a 0 1")
      << "both are at the session of the first";
  EXPECT_EQ(lines(to_client, "a=group:"), "BUNDLE 0 1");
  EXPECT_EQ(lines(to_client, "a=mid:"), "0|1");
  EXPECT_EQ(lines(to_client, "m=audio ").substr(0, 6), "36000 ");
  EXPECT_EQ(lines(to_client, "m=video ").substr(0, 6), "36000 ") << "the same port";
  const std::size_t video = to_client.find("m=video");
  EXPECT_EQ(to_client.find("a=fingerprint", video), std::string::npos) << "said once";
  EXPECT_NE(to_client.find("a=rtcp-mux", video), std::string::npos);
  expect_one_transport(Side::kA);
}

TEST_F(BundledPairCall, a_page_that_must_share_a_transport_has_all_its_lines) {
  offer_in(max_bundle_offer());
  EXPECT_EQ(lines(zone_offer_, "a=group:"), "BUNDLE 0 1");
  EXPECT_EQ(zone_offer_.find("bundle-only"), std::string::npos);
  EXPECT_EQ(lines(answer_out(two_lines()), "a=group:"), "BUNDLE 0 1");
  expect_one_transport(Side::kA);
}

TEST_F(BundledPairCall, a_line_without_a_transport_is_refused_when_the_core_does_not_bundle) {
  offer_to_old_core(max_bundle_offer());
  // Its successor answers as the one does that was offered.
  for (const auto& [key, record] : edge_.relay.records) {
    edge_.relay.records_found.emplace_back(key, record);
  }
  for (const auto& [id, session] : edge_.relay.sessions) {
    edge_.relay.sessions_found.push_back({id, session.ports});
  }
  edge_.start(edge_config());
  EXPECT_EQ(edge_.service->adopt().calls, 1U);
  const std::string to_client = answer_out(two_lines());
  EXPECT_EQ(zone_answer_.find("BUNDLE"), std::string::npos);
  EXPECT_NE(lines(zone_answer_, "m=video ").substr(0, 2), "0 ") << "the core has taken it";
  EXPECT_EQ(lines(to_client, "m=video ").substr(0, 2), "0 ");
  EXPECT_NE(lines(to_client, "m=audio ").substr(0, 2), "0 ");
  EXPECT_EQ(lines(to_client, "a=group:"), "BUNDLE 0");
  EXPECT_TRUE(edge_.leg(Side::kA, 0).ice);
  EXPECT_FALSE(edge_.leg(Side::kA, 1).ice) << "nothing is kept up for it";
  EXPECT_FALSE(edge_.leg(Side::kA, 1).expects_media);
  // Within the dialog it is given up for good, and the rest goes on.
  offer_to_old_core(max_bundle_offer(), "b");
  EXPECT_EQ(lines(answer_out(two_lines()), "m=video ").substr(0, 2), "0 ");
  EXPECT_EQ(edge_.relay.sessions.size(), 1U);
  EXPECT_TRUE(edge_.leg(Side::kA, 0).expects_media);
}

TEST_F(BundledPairCall, a_line_with_a_transport_of_its_own_needs_no_group) {
  offer_to_old_core(chromium_offer());
  const std::string to_client = answer_out(two_lines());
  EXPECT_EQ(lines(to_client, "a=group:"), "BUNDLE 0");
  EXPECT_EQ(lines(to_client, "m=video ").substr(0, 6), "36002 ");
}

TEST_F(BundledPairCall, the_only_line_that_is_left_of_a_group_has_its_transport) {
  offer_to_old_core(max_bundle_offer());
  std::string phone = two_lines();
  phone.replace(phone.find("m=audio 5000"), 12, "m=audio 0");
  const std::string to_client = answer_out(phone);
  EXPECT_EQ(lines(to_client, "m=audio ").substr(0, 2), "0 ");
  EXPECT_EQ(lines(to_client, "m=video ").substr(0, 6), "36002 ");
  EXPECT_EQ(lines(to_client, "a=group:"), "BUNDLE 1");
}

TEST_F(BundledPairCall, riders_are_no_streams_without_media) {
  offer_in(chromium_offer());
  answer_out(two_lines());
  for (LegStats& leg : edge_.relay.session(0).stats.legs) leg.packets_received = 10;
  edge_.service->end_call("call-1");
  edge_.relay.poll_events([&](const Event& event) { edge_.service->on_event(event); });
  const Dict total = dict(edge_.service->node_statistics(), "totalstatistics");
  EXPECT_EQ(number(total, "managedsessions"), 1);
  EXPECT_EQ(number(total, "zerowaystreams"), 0);
}

TEST_F(BundledPairCall, the_group_keeps_the_callers_order) {
  std::string offer = chromium_offer();
  offer.replace(offer.find("BUNDLE 0 1"), 10, "BUNDLE 1 0");
  offer_in(offer);
  EXPECT_EQ(lines(zone_offer_, "a=group:"), "BUNDLE 1 0");
  EXPECT_EQ(lines(answer_out(two_lines()), "a=group:"), "BUNDLE 1 0");
  EXPECT_EQ(core_.leg(Side::kA, 0).bundle.transport, core_.relay.id_of(1));
  EXPECT_TRUE(edge_.leg(Side::kA, 1).ice);
  EXPECT_FALSE(edge_.leg(Side::kA, 0).ice);
  EXPECT_NE(edge_.leg(Side::kB, 1).carriage.generation, 0U);
  // The first of the group is the one that tells of the transport, also within the dialog.
  offer_in(offer, "b");
  EXPECT_EQ(lines(zone_offer_, "a=group:"), "BUNDLE 1 0");
  EXPECT_GT(zone_offer_.find("a=fingerprint"), zone_offer_.find("m=video"));
  answer_out(two_lines());
  EXPECT_EQ(core_.leg(Side::kA, 0).bundle.transport, core_.relay.id_of(1));
}

TEST_F(BundledPairCall, the_line_of_the_transport_leaves_the_group) {
  const std::string page = chromium_offer();
  offer_in(page);
  answer_out(two_lines());
  std::string parted = page;
  parted.replace(parted.find("BUNDLE 0 1"), 10, "BUNDLE 1");
  offer_in(parted, "b");
  EXPECT_EQ(lines(zone_offer_, "a=turnpike-session:"), "1 0 b 0 1|1 0 b 1 1") << "one for each";
  answer_out(two_lines());
  for (const std::size_t line : {0U, 1U}) {
    EXPECT_EQ(core_.leg(Side::kA, line).carriage.slot, line);
    EXPECT_EQ(edge_.leg(Side::kB, line).carriage.slot, line);
    EXPECT_FALSE(core_.leg(Side::kA, line).bundle.transport == core_.relay.id_of(1 - line));
  }
  // And comes back.
  offer_in(page, "b");
  answer_out(two_lines());
  expect_one_transport(Side::kA);
}

TEST_F(BundledPairCall, a_line_is_added_to_the_transport) {
  const std::string page = chromium_offer();
  std::string audio = page.substr(0, page.find("m=video"));
  audio.replace(audio.find("BUNDLE 0 1"), 10, "BUNDLE 0");
  offer_in(audio);
  answer_out(sdp_of("m=audio 5000 RTP/AVP 8\n", "10.0.0.50"));
  offer_in(page, "b");
  answer_out(two_lines());
  expect_one_transport(Side::kA);
}

TEST_F(BundledPairCall, keys_of_two_kinds_in_one_line_are_read_as_the_core_does) {
  std::string page = chromium_offer();
  page.insert(
      page.find("a=setup", page.find("m=video")),
      "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:BASE64KEYoftheCLIENT0123456789abcdefghij\r\n");
  offer_in(page);
  answer_out(two_lines());
  expect_one_transport(Side::kA);
  EXPECT_EQ(edge_.service->calls().at(0).sessions.at(1).legs[0].keying, "keyless: dtls");
}

TEST_F(BundledPairCall, the_transport_is_judged_as_a_whole) {
  std::string page = chromium_offer();
  page.replace(page.find("BUNDLE 0 1"), 10, "BUNDLE 1 0");
  page.replace(page.find("a=sendrecv", page.find("m=video")), 10, "a=inactive");
  offer_in(page);
  std::string answer = two_lines();
  answer_out(answer + "a=inactive\r\n");
  const CallSummary call = edge_.service->calls().at(0);
  EXPECT_TRUE(diagnosis::rides_unseen(call.sessions.at(0).signalled)) << "the audio";
  const diagnosis::Signalling& transport = call.sessions.at(1).signalled;
  EXPECT_FALSE(diagnosis::rides_unseen(transport));
  for (const diagnosis::LegSignalling& leg : transport.legs) {
    EXPECT_TRUE(leg.sends && leg.receives) << "the audio's directions";
  }
}

TEST_F(BundledPairCall, a_called_page_shares_a_transport_or_does_not) {
  const std::string to_client = offer_out(two_lines(), "UDP/TLS/RTP/SAVPF", IceWish::kForce);
  EXPECT_EQ(lines(zone_offer_, "a=group:"), "BUNDLE 0 1");
  EXPECT_EQ(lines(to_client, "a=group:"), "BUNDLE 0 1");
  EXPECT_NE(lines(to_client, "m=audio ").substr(0, 5), lines(to_client, "m=video ").substr(0, 5))
      << "it may still refuse";
  answer_in(bundled_answer());
  EXPECT_EQ(lines(zone_answer_, "a=group:"), "BUNDLE 0 1");
  expect_one_transport(Side::kB);
  // Another fork that does not.
  auto fork = request(bundled_answer(""), "a", "c");
  zone_answer_ = sdp(edge_.answer(fork));
  EXPECT_EQ(zone_answer_.find("BUNDLE"), std::string::npos);
  sdp(core_.answer(request(zone_answer_, "a", "c")));
  EXPECT_TRUE(edge_.leg(Side::kB, 1).ice);
  EXPECT_FALSE(core_.leg(Side::kB, 1).bundle.transport.is_set());
  EXPECT_EQ(core_.leg(Side::kB, 1).carriage.slot, 1U);
}

TEST_F(BundledPairCall, a_held_line_does_not_silence_the_transport) {
  const std::string page = chromium_offer();
  offer_in(page);
  answer_out(two_lines());
  std::string held = page;
  held.replace(held.find("a=sendrecv"), 10, "a=inactive");
  offer_in(held, "b");
  std::string answer = two_lines();
  answer.insert(answer.find("m=video"), "a=inactive\r\n");
  answer_out(answer);
  EXPECT_TRUE(edge_.leg(Side::kA, 0).expects_media) << "the video's";
  EXPECT_FALSE(core_.leg(Side::kA, 0).expects_media);
  held.replace(held.find("a=sendrecv"), 10, "a=inactive");
  offer_in(held, "b");
  answer_out(answer + "a=inactive\r\n");
  EXPECT_FALSE(edge_.leg(Side::kA, 0).expects_media);
}

TEST_F(BundledPairCall, who_is_offered_no_ice_is_offered_no_group) {
  const std::string to_client = offer_out(two_lines(), "UDP/TLS/RTP/SAVPF", IceWish::kRemove);
  EXPECT_EQ(to_client.find("BUNDLE"), std::string::npos);
}

TEST_F(BundledPairCall, the_transport_outlives_its_line_on_both_nodes) {
  offer_in(chromium_offer());
  answer_out(two_lines());
  // The phone drops the audio: the browser's transport, opened for it, goes on with the video.
  auto refused = request(sdp_of("m=audio 0 RTP/AVP 8\nm=video 5002 RTP/AVP 96\n"
                                "a=rtpmap:96 VP8/90000\n",
                                "10.0.0.50"),
                         "b", "a");
  refused.transport_protocol = "UDP/TLS/RTP/SAVPF";
  zone_offer_ = sdp(core_.offer(refused));
  const std::string to_client = sdp(edge_.offer(request(zone_offer_, "b", "a")));
  EXPECT_EQ(lines(to_client, "m=video ").substr(0, 6), "36000 ");
  EXPECT_EQ(lines(to_client, "a=group:"), "BUNDLE 1");
  std::string answer = bundled_answer("a=group:BUNDLE 1\n");
  answer.replace(answer.find("m=audio 4000"), 12, "m=audio 0");
  zone_answer_ = sdp(edge_.answer(request(answer, "b", "a")));
  EXPECT_EQ(lines(zone_answer_, "a=turnpike-session:"), "1 0 b 0 1") << "still the first one's";
  sdp(core_.answer(request(zone_answer_, "b", "a")));
  EXPECT_EQ(core_.leg(Side::kA, 1).bundle.transport, core_.relay.id_of(0));
  EXPECT_TRUE(edge_.leg(Side::kA, 0).ice);
  EXPECT_EQ(edge_.relay.opened_ever, 2);
}

}  // namespace
}  // namespace turnpike::call
