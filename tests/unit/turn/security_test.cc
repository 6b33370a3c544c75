// What nobody gets before he has shown who he is, and what attackers on the way cannot do
// (docs/security.md, T11-T25).
#include <gtest/gtest.h>

#include "relay/turn/nonce.h"
#include "relay/turn/source_limits.h"
#include "tests/support/turn_fixture.h"

namespace turnpike::test {
namespace {

using turn::Refusal;

const SocketAddress kPeer = turn_address("9.9.9.9:5000");

// Bytes on an IPv4 wire with the headers of IP and UDP.
double ratio(std::size_t response, std::size_t request) {
  return static_cast<double>(response + 28) / static_cast<double>(request + 28);
}

TEST(Security, T11_a_challenge_is_small) {
  TurnWorld world;
  TurnClient client(world);
  const TurnBytes request = client.request(stun::kAllocate, TurnClient::add_udp);
  const TurnReply reply = client.send_for_reply(request);
  ASSERT_EQ(reply.code(), 401);
  const stun::Message message = *reply.message();
  EXPECT_FALSE(message.find(stun::kSoftware));
  EXPECT_EQ(message.find(stun::kErrorCode)->size(), 4U) << "no reason phrase";
  EXPECT_EQ(message.text(stun::kNonce)->size(), turn::kNonceChars);
  EXPECT_LE(ratio(reply.bytes().size(), request.size()), 2.2);
  EXPECT_LE(reply.bytes().size(), 100U);
}

TEST(Security, T11_what_leads_nowhere_gets_no_challenge) {
  TurnWorld world;
  TurnClient client(world);
  for (const std::uint16_t method :
       {stun::kAllocate, stun::kRefresh, stun::kCreatePermission, stun::kChannelBind}) {
    const TurnBytes request = client.request(method, nullptr);
    ASSERT_EQ(request.size(), 20U);
    const TurnReply reply = client.send_for_reply(request);
    EXPECT_EQ(reply.code(), method == stun::kAllocate ? 400 : 437);
    EXPECT_EQ(reply.bytes().size(), 28U);
  }
}

TEST(Security, T11_forged_requests_do_not_lock_a_source_out) {
  TurnWorld world;
  TurnClient victim(world);
  ASSERT_EQ(victim.allocate().code(), 200);
  TurnClient forger(world, "192.0.2.10:40666");
  forger.realm = TurnWorld::kRealm;
  forger.nonce = "obMatJos2wAAAAAAAAAAAAAA";
  forger.sha256_password = true;
  forger.algorithms = {0, 1, 0, 0};
  for (int i = 0; i < 10'000; ++i) {
    forger.realm = i % 2 == 0 ? TurnWorld::kRealm : "elsewhere";
    forger.ask_once(stun::kAllocate, TurnClient::add_udp);
  }
  // Whoever has a nonce goes on with it, gets the next one, and is not taken for a guesser.
  TurnClient late(world, "192.0.2.10:40001");
  EXPECT_EQ(late.ask_once(stun::kAllocate, TurnClient::add_udp).code(), 0) << "no challenge left";
  EXPECT_EQ(victim.refresh(3600).code(), 200);
  world.run(Seconds(1900));
  for (int i = 0; i < 10'000; ++i) forger.ask_once(stun::kAllocate, TurnClient::add_udp);
  EXPECT_EQ(victim.ask_once(stun::kRefresh).code(), 438);
  EXPECT_EQ(victim.refresh().code(), 200);
}

// RFC 8489 section 14.14: SOFTWARE is of any length, and nobody has to look at it.
void add_padding(stun::Writer& writer) {
  TurnClient::add_udp(writer);
  writer.add_text(stun::kSoftware, std::string(80, '-'));
}

TEST(Security, T11_who_pads_a_request_is_answered_in_any_flood) {
  TurnWorld world;
  TurnClient victim(world);
  TurnClient forger(world, "192.0.2.10:40666");
  for (int i = 0; i < 10'000; ++i) forger.ask_once(stun::kAllocate, TurnClient::add_udp);
  EXPECT_EQ(victim.ask_once(stun::kAllocate, TurnClient::add_udp).code(), 0) << "no challenge left";
  const TurnBytes request = victim.request(stun::kAllocate, add_padding);
  const TurnReply reply = victim.send_for_reply(request);
  EXPECT_EQ(reply.code(), 401);
  EXPECT_LE(reply.bytes().size(), request.size()) << "or it would make the flood greater";
  EXPECT_EQ(victim.ask(stun::kAllocate, add_padding).code(), 200);
  // With wrong credentials it helps nobody.
  TurnClient guesser(world, "192.0.2.12:40000");
  guesser.learn(guesser.ask_once(stun::kAllocate, TurnClient::add_udp));
  guesser.password = "wrong";
  int answered = 0;
  for (int i = 0; i < 1000; ++i)
    answered += guesser.ask_once(stun::kAllocate, add_padding).code() != 0;
  EXPECT_LE(answered, 50);
}

TEST(Security, T11_a_connection_is_answered_in_any_flood_of_datagrams) {
  TurnWorld world;
  TurnClient forger(world, "192.0.2.10:40666");
  for (int i = 0; i < 10'000; ++i) {
    forger.ask_once(stun::kAllocate, TurnClient::add_udp);
    forger.ask_once(stun::kBinding);
  }
  TurnClient victim(world);
  EXPECT_EQ(victim.ask_once(stun::kBinding).code(), 0) << "no answer left";
  victim.transport = turn::ListenerTransport::kTcp;
  victim.tag = {0xfffffffe, 1};
  EXPECT_EQ(victim.ask_once(stun::kBinding).code(), 200);
  EXPECT_EQ(victim.allocate().code(), 200);
}

TEST(Security, T11_a_flood_from_some_ports_leaves_those_of_others) {
  TurnWorld world;
  TurnClient forger(world, "192.0.2.10:40666");
  for (int i = 0; i < 10'000; ++i) forger.ask_once(stun::kAllocate, TurnClient::add_udp);
  for (std::uint32_t port = 2000; port < 0x10000; port += 4096) {
    TurnClient client(world);
    client.address.port = static_cast<std::uint16_t>(port);
    const bool drained = port / 4096 == 40666 / 4096;
    EXPECT_EQ(client.ask_once(stun::kAllocate, TurnClient::add_udp).code(), drained ? 0 : 401);
  }
}

TEST(Security, T11_a_binding_response_is_hardly_longer_than_its_request) {
  TurnWorld world;
  for (const char* address : {"192.0.2.10:40000", "[2001:db8::7]:40000"}) {
    TurnClient client(world, address);
    const TurnBytes request = client.request(stun::kBinding, nullptr);
    ASSERT_EQ(request.size(), 20U);
    const TurnReply reply = client.send_for_reply(request);
    const double payload = static_cast<double>(reply.bytes().size()) / 20.0;
    EXPECT_LE(payload, client.address.ip.is_v4() ? 1.6 : 2.2);
  }
}

TEST(Security, T11_unauthenticated_sources_are_limited_by_prefix) {
  TurnWorld world;
  world.setup.source_limits = {turn::SourceLimit{2, 4}, turn::SourceLimit{1, 3},
                               turn::SourceLimit{1, 2}, turn::SourceLimit{1, 2}};
  TurnClient victim(world);
  int challenges = 0;
  for (int i = 0; i < 1000; ++i) {
    victim.address.port = static_cast<std::uint16_t>(1024 + i);
    challenges += victim.ask_once(stun::kAllocate, TurnClient::add_udp).code() == 401;
  }
  EXPECT_EQ(challenges, 3);
  EXPECT_EQ(world.refused(Refusal::kSourceRate), 997U);
  int bindings = 0;
  for (int i = 0; i < 1000; ++i) bindings += victim.ask_once(stun::kBinding).code() == 200;
  EXPECT_EQ(bindings, 4);
  // Another source is not hit, nor the same one later; a /64 is one source.
  TurnClient other(world, "192.0.2.11:40000");
  EXPECT_EQ(other.allocate().code(), 200);
  world.run(Seconds(1));
  EXPECT_EQ(victim.ask_once(stun::kAllocate, TurnClient::add_udp).code(), 401);
  EXPECT_EQ(victim.ask_once(stun::kAllocate, TurnClient::add_udp).code(), 0);
  TurnClient v6(world, "[2001:db8::1]:40000");
  int v6_challenges = 0;
  for (std::uint8_t i = 0; i < 100; ++i) {
    v6.address.ip.bytes[15] = i;
    v6_challenges += v6.ask_once(stun::kAllocate, TurnClient::add_udp).code() == 401;
  }
  EXPECT_EQ(v6_challenges, 3);
  v6.address.ip.bytes[7] = 1;
  EXPECT_EQ(v6.ask_once(stun::kAllocate, TurnClient::add_udp).code(), 401);
}

TEST(Security, T12_nothing_is_kept_of_who_has_not_authenticated) {
  TurnWorld world;
  TurnClient client(world);
  for (int i = 0; i < 100'000; ++i) {
    client.address.ip.bytes = {192, static_cast<std::uint8_t>(i >> 16),
                               static_cast<std::uint8_t>(i >> 8), static_cast<std::uint8_t>(i)};
    ASSERT_EQ(client.ask_once(stun::kAllocate, TurnClient::add_udp).code(), 401);
  }
  EXPECT_EQ(world.engine().allocations(), 0U);
  EXPECT_EQ(world.ports.in_use(), 0U);
  EXPECT_EQ(world.engine().next_deadline(), Instant::max()) << "nothing to forget later";
}

TEST(Security, T12_a_nonce_is_good_at_its_address_only) {
  TurnWorld world;
  TurnClient client(world);
  client.learn(client.ask_once(stun::kAllocate, TurnClient::add_udp));
  const std::string nonce = client.nonce;
  for (const char* address : {"192.0.2.10:40001", "192.0.2.11:40000", "[2001:db8::7]:40000"}) {
    TurnClient other(world, address);
    other.realm = client.realm;
    other.nonce = nonce;
    const TurnReply reply = other.ask_once(stun::kAllocate, TurnClient::add_udp);
    EXPECT_EQ(reply.code(), 438) << address;
    EXPECT_NE(reply.text(stun::kNonce), nonce);
    other.learn(reply);
    EXPECT_EQ(other.allocate().code(), 200);
  }
  EXPECT_EQ(world.refused(Refusal::kStaleNonce), 3U);
  EXPECT_EQ(client.allocate().code(), 200);
}

TEST(Security, T14_ports_and_quotas_return) {
  TurnWorld world;
  world.realm().quotas.allocations_per_user = 3;
  std::mt19937 random(1);
  for (int round = 0; round < 300; ++round) {
    std::vector<TurnClient> clients;
    for (int i = 0; i < 5; ++i) {
      clients.emplace_back(world, ("192.0.2.10:" + std::to_string(40000 + i)).c_str());
      const std::uint8_t kind = static_cast<std::uint8_t>(random() % 4);
      clients.back().allocate([kind](stun::Writer& w) {
        if (kind == 1) w.add(stun::kEvenPort, TurnBytes{0x80});
        if (kind == 2) w.add(stun::kEvenPort, TurnBytes{0});
        if (kind == 3) w.add(stun::kAdditionalAddressFamily, TurnBytes{2, 0, 0, 0});
      });
    }
    ASSERT_LE(world.engine().allocations(), 3U);
    for (TurnClient& client : clients) {
      if (random() % 2 == 0) client.refresh(0);
    }
    world.run(Seconds(700));
    ASSERT_EQ(world.engine().allocations(), 0U);
    ASSERT_EQ(world.ports.in_use(), 0U);
  }
  EXPECT_EQ(world.total(&turn::ClientCounters::allocations_opened),
            world.total(&turn::ClientCounters::allocations_closed));
  TurnClient last(world);
  EXPECT_EQ(last.allocate().code(), 200);
}

TEST(Security, T16_nonces_tokens_and_transactions_differ) {
  TurnWorld world;
  std::set<std::string> nonces;
  std::set<std::uint64_t> tokens;
  world.realm().quotas.allocations_per_user = 0;
  for (int i = 0; i < 30; ++i) {
    TurnClient client(world, ("192.0.2.10:" + std::to_string(40000 + i)).c_str());
    const TurnReply reply =
        client.allocate([](stun::Writer& w) { w.add(stun::kEvenPort, TurnBytes{0x80}); });
    ASSERT_EQ(reply.code(), 200);
    nonces.insert(client.nonce);
    tokens.insert(reply.message()->u64(stun::kReservationToken).value_or(0));
  }
  EXPECT_EQ(nonces.size(), 30U);
  EXPECT_EQ(tokens.size(), 30U);
  TurnClient client(world);
  client.transaction[0] = 1;
  ASSERT_EQ(client.allocate().code(), 437);
  ASSERT_EQ(client.permit({kPeer}).code(), 200);
  std::set<stun::TransactionId> transactions;
  client.relayed = world.ports.bound.begin()->second;
  for (int i = 0; i < 100; ++i) {
    const auto sent = client.from_peer(kPeer, {1});
    ASSERT_EQ(sent.size(), 1U);
    transactions.insert(stun::Message::parse(sent[0].bytes)->transaction());
  }
  EXPECT_EQ(transactions.size(), 100U);
}

TEST(Security, T16_secrets_come_from_the_generator_that_is_given) {
  TurnWorld world;
  TurnWorld same;
  std::mt19937_64 other(99);
  same.setup.random = [&other](void* data, std::size_t size) {
    auto* bytes = static_cast<std::uint8_t*>(data);
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::uint8_t>(other());
  };
  std::array<std::uint64_t, 2> tokens{};
  std::array<stun::TransactionId, 2> transactions{};
  for (std::size_t i = 0; TurnWorld* const each : {&world, &same}) {
    TurnClient client(*each);
    const TurnReply reply =
        client.allocate([](stun::Writer& w) { w.add(stun::kEvenPort, TurnBytes{0x80}); });
    tokens[i] = reply.message()->u64(stun::kReservationToken).value_or(0);
    ASSERT_EQ(client.permit({kPeer}).code(), 200);
    transactions[i++] = stun::Message::parse(client.from_peer(kPeer, {1})[0].bytes)->transaction();
  }
  EXPECT_NE(tokens[0], tokens[1]);
  EXPECT_NE(transactions[0], transactions[1]);
}

TEST(Security, T17_a_nonce_gets_old) {
  TurnWorld world;
  TurnClient client(world);
  ASSERT_EQ(client.allocate().code(), 200);
  EXPECT_LE(world.settings.nonce_lifetime, Seconds(3600));
  const std::string first = client.nonce;
  for (int i = 0; i < 3; ++i) {
    world.run(Seconds(500));
    ASSERT_EQ(client.ask_once(stun::kRefresh).code(), 200);
  }
  world.run(Seconds(301));
  const TurnReply reply = client.ask_once(stun::kRefresh);
  EXPECT_EQ(reply.code(), 438);
  EXPECT_NE(reply.text(stun::kNonce), first);
  EXPECT_EQ(reply.text(stun::kRealm), TurnWorld::kRealm);
  client.learn(reply);
  EXPECT_EQ(client.ask_once(stun::kRefresh).code(), 200);
}

TEST(Security, T17_an_old_nonce_never_gets_good_again) {
  std::array<std::uint8_t, 32> key{};
  const turn::Nonces nonces(key);
  const SocketAddress client = turn_address("192.0.2.10:40000");
  const Instant made(Seconds(1000));
  const turn::NonceText text = nonces.make(client, 0xc0, made);
  const std::string_view nonce(text.data(), text.size());
  EXPECT_TRUE(nonce.starts_with("obMatJos2wAAA"));
  using Verdict = turn::Nonces::Verdict;
  const auto good = [&](Instant now) {
    return nonces.judge(nonce, client, 0xc0, now, Seconds(1800)) == Verdict::kGood;
  };
  EXPECT_TRUE(good(made));
  EXPECT_TRUE(good(made + Seconds(1800)));
  EXPECT_FALSE(good(made + Seconds(1801)));
  EXPECT_FALSE(good(made - Seconds(1)));
  for (int wraps = 1; wraps < 5; ++wraps) EXPECT_FALSE(good(made + wraps * Seconds(65536)));
  // Every character counts.
  for (std::size_t i = 0; i < nonce.size(); ++i) {
    std::string other(nonce);
    other[i] = other[i] == 'A' ? 'B' : 'A';
    const Instant later = made + Seconds(5000);
    EXPECT_EQ(nonces.judge(other, client, 0xc0, later, Seconds(1800)), Verdict::kForeign) << i;
    other.resize(i);
    EXPECT_EQ(nonces.judge(other, client, 0xc0, later, Seconds(1800)), Verdict::kForeign);
  }
  EXPECT_EQ(nonces.judge(nonce, client, 0x80, made, Seconds(1800)), Verdict::kForeign);
  EXPECT_EQ(nonces.judge(nonce, client, 0xc0, made + Seconds(5000), Seconds(1800)), Verdict::kOld);
}

TEST(Security, T18_guessing_is_limited) {
  TurnWorld world;
  world.setup.source_limits[2] = {1, 5};
  TurnClient guesser(world);
  guesser.learn(guesser.ask_once(stun::kAllocate, TurnClient::add_udp));
  int answers = 0;
  for (int i = 0; i < 1000; ++i) {
    guesser.password = "guess " + std::to_string(i);
    answers += guesser.ask_once(stun::kAllocate, TurnClient::add_udp).code() == 401;
  }
  EXPECT_EQ(answers, 5);
  EXPECT_EQ(world.refused(Refusal::kBadCredentials), 5U);
  guesser.password = TurnWorld::kPassword;
  EXPECT_EQ(guesser.ask_once(stun::kAllocate, TurnClient::add_udp).code(), 0)
      << "the right one would tell by being answered";
  world.run(Seconds(1));
  EXPECT_EQ(guesser.ask_once(stun::kAllocate, TurnClient::add_udp).code(), 200);
  // Who has an allocation behind the same address goes on meanwhile.
  TurnClient second(world, "192.0.2.10:40001");
  second.learn(second.ask_once(stun::kAllocate, TurnClient::add_udp));
  second.password = "guess";
  for (int i = 0; i < 20; ++i) second.ask_once(stun::kAllocate, TurnClient::add_udp);
  EXPECT_EQ(guesser.refresh().code(), 200);
  guesser.userhash = true;
  EXPECT_EQ(guesser.refresh().code(), 200);
  // But it is no way to guess the passwords of others.
  TurnClient bob = guesser;
  bob.user = "bob";
  EXPECT_EQ(bob.ask_once(stun::kRefresh).code(), 0);
  bob.userhash = false;
  EXPECT_EQ(bob.ask_once(stun::kRefresh).code(), 0);
}

TEST(Security, T18_unknown_users_and_wrong_passwords_look_alike) {
  TurnWorld world;
  TurnClient wrong(world);
  wrong.learn(wrong.ask_once(stun::kAllocate, TurnClient::add_udp));
  wrong.password = "wrong";
  TurnClient unknown = wrong;
  unknown.user = "carol";
  unknown.password = TurnWorld::kPassword;
  EXPECT_EQ(wrong.ask_once(stun::kAllocate, TurnClient::add_udp).bytes(),
            unknown.ask_once(stun::kAllocate, TurnClient::add_udp).bytes());
  // Nor is there a key that fits a user that is not there.
  TurnClient zero = wrong;
  zero.user = "carol";
  TurnBytes buffer(500);
  stun::Writer writer(buffer, stun::Class::kRequest, stun::kAllocate, {});
  TurnClient::add_udp(writer);
  zero.add_credentials(writer);
  writer.add_integrity([](stun::Bytes message, std::uint8_t* code) {
    hmac_sha1(make_hmac_sha1_key(TurnBytes(16)), message, {}, code);
  });
  const stun::Bytes bytes = writer.finish();
  EXPECT_EQ(zero.send_for_reply({bytes.begin(), bytes.end()}).code(), 401);
}

TEST(Security, T22_lengths_that_lie_are_refused) {
  TurnWorld world;
  TurnClient client(world);
  ASSERT_EQ(client.allocate().code(), 200);
  const TurnBytes request = client.request(
      stun::kRefresh, [](stun::Writer& writer) { writer.add_u32(stun::kLifetime, 700); });
  for (std::size_t i = 0; i < request.size(); ++i) {
    for (const int value : {0x00, 0x01, 0x7f, 0x80, 0xff}) {
      TurnBytes broken = request;
      if (broken[i] == value) continue;
      broken[i] = static_cast<std::uint8_t>(value);
      const int code = client.send_for_reply(broken).code();
      ASSERT_NE(code, 200) << i << " " << value;
    }
    TurnBytes cut(request.begin(), request.begin() + static_cast<std::ptrdiff_t>(i));
    ASSERT_EQ(client.send_for_reply(cut).code(), 0);
    world.run(Seconds(20));  // so that limits of the source do not hide an answer
    if (i % 20 == 0) {
      ASSERT_EQ(client.refresh(700).code(), 200);
    }
  }
  // Names of any length, up to what fits.
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{508}, std::size_t{509}, std::size_t{1400}}) {
    TurnClient other(world, "192.0.2.77:40000", std::string(size, 'x'));
    EXPECT_EQ(other.allocate().code(), 401);
  }
}

// As the code of a request is made by its sender, it says nothing of what it holds.
TEST(Security, T22_authentic_attributes_of_wrong_lengths_are_refused) {
  struct Attribute {
    std::uint16_t type;
    std::size_t bytes;
    std::uint16_t method;
  };
  constexpr Attribute kAttributes[] = {
      {stun::kRequestedTransport, 4, stun::kAllocate},
      {stun::kLifetime, 4, stun::kAllocate},
      {stun::kEvenPort, 1, stun::kAllocate},
      {stun::kReservationToken, 8, stun::kAllocate},
      {stun::kRequestedAddressFamily, 4, stun::kAllocate},
      {stun::kAdditionalAddressFamily, 4, stun::kAllocate},
      {stun::kLifetime, 4, stun::kRefresh},
      {stun::kXorPeerAddress, 8, stun::kCreatePermission},
      {stun::kChannelNumber, 4, stun::kChannelBind},
      {stun::kXorPeerAddress, 8, stun::kChannelBind},
  };
  for (const Attribute& attribute : kAttributes) {
    TurnBytes value(21, 1);  // good but for its length
    value[0] = attribute.type == stun::kChannelNumber ? 0x40 : 17;
    for (std::size_t bytes = 0; bytes <= value.size(); ++bytes) {
      if (bytes == attribute.bytes) continue;
      TurnWorld world;
      TurnClient client(world);
      if (attribute.method != stun::kAllocate) {
        ASSERT_EQ(client.allocate().code(), 200);
      }
      const TurnReply reply = client.ask(attribute.method, [&](stun::Writer& writer) {
        if (attribute.method == stun::kAllocate && attribute.type != stun::kRequestedTransport) {
          TurnClient::add_udp(writer);
        }
        writer.add(attribute.type, stun::Bytes(value).first(bytes));
        if (attribute.type == stun::kChannelNumber) {
          writer.add_xor_address(stun::kXorPeerAddress, kPeer);
        } else if (attribute.method == stun::kChannelBind) {
          writer.add_u32(stun::kChannelNumber, 0x40000000);
        }
      });
      EXPECT_EQ(reply.code(), 400) << attribute.type << " of " << bytes;
    }
  }
}

TEST(Security, T23_attributes_behind_message_integrity_are_not_seen) {
  TurnWorld world;
  TurnClient client(world);
  ASSERT_EQ(client.allocate().code(), 200);
  const TurnReply refreshed = client.send_for_reply(client.request(
      stun::kRefresh, nullptr, [](stun::Writer& writer) { writer.add_u32(stun::kLifetime, 0); }));
  EXPECT_EQ(refreshed.lifetime(), 600U);
  EXPECT_EQ(world.engine().allocations(), 1U);
  const TurnReply permitted = client.send_for_reply(client.request(
      stun::kCreatePermission,
      [](stun::Writer& w) { w.add_xor_address(stun::kXorPeerAddress, kPeer); },
      [](stun::Writer& w) {
        w.add_xor_address(stun::kXorPeerAddress, turn_address("8.8.8.8:5000"));
        w.add_u32(0x7abc, 1);
      }));
  EXPECT_EQ(permitted.code(), 200);
  EXPECT_TRUE(client.send_indication(turn_address("8.8.8.8:5000"), {1}).empty());
  EXPECT_EQ(client.send_indication(kPeer, {1}).size(), 1U);
}

TEST(Security, T24_an_allocation_belongs_to_its_user) {
  TurnWorld world;
  TurnClient alice(world);
  ASSERT_EQ(alice.allocate().code(), 200);
  TurnClient bob = alice;
  bob.user = "bob";
  EXPECT_EQ(bob.refresh(0).code(), 441);
  EXPECT_EQ(bob.permit({kPeer}).code(), 441);
  EXPECT_EQ(bob.bind(0x4000, kPeer).code(), 441);
  EXPECT_EQ(bob.allocate().code(), 437);
  EXPECT_TRUE(alice.send_indication(kPeer, {1}).empty());
  EXPECT_EQ(world.refused(Refusal::kWrongCredentials), 3U);
  EXPECT_EQ(world.engine().allocations(), 1U);
  EXPECT_EQ(alice.refresh(0).code(), 200);
  // A retransmission by somebody else is none.
  TurnClient first(world, "192.0.2.10:40005");
  first.learn(first.ask_once(stun::kAllocate, TurnClient::add_udp));
  TurnClient second = first;
  second.user = "bob";
  EXPECT_EQ(first.ask_once(stun::kAllocate, TurnClient::add_udp).code(), 200);
  EXPECT_EQ(second.ask_once(stun::kAllocate, TurnClient::add_udp).code(), 437);
}

TEST(Security, T25_better_algorithms_cannot_be_taken_away) {
  TurnWorld world;
  TurnClient client(world);
  const TurnReply challenge = client.ask_once(stun::kAllocate, TurnClient::add_udp);
  EXPECT_TRUE(challenge.text(stun::kNonce).starts_with("obMatJos2wAAA"));
  const stun::Message message = *challenge.message();
  ASSERT_TRUE(message.find(stun::kPasswordAlgorithms));
  const stun::Bytes algorithms = *message.find(stun::kPasswordAlgorithms);
  EXPECT_EQ(TurnBytes(algorithms.begin(), algorithms.end()), client.algorithms);
  client.learn(challenge);
  client.sha256_password = client.sha256_code = true;
  TurnClient good = client;
  // A list that is not the one that we sent.
  client.algorithms = {0, 1, 0, 0};
  EXPECT_EQ(client.ask_once(stun::kAllocate, TurnClient::add_udp).code(), 400);
  client.algorithms = {0, 1, 0, 0, 0, 2, 0, 0};
  EXPECT_EQ(client.ask_once(stun::kAllocate, TurnClient::add_udp).code(), 400);
  client.algorithms.clear();
  EXPECT_EQ(client.ask_once(stun::kAllocate, TurnClient::add_udp).code(), 400);
  EXPECT_EQ(world.refused(Refusal::kBidDown), 3U);
  // One of the two alone, or an algorithm that was not offered.
  TurnClient plain = good;
  plain.sha256_password = false;
  const auto with = [&plain](std::uint16_t type, const TurnBytes& value) {
    return plain
        .ask_once(stun::kAllocate,
                  [&](stun::Writer& w) { TurnClient::add_udp(w), w.add(type, value); })
        .code();
  };
  EXPECT_EQ(with(stun::kPasswordAlgorithm, {0, 2, 0, 0}), 400);
  EXPECT_EQ(with(stun::kPasswordAlgorithms, good.algorithms), 400);
  // A nonce that no longer says so.
  TurnClient stripped = good;
  stripped.nonce.replace(9, 4, "AAAA");
  EXPECT_EQ(stripped.ask_once(stun::kAllocate, TurnClient::add_udp).code(), 438);
  const TurnReply reply = good.ask_once(stun::kAllocate, TurnClient::add_udp);
  EXPECT_EQ(reply.code(), 200);
  EXPECT_TRUE(good.is_sealed(reply));
}

}  // namespace
}  // namespace turnpike::test
