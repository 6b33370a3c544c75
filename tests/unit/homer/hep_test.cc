// Packets of HEP version 3, byte by byte.
#include "control/homer/hep.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace turnpike::homer {
namespace {

using testing::HasSubstr;
using testing::Not;
using namespace std::string_literals;

SocketAddress at(const char* text) {
  return *parse_socket_address(text);
}

HepPacket packet() {
  return {.type = HepPayload::kRtcp,
          .source = at("192.0.2.1:36000"),
          .destination = at("198.51.100.2:4000"),
          .when = std::chrono::system_clock::time_point(
              std::chrono::microseconds(1'700'000'000'000'042)),
          .capture_id = 2001,
          .node_name = "edge1",
          .key = "",
          .correlation_id = "a@b",
          .payload = "{}"};
}

TEST(Hep, packet_is_a_header_and_chunks_of_network_order) {
  const std::string expected =
      "HEP3\x00\x79"s
      "\x00\x00\x00\x01\x00\x07\x02"s
      "\x00\x00\x00\x02\x00\x07\x11"s
      "\x00\x00\x00\x03\x00\x0a\xc0\x00\x02\x01"s
      "\x00\x00\x00\x04\x00\x0a\xc6\x33\x64\x02"s
      "\x00\x00\x00\x07\x00\x08\x8c\xa0"s
      "\x00\x00\x00\x08\x00\x08\x0f\xa0"s
      "\x00\x00\x00\x09\x00\x0a\x65\x53\xf1\x00"s
      "\x00\x00\x00\x0a\x00\x0a\x00\x00\x00\x2a"s
      "\x00\x00\x00\x0b\x00\x07\x05"s
      "\x00\x00\x00\x0c\x00\x0a\x00\x00\x07\xd1"s
      "\x00\x00\x00\x11\x00\x09\x61@b"s
      "\x00\x00\x00\x13\x00\x0b\x65\x64ge1"s
      "\x00\x00\x00\x0f\x00\x08{}"s;
  EXPECT_EQ(to_hep(packet()), expected);
}

TEST(Hep, addresses_of_ipv6_have_chunks_of_their_own) {
  HepPacket one = packet();
  one.source = at("[2001:db8::1]:36000");
  one.destination = {};  // nowhere yet: the unspecified address of the same family
  const std::string bytes = to_hep(one);
  EXPECT_THAT(bytes, HasSubstr("\x00\x00\x00\x01\x00\x07\x0a"s));
  EXPECT_THAT(bytes, HasSubstr("\x00\x00\x00\x05\x00\x16\x20\x01\x0d\xb8"s + std::string(11, '\0') +
                               "\x01"s));
  EXPECT_THAT(bytes, HasSubstr("\x00\x00\x00\x06\x00\x16"s + std::string(16, '\0')));
  EXPECT_THAT(bytes, HasSubstr("\x00\x00\x00\x08\x00\x08\x00\x00"s));
  EXPECT_THAT(bytes, Not(HasSubstr("\x00\x00\x00\x03\x00\x0a"s)));
}

TEST(Hep, key_is_there_only_when_there_is_one) {
  HepPacket one = packet();
  EXPECT_THAT(to_hep(one), Not(HasSubstr("\x00\x00\x00\x0e"s)));
  one.key = "secret";
  EXPECT_THAT(to_hep(one), HasSubstr("\x00\x00\x00\x0e\x00\x0csecret"s));
}

TEST(Hep, long_texts_are_cut_and_a_payload_that_does_not_fit_makes_no_packet) {
  HepPacket one = packet();
  const std::string long_id(kHepTextBytesMax + 1, 'x');
  one.correlation_id = long_id;
  const std::string bytes = to_hep(one);
  EXPECT_THAT(bytes, HasSubstr("\x00\x00\x00\x11\x02\x06"s + std::string(kHepTextBytesMax, 'x') +
                               "\x00\x00"s));
  EXPECT_EQ(static_cast<unsigned char>(bytes[4]) * 256u + static_cast<unsigned char>(bytes[5]),
            bytes.size());
  const std::string huge(65535, 'y');
  one.payload = huge;
  EXPECT_EQ(to_hep(one), "");
  one.payload = std::string_view(huge).substr(0, 64800);
  EXPECT_EQ(to_hep(one), "") << "with the rest it is too long";
}

}  // namespace
}  // namespace turnpike::homer
