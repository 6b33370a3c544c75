// Which peers a client may be relayed to (docs/security.md, T1-T9), by the policy alone and by
// every method of the engine that names a peer.
#include "relay/turn/peer_policy.h"

#include <gtest/gtest.h>

#include "tests/support/turn_fixture.h"

namespace turnpike::test {
namespace {

using turn::may_be_peer;
using turn::OwnAddresses;
using turn::PeerRules;
using turn::Prefix;

Prefix prefix(const std::string& text) {
  const std::size_t slash = text.find('/');
  return {*parse_ip(text.substr(0, slash)),
          static_cast<std::uint8_t>(std::stoi(text.substr(slash + 1)))};
}

// Not through parse_ip() alone, which turns a mapped address into the IPv4 address.
IpAddress ip_of(const std::string& text) {
  if (text.starts_with("::ffff:")) {
    IpAddress ip = *parse_ip("::" + text.substr(7));
    ip.bytes[10] = ip.bytes[11] = 0xff;
    return ip;
  }
  return *parse_ip(text);
}

bool allowed(const std::string& text, const PeerRules& rules = {}, const OwnAddresses& own = {}) {
  return may_be_peer(ip_of(text), rules, own);
}

const std::vector<std::string> kSpecial = {"0.0.0.0",
                                           "0.255.255.255",
                                           "10.0.0.0",
                                           "10.255.255.255",
                                           "100.64.0.0",
                                           "100.127.255.255",
                                           "127.0.0.0",
                                           "127.0.0.1",
                                           "127.255.255.255",
                                           "169.254.0.0",
                                           "169.254.169.254",
                                           "169.254.255.255",
                                           "172.16.0.0",
                                           "172.31.255.255",
                                           "192.0.0.0",
                                           "192.0.0.255",
                                           "192.0.2.0",
                                           "192.0.2.255",
                                           "192.88.99.0",
                                           "192.88.99.255",
                                           "192.168.0.0",
                                           "192.168.255.255",
                                           "198.18.0.0",
                                           "198.19.255.255",
                                           "198.51.100.0",
                                           "198.51.100.255",
                                           "203.0.113.0",
                                           "203.0.113.255",
                                           "224.0.0.0",
                                           "239.255.255.255",
                                           "240.0.0.0",
                                           "255.255.255.254",
                                           "255.255.255.255",
                                           "::",
                                           "::1",
                                           "::2",
                                           "::ffff:8.8.8.8",
                                           "64:ff9b::8.8.8.8",
                                           "64:ff9b:1::1",
                                           "64:ff9b:1:ffff:ffff:ffff:ffff:ffff",
                                           "100::",
                                           "100::ffff:ffff:ffff:ffff",
                                           "2001::",
                                           "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff",
                                           "2001:db8::",
                                           "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
                                           "2002::",
                                           "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
                                           "3fff::",
                                           "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff",
                                           "5f00::1",
                                           "fc00::",
                                           "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
                                           "fe80::",
                                           "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
                                           "fec0::",
                                           "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
                                           "ff00::",
                                           "ff02::1",
                                           "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"};

// Next to the borders of the ranges above, and well-known public ones.
const std::vector<std::string> kPublic = {"1.0.0.0",
                                          "9.255.255.255",
                                          "11.0.0.0",
                                          "100.63.255.255",
                                          "100.128.0.0",
                                          "126.255.255.255",
                                          "128.0.0.0",
                                          "169.253.255.255",
                                          "169.255.0.0",
                                          "172.15.255.255",
                                          "172.32.0.0",
                                          "191.255.255.255",
                                          "192.0.1.0",
                                          "192.0.1.255",
                                          "192.0.3.0",
                                          "192.88.98.255",
                                          "192.88.100.0",
                                          "192.167.255.255",
                                          "192.169.0.0",
                                          "198.17.255.255",
                                          "198.20.0.0",
                                          "198.51.99.255",
                                          "198.51.101.0",
                                          "203.0.112.255",
                                          "203.0.114.0",
                                          "223.255.255.255",
                                          "8.8.8.8",
                                          "2001:200::",
                                          "2001:4860:4860::8888",
                                          "2001:db7:ffff::1",
                                          "2001:db9::",
                                          "2003::1",
                                          "2606:4700::1111",
                                          "2a00:1450::1",
                                          "3ffe:ffff::1",
                                          "3fff:1000::"};

TEST(Security, T1_special_purpose_ranges_are_denied) {
  for (const std::string& text : kSpecial) EXPECT_FALSE(allowed(text)) << text;
  for (const std::string& text : kPublic) EXPECT_TRUE(allowed(text)) << text;
}

TEST(Security, T1_every_method_that_names_a_peer_asks_the_policy) {
  for (const std::string& text : kSpecial) {
    TurnWorld world;
    TurnClient client(world);
    ASSERT_EQ(client
                  .allocate([](stun::Writer& w) {
                    w.add(stun::kAdditionalAddressFamily, TurnBytes{2, 0, 0, 0});
                  })
                  .code(),
              200);
    const SocketAddress peer{ip_of(text), 5000};
    EXPECT_EQ(client.permit({peer}).code(), 403) << text;
    EXPECT_EQ(client.bind(0x4000, peer).code(), 403) << text;
    EXPECT_TRUE(client.send_indication(peer, {1}).empty()) << text;
    EXPECT_TRUE(client.send_channel(0x4000, {1}).empty()) << text;
    EXPECT_TRUE(client.from_peer(peer, {1}).empty()) << text;
    EXPECT_EQ(world.refused(turn::Refusal::kPeerDenied), 2U);
    EXPECT_EQ(world.total(&turn::ClientCounters::packets_to_peers) +
                  world.total(&turn::ClientCounters::packets_to_clients),
              0U);
  }
  TurnWorld world;
  TurnClient client(world);
  ASSERT_EQ(client.allocate().code(), 200);
  EXPECT_EQ(client.permit({turn_address("9.9.9.9:5000")}).code(), 200);
}

TEST(Security, T2_unspecified_loopback_and_multicast_are_never_opened) {
  PeerRules rules;
  rules.allowed = {prefix("0.0.0.0/0"), prefix("::/0")};
  for (const char* text :
       {"0.0.0.0", "0.0.0.1", "127.0.0.1", "127.8.8.8", "224.0.0.1", "239.1.2.3", "255.255.255.255",
        "::", "::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:0.0.0.0", "::127.0.0.1",
        "64:ff9b::127.0.0.1", "64:ff9b::0.0.0.0", "2002:7f00:1::1", "2001::80ff:fffe"}) {
    EXPECT_FALSE(allowed(text, rules)) << text;
  }
  EXPECT_TRUE(allowed("10.0.0.1", rules));
  EXPECT_TRUE(allowed("fd00::1", rules));
}

struct Encoded {
  const char* what;
  const char* good;  // of 8.8.8.8
  const char* bad;   // of 10.0.0.1
};
const Encoded kEncodings[] = {
    {"mapped", "::ffff:8.8.8.8", "::ffff:10.0.0.1"},
    {"compatible", "::8.8.8.8", "::10.0.0.1"},
    {"6to4", "2002:808:808::1", "2002:a00:1::1"},
    {"NAT64", "64:ff9b::8.8.8.8", "64:ff9b::10.0.0.1"},
    {"NAT64, local, /48", "64:ff9b:1:808:8:800::", "64:ff9b:1:a00:0:100::"},
    {"NAT64, local, /56", "64:ff9b:1:8:8:808::", "64:ff9b:1:a:0:1::"},
    {"NAT64, local, /64", "64:ff9b:1:0:8:808:800:0", "64:ff9b:1:0:a:0:100:0"},
    {"NAT64, local, /96", "64:ff9b:1:2:3:4:8.8.8.8", "64:ff9b:1:2:3:4:10.0.0.1"},
    {"Teredo, client", "2001:0:808:808:0:ffff:f7f7:f7f7", "2001:0:808:808:0:ffff:f5ff:fffe"},
    {"Teredo, server", "2001:0:808:808:0:ffff:f7f7:f7f7", "2001:0:a00:1:0:ffff:f7f7:f7f7"},
    {"ISATAP", "2a00:1450::5efe:8.8.8.8", "2a00:1450::5efe:10.0.0.1"},
    {"ISATAP, universal", "2a00:1450::200:5efe:8.8.8.8", "2a00:1450::200:5efe:10.0.0.1"},
};

TEST(Security, T3_embedded_ipv4_never_passes_acl) {
  PeerRules open;  // the ranges themselves are opened, and say nothing of what lies in them
  for (const char* text : {"::/3", "2001::/23", "2002::/16"}) open.allowed.push_back(prefix(text));
  PeerRules closed = open;
  closed.denied = {prefix("8.8.8.0/24")};
  for (const Encoded& form : kEncodings) {
    EXPECT_TRUE(allowed(form.good, open)) << form.what;
    EXPECT_FALSE(allowed(form.bad, open)) << form.what;
    EXPECT_FALSE(allowed(form.good, closed)) << form.what;
  }
  // The same IPv4 address, once it is opened.
  open.allowed.push_back(prefix("10.0.0.0/24"));
  for (const Encoded& form : kEncodings) EXPECT_TRUE(allowed(form.bad, open)) << form.what;
}

TEST(Security, T3_own_addresses_in_disguise) {
  const std::vector<IpAddress> own = {*parse_ip("8.8.8.8")};
  const OwnAddresses ours{own, own, 24000, 29999};
  PeerRules open;
  for (const char* text : {"::/3", "2001::/23", "2002::/16"}) open.allowed.push_back(prefix(text));
  for (const Encoded& form : kEncodings) EXPECT_FALSE(allowed(form.good, open, ours)) << form.what;
}

TEST(Security, T4_prefixes_compare_all_bits) {
  PeerRules rules;
  rules.denied = {prefix("2a00:1450:4000::/37"), prefix("9.128.0.0/9")};
  EXPECT_FALSE(allowed("2a00:1450:4000::1", rules));
  EXPECT_FALSE(allowed("2a00:1450:47ff:ffff:ffff:ffff:ffff:ffff", rules));
  EXPECT_TRUE(allowed("2a00:1450:4800::", rules));
  EXPECT_TRUE(allowed("2a00:1450:3fff:ffff:ffff:ffff:ffff:ffff", rules));
  EXPECT_FALSE(allowed("9.255.0.1", rules));
  EXPECT_TRUE(allowed("9.127.255.255", rules));
}

TEST(Security, T6_own_addresses_are_no_peers) {
  const std::vector<IpAddress> own = {*parse_ip("93.184.216.9"), *parse_ip("10.1.1.1"),
                                      *parse_ip("2606:2800::9")};
  const std::vector<IpAddress> relays = {*parse_ip("93.184.216.1")};
  const OwnAddresses ours{own, relays, 24000, 29999};
  PeerRules rules;
  for (const char* text : {"93.184.216.9", "2606:2800::9"}) {
    EXPECT_TRUE(allowed(text));
    EXPECT_FALSE(allowed(text, rules, ours)) << text;
  }
  // The network around them may be opened without opening them.
  rules.allowed = {prefix("10.0.0.0/8"), prefix("93.184.216.8/31"), prefix("2606:2800::/127")};
  EXPECT_TRUE(allowed("10.1.1.2", rules, ours));
  for (const IpAddress& ip : own) EXPECT_FALSE(may_be_peer(ip, rules, ours)) << to_string(ip);
  // Nor do their own names.
  for (const char* text : {"10.1.1.1/32", "93.184.216.9/32", "2606:2800::9/128"}) {
    rules.allowed.push_back(prefix(text));
  }
  for (const IpAddress& ip : own) EXPECT_FALSE(may_be_peer(ip, rules, ours)) << to_string(ip);
  EXPECT_FALSE(may_be_peer(turn_address("10.1.1.1:5060"), rules, ours));
}

TEST(Security, T7_allow_list_mode_admits_nothing_else) {
  PeerRules rules;
  rules.only_allowed = true;
  rules.allowed = {prefix("9.9.9.0/24"), prefix("10.2.0.0/16")};
  EXPECT_TRUE(allowed("9.9.9.9", rules));
  EXPECT_TRUE(allowed("10.2.0.1", rules));
  EXPECT_FALSE(allowed("8.8.8.8", rules));
  EXPECT_FALSE(allowed("2a00:1450::1", rules));
  const std::vector<IpAddress> relays = {*parse_ip("93.184.216.1")};
  EXPECT_FALSE(allowed("93.184.216.1", rules, {{}, relays, 24000, 29999}));
  rules.denied = {prefix("9.9.9.9/32")};
  EXPECT_FALSE(allowed("9.9.9.9", rules));
}

TEST(Security, T8_relayed_ports_are_all_there_is_at_our_addresses) {
  TurnWorld world;
  TurnClient client(world);
  ASSERT_EQ(client.allocate().code(), 200);
  EXPECT_EQ(client.permit({turn_address("93.184.216.9:3478")}).code(), 403);
  const IpAddress relay = world.ports.relay_v4.ip;
  ASSERT_EQ(client.permit({{relay, 24002}}).code(), 200);
  EXPECT_EQ(client.send_indication({relay, 24002}, {1}).size(), 1U);
  for (const std::uint16_t port :
       std::initializer_list<std::uint16_t>{1024, 3478, 23999, 30000, 65535}) {
    EXPECT_TRUE(client.send_indication({relay, port}, {1}).empty()) << port;
    EXPECT_EQ(client.bind(0x4000, {relay, port}).code(), 403) << port;
  }
  EXPECT_EQ(world.dropped(turn::Drop::kPeerForbidden), 5U);
  EXPECT_EQ(client.bind(0x4000, {relay, 24002}).code(), 200);
  // Nor does anything else at that address reach the client.
  EXPECT_EQ(client.from_peer({relay, 24002}, {1}).size(), 1U);
  EXPECT_TRUE(client.from_peer({relay, 30000}, {1}).empty());
}

TEST(Security, T6_T8_of_our_own_ports_media_alone_is_open) {
  TurnWorld world;
  world.setup.media_port_min = 36012;
  world.setup.media_port_max = 59999;
  TurnClient client(world);
  ASSERT_EQ(client.allocate().code(), 200);
  const IpAddress relay = world.ports.relay_v4.ip;
  EXPECT_EQ(client.permit({turn_address("93.184.216.9:36012")}).code(), 403)
      << "media at other addresses of ours";
  ASSERT_EQ(client.permit({{relay, 36012}}).code(), 200);
  for (const std::uint16_t port : std::initializer_list<std::uint16_t>{36012, 59999, 24002}) {
    EXPECT_EQ(client.send_indication({relay, port}, {1}).size(), 1U) << port;
    EXPECT_EQ(client.from_peer({relay, port}, {1}).size(), 1U) << port;
  }
  for (const std::uint16_t port :
       std::initializer_list<std::uint16_t>{3478, 5061, 30000, 36011, 60000}) {
    EXPECT_TRUE(client.send_indication({relay, port}, {1}).empty()) << port;
    EXPECT_TRUE(client.from_peer({relay, port}, {1}).empty()) << port;
    EXPECT_EQ(client.bind(0x4000, {relay, port}).code(), 403) << port;
  }
  EXPECT_EQ(client.bind(0x4000, {relay, 36012}).code(), 200);
  // An operator may close it, also for those who are there.
  world.realm().peers.own_media = false;
  world.configure();
  EXPECT_TRUE(client.send_indication({relay, 36012}, {1}).empty());
  EXPECT_TRUE(client.send_channel(0x4000, {1}).empty());
  EXPECT_EQ(client.bind(0x4001, {relay, 36014}).code(), 403);
  EXPECT_EQ(client.send_indication({relay, 24002}, {1}).size(), 1U);
}

TEST(Security, T7_calls_alone) {
  TurnWorld world;
  world.setup.media_port_min = 36012;
  world.setup.media_port_max = 59999;
  world.realm().peers.only_allowed = true;
  TurnClient client(world);
  ASSERT_EQ(client.allocate().code(), 200);
  const IpAddress relay = world.ports.relay_v4.ip;
  EXPECT_EQ(client.permit({turn_address("9.9.9.9:36012")}).code(), 403);
  ASSERT_EQ(client.permit({{relay, 36012}}).code(), 200);
  EXPECT_EQ(client.send_indication({relay, 36012}, {1}).size(), 1U);
  EXPECT_TRUE(client.send_indication({relay, 24002}, {1}).empty()) << "another client";
  EXPECT_EQ(client.bind(0x4000, {relay, 24002}).code(), 403);
  world.realm().peers.denied = {prefix("93.184.216.0/24")};
  world.configure();
  EXPECT_TRUE(client.send_indication({relay, 36012}, {1}).empty()) << "denied wins";
}

TEST(Security, T9_low_ports_are_denied) {
  TurnWorld world;
  TurnClient client(world);
  ASSERT_EQ(client.allocate().code(), 200);
  const IpAddress peer = IpAddress::v4(9, 9, 9, 9);
  ASSERT_EQ(client.permit({{peer, 53}}).code(), 200) << "a permission is for the address";
  for (const std::uint16_t port : std::initializer_list<std::uint16_t>{0, 1, 53, 123, 161, 1023}) {
    EXPECT_TRUE(client.send_indication({peer, port}, {1}).empty()) << port;
    EXPECT_EQ(client.bind(0x4000, {peer, port}).code(), 403) << port;
  }
  EXPECT_EQ(client.send_indication({peer, 1024}, {1}).size(), 1U);
  EXPECT_TRUE(client.from_peer({peer, 53}, {1}).empty());
  EXPECT_EQ(client.from_peer({peer, 1024}, {1}).size(), 1U);
  world.realm().peers.port_min = 53;
  world.configure();
  EXPECT_EQ(client.send_indication({peer, 53}, {1}).size(), 1U);
  EXPECT_TRUE(client.send_indication({peer, 52}, {1}).empty());
}

TEST(TurnPolicy, new_rules_end_permissions_and_channels) {
  TurnWorld world;
  TurnClient client(world);
  ASSERT_EQ(client.allocate().code(), 200);
  const SocketAddress near = turn_address("9.9.9.9:5000");
  const SocketAddress far = turn_address("8.8.8.8:5000");
  ASSERT_EQ(client.bind(0x4000, near).code(), 200);
  ASSERT_EQ(client.bind(0x4001, far).code(), 200);
  world.realm().peers.denied = {prefix("9.9.9.0/24")};
  world.configure();
  EXPECT_TRUE(client.send_channel(0x4000, {1}).empty());
  EXPECT_TRUE(client.send_indication(near, {1}).empty());
  EXPECT_TRUE(client.from_peer(near, {1}).empty());
  EXPECT_EQ(client.send_channel(0x4001, {1}).size(), 1U);
  EXPECT_EQ(client.bind(0x4000, near).code(), 403);
}

}  // namespace
}  // namespace turnpike::test
