// Where media may go on the word of a description, and what becomes of descriptions that ask for
// more.
#include "control/call/destinations.h"

#include <gmock/gmock.h>

#include "tests/unit/call/call_fixture.h"

namespace turnpike::call {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::string_view kKey = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";

constexpr std::uint16_t kOutside = 0;
constexpr std::uint16_t kInside = 1;

CallServiceConfig guarded_config() {
  CallServiceConfig config = test_config();
  config.srtp_interfaces = {"outside"};
  config.networks["inside"] = {*parse_network("10.0.0.0/8"), *parse_network("fd00::/16")};
  config.host_addresses = {IpAddress::v4(172, 31, 0, 9)};
  return config;
}

std::string_view refusal(std::uint16_t interface, std::string_view ip, std::uint16_t port = 4000) {
  static const CallServiceConfig config = guarded_config();
  return Destinations(config).refusal(interface, {*parse_ip(ip), port});
}
bool needs_proof(std::uint16_t interface, std::string_view ip) {
  static const CallServiceConfig config = guarded_config();
  return Destinations(config).needs_proof(interface, {*parse_ip(ip), 4000});
}

TEST(Network, holds_what_its_bits_say) {
  const auto contains = [](std::string_view network, std::string_view ip) {
    return parse_network(network)->contains(*parse_ip(ip));
  };
  EXPECT_TRUE(contains("10.0.0.0/8", "10.255.0.1"));
  EXPECT_FALSE(contains("10.0.0.0/8", "11.0.0.1"));
  EXPECT_TRUE(contains("192.168.3.77/22", "192.168.0.1"));
  EXPECT_FALSE(contains("192.168.3.77/22", "192.168.4.1"));
  EXPECT_TRUE(contains("192.0.2.1", "192.0.2.1"));
  EXPECT_FALSE(contains("192.0.2.1", "192.0.2.2"));
  EXPECT_TRUE(contains("0.0.0.0/0", "8.8.8.8"));
  EXPECT_FALSE(contains("0.0.0.0/0", "2001:db8::1"));
  EXPECT_TRUE(contains("2001:db8::/33", "2001:db8:7fff::1"));
  EXPECT_FALSE(contains("2001:db8::/33", "2001:db8:8000::1"));
  EXPECT_FALSE(parse_network("0.0.0.0/0")->contains({}));
  for (const char* text : {"", "/8", "10.0.0.0/", "10.0.0.0/33", "::/129", "10.0.0.0/8x",
                           "10.0.0.0/-1", "example.com/8", "10.0.0.0/8/8"}) {
    EXPECT_FALSE(parse_network(text)) << text;
  }
}

TEST(SecurityOfDestinations, T1_media_goes_to_no_special_address) {
  for (const std::uint16_t interface : {kOutside, kInside}) {
    for (const char* ip : {"127.0.0.1", "127.255.255.254", "::1", "::ffff:127.0.0.1", "::127.0.0.1",
                           "64:ff9b::7f00:1", "2002:7f00:1::1", "2001:db8::5efe:7f00:1"}) {
      EXPECT_THAT(refusal(interface, ip), HasSubstr("loopback")) << ip;
    }
    for (const char* ip : {"169.254.169.254", "fe80::1", "64:ff9b::a9fe:a9fe", "::ffff:169.254.0.1",
                           "2002:a9fe:a9fe::1", "::169.254.169.254"}) {
      EXPECT_THAT(refusal(interface, ip), HasSubstr("link-local")) << ip;
    }
    for (const char* ip : {"255.255.255.255", "240.0.0.1", "0.0.0.0", "0.1.2.3",
                           "::", "64:ff9b::ffff:ffff", "64:ff9b::"}) {
      EXPECT_THAT(refusal(interface, ip), HasSubstr("no host's")) << ip;
    }
    for (const char* ip : {"224.0.0.1", "239.1.2.3", "ff02::1", "64:ff9b::e000:1"}) {
      EXPECT_THAT(refusal(interface, ip), HasSubstr("multicast")) << ip;
    }
    for (const auto port : std::initializer_list<std::uint16_t>{1, 53, 1023}) {
      EXPECT_THAT(refusal(interface, "192.0.2.10", port), HasSubstr("below 1024")) << port;
    }
    EXPECT_THAT(refusal(interface, "192.0.2.10", 1024), IsEmpty());
    for (const char* ip : {"192.0.2.10", "10.9.9.9", "192.168.1.20", "100.64.0.1", "172.16.0.1",
                           "2001:db8::5", "fd12::1", "64:ff9b::c000:20a"}) {
      EXPECT_THAT(refusal(interface, ip), IsEmpty()) << ip;
    }
  }
}

TEST(SecurityOfDestinations, T6_T8_a_client_cannot_point_media_at_the_relay_itself) {
  for (const char* ip : {"198.51.100.1", "2001:db8:1::1", "10.0.0.1", "fd00::1", "172.31.0.9",
                         "::ffff:10.0.0.1", "64:ff9b::a00:1"}) {
    for (const auto port : std::initializer_list<std::uint16_t>{36000, 47000, 59999}) {
      EXPECT_THAT(refusal(kOutside, ip, port), HasSubstr("relay's own")) << ip;
      EXPECT_THAT(refusal(kInside, ip, port), IsEmpty())
          << "a server may let two of its calls meet: " << ip;
    }
    EXPECT_THAT(refusal(kOutside, ip, 35999), IsEmpty()) << "a phone on this host";
    EXPECT_TRUE(needs_proof(kOutside, ip)) << ip;
  }
}

TEST(Destinations, a_client_by_our_turn_server_is_like_any_other) {
  CallServiceConfig config = guarded_config();
  const IpAddress advertised = IpAddress::v4(203, 0, 113, 5);
  const IpAddress local = IpAddress::v4(10, 3, 0, 1);
  config.interfaces[kOutside].addresses = {{local, advertised}};
  config.relays = {{{local, advertised}}, 24000, 29999};
  const Destinations destinations(config);
  for (const auto port : std::initializer_list<std::uint16_t>{24000, 29999}) {
    EXPECT_TRUE(destinations.allows_candidate(kOutside, {advertised, port}));
    EXPECT_EQ(destinations.route({advertised, port}), (SocketAddress{local, port}));
    EXPECT_TRUE(destinations.needs_proof(kOutside, {advertised, port})) << "without ICE";
    EXPECT_FALSE(destinations.allows_candidate(kOutside, {local, port})) << "is not told anybody";
  }
  for (const auto port : std::initializer_list<std::uint16_t>{23999, 30000, 36000}) {
    EXPECT_FALSE(destinations.allows_candidate(kOutside, {advertised, port})) << port;
    EXPECT_EQ(destinations.route({advertised, port}), (SocketAddress{advertised, port}));
  }
  const SocketAddress elsewhere{IpAddress::v4(203, 0, 113, 6), 24000};
  EXPECT_EQ(destinations.route(elsewhere), elsewhere);
}

TEST(SecurityOfDestinations, T1_inside_networks_get_nothing_on_a_clients_word) {
  for (const char* ip : {"10.9.9.9", "fd00::77", "64:ff9b::a09:909", "2002:a09:909::1"}) {
    EXPECT_TRUE(needs_proof(kOutside, ip)) << ip;
    EXPECT_FALSE(needs_proof(kInside, ip)) << ip;
  }
  for (const char* ip : {"192.168.1.20", "192.0.2.10", "fd01::1", "11.0.0.1"}) {
    EXPECT_FALSE(needs_proof(kOutside, ip)) << ip;
  }
}

TEST(Destinations, ends_beside_a_loopback_interface_are_welcome) {
  CallServiceConfig config = test_config();
  config.interfaces = {interface_of("outside", IpAddress::v4(127, 0, 0, 1), "2001:db8:1::1"),
                       interface_of("inside", IpAddress::v4(169, 254, 3, 1), "fd00::1")};
  const Destinations destinations(config);
  const SocketAddress loopback{IpAddress::v4(127, 0, 0, 2), 4000};
  const SocketAddress link_local{IpAddress::v4(169, 254, 3, 2), 4000};
  EXPECT_THAT(destinations.refusal(kOutside, loopback), IsEmpty());
  EXPECT_THAT(destinations.refusal(kInside, loopback), HasSubstr("loopback"));
  EXPECT_THAT(destinations.refusal(kOutside, link_local), HasSubstr("link-local"));
  EXPECT_THAT(destinations.refusal(kInside, link_local), IsEmpty());
}

struct CallsByOurTurn : CallTest {
  CallsByOurTurn() {
    CallServiceConfig config = test_config();
    config.relays = {{{IpAddress::v4(10, 3, 0, 1), IpAddress::v4(203, 0, 113, 5)}}, 24000, 29999};
    start(config);
  }
};

TEST_F(CallsByOurTurn, a_leg_goes_to_the_local_address_and_hears_that_client_alone) {
  CallRequest asked = request(sdp_of("m=audio 24002 RTP/AVP 0\n", "203.0.113.5"));
  asked.asymmetric = true;
  ASSERT_EQ(text(offer(asked), "result"), "ok");
  EXPECT_EQ(to_string(leg(0, Side::kA).remote[0]), "10.3.0.1:24002");
  EXPECT_EQ(leg(0, Side::kA).source_policy, SourcePolicy::kStrict) << "others have that address";
}

TEST_F(CallsByOurTurn, other_ends_are_asymmetric_as_asked) {
  CallRequest asked = request(sdp_of("m=audio 24002 RTP/AVP 0\n", "203.0.113.6"));
  asked.asymmetric = true;
  ASSERT_EQ(text(offer(asked), "result"), "ok");
  EXPECT_EQ(to_string(leg(0, Side::kA).remote[0]), "203.0.113.6:24002");
  EXPECT_EQ(leg(0, Side::kA).source_policy, SourcePolicy::kAsymmetric);
}

struct DestinationsOfCalls : CallTest {
  DestinationsOfCalls() { start(guarded_config()); }

  /// An SRTP offer from outside; `more` are lines of its m= section.
  static std::string client_sdp(std::string_view ip, int port = 4000, std::string_view more = "") {
    return sdp_of("m=audio " + std::to_string(port) + " RTP/SAVP 0\na=crypto:1 " +
                      "AES_CM_128_HMAC_SHA1_80 inline:" + std::string(kKey) + "\n" +
                      std::string(more),
                  ip);
  }
  Dict offer_from_outside(const std::string& sdp) {
    CallRequest asked = request(sdp);
    asked.transport_protocol = "RTP/AVP";
    return offer(asked);
  }
  void expect_refused(const Dict& reply, std::string_view reason) {
    EXPECT_EQ(text(reply, "result"), "error");
    EXPECT_THAT(text(reply, "error-reason"), HasSubstr(reason));
  }
};

TEST_F(DestinationsOfCalls, an_offer_with_a_forbidden_address_is_refused_and_leaves_nothing) {
  expect_refused(offer_from_outside(client_sdp("127.0.0.1")), "loopback");
  expect_refused(offer_from_outside(client_sdp("169.254.169.254")), "link-local");
  expect_refused(offer_from_outside(client_sdp("255.255.255.255")), "no host's");
  expect_refused(offer_from_outside(client_sdp("198.51.100.1", 36000)), "relay's own");
  expect_refused(offer_from_outside(client_sdp("10.0.0.1", 40000)), "relay's own");
  expect_refused(offer_from_outside(client_sdp("192.0.2.10", 1023)), "below 1024");
  expect_refused(offer_from_outside(client_sdp("192.0.2.10", 4000, "a=rtcp:53\n")), "RTCP");
  expect_refused(
      offer_from_outside(client_sdp("192.0.2.10", 4000, "a=rtcp:4001 IN IP4 127.0.0.1\n")),
      "RTCP: media address is a loopback");
  expect_nothing_left();
}

TEST_F(DestinationsOfCalls, an_answer_is_judged_as_an_offer_is) {
  ASSERT_EQ(text(offer_from_outside(client_sdp("192.0.2.10")), "result"), "ok");
  expect_refused(answer(request(sdp_of(kAudio, "127.0.0.1"), "a", "b")), "loopback");
  expect_refused(answer(request(sdp_of("m=audio 22 RTP/AVP 0\n", "10.9.9.9"), "a", "b")),
                 "below 1024");
  EXPECT_FALSE(leg(0, Side::kB).remote[0].is_set());
  ASSERT_EQ(text(answer(request(sdp_of(kAudio, "10.9.9.9"), "a", "b")), "result"), "ok");
  EXPECT_EQ(to_string(leg(0, Side::kB).remote[0]), "10.9.9.9:4000");
  EXPECT_FALSE(leg(0, Side::kB).remote_unproven);
}

TEST_F(DestinationsOfCalls, a_client_whose_address_lies_inside_has_to_prove_it) {
  ASSERT_EQ(text(offer_from_outside(client_sdp("10.9.9.9")), "result"), "ok");
  ASSERT_EQ(text(answer(request(sdp_of(kAudio, "10.9.9.9"), "a", "b")), "result"), "ok");
  EXPECT_TRUE(leg(0, Side::kA).remote_unproven);
  EXPECT_FALSE(leg(0, Side::kB).remote_unproven);
}

TEST_F(DestinationsOfCalls, only_rtcp_inside_needs_proof_too) {
  const std::string rtcp = "a=rtcp:4001 IN IP4 10.9.9.9\n";
  ASSERT_EQ(text(offer_from_outside(client_sdp("192.0.2.10", 4000, rtcp)), "result"), "ok");
  EXPECT_TRUE(leg(0, Side::kA).remote_unproven);
}

TEST_F(DestinationsOfCalls, a_private_address_behind_nat_is_usual) {
  ASSERT_EQ(text(offer_from_outside(client_sdp("192.168.1.20")), "result"), "ok");
  EXPECT_EQ(to_string(leg(0, Side::kA).remote[0]), "192.168.1.20:4000");
  EXPECT_FALSE(leg(0, Side::kA).remote_unproven);
}

TEST_F(DestinationsOfCalls, hold_by_null_address_and_place_holders_of_rtcp_work) {
  for (const std::string& sdp : {client_sdp("0.0.0.0"), client_sdp("0.0.0.0", 9), client_sdp("::"),
                                 client_sdp("0.0.0.0", 4000, "a=rtcp:9 IN IP4 0.0.0.0\n")}) {
    ASSERT_EQ(text(offer_from_outside(sdp), "result"), "ok");
    EXPECT_FALSE(leg(0, Side::kA).remote[0].is_set());
    EXPECT_FALSE(leg(0, Side::kA).remote[1].is_set());
    remove(request("", "a"));
  }
  for (const char* more : {"a=rtcp:9 IN IP4 0.0.0.0\n", "a=rtcp-mux\na=rtcp:9\n"}) {
    ASSERT_EQ(text(offer_from_outside(client_sdp("192.0.2.10", 4000, more)), "result"), "ok");
    EXPECT_EQ(to_string(leg(0, Side::kA).remote[0]), "192.0.2.10:4000");
    EXPECT_FALSE(leg(0, Side::kA).remote[1].is_set()) << more;
    remove(request("", "a"));
  }
}

}  // namespace
}  // namespace turnpike::call
