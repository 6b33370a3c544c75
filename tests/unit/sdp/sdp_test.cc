// Parsing and writing of session descriptions.
#include "control/sdp/sdp.h"

#include <gtest/gtest.h>

namespace turnpike::sdp {
namespace {

constexpr std::string_view kSmall =
    "v=0\r\n"
    "o=alice 2890844526 2890844527 IN IP4 192.0.2.1\r\n"
    "s=-\r\n"
    "c=IN IP4 192.0.2.1\r\n"
    "t=0 0\r\n"
    "m=audio 49170 RTP/AVP 0 101\r\n"
    "a=rtpmap:0 PCMU/8000\r\n"
    "a=rtpmap:101 telephone-event/8000\r\n"
    "a=fmtp:101 0-16\r\n";

std::string error_of(std::string_view text, const Limits& limits = {}) {
  const auto parsed = parse(text, limits);
  return parsed ? "" : parsed.error().message;
}

TEST(Sdp, reads_what_a_relay_needs) {
  const auto parsed = parse(kSmall);
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(parsed->origin.username, "alice");
  EXPECT_EQ(parsed->origin.session_version, "2890844527");
  ASSERT_TRUE(parsed->connection);
  EXPECT_EQ(to_string(parsed->connection->ip), "192.0.2.1");
  ASSERT_EQ(parsed->media.size(), 1U);
  const Media& media = parsed->media[0];
  EXPECT_EQ(media.kind, "audio");
  EXPECT_EQ(media.port, 49170);
  EXPECT_EQ(media.port_count, 1U);
  EXPECT_EQ(media.protocol, "RTP/AVP");
  EXPECT_EQ(media.formats, (std::vector<std::string>{"0", "101"}));
  EXPECT_EQ(media.line, 6U);
  EXPECT_EQ(media.attributes.size(), 3U);
}

TEST(Sdp, line_ends_may_be_lf_and_blank_lines_do_not_matter) {
  std::string lf;
  for (const char c : kSmall) {
    if (c != '\r') lf += c;
  }
  const auto parsed = parse(lf + "\n\n");
  ASSERT_TRUE(parsed);
  EXPECT_EQ(write(*parsed), kSmall);
}

TEST(Sdp, last_line_may_lack_its_end) {
  const auto parsed = parse(kSmall.substr(0, kSmall.size() - 2));
  ASSERT_TRUE(parsed);
  EXPECT_EQ(write(*parsed), kSmall);
}

TEST(Sdp, keeps_what_it_does_not_understand_in_input_order) {
  const std::string text =
      "v=0\r\n"
      "o=- 1 1 IN IP4 192.0.2.1\r\n"
      "s=Talk of the day\r\n"
      "i=About things\r\n"
      "u=http://example.com/\r\n"
      "e=a@example.com\r\n"
      "p=+1 617 555-6011\r\n"
      "c=IN IP4 192.0.2.1\r\n"
      "b=AS:128\r\n"
      "b=X-YZ:99\r\n"
      "t=2873397496 2873404696\r\n"
      "r=7d 1h 0 25h\r\n"
      "z=2882844526 -1h\r\n"
      "y=unheard of\r\n"
      "a=tool:x\r\n"
      "a=zebra\r\n"
      "a=apple:1:2\r\n"
      "m=audio 4000/2 RTP/AVP 0\r\n"
      "i=Sound\r\n"
      "c=IN IP4 192.0.2.2\r\n"
      "b=AS:64\r\n"
      "x=media level\r\n"
      "a=zebra\r\n"
      "a=apple:\r\n";
  const auto parsed = parse(text);
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(write(*parsed), text);
}

TEST(Sdp, attributes_with_a_place_go_there) {
  const auto parsed = parse(
      "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\n"
      "a=msid-semantic:WMS\r\na=group:BUNDLE 0\r\na=group:LS 0\r\na=ice-lite\r\n"
      "m=video 9 RTP/SAVPF 96 97\r\n"
      "a=end-of-candidates\r\na=candidate:1 1 UDP 1 192.0.2.1 9 typ host\r\na=ice-pwd:p\r\n"
      "a=ice-ufrag:u\r\na=maxptime:40\r\na=ptime:20\r\na=tls-id:1\r\na=fingerprint:f\r\n"
      "a=setup:actpass\r\na=crypto:1 x\r\na=rtcp-mux\r\na=rtcp:10\r\na=recvonly\r\n"
      "a=ssrc:1 cname:x\r\na=rtpmap:55 none/90000\r\na=extmap:1 urn:x\r\na=rtcp-fb:* nack\r\n"
      "a=rtcp-fb:97 nack\r\na=fmtp:97 apt=96\r\na=rtpmap:97 rtx/90000\r\n"
      "a=rtcp-fb:96 nack\r\na=rtcp-fb:96 ccm fir\r\na=rtpmap:96 VP8/90000\r\na=label:x\r\n"
      "a=mid:0\r\n");
  ASSERT_TRUE(parsed);
  EXPECT_EQ(write(*parsed),
            "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\n"
            "a=ice-lite\r\na=group:BUNDLE 0\r\na=msid-semantic:WMS\r\na=group:LS 0\r\n"
            "m=video 9 RTP/SAVPF 96 97\r\n"
            "a=mid:0\r\na=label:x\r\n"
            "a=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 nack\r\na=rtcp-fb:96 ccm fir\r\n"
            "a=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\na=rtcp-fb:97 nack\r\n"
            "a=rtcp-fb:* nack\r\na=extmap:1 urn:x\r\n"
            "a=ssrc:1 cname:x\r\na=rtpmap:55 none/90000\r\n"
            "a=recvonly\r\na=rtcp:10\r\na=rtcp-mux\r\na=crypto:1 x\r\n"
            "a=setup:actpass\r\na=fingerprint:f\r\na=tls-id:1\r\na=ptime:20\r\na=maxptime:40\r\n"
            "a=ice-ufrag:u\r\na=ice-pwd:p\r\na=candidate:1 1 UDP 1 192.0.2.1 9 typ host\r\n"
            "a=end-of-candidates\r\n");
}

TEST(Sdp, missing_s_and_t_are_supplied) {
  const auto parsed = parse("v=0\no=- 1 1 IN IP4 192.0.2.1\n");
  ASSERT_TRUE(parsed);
  EXPECT_EQ(write(*parsed), "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\n");
}

TEST(Sdp, key_lines_in_the_clear_are_dropped) {
  const auto parsed = parse(
      "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\nk=clear:secret\r\n"
      "m=audio 9 RTP/AVP 0\r\nk=base64:c2VjcmV0\r\n");
  ASSERT_TRUE(parsed);
  EXPECT_EQ(write(*parsed).find("k="), std::string::npos);
}

TEST(Sdp, user_name_in_origin_may_hold_blanks) {
  const auto parsed = parse("v=0\no=John Q Public 1 2 IN IP6 2001:db8::1\ns=-\nt=0 0\n");
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->origin.username, "John Q Public");
  EXPECT_EQ(parsed->origin.address, "2001:db8::1");
}

struct BadCase {
  const char* what;
  const char* text;
  const char* message;
};

class SdpRefuses : public testing::TestWithParam<BadCase> {};

TEST_P(SdpRefuses, with_line_and_reason) {
  EXPECT_EQ(error_of(GetParam().text), GetParam().message);
}

#define HEAD "v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\nt=0 0\n"
INSTANTIATE_TEST_SUITE_P(
    Sdp, SdpRefuses,
    testing::Values(
        BadCase{"empty", "", "SDP: empty"},
        BadCase{"no_version", "o=- 1 1 IN IP4 192.0.2.1\n",
                "SDP line 1: description does not begin with v="},
        BadCase{"version_1", "v=1\n", "SDP line 1: unknown version in v= (only 0 exists)"},
        BadCase{"two_versions", "v=0\nv=0\n", "SDP line 2: second v= line"},
        BadCase{"no_origin", "v=0\ns=-\n", "SDP: no o= line in the description"},
        BadCase{"short_origin", "v=0\no=- 1 1 IN IP4\n", "SDP line 2: o= needs six fields"},
        BadCase{"origin_words", "v=0\no=- one 1 IN IP4 192.0.2.1\n",
                "SDP line 2: session id or version in o= is not a number"},
        BadCase{"two_origins", "v=0\no=- 1 1 IN IP4 192.0.2.1\no=- 1 1 IN IP4 192.0.2.1\n",
                "SDP line 3: second o= line"},
        BadCase{"no_equals", HEAD "hello\n", "SDP line 5: is not of the form x=value"},
        BadCase{"capital", HEAD "A=x\n", "SDP line 5: is not of the form x=value"},
        BadCase{"stray_cr", HEAD "a=x\ry\n", "SDP line 5: holds a control character"},
        BadCase{
            "long_protocol",
            HEAD
            "m=audio 4000 RTP/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx 0\n",
            "SDP line 5: media or protocol in m= is longer than 64 bytes"},
        BadCase{
            "long_media",
            HEAD
            "m=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx 4000 RTP/AVP 0\n",
            "SDP line 5: media or protocol in m= is longer than 64 bytes"},
        BadCase{"nameless", HEAD "a=:x\n", "SDP line 5: attribute name is not a token"},
        BadCase{"short_c", HEAD "c=IN IP4\n", "SDP line 5: c= needs three fields"},
        BadCase{"atm", HEAD "c=ATM NSAP 47.0091\n", "SDP line 5: network type in c= is not IN"},
        BadCase{"ip5", HEAD "c=IN IP5 192.0.2.1\n",
                "SDP line 5: address type in c= is not IP4 or IP6"},
        BadCase{"short_m", HEAD "m=audio 9 RTP/AVP\n",
                "SDP line 5: m= needs media, port, protocol and a format"},
        BadCase{"port_text", HEAD "m=audio x RTP/AVP 0\n",
                "SDP line 5: port in m= is not a number from 0 to 65535 without leading zeros"},
        BadCase{"port_big", HEAD "m=audio 65536 RTP/AVP 0\n",
                "SDP line 5: port in m= is not a number from 0 to 65535 without leading zeros"},
        BadCase{"port_negative", HEAD "m=audio -1 RTP/AVP 0\n",
                "SDP line 5: port in m= is not a number from 0 to 65535 without leading zeros"},
        BadCase{"port_count", HEAD "m=audio 9/0 RTP/AVP 0\n",
                "SDP line 5: port count in m= is not a positive number"},
        BadCase{"port_leading_zero", HEAD "m=audio 01234 RTP/AVP 0\n",
                "SDP line 5: port in m= is not a number from 0 to 65535 without leading zeros"},
        BadCase{"port_zeros", HEAD "m=audio 00 RTP/AVP 0\n",
                "SDP line 5: port in m= is not a number from 0 to 65535 without leading zeros"},
        BadCase{"port_count_zero", HEAD "m=audio 9/02 RTP/AVP 0\n",
                "SDP line 5: port count in m= is not a positive number"},
        BadCase{"m_two_blanks", HEAD "m=audio 9  RTP/AVP 0\n",
                "SDP line 5: m= has a blank too many; one stands between fields"},
        BadCase{"m_blank_first", HEAD "m= audio 9 RTP/AVP 0\n",
                "SDP line 5: m= has a blank too many; one stands between fields"},
        BadCase{"m_blank_last", HEAD "m=audio 9 RTP/AVP 0 \n",
                "SDP line 5: m= has a blank too many; one stands between fields"},
        BadCase{"m_tab", HEAD "m=audio 9\tRTP/AVP 0 8\n",
                "SDP line 5: port in m= is not a number from 0 to 65535 without leading zeros"},
        BadCase{"m_tab_media", HEAD "m=audio\t 9 RTP/AVP 0\n",
                "SDP line 5: media in m= is not a token"},
        BadCase{"m_tab_protocol", HEAD "m=audio 9 RTP/AVP\t 0\n",
                "SDP line 5: protocol in m= is not made of tokens"},
        BadCase{"m_tab_format", HEAD "m=audio 9 RTP/AVP 0\t\n",
                "SDP line 5: format in m= is not a token"},
        BadCase{"media_slash", HEAD "m=au/dio 9 RTP/AVP 0\n",
                "SDP line 5: media in m= is not a token"},
        BadCase{"media_quote", HEAD "m=au\"dio 9 RTP/AVP 0\n",
                "SDP line 5: media in m= is not a token"},
        BadCase{"media_high", HEAD "m=\xc3\xa4 9 RTP/AVP 0\n",
                "SDP line 5: media in m= is not a token"},
        BadCase{"protocol_empty_piece", HEAD "m=audio 9 RTP//AVP 0\n",
                "SDP line 5: protocol in m= is not made of tokens"},
        BadCase{"protocol_colon", HEAD "m=audio 9 RTP:AVP 0\n",
                "SDP line 5: protocol in m= is not made of tokens"},
        BadCase{"late_origin", HEAD "m=audio 9 RTP/AVP 0\no=- 1 1 IN IP4 192.0.2.1\n",
                "SDP line 6: session line below an m= line"}),
    [](const auto& test) { return std::string(test.param.what); });
#undef HEAD

TEST(Sdp, limits_hold_at_their_edge) {
  const std::string head = "v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\nt=0 0\n";
  std::string text = head;
  for (int i = 0; i < 16; ++i) text += "m=audio 9 RTP/AVP 0\n";
  EXPECT_EQ(error_of(text), "");
  EXPECT_EQ(error_of(text + "m=audio 9 RTP/AVP 0\n"), "SDP line 21: more than 16 m= lines");

  std::string long_line = head + "a=x:" + std::string(32768 - head.size() - 5, 'y') + "\n";
  ASSERT_EQ(long_line.size(), 32768U);
  EXPECT_EQ(error_of(long_line), "");
  EXPECT_EQ(error_of(long_line + "\n"), "SDP: longer than 32768 bytes");
}

TEST(Sdp, nul_bytes_are_refused) {
  std::string text(kSmall);
  text[kSmall.find("alice")] = '\0';
  EXPECT_EQ(error_of(text), "SDP line 2: holds a control character");
}

TEST(Sdp, errors_never_quote_key_material) {
  const std::string message = error_of(
      "v=0\no=- 1 1 IN IP4 192.0.2.1\nm=audio 9 RTP/SAVP 0\n"
      "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2VjcmV0c2VjcmV0\r\rsecret\n");
  EXPECT_EQ(message, "SDP line 4: holds a control character");
}

TEST(Sdp, wipe_keys_leaves_no_key) {
  auto parsed = parse(
      "v=0\no=- 1 1 IN IP4 192.0.2.1\na=key-mgmt:mikey AAAA\nm=audio 9 RTP/SAVP 0\n"
      "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2VjcmV0\n");
  ASSERT_TRUE(parsed);
  wipe_keys(*parsed);
  EXPECT_EQ(write(*parsed).find("AAAA"), std::string::npos);
  EXPECT_EQ(write(*parsed).find("inline"), std::string::npos);
}

}  // namespace
}  // namespace turnpike::sdp
