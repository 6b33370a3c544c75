// SDES: what is offered, what is accepted, and which keys go where.
#include <set>

#include "control/sdp/crypto.h"
#include "tests/unit/call/call_fixture.h"

namespace turnpike::call {
namespace {

constexpr std::string_view kKey1 = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";
constexpr std::string_view kKey2 = "NzB4d1BINUAvLEw6UzF3WSJ+PSdFcGdUJShpX1Zj";

std::string savp(std::string_view crypto_lines, int port = 4000) {
  std::string text = "m=audio " + std::to_string(port) + " RTP/SAVP 0\n";
  text += crypto_lines;
  return sdp_of(text);
}
std::string cm80(unsigned tag, std::string_view key, std::string_view rest = "") {
  return "a=crypto:" + std::to_string(tag) + " AES_CM_128_HMAC_SHA1_80 inline:" + std::string(key) +
         std::string(rest) + "\n";
}

/// The a=crypto lines of a description, parsed.
std::vector<sdp::CryptoLine> crypto_of(const std::string& description) {
  std::vector<sdp::CryptoLine> parsed;
  const std::string all = lines(description, "a=crypto:");
  std::size_t at = 0;
  while (at < all.size()) {
    const std::size_t end = std::min(all.find('|', at), all.size());
    parsed.push_back(sdp::parse_crypto(all.substr(at, end - at)));
    EXPECT_TRUE(parsed.back().usable()) << parsed.back().refusal;
    at = end + 1;
  }
  return parsed;
}
std::string suites_of(const std::string& description) {
  std::string text;
  for (const auto& line : crypto_of(description)) {
    text += std::to_string(line.tag) + " " + std::string(info_of(line.suite).name) + ";";
  }
  return text;
}

class Sdes : public CallTest {
 protected:
  CallRequest to_srtp(std::string sdp) {
    CallRequest invite = request(std::move(sdp));
    invite.transport_protocol = "RTP/SAVP";
    return invite;
  }
  /// The answerer picks the n-th of our lines and has this key.
  std::string answer_with(const std::string& offered, std::size_t n, std::uint8_t first_byte = 7) {
    SrtpKeying key = crypto_of(offered).at(n).keying.value;
    key.master_key.fill(first_byte);
    return savp("a=crypto:" + sdp::write_crypto(crypto_of(offered)[n].tag, key) + "\n", 5000);
  }
};

TEST_F(Sdes, plain_offer_becomes_srtp_byte_for_byte) {
  CallRequest invite = to_srtp(sdp_of(kAudio));
  invite.sdes = {"only-AEAD_AES_128_GCM", "only-AES_CM_128_HMAC_SHA1_80"};
  // The fixture's random bytes count up; the first eight went into the record's key.
  EXPECT_EQ(offered_sdp(offer(invite)),
            "v=0\r\n"
            "o=- 5 6 IN IP4 192.0.2.10\r\n"
            "s=-\r\n"
            "t=0 0\r\n"
            "m=audio 46000 RTP/SAVP 0\r\n"
            "c=IN IP4 10.0.0.1\r\n"
            "a=rtpmap:0 PCMU/8000\r\n"
            "a=sendrecv\r\n"
            "a=rtcp:46001\r\n"
            "a=crypto:1 AEAD_AES_128_GCM inline:CQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJA==\r\n"
            "a=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:JSYnKCkqKywtLi8wMTIzNDU2Nzg5Ojs8PT4/QEFC"
            "\r\n");
  EXPECT_TRUE(leg(0, Side::kB).must_encrypt);
  EXPECT_EQ(leg(0, Side::kB).send.suite, SrtpSuite::kNone);
  EXPECT_FALSE(leg(0, Side::kA).must_encrypt);

  EXPECT_EQ(offered_sdp(answer(request(savp(cm80(2, kKey1), 5000), "a", "b"))),
            "v=0\r\n"
            "o=- 5 6 IN IP4 192.0.2.10\r\n"
            "s=-\r\n"
            "t=0 0\r\n"
            "m=audio 36000 RTP/AVP 0\r\n"
            "c=IN IP4 198.51.100.1\r\n"
            "a=rtpmap:0 PCMU/8000\r\n"
            "a=sendrecv\r\n"
            "a=rtcp:36001\r\n");
  EXPECT_EQ(leg(0, Side::kB).send.suite, SrtpSuite::kAesCm128HmacSha1_80);
  EXPECT_EQ(leg(0, Side::kB).send.master_key[0], 0x25);
  EXPECT_EQ(leg(0, Side::kB).receive.master_key[0], 'Y');
  EXPECT_EQ(leg(0, Side::kA).send.suite, SrtpSuite::kNone);
}

TEST_F(Sdes, srtp_offer_becomes_plain_byte_for_byte) {
  CallRequest invite = request(savp("a=crypto:1 F8_128_HMAC_SHA1_80 inline:AAAA\n" +
                                    cm80(5, kKey1, "|2^31|1:4") + cm80(6, kKey2)));
  invite.transport_protocol = "RTP/AVP";
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
  EXPECT_EQ(offered_sdp(answer(request(sdp_of("m=audio 5000 RTP/AVP 0\n"), "a", "b"))),
            "v=0\r\n"
            "o=- 5 6 IN IP4 192.0.2.10\r\n"
            "s=-\r\n"
            "t=0 0\r\n"
            "m=audio 36000 RTP/SAVP 0\r\n"
            "c=IN IP4 198.51.100.1\r\n"
            "a=rtpmap:0 PCMU/8000\r\n"
            "a=sendrecv\r\n"
            "a=rtcp:36001\r\n"
            "a=crypto:5 AES_CM_128_HMAC_SHA1_80 inline:CQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUm"
            "\r\n");
  const LegConfig& a = leg(0, Side::kA);
  EXPECT_TRUE(a.must_encrypt);
  EXPECT_EQ(a.receive.master_key[0], 'Y');
  EXPECT_EQ(a.receive.lifetime_packets, std::uint64_t{1} << 31);
  EXPECT_EQ(a.receive.mki_bytes, 4);
  EXPECT_EQ(a.send.master_key[0], 9);
  EXPECT_EQ(a.send.mki_bytes, 0);
  EXPECT_FALSE(leg(0, Side::kB).must_encrypt);
}

TEST_F(Sdes, suites_are_offered_in_our_order_when_the_caller_has_none) {
  EXPECT_EQ(suites_of(offered_sdp(offer(to_srtp(sdp_of(kAudio))))),
            "1 AEAD_AES_256_GCM;2 AEAD_AES_128_GCM;3 AES_256_CM_HMAC_SHA1_80;"
            "4 AES_CM_128_HMAC_SHA1_80;5 AES_256_CM_HMAC_SHA1_32;6 AES_CM_128_HMAC_SHA1_32;");
}

TEST_F(Sdes, caller_suites_come_first_with_their_tags_but_our_keys) {
  const std::string out = offered_sdp(offer(request(savp(
      cm80(3, kKey1) + "a=crypto:1 AES_CM_128_HMAC_SHA1_32 inline:" + std::string(kKey2) + "\n"))));
  EXPECT_EQ(suites_of(out),
            "3 AES_CM_128_HMAC_SHA1_80;1 AES_CM_128_HMAC_SHA1_32;2 AEAD_AES_256_GCM;"
            "4 AEAD_AES_128_GCM;5 AES_256_CM_HMAC_SHA1_80;6 AES_256_CM_HMAC_SHA1_32;");
  EXPECT_EQ(out.find(kKey1), std::string::npos);
  EXPECT_EQ(out.find(kKey2), std::string::npos);
}

TEST_F(Sdes, words_choose_suites) {
  CallRequest invite = to_srtp(sdp_of(kAudio));
  invite.sdes = {"no-AEAD_AES_256_GCM", "no-AEAD_AES_128_GCM", "nonsense", "no-NOTHING"};
  EXPECT_EQ(suites_of(offered_sdp(offer(invite))),
            "1 AES_256_CM_HMAC_SHA1_80;2 AES_CM_128_HMAC_SHA1_80;3 AES_256_CM_HMAC_SHA1_32;"
            "4 AES_CM_128_HMAC_SHA1_32;");
  remove(request(""));
  invite.sdes = {"only-AES_CM_128_HMAC_SHA1_32"};
  EXPECT_EQ(suites_of(offered_sdp(offer(invite))), "1 AES_CM_128_HMAC_SHA1_32;");
  remove(request(""));
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"off"}, {"only-AEAD_AES_128_GCM", "no-AEAD_AES_128_GCM"}}) {
    invite.sdes = words;
    EXPECT_EQ(text(offer(invite), "error-reason"),
              "SDP line 6 (m=): SDES leaves no suite to offer; UDP/TLS/RTP/SAVP or "
              "UDP/TLS/RTP/SAVPF would be keyed by DTLS");
    expect_nothing_left();
  }
}

TEST_F(Sdes, four_keys_of_a_call_differ) {
  const std::string out = offered_sdp(offer(request(savp(cm80(1, kKey1)))));
  const std::string back = offered_sdp(answer(request(answer_with(out, 0), "a", "b")));
  std::set<std::array<std::uint8_t, 32>> keys;
  for (const Side side : {Side::kA, Side::kB}) {
    keys.insert(leg(0, side).send.master_key);
    keys.insert(leg(0, side).receive.master_key);
  }
  EXPECT_EQ(keys.size(), 4U);
  EXPECT_EQ(leg(0, Side::kA).send, crypto_of(back)[0].keying.value);
  EXPECT_EQ(leg(0, Side::kB).send, crypto_of(out)[0].keying.value);
}

TEST_F(Sdes, legs_may_have_different_suites) {
  const std::string out = offered_sdp(offer(request(savp(cm80(1, kKey1)))));
  ASSERT_EQ(crypto_of(out)[1].suite, SrtpSuite::kAeadAes256Gcm);
  offered_sdp(answer(request(answer_with(out, 1), "a", "b")));
  EXPECT_EQ(leg(0, Side::kA).send.suite, SrtpSuite::kAesCm128HmacSha1_80);
  EXPECT_EQ(leg(0, Side::kB).send.suite, SrtpSuite::kAeadAes256Gcm);
}

TEST_F(Sdes, feedback_profiles_are_translated_both_ways) {
  CallRequest invite = request(sdp_of("m=video 4000 RTP/AVPF 96\na=rtcp-fb:96 nack\n"));
  invite.transport_protocol = "RTP/SAVPF";
  const std::string out = offered_sdp(offer(invite));
  EXPECT_EQ(lines(out, "m="), "video 46000 RTP/SAVPF 96");
  EXPECT_EQ(lines(out, "a=rtcp-fb:"), "96 nack");
  const std::string answer_in =
      sdp_of("m=video 5000 RTP/SAVPF 96\na=crypto:" +
             lines(out, "a=crypto:").substr(0, lines(out, "a=crypto:").find('|')) + "\n");
  EXPECT_EQ(lines(offered_sdp(answer(request(answer_in, "a", "b"))), "m="),
            "video 36000 RTP/AVPF 96");
}

struct RefusedOffer {
  const char* what;
  std::string sdp;
  const char* reason;
};
class SdesRefuses : public Sdes, public testing::WithParamInterface<RefusedOffer> {};

TEST_P(SdesRefuses, and_nothing_is_left) {
  const Dict reply = offer(request(GetParam().sdp));
  EXPECT_EQ(text(reply, "result"), "error");
  EXPECT_EQ(text(reply, "error-reason"), GetParam().reason);
  expect_nothing_left();
  ASSERT_EQ(log_.size(), 1U);
  EXPECT_EQ(log_[0].find("inline"), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(
    Sdes, SdesRefuses,
    testing::Values(
        RefusedOffer{"none", savp(""), "SDP line 6 (m=): SRTP without an a=crypto line"},
        RefusedOffer{"unusable",
                     savp("a=crypto:1 F8_128_HMAC_SHA1_80 inline:AAAA\n"
                          "a=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:AAAA\n"),
                     "SDP line 6 (m=): SRTP without a usable a=crypto line; a=crypto tag 1 suite "
                     "is not supported; a=crypto tag 2 key is not base64 of the suite's size"},
        RefusedOffer{"unencrypted", savp(cm80(1, kKey1, " UNENCRYPTED_SRTP")),
                     "SDP line 6 (m=): SRTP without a usable a=crypto line; a=crypto tag 1 has a "
                     "session parameter that is not supported"},
        RefusedOffer{"second_line", sdp_of("m=audio 4000 RTP/AVP 0\nm=video 4002 RTP/SAVP 96\n"),
                     "SDP line 7 (m=): SRTP without an a=crypto line"}),
    [](const auto& test) { return std::string(test.param.what); });

TEST_F(Sdes, error_text_is_bounded) {
  std::string many;
  for (int i = 0; i < 500; ++i) many += "a=crypto:1 F8_128_HMAC_SHA1_80 inline:AA\n";
  EXPECT_LT(text(offer(request(savp(many))), "error-reason").size(), 600U);
}

TEST_F(Sdes, unknown_transport_is_refused) {
  CallRequest invite = request(sdp_of(kAudio));
  invite.transport_protocol = "TCP/TLS/RTP/SAVP";
  EXPECT_EQ(text(offer(invite), "error-reason"),
            "transport-protocol is not supported; it may be RTP/AVP, RTP/AVPF, RTP/SAVP, "
            "RTP/SAVPF, UDP/TLS/RTP/SAVP or UDP/TLS/RTP/SAVPF");
  expect_nothing_left();
}

TEST_F(Sdes, keys_of_plain_offers_do_not_pass) {
  // An a=crypto below RTP/AVP is an attempt at opportunistic SRTP (RFC 8643); capability
  // attributes (RFC 5939) and key-mgmt (RFC 4567) carry keys as well.
  const std::string out = offered_sdp(offer(
      request(sdp_of("a=key-mgmt:mikey SECRET\nm=audio 4000 RTP/AVP 0\n" + cm80(1, kKey1) +
                     "a=acap:1 crypto:1 AES_CM_128_HMAC_SHA1_80 inline:SECRET\na=pcfg:1 t=1 a=1\n"
                     "a=tcap:1 RTP/SAVP\na=key-mgmt:mikey SECRET\n"))));
  EXPECT_EQ(out.find("crypto"), std::string::npos);
  EXPECT_EQ(out.find("SECRET"), std::string::npos);
  EXPECT_EQ(out.find("cap:"), std::string::npos);
  EXPECT_EQ(out.find("cfg:"), std::string::npos);
}

TEST_F(Sdes, forks_share_our_key_and_the_last_answer_wins) {
  const std::string out = offered_sdp(offer(to_srtp(sdp_of(kAudio))));
  offered_sdp(answer(request(answer_with(out, 3, 11), "a", "b1")));
  const SrtpKeying ours = leg(0, Side::kB).send;
  offered_sdp(answer(request(answer_with(out, 3, 22), "a", "b2")));
  EXPECT_EQ(leg(0, Side::kB).send, ours);
  EXPECT_EQ(leg(0, Side::kB).receive.master_key[0], 22);
  EXPECT_EQ(service_->calls()[0].to_tag, "b2");
  offered_sdp(answer(request(answer_with(out, 3, 11), "a", "b1")));
  EXPECT_EQ(leg(0, Side::kB).receive.master_key[0], 11);
}

TEST_F(Sdes, key_stays_in_place_while_one_branch_refuses_the_m_line) {
  CallRequest invite = to_srtp(sdp_of("m=audio 4000 RTP/AVP 0\nm=audio 4002 RTP/AVP 0\n"));
  const std::string out = offered_sdp(offer(invite));
  const auto both = crypto_of(out);
  const auto one = [&](std::size_t line, int port) {
    SrtpKeying key = both.at(line).keying.value;
    key.master_key.fill(7);
    return "m=audio " + std::to_string(port) +
           " RTP/SAVP 0\na=crypto:" + sdp::write_crypto(both[line].tag, key) + "\n";
  };
  offered_sdp(answer(request(sdp_of(one(0, 5000) + one(6, 5002)), "a", "b1")));
  const SrtpKeying ours = leg(1, Side::kB).send;
  ASSERT_NE(ours.suite, SrtpSuite::kNone);
  offered_sdp(answer(request(sdp_of(one(0, 6000) + "m=audio 0 RTP/SAVP 0\n"), "a", "b2")));
  EXPECT_EQ(leg(1, Side::kB).send, ours);
  EXPECT_FALSE(leg(1, Side::kA).remote[0].is_set());
  EXPECT_FALSE(leg(1, Side::kB).remote[0].is_set());
}

TEST_F(Sdes, a_key_that_was_given_up_is_never_used_again) {
  const std::string out = offered_sdp(offer(to_srtp(sdp_of(kAudio))));
  offered_sdp(answer(request(answer_with(out, 0), "a", "b1")));
  const SrtpKeying first = leg(0, Side::kB).send;
  offered_sdp(answer(request(answer_with(out, 3), "a", "b2")));
  const SrtpKeying second = leg(0, Side::kB).send;
  EXPECT_EQ(text(answer(request(answer_with(out, 0), "a", "b1")), "error-reason"),
            "SDP line 6 (m=): answer chooses an a=crypto line that another answer gave up");
  EXPECT_EQ(leg(0, Side::kB).send, second);

  CallRequest again = to_srtp(sdp_of(kAudio));
  again.to_tag = "b2";
  const auto lines_again = crypto_of(offered_sdp(offer(again)));
  EXPECT_EQ(lines_again[0].keying.value, second);
  for (const auto& line : lines_again) EXPECT_NE(line.keying.value, first);
}

TEST_F(Sdes, reinvite_keeps_ports_and_keys) {
  CallRequest invite = to_srtp(sdp_of(kAudio));
  const std::string out = offered_sdp(offer(invite));
  const std::string answer_in = answer_with(out, 3);
  const std::string back = offered_sdp(answer(request(answer_in, "a", "b")));
  const LegConfig before = leg(0, Side::kB);

  invite.to_tag = "b";
  const std::string again = offered_sdp(offer(invite));
  EXPECT_EQ(lines(again, "m="), lines(out, "m="));
  EXPECT_EQ(crypto_of(again)[0].keying.value, before.send);
  EXPECT_EQ(offered_sdp(answer(request(answer_with(again, 0), "a", "b"))), back);
  EXPECT_EQ(leg(0, Side::kB).send, before.send);
  EXPECT_EQ(leg(0, Side::kB).receive, before.receive);
  EXPECT_EQ(relay_->opened_ever, 1);
}

TEST_F(Sdes, offer_from_the_srtp_side_keeps_the_key_in_its_answer) {
  const std::string out = offered_sdp(offer(to_srtp(sdp_of(kAudio))));
  offered_sdp(answer(request(answer_with(out, 3), "a", "b")));
  const SrtpKeying ours = leg(0, Side::kB).send;
  const SrtpKeying theirs = leg(0, Side::kB).receive;

  // B's own offer repeats its key under another tag.
  const std::string reoffer =
      savp("a=crypto:9 " + sdp::write_crypto(9, theirs).substr(2) + "\n", 5000);
  const std::string to_a = offered_sdp(offer(request(reoffer, "b", "a")));
  EXPECT_EQ(lines(to_a, "m="), "audio 36000 RTP/AVP 0");  // as A's side is, without being told
  EXPECT_EQ(lines(to_a, "a=crypto:"), "");
  const std::string to_b =
      offered_sdp(answer(request(sdp_of("m=audio 4000 RTP/AVP 0\n"), "b", "a")));
  ASSERT_EQ(crypto_of(to_b).size(), 1U);
  EXPECT_EQ(crypto_of(to_b)[0].tag, 9U);
  EXPECT_EQ(crypto_of(to_b)[0].keying.value, ours);
  EXPECT_EQ(leg(0, Side::kB).send, ours);
  EXPECT_EQ(leg(0, Side::kB).receive, theirs);
}

TEST_F(Sdes, offerer_with_a_new_key_gets_a_new_key) {
  offered_sdp(offer(request(savp(cm80(1, kKey1)))));
  const std::string to_b = text(offer(request(savp(cm80(1, kKey1)))), "sdp");
  offered_sdp(answer(request(answer_with(to_b, 0), "a", "b")));
  const SrtpKeying ours = leg(0, Side::kA).send;
  const SrtpKeying to_callee = leg(0, Side::kB).send;
  const std::string again = offered_sdp(offer(request(savp(cm80(1, kKey2)), "a", "b")));
  EXPECT_EQ(leg(0, Side::kA).receive.master_key[0], 'Y') << "took effect before its answer";
  const std::string back = offered_sdp(answer(request(answer_with(again, 0), "a", "b")));
  EXPECT_EQ(leg(0, Side::kA).receive.master_key[0], '7');
  EXPECT_NE(leg(0, Side::kA).send.master_key, ours.master_key);
  EXPECT_EQ(leg(0, Side::kA).send, crypto_of(back)[0].keying.value);
  EXPECT_EQ(leg(0, Side::kB).send, to_callee);
  // The same answer again changes nothing.
  EXPECT_EQ(offered_sdp(answer(request(answer_with(again, 0), "a", "b"))), back);
}

class Security : public Sdes {};

TEST_F(Security, M3_plain_rtp_is_strict_by_default) {
  CallRequest invite = request(sdp_of(kAudio));
  invite.received_from = IpAddress::v4(203, 0, 113, 5);
  offer(invite);
  answer(request(sdp_of(kAudio, "10.0.0.9"), "a", "b"));
  EXPECT_EQ(leg(0, Side::kA).source_policy, SourcePolicy::kStrict);
  EXPECT_EQ(leg(0, Side::kB).source_policy, SourcePolicy::kStrict);
  EXPECT_EQ(to_string(leg(0, Side::kA).remote[0]), "192.0.2.10:4000");
}

TEST_F(Security, M6_srtp_leg_refuses_plain_answer) {
  const std::string out = offered_sdp(offer(to_srtp(sdp_of(kAudio))));
  EXPECT_EQ(text(answer(request(sdp_of("m=audio 5000 RTP/AVP 0\n"), "a", "b")), "error-reason"),
            "SDP line 6 (m=): plain RTP answered to an offer of SRTP");
  EXPECT_TRUE(leg(0, Side::kB).must_encrypt);
  EXPECT_FALSE(leg(0, Side::kB).remote[0].is_set());
  EXPECT_EQ(leg(0, Side::kB).receive.suite, SrtpSuite::kNone);
  EXPECT_FALSE(service_->calls()[0].answered);
  // The right answer still works.
  offered_sdp(answer(request(answer_with(out, 0), "a", "b")));
  EXPECT_EQ(leg(0, Side::kB).send.suite, SrtpSuite::kAeadAes256Gcm);
}

TEST_F(Security, M6_srtp_leg_refuses_plain_offer_later) {
  const std::string out = offered_sdp(offer(request(savp(cm80(1, kKey1)))));
  offered_sdp(answer(request(answer_with(out, 0), "a", "b")));
  const std::array<LegConfig, 2> before = {leg(0, Side::kA), leg(0, Side::kB)};
  EXPECT_EQ(text(offer(request(sdp_of(kAudio), "a", "b")), "error-reason"),
            "SDP line 6 (m=): plain RTP offered on a leg that is SRTP");
  CallRequest downgrade = request(savp(cm80(1, kKey1)), "a", "b");
  downgrade.transport_protocol = "RTP/AVP";
  EXPECT_EQ(text(offer(downgrade), "error-reason"),
            "SDP line 6 (m=): transport-protocol asks for plain RTP on a leg that is SRTP");
  for (const Side side : {Side::kA, Side::kB}) {
    EXPECT_TRUE(leg(0, side).must_encrypt);
    EXPECT_EQ(leg(0, side).send, before[index_of(side)].send);
  }
}

TEST_F(Security, M6_late_answer_to_an_older_offer_cannot_turn_srtp_off) {
  offer(request(sdp_of(kAudio)));
  answer(request(sdp_of(kAudio, "10.0.0.9"), "a", "b"));
  offered_sdp(offer(request(sdp_of(kAudio), "a", "b")));  // stays open
  CallRequest upgrade = request(savp(cm80(1, kKey1)), "b", "a");
  upgrade.transport_protocol = "RTP/AVP";
  offered_sdp(offer(upgrade));
  offered_sdp(answer(request(sdp_of(kAudio), "b", "a")));
  EXPECT_TRUE(leg(0, Side::kB).must_encrypt);
  EXPECT_EQ(text(answer(request(sdp_of(kAudio, "10.0.0.9"), "a", "b")), "error-reason"),
            "answer without an offer of this from-tag");
  EXPECT_TRUE(leg(0, Side::kB).must_encrypt);
  EXPECT_EQ(leg(0, Side::kB).receive.master_key[0], 'Y');
}

TEST_F(Security, M6_answer_cannot_turn_srtp_on_either) {
  offer(request(sdp_of(kAudio)));
  EXPECT_EQ(text(answer(request(savp(cm80(1, kKey1)), "a", "b")), "error-reason"),
            "SDP line 6 (m=): SRTP answered to an offer of plain RTP");
}

TEST_F(Security, M6_interface_for_srtp_takes_no_plain_leg) {
  CallServiceConfig config = test_config();
  config.srtp_interfaces = {"outside"};
  start(config);
  const std::string start =
      "SDP line 6 (m=): media on interface 'outside' must be SRTP (RTP/SAVP "
      "with a=crypto, UDP/TLS/RTP/SAVP, or their SAVPF), not ";
  // From outside, and towards it: asked for, or passed on as it was offered.
  EXPECT_EQ(text(offer(request(sdp_of(kAudio))), "error-reason"), start + "RTP/AVP");
  EXPECT_EQ(text(offer(to_srtp(sdp_of("m=audio 4000 RTP/AVPF 0\n"))), "error-reason"),
            start + "RTP/AVPF");
  CallRequest from_inside = request(sdp_of(kAudio));
  from_inside.direction = {"inside", "outside"};
  EXPECT_EQ(text(offer(from_inside), "error-reason"), start + "RTP/AVP");
  // One m-line of several is enough.
  EXPECT_EQ(text(offer(request(savp(cm80(1, kKey1)) + std::string(kAudio))), "result"), "error");
  expect_nothing_left();

  from_inside.transport_protocol = "RTP/SAVP";
  offered_sdp(offer(from_inside));
  EXPECT_TRUE(leg(0, Side::kB).must_encrypt);
  CallRequest from_outside = request(savp(cm80(1, kKey1)));
  from_outside.call_id = "call-2";
  from_outside.transport_protocol = "RTP/AVP";
  offered_sdp(offer(from_outside));
  EXPECT_TRUE(leg(1, Side::kA).must_encrypt);
  EXPECT_FALSE(leg(1, Side::kB).must_encrypt);
}

TEST_F(Security, M6_interface_for_srtp_takes_no_plain_reoffer) {
  // A call that was taken over from a time when the interface allowed plain RTP.
  offered_sdp(offer(request(sdp_of(kAudio))));
  offered_sdp(answer(request(sdp_of(kAudio, "10.0.0.9"), "a", "b")));
  CallServiceConfig config = test_config();
  config.srtp_interfaces = {"outside"};
  relay_->sessions_found.push_back({relay_->id_of(0), relay_->session(0).ports});
  relay_->records_found.assign(relay_->records.begin(), relay_->records.end());
  restart(config);
  service_->adopt();
  EXPECT_EQ(text(offer(request(sdp_of(kAudio), "a", "b")), "result"), "error");
  EXPECT_EQ(text(offer(request(sdp_of(kAudio, "10.0.0.9"), "b", "a")), "result"), "error");
  EXPECT_EQ(service_->call_count(), 1U);
}

TEST_F(Security, M8_sdes_answer_must_match_offer) {
  CallRequest invite = to_srtp(sdp_of(kAudio));
  invite.sdes = {"only-AEAD_AES_128_GCM", "only-AES_CM_128_HMAC_SHA1_80"};  // tags 1 and 2
  offered_sdp(offer(invite));
  const struct {
    std::string crypto;
    const char* reason;
  } cases[] = {
      {cm80(1, kKey1), "answer's a=crypto tag and suite are not a line that was offered"},
      {cm80(3, kKey1), "answer's a=crypto tag and suite are not a line that was offered"},
      {"a=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:" + std::string(kKey1) + "\n",
       "answer's a=crypto tag and suite are not a line that was offered"},
      {cm80(2, kKey1) + cm80(2, kKey2), "an answer must choose one a=crypto line"},
      {"", "SRTP without an a=crypto line"},
      {cm80(2, kKey1, " UNENCRYPTED_SRTCP"),
       "SRTP without a usable a=crypto line; a=crypto tag 2 has a session parameter that is not "
       "supported"},
  };
  for (const auto& bad : cases) {
    EXPECT_EQ(text(answer(request(savp(bad.crypto), "a", "b")), "error-reason"),
              std::string("SDP line 6 (m=): ") + bad.reason);
    EXPECT_EQ(leg(0, Side::kB).send.suite, SrtpSuite::kNone);
    EXPECT_EQ(leg(0, Side::kB).receive.suite, SrtpSuite::kNone);
    EXPECT_FALSE(leg(0, Side::kB).remote[0].is_set());
  }
  offered_sdp(answer(request(savp(cm80(2, kKey1)), "a", "b")));
  EXPECT_EQ(leg(0, Side::kB).receive.suite, SrtpSuite::kAesCm128HmacSha1_80);
}

}  // namespace
}  // namespace turnpike::call
