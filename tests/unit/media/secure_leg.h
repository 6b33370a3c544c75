// A session with SRTP on leg A, the client that holds its keys, and somebody who copies every
// packet.
#pragma once

#include <set>

#include <gtest/gtest.h>

#include "tests/support/media_fixture.h"

namespace turnpike::test {

inline constexpr Milliseconds kFrame{20};
inline constexpr SrtpSuite kCm = SrtpSuite::kAesCm128HmacSha1_80;
inline constexpr SrtpSuite kGcm = SrtpSuite::kAeadAes256Gcm;

inline SocketAddress elsewhere(std::uint8_t host, std::uint16_t port = 5000) {
  return {IpAddress::v4(203, 0, 113, host), port};
}

// Leg A is SRTP, leg B as the test wants; `client` holds A's keys.
struct Secure : ::testing::Test {
  explicit Secure(SrtpSuite suite = kCm)
      : a(MediaFixture::secure(Side::kA, suite, 1)), client(a.receive, a.send) {
    media.update(Side::kA, a);
    media.update(Side::kB, MediaFixture::plain(Side::kB));
  }
  // The client's next packet arrives from `source`.
  std::vector<Sent> client_sends(const SocketAddress& source) {
    return media.arrive(Side::kA, client.protect(rtp_packet(++sequence)), source);
  }
  std::vector<Sent> client_sends() { return client_sends(MediaFixture::remote(Side::kA)); }
  void talk(const SocketAddress& source, int packets) {
    for (int i = 0; i < packets; ++i) {
      client_sends(source);
      media.advance(kFrame);
    }
  }
  // Another port of the signalled host: a NAT that keeps its address.
  static SocketAddress rebound(std::uint16_t port) {
    return {MediaFixture::remote(Side::kA).ip, port};
  }
  SocketAddress destination() const {
    auto& self = const_cast<Secure&>(*this);
    return self.media.state().legs[0].component[0].destination;
  }

  MediaFixture media;
  LegConfig a;
  SrtpPeer client;
  std::uint16_t sequence = 100;
};

struct Security : Secure {
  // The client is behind NAT: its packets come from `client_at`.
  void sign_private_address() {
    a.remote = {SocketAddress{IpAddress::v4(192, 168, 1, 5), 4000},
                SocketAddress{IpAddress::v4(192, 168, 1, 5), 4001}};
  }
  void start() { media.update(Side::kA, a); }
  // A racer delivers a copy of each packet from `racer`; `lead` of them are under way before the
  // first original arrives.
  void race(std::size_t lead, int packets) {
    for (int i = 0; i < packets; ++i) {
      delayed.push_back(client.protect(rtp_packet(++sequence)));
      media.arrive(Side::kA, delayed.back(), racer);
      note();
      if (delayed.size() > lead) {
        media.arrive(Side::kA, delayed[delayed.size() - 1 - lead], client_at);
        note();
      }
      media.advance(kFrame);
    }
  }
  void note() {
    held_by_racer += destination() == racer ? 1 : 0;
    seen.insert(destination());
  }

  SocketAddress client_at = elsewhere(50, 31000);
  SocketAddress racer = elsewhere(66, 6666);
  std::vector<std::vector<std::uint8_t>> delayed;
  std::set<SocketAddress> seen;  // destinations during the race
  unsigned held_by_racer = 0;    // deliveries after which the racer was the destination
};

}  // namespace turnpike::test
