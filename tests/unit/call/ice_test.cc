// ICE in offers and answers: who does it, with which credentials, and where media may go.
#include <set>

#include <gmock/gmock.h>

#include "tests/unit/call/transport_fixture.h"

namespace turnpike::call {
namespace {

constexpr const char* kTheirPassword = "theirsecrettheirsecret";

class Ice : public TransportTest {
 protected:
  static std::string audio(std::string_view more) {
    return std::string(kAudio) + std::string(more);
  }
  static std::string ice_audio() { return audio(kIceLines); }
  static std::string restarted_audio() {
    std::string media = ice_audio();
    media.replace(media.find("them"), 4, "THEM");
    media.replace(media.find("theirsecret"), 11, "THEIRSECRET");
    return media;
  }
  std::string connect(const std::string& a, const std::string& b, const std::string& to = "") {
    offered_sdp(offer(request(sdp_of(a), "a", to)));
    return offered_sdp(answer(request(sdp_of(b, "10.0.0.20"), "a", "b")));
  }
  std::string offer_with(IceWish wish, const std::string& media, const std::string& to = "") {
    CallRequest invite = request(sdp_of(media), "a", to);
    invite.ice = wish;
    return offered_sdp(offer(invite));
  }
  static std::string password_in(const std::string& sdp) { return lines(sdp, "a=ice-pwd:"); }
  static bool has_ice(const std::string& sdp) {
    return sdp.find("a=ice-") != std::string::npos || sdp.find("candidate") != std::string::npos;
  }
  std::vector<std::string> candidates(Side side) {
    std::vector<std::string> found;
    for (std::size_t i = 0; i < ice(side).candidate_count; ++i) {
      found.push_back(to_string(ice(side).candidates[i].address));
    }
    return found;
  }
};

TEST_F(Ice, ice_ends_here_byte_for_byte) {
  CallRequest invite = request(sdp_of(ice_audio()));
  invite.ice = IceWish::kRemove;
  EXPECT_FALSE(has_ice(offered_sdp(offer(invite))));
  EXPECT_TRUE(leg(0, Side::kA).ice);
  EXPECT_FALSE(leg(0, Side::kB).ice);
  EXPECT_TRUE(ice(Side::kA).local.is_set());
  EXPECT_FALSE(ice(Side::kA).remote.is_set()) << "it does not know us yet";
  EXPECT_EQ(ice(Side::kA).candidate_count, 0);

  // The fixture's random bytes count up; the first eight went into the record's key.
  EXPECT_EQ(offered_sdp(answer(request(sdp_of("m=audio 5000 RTP/AVP 0\n"), "a", "b"))),
            "v=0\r\n"
            "o=- 5 6 IN IP4 192.0.2.10\r\n"
            "s=-\r\n"
            "t=0 0\r\n"
            "m=audio 36000 RTP/AVP 0\r\n"
            "c=IN IP4 198.51.100.1\r\n"
            "a=rtpmap:0 PCMU/8000\r\n"
            "a=sendrecv\r\n"
            "a=rtcp:36001\r\n"
            "a=ice-ufrag:JKLMNOPQ\r\n"
            "a=ice-pwd:RSTUVWXYZabcdefghijklmnopqrstuvw\r\n"
            "a=ice-options:ice2\r\n"
            "a=candidate:1 1 UDP 2130706431 198.51.100.1 36000 typ host\r\n"
            "a=candidate:1 2 UDP 2130706430 198.51.100.1 36001 typ host\r\n"
            "a=end-of-candidates\r\n");
  EXPECT_EQ(ice(Side::kA).mode, IceMode::kFull);
  EXPECT_FALSE(ice(Side::kA).controlling);
  EXPECT_EQ(ice(Side::kA).local.ufrag.view(), "JKLMNOPQ");
  EXPECT_EQ(ice(Side::kA).remote.ufrag.view(), "them");
  EXPECT_EQ(ice(Side::kA).remote.password.view(), kTheirPassword);
  EXPECT_THAT(candidates(Side::kA), testing::ElementsAre("192.0.2.10:4000", "192.0.2.10:4001"));
  EXPECT_EQ(ice(Side::kA).candidates[1].component, Component::kRtcp);
  EXPECT_EQ(told(Side::kB), 0);
  EXPECT_TRUE(service_->calls()[0].sessions[0].legs[0].ice);
  EXPECT_FALSE(service_->calls()[0].sessions[0].legs[0].remote.is_set());
  EXPECT_FALSE(service_->calls()[0].sessions[0].legs[1].ice);
}

struct WishCase {
  IceWish wish;
  bool offerer_has_ice;
  bool offered;
};
class IceWished : public Ice, public testing::WithParamInterface<WishCase> {};

TEST_P(IceWished, is_offered_or_not) {
  const WishCase& c = GetParam();
  const std::string out = offer_with(c.wish, c.offerer_has_ice ? ice_audio() : std::string(kAudio));
  EXPECT_EQ(has_ice(out), c.offered);
  const std::string ours =
      "1 1 UDP 2130706431 10.0.0.1 46000 typ host|"
      "1 2 UDP 2130706430 10.0.0.1 46001 typ host";
  EXPECT_EQ(lines(out, "a=candidate:"), c.offered ? ours : "") << "never the offerer's own";
  EXPECT_EQ(leg(0, Side::kB).ice, c.offered);
  EXPECT_EQ(leg(0, Side::kA).ice, c.offerer_has_ice);
  // An answer may decline; one that was not offered ICE cannot have it.
  offered_sdp(answer(request(sdp_of(ice_audio(), "10.0.0.20"), "a", "b")));
  EXPECT_EQ(leg(0, Side::kB).ice, c.offered);
  offered_sdp(answer(request(sdp_of(kAudio, "10.0.0.20"), "a", "b")));
  EXPECT_FALSE(leg(0, Side::kB).ice);
}

INSTANTIATE_TEST_SUITE_P(Call, IceWished,
                         testing::Values(WishCase{IceWish::kDefault, false, false},
                                         WishCase{IceWish::kDefault, true, true},
                                         WishCase{IceWish::kForce, false, true},
                                         WishCase{IceWish::kForce, true, true},
                                         WishCase{IceWish::kRemove, false, false},
                                         WishCase{IceWish::kRemove, true, false}));

TEST_F(Ice, we_control_where_we_offered) {
  offer_with(IceWish::kForce, std::string(kAudio));
  EXPECT_TRUE(ice(Side::kB).controlling);
  EXPECT_EQ(ice(Side::kB).mode, IceMode::kFull);
  EXPECT_TRUE(ice(Side::kB).local.is_set()) << "its checks may come before its answer";
  offered_sdp(answer(request(sdp_of(ice_audio(), "10.0.0.20"), "a", "b")));
  EXPECT_TRUE(ice(Side::kB).controlling);
  EXPECT_TRUE(ice(Side::kB).remote.is_set());
  // An offer of that end does not change who controls.
  offered_sdp(offer(request(sdp_of(ice_audio(), "10.0.0.20"), "b", "a")));
  offered_sdp(answer(request(sdp_of(kAudio), "b", "a")));
  EXPECT_TRUE(ice(Side::kB).controlling);
}

TEST_F(Ice, an_end_that_is_lite_is_controlled_by_us) {
  offer_with(IceWish::kRemove, ice_audio());
  remove(request(""));
  CallRequest invite = request(sdp_of("a=ice-lite\n" + ice_audio()));
  invite.ice_lite = IceLiteWish::kBoth;
  const std::string out = offered_sdp(offer(invite));
  EXPECT_NE(out.find("a=ice-lite\r\n"), std::string::npos) << "towards the receiver, by wish";
  const std::string back = offered_sdp(answer(request(sdp_of(ice_audio(), "10.0.0.20"), "a", "b")));
  EXPECT_NE(back.find("a=ice-lite\r\n"), std::string::npos);
  EXPECT_TRUE(ice(Side::kA).controlling);
  EXPECT_EQ(ice(Side::kA).mode, IceMode::kFull);
  EXPECT_FALSE(ice(Side::kB).controlling) << "we are lite, it is not";
  EXPECT_EQ(ice(Side::kB).mode, IceMode::kLite);
}

TEST_F(Ice, lite_by_configuration_or_wish) {
  CallServiceConfig config = test_config();
  config.ice_mode = IceMode::kLite;
  start(std::move(config));
  EXPECT_NE(offer_with(IceWish::kForce, ice_audio()).find("a=ice-lite\r\n"), std::string::npos);
  EXPECT_EQ(ice(Side::kB).mode, IceMode::kLite);
  const std::string back = offered_sdp(answer(request(sdp_of(ice_audio(), "10.0.0.20"), "a", "b")));
  EXPECT_NE(back.find("a=ice-lite\r\n"), std::string::npos);
  EXPECT_EQ(ice(Side::kA).mode, IceMode::kLite);
  remove(request(""));
  CallRequest invite = request(sdp_of(ice_audio()));
  invite.ice_lite = IceLiteWish::kOff;
  EXPECT_EQ(offered_sdp(offer(invite)).find("ice-lite"), std::string::npos);

  start(test_config());
  for (const auto& [wish, forward, backward] :
       {std::tuple{IceLiteWish::kForward, true, false}, {IceLiteWish::kBackward, false, true}}) {
    invite.ice_lite = wish;
    const std::string out = offered_sdp(offer(invite));
    EXPECT_EQ(out.find("a=ice-lite\r\n") != std::string::npos, forward);
    const std::string answered =
        offered_sdp(answer(request(sdp_of(ice_audio(), "10.0.0.20"), "a", "b")));
    EXPECT_EQ(answered.find("a=ice-lite\r\n") != std::string::npos, backward);
    remove(request(""));
  }
}

TEST_F(Ice, none_at_all_by_configuration) {
  CallServiceConfig config = test_config();
  config.ice_mode = IceMode::kOff;
  start(std::move(config));
  EXPECT_FALSE(has_ice(offer_with(IceWish::kForce, ice_audio())));
  EXPECT_FALSE(leg(0, Side::kA).ice);
  EXPECT_EQ(to_string(leg(0, Side::kA).remote[0]), "192.0.2.10:4000");
}

TEST_F(Ice, answer_may_decline_for_us) {
  offer_with(IceWish::kDefault, ice_audio());
  CallRequest ok = request(sdp_of(ice_audio(), "10.0.0.20"), "a", "b");
  ok.ice = IceWish::kRemove;
  EXPECT_FALSE(has_ice(offered_sdp(answer(ok))));
  EXPECT_FALSE(leg(0, Side::kA).ice);
  EXPECT_EQ(ice(Side::kA).mode, IceMode::kOff) << "the relay is told";
  EXPECT_EQ(to_string(leg(0, Side::kA).remote[0]), "192.0.2.10:4000");
  EXPECT_TRUE(leg(0, Side::kB).ice);
}

// ---- Credentials

TEST_F(Ice, credentials_differ_by_side_and_m_line_and_never_pass) {
  const std::string out = offer_with(IceWish::kDefault, ice_audio() + ice_audio());
  const std::string back =
      offered_sdp(answer(request(sdp_of(ice_audio() + ice_audio(), "10.0.0.20"), "a", "b")));
  std::set<std::string> passwords;
  for (const std::size_t session : {0U, 1U}) {
    for (const Side side : {Side::kA, Side::kB}) {
      const auto& local = transport(session, side).ice.local;
      EXPECT_EQ(local.ufrag.size, 8);
      EXPECT_GE(local.password.size, 24);
      passwords.emplace(local.password.view());
    }
  }
  EXPECT_EQ(passwords.size(), 4U);
  for (const std::string* sdp : {&out, &back}) {
    EXPECT_EQ(sdp->find(kTheirPassword), std::string::npos);
    EXPECT_EQ(sdp->find("ice-ufrag:them"), std::string::npos);
    EXPECT_EQ(lines(*sdp, "a=candidate").find("192.0.2.10"), std::string::npos);
  }
  for (const std::string& line : log_) {
    EXPECT_EQ(line.find("secret"), std::string::npos);
    for (const std::string& password : passwords) {
      EXPECT_EQ(line.find(password), std::string::npos);
    }
  }
}

TEST_F(Ice, credentials_stay_over_reinvites_from_either_side) {
  const std::string back = connect(ice_audio(), ice_audio());
  const IceConfig a = ice(Side::kA);
  const IceConfig b = ice(Side::kB);
  EXPECT_EQ(connect(ice_audio(), ice_audio(), "b"), back);
  EXPECT_EQ(ice(Side::kA), a);
  EXPECT_EQ(ice(Side::kB), b);
  const std::string out = offered_sdp(offer(request(sdp_of(ice_audio(), "10.0.0.20"), "b", "a")));
  EXPECT_EQ(password_in(out), password_in(back));
  offered_sdp(answer(request(sdp_of(ice_audio()), "b", "a")));
  EXPECT_EQ(ice(Side::kA), a);
  EXPECT_EQ(ice(Side::kB), b);
}

TEST_F(Ice, a_reoffer_without_ice_keeps_it_on_the_other_side) {
  connect(ice_audio(), ice_audio());
  const std::string local(ice(Side::kB).local.password.view());
  EXPECT_EQ(password_in(offer_with(IceWish::kDefault, std::string(kAudio), "b")), local);
  offered_sdp(answer(request(sdp_of(ice_audio(), "10.0.0.20"), "a", "b")));
  EXPECT_FALSE(leg(0, Side::kA).ice);
  EXPECT_TRUE(leg(0, Side::kB).ice);
}

TEST_F(Ice, restart_of_the_offerer_is_answered_with_new_credentials) {
  const std::string back = connect(ice_audio(), std::string(kAudio));
  const std::string again = connect(restarted_audio(), std::string(kAudio), "b");
  EXPECT_NE(password_in(again), password_in(back));
  EXPECT_NE(lines(again, "a=ice-ufrag:"), lines(back, "a=ice-ufrag:"));
  EXPECT_EQ(ice(Side::kA).remote.ufrag.view(), "THEM");
  EXPECT_EQ(ice(Side::kA).local.password.view(), password_in(again));
  EXPECT_EQ(connect(restarted_audio(), std::string(kAudio), "b"), again) << "once";
}

TEST_F(Ice, a_restart_that_is_refused_changes_nothing) {
  connect(ice_audio(), std::string(kAudio));
  const IceConfig before = ice(Side::kA);
  offer_with(IceWish::kDefault, restarted_audio(), "b");
  EXPECT_EQ(ice(Side::kA), before);
}

TEST_F(Ice, a_fork_has_its_own_remote_credentials) {
  const std::string out = offer_with(IceWish::kForce, std::string(kAudio));
  offered_sdp(answer(request(sdp_of(ice_audio(), "10.0.0.20"), "a", "b1")));
  offered_sdp(answer(request(sdp_of(restarted_audio(), "10.0.0.21"), "a", "b2")));
  EXPECT_EQ(ice(Side::kB).remote.ufrag.view(), "THEM");
  EXPECT_EQ(ice(Side::kB).local.password.view(), password_in(out));
  EXPECT_TRUE(ice(Side::kB).controlling);
}

TEST_F(Ice, nothing_is_sent_to_a_branch_while_another_refuses_its_m_line) {
  offer_with(IceWish::kForce, std::string(kAudio) + "m=video 4002 RTP/AVP 96\n");
  const std::string video = "m=video 5002 RTP/AVP 96\n" + std::string(kIceLines);
  offered_sdp(answer(request(sdp_of(ice_audio() + video, "10.0.0.20"), "a", "b1")));
  EXPECT_TRUE(transport(1, Side::kB).ice.remote.is_set());
  offered_sdp(
      answer(request(sdp_of(ice_audio() + "m=video 0 RTP/AVP 96\n", "10.0.0.21"), "a", "b2")));
  EXPECT_EQ(transport(1, Side::kB).ice, IceConfig{});
  EXPECT_FALSE(relay_->session(1).legs[1].ice);
  EXPECT_FALSE(relay_->session(1).legs[1].remote[0].is_set());
  offered_sdp(answer(request(sdp_of(ice_audio() + video, "10.0.0.20"), "a", "b1")));
  EXPECT_TRUE(transport(1, Side::kB).ice.remote.is_set());
}

TEST_F(Ice, calls_go_on_in_another_process) {
  const std::string back = connect(ice_audio(), ice_audio());
  const IceConfig a = ice(Side::kA);
  const IceConfig b = ice(Side::kB);
  take_over(2);
  // Its peers' checks must be answered before anything is signalled.
  EXPECT_EQ(ice(Side::kA), a);
  EXPECT_EQ(ice(Side::kB), b);
  EXPECT_EQ(connect(ice_audio(), ice_audio(), "b"), back);
  EXPECT_EQ(ice(Side::kA), a);
  EXPECT_EQ(ice(Side::kB), b);
}

// ---- Addresses

TEST_F(Ice, trickled_descriptions_need_no_address) {
  const std::string bare =
      "m=audio 9 RTP/AVP 0\na=ice-options:trickle\na=ice-ufrag:them\n"
      "a=ice-pwd:theirsecrettheirsecret\n";
  offered_sdp(offer(request(sdp_of(bare, "0.0.0.0"))));
  const std::string back = offered_sdp(answer(request(sdp_of(kAudio, "10.0.0.20"), "a", "b")));
  EXPECT_EQ(lines(back, "a=sendrecv"), "") << "no hold";
  EXPECT_NE(back.find("a=sendrecv"), std::string::npos);
  EXPECT_TRUE(leg(0, Side::kA).expects_media);
  EXPECT_FALSE(leg(0, Side::kA).remote[0].is_set());
  EXPECT_EQ(ice(Side::kA).candidate_count, 0);
  // More candidates later are an update, no restart.
  const auto local = ice(Side::kA).local;
  const std::string more = bare + "a=candidate:1 1 UDP 7 192.0.2.33 40000 typ host\n";
  offered_sdp(offer(request(sdp_of(more, "0.0.0.0"), "a", "b")));
  offered_sdp(answer(request(sdp_of(kAudio, "10.0.0.20"), "a", "b")));
  EXPECT_THAT(candidates(Side::kA), testing::ElementsAre("192.0.2.33:40000"));
  EXPECT_EQ(ice(Side::kA).local, local);
}

TEST_F(Ice, a_refused_default_address_is_no_error_and_no_destination) {
  for (const char* address : {"127.0.0.1", "169.254.1.1", "0.0.0.0"}) {
    offered_sdp(offer(request(sdp_of(ice_audio(), address))));
    EXPECT_TRUE(leg(0, Side::kA).ice);
    EXPECT_FALSE(leg(0, Side::kA).remote[0].is_set()) << address;
    EXPECT_FALSE(leg(0, Side::kA).remote[1].is_set()) << address;
    remove(request(""));
  }
  EXPECT_NE(text(offer(request(sdp_of(kAudio, "127.0.0.1"))), "error-reason"), "");
}

TEST_F(Ice, candidates_that_nothing_may_go_to_are_left_out) {
  CallServiceConfig config = test_config();
  config.srtp_interfaces = {"outside"};
  config.networks["inside"] = {*parse_network("10.0.0.0/8")};
  start(std::move(config));
  std::string media = dtls_media(7, "actpass", kIceLines);
  int foundation = 10;
  for (const char* address :
       {"127.0.0.1 5000", "169.254.3.3 5000", "198.51.100.1 36004", "10.0.0.1 5000",
        "10.1.2.3 5000", "0.0.0.0 5000", "224.0.0.1 5000", "192.0.2.66 80", "203.0.113.9 5000"}) {
    media += "a=candidate:" + std::to_string(foundation++) + " 1 UDP 99 " + address + " typ host\n";
  }
  offered_sdp(offer(towards("RTP/AVP", sdp_of(media))));
  offered_sdp(answer(request(sdp_of(kAudio, "10.0.0.20"), "a", "b")));
  EXPECT_THAT(candidates(Side::kA),
              testing::ElementsAre("192.0.2.10:4000", "192.0.2.10:4001", "203.0.113.9:5000"));
}

TEST_F(Ice, the_best_candidates_of_our_family_are_taken) {
  std::string media = audio("a=ice-ufrag:them\na=ice-pwd:theirsecrettheirsecret\na=rtcp-mux\n");
  for (int i = 0; i < 40; ++i) {
    const std::string port = std::to_string(20000 + i);
    const std::string priority = std::to_string(1000 + i);
    media += "a=candidate:1 1 UDP " + priority + " 192.0.2.10 " + port + " typ host\n";
  }
  media += "a=candidate:2 1 UDP 9999 2001:db8::7 20100 typ host\n";
  media += "a=candidate:3 2 UDP 9998 192.0.2.10 20101 typ host\n";
  offered_sdp(offer(request(sdp_of(media))));
  CallRequest ok = request(sdp_of(audio("a=rtcp-mux\n"), "10.0.0.20"), "a", "b");
  offered_sdp(answer(ok));
  ASSERT_EQ(ice(Side::kA).candidate_count, kRemoteCandidatesMax);
  EXPECT_EQ(candidates(Side::kA).front(), "192.0.2.10:20039");
  EXPECT_EQ(candidates(Side::kA).back(), "192.0.2.10:20024");
}

TEST_F(Ice, mux_leaves_one_component) {
  CallRequest invite = request(sdp_of(audio("a=rtcp-mux\n") + std::string(kIceLines)));
  const std::string out = offered_sdp(offer(invite));
  EXPECT_EQ(lines(out, "a=candidate:"),
            "1 1 UDP 2130706431 10.0.0.1 46000 typ host|1 2 UDP 2130706430 10.0.0.1 46001 typ host")
      << "mux may be declined";
  const std::string back = offered_sdp(answer(
      request(sdp_of(audio("a=rtcp-mux\n") + std::string(kIceLines), "10.0.0.20"), "a", "b")));
  EXPECT_EQ(lines(back, "a=candidate:"), "1 1 UDP 2130706431 198.51.100.1 36000 typ host");
  EXPECT_THAT(candidates(Side::kA), testing::ElementsAre("192.0.2.10:4000"));
  invite.to_tag = "b";
  EXPECT_EQ(lines(offered_sdp(offer(invite)), "a=candidate:"),
            "1 1 UDP 2130706431 10.0.0.1 46000 typ host");
}

TEST_F(Ice, family_of_a_place_holder_does_not_count) {
  const std::string v6 =
      "m=audio 9 RTP/AVP 0\na=ice-ufrag:them\n"
      "a=ice-pwd:theirsecrettheirsecret\n"
      "a=candidate:1 1 UDP 7 2001:db8::7 40000 typ host\n";
  offered_sdp(offer(request(sdp_of(v6, "0.0.0.0"))));
  EXPECT_EQ(relay_->session(0).spec.family[0], AddressFamily::kIpv6);
  offered_sdp(answer(request(sdp_of(kAudio, "10.0.0.20"), "a", "b")));
  EXPECT_THAT(candidates(Side::kA), testing::ElementsAre("[2001:db8::7]:40000"));
  // A default candidate of another family is no move to it.
  offered_sdp(offer(request(sdp_of(ice_audio()), "a", "b")));
  EXPECT_EQ(relay_->opened_ever, 1);
}

TEST_F(Ice, media_address_is_that_of_our_candidates) {
  CallRequest invite = request(sdp_of(ice_audio()));
  invite.media_address = IpAddress::v4(203, 0, 113, 200);
  const std::string out = offered_sdp(offer(invite));
  EXPECT_EQ(lines(out, "a=candidate:"),
            "1 1 UDP 2130706431 203.0.113.200 46000 typ host|"
            "1 2 UDP 2130706430 203.0.113.200 46001 typ host");
}

TEST_F(Ice, hold_is_said_by_direction) {
  connect(ice_audio(), std::string(kAudio));
  const std::string held =
      connect(audio("a=inactive\n") + std::string(kIceLines), audio("a=inactive\n"), "b");
  EXPECT_NE(held.find("a=inactive"), std::string::npos);
  EXPECT_FALSE(leg(0, Side::kA).expects_media);
  EXPECT_TRUE(leg(0, Side::kA).ice);
}

TEST_F(Ice, damaged_descriptions_change_nothing) {
  const std::string at = "SDP line 6 (m=): ";
  EXPECT_EQ(refusal(request(sdp_of(audio("a=ice-ufrag:them\n")))),
            at + "a=ice-ufrag without a=ice-pwd");
  EXPECT_EQ(refusal(request(sdp_of(audio("a=ice-ufrag:them\na=ice-pwd:short\n")))),
            at + "a=ice-pwd is shorter than RFC 8839 allows");
  expect_nothing_left();
  offer_with(IceWish::kForce, ice_audio());
  EXPECT_EQ(answer_refusal(request(sdp_of(audio("a=ice-pwd:short\n")), "a", "b")),
            at + "a=ice-pwd without a=ice-ufrag");
  EXPECT_FALSE(ice(Side::kB).remote.is_set());
}

// ---- Two address families

TEST_F(Ice, both_families_are_offered_and_answered_ipv6_first) {
  relay_->other_ports = true;
  CallRequest invite =
      request(sdp_of(ice_audio() + "a=candidate:2 1 UDP 2122260100 2001:db8:51::10 4000 typ "
                                   "host\n"));
  invite.rtcp_mux = {RtcpMuxFlag::kRequire};
  const std::string out = offered_sdp(offer(invite));
  EXPECT_EQ(lines(out, "c="), "IN IP4 10.0.0.1") << "the default stays";
  EXPECT_EQ(lines(out, "a=candidate:"),
            "1 1 UDP 2130706175 10.0.0.1 46000 typ host|"
            "2 1 UDP 2130706431 fd00::1 46000 typ host");
  const std::string back = offered_sdp(answer(request(sdp_of(kAudio, "10.0.0.20"), "a", "b")));
  EXPECT_EQ(lines(back, "a=candidate:"),
            "1 1 UDP 2130706175 198.51.100.1 36000 typ host|"
            "2 1 UDP 2130706431 2001:db8:1::1 36000 typ host|"
            "1 2 UDP 2130706174 198.51.100.1 36001 typ host|"
            "2 2 UDP 2130706430 2001:db8:1::1 36001 typ host");
  EXPECT_THAT(candidates(Side::kA),
              testing::ElementsAre("192.0.2.10:4000", "192.0.2.10:4001", "[2001:db8:51::10]:4000"));
  EXPECT_EQ(ice(Side::kA).preferred_family, AddressFamily::kIpv6);
  // Another process says the same.
  take_over(1);
  EXPECT_EQ(ice(Side::kA).candidate_count, 3);
  const std::string again = offered_sdp(offer(request(sdp_of(kAudio, "10.0.0.20"), "b", "a")));
  EXPECT_EQ(lines(again, "a=candidate:"), lines(back, "a=candidate:"));
}

TEST_F(Ice, an_end_of_one_family_gets_the_other_as_well) {
  relay_->other_ports = true;
  const std::string media =
      "m=audio 4000 RTP/AVP 0\na=ice-ufrag:them\na=ice-pwd:theirsecrettheirsecret\n"
      "a=candidate:1 1 UDP 2122260223 2001:db8:51::10 4000 typ host\n";
  offered_sdp(offer(request(sdp_of(media, "2001:db8:51::10"))));
  const std::string back = offered_sdp(answer(request(sdp_of(kAudio, "10.0.0.20"), "a", "b")));
  EXPECT_EQ(lines(back, "c="), "IN IP6 2001:db8:1::1");
  EXPECT_EQ(lines(back, "a=candidate:"),
            "1 1 UDP 2130706431 2001:db8:1::1 36000 typ host|"
            "2 1 UDP 2130706175 198.51.100.1 36000 typ host|"
            "1 2 UDP 2130706430 2001:db8:1::1 36001 typ host|"
            "2 2 UDP 2130706174 198.51.100.1 36001 typ host");
}

TEST_F(Ice, ipv4_may_go_first) {
  CallServiceConfig config = test_config();
  config.ice_preferred_family = AddressFamily::kIpv4;
  start(config);
  relay_->other_ports = true;
  const std::string out = offer_with(IceWish::kForce, std::string(kAudio));
  EXPECT_THAT(lines(out, "a=candidate:"), testing::StartsWith("1 1 UDP 2130706431 10.0.0.1"));
  EXPECT_THAT(out, testing::HasSubstr("a=candidate:2 1 UDP 2130706175 fd00::1"));
  EXPECT_EQ(ice(Side::kB).preferred_family, AddressFamily::kIpv4);
}

TEST_F(Ice, legs_without_ice_and_named_addresses_have_one_family) {
  relay_->other_ports = true;
  offer_with(IceWish::kForce, std::string(kAudio));
  EXPECT_EQ(relay_->session(0).spec.both_families, (std::array{false, true}));
  CallRequest named = request(sdp_of(ice_audio()));
  named.call_id = "call-2";
  named.media_address = IpAddress::v4(203, 0, 113, 1);
  const std::string out = offered_sdp(offer(named));
  EXPECT_EQ(relay_->session(1).spec.both_families, (std::array{false, false}));
  EXPECT_EQ(lines(out, "a=candidate:"),
            "1 1 UDP 2130706431 203.0.113.1 46002 typ host|"
            "1 2 UDP 2130706430 203.0.113.1 46003 typ host");
}

TEST_F(Ice, a_candidate_that_is_none_refuses_nothing_and_is_counted) {
  const std::string media = ice_audio() +
                            "a=candidate:nonsense\n"
                            "a=candidate:9 1 tcp 1518280447 192.0.2.10 9 typ host\n"
                            "a=candidate:9 1 UDP 99999999999 192.0.2.10 4000 typ host\n";
  connect(media, "m=audio 5000 RTP/AVP 0\n");
  EXPECT_THAT(candidates(Side::kA), testing::ElementsAre("192.0.2.10:4000", "192.0.2.10:4001"));
  EXPECT_EQ(service_->ice_candidates_skipped(), 3U);
}

TEST_F(Ice, credentials_as_long_as_allowed_live_through_a_restart_of_the_process) {
  std::string media = ice_audio();
  media.replace(media.find("them"), 4, std::string(256, 'u'));
  media.replace(media.find(kTheirPassword), 22, std::string(256, 'p'));
  connect(media, "m=audio 5000 RTP/AVP 0\n");
  take_over(1);
  EXPECT_EQ(ice(Side::kA).remote.ufrag.view(), std::string(256, 'u'));
  EXPECT_EQ(ice(Side::kA).remote.password.view(), std::string(256, 'p'));
}

}  // namespace
}  // namespace turnpike::call
