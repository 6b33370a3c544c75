// DTLS-SRTP of calls that another process takes over while they ring: which certificate they name.
#include "tests/unit/call/transport_fixture.h"

namespace turnpike::call {
namespace {

constexpr const char* kTls = "UDP/TLS/RTP/SAVPF";
constexpr std::string_view kRefused = "m=audio 0 RTP/AVP 0\n";

std::string fingerprint_of(std::uint8_t identity) {
  return sdp::write_fingerprint(test::FakeRelay::identity_of(identity).fingerprint);
}

class DtlsRestart : public TransportTest {
 protected:
  /// A browser, A, calls a phone.
  void browser_calls(const std::string& more = "") {
    offered_sdp(offer(towards("RTP/AVP", sdp_of(dtls_media(7, "actpass", more)))));
  }
  std::string phone_answers(std::string_view media = kAudio, const std::string& tag = "b") {
    return offered_sdp(answer(request(sdp_of(media, "10.0.0.20"), "a", tag)));
  }
  /// A phone, A, calls a browser.
  std::string phone_calls(const std::string& to = "") {
    return offered_sdp(offer(towards(kTls, sdp_of(kAudio), "a", to)));
  }
  void browser_answers(std::uint8_t fingerprint = 9) {
    offered_sdp(answer(request(sdp_of(dtls_media(fingerprint, "active")), "a", "b")));
  }
};

TEST_F(DtlsRestart, a_browser_whose_call_rings_is_answered_with_the_present_certificate) {
  for (const char* more : {"", "a=tls-id:theirs-1234567890123\n"}) {
    relay_->identity = test::FakeRelay::identity_of(1);
    browser_calls(more);
    take_over(2);
    EXPECT_EQ(lines(phone_answers(), "a=fingerprint:"), fingerprint_of(2)) << more;
    EXPECT_EQ(dtls(Side::kA).identity, 2U);
    EXPECT_EQ(dtls(Side::kA).association, 2U) << "the relay knows that it is another";
    EXPECT_EQ(dtls(Side::kA).role, DtlsRole::kPassive);
    remove(request(""));
  }
}

TEST_F(DtlsRestart, a_refused_stream_told_the_browser_nothing_either) {
  browser_calls();
  phone_answers(kRefused, "b1");
  take_over(2);
  EXPECT_EQ(lines(phone_answers(kAudio, "b2"), "a=fingerprint:"), fingerprint_of(2));
  EXPECT_EQ(dtls(Side::kA).identity, 2U);
}

TEST_F(DtlsRestart, a_browser_that_was_answered_hears_the_same_again) {
  browser_calls();
  const std::string early = phone_answers();
  take_over(2);
  EXPECT_EQ(phone_answers(), early) << "its SRTP keys go on";
  EXPECT_EQ(phone_answers(kAudio, "b2"), early);
  EXPECT_EQ(dtls(Side::kA).association, 1U);
}

TEST_F(DtlsRestart, after_an_answer_to_the_old_certificate_our_next_offer_has_the_new_one) {
  const std::string out = phone_calls();
  ASSERT_EQ(lines(out, "a=fingerprint:"), fingerprint_of(1));
  take_over(2);
  browser_answers();
  EXPECT_EQ(dtls(Side::kB).role, DtlsRole::kUndecided) << "no handshake can be made";
  const std::string again = phone_calls("b");
  EXPECT_EQ(lines(again, "a=fingerprint:"), fingerprint_of(2));
  EXPECT_NE(lines(again, "a=tls-id:"), lines(out, "a=tls-id:"));
  browser_answers();
  EXPECT_EQ(dtls(Side::kB).identity, 2U);
  EXPECT_EQ(dtls(Side::kB).association, 2U);
  EXPECT_EQ(dtls(Side::kB).role, DtlsRole::kPassive);
}

TEST_F(DtlsRestart, after_an_answer_to_the_old_certificate_its_next_offer_gets_the_new_one) {
  phone_calls();
  take_over(2);
  browser_answers();
  offered_sdp(offer(request(sdp_of(dtls_media(9, "actpass")), "b", "a")));
  const std::string back = offered_sdp(answer(request(sdp_of(kAudio), "b", "a")));
  EXPECT_EQ(lines(back, "a=fingerprint:"), fingerprint_of(2));
  EXPECT_EQ(lines(back, "a=setup:"), "passive");
  EXPECT_EQ(dtls(Side::kB).identity, 2U);
  EXPECT_EQ(dtls(Side::kB).association, 2U);
}

TEST_F(DtlsRestart, an_answer_to_a_reoffer_of_before_keeps_what_goes_on_and_what_is_lost) {
  const std::string out = phone_calls();
  browser_answers();
  phone_calls("b");
  take_over(2);
  browser_answers();
  EXPECT_EQ(dtls(Side::kB).association, 1U) << "its SRTP keys go on";
  EXPECT_EQ(dtls(Side::kB).role, DtlsRole::kPassive);
  EXPECT_EQ(lines(phone_calls("b"), "a=fingerprint:"), fingerprint_of(2));
}

TEST_F(DtlsRestart, an_offer_of_before_that_another_phone_answers_is_lost_too) {
  phone_calls();
  browser_answers(9);
  take_over(2);
  browser_answers(10);
  EXPECT_EQ(dtls(Side::kB).association, 2U);
  EXPECT_EQ(lines(phone_calls("b"), "a=fingerprint:"), fingerprint_of(2));
}

}  // namespace
}  // namespace turnpike::call
