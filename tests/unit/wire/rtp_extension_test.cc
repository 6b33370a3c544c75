// Header extensions (RFC 8285) and whom RTCP speaks of.
#include "relay/wire/rtp_extension.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "relay/wire/rtcp.h"

namespace turnpike {
namespace {

using Bytes = std::vector<std::uint8_t>;

std::string element(const Bytes& extension, std::uint8_t id, std::uint8_t csrcs = 0) {
  Bytes packet(12 + csrcs * 4U);
  packet[0] = static_cast<std::uint8_t>(0x90 | csrcs);
  packet.insert(packet.end(), extension.begin(), extension.end());
  RtpHeader header;
  if (!parse_rtp(packet.data(), packet.size(), header)) return "refused";
  const auto data = find_rtp_extension(packet.data(), header, id);
  return {data.begin(), data.end()};
}

TEST(RtpExtension, finds_elements_of_one_byte_headers) {
  const Bytes extension = {0xbe, 0xde, 0, 2, 0x10, 'x', 0, 0x41, 'a', 'b', 0, 0};
  EXPECT_EQ(element(extension, 1), "x");
  EXPECT_EQ(element(extension, 4), "ab");
  EXPECT_EQ(element(extension, 4, 15), "ab");
  EXPECT_EQ(element(extension, 2), "");
  EXPECT_EQ(element(extension, 0), "");
}

TEST(RtpExtension, finds_elements_of_two_byte_headers) {
  const Bytes extension = {0x10, 0x05, 0, 2, 1, 0, 200, 3, 'm', 'i', 'd', 0};
  EXPECT_EQ(element(extension, 200), "mid");
  EXPECT_EQ(element(extension, 1), "");
}

TEST(RtpExtension, the_last_id_of_one_byte_headers_ends_it) {
  EXPECT_EQ(element({0xbe, 0xde, 0, 1, 0xf0, 0x40, 'a', 0}, 4), "");
}

TEST(RtpExtension, an_element_that_does_not_fit_is_none) {
  EXPECT_EQ(element({0xbe, 0xde, 0, 1, 0x44, 'a', 'b', 'c'}, 4), "");
  EXPECT_EQ(element({0x10, 0x00, 0, 1, 4, 3, 'a', 'b'}, 4), "");
  EXPECT_EQ(element({0x10, 0x00, 0, 1, 1, 1, 'a', 4}, 4), "");
  EXPECT_EQ(element({0xbe, 0xde, 0, 0}, 4), "");
  EXPECT_EQ(element({0xbe, 0xde, 0, 9, 0x40, 'a', 0, 0}, 4), "refused");
}

TEST(RtpExtension, other_forms_have_no_elements) {
  EXPECT_EQ(element({0x12, 0x34, 0, 1, 0x40, 'a', 0, 0}, 4), "");
  const Bytes packet = {0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1};
  RtpHeader header;
  ASSERT_TRUE(parse_rtp(packet.data(), packet.size(), header));
  EXPECT_TRUE(find_rtp_extension(packet.data(), header, 4).empty());
}

std::vector<std::uint32_t> targets(const Bytes& compound) {
  std::vector<std::uint32_t> found;
  EXPECT_TRUE(rtcp_compound_is_valid(compound.data(), compound.size()));
  visit_rtcp_targets(compound.data(), compound.size(), [&](std::uint32_t ssrc) {
    found.push_back(ssrc);
    return false;
  });
  return found;
}

TEST(RtcpTargets, are_those_of_reports_and_feedback) {
  Bytes compound = {0x81, 201, 0, 7, 0, 0, 0, 1, 0, 0, 0, 2};
  compound.resize(32);
  const Bytes pli = {0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3};
  compound.insert(compound.end(), pli.begin(), pli.end());
  const Bytes fir = {0x84, 206, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0};
  compound.insert(compound.end(), fir.begin(), fir.end());
  EXPECT_EQ(targets(compound), (std::vector<std::uint32_t>{2, 3, 4}));
}

TEST(RtcpTargets, a_count_that_is_too_high_reads_nothing_beyond) {
  Bytes report = {0x9f, 200, 0, 6, 0, 0, 0, 1};
  report.resize(28);
  EXPECT_TRUE(targets(report).empty());
  const Bytes remb = {0x8f, 206, 0,   5,   0,   0, 0, 1, 0, 0, 0, 0,
                      'R',  'E', 'M', 'B', 200, 0, 0, 0, 0, 0, 0, 9};
  EXPECT_EQ(targets(remb), (std::vector<std::uint32_t>{9}));
  EXPECT_TRUE(targets({0x81, 206, 0, 1, 0, 0, 0, 1}).empty());
}

TEST(RtcpTargets, stop_when_the_visitor_is_content) {
  Bytes compound;
  const Bytes first = {0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3};
  const Bytes second = {0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 5};
  for (const Bytes& pli : {first, second}) {
    compound.insert(compound.end(), pli.begin(), pli.end());
  }
  std::uint32_t last = 0;
  const auto look_for = [&](std::uint32_t wanted) {
    return visit_rtcp_targets(compound.data(), compound.size(), [&](std::uint32_t ssrc) {
      last = ssrc;
      return ssrc == wanted;
    });
  };
  EXPECT_TRUE(look_for(3));
  EXPECT_EQ(last, 3U);
  EXPECT_FALSE(look_for(4));
  EXPECT_EQ(last, 5U);
}

}  // namespace
}  // namespace turnpike
