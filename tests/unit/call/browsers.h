// Offers as browsers make them (RFC 8829): audio and video, BUNDLE, one ICE agent for both m-lines.
#pragma once

#include <string>

#include "tests/unit/call/transport_fixture.h"

namespace turnpike::call {

/// Chromium's: gathered candidates, fingerprint and credentials in each m-line, mDNS and TCP
/// candidates among the others, simulcast in the video.
inline std::string chromium_offer() {
  const std::string transport =
      "a=candidate:1467250027 1 udp 2122260223 192.0.2.77 46243 typ host generation 0 "
      "network-id 1 network-cost 10\r\n"
      "a=candidate:842163049 1 udp 1677729535 198.51.100.77 46243 typ srflx raddr 192.0.2.77 "
      "rport 46243 generation 0 network-id 1 network-cost 10\r\n"
      "a=candidate:2 1 udp 2122129151 5cc1a1b2-0000-4a4a-9999-0123456789ab.local 46244 typ host "
      "generation 0\r\n"
      "a=candidate:435653019 1 tcp 1518280447 192.0.2.77 9 typ host tcptype active generation 0\r\n"
      "a=ice-ufrag:9fA+\r\n"
      "a=ice-pwd:ChromiumSecret/0123456+\r\n"
      "a=ice-options:trickle\r\n" +
      fingerprint_line(0xc1);
  return "v=0\r\n"
         "o=- 4611731400430051336 2 IN IP4 127.0.0.1\r\n"
         "s=-\r\n"
         "t=0 0\r\n"
         "a=group:BUNDLE 0 1\r\n"
         "a=extmap-allow-mixed\r\n"
         "a=msid-semantic: WMS 5tVFa2\r\n"
         "m=audio 46243 UDP/TLS/RTP/SAVPF 111 63 0 8\r\n"
         "c=IN IP4 198.51.100.77\r\n"
         "a=rtcp:9 IN IP4 0.0.0.0\r\n" +
         transport +
         "a=setup:actpass\r\n"
         "a=mid:0\r\n"
         "a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n"
         "a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\n"
         "a=sendrecv\r\n"
         "a=msid:5tVFa2 0e6e7f2c\r\n"
         "a=rtcp-mux\r\n"
         "a=rtcp-rsize\r\n"
         "a=rtpmap:111 opus/48000/2\r\n"
         "a=rtcp-fb:111 transport-cc\r\n"
         "a=fmtp:111 minptime=10;useinbandfec=1\r\n"
         "a=rtpmap:63 red/48000/2\r\n"
         "a=fmtp:63 111/111\r\n"
         "a=ssrc:3735928559 cname:Zk8pQ\r\n"
         "a=ssrc:3735928559 msid:5tVFa2 0e6e7f2c\r\n"
         "m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\n"
         "c=IN IP4 0.0.0.0\r\n"
         "a=rtcp:9 IN IP4 0.0.0.0\r\n" +
         transport +
         "a=setup:actpass\r\n"
         "a=mid:1\r\n"
         "a=extmap:14 urn:ietf:params:rtp-hdrext:toffset\r\n"
         "a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\n"
         "a=sendrecv\r\n"
         "a=msid:5tVFa2 77aa\r\n"
         "a=rtcp-mux\r\n"
         "a=rtcp-rsize\r\n"
         "a=rtpmap:96 VP8/90000\r\n"
         "a=rtcp-fb:96 goog-remb\r\n"
         "a=rtcp-fb:96 nack pli\r\n"
         "a=rtpmap:97 rtx/90000\r\n"
         "a=fmtp:97 apt=96\r\n"
         "a=rid:h send\r\n"
         "a=rid:l send\r\n"
         "a=simulcast:send h;l\r\n";
}

/// Firefox's: trickled (no candidate yet), fingerprint at session level, video bundle-only.
inline std::string firefox_offer() {
  const std::string ice = "a=ice-pwd:FirefoxSecretFirefoxSecret012345\r\na=ice-ufrag:7b1c2d3e\r\n";
  return "v=0\r\n"
         "o=mozilla...THIS_IS_SDPARTA-99.0 7243913407519893301 0 IN IP4 0.0.0.0\r\n"
         "s=-\r\n"
         "t=0 0\r\n" +
         fingerprint_line(0xf1) +
         "a=group:BUNDLE 0 1\r\n"
         "a=ice-options:trickle\r\n"
         "a=identity:FirefoxSecretAssertion\r\n"
         "a=msid-semantic:WMS *\r\n"
         "m=audio 9 UDP/TLS/RTP/SAVPF 109 0 8 101\r\n"
         "c=IN IP4 0.0.0.0\r\n"
         "a=sendrecv\r\n"
         "a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n"
         "a=extmap:3 urn:ietf:params:rtp-hdrext:sdes:mid\r\n"
         "a=fmtp:109 maxplaybackrate=48000;stereo=1;useinbandfec=1\r\n"
         "a=fmtp:101 0-15\r\n" +
         ice +
         "a=mid:0\r\n"
         "a=msid:{6b1d} {9c2e}\r\n"
         "a=rtcp-mux\r\n"
         "a=rtpmap:109 opus/48000/2\r\n"
         "a=rtpmap:101 telephone-event/8000/1\r\n"
         "a=setup:actpass\r\n"
         "a=ssrc:2893340 cname:{a1b2}\r\n"
         "m=video 0 UDP/TLS/RTP/SAVPF 120\r\n"
         "c=IN IP4 0.0.0.0\r\n"
         "a=bundle-only\r\n"
         "a=sendrecv\r\n" +
         ice +
         "a=mid:1\r\n"
         "a=rtcp-mux\r\n"
         "a=rtpmap:120 VP8/90000\r\n"
         "a=setup:actpass\r\n";
}

/// What a browser makes of such an offer when it answers: active, no ports but those of its offer.
inline std::string browser_answer(std::string offer) {
  for (std::size_t at; (at = offer.find("actpass")) != std::string::npos;) {
    offer.replace(at, 7, "active");
  }
  return offer;
}

}  // namespace turnpike::call
