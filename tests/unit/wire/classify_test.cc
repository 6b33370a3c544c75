// Every first byte, and RTP/RTCP bounds, against the RFCs' own tables.
#include "relay/wire/classify.h"

#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "relay/wire/rtp.h"

namespace turnpike {
namespace {

TEST(Classify, every_first_byte_as_in_rfc_7983) {
  for (unsigned first = 0; first < 256; ++first) {
    const std::uint8_t data[2] = {static_cast<std::uint8_t>(first), 0};
    PacketKind expected = PacketKind::kUnknown;
    if (first <= 3) expected = PacketKind::kStun;
    if (first >= 20 && first <= 63) expected = PacketKind::kDtls;
    if (first >= 128 && first <= 191) expected = PacketKind::kRtp;
    EXPECT_EQ(classify(data, 2), expected) << first;
  }
}

TEST(Classify, rtcp_by_packet_type) {
  for (unsigned second = 0; second < 256; ++second) {
    const std::uint8_t data[2] = {0x80, static_cast<std::uint8_t>(second)};
    const bool rtcp = second >= 192 && second <= 223;
    EXPECT_EQ(classify(data, 2), rtcp ? PacketKind::kRtcp : PacketKind::kRtp) << second;
  }
}

TEST(Classify, nothing_is_read_beyond_the_end) {
  const std::uint8_t data[1] = {0x80};
  EXPECT_EQ(classify(data, 1), PacketKind::kUnknown);
  EXPECT_EQ(classify(data, 0), PacketKind::kUnknown);
}

TEST(Rtp, header_with_csrcs_and_extension) {
  std::vector<std::uint8_t> packet(12 + 8 + 4 + 8 + 5);
  packet[0] = 0x80 | 0x10 | 2;
  packet[1] = 0x80 | 96;
  write_be16(&packet[2], 65535);
  write_be32(&packet[4], 0x01020304);
  write_be32(&packet[8], 0xa1a2a3a4);
  write_be16(&packet[22], 2);
  RtpHeader header;
  ASSERT_TRUE(parse_rtp(packet.data(), packet.size(), header));
  EXPECT_EQ(header.payload_type, 96);
  EXPECT_EQ(header.sequence, 65535);
  EXPECT_EQ(header.timestamp, 0x01020304U);
  EXPECT_EQ(header.ssrc, 0xa1a2a3a4U);
  EXPECT_EQ(header.header_bytes, 32U);
  for (std::size_t length = 0; length < 32; ++length) {
    EXPECT_FALSE(parse_rtp(packet.data(), length, header)) << length;
  }
  packet[0] = 0x40;
  EXPECT_FALSE(parse_rtp(packet.data(), packet.size(), header));
}

TEST(Rtcp, random_compounds_stay_within_bounds) {
  std::mt19937 random(7);
  for (int i = 0; i < 100'000; ++i) {
    std::vector<std::uint8_t> packet(random() % 64);
    for (auto& byte : packet) byte = static_cast<std::uint8_t>(random());
    if (packet.size() > 3) {
      packet[0] = 0x80;
      packet[1] = 200;
      packet[2] = 0;
      packet[3] = static_cast<std::uint8_t>(packet[3] % 16);
    }
    if (rtcp_compound_is_valid(packet.data(), packet.size())) {
      EXPECT_EQ(packet.size() % 4, 0U);
      EXPECT_GE(packet.size(), kRtcpHeaderBytes);
    }
  }
}

}  // namespace
}  // namespace turnpike
