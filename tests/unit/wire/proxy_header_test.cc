#include "relay/wire/proxy_header.h"

#include <vector>

#include <gtest/gtest.h>

#include "tests/support/hello_bytes.h"

namespace turnpike {
namespace {

using Buffer = std::vector<std::uint8_t>;

const SocketAddress kClient{IpAddress::v4(198, 51, 100, 7), 40000};
const SocketAddress kServer{IpAddress::v4(192, 0, 2, 10), 443};
const SocketAddress kClient6{*parse_ip("2001:db8::7"), 40001};
const SocketAddress kServer6{*parse_ip("2001:db8::10"), 443};

ProxyState state_of(const Buffer& bytes) {
  return read_proxy_header(bytes).state;
}

Buffer with_byte(Buffer bytes, std::size_t at, std::uint8_t value) {
  bytes[at] = value;
  return bytes;
}

TEST(ProxyHeader, tells_the_client) {
  for (const auto& [source, destination] :
       {std::pair{kClient, kServer}, std::pair{kClient6, kServer6}}) {
    Buffer bytes = proxy_header(source, destination);
    const std::size_t length = bytes.size();
    bytes.push_back(22);  // the client's own
    const ProxyHeader header = read_proxy_header(bytes);
    ASSERT_EQ(header.state, ProxyState::kProxied);
    EXPECT_EQ(header.bytes, length);
    EXPECT_EQ(header.source, source);
  }
}

TEST(ProxyHeader, an_ipv4_address_has_one_form) {
  IpAddress mapped = *parse_ip("2001:db8::");
  mapped.bytes = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 198, 51, 100, 7};
  const ProxyHeader header = read_proxy_header(proxy_header({mapped, 40000}, kServer6));
  EXPECT_EQ(header.source, kClient);
}

TEST(ProxyHeader, cut_at_every_byte_is_incomplete) {
  for (const Buffer& whole :
       {proxy_header(kClient, kServer, {4, 0, 2, 0, 0}), proxy_header(kClient6, kServer6)}) {
    for (std::size_t cut = 0; cut < whole.size(); ++cut) {
      ASSERT_EQ(state_of(Buffer(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(cut))),
                ProxyState::kIncomplete)
          << cut;
    }
  }
}

TEST(ProxyHeader, is_missing_at_the_first_byte_that_differs) {
  const Buffer whole = proxy_header(kClient, kServer);
  for (std::size_t at = 0; at < 12; ++at) {
    EXPECT_EQ(state_of(with_byte(whole, at, 0xee)), ProxyState::kMissing);
    Buffer cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(at + 1));
    cut[at] ^= 1;
    EXPECT_EQ(state_of(cut), ProxyState::kMissing);
  }
  const std::string first = "PROXY TCP4 198.51.100.7 192.0.2.10 40000 443\r\n";
  EXPECT_EQ(state_of(Buffer(first.begin(), first.end())), ProxyState::kMissing) << "version 1";
}

TEST(ProxyHeader, version_command_and_length_are_known_ones) {
  const Buffer whole = proxy_header(kClient, kServer);
  for (const std::uint8_t other : Buffer{0x11, 0x31, 0x22, 0x2f, 0x01}) {
    EXPECT_EQ(state_of(with_byte(whole, 12, other)), ProxyState::kMalformed);
  }
  EXPECT_EQ(state_of(with_byte(whole, 15, 11)), ProxyState::kMalformed) << "no room for addresses";
  EXPECT_EQ(state_of(with_byte(whole, 14, 0x08)), ProxyState::kMalformed) << "longer than 2,048";
  Buffer longest = proxy_header(kClient, kServer, Buffer(2048 - whole.size(), 0));
  longest[29] = static_cast<std::uint8_t>((2048 - whole.size() - 3) >> 8);
  longest[30] = static_cast<std::uint8_t>(2048 - whole.size() - 3);
  EXPECT_EQ(state_of(longest), ProxyState::kProxied);
}

TEST(ProxyHeader, other_families_and_transports_are_refused) {
  for (const std::uint8_t other : Buffer{0x00, 0x01, 0x10, 0x12, 0x22, 0x31, 0x32, 0x41, 0x13}) {
    EXPECT_EQ(state_of(with_byte(proxy_header(kClient, kServer), 13, other)),
              ProxyState::kUnsupported);
  }
}

TEST(ProxyHeader, a_local_one_says_nothing_of_a_client) {
  Buffer bytes = with_byte(proxy_header(kClient, kServer), 12, 0x20);
  bytes[13] = 0;
  const ProxyHeader header = read_proxy_header(bytes);
  EXPECT_EQ(header.state, ProxyState::kLocal);
  EXPECT_EQ(header.bytes, bytes.size());
  EXPECT_FALSE(header.source.is_set());
}

TEST(ProxyHeader, nobody_connects_from_such_addresses) {
  for (const IpAddress& ip : {IpAddress::v4(127, 0, 0, 1), IpAddress::v4(0, 0, 0, 0),
                              IpAddress::v4(224, 0, 0, 1), *parse_ip("::1"), *parse_ip("::")}) {
    EXPECT_EQ(state_of(proxy_header({ip, 40000}, ip.is_v4() ? kServer : kServer6)),
              ProxyState::kMalformed)
        << to_string(ip);
  }
  EXPECT_EQ(state_of(proxy_header({kClient.ip, 0}, kServer)), ProxyState::kMalformed);
}

TEST(ProxyHeader, items_are_passed_over_but_lie_inside) {
  EXPECT_EQ(state_of(proxy_header(kClient, kServer, {1, 0, 2, 'h', '2', 0xee, 0, 0})),
            ProxyState::kProxied);
  EXPECT_EQ(state_of(proxy_header(kClient, kServer, {1})), ProxyState::kMalformed);
  EXPECT_EQ(state_of(proxy_header(kClient, kServer, {1, 0})), ProxyState::kMalformed);
  EXPECT_EQ(state_of(proxy_header(kClient, kServer, {1, 0, 2, 'h'})), ProxyState::kMalformed);
}

TEST(ProxyHeader, a_checksum_is_checked) {
  // The check value was worked out by another program (python, a table of its own).
  Buffer bytes = proxy_header(kClient, kServer, {3, 0, 4, 0xe5, 0x44, 0xe4, 0xe9, 4, 0, 1, 0});
  EXPECT_EQ(state_of(bytes), ProxyState::kProxied);
  for (const std::size_t at : {16U, 24U, 31U, 38U}) {
    EXPECT_EQ(state_of(with_byte(bytes, at, static_cast<std::uint8_t>(bytes[at] ^ 1))),
              ProxyState::kBadChecksum)
        << at;
  }
  EXPECT_EQ(state_of(proxy_header(kClient, kServer, {3, 0, 3, 0, 0, 0})), ProxyState::kMalformed);
  Buffer twice = {3, 0, 4, 0xe5, 0x44, 0xe4, 0xe9, 3, 0, 4, 0, 0, 0, 0};
  EXPECT_NE(state_of(proxy_header(kClient, kServer, twice)), ProxyState::kProxied);
}

}  // namespace
}  // namespace turnpike
