// BUNDLE groups as descriptions have them (RFC 9143).
#include "control/sdp/bundle.h"

#include <gtest/gtest.h>

namespace turnpike::sdp {
namespace {

Session session_of(const std::string& session_lines, const std::string& media) {
  const auto parsed = parse("v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\nt=0 0\n" +
                            session_lines + media);
  EXPECT_TRUE(parsed);
  return parsed ? *parsed : Session{};
}

using Group = std::vector<std::size_t>;
const std::string kThree =
    "m=audio 4000 RTP/AVP 0\na=mid:a\nm=video 4002 RTP/AVP 96\na=mid:v\n"
    "m=video 4004 RTP/AVP 97\na=mid:s\n";

TEST(BundleGroup, has_the_order_of_the_group) {
  EXPECT_EQ(bundle_of(session_of("a=group:BUNDLE v a\n", kThree)), (Group{1, 0}));
  EXPECT_EQ(bundle_of(session_of("a=group:LS a v\na=group:BUNDLE s\na=group:BUNDLE a\n", kThree)),
            (Group{2}));
  EXPECT_TRUE(bundle_of(session_of("", kThree)).empty());
  EXPECT_TRUE(bundle_of(session_of("a=group:BUNDLE\n", kThree)).empty());
}

TEST(BundleGroup, passes_over_what_names_no_section_or_two) {
  EXPECT_EQ(bundle_of(session_of("a=group:BUNDLE x v v BUNDLE\n", kThree)), (Group{1}));
  const std::string twins = "m=audio 4000 RTP/AVP 0\na=mid:a\nm=video 4002 RTP/AVP 96\na=mid:a\n";
  EXPECT_TRUE(bundle_of(session_of("a=group:BUNDLE a\n", twins)).empty());
  const std::string mid(33, 'm');
  const std::string longer = "m=audio 4000 RTP/AVP 0\na=mid:" + mid + "\n";
  EXPECT_TRUE(bundle_of(session_of("a=group:BUNDLE " + mid + "\n", longer)).empty());
}

TEST(BundleGroup, unfolds_to_sections_that_say_nothing_of_their_own) {
  Session session =
      session_of("a=group:BUNDLE a v\n",
                 "m=audio 4000 RTP/SAVP 0\nc=IN IP4 192.0.2.9\na=mid:a\na=rtcp-mux\na=ice-ufrag:u\n"
                 "a=ice-pwd:p\na=candidate:1\na=fingerprint:f\na=setup:actpass\na=crypto:1 k\n"
                 "m=video 0 RTP/SAVP 96\na=mid:v\na=bundle-only\n"
                 "m=video 0 RTP/SAVP 97\na=mid:s\na=bundle-only\n");
  EXPECT_TRUE(is_bundle_only(session.media[1]));
  unfold_bundle(session, bundle_of(session));
  const Media& video = session.media[1];
  EXPECT_EQ(video.port, 4000);
  EXPECT_EQ(video.connection->address, "192.0.2.9");
  for (const char* name :
       {"rtcp-mux", "ice-ufrag", "ice-pwd", "candidate", "fingerprint", "setup", "crypto"}) {
    EXPECT_TRUE(has(video.attributes, name)) << name;
  }
  EXPECT_EQ(session.media[2].port, 0) << "in no group";
}

TEST(BundleGroup, what_a_section_says_itself_stays) {
  Session session =
      session_of("a=group:BUNDLE a v s\n",
                 "m=audio 0 RTP/AVP 0\na=mid:a\nm=video 4002 RTP/AVP 96\na=mid:v\na=ice-ufrag:one\n"
                 "a=ice-pwd:p\na=candidate:1\nm=video 4004 RTP/AVP 97\na=mid:s\na=ice-ufrag:two\n");
  unfold_bundle(session, bundle_of(session));
  EXPECT_EQ(session.media[0].port, 0) << "refused, not bundle-only";
  EXPECT_EQ(find(session.media[2].attributes, "ice-ufrag")->value, "two");
  EXPECT_FALSE(has(session.media[2].attributes, "candidate"));
  EXPECT_EQ(session.media[2].port, 4004);
}

TEST(BundleGroup, without_a_section_that_is_used_nothing_unfolds) {
  Session session =
      session_of("a=group:BUNDLE a\n", "m=audio 0 RTP/AVP 0\na=mid:a\na=bundle-only\n");
  unfold_bundle(session, bundle_of(session));
  EXPECT_EQ(session.media[0].port, 0);
}

TEST(BundleGroup, clashing_numbers_are_of_two_rtp_sessions) {
  const auto fit = [](const std::string& a, const std::string& b) {
    const Session session =
        session_of("", "m=audio 4000 RTP/AVP " + a + "m=video 4002 RTP/AVP " + b);
    return may_share_session(session.media[0], session.media[1]);
  };
  EXPECT_TRUE(fit("0\n", "96\na=rtpmap:96 VP8/90000\n"));
  EXPECT_TRUE(fit("96\na=rtpmap:96 VP8/90000\n", "96\na=rtpmap:96 VP8/90000\n"));
  EXPECT_TRUE(fit("0\n", "0\n"));
  EXPECT_FALSE(fit("96\na=rtpmap:96 opus/48000/2\n", "96\na=rtpmap:96 VP8/90000\n"));
  EXPECT_FALSE(fit("96\na=rtpmap:96 opus/48000/2\n", "96\n"));
  EXPECT_TRUE(fit("0\na=extmap:1 urn:x\n", "96\na=extmap:1/sendonly urn:x\n"));
  EXPECT_FALSE(fit("0\na=extmap:1 urn:x\n", "96\na=extmap:1 urn:y\n"));
}

TEST(BundleGroup, numbers_of_a_section) {
  const Session session =
      session_of("",
                 "m=audio 4000 RTP/AVP 0 127 128 x 64\na=extmap:3 urn:x\n"
                 "a=extmap:4/sendrecv urn:ietf:params:rtp-hdrext:sdes:mid\n"
                 "m=audio 4000 RTP/AVP 0\na=extmap:256 urn:ietf:params:rtp-hdrext:sdes:mid\n");
  EXPECT_EQ(mid_extension_of(session.media[0]), 4);
  EXPECT_EQ(mid_extension_of(session.media[1]), 0);
  const auto types = payload_types_of(session.media[0]);
  EXPECT_EQ(types[0], 1U);
  EXPECT_EQ(types[1], (std::uint64_t{1} << 63) | 1U);
}

}  // namespace
}  // namespace turnpike::sdp
