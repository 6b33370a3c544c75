// How associations end, and how it is noticed that one never begins.
#include <gtest/gtest.h>

#include "tests/unit/dtls/line.h"

namespace turnpike::dtls_testing {
namespace {

struct Session {
  explicit Session(const PlainOptions& options = {}, const HandshakeLimits& limits = {})
      : engine(limits), peer(options) {
    engine.config.role = options.server ? DtlsRole::kActive : DtlsRole::kPassive;
    engine.config.remote = peer.fingerprint(FingerprintHash::kSha256);
    engine.configure(kClient);
    peer.start(engine.now);
    exchange(engine, {{kClient, &peer}});
  }
  Bytes goodbye() const {
    const auto& all = engine.recorder.unsaid.at(kLeg);
    if (all.size() != 1) return {};
    return {all[0].data.begin(), all[0].data.begin() + all[0].length};
  }
  Engine engine;
  PlainPeer peer;
};

// ---- By us

TEST(Goodbye, is_ready_as_soon_as_the_handshake_is_done) {
  for (const bool server : {false, true}) {
    for (const char* cipher : {"ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-GCM-SHA256",
                               "ECDHE-ECDSA-CHACHA20-POLY1305"}) {
      Session session({.server = server, .ciphers = cipher});
      ASSERT_EQ(session.engine.recorder.unsaid[kLeg].size(), 1U);
      const Goodbye& goodbye = session.engine.recorder.unsaid[kLeg][0];
      EXPECT_EQ(goodbye.to, kClient);
      EXPECT_TRUE(goodbye.has_keys);
      EXPECT_FALSE(session.peer.closed_by_peer());
      session.peer.deliver(session.goodbye(), session.engine.now);
      EXPECT_TRUE(session.peer.closed_by_peer());
    }
  }
}

TEST(Goodbye, stays_good_after_the_association_was_used_and_forgotten) {
  Session session({}, {.lingering_max = 0});
  EXPECT_EQ(session.engine.handshakes.usage().lingering, 0U);
  session.engine.pass(Seconds{3600});
  session.peer.deliver(session.goodbye(), session.engine.now);
  EXPECT_TRUE(session.peer.closed_by_peer());
}

TEST(Goodbye, is_said_once) {
  Session session;
  session.peer.close(session.engine.now);
  for (const Bytes& bytes : session.peer.take_sent()) session.engine.deliver(bytes, kClient);
  EXPECT_EQ(session.engine.recorder.take_sent().size(), 1U);
  session.engine.handshakes.close(kLeg, session.engine.recorder);
  EXPECT_TRUE(session.engine.recorder.sent.empty());
}

TEST(Goodbye, goes_where_the_remote_end_was_heard_last) {
  Session session;
  session.engine.configure(at(9));
  session.engine.handshakes.close(kLeg, session.engine.recorder);
  ASSERT_EQ(session.engine.recorder.sent.size(), 1U);
  EXPECT_EQ(session.engine.recorder.sent[0].to, kClient);
  Session active({.server = true});
  active.engine.configure(at(9));
  active.engine.handshakes.close(kLeg, active.engine.recorder);
  ASSERT_EQ(active.engine.recorder.sent.size(), 1U);
  EXPECT_EQ(active.engine.recorder.sent[0].to, at(9));
}

// ---- By the remote end

TEST(End, fatal_alert_closes_as_close_notify_does) {
  Session session({.ciphers = kSealedAlertCipher});
  session.engine.deliver(session.peer.sealed_alert(2, 80), kClient);
  EXPECT_EQ(session.engine.state(), DtlsState::kClosed);
  EXPECT_EQ(session.engine.failure(), DtlsFailure::kAlert);
  EXPECT_EQ(session.engine.handshakes.counters().closed.value(), 1U);
  EXPECT_TRUE(session.engine.recorder.sent.empty());  // whoever sent it has nothing left to hear
  session.engine.handshakes.close(kLeg, session.engine.recorder);
  EXPECT_TRUE(session.engine.recorder.sent.empty());
}

TEST(End, warnings_end_nothing) {
  Session session({.ciphers = kSealedAlertCipher});
  session.engine.deliver(session.peer.sealed_alert(1, 90), kClient);
  EXPECT_EQ(session.engine.state(), DtlsState::kEstablished);
  session.engine.deliver(session.peer.sealed_alert(1, 0), kClient);  // a replay: same number
  EXPECT_EQ(session.engine.state(), DtlsState::kEstablished);
}

TEST(End, of_an_association_that_was_replaced_is_of_no_interest) {
  Session session;
  Engine& engine = session.engine;
  engine.config.association = 2;
  engine.configure(kClient);
  session.peer.close(engine.now);
  exchange(engine, {{kClient, &session.peer}});
  EXPECT_EQ(engine.state(), DtlsState::kWaiting);
  EXPECT_EQ(engine.handshakes.counters().closed.value(), 0U);
}

TEST(Security, M4_forged_alerts_do_not_close) {
  Session session({.ciphers = kSealedAlertCipher});
  PlainPeer stranger({.ciphers = kSealedAlertCipher});
  Engine elsewhere;
  elsewhere.config.remote = stranger.fingerprint(FingerprintHash::kSha256);
  elsewhere.configure();
  stranger.start(elsewhere.now);
  exchange(elsewhere, {{kClient, &stranger}});
  Bytes damaged = session.peer.sealed_alert(1, 0);
  damaged.back() ^= 1;
  for (const Bytes& forged : {plain_record(21, {1, 0}), plain_record(21, {2, 40}),
                              stranger.sealed_alert(1, 0), damaged}) {
    session.engine.deliver(forged, kClient);
    EXPECT_EQ(session.engine.state(), DtlsState::kEstablished);
  }
  EXPECT_EQ(session.engine.handshakes.counters().closed.value(), 0U);
  session.engine.deliver(session.peer.sealed_alert(1, 0), kClient);
  EXPECT_EQ(session.engine.state(), DtlsState::kClosed);
}

// ---- Never begun

// The keys that came of it were used for more than anybody remembers.
TEST(Renewal, where_we_are_active_we_begin_again) {
  PlainPeer first({.server = true});
  PlainPeer next(first);
  Engine engine;
  engine.config.role = DtlsRole::kActive;
  engine.config.remote = first.fingerprint(FingerprintHash::kSha256);
  engine.configure(kClient);
  exchange(engine, {{kClient, &first}});
  ASSERT_EQ(engine.recorder.keys.size(), 1U);
  engine.handshakes.renew(kLeg, engine.config.association, engine.now, engine.recorder);
  EXPECT_EQ(engine.state(), DtlsState::kHandshaking);
  exchange(engine, {{kClient, &first}, {kClient, &next}});
  EXPECT_TRUE(first.closed_by_peer());
  ASSERT_EQ(engine.recorder.keys.size(), 2U);
  EXPECT_EQ(engine.recorder.keys[1].send, next.receiving());
  EXPECT_EQ(engine.state(), DtlsState::kEstablished);
}

TEST(Renewal, where_we_are_passive_the_remote_end_has_to_and_is_missed) {
  PlainPeer first({});
  PlainPeer next(first);
  Engine engine;
  engine.config.remote = first.fingerprint(FingerprintHash::kSha256);
  engine.configure(kClient);
  first.start(engine.now);
  exchange(engine, {{kClient, &first}});
  ASSERT_EQ(engine.recorder.keys.size(), 1U);
  engine.handshakes.renew(kLeg, engine.config.association, engine.now, engine.recorder);
  EXPECT_EQ(engine.state(), DtlsState::kWaiting);
  exchange(engine, {{kClient, &first}});
  EXPECT_TRUE(first.closed_by_peer());
  EXPECT_EQ(engine.handshakes.usage().lingering, 0U);
  engine.pass(Handshakes::kPatience);
  EXPECT_EQ(engine.failure(), DtlsFailure::kNoClientHello);
  EXPECT_EQ(engine.failed(DtlsFailure::kNoClientHello), 1U);
  next.start(engine.now);
  exchange(engine, {{kClient, &next}});
  ASSERT_EQ(engine.recorder.keys.size(), 2U);
  EXPECT_EQ(engine.state(), DtlsState::kEstablished);
}

TEST(Renewal, of_what_signalling_has_replaced_is_of_no_interest) {
  PlainPeer peer({});
  Engine engine;
  engine.handshakes.renew(kLeg, 1, engine.now, engine.recorder);
  engine.config.remote = peer.fingerprint(FingerprintHash::kSha256);
  engine.configure(kClient);
  peer.start(engine.now);
  exchange(engine, {{kClient, &peer}});
  engine.handshakes.renew(kLeg, engine.config.association + 1, engine.now, engine.recorder);
  EXPECT_EQ(engine.state(), DtlsState::kEstablished);
  EXPECT_TRUE(engine.recorder.take_sent().empty());
}

TEST(NoClientHello, is_a_failure_after_half_a_minute_and_not_the_last_word) {
  Engine engine;
  PlainPeer peer({});
  engine.config.remote = peer.fingerprint(FingerprintHash::kSha256);
  engine.configure(kClient);
  engine.pass(Handshakes::kPatience - Milliseconds{1});
  EXPECT_EQ(engine.state(), DtlsState::kWaiting);
  engine.configure(at(2));  // moving takes nothing of its time
  engine.pass(Milliseconds{1});
  EXPECT_EQ(engine.state(), DtlsState::kFailed);
  EXPECT_EQ(engine.failure(), DtlsFailure::kNoClientHello);
  EXPECT_EQ(engine.failed(DtlsFailure::kNoClientHello), 1U);
  const std::size_t changes = engine.recorder.changes.size();
  engine.configure(kClient);
  engine.pass(Seconds{300});
  EXPECT_EQ(engine.recorder.changes.size(), changes);  // said once
  peer.start(engine.now);
  exchange(engine, {{kClient, &peer}});
  EXPECT_EQ(engine.state(), DtlsState::kEstablished);
  EXPECT_EQ(engine.recorder.keys.size(), 1U);
}

TEST(NoClientHello, is_not_missed_before_everything_is_known) {
  const auto silent = [](auto change) {
    Engine engine;
    engine.config.remote = engine.identity.fingerprint;
    SocketAddress peer = kClient;
    change(engine.config, peer);
    engine.configure(peer);
    engine.pass(Seconds{300});
    return engine.failed(DtlsFailure::kNoClientHello) == 0;
  };
  EXPECT_FALSE(silent([](DtlsConfig&, SocketAddress&) {}));
  EXPECT_TRUE(silent([](DtlsConfig&, SocketAddress& peer) { peer = {}; }));
  EXPECT_TRUE(silent([](DtlsConfig& config, SocketAddress&) { config.remote = {}; }));
  EXPECT_TRUE(silent([](DtlsConfig& config, SocketAddress&) { config.role = DtlsRole::kActive; }));
  EXPECT_TRUE(
      silent([](DtlsConfig& config, SocketAddress&) { config.role = DtlsRole::kUndecided; }));
}

TEST(NoClientHello, is_not_missed_once_it_has_come) {
  Engine engine;
  PlainPeer peer({});
  engine.config.remote = peer.fingerprint(FingerprintHash::kSha256);
  engine.configure(kClient);
  engine.pass(Seconds{20});
  engine.deliver(hello_of(peer, engine.now), kClient);
  engine.pass(Seconds{11});
  EXPECT_EQ(engine.state(), DtlsState::kHandshaking);
  engine.pass(Seconds{60});
  EXPECT_EQ(engine.failure(), DtlsFailure::kTimeout);
  EXPECT_EQ(engine.failed(DtlsFailure::kNoClientHello), 0U);
}

TEST(NoClientHello, is_missed_in_a_new_association_too) {
  Session session;
  Engine& engine = session.engine;
  engine.config.association = 2;
  engine.configure(kClient);
  engine.pass(Handshakes::kPatience);
  EXPECT_EQ(engine.failure(), DtlsFailure::kNoClientHello);
  EXPECT_EQ(engine.state(), DtlsState::kFailed);
}

TEST(Certificate, that_is_gone_is_named) {
  for (const DtlsRole role : {DtlsRole::kPassive, DtlsRole::kActive}) {
    Engine engine;
    engine.config.role = role;
    engine.config.remote = engine.identity.fingerprint;
    engine.config.identity += 1;
    engine.configure(kClient);
    EXPECT_EQ(engine.state(), DtlsState::kFailed);
    EXPECT_EQ(engine.failure(), DtlsFailure::kNoIdentity);
    EXPECT_EQ(engine.failed(DtlsFailure::kNoIdentity), 1U);
    EXPECT_EQ(engine.failed(DtlsFailure::kProtocol), 0U);
    engine.pass(Seconds{60});
    EXPECT_EQ(engine.failed(DtlsFailure::kNoIdentity), 1U);
  }
}

}  // namespace
}  // namespace turnpike::dtls_testing
