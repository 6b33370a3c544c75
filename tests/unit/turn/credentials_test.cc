// Who may ask, with which credentials and for how long (RFC 8489 section 9.2).
#include <gtest/gtest.h>

#include "tests/support/turn_fixture.h"

namespace turnpike::test {
namespace {

using turn::Refusal;

const SocketAddress kPeer = turn_address("9.9.9.9:5000");

TEST(TurnCredentials, every_kind_of_code_and_key) {
  for (int kind = 0; kind < 8; ++kind) {
    TurnWorld world;
    TurnClient client(world);
    client.sha256_password = (kind & 1) != 0;
    client.sha256_code = (kind & 2) != 0;
    client.userhash = (kind & 4) != 0;
    const TurnReply reply = client.allocate();
    ASSERT_EQ(reply.code(), 200) << kind;
    EXPECT_TRUE(client.is_sealed(reply)) << "with the kind of code of the request";
    EXPECT_EQ(client.refresh().code(), 200);
    TurnClient wrong = client;
    wrong.password = "wrong";
    EXPECT_EQ(wrong.refresh().code(), 401);
    TurnClient unknown = client;
    unknown.user = "carol";
    EXPECT_EQ(unknown.refresh().code(), 401);
  }
}

TEST(TurnCredentials, incomplete_credentials_are_a_bad_request) {
  TurnWorld world;
  TurnClient client(world);
  client.learn(client.ask_once(stun::kAllocate, TurnClient::add_udp));
  for (int left_out = 0; left_out < 4; ++left_out) {
    TurnBytes buffer(500);
    stun::Writer writer(buffer, stun::Class::kRequest, stun::kAllocate, {});
    TurnClient::add_udp(writer);
    if (left_out != 0) writer.add_text(stun::kUsername, client.user);
    if (left_out != 1) writer.add_text(stun::kRealm, client.realm);
    if (left_out != 2) writer.add_text(stun::kNonce, client.nonce);
    if (left_out != 3) {
      client.seal(writer);
    } else {
      writer.add(stun::kMessageIntegrity, TurnBytes(16));
    }
    const stun::Bytes bytes = writer.finish();
    const TurnReply reply = client.send_for_reply({bytes.begin(), bytes.end()});
    EXPECT_EQ(reply.code(), 400) << left_out;
    EXPECT_FALSE(reply.message()->find(stun::kNonce));
    EXPECT_FALSE(reply.message()->has_integrity());
  }
  EXPECT_EQ(world.refused(Refusal::kBadRequest), 4U);
  client.realm = "elsewhere";
  EXPECT_EQ(client.ask_once(stun::kAllocate, TurnClient::add_udp).code(), 401);
}

TEST(TurnCredentials, time_limited_users_by_either_hash_and_any_secret) {
  TurnWorld world;
  world.add_secret("the newest secret of them all");
  world.add_secret("a secret with a better hash", true);
  world.add_secret("the oldest secret of them all");
  int port = 40000;
  for (const auto& secret : world.realm().secrets) {
    for (const bool sha256_password : {false, true}) {
      TurnClient client(world, ("192.0.2.10:" + std::to_string(++port)).c_str(), "dave");
      client.use_secret(secret.secret, world.wall + Seconds(60), secret.sha256);
      client.sha256_password = client.sha256_code = sha256_password;
      EXPECT_EQ(client.allocate().code(), 200);
    }
  }
  TurnClient wrong(world, "192.0.2.10:41000", "dave");
  wrong.use_secret("nobody's secret of many bytes", world.wall + Seconds(60));
  EXPECT_EQ(wrong.allocate().code(), 401);
  TurnClient other_hash(world, "192.0.2.10:41001", "dave");
  other_hash.use_secret("the oldest secret of them all", world.wall + Seconds(60), true);
  EXPECT_EQ(other_hash.allocate().code(), 401);
  // Users with passwords go on beside them.
  TurnClient alice(world, "192.0.2.10:41002");
  EXPECT_EQ(alice.allocate().code(), 200);
  EXPECT_TRUE(alice.nonce.starts_with("obMatJos2gAAA")) << "no USERHASH: it would not be found";
}

TEST(TurnCredentials, forms_of_a_time_limited_name) {
  TurnWorld world;
  world.add_secret();
  const std::string until = std::to_string((world.wall + Seconds(60)).count());
  const auto code_of = [&](const std::string& name) {
    static int port = 42000;
    TurnClient client(world, ("192.0.2.10:" + std::to_string(++port)).c_str());
    TurnClient maker(world, "192.0.2.10:1", "");
    maker.use_secret(TurnWorld::kSecret, Seconds(1));  // for the shape only
    client.user = name;
    const std::string secret = TurnWorld::kSecret;
    std::array<std::uint8_t, 20> code{};
    hmac_sha1(make_hmac_sha1_key(TurnBytes(secret.begin(), secret.end())),
              TurnBytes(name.begin(), name.end()), {}, code.data());
    client.password = base64(code);
    return client.allocate().code();
  };
  EXPECT_EQ(code_of(until), 200);
  EXPECT_EQ(code_of(until + ":"), 200);
  EXPECT_EQ(code_of(until + ":anything:else"), 200);
  EXPECT_EQ(code_of(until + "x"), 401);
  EXPECT_EQ(code_of("dave"), 401);
  EXPECT_EQ(code_of(""), 401);
  EXPECT_EQ(code_of("-5:dave"), 401);
  EXPECT_EQ(code_of("99999999999999999999:dave"), 401);
  EXPECT_EQ(code_of(std::to_string(world.wall.count()) + ":dave"), 401);
  EXPECT_EQ(world.refused(Refusal::kExpiredCredentials), 1U);
}

TEST(TurnCredentials, expiry_refuses_new_allocations_and_keeps_old_ones) {
  TurnWorld world;
  world.add_secret();
  TurnClient client(world, "192.0.2.10:40000", "dave");
  client.use_secret(TurnWorld::kSecret, world.wall + Seconds(100));
  ASSERT_EQ(client.allocate().lifetime(), 600U);
  world.run(Seconds(200));
  EXPECT_EQ(client.refresh().code(), 200);
  EXPECT_EQ(client.permit({kPeer}).code(), 200);
  TurnClient late = client;
  late.address.port = 40001;
  const TurnReply reply = late.allocate();
  EXPECT_EQ(reply.code(), 401);
  EXPECT_EQ(reply.text(stun::kRealm), TurnWorld::kRealm) << "as a challenge";
  EXPECT_EQ(world.refused(Refusal::kExpiredCredentials), 1U);
}

TEST(TurnCredentials, strict_expiry_ends_allocations) {
  TurnWorld world;
  world.add_secret();
  world.settings.strict_expiry = true;
  TurnClient client(world, "192.0.2.10:40000", "dave");
  client.use_secret(TurnWorld::kSecret, world.wall + Seconds(1000));
  EXPECT_EQ(client.allocate().lifetime(), 600U);
  world.run(Seconds(500));
  EXPECT_EQ(client.refresh(3600).lifetime(), 500U);
  world.run(Seconds(499));
  EXPECT_EQ(world.engine().allocations(), 1U);
  world.run(Seconds(2));
  EXPECT_EQ(world.engine().allocations(), 0U);
}

TEST(TurnCredentials, a_time_beyond_all_bounds_is_for_ever) {
  TurnWorld world;
  world.add_secret();
  world.settings.strict_expiry = true;
  TurnClient client(world, "192.0.2.10:40000", "dave");
  client.use_secret(TurnWorld::kSecret, Seconds(std::numeric_limits<std::int64_t>::max()));
  EXPECT_EQ(client.allocate().lifetime(), 600U);
  EXPECT_EQ(client.refresh(3600).lifetime(), 3600U);
}

TEST(TurnCredentials, a_new_time_is_no_new_user) {
  TurnWorld world;
  world.add_secret();
  world.realm().quotas.allocations_per_user = 1;
  for (int i = 0; i < 5; ++i) {
    TurnClient client(world, ("192.0.2.10:" + std::to_string(40000 + i)).c_str(), "dave");
    client.use_secret(TurnWorld::kSecret, world.wall + Seconds(60 + i));
    EXPECT_EQ(client.allocate().code(), i == 0 ? 200 : 486);
  }
  TurnClient erin(world, "192.0.2.10:40009", "erin");
  erin.use_secret(TurnWorld::kSecret, world.wall + Seconds(60));
  EXPECT_EQ(erin.allocate().code(), 200);
}

TEST(TurnCredentials, strict_expiry_takes_hold_of_what_there_is) {
  TurnWorld world;
  world.add_secret();
  TurnClient client(world, "192.0.2.10:40000", "dave");
  client.use_secret(TurnWorld::kSecret, world.wall + Seconds(100));
  ASSERT_EQ(client.allocate().code(), 200);
  world.settings.strict_expiry = true;
  world.configure();
  world.run(Seconds(99));
  EXPECT_EQ(world.engine().allocations(), 1U);
  world.run(Seconds(2));
  EXPECT_EQ(world.engine().allocations(), 0U);
}

TEST(TurnCredentials, what_is_asked_names_no_realm_before_authentication) {
  TurnWorld world;
  turn::Realm hidden;
  hidden.name = "hidden.example";
  world.settings.realms.push_back(hidden);
  TurnClient client(world);
  client.learn(client.ask_once(stun::kAllocate, [](stun::Writer& writer) {
    TurnClient::add_udp(writer);
    writer.add_text(stun::kRealm, "hidden.example");
  }));
  EXPECT_EQ(client.realm, TurnWorld::kRealm);
}

TEST(TurnCredentials, revocation_ends_allocations) {
  TurnWorld world;
  world.add_secret("the first secret of all");
  world.add_secret("the second secret of all");
  TurnClient alice(world);
  TurnClient bob(world, "192.0.2.10:40001", "bob");
  TurnClient first(world, "192.0.2.10:40002", "dave");
  first.use_secret("the first secret of all", world.wall + Seconds(3600));
  TurnClient second(world, "192.0.2.10:40003", "dave");
  second.use_secret("the second secret of all", world.wall + Seconds(3600));
  for (TurnClient* client : {&alice, &bob, &first, &second}) {
    ASSERT_EQ(client->allocate().code(), 200);
  }
  world.configure();  // nothing new
  EXPECT_EQ(world.engine().allocations(), 4U);
  world.realm().users.erase("bob");
  world.realm().secrets.erase(world.realm().secrets.begin());
  world.configure();
  EXPECT_EQ(world.engine().allocations(), 2U);
  EXPECT_EQ(world.ports.in_use(), 2U);
  EXPECT_EQ(alice.refresh().code(), 200);
  EXPECT_EQ(second.refresh().code(), 200);
  EXPECT_EQ(bob.refresh().code(), 401);
  // Another password is another credential.
  world.realm().users["alice"] = TurnWorld::keys_of("alice", TurnWorld::kRealm, "new");
  world.configure();
  EXPECT_EQ(world.engine().allocations(), 1U);
  // And without its realm nobody stays.
  world.realm().name = "elsewhere";
  world.configure();
  EXPECT_EQ(world.engine().allocations(), 0U);
  EXPECT_EQ(world.ports.in_use(), 0U);
}

turn::Realm other_realm() {
  turn::Realm other;
  other.name = "other.example";
  other.users.emplace("alice", TurnWorld::keys_of("alice", "other.example", "another password"));
  other.figures = 1;
  return other;
}

TEST(TurnCredentials, realms_have_users_and_quotas_of_their_own) {
  TurnWorld world;
  turn::Realm other = other_realm();
  other.quotas.allocations = 1;
  world.settings.realms.push_back(other);
  TurnClient here(world);
  ASSERT_EQ(here.allocate().code(), 200);
  TurnClient there(world, "192.0.2.10:40001");
  there.password = "another password";
  world.listener_realm = "other.example";
  there.learn(there.ask_once(stun::kAllocate, TurnClient::add_udp));
  EXPECT_EQ(there.realm, "other.example");
  ASSERT_EQ(there.allocate().code(), 200);
  world.listener_realm = "";
  TurnClient more = there;
  more.address.port = 40002;
  EXPECT_EQ(more.allocate().code(), 486);
  // The same name in another realm is somebody else.
  TurnClient mixed = here;
  mixed.realm = "other.example";
  mixed.password = "another password";
  EXPECT_EQ(mixed.refresh(0).code(), 441);
  // Realms are told apart by name when settings change.
  std::swap(world.settings.realms[0], world.settings.realms[1]);
  world.configure();
  EXPECT_EQ(here.refresh().code(), 200);
  EXPECT_EQ(there.refresh().code(), 200);
}

TEST(TurnCredentials, a_listener_of_a_realm_serves_no_other) {
  TurnWorld world;
  world.settings.realms.push_back(other_realm());
  world.listener_realm = "other.example";
  TurnClient alice(world);
  EXPECT_EQ(alice.allocate().code(), 401) << "the password of her other realm";
  EXPECT_EQ(alice.realm, "other.example");
  alice.realm = TurnWorld::kRealm;
  const TurnReply refused = alice.ask_once(stun::kAllocate, TurnClient::add_udp);
  EXPECT_EQ(refused.code(), 401);
  EXPECT_EQ(refused.text(stun::kRealm), "other.example") << "good credentials, wrong door";
  alice.realm = "other.example";
  alice.password = "another password";
  EXPECT_EQ(alice.allocate().code(), 200);
  // Its realm is gone: its listeners wait for a restart, and nobody comes in meanwhile.
  world.settings.realms.pop_back();
  world.configure();
  EXPECT_EQ(world.engine().allocations(), 0U);
  EXPECT_EQ(alice.allocate().code(), 401);
  TurnClient other(world, "192.0.2.10:40001");
  EXPECT_EQ(other.allocate().code(), 401);
}

TEST(TurnCredentials, where_no_realm_is_alone_clients_name_theirs) {
  TurnWorld world;
  world.settings.realms.push_back(other_realm());
  TurnClient client(world);
  client.password = "another password";
  EXPECT_EQ(client.allocate().code(), 401);
  EXPECT_EQ(client.realm, TurnWorld::kRealm) << "as it is told";
  client.realm = "other.example";
  EXPECT_EQ(client.allocate().code(), 200);
}

TEST(TurnCredentials, figures_are_of_the_realm) {
  TurnWorld world;
  world.settings.realms.push_back(other_realm());
  TurnClient here(world);
  TurnClient there(world, "192.0.2.10:40001");
  ASSERT_EQ(here.allocate().code(), 200);
  there.own_realm = "other.example";
  there.password = "another password";
  ASSERT_EQ(there.allocate().code(), 200);
  const auto& figures = world.counters.realms;
  EXPECT_EQ(figures[0].allocations_opened.value(), 1U);
  EXPECT_EQ(figures[1].allocations_opened.value(), 1U);
  const SocketAddress peer = turn_address("9.9.9.9:5000");
  ASSERT_EQ(there.permit({peer}).code(), 200);
  ASSERT_EQ(there.send_indication(peer, TurnBytes(10, 1)).size(), 1U);
  ASSERT_EQ(there.from_peer(peer, TurnBytes(7, 1)).size(), 1U);
  EXPECT_EQ(figures[1].bytes_to_peers.value(), 10U);
  EXPECT_EQ(figures[1].bytes_to_clients.value(), 7U);
  EXPECT_EQ(figures[0].bytes_to_peers.value(), 0U);
  EXPECT_EQ(there.permit({turn_address("10.0.0.1:5000")}).code(), 403);
  EXPECT_EQ(figures[1].refused.value(), 1U);
  EXPECT_EQ(figures[0].refused.value(), 0U) << "challenges can be asked for by anybody";
  // What is closed counts where it was opened, even when its realm is no more.
  world.settings.realms.pop_back();
  world.configure();
  EXPECT_EQ(figures[1].allocations_closed.value(), 1U);
  EXPECT_EQ(figures[0].allocations_closed.value(), 0U);
}

TEST(TurnCredentials, without_realms_nobody_comes_in) {
  TurnWorld world;
  world.settings.realms.clear();
  TurnClient client(world);
  EXPECT_EQ(client.ask_once(stun::kBinding).code(), 200);
  EXPECT_EQ(client.allocate().code(), 401);
  EXPECT_EQ(client.allocate().code(), 401);
}

}  // namespace
}  // namespace turnpike::test
