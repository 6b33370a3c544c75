#include "turnpike/address.h"

#include <gtest/gtest.h>

namespace turnpike {
namespace {

TEST(Address, round_trips_literals) {
  for (const char* text : {"192.0.2.1", "0.0.0.0", "255.255.255.255", "2001:db8::1", "::", "::1"}) {
    auto ip = parse_ip(text);
    ASSERT_TRUE(ip) << text;
    EXPECT_EQ(to_string(*ip), text);
  }
}

TEST(Address, mapped_ipv4_is_ipv4) {
  auto ip = parse_ip("::ffff:192.0.2.1");
  ASSERT_TRUE(ip);
  EXPECT_EQ(*ip, IpAddress::v4(192, 0, 2, 1));
}

TEST(Address, refuses_what_is_not_a_literal) {
  for (const char* text : {"", "localhost", "192.0.2", "192.0.2.256", "192.0.2.1 ", "1::2::3",
                           "fe80::1%eth0", "[::1]"}) {
    EXPECT_FALSE(parse_ip(text)) << text;
  }
  EXPECT_FALSE(parse_ip(std::string(200, '1')));
}

TEST(Address, transport_addresses) {
  auto v4 = parse_socket_address("192.0.2.1:5061");
  ASSERT_TRUE(v4);
  EXPECT_EQ(v4->port, 5061);
  auto v6 = parse_socket_address("[2001:db8::1]:36000");
  ASSERT_TRUE(v6);
  EXPECT_EQ(to_string(*v6), "[2001:db8::1]:36000");
  for (const char* text : {"192.0.2.1", "192.0.2.1:0", "192.0.2.1:65536", "192.0.2.1:x", ":5061",
                           "2001:db8::1:5061", "192.0.2.1:"}) {
    EXPECT_FALSE(parse_socket_address(text)) << text;
  }
}

TEST(Address, kinds) {
  EXPECT_TRUE(parse_ip("0.0.0.0")->is_unspecified());
  EXPECT_TRUE(parse_ip("::")->is_unspecified());
  EXPECT_FALSE(IpAddress{}.is_unspecified());
  EXPECT_TRUE(parse_ip("127.1.2.3")->is_loopback());
  EXPECT_TRUE(parse_ip("::1")->is_loopback());
  EXPECT_FALSE(parse_ip("2001:db8::1")->is_loopback());
  EXPECT_TRUE(parse_ip("239.1.2.3")->is_multicast());
  EXPECT_TRUE(parse_ip("ff02::1")->is_multicast());
}

}  // namespace
}  // namespace turnpike
