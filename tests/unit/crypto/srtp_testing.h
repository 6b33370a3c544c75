// Packets, keys and the two ends of an SRTP stream for tests of the transform.
#pragma once

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "relay/core/bytes.h"
#include "relay/crypto/srtp.h"

namespace turnpike::srtp_testing {

/// Each of these tests is built once for every library.
constexpr SrtpLibrary kLibrary = SrtpLibrary::TURNPIKE_TEST_SRTP_LIBRARY;

using Bytes = std::vector<std::uint8_t>;

constexpr std::array<SrtpSuite, 6> kSuites = {
    SrtpSuite::kAesCm128HmacSha1_80, SrtpSuite::kAesCm128HmacSha1_32,
    SrtpSuite::kAesCm256HmacSha1_80, SrtpSuite::kAesCm256HmacSha1_32,
    SrtpSuite::kAeadAes128Gcm,       SrtpSuite::kAeadAes256Gcm,
};

inline Bytes from_hex(std::string_view text) {
  Bytes bytes;
  int high = -1;
  for (const char c : text) {
    if (std::isspace(static_cast<unsigned char>(c)) != 0) {
      continue;
    }
    const int digit =
        std::isdigit(static_cast<unsigned char>(c)) != 0 ? c - '0' : (c | 0x20) - 'a' + 10;
    if (high < 0) {
      high = digit;
    } else {
      bytes.push_back(static_cast<std::uint8_t>(high * 16 + digit));
      high = -1;
    }
  }
  return bytes;
}

template <std::size_t N>
void set(std::array<std::uint8_t, N>& target, std::string_view hex) {
  const Bytes bytes = from_hex(hex);
  ASSERT_LE(bytes.size(), N);
  target.fill(0);
  std::copy(bytes.begin(), bytes.end(), target.begin());
}

template <class T>
bool same_bytes(const T& a, const T& b) {
  return std::memcmp(&a, &b, sizeof a) == 0;
}

using Random = std::mt19937_64;

inline std::uint64_t below(Random& random, std::uint64_t bound) {
  return random() % bound;
}

inline Bytes random_bytes(Random& random, std::size_t count) {
  Bytes bytes(count);
  std::generate(bytes.begin(), bytes.end(), [&] { return static_cast<std::uint8_t>(random()); });
  return bytes;
}

inline SrtpKeying random_keying(SrtpSuite suite, Random& random, std::size_t mki_bytes = 0) {
  SrtpKeying keying;
  keying.suite = suite;
  const SrtpSuiteInfo& info = info_of(suite);
  std::generate_n(keying.master_key.begin(), info.key_bytes,
                  [&] { return static_cast<std::uint8_t>(random()); });
  std::generate_n(keying.master_salt.begin(), info.salt_bytes,
                  [&] { return static_cast<std::uint8_t>(random()); });
  keying.mki_bytes = static_cast<std::uint8_t>(mki_bytes);
  std::generate_n(keying.mki.begin(), mki_bytes,
                  [&] { return static_cast<std::uint8_t>(random()); });
  return keying;
}

/// A plain RTP packet without CSRCs or extension.
inline Bytes rtp_packet(std::uint16_t sequence, std::size_t payload_bytes = 160,
                        std::uint32_t ssrc = 0xcafebabe) {
  Bytes packet(12 + payload_bytes);
  packet[0] = 0x80;
  packet[1] = 0x08;
  write_be16(&packet[2], sequence);
  write_be32(&packet[4], sequence * 160U);
  write_be32(&packet[8], ssrc);
  for (std::size_t i = 12; i < packet.size(); ++i) {
    packet[i] = static_cast<std::uint8_t>(i * 7 + sequence);
  }
  return packet;
}

/// A sender report of 28 bytes.
inline Bytes rtcp_packet(std::uint32_t ssrc = 0xcafebabe) {
  Bytes packet(28, 0x5a);
  packet[0] = 0x80;
  packet[1] = 200;
  write_be16(&packet[2], 6);
  write_be32(&packet[4], ssrc);
  return packet;
}

/// RTP with random CSRCs and header extension; at least 12 bytes in all.
inline Bytes random_rtp_packet(Random& random, std::uint16_t sequence, std::size_t bytes,
                               std::uint32_t ssrc = 0xcafebabe) {
  Bytes packet = random_bytes(random, bytes);
  std::size_t room = (bytes - 12) / 4;
  const std::size_t csrcs = below(random, std::min<std::size_t>(room, 15) + 1);
  room -= csrcs;
  packet[0] = static_cast<std::uint8_t>(0x80 | csrcs);
  write_be16(&packet[2], sequence);
  write_be32(&packet[8], ssrc);
  if (room > 0 && below(random, 2) == 0) {
    packet[0] |= 0x10;
    const std::size_t words = below(random, std::min<std::size_t>(room, 40));
    write_be16(&packet[12 + 4 * csrcs + 2], static_cast<std::uint16_t>(words));
  }
  return packet;
}

/// One end that protects, with a transform of its own.
struct Sender {
  explicit Sender(const SrtpKeying& keying) { EXPECT_TRUE(derive_srtp_context(keying, context)); }

  SrtpJob job_of(Bytes& packet, bool rtcp) {
    SrtpJob job;
    job.length = static_cast<std::uint32_t>(packet.size());
    packet.resize(packet.size() + kSrtpTrailerBytesMax);
    job.data = packet.data();
    job.capacity = static_cast<std::uint32_t>(packet.size());
    job.rtcp = rtcp;
    job.context = &context;
    job.send = &stream;
    return job;
  }

  /// In place; the packet keeps its bytes and length where it is refused.
  SrtpStatus protect(Bytes& packet, bool rtcp = false) {
    SrtpJob job = job_of(packet, rtcp);
    transform.protect({&job, 1});
    index = job.index;
    packet.resize(job.length);
    return job.status;
  }

  SrtpContext context;
  SrtpSendStream stream;
  SrtpTransform transform{1, kLibrary};
  std::uint64_t index = 0;  // of the last packet
};

/// One end that unprotects.
struct Receiver {
  explicit Receiver(const SrtpKeying& keying) { EXPECT_TRUE(derive_srtp_context(keying, context)); }

  SrtpJob job_of(Bytes& packet, bool rtcp) {
    SrtpJob job;
    job.data = packet.data();
    job.length = static_cast<std::uint32_t>(packet.size());
    job.capacity = job.length;
    job.rtcp = rtcp;
    job.context = &context;
    job.receive = &stream;
    return job;
  }

  /// In place; where it is refused the length stays.
  SrtpStatus unprotect(Bytes& packet, bool rtcp = false) {
    SrtpJob job = job_of(packet, rtcp);
    transform.unprotect({&job, 1});
    index = job.index;
    packet.resize(job.length);
    return job.status;
  }

  bool verify_tag(Bytes packet, bool rtcp = false) {
    const Bytes before = packet;
    const bool right = transform.verify_tag(job_of(packet, rtcp));
    EXPECT_EQ(packet, before);
    return right;
  }

  SrtpContext context;
  SrtpReceiveStream stream;
  SrtpTransform transform{1, kLibrary};
  std::uint64_t index = 0;
};

}  // namespace turnpike::srtp_testing
