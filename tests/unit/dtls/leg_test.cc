// What legs do as signalling, addresses and time go on; limits.
#include <memory>

#include <gtest/gtest.h>

#include "tests/unit/dtls/line.h"

namespace turnpike::dtls_testing {
namespace {

struct Session {
  explicit Session(DtlsRole role = DtlsRole::kPassive)
      : peer({.server = role == DtlsRole::kActive}) {
    engine.config.role = role;
    engine.config.remote = peer.fingerprint(FingerprintHash::kSha256);
    engine.configure(kClient);
    peer.start(engine.now);
    exchange(engine, {{kClient, &peer}});
  }
  Engine engine;
  PlainPeer peer;
};

TEST(Leg, unknown_ones_are_off_and_drop_everything) {
  Engine engine;
  PlainPeer peer({});
  engine.deliver(hello_of(peer, engine.now), kClient);
  EXPECT_EQ(engine.state(), DtlsState::kOff);
  EXPECT_EQ(engine.handshakes.counters().datagrams_dropped.value(), 1U);
  engine.handshakes.close(kLeg, engine.recorder);
  engine.config.enabled = false;
  engine.configure();
  EXPECT_TRUE(engine.recorder.changes.empty());
  EXPECT_EQ(engine.handshakes.usage().legs, 0U);
}

TEST(Leg, says_each_state_once) {
  Session session;
  session.engine.configure(kClient);
  std::vector<DtlsState> states;
  for (const auto& change : session.engine.recorder.changes) states.push_back(change.state);
  EXPECT_EQ(states, (std::vector<DtlsState>{DtlsState::kWaiting, DtlsState::kHandshaking,
                                            DtlsState::kEstablished}));
}

TEST(Leg, close_notify_closes) {
  for (const DtlsRole role : {DtlsRole::kPassive, DtlsRole::kActive}) {
    Session session(role);
    session.peer.close(session.engine.now);
    exchange(session.engine, {{kClient, &session.peer}});
    EXPECT_EQ(session.engine.state(), DtlsState::kClosed);
    EXPECT_TRUE(session.peer.closed_by_peer());  // RFC 5246 section 7.2.1: answered in kind
    EXPECT_EQ(session.engine.handshakes.counters().closed.value(), 1U);
    EXPECT_EQ(session.engine.handshakes.usage().lingering, 0U);
    EXPECT_TRUE(session.engine.recorder.unsaid[kLeg].empty());
    // Whoever closed comes back only by signalling.
    PlainPeer again({.server = role == DtlsRole::kActive});
    again.start(session.engine.now);
    exchange(session.engine, {{kClient, &again}});
    EXPECT_EQ(session.engine.state(), DtlsState::kClosed);
  }
}

TEST(Leg, says_goodbye_when_it_is_closed) {
  for (const bool by_update : {true, false}) {
    Session session;
    if (by_update) {
      session.engine.config.enabled = false;
      session.engine.configure();
      EXPECT_EQ(session.engine.recorder.changes.back().state, DtlsState::kOff);
    } else {
      session.engine.handshakes.close(kLeg, session.engine.recorder);
      EXPECT_EQ(session.engine.recorder.changes.back().state, DtlsState::kEstablished);
    }
    EXPECT_EQ(session.engine.handshakes.usage().legs, 0U);
    EXPECT_EQ(session.engine.handshakes.usage().lingering, 0U);
    EXPECT_EQ(session.engine.handshakes.next_deadline(), Instant::max());
    EXPECT_EQ(session.engine.state(), DtlsState::kOff);
    exchange(session.engine, {{kClient, &session.peer}});
    EXPECT_TRUE(session.peer.closed_by_peer());
  }
}

TEST(Leg, repairs_a_lost_last_flight) {
  Engine engine;
  PlainPeer peer({});
  engine.config.remote = peer.fingerprint(FingerprintHash::kSha256);
  engine.configure();
  engine.deliver(hello_of(peer, engine.now), kClient);
  for (const auto& sent : engine.recorder.take_sent()) peer.deliver(sent.bytes, engine.now);
  for (const Bytes& bytes : peer.take_sent()) engine.deliver(bytes, kClient);
  ASSERT_EQ(engine.state(), DtlsState::kEstablished);
  ASSERT_FALSE(engine.recorder.take_sent().empty());  // and it is lost
  engine.pass(Seconds{110});
  peer.on_deadline(engine.now);
  exchange(engine, {{kClient, &peer}});
  EXPECT_TRUE(peer.complete());
  EXPECT_EQ(engine.state(), DtlsState::kEstablished);
  EXPECT_EQ(engine.recorder.keys.size(), 1U);
}

TEST(Leg, an_association_lives_as_long_as_its_leg) {
  Session session;
  session.engine.pass(Seconds{24 * 3600});
  EXPECT_EQ(session.engine.handshakes.usage().lingering, 1U);
  EXPECT_EQ(session.engine.handshakes.next_deadline(), Instant::max());
  session.peer.close(session.engine.now);
  exchange(session.engine, {{kClient, &session.peer}});
  EXPECT_EQ(session.engine.state(), DtlsState::kClosed);
}

TEST(Leg, another_number_is_another_association) {
  for (const DtlsRole role : {DtlsRole::kPassive, DtlsRole::kActive}) {
    Session session(role);
    Engine& engine = session.engine;
    PlainPeer next({.server = role == DtlsRole::kActive});
    engine.config.association = 2;
    engine.config.remote = next.fingerprint(FingerprintHash::kSha256);
    engine.configure(kClient);
    // The association before it is still understood.
    EXPECT_EQ(engine.handshakes.usage().lingering, 1U);
    next.start(engine.now);
    Line(engine, next).run();
    ASSERT_EQ(engine.recorder.keys.size(), 2U);
    EXPECT_EQ(engine.recorder.keys[1].send, next.receiving());
    EXPECT_NE(engine.recorder.keys[0].send, engine.recorder.keys[1].send);
    EXPECT_EQ(engine.state(), DtlsState::kEstablished);
    EXPECT_EQ(engine.handshakes.usage().lingering, 1U);
  }
}

TEST(Leg, an_association_that_is_replaced_hears_goodbye) {
  PlainPeer next({});
  Engine engine;
  PlainPeer first({});
  engine.config.remote = first.fingerprint(FingerprintHash::kSha256);
  engine.configure(kClient);
  first.start(engine.now);
  exchange(engine, {{kClient, &first}});
  engine.config.association = 2;
  engine.configure(kClient);
  next.start(engine.now);
  // Not before there is another one.
  EXPECT_TRUE(engine.recorder.sent.empty());
  engine.config.remote = next.fingerprint(FingerprintHash::kSha256);
  engine.configure(kClient);
  exchange(engine, {{kClient, &next}, {kClient, &first}});
  ASSERT_EQ(engine.recorder.keys.size(), 2U);
  // Another certificate may be that of another fork, and the first may be answered again.
  EXPECT_FALSE(first.closed_by_peer());
  engine.pass(Handshakes::kReserve);
  exchange(engine, {{kClient, &next}, {kClient, &first}});
  EXPECT_TRUE(first.closed_by_peer());
  EXPECT_FALSE(next.closed_by_peer());
}

TEST(Leg, an_association_that_the_same_end_replaces_hears_goodbye_at_once) {
  Engine engine;
  PlainPeer first({});
  PlainPeer next(first);
  engine.config.remote = first.fingerprint(FingerprintHash::kSha256);
  for (PlainPeer* peer : {&first, &next}) {
    engine.configure(kClient);
    peer->start(engine.now);
    exchange(engine, {{kClient, &first}, {at(2), &next}});
    ++engine.config.association;
  }
  ASSERT_EQ(engine.recorder.keys.size(), 2U);
  EXPECT_TRUE(first.closed_by_peer());
  EXPECT_FALSE(next.closed_by_peer());
}

TEST(Leg, other_role_or_fingerprint_or_identity_is_another_association) {
  Session session;
  Engine& engine = session.engine;
  const DtlsConfig before = engine.config;
  engine.config.remote = engine.identity.fingerprint;
  engine.configure();
  EXPECT_EQ(engine.state(), DtlsState::kWaiting);
  engine.config = before;
  engine.configure();
  EXPECT_EQ(engine.state(), DtlsState::kEstablished);  // nobody has come between
  EXPECT_EQ(engine.recorder.keys[1].send, engine.recorder.keys[0].send);
  engine.config.role = DtlsRole::kActive;
  engine.configure();
  EXPECT_EQ(engine.state(), DtlsState::kHandshaking);
  engine.config.role = DtlsRole::kPassive;
  engine.config.identity = engine.handshakes.add_identity().id;
  engine.configure();
  EXPECT_EQ(engine.state(), DtlsState::kWaiting);
  EXPECT_EQ(engine.recorder.keys.size(), 2U);
}

TEST(Leg, an_offer_within_a_session_changes_nothing) {
  for (const DtlsRole role : {DtlsRole::kPassive, DtlsRole::kActive}) {
    Session session(role);
    session.engine.config.role = DtlsRole::kUndecided;
    session.engine.config.remote = {};
    session.engine.configure();
    session.engine.config.role = role;
    session.engine.config.remote = session.peer.fingerprint(FingerprintHash::kSha256);
    session.engine.configure();
    EXPECT_EQ(session.engine.state(), DtlsState::kEstablished);
    EXPECT_EQ(session.engine.handshakes.usage().half_open, 0U);
    EXPECT_TRUE(session.engine.recorder.sent.empty());
  }
}

TEST(Leg, early_client_hello_is_taken_up_by_the_answer) {
  Engine engine;
  PlainPeer peer({});
  engine.config.role = DtlsRole::kUndecided;
  engine.configure();
  engine.deliver(hello_of(peer, engine.now), kClient);
  engine.config.role = DtlsRole::kPassive;
  engine.config.remote = peer.fingerprint(FingerprintHash::kSha256);
  engine.configure();
  exchange(engine, {{kClient, &peer}});
  EXPECT_EQ(engine.state(), DtlsState::kEstablished);
  EXPECT_EQ(engine.handshakes.counters().started.value(), 1U);
}

TEST(Leg, answer_may_make_us_the_client) {
  Engine engine;
  PlainPeer peer({.server = true});
  engine.config.role = DtlsRole::kUndecided;
  engine.configure();
  EXPECT_EQ(engine.state(), DtlsState::kWaiting);
  engine.config.role = DtlsRole::kActive;
  engine.config.remote = peer.fingerprint(FingerprintHash::kSha256);
  engine.configure();
  EXPECT_EQ(engine.state(), DtlsState::kWaiting);  // for an address
  EXPECT_TRUE(engine.recorder.sent.empty());
  engine.configure(kClient);
  exchange(engine, {{kClient, &peer}});
  EXPECT_EQ(engine.state(), DtlsState::kEstablished);
}

TEST(Leg, an_end_that_begins_again_where_ice_has_validated_it_has_new_keys) {
  for (const bool closes : {true, false}) {
    Session session;
    Engine& engine = session.engine;
    ASSERT_EQ(engine.recorder.keys.size(), 1U);
    if (closes) {
      session.peer.close(engine.now);
      exchange(engine, {{kClient, &session.peer}});
    }
    engine.pass(Seconds{1});
    PlainPeer again(session.peer);
    again.start(engine.now);
    exchange(engine, {{at(2), &again}, {kClient, &session.peer}});
    EXPECT_TRUE(again.complete());
    EXPECT_EQ(engine.state(), DtlsState::kEstablished);
    ASSERT_EQ(engine.recorder.keys.size(), 2U);
    const Recorder::Keys& keys = engine.recorder.keys.back();
    EXPECT_EQ(keys.receive, again.sending());
    EXPECT_EQ(keys.send, again.receiving());
    EXPECT_EQ(keys.peer, at(2));
    EXPECT_EQ(keys.association, engine.config.association);
    // Nothing is left of the one before, and no state was told but the last.
    EXPECT_TRUE(session.peer.closed_by_peer());
    EXPECT_EQ(engine.recorder.changes.size(), closes ? 5U : 3U);
    EXPECT_EQ(engine.handshakes.usage().half_open, 0U);
  }
}

TEST(Leg, an_end_that_begins_again_and_stops_has_the_keys_that_it_had) {
  Session session;
  Engine& engine = session.engine;
  PlainPeer again(session.peer);
  Bytes hello = hello_of(again, engine.now);
  engine.deliver(hello, at(2));
  for (const auto& sent : engine.recorder.take_sent()) again.deliver(sent.bytes, engine.now);
  for (const Bytes& bytes : again.take_sent()) engine.deliver(bytes, at(2));
  EXPECT_EQ(engine.handshakes.usage().half_open, 1U);
  engine.pass(Seconds{60});
  EXPECT_EQ(engine.handshakes.usage().half_open, 0U);
  EXPECT_EQ(engine.state(), DtlsState::kEstablished);
  EXPECT_EQ(engine.failure(), DtlsFailure::kNone);
  EXPECT_EQ(engine.recorder.keys.size(), 1U);
  EXPECT_FALSE(session.peer.closed_by_peer());
}

TEST(Leg, an_end_without_ice_begins_again_only_by_signalling) {
  Session session;
  Engine& engine = session.engine;
  engine.ice = false;
  PlainPeer again(session.peer);
  again.start(engine.now);
  exchange(engine, {{kClient, &again}});
  EXPECT_FALSE(again.complete());
  EXPECT_EQ(engine.recorder.keys.size(), 1U);
}

TEST(Leg, passive_follows_validated_sources) {
  Engine engine;
  PlainPeer peer({});
  engine.config.remote = peer.fingerprint(FingerprintHash::kSha256);
  engine.configure();
  engine.deliver(hello_of(peer, engine.now), at(1));
  for (const auto& sent : engine.recorder.take_sent()) peer.deliver(sent.bytes, engine.now);
  for (const Bytes& bytes : peer.take_sent()) engine.deliver(bytes, at(2));
  ASSERT_EQ(engine.recorder.keys.size(), 1U);
  EXPECT_EQ(engine.recorder.keys[0].peer, at(2));
  for (const auto& sent : engine.recorder.take_sent()) EXPECT_EQ(sent.to, at(2));
}

TEST(Leg, active_follows_the_address_that_it_is_told) {
  Engine engine;
  PlainPeer peer({.server = true});
  engine.config.role = DtlsRole::kActive;
  engine.config.remote = peer.fingerprint(FingerprintHash::kSha256);
  engine.configure(at(1));
  engine.recorder.take_sent();
  engine.configure(at(2));  // the flight goes there at once
  exchange(engine, {{at(2), &peer}});
  ASSERT_EQ(engine.recorder.keys.size(), 1U);
  EXPECT_EQ(engine.recorder.keys[0].peer, at(2));
  EXPECT_EQ(engine.now, Instant{} + Seconds{1000});
}

TEST(Limits, passive_beyond_the_half_open_cap) {
  Engine engine(HandshakeLimits{.half_open_max = 2});
  const LegKey others[] = {{1, 1, 1, Side::kA}, {1, 2, 1, Side::kA}};
  std::vector<std::unique_ptr<PlainPeer>> peers;
  for (const LegKey& leg : others) {
    peers.push_back(std::make_unique<PlainPeer>(PlainOptions{}));
    engine.handshakes.update(leg, engine.config, {}, engine.now, engine.recorder);
    engine.handshakes.handle(leg, kClient, true, hello_of(*peers.back(), engine.now), engine.now,
                             engine.recorder);
  }
  engine.recorder.take_sent();
  PlainPeer peer({});
  engine.config.remote = peer.fingerprint(FingerprintHash::kSha256);
  engine.configure();
  const Bytes hello = hello_of(peer, engine.now);
  engine.deliver(hello, kClient);
  EXPECT_EQ(engine.handshakes.usage().half_open, 2U);
  EXPECT_EQ(engine.failure(), DtlsFailure::kBusy);
  EXPECT_EQ(engine.failed(DtlsFailure::kBusy), 1U);
  EXPECT_TRUE(engine.recorder.sent.empty());
  engine.handshakes.close(others[0], engine.recorder);
  engine.deliver(hello, kClient);
  exchange(engine, {{kClient, &peer}});
  EXPECT_EQ(engine.state(), DtlsState::kEstablished);
}

TEST(Limits, active_beyond_the_half_open_cap_starts_when_there_is_room) {
  Engine engine(HandshakeLimits{.half_open_max = 1});
  const LegKey other = {1, 1, 1, Side::kA};
  PlainPeer peer({.server = true});
  engine.config.role = DtlsRole::kActive;
  engine.config.remote = peer.fingerprint(FingerprintHash::kSha256);
  engine.handshakes.update(other, engine.config, at(9), engine.now, engine.recorder);
  engine.recorder.take_sent();
  engine.configure(kClient);
  EXPECT_EQ(engine.state(), DtlsState::kWaiting);
  EXPECT_EQ(engine.failure(), DtlsFailure::kBusy);
  EXPECT_TRUE(engine.recorder.sent.empty());
  engine.handshakes.close(other, engine.recorder);
  engine.pass(Seconds{1});
  exchange(engine, {{kClient, &peer}});
  EXPECT_EQ(engine.state(), DtlsState::kEstablished);
}

TEST(Limits, associations_that_are_done_are_kept_in_small_numbers) {
  Engine engine(HandshakeLimits{.lingering_max = 2});
  engine.config.role = DtlsRole::kPassive;
  for (std::uint32_t i = 0; i < 5; ++i) {
    PlainPeer peer({});
    const LegKey leg = {0, i, 1, Side::kA};
    engine.config.remote = peer.fingerprint(FingerprintHash::kSha256);
    engine.handshakes.update(leg, engine.config, {}, engine.now, engine.recorder);
    peer.start(engine.now);
    for (int round = 0; round < 3; ++round) {
      for (const Bytes& bytes : peer.take_sent()) {
        engine.handshakes.handle(leg, kClient, true, bytes, engine.now, engine.recorder);
      }
      for (const auto& sent : engine.recorder.take_sent()) peer.deliver(sent.bytes, engine.now);
    }
    EXPECT_EQ(engine.handshakes.report(leg).state, DtlsState::kEstablished);
    EXPECT_EQ(engine.handshakes.usage().lingering, std::min<std::size_t>(i + 1, 2));
  }
  EXPECT_EQ(engine.recorder.keys.size(), 5U);
  EXPECT_EQ(engine.handshakes.usage().legs, 5U);
  EXPECT_EQ(engine.handshakes.report({0, 0, 1, Side::kA}).state, DtlsState::kEstablished);
}

}  // namespace
}  // namespace turnpike::dtls_testing
