// Handshakes with a plain OpenSSL peer, over lines that lose, double and reorder.
#include <memory>
#include <random>
#include <string>

#include <gtest/gtest.h>

#include "tests/unit/dtls/line.h"

namespace turnpike::dtls_testing {
namespace {

constexpr const char* kAllProfiles =
    "SRTP_AES128_CM_SHA1_32:SRTP_AES128_CM_SHA1_80:SRTP_AEAD_AES_128_GCM:SRTP_AEAD_AES_256_GCM";

/// An engine and a peer that know each other.
struct Pair {
  Pair(DtlsRole role, bool ice, PlainOptions options = {}) {
    options.server = role == DtlsRole::kActive;
    peer = std::make_unique<PlainPeer>(options);
    engine.ice = ice;
    engine.config.role = role;
    engine.config.remote = peer->fingerprint(FingerprintHash::kSha256);
    engine.configure(kClient);
    if (!options.server) peer->start(engine.now);
  }
  std::size_t run(Fates fates = [](std::size_t) { return Fate{}; }) {
    Line line{engine, *peer};
    line.fates = std::move(fates);
    line.patience = Seconds{28};
    return line.run();
  }
  void expect_keys() {
    ASSERT_TRUE(peer->complete());
    ASSERT_EQ(engine.recorder.keys.size(), 1U);
    const Recorder::Keys& keys = engine.recorder.keys[0];
    EXPECT_EQ(keys.leg, kLeg);
    EXPECT_EQ(keys.peer, kClient);
    EXPECT_NE(keys.receive.suite, SrtpSuite::kNone);
    EXPECT_EQ(keys.receive, peer->sending());
    EXPECT_EQ(keys.send, peer->receiving());
    EXPECT_NE(keys.receive.master_key, keys.send.master_key);
    EXPECT_EQ(peer->peer_fingerprint(), engine.identity.fingerprint);
    EXPECT_EQ(engine.state(), DtlsState::kEstablished);
    EXPECT_EQ(engine.failure(), DtlsFailure::kNone);
    EXPECT_EQ(engine.handshakes.usage().half_open, 0U);
  }

  Engine engine;
  std::unique_ptr<PlainPeer> peer;
};

struct Case {
  DtlsRole role;
  bool ice;
  long mtu;
  const char* key;
  const char* name;
};

class Handshake : public ::testing::TestWithParam<Case> {
 protected:
  static std::unique_ptr<Pair> make_pair(std::string profiles = kAllProfiles) {
    const Case& param = GetParam();
    PlainOptions options;
    options.mtu = param.mtu;
    options.key = param.key;
    options.profiles = std::move(profiles);
    return std::make_unique<Pair>(param.role, param.ice, options);
  }
};

TEST_P(Handshake, gives_both_ends_the_same_keys) {
  const auto pair = make_pair();
  const Instant begin = pair->engine.now;
  pair->run();
  pair->expect_keys();
  EXPECT_EQ(pair->engine.recorder.changes.back().state, DtlsState::kEstablished);
  const HandshakeCounters& counters = pair->engine.handshakes.counters();
  EXPECT_EQ(counters.started.value(), 1U);
  EXPECT_EQ(counters.completed.value(), 1U);
  EXPECT_EQ(counters.durations[0].value(), 1U);
  EXPECT_GE(pair->engine.now, begin);
}

TEST_P(Handshake, every_profile_alone) {
  const std::vector<std::pair<std::string, SrtpSuite>> profiles = {
      {"SRTP_AEAD_AES_256_GCM", SrtpSuite::kAeadAes256Gcm},
      {"SRTP_AEAD_AES_128_GCM", SrtpSuite::kAeadAes128Gcm},
      {"SRTP_AES128_CM_SHA1_80", SrtpSuite::kAesCm128HmacSha1_80},
      {"SRTP_AES128_CM_SHA1_32", SrtpSuite::kAesCm128HmacSha1_32}};
  for (const auto& [name, suite] : profiles) {
    SCOPED_TRACE(name);
    const auto pair = make_pair(name);
    pair->run();
    pair->expect_keys();
    EXPECT_EQ(pair->engine.recorder.keys.at(0).receive.suite, suite);
    EXPECT_EQ(pair->engine.recorder.keys.at(0).send.suite, suite);
  }
}

TEST_P(Handshake, survives_the_loss_of_any_one_datagram) {
  const std::size_t count = make_pair()->run();
  ASSERT_GE(count, 4U);
  for (std::size_t lost = 0; lost < count; ++lost) {
    SCOPED_TRACE(lost);
    const auto pair = make_pair();
    pair->run([lost](std::size_t n) { return Fate{n == lost ? 0U : 1U, false}; });
    pair->expect_keys();
  }
}

TEST_P(Handshake, survives_any_one_datagram_twice) {
  const std::size_t count = make_pair()->run();
  for (std::size_t doubled = 0; doubled < count; ++doubled) {
    SCOPED_TRACE(doubled);
    const auto pair = make_pair();
    pair->run([doubled](std::size_t n) { return Fate{n == doubled ? 2U : 1U, false}; });
    pair->expect_keys();
  }
}

TEST_P(Handshake, survives_any_one_datagram_overtaken) {
  const std::size_t count = make_pair()->run();
  for (std::size_t late = 0; late < count; ++late) {
    SCOPED_TRACE(late);
    const auto pair = make_pair();
    pair->run([late](std::size_t n) { return Fate{1U, n == late}; });
    pair->expect_keys();
  }
}

TEST_P(Handshake, survives_a_line_that_loses_one_datagram_in_six) {
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    SCOPED_TRACE(seed);
    const auto pair = make_pair();
    std::minstd_rand random(static_cast<unsigned>(seed));
    pair->run([&random](std::size_t) { return Fate{random() % 6 == 0 ? 0U : 1U, false}; });
    pair->expect_keys();
  }
}

INSTANTIATE_TEST_SUITE_P(
    Ends, Handshake,
    ::testing::Values(Case{DtlsRole::kPassive, true, 1200, "P-256", "passive_with_ice"},
                      Case{DtlsRole::kPassive, false, 1200, "P-256", "passive_with_cookie"},
                      Case{DtlsRole::kActive, true, 1200, "P-256", "active_with_ice"},
                      Case{DtlsRole::kActive, false, 1200, "P-256", "active"},
                      Case{DtlsRole::kPassive, true, 300, "RSA", "passive_fragments_rsa"},
                      Case{DtlsRole::kPassive, false, 300, "RSA", "passive_cookie_fragments_rsa"},
                      Case{DtlsRole::kActive, true, 300, "RSA", "active_fragments_rsa"},
                      Case{DtlsRole::kActive, true, 1200, "P-384", "active_p384"}),
    [](const auto& test) { return std::string(test.param.name); });

TEST(Profiles, the_strongest_in_common_is_taken) {
  Pair pair(DtlsRole::kPassive, true, {.profiles = kAllProfiles});
  pair.run();
  pair.expect_keys();
  EXPECT_EQ(pair.engine.recorder.keys.at(0).send.suite, SrtpSuite::kAeadAes256Gcm);
}

TEST(Fingerprints, every_hash_of_rfc_8122_that_is_strong) {
  for (const FingerprintHash hash :
       {FingerprintHash::kSha256, FingerprintHash::kSha384, FingerprintHash::kSha512}) {
    Pair pair(DtlsRole::kPassive, true);
    Engine engine;
    engine.config.remote = pair.peer->fingerprint(hash);
    engine.configure();
    Line{engine, *pair.peer}.run();
    EXPECT_EQ(engine.state(), DtlsState::kEstablished);
    ASSERT_EQ(engine.recorder.keys.size(), 1U);
    EXPECT_EQ(engine.recorder.keys[0].send, pair.peer->receiving());
  }
}

TEST(Engines, complete_with_each_other) {
  Engine client;
  Engine server;
  const SocketAddress server_address = at(9);
  client.config.role = DtlsRole::kActive;
  client.config.remote = server.identity.fingerprint;
  server.config.remote = client.identity.fingerprint;
  server.ice = client.ice = false;
  server.configure();
  client.configure(server_address);
  for (int round = 0; round < 10; ++round) {
    for (const auto& sent : client.recorder.take_sent()) server.deliver(sent.bytes, kClient);
    for (const auto& sent : server.recorder.take_sent()) client.deliver(sent.bytes, server_address);
  }
  ASSERT_EQ(client.recorder.keys.size(), 1U);
  ASSERT_EQ(server.recorder.keys.size(), 1U);
  EXPECT_EQ(client.recorder.keys[0].send, server.recorder.keys[0].receive);
  EXPECT_EQ(client.recorder.keys[0].receive, server.recorder.keys[0].send);
  EXPECT_EQ(client.recorder.keys[0].send.suite, SrtpSuite::kAeadAes256Gcm);
  EXPECT_EQ(server.handshakes.counters().cookies_sent.value(), 1U);
}

TEST(Identities, differ_and_say_nothing) {
  Engine engine;
  const DtlsIdentity other = engine.handshakes.add_identity();
  EXPECT_NE(other.id, 0U);
  EXPECT_NE(other.id, engine.identity.id);
  EXPECT_NE(other.fingerprint, engine.identity.fingerprint);
  EXPECT_EQ(other.fingerprint.hash, FingerprintHash::kSha256);
}

TEST(Identities, a_removed_one_serves_who_has_it_and_nobody_else) {
  Pair pair(DtlsRole::kPassive, true);
  pair.engine.deliver(pair.peer->take_sent().at(0), kClient);
  pair.engine.handshakes.remove_identity(pair.engine.identity.id);
  pair.run();
  pair.expect_keys();
  pair.engine.config.association = 2;
  pair.engine.configure();
  EXPECT_EQ(pair.engine.state(), DtlsState::kFailed);
  EXPECT_EQ(pair.engine.failure(), DtlsFailure::kNoIdentity);
}

}  // namespace
}  // namespace turnpike::dtls_testing
