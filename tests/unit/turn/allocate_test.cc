// Allocate (RFC 8656 section 7): what is granted, what is refused and with which code.
#include <gtest/gtest.h>

#include "tests/support/turn_fixture.h"

namespace turnpike::test {
namespace {

using turn::Refusal;

TurnClient::Fill byte(std::uint16_t type, std::uint8_t value) {
  return [=](stun::Writer& writer) { writer.add(type, TurnBytes{value}); };
}
TurnClient::Fill family(std::uint16_t type, std::uint8_t value) {
  return [=](stun::Writer& writer) { writer.add(type, TurnBytes{value, 0, 0, 0}); };
}

TEST(TurnAllocate, gives_a_relayed_address_after_one_challenge) {
  TurnWorld world;
  TurnClient client(world);
  const TurnReply challenge = client.ask_once(stun::kAllocate, TurnClient::add_udp);
  EXPECT_EQ(challenge.code(), 401);
  EXPECT_EQ(challenge.text(stun::kRealm), TurnWorld::kRealm);
  EXPECT_EQ(world.engine().allocations(), 0U);
  client.learn(challenge);
  const TurnReply reply = client.allocate();
  ASSERT_EQ(reply.code(), 200);
  EXPECT_TRUE(client.is_sealed(reply));
  EXPECT_EQ(reply.message()->xor_address(stun::kXorMappedAddress), client.address);
  EXPECT_EQ(reply.relayed().ip, world.ports.relay_v4.ip);
  EXPECT_EQ(reply.lifetime(), 600U);
  EXPECT_EQ(world.engine().allocations(), 1U);
  EXPECT_EQ(world.ports.bound.size(), 1U);
  EXPECT_EQ(world.total(&turn::ClientCounters::allocations_opened), 1U);
}

TEST(TurnAllocate, is_answered_alike_when_it_comes_again) {
  TurnWorld world;
  TurnClient client(world);
  ASSERT_EQ(client.allocate().code(), 200);
  TurnClient second(world, "192.0.2.10:40001");
  second.learn(second.ask_once(stun::kAllocate, TurnClient::add_udp));
  const TurnBytes request = second.request(stun::kAllocate, [](stun::Writer& writer) {
    TurnClient::add_udp(writer);
    writer.add(stun::kEvenPort, TurnBytes{0x80});
    writer.add_u32(stun::kLifetime, 900);
  });
  const TurnReply first = second.send_for_reply(request);
  ASSERT_EQ(first.code(), 200);
  const TurnReply again = second.send_for_reply(request);
  EXPECT_EQ(again.bytes(), first.bytes());
  EXPECT_EQ(world.engine().allocations(), 2U);
  // Another request on the same 5-tuple is none.
  EXPECT_EQ(second.allocate().code(), 437);
  EXPECT_EQ(world.refused(Refusal::kMismatch), 1U);
}

TEST(TurnAllocate, needs_a_transport_that_there_is) {
  TurnWorld world;
  TurnClient client(world);
  EXPECT_EQ(client.ask(stun::kAllocate).code(), 400);
  EXPECT_EQ(client.ask(stun::kAllocate, byte(stun::kRequestedTransport, 17)).code(), 400);
  const auto tcp = [](stun::Writer& writer) {
    writer.add_u32(stun::kRequestedTransport, 6U << 24);
  };
  EXPECT_EQ(client.ask(stun::kAllocate, tcp).code(), 442);
  EXPECT_EQ(client.allocate(byte(stun::kLifetime, 1)).code(), 400);
  EXPECT_EQ(world.refused(Refusal::kUnsupportedTransport), 1U);
  EXPECT_EQ(world.engine().allocations(), 0U);
}

TEST(TurnAllocate, lifetimes_stay_within_bounds) {
  TurnWorld world;
  const std::pair<std::uint32_t, std::uint32_t> asked_granted[] = {
      {0, 600}, {599, 600}, {601, 601}, {3600, 3600}, {3601, 3600}, {0xffffffff, 3600}};
  int port = 40000;
  for (const auto& [asked, granted] : asked_granted) {
    TurnClient client(world, ("192.0.2.10:" + std::to_string(++port)).c_str());
    const TurnReply reply = client.allocate(
        [asked = asked](stun::Writer& writer) { writer.add_u32(stun::kLifetime, asked); });
    EXPECT_EQ(reply.lifetime(), granted);
  }
}

TEST(TurnAllocate, families_by_request) {
  TurnWorld world;
  TurnClient v6(world, "[2001:db8::7]:40000");
  EXPECT_EQ(v6.allocate(family(stun::kRequestedAddressFamily, 2)).relayed().ip,
            world.ports.relay_v6.ip);
  TurnClient none(world, "192.0.2.10:40001");
  EXPECT_EQ(none.allocate(family(stun::kRequestedAddressFamily, 3)).code(), 440);
  EXPECT_EQ(none.allocate(byte(stun::kRequestedAddressFamily, 1)).code(), 400);
  TurnWorld v4_only;
  v4_only.setup.ipv6 = false;
  TurnClient other(v4_only);
  EXPECT_EQ(other.allocate(family(stun::kRequestedAddressFamily, 2)).code(), 440);
  EXPECT_EQ(v4_only.refused(Refusal::kFamily), 1U);
  EXPECT_EQ(other.allocate(family(stun::kRequestedAddressFamily, 1)).code(), 200);
}

TEST(TurnAllocate, both_families_at_once) {
  TurnWorld world;
  TurnClient client(world);
  const TurnReply reply = client.allocate(family(stun::kAdditionalAddressFamily, 2));
  ASSERT_EQ(reply.code(), 200);
  std::size_t at = 0;
  const stun::Message message = *reply.message();
  const auto first = message.find_next(stun::kXorRelayedAddress, at);
  const auto second = message.find_next(stun::kXorRelayedAddress, at);
  ASSERT_TRUE(first && second);
  EXPECT_EQ(message.xor_address_in(*first)->ip, world.ports.relay_v4.ip);
  EXPECT_EQ(message.xor_address_in(*second)->ip, world.ports.relay_v6.ip);
  EXPECT_FALSE(message.find(stun::kAddressErrorCode));
  // Half of it can end alone.
  EXPECT_EQ(client.refresh(0, family(stun::kRequestedAddressFamily, 1)).code(), 200);
  EXPECT_EQ(world.ports.bound.size(), 1U);
  EXPECT_EQ(client.permit({turn_address("9.9.9.9:1")}).code(), 443);
  EXPECT_EQ(client.permit({turn_address("[2620:fe::fe]:1")}).code(), 200);
  EXPECT_EQ(client.refresh(0, family(stun::kRequestedAddressFamily, 1)).code(), 443);
  EXPECT_EQ(client.refresh(0, family(stun::kRequestedAddressFamily, 2)).code(), 200);
  EXPECT_EQ(world.engine().allocations(), 0U);
  EXPECT_EQ(world.ports.in_use(), 0U);
}

TEST(TurnAllocate, additional_family_that_cannot_be_had_is_told) {
  TurnWorld world;
  world.setup.ipv6 = false;
  TurnClient client(world);
  const TurnReply reply = client.allocate(family(stun::kAdditionalAddressFamily, 2));
  ASSERT_EQ(reply.code(), 200);
  EXPECT_EQ(reply.relayed().ip, world.ports.relay_v4.ip);
  const stun::Message message = *reply.message();
  ASSERT_TRUE(message.find(stun::kAddressErrorCode));
  const stun::Bytes value = *message.find(stun::kAddressErrorCode);
  EXPECT_EQ(TurnBytes(value.begin(), value.end()), (TurnBytes{2, 0, 4, 40}));
}

TEST(TurnAllocate, attributes_that_exclude_each_other) {
  TurnWorld world;
  TurnClient client(world);
  const auto with = [&client](const std::vector<TurnClient::Fill>& fills) {
    return client
        .allocate([&fills](stun::Writer& writer) {
          for (const auto& fill : fills) fill(writer);
        })
        .code();
  };
  const auto token = [](stun::Writer& writer) { writer.add_u64(stun::kReservationToken, 1); };
  EXPECT_EQ(with({token, byte(stun::kEvenPort, 0)}), 400);
  EXPECT_EQ(with({token, family(stun::kRequestedAddressFamily, 1)}), 400);
  EXPECT_EQ(with({token, family(stun::kAdditionalAddressFamily, 2)}), 400);
  EXPECT_EQ(with({byte(stun::kReservationToken, 1)}), 400);
  EXPECT_EQ(
      with({family(stun::kRequestedAddressFamily, 1), family(stun::kAdditionalAddressFamily, 2)}),
      400);
  EXPECT_EQ(with({family(stun::kAdditionalAddressFamily, 1)}), 400);
  EXPECT_EQ(with({byte(stun::kEvenPort, 0x80), family(stun::kAdditionalAddressFamily, 2)}), 400);
  EXPECT_EQ(with({[](stun::Writer& writer) { writer.add_u32(stun::kEvenPort, 0); }}), 400);
  EXPECT_EQ(with({token}), 508);  // a token of nobody
  EXPECT_EQ(world.engine().allocations(), 0U);
  EXPECT_EQ(world.ports.in_use(), 0U);
  EXPECT_EQ(
      with({byte(stun::kEvenPort, 0), [](stun::Writer& w) { w.add_flag(stun::kDontFragment); }}),
      200);
}

TEST(TurnAllocate, reserved_port_is_the_next_one_of_the_same_user) {
  TurnWorld world;
  TurnClient client(world);
  const TurnReply first = client.allocate(byte(stun::kEvenPort, 0x80));
  ASSERT_EQ(first.code(), 200);
  EXPECT_EQ(first.relayed().port % 2, 0);
  const std::uint64_t token = first.message()->u64(stun::kReservationToken).value_or(0);
  ASSERT_NE(token, 0U);
  const auto with_token = [token](stun::Writer& w) { w.add_u64(stun::kReservationToken, token); };
  TurnClient thief(world, "192.0.2.99:40000", "bob");
  EXPECT_EQ(thief.allocate(with_token).code(), 508);
  TurnClient second(world, "192.0.2.10:40001");
  const TurnReply reply = second.allocate(with_token);
  ASSERT_EQ(reply.code(), 200);
  EXPECT_EQ(reply.relayed().port, first.relayed().port + 1);
  TurnClient third(world, "192.0.2.10:40002");
  EXPECT_EQ(third.allocate(with_token).code(), 508) << "a token is good once";
}

TEST(TurnAllocate, unclaimed_reservation_is_let_go) {
  TurnWorld world;
  TurnClient client(world);
  ASSERT_EQ(client.allocate(byte(stun::kEvenPort, 0x80)).code(), 200);
  EXPECT_EQ(world.ports.reserved.size(), 1U);
  world.run(Seconds(29));
  EXPECT_EQ(world.ports.reserved.size(), 1U);
  world.run(Seconds(2));
  EXPECT_EQ(world.ports.reserved.size(), 0U);
}

TEST(TurnAllocate, tokens_are_good_on_every_shard) {
  TurnWorld world;
  TurnClient client(world);
  const TurnReply first = client.allocate(byte(stun::kEvenPort, 0x80));
  ASSERT_EQ(first.code(), 200);
  TurnWorld other;
  other.setup.shared = world.setup.shared;
  other.setup.shard = 1;
  other.realm().quotas.allocations_per_user = 2;
  other.ports.reserved = world.ports.reserved;  // one pool of ports
  TurnClient second(other, "192.0.2.10:40001");
  const std::uint64_t token = *first.message()->u64(stun::kReservationToken);
  const auto with_token = [token](stun::Writer& w) { w.add_u64(stun::kReservationToken, token); };
  EXPECT_EQ(second.allocate(with_token).code(), 200) << "the port was counted before";
  TurnClient third(other, "192.0.2.10:40002");
  EXPECT_EQ(third.allocate().code(), 486);
  world.run(Seconds(60));  // the shard that has reserved it lets nothing go
  EXPECT_EQ(third.allocate().code(), 486);
  EXPECT_EQ(client.refresh(0).code(), 200);
  EXPECT_EQ(third.allocate().code(), 200);
}

TEST(TurnAllocate, quotas_of_user_and_realm) {
  TurnWorld world;
  world.realm().quotas.allocations_per_user = 2;
  world.realm().quotas.allocations = 3;
  TurnClient a(world, "192.0.2.10:40001");
  TurnClient b(world, "192.0.2.10:40002");
  TurnClient c(world, "192.0.2.10:40003");
  EXPECT_EQ(a.allocate().code(), 200);
  EXPECT_EQ(b.allocate().code(), 200);
  EXPECT_EQ(c.allocate().code(), 486);
  TurnClient d(world, "192.0.2.11:40001", "bob");
  TurnClient e(world, "192.0.2.11:40002", "bob");
  EXPECT_EQ(d.allocate().code(), 200);
  EXPECT_EQ(e.allocate().code(), 486);
  EXPECT_EQ(world.refused(Refusal::kQuota), 2U);
  EXPECT_EQ(a.refresh(0).code(), 200);
  EXPECT_EQ(c.allocate().code(), 200);
}

TEST(TurnAllocate, quota_holds_over_all_shards) {
  TurnWorld first;
  first.realm().quotas.allocations_per_user = 1;
  TurnWorld second;
  second.setup.shared = first.setup.shared;
  second.realm().quotas.allocations_per_user = 1;
  TurnClient a(first);
  TurnClient b(second, "192.0.2.10:40002");
  EXPECT_EQ(a.allocate().code(), 200);
  EXPECT_EQ(b.allocate().code(), 486);
  EXPECT_EQ(a.refresh(0).code(), 200);
  EXPECT_EQ(b.allocate().code(), 200);
}

TEST(TurnAllocate, no_port_or_slot_is_508) {
  TurnWorld world;
  world.ports.ports_max = 1;
  TurnClient a(world);
  TurnClient b(world, "192.0.2.10:40002");
  EXPECT_EQ(a.allocate(byte(stun::kEvenPort, 0x80)).code(), 508);
  EXPECT_EQ(a.allocate().code(), 200);
  EXPECT_EQ(b.allocate().code(), 508);
  TurnWorld small;
  small.setup.allocations_max = 1;
  TurnClient c(small);
  TurnClient d(small, "192.0.2.10:40002");
  EXPECT_EQ(c.allocate().code(), 200);
  EXPECT_EQ(d.allocate().code(), 508);
  EXPECT_EQ(c.refresh(0).code(), 200);
  EXPECT_EQ(d.allocate().code(), 200);
}

TEST(TurnAllocate, draining_server_names_another) {
  TurnWorld world;
  TurnClient client(world);
  world.setup.shared->draining = true;
  EXPECT_EQ(client.allocate().code(), 486);
  world.settings.alternate = turn_address("93.184.216.200:3478");
  world.configure();
  const TurnReply reply = client.allocate();
  EXPECT_EQ(reply.code(), 300);
  EXPECT_TRUE(client.is_sealed(reply));
  const stun::Message message = *reply.message();
  ASSERT_TRUE(message.find(stun::kAlternateServer));
  const stun::Bytes value = *message.find(stun::kAlternateServer);
  EXPECT_EQ(TurnBytes(value.begin(), value.end()),
            (TurnBytes{0, 1, 0x0d, 0x96, 93, 184, 216, 200}));
  TurnClient v6(world, "[2001:db8::7]:40000");
  EXPECT_EQ(v6.allocate().code(), 486) << "the other server has no address for it";
  world.setup.shared->draining = false;
  EXPECT_EQ(client.allocate().code(), 200);
}

TEST(TurnAllocate, draining_server_lets_allocations_end_when_they_would) {
  TurnWorld world;
  TurnClient client(world);
  EXPECT_EQ(client.allocate().lifetime(), 600U);
  world.run(Seconds(100));
  world.setup.shared->draining = true;
  EXPECT_EQ(client.refresh(600).lifetime(), 500U) << "not held open by who refreshes";
  EXPECT_EQ(client.refresh().lifetime(), 500U);
  world.run(Seconds(499));
  EXPECT_EQ(client.refresh().lifetime(), 1U);
  world.run(Seconds(2));
  EXPECT_EQ(client.refresh().code(), 437);
  EXPECT_TRUE(world.ports.bound.empty());
}

TEST(TurnAllocate, busy_shard_makes_none_and_keeps_those_that_there_are) {
  TurnWorld world;
  TurnClient client(world);
  EXPECT_EQ(client.allocate().code(), 200);
  world.engine().set_busy(true);
  EXPECT_EQ(TurnClient(world, "192.0.2.11:40000").allocate().code(), 508);
  EXPECT_EQ(world.refused(turn::Refusal::kBusy), 1U);
  EXPECT_EQ(client.refresh().code(), 200);
  world.engine().set_busy(false);
  EXPECT_EQ(TurnClient(world, "192.0.2.11:40000").allocate().code(), 200);
}

TEST(TurnAllocate, a_reserved_port_counts_beforehand) {
  TurnWorld world;
  world.realm().quotas.allocations_per_user = 1;
  TurnClient client(world);
  EXPECT_EQ(client.allocate(byte(stun::kEvenPort, 0x80)).code(), 486);
  EXPECT_EQ(client.allocate(byte(stun::kEvenPort, 0)).code(), 200);
}

TEST(TurnAllocate, ports_cannot_be_worn_out_by_allocating_again_and_again) {
  TurnWorld world;
  TurnClient client(world);
  int granted = 0;
  for (int i = 0; i < 200; ++i) {
    granted += client.allocate().code() == 200;
    client.refresh(0);
  }
  EXPECT_EQ(granted, 60);
  TurnClient bob(world, "192.0.2.10:40001", "bob");
  EXPECT_EQ(bob.allocate().code(), 200);
  world.run(Seconds(1));
  EXPECT_EQ(client.allocate().code(), 200);
}

TEST(TurnAllocate, unknown_attributes_are_named) {
  TurnWorld world;
  TurnClient client(world);
  const TurnReply reply = client.allocate([](stun::Writer& writer) {
    writer.add_u32(0x7abc, 1);
    writer.add_u32(0xfabc, 1);  // may be ignored
  });
  EXPECT_EQ(reply.code(), 420);
  const stun::Message message = *reply.message();
  ASSERT_TRUE(message.find(stun::kUnknownAttributes));
  const stun::Bytes value = *message.find(stun::kUnknownAttributes);
  EXPECT_EQ(TurnBytes(value.begin(), value.end()), (TurnBytes{0x7a, 0xbc}));
}

TEST(TurnAllocate, fingerprint_as_asked) {
  TurnWorld world;
  TurnClient client(world);
  client.fingerprint = true;
  const TurnReply reply = client.allocate();
  EXPECT_TRUE(reply.message()->has_fingerprint());
  TurnClient plain(world, "192.0.2.10:40002");
  EXPECT_FALSE(plain.allocate().message()->has_fingerprint());
}

TEST(TurnAllocate, ends_in_time) {
  TurnWorld world;
  TurnClient client(world);
  ASSERT_EQ(client.allocate().code(), 200);
  world.run(Seconds(599));
  EXPECT_EQ(client.refresh(700).lifetime(), 700U);
  world.run(Seconds(699));
  EXPECT_EQ(world.engine().allocations(), 1U);
  world.run(Seconds(2));
  EXPECT_EQ(world.engine().allocations(), 0U);
  EXPECT_EQ(world.ports.in_use(), 0U);
  EXPECT_EQ(world.counters.allocations_expired.value(), 1U);
  EXPECT_EQ(world.total(&turn::ClientCounters::allocations_closed), 1U);
  EXPECT_EQ(client.refresh(700).code(), 437);
}

TEST(TurnAllocate, one_allocation_takes_two_kibibytes_at_most) {
  EXPECT_LE(turn::allocation_bytes(32), 2048U);
}

}  // namespace
}  // namespace turnpike::test
