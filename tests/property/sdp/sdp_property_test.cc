// Random descriptions, legal and not: parsing never fails otherwise than by an error, and what was
// written once reads and writes the same again.
#include <array>
#include <random>
#include <string>

#include <gtest/gtest.h>

#include "control/sdp/crypto.h"
#include "control/sdp/media.h"
#include "control/sdp/sdp.h"
#include "control/sdp/transport.h"

namespace turnpike::sdp {
namespace {

constexpr std::array<std::string_view, 54> kLines = {
    "v=0",
    "o=- 1 2 IN IP4 192.0.2.1",
    "o=a b c 1 2 IN IP6 2001:db8::1",
    "s=-",
    "s=",
    "i=about",
    "u=http://example.com",
    "e=a@example.com",
    "p=+1",
    "c=IN IP4 192.0.2.1",
    "c=IN IP6 2001:db8::1",
    "c=IN IP4 0.0.0.0",
    "c=IN IP4 224.1.1.1/127",
    "c=IN IP4 host.example",
    "b=AS:64",
    "t=0 0",
    "r=7d 1h 0",
    "z=1 2",
    "k=prompt",
    "y=?",
    "m=audio 4000 RTP/AVP 0 8 101",
    "m=video 4002/2 RTP/SAVPF 96 97",
    "m=audio 0 RTP/SAVP 0",
    "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
    "m=image 65535 udptl t38",
    "a=rtpmap:96 VP8/90000",
    "a=rtpmap:101 telephone-event/8000",
    "a=fmtp:101 0-16",
    "a=rtcp-fb:* nack",
    "a=rtcp-fb:96 ccm fir",
    "a=rtcp:4001 IN IP4 192.0.2.3",
    "a=rtcp:x",
    "a=rtcp-mux",
    "a=sendonly",
    "a=inactive",
    "a=mid:0",
    "a=group:BUNDLE 0 1",
    "a=ice-lite",
    "a=ice-ufrag:abcd",
    "a=ice-pwd:0123456789012345678901",
    "a=ice-pwd:short",
    "a=candidate:1 2 UDP 4294967296 192.0.2.1 1 typ host",
    "a=fingerprint:sha-256 00",
    "a=fingerprint:sha-1 00",
    "a=fingerprint:sha-256 "
    "00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:"
    "0F",
    "a=setup:actpass",
    "a=setup:x",
    "a=tls-id:abc",
    "a=candidate:1 1 UDP 1 192.0.2.1 1 typ host",
    "a=ptime:20",
    "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20|1:4",
    "a=crypto:2 AEAD_AES_256_GCM inline:AAAA UNENCRYPTED_SRTP",
    "a=",
    "a=x:\ty ",
};

class Generator {
 public:
  explicit Generator(std::uint32_t seed) : random_(seed) {}

  std::size_t below(std::size_t n) { return random_() % n; }

  std::string description() {
    std::string text;
    if (below(8) != 0) text += "v=0\r\no=- 1 2 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\n";
    const std::size_t count = below(30);
    for (std::size_t i = 0; i < count; ++i) {
      text += kLines[below(kLines.size())];
      text += below(4) == 0 ? "\n" : "\r\n";
    }
    if (below(3) == 0) damage(text);
    return text;
  }

 private:
  void damage(std::string& text) {
    for (std::size_t i = below(5) + 1; i > 0 && !text.empty(); --i) {
      const std::size_t at = below(text.size());
      switch (below(4)) {
        case 0:
          text[at] = static_cast<char>(below(256));
          break;
        case 1:
          text.erase(at, below(20));
          break;
        case 2:
          text.insert(at, text.substr(below(text.size()), below(40)));
          break;
        default:
          text.resize(at);
      }
    }
  }

  std::mt19937 random_;
};

TEST(SdpProperty, written_descriptions_read_and_write_the_same) {
  Generator generator(20261121);
  int parsed_count = 0;
  int ice_count = 0;
  int dtls_count = 0;
  for (int i = 0; i < 20000; ++i) {
    const std::string text = generator.description();
    const auto parsed = parse(text);
    if (!parsed) {
      EXPECT_TRUE(parsed.error().message.starts_with("SDP")) << parsed.error().message;
      continue;
    }
    ++parsed_count;
    const std::string once = write(*parsed);
    const auto again = parse(once, {.bytes_max = once.size(), .media_max = 16});
    ASSERT_TRUE(again) << again.error().message << "\n" << once;
    ASSERT_EQ(write(*again), once);
    for (const Media& media : parsed->media) {
      const auto addresses = addresses_of(*parsed, media);
      EXPECT_FALSE(addresses && addresses->rtp.ip.is_multicast());
      const auto ice = ice_of(*parsed, media);
      EXPECT_TRUE(ice || ice.error().message.starts_with("SDP line")) << ice.error().message;
      if (ice && ice->is_set()) ++ice_count;
      const auto dtls = dtls_of(*parsed, media);
      EXPECT_TRUE(!dtls || dtls->fingerprint.is_set());
      if (dtls) ++dtls_count;
    }
  }
  EXPECT_GT(parsed_count, 4000);
  EXPECT_GT(ice_count, 100);
  EXPECT_GT(dtls_count, 100);
}

TEST(SdpProperty, crypto_lines_are_usable_or_empty) {
  Generator generator(4568);
  constexpr std::string_view kWords[] = {"1",
                                         "999999999",
                                         "x",
                                         "AES_CM_128_HMAC_SHA1_80",
                                         "AEAD_AES_256_GCM",
                                         "inline:",
                                         "inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz",
                                         "|2^31",
                                         "|1:4",
                                         "|99999999999:16",
                                         "|0:0",
                                         ";",
                                         "KDR=1",
                                         "WSH=64",
                                         " ",
                                         " ",
                                         " ",
                                         "=",
                                         "|"};
  int usable = 0;
  for (int i = 0; i < 50000; ++i) {
    std::string text = i % 2 == 0 ? "1 AES_CM_128_HMAC_SHA1_80 "
                                    "inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"
                                  : "";
    for (std::size_t n = generator.below(6); n > 0; --n) {
      text += kWords[generator.below(std::size(kWords))];
    }
    const CryptoLine line = parse_crypto(text);
    EXPECT_EQ(line.usable(), line.keying.is_set());
    if (!line.usable()) continue;
    ++usable;
    const CryptoLine again = parse_crypto(write_crypto(line.tag, line.keying.value));
    EXPECT_EQ(again.keying.value, line.keying.value) << text;
  }
  EXPECT_GT(usable, 1000);
}

}  // namespace
}  // namespace turnpike::sdp
