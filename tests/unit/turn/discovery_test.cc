// NAT behaviour discovery (RFC 5780): which socket answers, where to, what it tells, and that it
// lends nobody a reflector.
#include <gtest/gtest.h>

#include "relay/core/bytes.h"
#include "tests/support/turn_fixture.h"

namespace turnpike::test {
namespace {

using turn::Refusal;

constexpr std::uint32_t kChangeIp = 4;
constexpr std::uint32_t kChangePort = 2;
const char* const kPlaces[] = {"93.184.216.9:3478", "93.184.216.9:3479", "93.184.216.10:3478",
                               "93.184.216.10:3479"};

constexpr SocketTag tag_of(std::uint32_t place) {
  return {0xffffffff, place + 7, Side::kA, Component::kRtp};
}

class Discovery : public testing::Test {
 protected:
  Discovery() {
    turn::DiscoveryPlaces places;
    for (std::uint32_t i = 0; i < places.size(); ++i) {
      places[i] = {tag_of(i), turn_address(kPlaces[i])};
    }
    world_.setup.discovery = {places};
    world_.setup.source_limits = {};
    client_.tag = tag_of(0);
  }

  // The answer that left, from which place and to whom.
  TurnSent answer(const TurnClient::Fill& fill = nullptr) {
    const auto sent = client_.send(client_.request(stun::kBinding, fill));
    EXPECT_EQ(sent.size(), 1U);
    return sent.empty() ? TurnSent{} : sent[0];
  }
  static TurnClient::Fill change(std::uint32_t flags) {
    return [flags](stun::Writer& w) { w.add_u32(stun::kChangeRequest, flags); };
  }
  static TurnClient::Fill port(std::uint32_t number) {
    return [number](stun::Writer& w) { w.add_u32(stun::kResponsePort, number << 16); };
  }
  static TurnClient::Fill padding(std::size_t bytes) {
    return [bytes](stun::Writer& w) { w.add_zeros(stun::kPadding, bytes); };
  }
  static std::string address_in(const TurnSent& sent, std::uint16_t type) {
    const auto value = stun::Message::parse(sent.bytes)->find(type);
    if (!value || value->size() != 8) return "";
    return to_string(
        SocketAddress{IpAddress::v4((*value)[4], (*value)[5], (*value)[6], (*value)[7]),
                      read_be16(value->data() + 2)});
  }
  int code(const TurnSent& sent) const { return TurnReply(sent.bytes).code(); }

  TurnWorld world_;
  TurnClient client_{world_};
};

// RFC 5780 section 6.1, table 1.
TEST_F(Discovery, answers_leave_from_where_the_flags_say) {
  for (std::uint32_t at = 0; at < 4; ++at) {
    client_.tag = tag_of(at);
    for (const std::uint32_t flags : {0U, kChangeIp, kChangePort, kChangeIp | kChangePort}) {
      const std::uint32_t from =
          at ^ ((flags & kChangeIp) != 0 ? 2 : 0) ^ ((flags & kChangePort) != 0 ? 1 : 0);
      const TurnSent sent = answer(change(flags));
      EXPECT_EQ(sent.tag.generation, tag_of(from).generation) << at << " " << flags;
      EXPECT_EQ(sent.to, client_.address);
      EXPECT_EQ(address_in(sent, stun::kResponseOrigin), kPlaces[from]);
      EXPECT_EQ(address_in(sent, stun::kOtherAddress), kPlaces[at ^ 3]);
      EXPECT_EQ(address_in(sent, stun::kMappedAddress), to_string(client_.address));
      EXPECT_EQ(TurnReply(sent.bytes).message()->xor_address(stun::kXorMappedAddress),
                client_.address);
    }
  }
}

TEST_F(Discovery, other_address_is_told_unasked) {
  const TurnSent sent = answer();
  EXPECT_EQ(sent.tag.generation, tag_of(0).generation);
  EXPECT_EQ(address_in(sent, stun::kOtherAddress), kPlaces[3]);
  EXPECT_EQ(address_in(sent, stun::kResponseOrigin), kPlaces[0]);
}

TEST_F(Discovery, the_response_port_is_at_the_source) {
  const TurnSent sent = answer(port(41234));
  EXPECT_EQ(code(sent), 200);
  EXPECT_EQ(to_string(sent.to), "192.0.2.10:41234");
  EXPECT_EQ(TurnReply(sent.bytes).message()->xor_address(stun::kXorMappedAddress), client_.address)
      << "the mapping of the request";
  const TurnSent two_bytes = answer([](stun::Writer& w) {
    w.add(stun::kResponsePort, TurnBytes{0xa1, 0x12});
  });
  EXPECT_EQ(two_bytes.to.port, 0xa112);
}

TEST_F(Discovery, padding_comes_back_as_long_as_it_came) {
  for (const std::size_t bytes : {0U, 100U, 1001U, 1500U}) {
    for (const bool fingerprint : {false, true}) {
      client_.fingerprint = fingerprint;
      const TurnBytes request = client_.request(stun::kBinding, padding(bytes));
      const TurnReply reply = client_.send_for_reply(request);
      ASSERT_EQ(reply.code(), 200) << bytes;
      ASSERT_TRUE(reply.message()->find(stun::kPadding));
      EXPECT_EQ(reply.message()->has_fingerprint(), fingerprint);
      if (bytes >= 100) {
        EXPECT_EQ(reply.bytes().size(), request.size());
      }
    }
  }
}

TEST_F(Discovery, what_cannot_be_is_refused) {
  EXPECT_EQ(code(answer([](stun::Writer& w) {
              w.add_u32(stun::kResponsePort, 41234U << 16);
              w.add_zeros(stun::kPadding, 1500);
            })),
            400);
  EXPECT_EQ(code(answer([](stun::Writer& w) { w.add(stun::kChangeRequest, TurnBytes{4}); })), 400);
  EXPECT_EQ(code(answer([](stun::Writer& w) { w.add(stun::kResponsePort, TurnBytes{9}); })), 400);
  EXPECT_EQ(code(answer([](stun::Writer& w) { w.add_u32(0x7abc, 0); })), 420);
  EXPECT_EQ(code(answer(port(0))), 400);
}

TEST_F(Discovery, is_off_unless_configured_and_for_udp_alone) {
  for (const auto& fill : {change(kChangeIp), port(41234), padding(100)}) {
    TurnWorld plain;
    TurnClient client(plain);
    EXPECT_EQ(client.ask_once(stun::kBinding, fill).code(), 420);
    client_.transport = turn::ListenerTransport::kTcp;
    EXPECT_EQ(client_.ask_once(stun::kBinding, fill).code(), 420);
    EXPECT_FALSE(client_.ask_once(stun::kBinding).message()->find(stun::kOtherAddress));
    client_.transport = turn::ListenerTransport::kUdp;
    EXPECT_EQ(client_.ask_once(stun::kAllocate, fill).code(), 400) << "of Binding alone";
  }
  client_.tag = tag_of(4);
  EXPECT_EQ(client_.ask_once(stun::kBinding, change(kChangeIp)).code(), 420) << "another listener";
}

TEST_F(Discovery, T11_a_response_goes_to_its_source_alone) {
  for (const std::uint32_t number : {0U, 1U, 53U, 123U, 1023U, 1024U, 3478U, 65535U}) {
    const TurnSent sent = answer(port(number));
    EXPECT_EQ(sent.to.ip, client_.address.ip);
    EXPECT_EQ(code(sent), number >= 1024 ? 200 : 400);
    EXPECT_EQ(sent.to.port, number >= 1024 ? number : client_.address.port);
  }
}

TEST_F(Discovery, T11_no_padding_makes_a_response_longer_than_its_request) {
  const std::size_t bare = answer().bytes.size();
  EXPECT_LE(bare, 68U);
  for (std::size_t bytes = 0; bytes <= 1700; ++bytes) {
    const TurnBytes request = client_.request(stun::kBinding, padding(bytes));
    const TurnReply reply = client_.send_for_reply(request);
    ASSERT_EQ(reply.code(), 200);
    ASSERT_LE(reply.bytes().size(), std::max(request.size(), bare + stun::kAttributeHeaderBytes));
  }
}

TEST_F(Discovery, T11_a_source_gets_few_long_responses) {
  world_.setup.source_limits[4] = {10, 50};
  TurnClient victim(world_);
  victim.tag = tag_of(0);
  int whole = 0;
  std::size_t bytes = 0;
  for (int i = 0; i < 400; ++i) {
    victim.address.port = static_cast<std::uint16_t>(2000 + i);
    const auto sent = victim.send(victim.request(stun::kBinding, nullptr));
    ASSERT_EQ(sent.size(), 1U) << "a plain one";
    bytes += sent[0].bytes.size();
    whole += stun::Message::parse(sent[0].bytes)->find(stun::kOtherAddress).has_value();
  }
  EXPECT_EQ(whole, 50);
  EXPECT_LE(bytes, 400U * 20 * 2);
  const std::uint64_t before = world_.refused(Refusal::kSourceRate);
  EXPECT_TRUE(victim.send(victim.request(stun::kBinding, change(kChangeIp))).empty());
  EXPECT_TRUE(victim.send(victim.request(stun::kBinding, port(9))).empty()) << "no error either";
  EXPECT_EQ(world_.refused(Refusal::kSourceRate), before + 2);
  world_.run(Seconds(1));
  EXPECT_EQ(victim.send(victim.request(stun::kBinding, change(kChangeIp))).size(), 1U);
}

TEST_F(Discovery, of_ipv6) {
  turn::DiscoveryPlaces places;
  for (std::uint32_t i = 0; i < places.size(); ++i) {
    places[i] = {tag_of(10 + i), turn_address(i < 2 ? "[2606::9]:3478" : "[2606::a]:3478")};
    places[i].advertised.port = static_cast<std::uint16_t>(3478 + i % 2);
  }
  world_.setup.discovery.push_back(places);
  TurnClient v6(world_, "[2001:db8::7]:40000");
  v6.tag = tag_of(11);
  const auto sent = v6.send(v6.request(stun::kBinding, change(kChangeIp)));
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].tag.generation, tag_of(13).generation);
  EXPECT_EQ(sent[0].to, v6.address);
}

}  // namespace
}  // namespace turnpike::test
