// DTLS-SRTP in offers and answers: who is active, what a new association is, what is refused.
#include "tests/unit/call/transport_fixture.h"

namespace turnpike::call {
namespace {

constexpr const char* kTls = "UDP/TLS/RTP/SAVPF";
constexpr const char* kNoCertificate =
    "SDP line 6 (m=): DTLS-SRTP cannot be used: the relay has no certificate";

class Dtls : public TransportTest {
 protected:
  /// A does DTLS, B plain RTP.
  std::string connect_to_plain(const std::string& media) {
    offered_sdp(offer(towards("RTP/AVP", sdp_of(media))));
    return offered_sdp(answer(request(sdp_of(kAudio, "10.0.0.20"), "a", "b")));
  }
  std::string reconnect_to_plain(const std::string& media) {
    offered_sdp(offer(request(sdp_of(media), "a", "b")));
    return offered_sdp(answer(request(sdp_of(kAudio, "10.0.0.20"), "a", "b")));
  }
  /// A does plain RTP, B is offered DTLS.
  std::string offer_dtls(const std::string& to = "") {
    return offered_sdp(offer(towards(kTls, sdp_of(kAudio), "a", to)));
  }
  std::string answer_dtls(const std::string& media, const std::string& to = "b") {
    return offered_sdp(answer(request(sdp_of(media, "10.0.0.20"), "a", to)));
  }
};

TEST_F(Dtls, dtls_offer_becomes_plain_byte_for_byte) {
  CallRequest invite = towards("RTP/AVP", sdp_of(dtls_media(7, "actpass", "a=rtcp-mux\n")));
  invite.rtcp_mux = {RtcpMuxFlag::kDemux};
  EXPECT_EQ(offered_sdp(offer(invite)),
            "v=0\r\n"
            "o=- 5 6 IN IP4 192.0.2.10\r\n"
            "s=-\r\n"
            "t=0 0\r\n"
            "m=audio 46000 RTP/AVP 0\r\n"
            "c=IN IP4 10.0.0.1\r\n"
            "a=rtpmap:0 PCMU/8000\r\n"
            "a=sendrecv\r\n"
            "a=rtcp:46001\r\n");
  EXPECT_TRUE(leg(0, Side::kA).must_encrypt);
  EXPECT_TRUE(leg(0, Side::kA).dtls);
  EXPECT_FALSE(leg(0, Side::kB).dtls);
  EXPECT_TRUE(dtls(Side::kA).enabled);
  EXPECT_EQ(dtls(Side::kA).role, DtlsRole::kUndecided);
  EXPECT_FALSE(dtls(Side::kA).remote.is_set());
  EXPECT_EQ(offered_sdp(answer(request(sdp_of("m=audio 5000 RTP/AVP 0\n"), "a", "b"))),
            "v=0\r\n"
            "o=- 5 6 IN IP4 192.0.2.10\r\n"
            "s=-\r\n"
            "t=0 0\r\n"
            "m=audio 36000 UDP/TLS/RTP/SAVPF 0\r\n"
            "c=IN IP4 198.51.100.1\r\n"
            "a=rtpmap:0 PCMU/8000\r\n"
            "a=sendrecv\r\n"
            "a=rtcp:36000\r\n"
            "a=rtcp-mux\r\n"
            "a=setup:passive\r\n"
            "a=fingerprint:sha-256 "
            "01:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:"
            "00:00:00:00\r\n");
  EXPECT_EQ(dtls(Side::kA).role, DtlsRole::kPassive);
  EXPECT_EQ(dtls(Side::kA).association, 1U);
  EXPECT_EQ(dtls(Side::kA).identity, 1U);
  EXPECT_EQ(dtls(Side::kA).remote.hash, FingerprintHash::kSha256);
  EXPECT_EQ(dtls(Side::kA).remote.bytes[0], 7);
  EXPECT_EQ(leg(0, Side::kA).send.suite, SrtpSuite::kNone);
  EXPECT_EQ(to_string(leg(0, Side::kA).remote[0]), "192.0.2.10:4000");
  EXPECT_EQ(told(Side::kB), 0) << "a leg that never had ICE or DTLS";
  EXPECT_EQ(service_->calls()[0].sessions[0].legs[0].keying, "DTLS");
}

TEST_F(Dtls, plain_offer_becomes_dtls) {
  const std::string out = offer_dtls();
  EXPECT_EQ(lines(out, "m="), "audio 46000 UDP/TLS/RTP/SAVPF 0");
  EXPECT_EQ(lines(out, "a=setup:"), "actpass");
  EXPECT_EQ(lines(out, "a=fingerprint:"), sdp::write_fingerprint(relay_->identity.fingerprint));
  EXPECT_GE(lines(out, "a=tls-id:").size(), 20U);
  EXPECT_NE(out.find("a=rtcp-mux\r\n"), std::string::npos);
  EXPECT_EQ(out.find("a=crypto"), std::string::npos);
  EXPECT_EQ(out.find("a=ice"), std::string::npos);
  // Its ClientHello may come before its answer.
  EXPECT_TRUE(dtls(Side::kB).enabled);
  EXPECT_EQ(dtls(Side::kB).role, DtlsRole::kUndecided);
  EXPECT_EQ(dtls(Side::kB).association, 1U);
  EXPECT_TRUE(leg(0, Side::kB).must_encrypt);
  EXPECT_TRUE(leg(0, Side::kB).dtls);

  const std::string back = answer_dtls(dtls_media(9, "active"));
  EXPECT_EQ(lines(back, "m="), "audio 36000 RTP/AVP 0");
  EXPECT_EQ(back.find("fingerprint"), std::string::npos);
  EXPECT_EQ(dtls(Side::kB).role, DtlsRole::kPassive);
  EXPECT_EQ(dtls(Side::kB).association, 1U);
  EXPECT_EQ(dtls(Side::kB).remote.bytes[0], 9);
  EXPECT_EQ(service_->calls()[0].sessions[0].legs[1].keying, "DTLS, no RTCP");
  EXPECT_EQ(service_->calls()[0].sessions[0].legs[0].keying, "plain");
}

struct SetupCase {
  const char* offered;
  DtlsWish wish;
  const char* answered;
  DtlsRole role;
};
class DtlsSetup : public Dtls, public testing::WithParamInterface<SetupCase> {};

TEST_P(DtlsSetup, of_an_offer_is_answered) {
  const SetupCase& c = GetParam();
  std::string media = dtls_media(7, c.offered);
  if (c.offered == std::string_view()) media.erase(media.find("a=setup"));
  for (const bool with_offer : {true, false}) {
    CallRequest invite = towards("RTP/AVP", sdp_of(media));
    CallRequest ok = request(sdp_of(kAudio), "a", "b");
    (with_offer ? invite : ok).dtls = c.wish;
    offered_sdp(offer(invite));
    EXPECT_EQ(lines(offered_sdp(answer(ok)), "a=setup:"), c.answered);
    EXPECT_EQ(dtls(Side::kA).role, c.role);
    remove(request(""));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Call, DtlsSetup,
    testing::Values(SetupCase{"actpass", DtlsWish::kDefault, "passive", DtlsRole::kPassive},
                    SetupCase{"actpass", DtlsWish::kPassive, "passive", DtlsRole::kPassive},
                    SetupCase{"actpass", DtlsWish::kActive, "active", DtlsRole::kActive},
                    SetupCase{"active", DtlsWish::kActive, "passive", DtlsRole::kPassive},
                    SetupCase{"passive", DtlsWish::kPassive, "active", DtlsRole::kActive},
                    SetupCase{"", DtlsWish::kDefault, "passive", DtlsRole::kPassive},
                    SetupCase{"holdconn", DtlsWish::kDefault, "holdconn", DtlsRole::kUndecided}));

TEST_F(Dtls, setup_of_an_answer_says_our_part) {
  for (const auto& [setup, role] : {std::pair{"active", DtlsRole::kPassive},
                                    {"passive", DtlsRole::kActive},
                                    {"holdconn", DtlsRole::kUndecided}}) {
    offer_dtls();
    answer_dtls(dtls_media(9, setup));
    EXPECT_EQ(dtls(Side::kB).role, role) << setup;
    remove(request(""));
  }
  offer_dtls();
  answer_dtls("m=audio 4000 UDP/TLS/RTP/SAVPF 0\n" + fingerprint_line(9));
  EXPECT_EQ(dtls(Side::kB).role, DtlsRole::kActive) << "RFC 4145 section 4: passive by default";
}

TEST_F(Dtls, an_answer_must_choose_its_part) {
  offer_dtls();
  EXPECT_EQ(answer_refusal(request(sdp_of(dtls_media(9, "actpass")), "a", "b")),
            "SDP line 6 (m=): a=setup of an answer must choose: active or passive");
  EXPECT_EQ(dtls(Side::kB).role, DtlsRole::kUndecided);
}

TEST_F(Dtls, savp_with_a_fingerprint_is_dtls_and_stays_so) {
  const std::string media = dtls_media(7, "actpass", "", "4000", "RTP/SAVP");
  const std::string back = connect_to_plain(media);
  EXPECT_EQ(lines(back, "m="), "audio 36000 RTP/SAVP 0");
  EXPECT_EQ(lines(back, "a=setup:"), "passive");
  EXPECT_EQ(back.find("crypto"), std::string::npos);
  // A re-offer to it, with or without the protocol named.
  for (const char* protocol : {"", "RTP/SAVP"}) {
    const std::string out = offered_sdp(offer(towards(protocol, sdp_of(kAudio), "b", "a")));
    EXPECT_EQ(lines(out, "m="), "audio 36000 RTP/SAVP 0");
    EXPECT_EQ(lines(out, "a=setup:"), "actpass");
    EXPECT_EQ(out.find("crypto"), std::string::npos);
  }
}

TEST_F(Dtls, savp_with_both_is_sdes) {
  const std::string media = dtls_media(7, "actpass",
                                       "a=crypto:1 AES_CM_128_HMAC_SHA1_80 "
                                       "inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\n",
                                       "4000", "RTP/SAVPF");
  const std::string back = connect_to_plain(media);
  EXPECT_EQ(back.find("fingerprint"), std::string::npos);
  EXPECT_NE(back.find("a=crypto:1"), std::string::npos);
  EXPECT_FALSE(leg(0, Side::kA).dtls);
}

TEST_F(Dtls, savp_is_offered_with_sdes) {
  const std::string out = offered_sdp(offer(towards("RTP/SAVP", sdp_of(dtls_media(7, "actpass")))));
  EXPECT_NE(out.find("a=crypto:1"), std::string::npos);
  EXPECT_EQ(out.find("fingerprint"), std::string::npos);
  EXPECT_EQ(
      answer_refusal(request(sdp_of(dtls_media(9, "active", "", "5000", "RTP/SAVP")), "a", "b")),
      "SDP line 6 (m=): DTLS-SRTP was not offered here; SRTP needs a=crypto lines (SDES)");
  const std::string back = offered_sdp(
      answer(request(sdp_of("m=audio 5000 RTP/SAVP 0\n" + first_crypto(out)), "a", "b")));
  EXPECT_EQ(lines(back, "a=setup:"), "passive");
  EXPECT_EQ(service_->calls()[0].sessions[0].legs[0].keying, "DTLS, no RTCP");
  EXPECT_EQ(service_->calls()[0].sessions[0].legs[1].keying, "SDES");
  EXPECT_NE(leg(0, Side::kB).send.suite, SrtpSuite::kNone);
  EXPECT_FALSE(leg(0, Side::kB).dtls);
}

TEST_F(Dtls, dtls_to_dtls_shares_nothing) {
  const std::string out =
      offered_sdp(offer(request(sdp_of(dtls_media(7, "actpass", "a=tls-id:theirs-12345\n")))));
  EXPECT_EQ(lines(out, "m="), "audio 46000 UDP/TLS/RTP/SAVPF 0");
  EXPECT_EQ(out.find("07:00"), std::string::npos);
  EXPECT_EQ(out.find("theirs"), std::string::npos);
  const std::string back = answer_dtls(dtls_media(9, "active", "a=tls-id:yours-678901\n", "5000"));
  EXPECT_EQ(back.find("09:00"), std::string::npos);
  EXPECT_NE(lines(back, "a=tls-id:"), "");
  EXPECT_NE(lines(back, "a=tls-id:"), lines(out, "a=tls-id:"));
  EXPECT_EQ(dtls(Side::kA).remote.bytes[0], 7);
  EXPECT_EQ(dtls(Side::kB).remote.bytes[0], 9);
}

// ---- Associations

TEST_F(Dtls, reinvite_keeps_the_association) {
  const std::string media = dtls_media(7, "actpass", "a=tls-id:x\n");
  const std::string back = connect_to_plain(media);
  const DtlsConfig before = dtls(Side::kA);
  EXPECT_EQ(reconnect_to_plain(media), back);
  EXPECT_EQ(reconnect_to_plain(media + "a=sendonly\n").substr(back.find("a=setup")),
            back.substr(back.find("a=setup")));
  EXPECT_EQ(dtls(Side::kA), before);
  // Also when the other side re-offers.
  const std::string out = offered_sdp(offer(request(sdp_of(kAudio, "10.0.0.20"), "b", "a")));
  EXPECT_EQ(lines(out, "a=setup:"), "actpass");
  EXPECT_EQ(lines(out, "a=fingerprint:"), lines(back, "a=fingerprint:"));
  EXPECT_EQ(lines(out, "a=tls-id:"), lines(back, "a=tls-id:"));
  offered_sdp(answer(request(sdp_of(dtls_media(7, "active", "a=tls-id:x\n")), "b", "a")));
  EXPECT_EQ(dtls(Side::kA), before);
}

TEST_F(Dtls, another_fingerprint_or_id_of_the_offerer_is_a_new_association) {
  const std::string back = connect_to_plain(dtls_media(7, "actpass", "a=tls-id:x\n"));
  const std::string renewed = reconnect_to_plain(dtls_media(8, "actpass", "a=tls-id:x\n"));
  EXPECT_EQ(dtls(Side::kA).association, 2U);
  EXPECT_EQ(dtls(Side::kA).remote.bytes[0], 8);
  EXPECT_NE(lines(renewed, "a=tls-id:"), lines(back, "a=tls-id:"));
  reconnect_to_plain(dtls_media(8, "actpass", "a=tls-id:y\n"));
  EXPECT_EQ(dtls(Side::kA).association, 3U);
}

TEST_F(Dtls, a_new_association_is_not_asked_for_by_an_offer_that_is_refused) {
  connect_to_plain(dtls_media(7, "actpass"));
  const DtlsConfig before = dtls(Side::kA);
  offered_sdp(offer(request(sdp_of(dtls_media(8, "actpass")), "a", "b")));
  EXPECT_EQ(dtls(Side::kA), before);
  reconnect_to_plain(dtls_media(7, "actpass"));
  EXPECT_EQ(dtls(Side::kA), before);
}

TEST_F(Dtls, without_ids_a_change_of_parts_is_a_new_association) {
  connect_to_plain(dtls_media(7, "active"));
  EXPECT_EQ(dtls(Side::kA).role, DtlsRole::kPassive);
  reconnect_to_plain(dtls_media(7, "actpass"));
  EXPECT_EQ(dtls(Side::kA).association, 1U) << "actpass leaves it as it is";
  EXPECT_EQ(lines(reconnect_to_plain(dtls_media(7, "passive")), "a=setup:"), "active");
  EXPECT_EQ(dtls(Side::kA).association, 2U);
  EXPECT_EQ(dtls(Side::kA).role, DtlsRole::kActive);
  EXPECT_EQ(lines(reconnect_to_plain(dtls_media(7, "actpass")), "a=setup:"), "active");
  EXPECT_EQ(dtls(Side::kA).association, 2U);
}

TEST_F(Dtls, with_ids_a_change_of_parts_is_none) {
  connect_to_plain(dtls_media(7, "active", "a=tls-id:x\n"));
  const DtlsConfig before = dtls(Side::kA);
  const std::string back = reconnect_to_plain(dtls_media(7, "passive", "a=tls-id:x\n"));
  EXPECT_EQ(lines(back, "a=setup:"), "active") << "the only answer that there is";
  EXPECT_EQ(dtls(Side::kA), before);
}

TEST_F(Dtls, holdconn_keeps_what_there_is) {
  connect_to_plain(dtls_media(7, "active"));
  EXPECT_EQ(lines(reconnect_to_plain(dtls_media(7, "holdconn")), "a=setup:"), "holdconn");
  EXPECT_EQ(dtls(Side::kA).association, 1U);
  EXPECT_EQ(dtls(Side::kA).role, DtlsRole::kPassive);
}

TEST_F(Dtls, wish_for_a_part_does_not_break_a_running_association) {
  connect_to_plain(dtls_media(7, "actpass"));
  CallRequest again = request(sdp_of(dtls_media(7, "actpass")), "a", "b");
  again.dtls = DtlsWish::kActive;
  offered_sdp(offer(again));
  EXPECT_EQ(lines(offered_sdp(answer(request(sdp_of(kAudio), "a", "b"))), "a=setup:"), "passive");
  EXPECT_EQ(dtls(Side::kA).association, 1U);
}

TEST_F(Dtls, forks_with_their_own_certificates_are_associations_of_their_own) {
  const std::string out = offer_dtls();
  answer_dtls(dtls_media(9, "active"), "b1");
  EXPECT_EQ(dtls(Side::kB).association, 1U);
  answer_dtls(dtls_media(10, "active"), "b2");
  EXPECT_EQ(dtls(Side::kB).association, 2U);
  EXPECT_EQ(dtls(Side::kB).remote.bytes[0], 10);
  answer_dtls(dtls_media(10, "active"), "b2");
  EXPECT_EQ(dtls(Side::kB).association, 2U) << "a repeated answer";
  answer_dtls(dtls_media(9, "active"), "b1");
  EXPECT_EQ(dtls(Side::kB).association, 3U);
  EXPECT_EQ(lines(offer_dtls("b1"), "a=tls-id:"), lines(out, "a=tls-id:"));
}

TEST_F(Dtls, repeated_offers_say_the_same) {
  EXPECT_EQ(offer_dtls(), offer_dtls());
  EXPECT_EQ(dtls(Side::kB).association, 1U);
}

TEST_F(Dtls, a_new_certificate_is_for_new_associations) {
  const std::string out = offer_dtls();
  answer_dtls(dtls_media(9, "active"));
  relay_->identity = test::FakeRelay::identity_of(2);
  EXPECT_EQ(lines(offer_dtls("b"), "a=fingerprint:"), lines(out, "a=fingerprint:"));
  answer_dtls(dtls_media(9, "active"));
  EXPECT_EQ(dtls(Side::kB).identity, 1U);
  EXPECT_EQ(dtls(Side::kB).association, 1U);
}

TEST_F(Dtls, another_process_offers_a_new_association) {
  const std::string out = offer_dtls();
  answer_dtls(dtls_media(9, "active"));
  take_over(2);
  const std::string again = offer_dtls("b");
  EXPECT_EQ(lines(again, "a=fingerprint:"), sdp::write_fingerprint(relay_->identity.fingerprint));
  EXPECT_NE(lines(again, "a=tls-id:"), lines(out, "a=tls-id:"));
  EXPECT_EQ(dtls(Side::kB).association, 1U) << "until it is answered";
  answer_dtls(dtls_media(9, "active"));
  EXPECT_EQ(dtls(Side::kB).association, 2U);
  EXPECT_EQ(dtls(Side::kB).identity, 2U);
  EXPECT_EQ(lines(offer_dtls("b"), "a=tls-id:"), lines(again, "a=tls-id:"));
}

TEST_F(Dtls, another_process_with_the_same_certificate_goes_on_as_if_nothing_was) {
  const std::string out = offer_dtls();
  answer_dtls(dtls_media(9, "active"));
  take_over(1);
  EXPECT_EQ(lines(offer_dtls("b"), "a=tls-id:"), lines(out, "a=tls-id:"));
  answer_dtls(dtls_media(9, "active"));
  EXPECT_EQ(dtls(Side::kB).association, 1U);
}

TEST_F(Dtls, an_offer_of_a_process_before_is_answered_by_its_certificate) {
  const std::string out = offer_dtls();
  take_over(1);
  answer_dtls(dtls_media(9, "active"));
  EXPECT_EQ(dtls(Side::kB).role, DtlsRole::kPassive);
  EXPECT_EQ(dtls(Side::kB).identity, 1U);
}

TEST_F(Dtls, another_process_answers_a_reinvite_without_breaking_what_goes_on) {
  const std::string media = dtls_media(7, "actpass", "a=tls-id:x\n");
  const std::string back = connect_to_plain(media);
  take_over(2);
  EXPECT_TRUE(dtls(Side::kA).enabled) << "told at once";
  EXPECT_EQ(reconnect_to_plain(media), back);
  EXPECT_EQ(dtls(Side::kA).association, 1U);
  reconnect_to_plain(dtls_media(8, "actpass", "a=tls-id:y\n"));
  EXPECT_EQ(dtls(Side::kA).association, 2U);
  EXPECT_EQ(dtls(Side::kA).identity, 2U);
}

TEST_F(Dtls, a_side_may_change_between_sdes_and_dtls) {
  offer_dtls();
  answer_dtls(dtls_media(9, "active"));
  std::string out = offered_sdp(offer(towards("RTP/SAVP", sdp_of(kAudio), "a", "b")));
  EXPECT_EQ(out.find("fingerprint"), std::string::npos);
  answer_dtls("m=audio 4000 RTP/SAVP 0\n" + first_crypto(out));
  EXPECT_FALSE(leg(0, Side::kB).dtls);
  EXPECT_FALSE(dtls(Side::kB).enabled) << "the relay is told that it is over";
  EXPECT_NE(leg(0, Side::kB).send.suite, SrtpSuite::kNone);
  offer_dtls("b");
  answer_dtls(dtls_media(9, "active"));
  EXPECT_TRUE(dtls(Side::kB).enabled);
  EXPECT_EQ(dtls(Side::kB).association, 2U);
  EXPECT_EQ(leg(0, Side::kB).send.suite, SrtpSuite::kNone);
}

// ---- Refusals

TEST_F(Dtls, nothing_goes_without_a_certificate) {
  relay_->identity = DtlsIdentity{};
  EXPECT_EQ(refusal(towards("RTP/AVP", sdp_of(dtls_media(7, "actpass")))), kNoCertificate);
  EXPECT_EQ(refusal(towards(kTls, sdp_of(kAudio))),
            "SDP line 6 (m=): DTLS-SRTP cannot be offered: the relay has no certificate");
  expect_nothing_left();
}

TEST_F(Dtls, wish_for_none_leaves_sdes) {
  CallRequest invite = request(sdp_of(dtls_media(7, "actpass")));
  invite.dtls = DtlsWish::kOff;
  const std::string out = offered_sdp(offer(invite));
  EXPECT_EQ(lines(out, "m="), "audio 46000 RTP/SAVPF 0");
  EXPECT_NE(out.find("a=crypto:1"), std::string::npos);
  EXPECT_EQ(out.find("fingerprint"), std::string::npos);
  remove(request(""));
  invite.sdes = {"off"};
  EXPECT_NE(refusal(invite), "");
  invite.transport_protocol = kTls;
  EXPECT_EQ(refusal(invite),
            "SDP line 6 (m=): transport-protocol asks for DTLS-SRTP, DTLS=off refuses it");
  expect_nothing_left();
}

TEST_F(Dtls, damaged_offers_change_nothing) {
  const std::string at = "SDP line 6 (m=): ";
  EXPECT_EQ(refusal(request(sdp_of("m=audio 4000 UDP/TLS/RTP/SAVP 0\na=setup:active\n"))),
            at + "DTLS-SRTP without an a=fingerprint line");
  EXPECT_EQ(refusal(request(sdp_of("m=audio 4000 UDP/TLS/RTP/SAVP 0\na=fingerprint:sha-1 AA\n"))),
            at + "a=fingerprint has only SHA-1 or other broken hash functions; SHA-256, SHA-384 or "
                 "SHA-512 is needed");
  EXPECT_EQ(refusal(request(sdp_of(dtls_media(7, "sideways")))),
            at + "a=setup is none of actpass, active, passive and holdconn");
  EXPECT_EQ(refusal(request(sdp_of(dtls_media(7, "actpass", "", "4000", "TCP/TLS/RTP/SAVP")))),
            at + "DTLS-SRTP is supported over UDP only: UDP/TLS/RTP/SAVP or UDP/TLS/RTP/SAVPF");
  EXPECT_EQ(refusal(request(sdp_of("m=audio 4000 RTP/SAVP 0\na=fingerprint:sha-256 AA:BB\n"))),
            at + "a=fingerprint does not have the bytes of its hash function");
  EXPECT_EQ(refusal(request(sdp_of(dtls_media(7, "actpass", "", "9")))),
            at + "media port is below 1024")
      << "without ICE there is no place-holder";
  expect_nothing_left();
}

TEST_F(Dtls, damaged_answers_change_nothing) {
  offer_dtls();
  const LegConfig before = leg(0, Side::kB);
  const std::string at = "SDP line 6 (m=): ";
  EXPECT_EQ(answer_refusal(request(sdp_of("m=audio 5000 UDP/TLS/RTP/SAVPF 0\n"), "a", "b")),
            at + "DTLS-SRTP without an a=fingerprint line");
  EXPECT_EQ(answer_refusal(request(sdp_of(kAudio), "a", "b")),
            at + "plain RTP answered to an offer of SRTP");
  EXPECT_EQ(leg(0, Side::kB).remote, before.remote);
  EXPECT_FALSE(dtls(Side::kB).remote.is_set());
}

TEST_F(Dtls, an_interface_for_srtp_takes_dtls) {
  CallServiceConfig config = test_config();
  config.srtp_interfaces = {"outside"};
  start(std::move(config));
  connect_to_plain(dtls_media(7, "actpass"));
  EXPECT_TRUE(leg(0, Side::kA).must_encrypt);
  EXPECT_EQ(refusal(request(sdp_of(kAudio), "a", "b")),
            "SDP line 6 (m=): plain RTP offered on a leg that is SRTP");
}

TEST_F(Dtls, another_peer_that_is_plain_gets_a_leg_of_its_own) {
  offer_dtls();
  answer_dtls(dtls_media(9, "active"));
  offered_sdp(offer(towards("RTP/AVP", sdp_of(kAudio))));
  EXPECT_EQ(relay_->opened_ever, 2);
  EXPECT_FALSE(leg(0, Side::kB).dtls);
  EXPECT_EQ(told(Side::kB), 0);
}

// ---- rtcp-mux

TEST_F(Dtls, mux_is_granted_to_dtls_whatever_the_inside_does) {
  const std::string mux = dtls_media(7, "actpass", "a=rtcp-mux\n");
  EXPECT_EQ(lines(connect_to_plain(mux), "a=rtcp"), ":36000|-mux");
  EXPECT_TRUE(leg(0, Side::kA).rtcp_mux);
  EXPECT_FALSE(leg(0, Side::kB).rtcp_mux);
  remove(request(""));
  EXPECT_EQ(lines(connect_to_plain(dtls_media(7, "actpass")), "a=rtcp"), ":36003");
  remove(request(""));
  CallRequest invite = towards("RTP/AVP", sdp_of(mux));
  invite.rtcp_mux = {RtcpMuxFlag::kReject};
  offered_sdp(offer(invite));
  EXPECT_EQ(lines(offered_sdp(answer(request(sdp_of(kAudio), "a", "b"))), "a=rtcp"), ":36005");
}

TEST_F(Dtls, without_mux_there_is_no_rtcp_as_the_association_is_that_of_the_rtp_port) {
  offer_dtls();
  answer_dtls(dtls_media(9, "active", "a=rtcp:4001\n"));
  EXPECT_FALSE(leg(0, Side::kB).rtcp_mux);
  EXPECT_EQ(to_string(leg(0, Side::kB).remote[0]), "10.0.0.20:4000");
  EXPECT_FALSE(leg(0, Side::kB).remote[1].is_set());
  EXPECT_EQ(to_string(leg(0, Side::kA).remote[1]), "192.0.2.10:4001") << "a leg without DTLS";
  // It may come to have both, and to have another keying.
  offer_dtls("b");
  answer_dtls(dtls_media(9, "active", "a=rtcp-mux\n"));
  EXPECT_TRUE(leg(0, Side::kB).rtcp_mux);
  const std::string out = offered_sdp(offer(towards("RTP/SAVP", sdp_of(kAudio), "a", "b")));
  answer_dtls("m=audio 4000 RTP/SAVP 0\n" + first_crypto(out));
  EXPECT_EQ(to_string(leg(0, Side::kB).remote[1]), "10.0.0.20:4001");
}

TEST_F(Dtls, a_caller_without_mux_has_no_rtcp) {
  connect_to_plain(dtls_media(7, "actpass"));
  EXPECT_EQ(to_string(leg(0, Side::kA).remote[0]), "192.0.2.10:4000");
  EXPECT_FALSE(leg(0, Side::kA).remote[1].is_set());
}

TEST_F(Dtls, mux_is_offered_to_dtls_unless_it_must_not_be) {
  for (const RtcpMuxFlag flag : {RtcpMuxFlag::kDemux, RtcpMuxFlag::kReject}) {
    CallRequest invite = towards(kTls, sdp_of(kAudio));
    invite.rtcp_mux = {flag};
    EXPECT_EQ(offered_sdp(offer(invite)).find("rtcp-mux"), std::string::npos);
    remove(request(""));
  }
  EXPECT_NE(offer_dtls().find("a=rtcp-mux\r\n"), std::string::npos);
}

}  // namespace
}  // namespace turnpike::call
