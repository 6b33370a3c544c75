// Several ends that answer one offer, each with a certificate of its own: the one that signalling
// names last has the keys, whenever it finished its handshake.
#include <memory>

#include <gtest/gtest.h>

#include "tests/unit/dtls/line.h"

namespace turnpike::dtls_testing {
namespace {

/// Ends that have been offered the same and do their handshakes with it.
struct Forks {
  explicit Forks(std::size_t count, bool ice = true) {
    engine.ice = ice;
    engine.config.role = DtlsRole::kUndecided;
    for (std::size_t i = 0; i < count; ++i) {
      peers.push_back(std::make_unique<PlainPeer>(PlainOptions{}));
      places.push_back({at(static_cast<std::uint8_t>(i + 1)), peers.back().get()});
    }
    engine.configure();
  }
  void shake_hands(std::size_t i) {
    peers[i]->start(engine.now);
    talk();
  }
  void talk() { dtls_testing::exchange(engine, places); }
  /// As signalling says it: another fingerprint is another association.
  void answered_by(std::size_t i) {
    engine.config.role = DtlsRole::kPassive;
    if (engine.config.remote.is_set()) ++engine.config.association;
    engine.config.remote = peers[i]->fingerprint(FingerprintHash::kSha256);
    engine.configure();
  }
  void expect_keys_of(std::size_t i) {
    EXPECT_EQ(engine.state(), DtlsState::kEstablished);
    ASSERT_FALSE(engine.recorder.keys.empty());
    const Recorder::Keys& keys = engine.recorder.keys.back();
    EXPECT_EQ(keys.receive, peers[i]->sending());
    EXPECT_EQ(keys.send, peers[i]->receiving());
    EXPECT_EQ(keys.association, engine.config.association);
    EXPECT_EQ(keys.peer, places[i].address);
  }
  std::size_t unsaid() { return engine.recorder.unsaid[kLeg].size(); }

  Engine engine;
  std::vector<std::unique_ptr<PlainPeer>> peers;
  std::vector<Place> places;
};

TEST(Forks, one_that_finished_early_and_answers_last_has_its_keys_at_once) {
  for (const bool ice : {true, false}) {
    Forks forks(2, ice);
    forks.shake_hands(0);
    forks.shake_hands(1);
    EXPECT_TRUE(forks.engine.recorder.keys.empty());
    forks.answered_by(0);
    forks.expect_keys_of(0);
    forks.engine.pass(Seconds{60});  // it rings on
    forks.answered_by(1);
    forks.expect_keys_of(1);
    EXPECT_EQ(forks.engine.recorder.keys.size(), 2U);
    EXPECT_EQ(forks.engine.failure(), DtlsFailure::kNone);
    EXPECT_EQ(forks.engine.handshakes.counters().completed.value(), 2U);
  }
}

TEST(Forks, who_comes_back_with_another_tls_id_shakes_hands_anew) {
  for (const bool same : {true, false}) {
    Forks forks(2);
    forks.engine.config.session = 11;
    forks.answered_by(0);
    forks.shake_hands(0);
    forks.expect_keys_of(0);
    forks.engine.config.session = 22;
    forks.answered_by(1);
    forks.shake_hands(1);
    forks.expect_keys_of(1);
    forks.engine.config.session = same ? 11 : 33;
    forks.answered_by(0);
    EXPECT_EQ(forks.engine.state(), same ? DtlsState::kEstablished : DtlsState::kWaiting);
    EXPECT_EQ(forks.engine.recorder.keys.size(), same ? 3U : 2U);
  }
}

TEST(Forks, one_that_finishes_before_its_answer_is_no_loser) {
  Forks forks(2);
  forks.answered_by(0);
  forks.shake_hands(1);  // the mismatch that it is so far
  EXPECT_EQ(forks.engine.failure(), DtlsFailure::kFingerprint);
  EXPECT_FALSE(forks.peers[1]->closed_by_peer());
  forks.answered_by(1);
  forks.expect_keys_of(1);
}

/// Two of them: the first is answered while the second is in the middle of its handshake.
struct SlowFork : Forks {
  SlowFork() : Forks(2) {
    PlainPeer& slow = *peers[1];
    engine.deliver(hello_of(slow, engine.now), at(2));
    for (const auto& sent : engine.recorder.take_sent()) slow.deliver(sent.bytes, engine.now);
    for (const Bytes& datagram : slow.take_sent()) {
      for (std::size_t begin = 0; begin < datagram.size();) {
        const std::size_t end = begin + 13 + datagram[begin + 11] * 256U + datagram[begin + 12];
        flight.emplace_back(datagram.begin() + static_cast<std::ptrdiff_t>(begin),
                            datagram.begin() + static_cast<std::ptrdiff_t>(end));
        begin = end;
      }
    }
    for (std::size_t i = 0; i + 1 < flight.size(); ++i) engine.deliver(flight[i], at(2));
    shake_hands(0);
    answered_by(0);
    expect_keys_of(0);
  }
  std::vector<Bytes> flight;  // of the second, record by record; the last has not arrived yet
};

TEST(Forks, one_in_the_middle_of_its_handshake_finishes_it) {
  SlowFork forks;
  ASSERT_GE(forks.flight.size(), 2U);
  forks.engine.deliver(forks.flight.back(), at(2));
  forks.talk();
  EXPECT_TRUE(forks.peers[1]->complete());
  forks.expect_keys_of(0);
  EXPECT_EQ(forks.engine.recorder.keys.size(), 1U);
  EXPECT_EQ(forks.engine.failure(), DtlsFailure::kNone);
  forks.answered_by(1);
  forks.expect_keys_of(1);
}

TEST(Forks, one_that_is_named_in_the_middle_of_its_handshake_goes_on) {
  SlowFork forks;
  forks.answered_by(1);
  EXPECT_EQ(forks.engine.state(), DtlsState::kHandshaking);
  forks.engine.deliver(forks.flight.back(), at(2));
  forks.talk();
  forks.expect_keys_of(1);
}

TEST(Forks, one_that_never_finishes_does_not_disturb_the_winner) {
  SlowFork forks;
  EXPECT_EQ(forks.engine.handshakes.usage().half_open, 1U);
  forks.engine.pass(Seconds{60});
  forks.expect_keys_of(0);
  EXPECT_EQ(forks.engine.handshakes.usage().half_open, 0U);
  for (std::size_t i = 1; i < kDtlsFailureCount; ++i) {
    EXPECT_EQ(forks.engine.failed(static_cast<DtlsFailure>(i)), 0U);
  }
}

TEST(Forks, losers_hear_goodbye_when_nobody_asks_for_them) {
  Forks forks(3);
  for (std::size_t i = 0; i < 3; ++i) forks.shake_hands(i);
  forks.answered_by(1);
  EXPECT_EQ(forks.unsaid(), 3U);
  forks.engine.pass(Handshakes::kReserve - Milliseconds{1});
  EXPECT_TRUE(forks.engine.recorder.sent.empty());
  forks.engine.pass(Milliseconds{1});
  forks.talk();
  EXPECT_TRUE(forks.peers[0]->closed_by_peer());
  EXPECT_FALSE(forks.peers[1]->closed_by_peer());
  EXPECT_TRUE(forks.peers[2]->closed_by_peer());
  EXPECT_EQ(forks.unsaid(), 1U);
  EXPECT_EQ(forks.engine.handshakes.next_deadline(), Instant::max());
  // Too late: it would have to begin again.
  forks.answered_by(0);
  EXPECT_EQ(forks.engine.state(), DtlsState::kWaiting);
}

TEST(Forks, losers_hear_goodbye_with_the_leg) {
  Forks forks(3);
  for (std::size_t i = 0; i < 3; ++i) forks.shake_hands(i);
  forks.answered_by(1);
  forks.engine.handshakes.close(kLeg, forks.engine.recorder);
  forks.talk();
  for (const auto& peer : forks.peers) EXPECT_TRUE(peer->closed_by_peer());
  EXPECT_EQ(forks.engine.handshakes.usage().lingering, 0U);
}

TEST(Forks, all_hear_goodbye_when_nobody_answers) {
  Forks forks(2);
  for (std::size_t i = 0; i < 2; ++i) forks.shake_hands(i);
  EXPECT_EQ(forks.unsaid(), 2U);
  forks.engine.handshakes.close(kLeg, forks.engine.recorder);
  forks.talk();
  for (const auto& peer : forks.peers) EXPECT_TRUE(peer->closed_by_peer());
}

TEST(Forks, no_more_than_three_are_kept) {
  Forks forks(4);
  forks.engine.config.role = DtlsRole::kPassive;
  forks.engine.config.remote = forks.engine.identity.fingerprint;
  forks.engine.configure();
  for (std::size_t i = 0; i < 4; ++i) forks.shake_hands(i);
  EXPECT_TRUE(forks.peers[0]->closed_by_peer());
  EXPECT_EQ(forks.unsaid(), 3U);
  for (std::size_t i = 1; i < 4; ++i) EXPECT_FALSE(forks.peers[i]->closed_by_peer());
  forks.answered_by(3);
  forks.expect_keys_of(3);
}

// Whoever sits behind the same NAT may shake hands, if he can be heard at all.
TEST(Forks, a_neighbour_pushes_out_what_came_from_his_own_address) {
  Forks forks(6);
  forks.engine.config.remote = forks.engine.identity.fingerprint;
  forks.answered_by(0);
  forks.engine.config.remote = forks.engine.identity.fingerprint;
  forks.engine.configure();
  for (std::size_t i = 1; i < 6; ++i) {
    forks.places[i].address = at(9, static_cast<std::uint16_t>(5000 + i));
  }
  for (std::size_t i = 0; i < 6; ++i) forks.shake_hands(i);
  EXPECT_FALSE(forks.peers[0]->closed_by_peer());
  EXPECT_TRUE(forks.peers[1]->closed_by_peer());
  forks.answered_by(0);
  forks.expect_keys_of(0);
}

TEST(Forks, a_neighbour_does_not_push_out_one_that_had_the_media) {
  for (const std::size_t had_media : {2U, 4U}) {
    Forks forks(8);
    for (std::size_t i = 0; i < had_media; ++i) {
      forks.answered_by(i);
      forks.shake_hands(i);
      forks.expect_keys_of(i);
    }
    for (std::size_t i = had_media; i < 8; ++i) {
      forks.places[i].address = at(1, static_cast<std::uint16_t>(5000 + i));
      forks.shake_hands(i);
    }
    EXPECT_FALSE(forks.peers[0]->closed_by_peer());
    forks.answered_by(0);
    forks.expect_keys_of(0);
  }
}

TEST(Forks, a_leg_that_keeps_nothing_any_more_does_not_count) {
  Forks forks(1);
  forks.engine.config.role = DtlsRole::kPassive;
  forks.engine.config.remote = forks.engine.identity.fingerprint;
  forks.engine.configure();
  forks.shake_hands(0);
  EXPECT_EQ(forks.engine.handshakes.usage().lingering, 1U);
  forks.engine.pass(Handshakes::kReserve + Seconds{1});
  EXPECT_EQ(forks.unsaid(), 0U);
  EXPECT_EQ(forks.engine.handshakes.usage().lingering, 0U);
}

TEST(Forks, a_loser_that_leaves_is_not_called_back) {
  Forks forks(2);
  for (std::size_t i = 0; i < 2; ++i) forks.shake_hands(i);
  forks.answered_by(0);
  forks.peers[1]->close(forks.engine.now);
  forks.talk();
  forks.expect_keys_of(0);
  EXPECT_EQ(forks.unsaid(), 1U);
  forks.answered_by(1);
  EXPECT_EQ(forks.engine.state(), DtlsState::kWaiting);
  EXPECT_EQ(forks.engine.recorder.keys.size(), 1U);
}

TEST(Forks, what_was_done_with_another_certificate_of_ours_is_void) {
  Forks forks(2);
  for (std::size_t i = 0; i < 2; ++i) forks.shake_hands(i);
  forks.answered_by(0);
  forks.engine.config.identity = forks.engine.handshakes.add_identity().id;
  forks.answered_by(1);
  EXPECT_EQ(forks.engine.state(), DtlsState::kWaiting);
  forks.talk();
  EXPECT_TRUE(forks.peers[1]->closed_by_peer());
}

TEST(Forks, one_is_named_again_before_another_has_finished) {
  Forks forks(2);
  forks.shake_hands(0);
  forks.answered_by(0);
  forks.answered_by(1);
  EXPECT_EQ(forks.engine.state(), DtlsState::kWaiting);
  forks.answered_by(0);
  forks.expect_keys_of(0);
  // The same keys: whoever has them goes on with their indices.
  EXPECT_EQ(forks.engine.recorder.keys.front().send, forks.engine.recorder.keys.back().send);
  EXPECT_EQ(forks.engine.handshakes.counters().completed.value(), 1U);
}

TEST(Forks, one_that_had_the_media_has_it_again) {
  Forks forks(2);
  for (std::size_t i = 0; i < 2; ++i) forks.shake_hands(i);
  for (const std::size_t i : {0U, 1U, 0U, 1U, 0U}) {
    forks.answered_by(i);
    forks.expect_keys_of(i);
    forks.engine.pass(Seconds{100});  // for the other one, the two minutes begin again each time
  }
  EXPECT_FALSE(forks.peers[0]->closed_by_peer());
  EXPECT_EQ(forks.engine.handshakes.counters().completed.value(), 2U);
  forks.engine.pass(Handshakes::kReserve);
  forks.talk();
  EXPECT_TRUE(forks.peers[1]->closed_by_peer());
  EXPECT_FALSE(forks.peers[0]->closed_by_peer());
}

TEST(Security, M4_a_fork_cannot_take_a_session_that_signalling_gave_to_another) {
  Forks forks(2);
  for (std::size_t i = 0; i < 2; ++i) forks.shake_hands(i);
  forks.answered_by(0);
  Engine& engine = forks.engine;
  const std::size_t changes = engine.recorder.changes.size();
  PlainPeer& loser = *forks.peers[1];
  PlainPeer again({.key = "P-384"});
  engine.deliver(hello_of(again, engine.now), at(2));
  loser.renegotiate(engine.now);
  forks.talk();
  engine.configure(at(2));  // not even when ICE selects its address
  loser.close(engine.now);
  forks.talk();
  EXPECT_EQ(engine.recorder.keys.size(), 1U);
  EXPECT_EQ(engine.recorder.changes.size(), changes);
  EXPECT_EQ(engine.state(), DtlsState::kEstablished);
  EXPECT_FALSE(forks.peers[0]->closed_by_peer());
}

TEST(Security, M8_a_fork_gets_keys_only_by_its_fingerprint) {
  Forks forks(3);
  for (std::size_t i = 0; i < 3; ++i) forks.shake_hands(i);
  forks.answered_by(0);
  ++forks.engine.config.association;
  forks.engine.config.remote.bytes[0] ^= 1;
  forks.engine.configure();
  EXPECT_EQ(forks.engine.state(), DtlsState::kWaiting);
  EXPECT_EQ(forks.engine.recorder.keys.size(), 1U);
}

TEST(Security, M8_another_number_alone_brings_no_old_association_back) {
  Forks forks(2);
  for (std::size_t i = 0; i < 2; ++i) forks.shake_hands(i);
  forks.answered_by(0);
  ++forks.engine.config.association;  // RFC 8842: the same end wants another one
  forks.engine.configure();
  EXPECT_EQ(forks.engine.state(), DtlsState::kWaiting);
  EXPECT_EQ(forks.engine.recorder.keys.size(), 1U);
}

}  // namespace
}  // namespace turnpike::dtls_testing
