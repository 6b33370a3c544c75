// What strangers can do to a handshake and to a session: nothing (IDs of docs/security.md).
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "tests/unit/dtls/line.h"

namespace turnpike::dtls_testing {
namespace {

const SocketAddress kStranger = at(66, 6666);

/// A leg without ICE that waits for `peer`.
std::unique_ptr<Engine> engine_for(const PlainPeer& peer, bool ice = false) {
  auto engine = std::make_unique<Engine>();
  engine->ice = ice;
  engine->config.remote = peer.fingerprint(FingerprintHash::kSha256);
  engine->configure();
  return engine;
}

/// Gets past the cookie, and stops there.
Bytes hello_with_cookie(Engine& engine, PlainPeer& peer, const SocketAddress& address) {
  engine.recorder.take_sent();
  engine.deliver(hello_of(peer, engine.now), address);
  peer.deliver(engine.recorder.take_sent().at(0).bytes, engine.now);
  return peer.take_sent().at(0);
}

void expect_untouched(Engine& engine, const PlainPeer& peer) {
  ASSERT_EQ(engine.recorder.keys.size(), 1U);
  EXPECT_EQ(engine.recorder.keys[0].receive, peer.sending());
  EXPECT_EQ(engine.state(), DtlsState::kEstablished);
  EXPECT_EQ(engine.recorder.changes.back().state, DtlsState::kEstablished);
  EXPECT_EQ(engine.handshakes.usage().half_open, 0U);
  EXPECT_TRUE(engine.recorder.sent.empty());
}

TEST(Security, M4_second_client_hello_changes_nothing) {
  for (const bool ice : {true, false}) {
    PlainPeer peer({});
    PlainPeer second({});
    const auto engine = engine_for(peer, ice);
    const Bytes first_hello = hello_of(peer, engine->now);
    engine->deliver(first_hello, kClient);
    for (const auto& sent : engine->recorder.take_sent()) peer.deliver(sent.bytes, engine->now);
    exchange(*engine, {{kClient, &peer}});
    const Bytes hello = hello_of(second, engine->now);
    const std::uint64_t dropped = engine->handshakes.counters().datagrams_dropped.value();
    for (const SocketAddress& source : {kClient, kStranger}) {
      engine->deliver(hello, source);
      // Where ICE has validated the source it may be an end that begins again: a cookie first.
      for (const auto& sent : engine->recorder.take_sent()) {
        EXPECT_TRUE(ice);
        EXPECT_LT(sent.bytes.size(), hello.size());
      }
      expect_untouched(*engine, peer);
    }
    engine->deliver(first_hello, kClient);  // a late copy
    expect_untouched(*engine, peer);
    EXPECT_TRUE(engine->recorder.take_sent().empty());
    EXPECT_EQ(engine->handshakes.counters().datagrams_dropped.value(), dropped + (ice ? 1 : 3));
    EXPECT_EQ(engine->handshakes.counters().started.value(), 1U);
  }
}

TEST(Security, M4_another_end_at_a_validated_place_takes_no_keys) {
  PlainPeer peer({});
  PlainPeer second({});
  const auto engine = engine_for(peer, true);
  peer.start(engine->now);
  exchange(*engine, {{kClient, &peer}});
  second.start(engine->now);
  exchange(*engine, {{kStranger, &second}});
  EXPECT_TRUE(second.complete());
  EXPECT_EQ(engine->recorder.keys.size(), 1U);
  expect_untouched(*engine, peer);
}

TEST(Security, M4_client_hello_of_a_stranger_does_not_reset_a_handshake) {
  for (const bool ice : {true, false}) {
    PlainPeer peer({});
    PlainPeer stranger({});
    const auto engine = engine_for(peer, ice);
    if (ice) {
      engine->deliver(hello_of(peer, engine->now), kClient);
    } else {
      engine->deliver(hello_with_cookie(*engine, peer, kClient), kClient);
    }
    const auto flight = engine->recorder.take_sent();
    // Even from the same address, and even from one that ICE has validated.
    engine->deliver(hello_of(stranger, engine->now), kClient);
    EXPECT_EQ(engine->handshakes.usage().half_open, 1U);
    engine->recorder.take_sent();
    for (const auto& sent : flight) peer.deliver(sent.bytes, engine->now);
    const Instant before = engine->now;
    exchange(*engine, {{kClient, &peer}});
    expect_untouched(*engine, peer);
    EXPECT_EQ(engine->now, before);
  }
}

TEST(Security, M4_stranger_cannot_end_or_delay_a_handshake) {
  PlainPeer peer({});
  PlainPeer stranger({});
  PlainPeer impostor({.key = "P-384"});
  const auto engine = engine_for(peer);
  peer.start(engine->now);
  stranger.start(engine->now);
  const Bytes hello = stranger.take_sent().at(0);
  // Everything that the peer sends comes from the stranger's address too, and with it noise,
  // alerts, the end of a handshake, and a handshake of somebody else's that completes.
  const Instant begin = engine->now;
  const std::vector<Bytes> noise = {
      hello,
      plain_record(21, {2, 40}),
      plain_record(21, {1, 0}),
      plain_record(20, {1}),
      plain_record(22, {20, 0, 0, 12, 0, 3, 0, 0, 0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}),
      plain_record(22, {16, 0, 0, 1, 0, 2, 0, 0, 0, 0, 0, 1, 0}),
      Bytes(100, 22),
      Bytes(1500, 23)};
  impostor.start(engine->now);
  for (int round = 0; round < 12; ++round) {
    for (const Bytes& bytes : noise) engine->deliver(bytes, kStranger);
    for (const Bytes& bytes : impostor.take_sent()) engine->deliver(bytes, at(77));
    for (const Bytes& bytes : peer.take_sent()) {
      engine->deliver(bytes, kStranger);
      engine->deliver(bytes, kClient);
    }
    for (const auto& sent : engine->recorder.take_sent()) {
      if (sent.to == kClient) peer.deliver(sent.bytes, engine->now);
      if (sent.to == at(77)) impostor.deliver(sent.bytes, engine->now);
    }
  }
  EXPECT_TRUE(impostor.complete());
  expect_untouched(*engine, peer);
  EXPECT_EQ(engine->recorder.keys[0].peer, kClient);
  EXPECT_EQ(engine->now, begin);
}

TEST(Security, M4_first_with_the_fingerprint_wins_and_losers_change_nothing) {
  PlainPeer peer({});
  PlainPeer impostor({.key = "P-384"});
  PlainPeer idler({.key = "P-384"});
  const auto engine = engine_for(peer);
  engine->deliver(hello_with_cookie(*engine, idler, at(77)), at(77));
  engine->deliver(hello_with_cookie(*engine, peer, kClient), kClient);
  const auto flight = engine->recorder.take_sent();
  impostor.start(engine->now);
  exchange(*engine, {{at(78), &impostor}});
  EXPECT_TRUE(impostor.complete());
  EXPECT_TRUE(engine->recorder.keys.empty());
  EXPECT_EQ(engine->state(), DtlsState::kHandshaking);
  EXPECT_EQ(engine->failure(), DtlsFailure::kNone);
  EXPECT_EQ(engine->failed(DtlsFailure::kFingerprint), 1U);
  EXPECT_EQ(engine->handshakes.usage().half_open, 2U);
  for (const auto& sent : flight) peer.deliver(sent.bytes, engine->now);
  exchange(*engine, {{kClient, &peer}});
  expect_untouched(*engine, peer);
  engine->deliver(plain_record(22, {16, 0, 0, 1, 0, 2, 0, 0, 0, 0, 0, 1, 0}), at(77));
  expect_untouched(*engine, peer);
}

TEST(Security, M4_at_most_three_half_open) {
  PlainPeer peer({});
  const auto engine = engine_for(peer);
  std::vector<std::unique_ptr<PlainPeer>> strangers;
  for (std::uint8_t i = 0; i < 3; ++i) {
    strangers.push_back(std::make_unique<PlainPeer>(PlainOptions{}));
    const SocketAddress address = at(static_cast<std::uint8_t>(70 + i));
    engine->deliver(hello_with_cookie(*engine, *strangers.back(), address), address);
  }
  EXPECT_EQ(engine->handshakes.usage().half_open, 3U);
  engine->recorder.take_sent();
  const Bytes hello = hello_with_cookie(*engine, peer, kClient);
  engine->deliver(hello, kClient);
  EXPECT_EQ(engine->handshakes.usage().half_open, 3U);
  EXPECT_TRUE(engine->recorder.take_sent().empty());

  // Places are not for ever: who says nothing more gives way.
  engine->pass(Seconds{6});
  engine->recorder.take_sent();
  peer.on_deadline(engine->now);
  exchange(*engine, {{kClient, &peer}});
  expect_untouched(*engine, peer);
}

TEST(Security, M4_signalled_address_always_finds_room) {
  PlainPeer peer({});
  auto engine = std::make_unique<Engine>();
  engine->ice = false;
  engine->config.remote = peer.fingerprint(FingerprintHash::kSha256);
  engine->configure(kClient);
  for (std::uint8_t i = 0; i < 5; ++i) {
    PlainPeer stranger({});
    const SocketAddress address = at(static_cast<std::uint8_t>(70 + i));
    engine->deliver(hello_with_cookie(*engine, stranger, address), address);
  }
  EXPECT_EQ(engine->handshakes.usage().half_open, 3U);
  engine->recorder.take_sent();
  peer.start(engine->now);
  exchange(*engine, {{kClient, &peer}});
  expect_untouched(*engine, peer);
}

TEST(Security, M4_plaintext_alerts_end_nothing) {
  for (const DtlsRole role : {DtlsRole::kPassive, DtlsRole::kActive}) {
    PlainPeer peer({.server = role == DtlsRole::kActive});
    Engine engine;
    engine.config.role = role;
    engine.config.remote = peer.fingerprint(FingerprintHash::kSha256);
    engine.configure(kClient);
    peer.start(engine.now);
    std::uint8_t sequence = 100;
    for (int round = 0; round < 8; ++round) {
      for (const Bytes& bytes : peer.take_sent()) {
        engine.deliver(plain_record(21, {2, 40}, sequence++), kClient);
        engine.deliver(bytes, kClient);
        engine.deliver(plain_record(21, {1, 0}, sequence++), kClient);
      }
      for (const auto& sent : engine.recorder.take_sent()) peer.deliver(sent.bytes, engine.now);
    }
    engine.deliver(plain_record(21, {2, 40}, sequence++), kClient);
    engine.deliver(plain_record(21, {1, 0}, sequence++), kClient);
    expect_untouched(engine, peer);
    EXPECT_GE(engine.handshakes.counters().alerts_ignored.value(), 4U);
  }
}

TEST(Security, M4_bad_records_change_nothing_once_established) {
  PlainPeer peer({});
  const auto engine = engine_for(peer, true);
  peer.start(engine->now);
  exchange(*engine, {{kClient, &peer}});
  Bytes sealed = plain_record(21, Bytes(26, 7));
  sealed[4] = 1;
  for (int i = 0; i < 300; ++i) {  // more than the library forgives of its own peers
    sealed[10] = static_cast<std::uint8_t>(i);
    sealed[0] = static_cast<std::uint8_t>(20 + i % 4);
    engine->deliver(sealed, kClient);
  }
  expect_untouched(*engine, peer);
  peer.close(engine->now);
  exchange(*engine, {{kClient, &peer}});
  EXPECT_EQ(engine->state(), DtlsState::kClosed);
}

/// Records that claim to be encrypted, of every type, with so many bytes.
std::vector<Bytes> sealed_records(std::size_t bytes) {
  std::vector<Bytes> all;
  for (std::uint8_t type = 20; type <= 23; ++type) {
    all.push_back(plain_record(type, Bytes(bytes, 1)));
    all.back()[4] = 1;  // epoch
  }
  return all;
}

TEST(Security, M4_records_too_short_to_be_encrypted_end_no_association) {
  for (const char* cipher : {"ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305"}) {
    for (std::size_t bytes = 1; bytes <= 64; ++bytes) {
      SCOPED_TRACE(::testing::Message() << cipher << ", " << bytes << " bytes");
      PlainPeer peer({.ciphers = cipher});
      const auto engine = engine_for(peer, true);
      peer.start(engine->now);
      exchange(*engine, {{kClient, &peer}});
      engine->recorder.take_sent();
      for (const Bytes& record : sealed_records(bytes)) engine->deliver(record, kClient);
      EXPECT_TRUE(engine->recorder.sent.empty());
      expect_untouched(*engine, peer);
      peer.close(engine->now);
      exchange(*engine, {{kClient, &peer}});
      EXPECT_EQ(engine->state(), DtlsState::kClosed);
    }
  }
}

TEST(Security, M4_records_too_short_to_be_encrypted_end_no_handshake) {
  for (const DtlsRole role : {DtlsRole::kPassive, DtlsRole::kActive}) {
    for (std::size_t bytes = 1; bytes <= 32; ++bytes) {
      SCOPED_TRACE(::testing::Message() << bytes << " bytes, role " << static_cast<int>(role));
      PlainPeer peer({.server = role == DtlsRole::kActive});
      Engine engine;
      engine.config.role = role;
      engine.config.remote = peer.fingerprint(FingerprintHash::kSha256);
      engine.configure(kClient);
      if (role == DtlsRole::kPassive) engine.deliver(hello_of(peer, engine.now), kClient);
      // One comes when flights have been exchanged but the last.
      const std::vector<Bytes> forged = sealed_records(bytes);
      engine.deliver(forged[bytes % forged.size()], kClient);
      Line(engine, peer).run();
      EXPECT_EQ(engine.failure(), DtlsFailure::kNone);
      expect_untouched(engine, peer);
    }
  }
}

TEST(Security, M4_forged_server_hello_does_not_end_our_handshake) {
  PlainPeer peer({.server = true});
  Engine engine;
  engine.config.role = DtlsRole::kActive;
  engine.config.remote = peer.fingerprint(FingerprintHash::kSha256);
  engine.configure(kClient);
  engine.recorder.take_sent();
  engine.deliver(plain_record(22, {2, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 3, 1, 2, 3}), kClient);
  EXPECT_EQ(engine.state(), DtlsState::kHandshaking);
  Line(engine, peer).run();
  expect_untouched(engine, peer);
}

TEST(Security, M4_answers_come_from_the_signalled_address_without_ice) {
  PlainPeer peer({.server = true});
  Engine engine;
  engine.ice = false;
  engine.config.role = DtlsRole::kActive;
  engine.config.remote = peer.fingerprint(FingerprintHash::kSha256);
  engine.configure(kClient);
  peer.deliver(engine.recorder.take_sent().at(0).bytes, engine.now);
  for (const Bytes& bytes : peer.take_sent()) engine.deliver(bytes, kStranger);
  EXPECT_TRUE(engine.recorder.sent.empty());
  EXPECT_GE(engine.handshakes.counters().datagrams_dropped.value(), 1U);
  Line(engine, peer).run();
  expect_untouched(engine, peer);
}

TEST(Security, M6_failed_renewal_takes_no_keys_away) {
  PlainPeer peer({});
  PlainPeer next({.key = "P-384"});
  const auto engine = engine_for(peer, true);
  peer.start(engine->now);
  exchange(*engine, {{kClient, &peer}});
  engine->config.association = 2;
  engine->configure();
  EXPECT_EQ(engine->state(), DtlsState::kWaiting);
  next.start(engine->now);
  exchange(*engine, {{kClient, &next}});
  EXPECT_EQ(engine->state(), DtlsState::kFailed);
  EXPECT_EQ(engine->failure(), DtlsFailure::kFingerprint);
  EXPECT_EQ(engine->recorder.keys.size(), 1U);
  for (const auto& change : engine->recorder.changes) EXPECT_NE(change.state, DtlsState::kOff);
}

TEST(Security, M8_no_keys_before_the_fingerprint_matches) {
  for (const bool ice : {true, false}) {
    PlainPeer peer({});
    Engine engine;
    engine.ice = ice;
    engine.config.role = DtlsRole::kUndecided;
    engine.configure();
    peer.start(engine.now);
    exchange(engine, {{kClient, &peer}});
    EXPECT_TRUE(peer.complete());
    EXPECT_TRUE(engine.recorder.keys.empty());
    EXPECT_EQ(engine.state(), DtlsState::kHandshaking);
    engine.pass(Seconds{20});
    EXPECT_TRUE(engine.recorder.keys.empty());
    engine.config.role = DtlsRole::kPassive;
    engine.config.remote = peer.fingerprint(FingerprintHash::kSha256);
    engine.configure();
    engine.recorder.take_sent();
    expect_untouched(engine, peer);
  }
}

TEST(Security, M8_wrong_fingerprint_never_gets_keys) {
  for (const DtlsRole role : {DtlsRole::kPassive, DtlsRole::kActive}) {
    PlainPeer peer({.server = role == DtlsRole::kActive});
    Engine engine;
    engine.config.role = role;
    engine.config.remote = peer.fingerprint(FingerprintHash::kSha256);
    engine.config.remote.bytes[31] ^= 1;
    engine.configure(kClient);
    peer.start(engine.now);
    Line(engine, peer).run();
    EXPECT_EQ(engine.state(), DtlsState::kFailed);
    EXPECT_EQ(engine.failure(), DtlsFailure::kFingerprint);
    EXPECT_EQ(engine.failed(DtlsFailure::kFingerprint), 1U);
    EXPECT_TRUE(engine.recorder.keys.empty());
    // It may be a fork that is answered later; then it is not wanted any more.
    engine.pass(Handshakes::kReserve);
    exchange(engine, {{kClient, &peer}});
    EXPECT_TRUE(peer.closed_by_peer());
    EXPECT_EQ(engine.handshakes.usage().half_open, 0U);
    EXPECT_EQ(engine.handshakes.next_deadline(), Instant::max());
  }
}

TEST(Security, M8_wrong_fingerprint_after_the_handshake_gets_no_keys) {
  PlainPeer peer({});
  Engine engine;
  engine.config.role = DtlsRole::kUndecided;
  engine.configure();
  peer.start(engine.now);
  exchange(engine, {{kClient, &peer}});
  engine.config.role = DtlsRole::kPassive;
  engine.config.remote = engine.identity.fingerprint;
  engine.configure();
  EXPECT_EQ(engine.failure(), DtlsFailure::kFingerprint);
  EXPECT_TRUE(engine.recorder.keys.empty());
}

TEST(Security, M8_sha1_is_refused) {
  PlainPeer peer({});
  const Bytes sha1 = peer.sha1_of_certificate();
  // There is no value for it; its bytes under any other name are no fingerprint either.
  for (const FingerprintHash hash : {FingerprintHash::kNone, FingerprintHash::kSha256}) {
    PlainPeer client({});
    Engine engine;
    engine.config.remote.hash = hash;
    std::copy(sha1.begin(), sha1.end(), engine.config.remote.bytes.begin());
    engine.configure();
    client.start(engine.now);
    Line(engine, client).run();
    engine.pass(Seconds{100});
    EXPECT_TRUE(engine.recorder.keys.empty());
    EXPECT_EQ(engine.state(), DtlsState::kFailed);
  }
}

TEST(Security, T13_no_state_before_the_cookie) {
  PlainPeer peer({});
  const auto engine = engine_for(peer);
  const Bytes hello = hello_of(peer, engine->now);
  for (std::uint16_t i = 0; i < 1000; ++i) {
    engine->deliver(hello, at(static_cast<std::uint8_t>(i), static_cast<std::uint16_t>(9000 + i)));
  }
  EXPECT_EQ(engine->handshakes.usage().half_open, 0U);
  EXPECT_EQ(engine->handshakes.counters().started.value(), 0U);
  EXPECT_EQ(engine->handshakes.next_deadline(), Instant::max());
  EXPECT_EQ(engine->state(), DtlsState::kWaiting);
  EXPECT_EQ(engine->recorder.sent.size(), 1000U);
  EXPECT_EQ(engine->handshakes.counters().cookies_sent.value(), 1000U);
  for (const auto& sent : engine->recorder.sent) EXPECT_LT(sent.bytes.size(), hello.size());
}

TEST(Security, T13_cookie_is_bound_to_source_leg_and_client) {
  PlainPeer peer({});
  PlainPeer other({});
  const auto engine = engine_for(peer);
  const LegKey other_leg = {3, 7, 12, Side::kB};
  engine->handshakes.update(other_leg, engine->config, {}, engine->now, engine->recorder);
  const Bytes hello = hello_with_cookie(*engine, peer, kClient);
  engine->deliver(hello, at(1, 4001));
  engine->deliver(hello, at(2, 4000));
  engine->handshakes.handle(other_leg, kClient, false, hello, engine->now, engine->recorder);
  Bytes changed = hello;
  changed[13 + 12 + 2] ^= 1;  // the client's random number
  engine->deliver(changed, kClient);
  EXPECT_EQ(engine->handshakes.counters().started.value(), 0U);
  engine->deliver(hello, kClient);
  EXPECT_EQ(engine->handshakes.counters().started.value(), 1U);
}

TEST(Security, T13_cookie_grows_old) {
  for (const auto& [age, good] : {std::pair{Seconds{50}, true}, std::pair{Seconds{130}, false}}) {
    PlainPeer peer({});
    const auto engine = engine_for(peer);
    const Bytes hello = hello_with_cookie(*engine, peer, kClient);
    engine->pass(age);
    engine->deliver(hello, kClient);
    EXPECT_EQ(engine->handshakes.usage().half_open, good ? 1U : 0U);
  }
}

TEST(Security, T13_other_records_of_unknown_sources_are_dropped) {
  PlainPeer peer({});
  const auto engine = engine_for(peer);
  const std::vector<Bytes> datagrams = {plain_record(22, {16, 0, 0, 1, 0, 2, 0, 0, 0, 0, 0, 1, 0}),
                                        plain_record(21, {2, 40}),
                                        plain_record(20, {1}),
                                        plain_record(23, Bytes(50, 1)),
                                        Bytes(2049, 22),
                                        Bytes(1, 22),
                                        {}};
  for (const Bytes& bytes : datagrams) engine->deliver(bytes, kStranger);
  EXPECT_EQ(engine->handshakes.counters().datagrams_dropped.value(), datagrams.size());
  EXPECT_TRUE(engine->recorder.sent.empty());
  EXPECT_EQ(engine->handshakes.next_deadline(), Instant::max());
}

}  // namespace
}  // namespace turnpike::dtls_testing
