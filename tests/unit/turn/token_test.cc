// Tokens of an authorization server (RFC 7635): what they are, how long they hold, and that a token
// alone opens nothing.
#include <string>

#include <gtest/gtest.h>

#include "relay/turn/access_token.h"
#include "tests/support/access_token.h"
#include "tests/support/turn_fixture.h"

namespace turnpike::test {
namespace {

using turn::Refusal;

const std::string kLong = "01234567890123456789012345678901";
const std::string kShort = "1234567890123456";
const std::string kServer = "turn.example.org";
const SocketAddress kPeer = turn_address("9.9.9.9:5000");

TurnBytes of_text(std::string_view text) {
  return {text.begin(), text.end()};
}

TEST(AccessToken, opens_the_sample_of_rfc_7635_appendix_a) {
  const TurnBytes token = {0x00, 0x0c, 0x68, 0x34, 0x6a, 0x33, 0x6b, 0x32, 0x6c, 0x32, 0x6e,
                           0x34, 0x62, 0x35, 0x61, 0x7e, 0xf1, 0x34, 0xa3, 0xd5, 0xe4, 0x4e,
                           0x9a, 0x19, 0xcc, 0x7d, 0xc1, 0x04, 0xb0, 0xc0, 0x3d, 0x03, 0xb2,
                           0xa5, 0x51, 0xd8, 0xfd, 0xf5, 0xcd, 0x3b, 0x6d, 0xca, 0x6f, 0x10,
                           0xcf, 0xb7, 0x7e, 0x5b, 0x2d, 0xde, 0xc8, 0x4d, 0x29, 0x3a, 0x5c,
                           0x50, 0x49, 0x93, 0x59, 0xf0, 0xc2, 0xe2, 0x6f, 0x76};
  const std::string key = "HGkj32KJGiuy098sdfaqbNjOiaz71923";
  const auto opened = turn::open_token(key, "blackdow.carleon.gov", token);
  ASSERT_TRUE(opened);
  EXPECT_EQ(TurnBytes(opened->key.bytes().begin(), opened->key.bytes().end()),
            of_text("ZksjpweoixXmvn67534m"));
  EXPECT_EQ(opened->issued, Seconds(92470300704768 >> 16));
  EXPECT_EQ(opened->lifetime, Seconds(3600));
  EXPECT_FALSE(turn::open_token(key, "blackdow.carleon.com", token));
  EXPECT_FALSE(turn::open_token(kLong, "blackdow.carleon.gov", token));
  for (std::size_t i = 0; i < token.size(); ++i) {
    TurnBytes other = token;
    other[i] ^= 1;
    EXPECT_FALSE(turn::open_token(key, "blackdow.carleon.gov", other)) << i;
    EXPECT_FALSE(
        turn::open_token(key, "blackdow.carleon.gov",
                         TurnBytes(token.begin(), token.begin() + static_cast<std::ptrdiff_t>(i))));
  }
}

TEST(AccessToken, T22_lengths_that_lie_are_refused) {
  const auto opens = [](const TurnBytes& block, const TurnBytes& nonce = TurnBytes(12, 7)) {
    return turn::open_token(kShort, kServer, seal_token(kShort, kServer, nonce, block)).has_value();
  };
  for (std::size_t bytes = 0; bytes <= 80; ++bytes) {
    TurnBytes block = token_block(TurnBytes(bytes, 9), 1, 1);
    EXPECT_EQ(opens(block), bytes >= 20 && bytes <= 32) << bytes;
    for (const int more : {-1, 1, 100, 0xffff}) {
      block[1] = static_cast<std::uint8_t>(static_cast<int>(bytes) + more);
      block[0] = static_cast<std::uint8_t>((static_cast<int>(bytes) + more) >> 8);
      EXPECT_FALSE(opens(block)) << bytes << " " << more;
    }
  }
  EXPECT_FALSE(opens(token_block(TurnBytes(20, 9), 1, 1), TurnBytes(11, 7)));
  EXPECT_FALSE(turn::open_token(kShort, kServer, {}));
}

class Token : public testing::Test {
 protected:
  Token() {
    world_.realm().token_keys = {{"north", kLong, {}, {}}, {"union", kShort, {}, {}}};
    world_.realm().token_server = kServer;
    world_.realm().quotas.allocations_per_user = 2;
  }

  // As an authorization server does: a new token, and its key to the client.
  void give(TurnClient& client, Seconds lifetime = Seconds(1200), const std::string& kid = "north",
            Seconds age = Seconds(0)) {
    ++tokens_;
    client.user = kid;
    client.session_key = TurnBytes(20, static_cast<std::uint8_t>(tokens_));
    const auto issued = static_cast<std::uint64_t>((world_.wall - age).count());
    client.token = seal_token(kid == "north" ? kLong : kShort, kServer,
                              TurnBytes(12, static_cast<std::uint8_t>(tokens_)),
                              token_block(client.session_key, issued << 16,
                                          static_cast<std::uint32_t>(lifetime.count())));
  }
  int allocates(Seconds lifetime, Seconds age, const char* at, const std::string& kid = "north") {
    TurnClient client(world_, at);
    give(client, lifetime, kid, age);
    return client.allocate().code();
  }

  int tokens_ = 0;
  TurnWorld world_;
  TurnClient client_{world_};
};

TEST_F(Token, a_challenge_names_the_server_where_tokens_are_taken) {
  EXPECT_EQ(
      client_.ask_once(stun::kAllocate, TurnClient::add_udp).text(stun::kThirdPartyAuthorization),
      kServer);
  TurnWorld other;
  TurnClient without(other);
  EXPECT_FALSE(without.ask_once(stun::kAllocate, TurnClient::add_udp)
                   .message()
                   ->find(stun::kThirdPartyAuthorization));
}

TEST_F(Token, makes_an_allocation_that_goes_on_with_its_key) {
  for (const bool sha256 : {false, true}) {
    TurnClient client(world_, sha256 ? "192.0.2.20:40000" : "192.0.2.10:40000");
    client.sha256_code = sha256;
    give(client);
    const TurnReply reply = client.allocate();
    ASSERT_EQ(reply.code(), 200);
    EXPECT_TRUE(client.is_sealed(reply));
    client.token.clear();
    EXPECT_EQ(client.permit({kPeer}).code(), 200);
    EXPECT_EQ(client.bind(0x4000, kPeer).code(), 200);
    EXPECT_TRUE(client.is_sealed(client.refresh()));
    EXPECT_EQ(client.send_channel(0x4000, {1, 2}).size(), 1U);
    EXPECT_EQ(client.refresh(0).code(), 200);
    EXPECT_EQ(client.refresh().code(), 401) << "the key went with it";
  }
}

TEST_F(Token, half_a_key_is_used_by_some_clients) {
  give(client_);
  client_.session_key.resize(16);
  const TurnReply reply = client_.allocate();
  ASSERT_EQ(reply.code(), 200);
  EXPECT_TRUE(client_.is_sealed(reply));
  client_.token.clear();
  EXPECT_EQ(client_.permit({kPeer}).code(), 200);
  client_.session_key.resize(15);
  EXPECT_EQ(client_.permit({kPeer}).code(), 401);
  TurnClient other(world_, "192.0.2.11:40000");
  give(other);
  other.session_key.resize(16);
  other.sha256_code = true;
  EXPECT_EQ(other.allocate().code(), 401) << "not with SHA-256";
}

TEST_F(Token, the_next_one_takes_its_place) {
  give(client_, Seconds(300));
  ASSERT_EQ(client_.allocate().lifetime(), 300U);
  const TurnBytes first = client_.session_key;
  give(client_, Seconds(1200), "union");
  EXPECT_EQ(client_.refresh(900).lifetime(), 900U);
  client_.token.clear();
  EXPECT_EQ(client_.permit({kPeer}).code(), 200);
  const TurnBytes second = client_.session_key;
  client_.session_key = first;
  client_.user = "north";
  EXPECT_EQ(client_.permit({kPeer}).code(), 401);
  client_.session_key = second;
  EXPECT_EQ(client_.permit({kPeer}).code(), 401) << "of the other key's name";
}

TEST_F(Token, no_allocation_outlives_it) {
  give(client_, Seconds(200));
  EXPECT_EQ(client_.allocate().lifetime(), 200U);
  client_.token.clear();
  world_.run(Seconds(120));
  EXPECT_EQ(client_.refresh(600).lifetime(), 80U);
  world_.run(Seconds(81));
  EXPECT_EQ(world_.engine().allocations(), 0U);
  EXPECT_EQ(client_.refresh().code(), 401);
  // One that is shorter ends it sooner.
  give(client_, Seconds(600));
  ASSERT_EQ(client_.allocate().lifetime(), 600U);
  give(client_, Seconds(60));
  EXPECT_EQ(client_.permit({kPeer}).code(), 200);
  world_.run(Seconds(61));
  EXPECT_EQ(world_.engine().allocations(), 0U);
}

TEST_F(Token, is_good_for_its_time_alone) {
  EXPECT_EQ(allocates(Seconds(100), Seconds(99), "192.0.2.1:4000"), 200);
  EXPECT_EQ(allocates(Seconds(100), Seconds(100), "192.0.2.2:4000"), 401);
  EXPECT_EQ(world_.refused(Refusal::kExpiredCredentials), 1U);
  EXPECT_EQ(allocates(Seconds(0), Seconds(0), "192.0.2.3:4000"), 401);
  EXPECT_EQ(allocates(Seconds(100), Seconds(-5), "192.0.2.4:4000"), 200) << "clocks differ";
  EXPECT_EQ(allocates(Seconds(100), Seconds(-6), "192.0.2.5:4000"), 401);
}

TEST_F(Token, a_key_is_good_for_its_time_alone) {
  world_.realm().token_keys[0].not_before = world_.wall + Seconds(10);
  world_.realm().token_keys[1].not_after = world_.wall + Seconds(100);
  EXPECT_EQ(allocates(Seconds(600), Seconds(0), "192.0.2.1:4000"), 401) << "not yet";
  TurnClient union_(world_, "192.0.2.2:4000");
  give(union_, Seconds(600), "union");
  EXPECT_EQ(union_.allocate().lifetime(), 100U) << "no longer than its key";
  union_.token.clear();
  // The key's time is cut: what was granted stays, and nothing is added.
  world_.realm().token_keys[1].not_after = world_.wall + Seconds(20);
  world_.configure();
  world_.run(Seconds(15));
  EXPECT_EQ(union_.permit({kPeer}).code(), 200);
  EXPECT_EQ(allocates(Seconds(600), Seconds(0), "192.0.2.1:4000"), 200) << "now it is time";
  world_.run(Seconds(10));
  EXPECT_EQ(union_.refresh().code(), 401);
  EXPECT_EQ(allocates(Seconds(600), Seconds(0), "192.0.2.3:4000", "union"), 401);
}

TEST_F(Token, T24_alone_opens_nothing) {
  give(client_);
  const TurnBytes right = client_.session_key;
  client_.session_key[3] ^= 1;
  EXPECT_EQ(client_.allocate().code(), 401) << "who has only heard it";
  client_.session_key = right;
  client_.user = "union";
  EXPECT_EQ(client_.allocate().code(), 401) << "another key's";
  client_.user = "nobody";
  EXPECT_EQ(client_.allocate().code(), 401);
  client_.user = "north";
  const TurnBytes request = client_.request(stun::kAllocate, TurnClient::add_udp);
  EXPECT_EQ(client_.send_for_reply(request).code(), 200);
  // Repeated from elsewhere, whole: the nonce is not of that address.
  TurnClient thief(world_, "192.0.2.66:40000");
  EXPECT_EQ(thief.send_for_reply(request).code(), 438);
  EXPECT_EQ(world_.engine().allocations(), 1U);
}

TEST_F(Token, T24_is_for_one_server) {
  give(client_);
  client_.token = seal_token(
      kLong, "other.example.org", TurnBytes(12, 1),
      token_block(client_.session_key, static_cast<std::uint64_t>(world_.wall.count()) << 16, 600));
  EXPECT_EQ(client_.allocate().code(), 401);
}

TEST_F(Token, T24_users_and_tokens_keep_apart) {
  world_.realm().users.emplace("north", TurnWorld::keys_of("north"));
  world_.settings.mobility = true;
  give(client_);
  ASSERT_EQ(client_.allocate().code(), 200);
  // A user of that name is somebody else.
  TurnClient user(world_, "192.0.2.10:40000", "north");
  EXPECT_EQ(user.ask(stun::kRefresh).code(), 441);
  EXPECT_EQ(user.allocate().code(), 437);
  TurnClient mover(world_, "192.0.2.30:40000", "north");
  const TurnReply made = mover.allocate(TurnClient::with_ticket({}));
  ASSERT_EQ(made.code(), 200);
  TurnClient other(world_, "192.0.2.31:40000");
  give(other);
  EXPECT_EQ(other.refresh(600, TurnClient::with_ticket(made.ticket())).code(), 405);
  EXPECT_EQ(other.allocate(TurnClient::with_ticket({})).code(), 405);
  give(mover);
  EXPECT_EQ(mover.refresh().code(), 441);
  EXPECT_EQ(mover.refresh(0).code(), 441);
}

TEST_F(Token, T24_is_unknown_where_none_are_taken) {
  world_.realm().token_keys.clear();
  TurnClient client(world_);
  client.token = TurnBytes(60, 1);
  const TurnReply reply = client.allocate();
  EXPECT_EQ(reply.code(), 420);
  const auto unknown = reply.message()->find(stun::kUnknownAttributes);
  EXPECT_EQ(TurnBytes(unknown->begin(), unknown->end()), (TurnBytes{0, stun::kAccessToken}));
}

TEST_F(Token, T14_counts_as_a_user_of_its_own) {
  give(client_);
  ASSERT_EQ(client_.allocate().code(), 200);
  for (const auto& [at, code] : {std::pair{"192.0.2.10:40001", 200}, {"192.0.2.10:40002", 486}}) {
    TurnClient again(world_, at);
    again.user = client_.user;
    again.token = client_.token;
    again.session_key = client_.session_key;
    EXPECT_EQ(again.allocate().code(), code);
  }
  EXPECT_EQ(allocates(Seconds(600), Seconds(0), "192.0.2.11:4000"), 200) << "another token";
  // The next token of the same client gives back what was counted for the first.
  give(client_, Seconds(600), "union");
  EXPECT_EQ(client_.refresh(0).code(), 200);
  EXPECT_EQ(world_.engine().allocations(), 2U);
}

TEST_F(Token, T18_guesses_are_limited) {
  give(client_);
  client_.session_key[0] ^= 1;
  int answered = 0;
  for (int i = 0; i < 500; ++i) answered += client_.allocate().code() == 401;
  EXPECT_LE(answered, 51);
  EXPECT_GT(world_.refused(Refusal::kSourceRate), 400U);
}

TEST_F(Token, T24_taking_its_key_away_ends_allocations) {
  give(client_);
  ASSERT_EQ(client_.allocate().code(), 200);
  TurnClient other(world_, "192.0.2.11:40000");
  give(other, Seconds(600), "union");
  ASSERT_EQ(other.allocate().code(), 200);
  world_.realm().token_keys.erase(world_.realm().token_keys.begin());
  world_.configure();
  EXPECT_EQ(world_.engine().allocations(), 1U);
  other.token.clear();
  EXPECT_EQ(other.refresh().code(), 200);
  world_.realm().token_keys[0].key[0] ^= 1;
  world_.configure();
  EXPECT_EQ(world_.engine().allocations(), 0U);
  EXPECT_EQ(world_.ports.in_use(), 0U);
}

}  // namespace
}  // namespace turnpike::test
