// BUNDLE (RFC 9143) in offers and answers: which m-lines share a transport, which one it is, and
// what becomes of it when m-lines come and go.
#include <gmock/gmock.h>

#include "tests/unit/call/transport_fixture.h"

namespace turnpike::call {
namespace {

using testing::HasSubstr;
using testing::Not;

struct Line {
  std::string kind = "audio";
  std::string mid = "0";
  std::string types = "0";
  bool taken = true;
  bool transport = true;  // says something of its own
  bool bundle_only = false;
  std::string more = "";
};

class BundleCall : public TransportTest {
 protected:
  // A browser's description: one ICE agent and certificate, whatever the m-lines.
  static std::string browser(const std::vector<Line>& lines, std::string_view setup = "actpass",
                             const std::string& group = "all", std::string_view ufrag = "them") {
    std::string text;
    std::string mids;
    for (const Line& line : lines) {
      if (line.taken) mids += " " + line.mid;
      const std::string port = line.taken && !line.bundle_only ? "4000" : "0";
      text += "m=" + line.kind + " " + port + " UDP/TLS/RTP/SAVPF " + line.types + "\n";
      text += "a=mid:" + line.mid + "\n";
      if (line.bundle_only) text += "a=bundle-only\n";
      if (!line.taken) continue;
      if (line.transport) {
        text += fingerprint_line(0xc1) + "a=setup:" + std::string(setup) + "\n";
        text += "a=ice-ufrag:" + std::string(ufrag) + "\na=ice-pwd:theirsecrettheirsecret\n";
        text += "a=candidate:1 1 UDP 2122260223 192.0.2.10 4000 typ host\n";
      }
      text += "a=rtcp-mux\n" + line.more;
    }
    std::string all = sdp_of(text);
    const std::string value = group == "all" ? mids : group;
    if (!value.empty()) all.insert(all.find("t=0 0\n") + 6, "a=group:BUNDLE" + value + "\n");
    return all;
  }
  static std::string phone(bool audio = true, bool video = true) {
    return sdp_of(std::string("m=audio ") + (audio ? "5000" : "0") + " RTP/AVP 0\nm=video " +
                      (video ? "5002" : "0") + " RTP/AVP 96\n",
                  "10.0.0.20");
  }
  static std::vector<Line> audio_video() { return {{}, {"video", "1", "96"}}; }
  static std::vector<Line> max_bundle() { return {{}, {"video", "1", "96", true, false, true}}; }
  CallRequest from_browser(const std::string& sdp, std::string to = "") {
    CallRequest invite = towards("RTP/AVP", sdp, "a", std::move(to));
    invite.ice = IceWish::kRemove;
    invite.rtcp_mux = {RtcpMuxFlag::kDemux};
    return invite;
  }
  CallRequest to_browser(const std::string& sdp, std::string to = "") {
    CallRequest invite = towards("UDP/TLS/RTP/SAVPF", sdp, "a", std::move(to));
    invite.ice = IceWish::kForce;
    return invite;
  }
  std::string answered_by_phone(bool audio = true, bool video = true) {
    return offered_sdp(answer(request(phone(audio, video), "a", "b")));
  }
  SessionId carrier(std::size_t session, Side side) { return leg(session, side).bundle.transport; }
};

TEST_F(BundleCall, max_bundle_has_one_transport_outside_and_two_inside) {
  auto lines_of_offer = max_bundle();
  lines_of_offer[0].more = "a=extmap:4/sendrecv urn:ietf:params:rtp-hdrext:sdes:mid\n";
  const std::string out = offered_sdp(offer(from_browser(browser(lines_of_offer))));
  EXPECT_EQ(lines(out, "m="), "audio 46000 RTP/AVP 0|video 46002 RTP/AVP 96");
  EXPECT_THAT(out, Not(HasSubstr("BUNDLE")));
  EXPECT_THAT(out, Not(HasSubstr("bundle-only")));
  const std::string back = answered_by_phone();
  EXPECT_EQ(lines(back, "a=group:"), "BUNDLE 0 1");
  EXPECT_EQ(lines(back, "m="), "audio 36000 UDP/TLS/RTP/SAVPF 0|video 36000 UDP/TLS/RTP/SAVPF 96");
  EXPECT_EQ(lines(back, "c="), "IN IP4 198.51.100.1|IN IP4 198.51.100.1");
  EXPECT_EQ(lines(back, "a=rtcp-m"), "ux|ux");
  // What concerns the transport stands in the tagged m-line alone (RFC 9143 section 7.1.3).
  const std::string video = back.substr(back.find("m=video"));
  for (const char* word : {"ice-", "candidate", "fingerprint", "setup", "a=rtcp:", "tls-id"}) {
    EXPECT_THAT(video, Not(HasSubstr(word)));
    EXPECT_THAT(back, HasSubstr(std::string_view(word) == "tls-id" ? "mid" : word));
  }
  EXPECT_EQ(carrier(0, Side::kA), relay_->id_of(0));
  EXPECT_EQ(carrier(1, Side::kA), relay_->id_of(0));
  EXPECT_FALSE(carrier(0, Side::kB).is_set() || carrier(1, Side::kB).is_set());
  const BundleConfig& audio = leg(0, Side::kA).bundle;
  EXPECT_EQ(audio.mid.view(), "0");
  EXPECT_EQ(audio.mid_extension, 4);
  EXPECT_TRUE(audio.has_payload_type(0) && !audio.has_payload_type(96));
  EXPECT_TRUE(leg(1, Side::kA).bundle.has_payload_type(96));
  EXPECT_EQ(leg(1, Side::kA).bundle.mid_extension, 0);
  EXPECT_TRUE(leg(0, Side::kA).ice && leg(0, Side::kA).dtls);
  EXPECT_FALSE(leg(1, Side::kA).ice || leg(1, Side::kA).dtls);
  EXPECT_EQ(transport(1, Side::kA), TransportConfig{});
}

TEST_F(BundleCall, an_offer_without_a_group_has_a_transport_for_each_line) {
  offered_sdp(offer(from_browser(browser(audio_video(), "actpass", ""))));
  const std::string back = answered_by_phone();
  EXPECT_EQ(lines(back, "m="), "audio 36000 UDP/TLS/RTP/SAVPF 0|video 36002 UDP/TLS/RTP/SAVPF 96");
  EXPECT_FALSE(carrier(0, Side::kA).is_set() || carrier(1, Side::kA).is_set());
  EXPECT_TRUE(leg(1, Side::kA).dtls);
}

TEST_F(BundleCall, lines_outside_of_the_group_or_without_mux_keep_their_own) {
  auto three = audio_video();
  three.push_back({"video", "2", "97"});
  offered_sdp(offer(from_browser(browser(three, "actpass", " 0 2"))));
  const std::string inside =
      "m=audio 5000 RTP/AVP 0\nm=video 5002 RTP/AVP 96\n"
      "m=video 5004 RTP/AVP 97\n";
  const std::string back = offered_sdp(answer(request(sdp_of(inside, "10.0.0.20"), "a", "b")));
  EXPECT_EQ(lines(back, "a=group:"), "BUNDLE 0 2");
  EXPECT_FALSE(carrier(1, Side::kA).is_set());
  EXPECT_EQ(carrier(2, Side::kA), relay_->id_of(0));

  std::string without_mux = browser(audio_video());
  without_mux.erase(without_mux.rfind("a=rtcp-mux\n"), 11);
  without_mux.erase(without_mux.find("m=video"));
  without_mux += "m=video 4002 UDP/TLS/RTP/SAVPF 96\na=mid:1\n" + fingerprint_line(0xc1) +
                 "a=setup:actpass\n" + std::string(kIceLines);
  CallRequest other = from_browser(without_mux);
  other.call_id = "no-mux";
  offered_sdp(offer(other));
  CallRequest ok = request(phone(), "a", "b");
  ok.call_id = "no-mux";
  // The tagged m-line's rtcp-mux speaks for all (RFC 9143 section 9.3).
  EXPECT_EQ(lines(offered_sdp(answer(ok)), "a=group:"), "BUNDLE 0 1");
}

TEST_F(BundleCall, damaged_groups_are_none) {
  for (const std::string group : {" 0", " 7 8", " 0 0", " BUNDLE 0"}) {
    CallRequest invite = from_browser(browser(audio_video(), "actpass", group));
    invite.call_id = group;
    offered_sdp(offer(invite));
    CallRequest ok = request(phone(), "a", "b");
    ok.call_id = group;
    EXPECT_EQ(lines(offered_sdp(answer(ok)), "a=group:"), group == " 7 8" ? "" : "BUNDLE 0")
        << group;
  }
  auto twins = audio_video();
  twins[1].mid = "0";
  CallRequest invite = from_browser(browser(twins));
  invite.call_id = "twins";
  offered_sdp(offer(invite));
  CallRequest ok = request(phone(), "a", "b");
  ok.call_id = "twins";
  EXPECT_EQ(lines(offered_sdp(answer(ok)), "a=group:"), "");
}

TEST_F(BundleCall, a_bundle_only_line_of_no_group_is_refused) {
  offered_sdp(offer(from_browser(browser(max_bundle(), "actpass", " 0"))));
  EXPECT_EQ(relay_->sessions.size(), 1U);
  const std::string back = answered_by_phone(true, false);
  EXPECT_THAT(back, HasSubstr("m=video 0 "));
}

TEST_F(BundleCall, the_tagged_line_can_be_refused_at_once) {
  offered_sdp(offer(from_browser(browser(max_bundle()))));
  const std::string back = answered_by_phone(false, true);
  EXPECT_EQ(lines(back, "a=group:"), "BUNDLE 1");
  EXPECT_THAT(back, HasSubstr("m=video 36002 "));
  EXPECT_TRUE(leg(1, Side::kA).dtls);
  EXPECT_EQ(transport(1, Side::kA).ice.remote.ufrag.view(), "them") << "of the one for all";
}

TEST_F(BundleCall, the_transport_outlives_its_line) {
  offered_sdp(offer(from_browser(browser(audio_video()))));
  answered_by_phone();
  const TransportConfig before = transport(0, Side::kA);
  auto without_audio = audio_video();
  without_audio[0].taken = false;
  offered_sdp(offer(from_browser(browser(without_audio), "b")));
  const std::string back = answered_by_phone(false, true);
  EXPECT_EQ(lines(back, "a=group:"), "BUNDLE 1");
  EXPECT_THAT(back, HasSubstr("m=video 36000 "));
  EXPECT_EQ(lines(back, "a=ice-ufrag:"), std::string(before.ice.local.ufrag.view()));
  EXPECT_EQ(relay_->sessions.size(), 2U) << "audio's session has the transport";
  EXPECT_EQ(transport(0, Side::kA), before);
  EXPECT_FALSE(carrier(0, Side::kA).is_set()) << "no m-line itself";
  EXPECT_TRUE(leg(0, Side::kA).ice && leg(0, Side::kA).dtls);
  EXPECT_FALSE(leg(0, Side::kB).remote[0].is_set());
  EXPECT_EQ(service_->calls()[0].sessions.size(), 2U);

  // Audio comes back, on the same transport, with another port inside.
  offered_sdp(offer(from_browser(browser(audio_video()), "b")));
  EXPECT_EQ(lines(answered_by_phone(), "m="),
            "audio 36000 UDP/TLS/RTP/SAVPF 0|video 36000 UDP/TLS/RTP/SAVPF 96");
  EXPECT_EQ(relay_->sessions.size(), 3U);
  EXPECT_EQ(carrier(2, Side::kA), relay_->id_of(0));
  EXPECT_EQ(transport(0, Side::kA), before);
  remove(request("", "a"));
  expect_nothing_left();
}

TEST_F(BundleCall, a_line_is_added_and_removed_on_the_transport_that_is_there) {
  offered_sdp(offer(from_browser(browser({{}}))));
  const std::string inside = sdp_of("m=audio 5000 RTP/AVP 0\n", "10.0.0.20");
  EXPECT_EQ(lines(offered_sdp(answer(request(inside, "a", "b"))), "a=group:"), "BUNDLE 0");
  EXPECT_FALSE(carrier(0, Side::kA).is_set()) << "alone, it costs nothing";
  const TransportConfig before = transport(0, Side::kA);
  offered_sdp(offer(from_browser(browser(max_bundle()), "b")));
  EXPECT_EQ(lines(answered_by_phone(), "a=group:"), "BUNDLE 0 1");
  EXPECT_EQ(carrier(1, Side::kA), relay_->id_of(0));
  EXPECT_EQ(transport(0, Side::kA), before);
  auto without_video = audio_video();
  without_video[1].taken = false;
  offered_sdp(offer(from_browser(browser(without_video), "b")));
  EXPECT_EQ(lines(answered_by_phone(true, false), "a=group:"), "BUNDLE 0");
  EXPECT_EQ(relay_->sessions.size(), 1U);
  EXPECT_EQ(transport(0, Side::kA), before);
}

TEST_F(BundleCall, a_group_that_is_dissolved_leaves_each_line_its_own) {
  offered_sdp(offer(from_browser(browser(audio_video()))));
  answered_by_phone();
  offered_sdp(offer(from_browser(browser(audio_video(), "actpass", ""), "b")));
  const std::string back = answered_by_phone();
  EXPECT_EQ(lines(back, "m="), "audio 36000 UDP/TLS/RTP/SAVPF 0|video 36002 UDP/TLS/RTP/SAVPF 96");
  EXPECT_FALSE(carrier(1, Side::kA).is_set());
  EXPECT_TRUE(leg(1, Side::kA).dtls && leg(1, Side::kA).ice);
  EXPECT_EQ(dtls(Side::kA).association, 1U) << "audio's goes on";
}

TEST_F(BundleCall, an_ice_restart_is_one_of_the_transport) {
  offered_sdp(offer(from_browser(browser(audio_video()))));
  answered_by_phone();
  const IceCredentials before = ice(Side::kA).local;
  offered_sdp(offer(from_browser(browser(audio_video(), "actpass", "all", "anew"), "b")));
  answered_by_phone();
  EXPECT_NE(ice(Side::kA).local, before);
  EXPECT_EQ(ice(Side::kA).remote.ufrag.view(), "anew");
  EXPECT_EQ(dtls(Side::kA).association, 1U);
}

TEST_F(BundleCall, the_shared_transport_has_candidates_of_both_families) {
  relay_->other_ports = true;
  std::string both = browser(max_bundle());
  const std::string second = "a=candidate:2 1 UDP 2122260100 2001:db8:51::10 4000 typ host\n";
  both.insert(both.find("a=candidate:"), second);
  offered_sdp(offer(from_browser(both)));
  const std::string back = answered_by_phone();
  const std::string ours =
      "1 1 UDP 2130706175 198.51.100.1 36000 typ host|"
      "2 1 UDP 2130706431 2001:db8:1::1 36000 typ host";
  EXPECT_EQ(lines(back, "a=candidate:"), ours) << "once, in the tagged m-line";
  EXPECT_EQ(ice(Side::kA).candidate_count, 2);
  // Also when the m-line that brought them is gone.
  auto without_audio = audio_video();
  without_audio[0].taken = false;
  both = browser(without_audio);
  both.insert(both.find("a=candidate:"), second);
  offered_sdp(offer(from_browser(both, "b")));
  EXPECT_EQ(lines(answered_by_phone(false, true), "a=candidate:"), ours);
  EXPECT_EQ(ice(Side::kA).candidate_count, 2);
  // And in what we offer to it: the phone calls back within the call.
  CallRequest invite = towards("UDP/TLS/RTP/SAVPF", phone(false, true), "b", "a");
  EXPECT_EQ(lines(offered_sdp(offer(invite)), "a=candidate:"), ours);
}

// ---- Our offers

TEST_F(BundleCall, a_browser_is_offered_a_transport_for_each_line_and_folds_them) {
  const std::string out = offered_sdp(offer(to_browser(phone())));
  EXPECT_EQ(lines(out, "a=group:"), "BUNDLE 0 1");
  EXPECT_EQ(lines(out, "m="), "audio 46000 UDP/TLS/RTP/SAVPF 0|video 46002 UDP/TLS/RTP/SAVPF 96");
  EXPECT_TRUE(leg(1, Side::kB).dtls && leg(1, Side::kB).ice) << "until it is answered";
  const std::string back = offered_sdp(
      answer(request(browser({{}, {"video", "1", "96", true, false}}, "active"), "a", "b")));
  EXPECT_EQ(lines(back, "m="), "audio 36000 RTP/AVP 0|video 36002 RTP/AVP 96");
  EXPECT_EQ(lines(back, "a=group:"), "");
  EXPECT_EQ(carrier(0, Side::kB), relay_->id_of(0));
  EXPECT_EQ(carrier(1, Side::kB), relay_->id_of(0));
  EXPECT_FALSE(leg(1, Side::kB).dtls || leg(1, Side::kB).ice);
  EXPECT_EQ(leg(1, Side::kB).bundle.mid.view(), "1");
  EXPECT_EQ(dtls(Side::kB).role, DtlsRole::kPassive);
}

TEST_F(BundleCall, an_answer_without_a_group_keeps_them_apart) {
  offered_sdp(offer(to_browser(phone())));
  offered_sdp(answer(request(browser(audio_video(), "active", ""), "a", "b")));
  EXPECT_FALSE(carrier(0, Side::kB).is_set() || carrier(1, Side::kB).is_set());
  EXPECT_TRUE(leg(1, Side::kB).dtls && leg(1, Side::kB).ice);
}

TEST_F(BundleCall, an_answer_may_refuse_the_first_line) {
  offered_sdp(offer(to_browser(phone())));
  auto without_audio = audio_video();
  without_audio[0].taken = false;
  offered_sdp(answer(request(browser(without_audio, "active"), "a", "b")));
  EXPECT_FALSE(carrier(1, Side::kB).is_set());
  EXPECT_TRUE(leg(1, Side::kB).dtls && leg(1, Side::kB).ice);
}

TEST_F(BundleCall, another_fork_may_refuse_the_first_line) {
  offered_sdp(offer(to_browser(phone())));
  offered_sdp(answer(request(browser(audio_video(), "active"), "a", "b")));
  EXPECT_TRUE(carrier(1, Side::kB).is_set());
  auto without_audio = audio_video();
  without_audio[0].taken = false;
  offered_sdp(answer(request(browser(without_audio, "active"), "a", "c")));
  EXPECT_FALSE(carrier(1, Side::kB).is_set());
  EXPECT_TRUE(leg(1, Side::kB).dtls && leg(1, Side::kB).ice);
}

TEST_F(BundleCall, a_re_offer_names_the_shared_transport_and_adds_lines_to_it) {
  const std::string audio = sdp_of("m=audio 5000 RTP/AVP 0\n", "10.0.0.20");
  offered_sdp(offer(to_browser(phone())));
  offered_sdp(answer(request(browser(audio_video(), "active"), "a", "b")));
  const TransportConfig before = transport(0, Side::kB);
  const std::string three = phone() + "m=video 5004 RTP/AVP 97\n";
  const std::string out = offered_sdp(offer(to_browser(three, "b")));
  EXPECT_EQ(lines(out, "a=group:"), "BUNDLE 0 1 2");
  EXPECT_EQ(lines(out, "m="),
            "audio 46000 UDP/TLS/RTP/SAVPF 0|video 46000 UDP/TLS/RTP/SAVPF 96|"
            "video 46000 UDP/TLS/RTP/SAVPF 97");
  EXPECT_EQ(lines(out, "a=setup:"), "actpass");
  EXPECT_EQ(lines(out, "a=ice-ufrag:"), std::string(before.ice.local.ufrag.view()));
  auto all = audio_video();
  all.push_back({"video", "2", "97"});
  offered_sdp(answer(request(browser(all, "active"), "a", "b")));
  EXPECT_EQ(carrier(2, Side::kB), relay_->id_of(0));
  EXPECT_EQ(transport(0, Side::kB), before);

  // The first one goes: the next one names the same transport.
  const std::string later =
      offered_sdp(offer(to_browser(sdp_of("m=audio 0 RTP/AVP 0\nm=video 5002 RTP/AVP 96\n"
                                          "m=video 5004 RTP/AVP 97\n",
                                          "10.0.0.20"),
                                   "b")));
  EXPECT_EQ(lines(later, "a=group:"), "BUNDLE 1 2");
  EXPECT_THAT(later, HasSubstr("m=video 46000 UDP/TLS/RTP/SAVPF 96"));
  EXPECT_EQ(lines(later, "a=ice-ufrag:"), std::string(before.ice.local.ufrag.view()));
  all[0].taken = false;
  offered_sdp(answer(request(browser(all, "active"), "a", "b")));
  EXPECT_EQ(relay_->sessions.size(), 3U);
  EXPECT_EQ(transport(0, Side::kB), before);
}

TEST_F(BundleCall, lines_that_cannot_be_of_one_rtp_session_are_not_grouped) {
  const std::string clash =
      "m=audio 5000 RTP/AVP 96\na=rtpmap:96 opus/48000/2\n"
      "m=video 5002 RTP/AVP 96\na=rtpmap:96 VP8/90000\n"
      "m=video 5004 RTP/AVP 97\na=rtpmap:97 VP8/90000\n";
  const std::string out = offered_sdp(offer(to_browser(sdp_of(clash, "10.0.0.20"))));
  EXPECT_EQ(lines(out, "a=group:"), "BUNDLE 0 2");
  const std::string ids =
      "m=audio 5000 RTP/AVP 0\na=extmap:1 urn:one\n"
      "m=video 5002 RTP/AVP 97\na=extmap:1 urn:two\n";
  CallRequest other = to_browser(sdp_of(ids, "10.0.0.20"));
  other.call_id = "ids";
  EXPECT_EQ(lines(offered_sdp(offer(other)), "a=group:"), "BUNDLE 0");
}

TEST_F(BundleCall, another_branch_is_offered_transports_of_their_own) {
  offered_sdp(offer(to_browser(phone())));
  offered_sdp(answer(request(browser(audio_video(), "active"), "a", "b")));
  // A branch that answers the same offer without a group.
  offered_sdp(answer(request(browser(audio_video(), "active", ""), "a", "c")));
  EXPECT_FALSE(carrier(0, Side::kB).is_set() || carrier(1, Side::kB).is_set());
  EXPECT_TRUE(leg(1, Side::kB).ice && leg(1, Side::kB).dtls);
  const std::string out = offered_sdp(offer(to_browser(phone())));
  EXPECT_EQ(lines(out, "m="), "audio 46000 UDP/TLS/RTP/SAVPF 0|video 46002 UDP/TLS/RTP/SAVPF 96");
}

TEST_F(BundleCall, sdes_lines_share_the_keys_of_the_tagged_one) {
  const std::string crypto =
      "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj\n";
  const std::string text = "m=audio 4000 RTP/SAVP 0\na=mid:x\na=rtcp-mux\n" + crypto +
                           "m=video 0 RTP/SAVP 96\na=mid:y\na=bundle-only\n";
  std::string sdes = sdp_of(text);
  sdes.insert(sdes.find("t=0 0\n") + 6, "a=group:BUNDLE x y\n");
  offered_sdp(offer(towards("RTP/AVP", sdes)));
  const std::string back = answered_by_phone();
  EXPECT_EQ(lines(back, "a=group:"), "BUNDLE x y");
  EXPECT_EQ(lines(back, "m="), "audio 36000 RTP/SAVP 0|video 36000 RTP/SAVP 96");
  EXPECT_EQ(lines(back.substr(back.find("m=video")), "a=crypto:"), "");
  EXPECT_EQ(leg(0, Side::kA).receive.suite, SrtpSuite::kAesCm128HmacSha1_80);
  EXPECT_EQ(leg(1, Side::kA).receive.suite, SrtpSuite::kNone);
  EXPECT_EQ(leg(1, Side::kA).send.suite, SrtpSuite::kNone);
  EXPECT_TRUE(leg(1, Side::kA).must_encrypt);
  EXPECT_EQ(carrier(1, Side::kA), relay_->id_of(0));
}

TEST_F(BundleCall, a_successor_goes_on_with_the_shared_transport) {
  offered_sdp(offer(from_browser(browser(audio_video()))));
  answered_by_phone();
  auto without_audio = audio_video();
  without_audio[0].taken = false;
  offered_sdp(offer(from_browser(browser(without_audio), "b")));
  answered_by_phone(false, true);
  take_over(2);
  EXPECT_TRUE(transport(0, Side::kA).ice.local.is_set());
  EXPECT_EQ(transport(1, Side::kA), TransportConfig{});
  offered_sdp(offer(from_browser(browser(audio_video()), "b")));
  EXPECT_EQ(lines(answered_by_phone(), "a=group:"), "BUNDLE 0 1");
  EXPECT_EQ(carrier(1, Side::kA), relay_->id_of(0));
  remove(request("", "a"));
  expect_nothing_left();
}

}  // namespace
}  // namespace turnpike::call
