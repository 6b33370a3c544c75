// Browsers on either side, against plain RTP, SDES and each other: nothing of one end's transport
// reaches the other, everything about its streams does.
#include <gmock/gmock.h>

#include "control/call/record.h"
#include "control/call/transport.h"
#include "tests/unit/call/browsers.h"

namespace turnpike::call {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr const char* kTls = "UDP/TLS/RTP/SAVPF";
constexpr std::string_view kInside = "m=audio 5000 RTP/AVPF 0\nm=video 5002 RTP/AVPF 96\n";

class Browser : public TransportTest {
 protected:
  static void expect_no_transport(const std::string& sdp) {
    for (const char* word : {"ice-", "candidate", "fingerprint", "setup:", "tls-id", "BUNDLE",
                             "bundle-only", "Secret", "192.0.2.77", "198.51.100.77", ".local"}) {
      EXPECT_THAT(sdp, Not(HasSubstr(word)));
    }
  }
  /// All m-lines from the second on are on the transport of the first.
  void expect_bundled(Side side, std::size_t media_count) {
    for (std::size_t i = 0; i < media_count; ++i) {
      const LegConfig& config = leg(i, side);
      EXPECT_EQ(config.bundle.transport, relay_->id_of(0)) << i;
      EXPECT_TRUE(config.must_encrypt);
      EXPECT_TRUE(config.rtcp_mux);
      if (i == 0) continue;
      EXPECT_FALSE(config.ice || config.dtls || config.remote[0].is_set());
      EXPECT_EQ(config.send.suite, SrtpSuite::kNone);
      EXPECT_EQ(transport(i, side), TransportConfig{});
    }
  }
  /// What is ours in a description towards a browser, in each m-line.
  void expect_our_transport(const std::string& sdp, const char* setup, Side side,
                            std::size_t media_count) {
    std::string setups = setup;
    std::string fingerprints = sdp::write_fingerprint(relay_->identity.fingerprint);
    for (std::size_t i = 1; i < media_count; ++i) {
      setups += "|" + std::string(setup);
      fingerprints += "|" + sdp::write_fingerprint(relay_->identity.fingerprint);
    }
    EXPECT_EQ(lines(sdp, "a=setup:"), setups);
    EXPECT_EQ(lines(sdp, "a=fingerprint:"), fingerprints);
    for (const char* theirs : {"Secret", "9fA+", "7b1c2d3e", "192.0.2.77", "198.51.100.77",
                               ".local", "bundle-only", "crypto"}) {
      EXPECT_THAT(sdp, Not(HasSubstr(theirs)));
    }
    for (std::size_t i = 0; i < media_count; ++i) {
      const IceConfig& config = transport(i, side).ice;
      EXPECT_THAT(sdp, HasSubstr("a=ice-pwd:" + std::string(config.local.password.view())));
      EXPECT_TRUE(relay_->session(i).legs[index_of(side)].ice);
      EXPECT_TRUE(relay_->session(i).legs[index_of(side)].dtls);
      EXPECT_TRUE(relay_->session(i).legs[index_of(side)].must_encrypt);
    }
  }
};

TEST_F(Browser, chromium_calls_a_plain_inside) {
  CallRequest invite = towards("RTP/AVPF", chromium_offer());
  invite.ice = IceWish::kRemove;
  invite.rtcp_mux = {RtcpMuxFlag::kDemux};
  const std::string out = offered_sdp(offer(invite));
  expect_no_transport(out);
  EXPECT_EQ(lines(out, "m="), "audio 46000 RTP/AVPF 111 63 0 8|video 46002 RTP/AVPF 96 97");
  for (const char* kept :
       {"a=mid:0\r\n", "a=mid:1\r\n", "a=msid:5tVFa2 77aa\r\n", "a=extmap-allow-mixed\r\n",
        "a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\n", "a=rid:h send\r\n",
        "a=simulcast:send h;l\r\n", "a=ssrc:3735928559 msid:5tVFa2 0e6e7f2c\r\n",
        "a=rtcp-fb:96 nack pli\r\n", "a=rtcp-rsize\r\n", "a=fmtp:97 apt=96\r\n"}) {
    EXPECT_THAT(out, HasSubstr(kept));
  }
  const std::string back = offered_sdp(answer(request(sdp_of(kInside, "10.0.0.20"), "a", "b")));
  EXPECT_EQ(lines(back, "m="), "audio 36000 UDP/TLS/RTP/SAVPF 0|video 36000 UDP/TLS/RTP/SAVPF 96");
  expect_our_transport(back, "passive", Side::kA, 1);
  expect_bundled(Side::kA, 2);
  EXPECT_FALSE(leg(1, Side::kB).bundle.transport.is_set());
  EXPECT_EQ(lines(back, "a=rtcp"), ":36000|-mux|-mux");
  EXPECT_EQ(lines(back, "a=candidate:"), "1 1 UDP 2130706431 198.51.100.1 36000 typ host");
  EXPECT_EQ(ice(Side::kA).candidate_count, 2) << "UDP with an address";
  EXPECT_EQ(to_string(ice(Side::kA).candidates[0].address), "192.0.2.77:46243");
  EXPECT_EQ(dtls(Side::kA).remote.bytes[0], 0xc1);
  EXPECT_EQ(to_string(leg(0, Side::kB).remote[0]), "10.0.0.20:5000");
  EXPECT_TRUE(leg(0, Side::kA).rtcp_mux);
  EXPECT_FALSE(leg(0, Side::kB).rtcp_mux);
}

TEST_F(Browser, firefox_calls_a_plain_inside_and_is_held) {
  CallRequest invite = towards("RTP/AVP", firefox_offer());
  invite.ice = IceWish::kRemove;
  const std::string out = offered_sdp(offer(invite));
  expect_no_transport(out);
  EXPECT_EQ(lines(out, "m="), "audio 46000 RTP/AVP 109 0 8 101|video 46002 RTP/AVP 120");
  const std::string inside = "m=audio 5000 RTP/AVP 0\nm=video 0 RTP/AVP 120\n";
  const std::string back = offered_sdp(answer(request(sdp_of(inside, "10.0.0.20"), "a", "b")));
  expect_our_transport(back, "passive", Side::kA, 1);
  EXPECT_THAT(back, HasSubstr("m=video 0 UDP/TLS/RTP/SAVPF 120\r\n"));
  EXPECT_EQ(dtls(Side::kA).remote.bytes[0], 0xf1) << "of the session level";
  EXPECT_FALSE(leg(0, Side::kA).remote[0].is_set());
  EXPECT_TRUE(leg(0, Side::kA).expects_media) << "0.0.0.0 is a place-holder, no hold";
  const TransportConfig before = transport(0, Side::kA);

  // The inside holds it; towards the browser everything stays as it was.
  const std::string held = offered_sdp(
      offer(request(sdp_of("m=audio 5000 RTP/AVP 0\na=sendonly\n", "10.0.0.20"), "b", "a")));
  EXPECT_EQ(lines(held, "m="), "audio 36000 UDP/TLS/RTP/SAVPF 0");
  EXPECT_THAT(held, HasSubstr("a=sendonly\r\n"));
  expect_our_transport(held, "actpass", Side::kA, 1);
  std::string recvonly = browser_answer(firefox_offer());
  recvonly.erase(recvonly.find("m=video"));
  recvonly.replace(recvonly.find("sendrecv"), 8, "recvonly");
  offered_sdp(answer(request(recvonly, "b", "a")));
  EXPECT_EQ(transport(0, Side::kA), before);
}

TEST_F(Browser, a_plain_inside_calls_a_browser) {
  CallRequest invite = towards(kTls, sdp_of(kInside, "10.0.0.20"));
  invite.direction = {"inside", "outside"};
  invite.ice = IceWish::kForce;
  const std::string out = offered_sdp(offer(invite));
  EXPECT_EQ(lines(out, "m="), "audio 46000 UDP/TLS/RTP/SAVPF 0|video 46002 UDP/TLS/RTP/SAVPF 96");
  expect_our_transport(out, "actpass", Side::kB, 2);
  EXPECT_EQ(lines(out, "a=rtcp-m"), "ux|ux");
  const std::string back = offered_sdp(answer(request(browser_answer(chromium_offer()), "a", "b")));
  expect_no_transport(back);
  EXPECT_EQ(lines(back, "m="), "audio 36000 RTP/AVPF 111 63 0 8|video 36002 RTP/AVPF 96 97");
  EXPECT_EQ(dtls(Side::kB).role, DtlsRole::kPassive);
  EXPECT_EQ(dtls(Side::kB).association, 1U);
  EXPECT_TRUE(ice(Side::kB).controlling);
  EXPECT_TRUE(leg(0, Side::kB).rtcp_mux);
  EXPECT_FALSE(leg(0, Side::kA).rtcp_mux);
  EXPECT_FALSE(leg(0, Side::kA).must_encrypt);
}

TEST_F(Browser, a_browser_calls_and_is_called_by_sdes) {
  const std::string out = offered_sdp(offer(towards("RTP/SAVPF", chromium_offer())));
  EXPECT_THAT(out, HasSubstr("m=audio 46000 RTP/SAVPF 111"));
  EXPECT_THAT(out, Not(HasSubstr("fingerprint")));
  std::string inside = "m=audio 5000 RTP/SAVPF 0\n" + first_crypto(out);
  inside += "m=video 5002 RTP/SAVPF 96\n" + first_crypto(out.substr(out.find("m=video")));
  const std::string back = offered_sdp(answer(request(sdp_of(inside, "10.0.0.20"), "a", "b")));
  expect_our_transport(back, "passive", Side::kA, 1);
  expect_bundled(Side::kA, 2);
  EXPECT_NE(leg(0, Side::kB).send.suite, SrtpSuite::kNone);
  EXPECT_EQ(leg(0, Side::kA).send.suite, SrtpSuite::kNone);

  const std::string called = offered_sdp(offer(
      request(sdp_of("m=audio 5000 RTP/SAVPF 0\n" + first_crypto(out) + "m=video 0 RTP/SAVPF 96\n",
                     "10.0.0.20"),
              "b", "a")));
  expect_our_transport(called, "actpass", Side::kA, 1);
  std::string ok = browser_answer(chromium_offer());
  ok.replace(ok.find("m=video 9"), 9, "m=video 0");
  const std::string end = offered_sdp(answer(request(ok, "b", "a")));
  EXPECT_THAT(end, HasSubstr("a=crypto:1 "));
  EXPECT_EQ(dtls(Side::kA).association, 1U);
}

TEST_F(Browser, a_browser_calls_a_browser) {
  const std::string out = offered_sdp(offer(request(chromium_offer())));
  expect_our_transport(out, "actpass", Side::kB, 2);
  std::string firefox = browser_answer(firefox_offer());
  firefox.replace(firefox.find("m=video 0"), 9, "m=video 9");
  const std::string back = offered_sdp(answer(request(firefox, "a", "b")));
  expect_our_transport(back, "passive", Side::kA, 1);
  for (const Side side : {Side::kA, Side::kB}) expect_bundled(side, 2);
  EXPECT_EQ(dtls(Side::kA).remote.bytes[0], 0xc1);
  EXPECT_EQ(dtls(Side::kB).remote.bytes[0], 0xf1);
  EXPECT_NE(ice(Side::kA).local, ice(Side::kB).local);

  // Video is rejected and added again; audio does not notice.
  const TransportConfig before = transport(0, Side::kA);
  std::string without = chromium_offer();
  without.replace(without.find("m=video 9"), 9, "m=video 0");
  std::string firefox_without = firefox;
  firefox_without.replace(firefox_without.find("m=video 9"), 9, "m=video 0");
  offered_sdp(offer(request(without, "a", "b")));
  offered_sdp(answer(request(firefox_without, "a", "b")));
  EXPECT_EQ(relay_->sessions.size(), 1U);
  offered_sdp(offer(request(chromium_offer(), "a", "b")));
  offered_sdp(answer(request(firefox, "a", "b")));
  EXPECT_EQ(relay_->sessions.size(), 2U);
  EXPECT_EQ(transport(0, Side::kA), before);
  expect_bundled(Side::kA, 2);
}

TEST_F(Browser, has_a_group_of_the_lines_that_are_taken) {
  offered_sdp(offer(towards("RTP/AVPF", chromium_offer())));
  // The inside knows of no mid.
  const std::string back = offered_sdp(answer(request(sdp_of(kInside, "10.0.0.20"), "a", "b")));
  EXPECT_EQ(lines(back, "a=group:"), "BUNDLE 0 1");
  EXPECT_EQ(lines(back, "a=mid:"), "0|1");

  offered_sdp(offer(request(chromium_offer(), "a", "b")));
  const std::string video_only = offered_sdp(answer(
      request(sdp_of("m=audio 0 RTP/AVPF 0\nm=video 5002 RTP/AVPF 96\n", "10.0.0.20"), "a", "b")));
  EXPECT_EQ(lines(video_only, "a=group:"), "BUNDLE 1");
}

TEST_F(Browser, is_offered_a_group_and_gets_none_that_it_did_not_offer) {
  CallRequest invite = towards(kTls, sdp_of(kInside, "10.0.0.20"));
  invite.ice = IceWish::kForce;
  const std::string out = offered_sdp(offer(invite));
  EXPECT_EQ(lines(out, "a=group:"), "BUNDLE 0 1");
  EXPECT_EQ(lines(out, "a=mid:"), "0|1");

  std::string ungrouped = chromium_offer();
  ungrouped.erase(ungrouped.find("a=group:BUNDLE 0 1\r\n"), 20);
  CallRequest other = towards("RTP/AVPF", ungrouped);
  other.call_id = "ungrouped";
  offered_sdp(offer(other));
  CallRequest ok = request(sdp_of(kInside, "10.0.0.20"), "a", "b");
  ok.call_id = "ungrouped";
  EXPECT_EQ(lines(offered_sdp(answer(ok)), "a=group:"), "");
}

TEST_F(Browser, an_ice_restart_on_another_network_leaves_dtls_alone) {
  CallRequest invite = towards("RTP/AVPF", chromium_offer());
  offered_sdp(offer(invite));
  const std::string inside = sdp_of(kInside, "10.0.0.20");
  const std::string back = offered_sdp(answer(request(inside, "a", "b")));
  std::string moved = chromium_offer();
  for (const auto& [from, to] : {std::pair{"9fA+", "Xy1/"},
                                 {"ChromiumSecret", "RestartSecretX"},
                                 {"192.0.2.77", "192.0.2.88"}}) {
    for (std::size_t at = 0; (at = moved.find(from, at)) != std::string::npos; ++at) {
      moved.replace(at, std::string_view(from).size(), to);
    }
  }
  const DtlsConfig before = dtls(Side::kA);
  offered_sdp(offer(request(moved, "a", "b")));
  const std::string again = offered_sdp(answer(request(inside, "a", "b")));
  EXPECT_NE(lines(again, "a=ice-pwd:"), lines(back, "a=ice-pwd:"));
  EXPECT_EQ(lines(again, "a=fingerprint:"), lines(back, "a=fingerprint:"));
  EXPECT_EQ(dtls(Side::kA), before);
  EXPECT_EQ(to_string(ice(Side::kA).candidates[0].address), "192.0.2.88:46243");
}

TEST_F(Browser, no_shortened_or_altered_record_is_dangerous) {
  offered_sdp(offer(request(chromium_offer())));
  offered_sdp(answer(request(browser_answer(chromium_offer()), "a", "b")));
  const std::string record = relay_->records.begin()->second;
  const auto whole = read_record(record);
  ASSERT_TRUE(whole);
  EXPECT_EQ(write_record(*whole), record);
  for (std::size_t size = 0; size < record.size(); ++size) {
    EXPECT_FALSE(read_record(std::string_view(record).substr(0, size))) << size;
  }
  for (std::size_t i = 0; i < record.size(); ++i) {
    for (const int bits : {0xff, 0x01, 0x40}) {
      std::string altered = record;
      altered[i] = static_cast<char>(altered[i] ^ bits);
      const auto call = read_record(altered);
      if (!call) continue;
      // What is read must be fit to be used.
      EXPECT_EQ(read_record(write_record(*call)).has_value(), true);
      for (const CallMedia& media : call->media) {
        for (const Side side : {Side::kA, Side::kB}) {
          const TransportConfig config = transport_of(media, side);
          EXPECT_LE(config.ice.candidate_count, kRemoteCandidatesMax);
          EXPECT_LE(config.ice.local.password.size, kIcePasswordBytesMax);
          EXPECT_LE(config.dtls.remote.hash, FingerprintHash::kSha512);
        }
      }
    }
  }
}

}  // namespace
}  // namespace turnpike::call
