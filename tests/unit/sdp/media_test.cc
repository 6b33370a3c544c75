// Typed access to m= sections.
#include "control/sdp/media.h"

#include <gtest/gtest.h>

namespace turnpike::sdp {
namespace {

Session parsed(const std::string& below) {
  auto session = parse("v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\nt=0 0\n" + below);
  EXPECT_TRUE(session) << (session ? "" : session.error().message);
  return std::move(*session);
}

std::string addresses(const std::string& below) {
  const Session session = parsed(below);
  const auto found = addresses_of(session, session.media.at(0));
  if (!found) return found.error().message;
  return to_string(found->rtp) + " " + to_string(found->rtcp);
}

TEST(SdpMedia, rtcp_is_the_next_port_unless_said) {
  EXPECT_EQ(addresses("c=IN IP4 192.0.2.9\nm=audio 4000 RTP/AVP 0\n"),
            "192.0.2.9:4000 192.0.2.9:4001");
  EXPECT_EQ(addresses("c=IN IP4 192.0.2.9\nm=audio 4000 RTP/AVP 0\na=rtcp:5005\n"),
            "192.0.2.9:4000 192.0.2.9:5005");
  EXPECT_EQ(addresses("c=IN IP4 192.0.2.9\nm=audio 4000 RTP/AVP 0\n"
                      "a=rtcp:5005 IN IP4 192.0.2.10\n"),
            "192.0.2.9:4000 192.0.2.10:5005");
}

TEST(SdpMedia, media_connection_wins_over_session) {
  EXPECT_EQ(addresses("c=IN IP4 192.0.2.9\nm=audio 4000 RTP/AVP 0\nc=IN IP6 2001:db8::5\n"),
            "[2001:db8::5]:4000 [2001:db8::5]:4001");
}

TEST(SdpMedia, null_address_holds_whatever_rtcp_says) {
  EXPECT_EQ(addresses("c=IN IP4 0.0.0.0\nm=audio 4000 RTP/AVP 0\na=rtcp:4001 IN IP4 192.0.2.1\n"),
            "0.0.0.0:4000 0.0.0.0:4001");
}

TEST(SdpMedia, port_65535_leaves_no_rtcp_port) {
  EXPECT_EQ(addresses("c=IN IP4 192.0.2.9\nm=audio 65535 RTP/AVP 0\n"),
            "192.0.2.9:65535 192.0.2.9:0");
}

TEST(SdpMedia, bad_addresses_are_named_by_their_m_line) {
  EXPECT_EQ(addresses("m=audio 4000 RTP/AVP 0\n"),
            "SDP line 5 (m=): no c= line says where media goes");
  EXPECT_EQ(addresses("c=IN IP4 host.example\nm=audio 4000 RTP/AVP 0\n"),
            "SDP line 6 (m=): address in c= is a name, not an IP address");
  EXPECT_EQ(addresses("c=IN IP4 224.2.1.1/127\nm=audio 4000 RTP/AVP 0\n"),
            "SDP line 6 (m=): multicast is not relayed");
  EXPECT_EQ(addresses("c=IN IP4 192.0.2.1\nm=audio 4000 RTP/AVP 0\na=rtcp:x\n"),
            "SDP line 6 (m=): port in a=rtcp is not a number from 0 to 65535");
  EXPECT_EQ(addresses("c=IN IP4 192.0.2.1\nm=audio 4000 RTP/AVP 0\na=rtcp:1 IN IP4\n"),
            "SDP line 6 (m=): a=rtcp needs a port, or a port and an address");
  EXPECT_EQ(addresses("c=IN IP4 192.0.2.1\nm=audio 4000 RTP/AVP 0\na=rtcp:1 IN IP4 ff02::1\n"),
            "SDP line 6 (m=): multicast is not relayed");
}

TEST(SdpMedia, direction_comes_from_media_then_session_then_default) {
  const Session session =
      parsed("a=inactive\nm=audio 1 RTP/AVP 0\nm=audio 1 RTP/AVP 0\na=sendonly\n");
  EXPECT_EQ(direction_of(session, session.media[0]), Direction::kInactive);
  EXPECT_EQ(direction_of(session, session.media[1]), Direction::kSendOnly);
  const Session plain = parsed("m=audio 1 RTP/AVP 0\n");
  EXPECT_EQ(direction_of(plain, plain.media[0]), Direction::kSendRecv);
}

TEST(SdpMedia, profiles_by_name) {
  for (const Profile profile : {Profile::kAvp, Profile::kAvpf, Profile::kSavp, Profile::kSavpf,
                                Profile::kTlsSavp, Profile::kTlsSavpf}) {
    EXPECT_EQ(profile_of(name_of(profile)), profile);
    EXPECT_EQ(is_tls(profile), is_dtls_srtp(name_of(profile)));
  }
  EXPECT_EQ(name_of(Profile::kTlsSavpf), "UDP/TLS/RTP/SAVPF");
  EXPECT_EQ(without_tls(Profile::kTlsSavpf), Profile::kSavpf);
  EXPECT_EQ(without_tls(Profile::kTlsSavp), Profile::kSavp);
  EXPECT_EQ(without_tls(Profile::kAvpf), Profile::kAvpf);
  EXPECT_FALSE(profile_of("udptl"));
  EXPECT_FALSE(profile_of("TCP/TLS/RTP/SAVP"));
  EXPECT_TRUE(is_dtls_srtp("UDP/TLS/RTP/SAVPF"));
  EXPECT_FALSE(is_dtls_srtp("RTP/SAVPF"));
}

TEST(SdpMedia, clock_rate_is_that_of_the_first_codec) {
  const auto rate = [](const std::string& media) {
    return clock_rate_hz_of(parsed(media).media.at(0));
  };
  EXPECT_EQ(rate("m=audio 1 RTP/AVP 96 0\na=rtpmap:96 opus/48000/2\n"), 48000U);
  EXPECT_EQ(rate("m=audio 1 RTP/AVP 101 13 10\na=rtpmap:101 telephone-event/16000\n"), 44100U);
  EXPECT_EQ(rate("m=audio 1 RTP/AVP 97\n"), 8000U);
  EXPECT_EQ(rate("m=video 1 RTP/AVP 97\n"), 90000U);
  EXPECT_EQ(rate("m=video 1 RTP/AVP 97\na=rtpmap:97 H264/0\n"), 90000U);
  EXPECT_EQ(rate("m=audio 1 RTP/AVP 97\na=rtpmap:97 x\na=rtpmap:9 G722/8000\n"), 8000U);
}

TEST(SdpMedia, static_payload_types_get_their_map_once) {
  Session session = parsed("m=audio 1 RTP/AVP 8 0 18 96\na=rtpmap:0 PCMU/8000\n");
  Media& media = session.media[0];
  add_static_rtpmaps(media);
  add_static_rtpmaps(media);
  std::string maps;
  for (const Attribute& attribute : media.attributes) maps += attribute.value + ";";
  EXPECT_EQ(maps, "0 PCMU/8000;8 PCMA/8000;18 G729/8000;");
}

}  // namespace
}  // namespace turnpike::sdp
