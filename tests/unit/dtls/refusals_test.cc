// Handshakes that must not succeed, and what is said of them.
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "tests/unit/dtls/line.h"

namespace turnpike::dtls_testing {
namespace {

struct Outcome {
  DtlsState state = DtlsState::kOff;
  DtlsFailure failure = DtlsFailure::kNone;
  std::uint64_t counted = 0;
  std::size_t keys = 0;
  Nanoseconds took{0};
  std::size_t half_open = 0;
  bool peer_complete = false;
};

/// A handshake with such a peer, whose certificate is known, if it has one.
Outcome meet(PlainOptions options, bool ice = true) {
  Engine engine;
  PlainPeer peer(options);
  engine.ice = ice;
  engine.config.role = options.server ? DtlsRole::kActive : DtlsRole::kPassive;
  engine.config.remote = options.key.empty() ? engine.identity.fingerprint
                                             : peer.fingerprint(FingerprintHash::kSha256);
  engine.configure(kClient);
  if (!options.server) peer.start(engine.now);
  Line line(engine, peer);
  line.patience = Seconds{100};
  const Instant begin = engine.now;
  line.done = [&] { return engine.state() == DtlsState::kFailed; };
  line.run();
  return {engine.state(),
          engine.failure(),
          engine.failed(engine.failure()),
          engine.recorder.keys.size(),
          engine.now - begin,
          engine.handshakes.usage().half_open,
          peer.complete()};
}

void expect_failure(const Outcome& outcome, DtlsFailure failure) {
  EXPECT_EQ(outcome.state, DtlsState::kFailed);
  EXPECT_EQ(info_of(outcome.failure).label, info_of(failure).label);
  EXPECT_EQ(outcome.counted, 1U);
  EXPECT_EQ(outcome.keys, 0U);
  EXPECT_EQ(outcome.half_open, 0U);
}

TEST(Refusals, dtls_1_0_client) {
  for (const bool ice : {true, false}) {
    expect_failure(meet({.version = DTLS1_VERSION}, ice), DtlsFailure::kVersion);
  }
}

TEST(Refusals, dtls_1_0_server) {
  // It finds none of its ciphers in our ClientHello, and says so.
  expect_failure(meet({.server = true, .version = DTLS1_VERSION}), DtlsFailure::kAlert);
}

TEST(Refusals, server_that_says_that_the_version_is_wrong) {
  Engine engine;
  engine.config.role = DtlsRole::kActive;
  engine.configure(kClient);
  engine.deliver(plain_record(21, {2, 70}), kClient);
  EXPECT_EQ(engine.state(), DtlsState::kHandshaking);
  engine.pass(Handshakes::kPatience);
  EXPECT_EQ(engine.state(), DtlsState::kFailed);
  EXPECT_EQ(engine.failure(), DtlsFailure::kVersion);
}

TEST(Refusals, client_without_use_srtp) {
  expect_failure(meet({.profiles = ""}), DtlsFailure::kNoProfile);
}

TEST(Refusals, server_without_use_srtp) {
  expect_failure(meet({.server = true, .profiles = ""}), DtlsFailure::kNoProfile);
}

TEST(Refusals, client_without_certificate) {
  expect_failure(meet({.key = ""}), DtlsFailure::kNoCertificate);
}

TEST(Refusals, client_with_other_ciphers) {
  const Outcome outcome = meet({.ciphers = "AES128-SHA:ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0"});
  expect_failure(outcome, DtlsFailure::kNoCipher);
  EXPECT_EQ(outcome.took, Nanoseconds{0});
}

TEST(Refusals, server_that_refuses_with_an_alert) {
  const Outcome outcome = meet({.server = true, .ciphers = "AES128-SHA:@SECLEVEL=0"});
  expect_failure(outcome, DtlsFailure::kAlert);
  EXPECT_GE(outcome.took, Handshakes::kPatience);  // anybody can send such an alert
}

TEST(Refusals, silence_after_our_client_hello) {
  Engine engine;
  engine.config.role = DtlsRole::kActive;
  engine.configure(kClient);
  ASSERT_EQ(engine.state(), DtlsState::kHandshaking);
  std::vector<Milliseconds> gaps;
  Instant last = engine.now;
  engine.recorder.take_sent();
  while (engine.state() == DtlsState::kHandshaking) {
    engine.pass(Milliseconds{100});
    for (const auto& sent : engine.recorder.take_sent()) {
      EXPECT_EQ(sent.to, kClient);
      gaps.push_back(std::chrono::round<Milliseconds>(engine.now - last));
      last = engine.now;
    }
  }
  EXPECT_EQ(engine.failure(), DtlsFailure::kTimeout);
  EXPECT_EQ(engine.failed(DtlsFailure::kTimeout), 1U);
  ASSERT_GE(gaps.size(), 4U);
  EXPECT_EQ(gaps[0], Milliseconds{400});
  EXPECT_EQ(gaps[1], Milliseconds{800});
  EXPECT_EQ(gaps[2], Milliseconds{1600});
  EXPECT_EQ(gaps.back(), Milliseconds{3000});
  EXPECT_EQ(engine.now, Instant{} + Seconds{1000} + Handshakes::kPatience);
  EXPECT_EQ(engine.handshakes.next_deadline(), Instant::max());
  engine.pass(Seconds{100});
  EXPECT_TRUE(engine.recorder.sent.empty());

  // Another address is another chance; the same one is not.
  engine.configure(kClient);
  EXPECT_EQ(engine.state(), DtlsState::kFailed);
  engine.configure(at(2));
  EXPECT_EQ(engine.state(), DtlsState::kHandshaking);
  ASSERT_EQ(engine.recorder.sent.size(), 1U);
  EXPECT_EQ(engine.recorder.sent[0].to, at(2));
}

TEST(Refusals, client_that_falls_silent) {
  Engine engine;
  PlainPeer peer({});
  engine.config.remote = peer.fingerprint(FingerprintHash::kSha256);
  engine.configure();
  engine.deliver(hello_of(peer, engine.now), kClient);
  EXPECT_EQ(engine.state(), DtlsState::kHandshaking);
  engine.pass(Handshakes::kPatience - Milliseconds{1});
  EXPECT_EQ(engine.state(), DtlsState::kHandshaking);
  engine.pass(Milliseconds{1});
  EXPECT_EQ(engine.state(), DtlsState::kFailed);
  EXPECT_EQ(engine.failure(), DtlsFailure::kTimeout);
  EXPECT_EQ(engine.handshakes.usage().half_open, 0U);

  // The next one is as welcome as the first.
  engine.recorder.take_sent();
  PlainPeer again({});
  engine.config.remote = again.fingerprint(FingerprintHash::kSha256);
  engine.configure();
  again.start(engine.now);
  Line(engine, again).run();
  EXPECT_EQ(engine.state(), DtlsState::kEstablished);
  EXPECT_EQ(engine.failure(), DtlsFailure::kTimeout);  // the last one stays known
}

TEST(Refusals, renegotiation) {
  Engine engine;
  PlainPeer peer({});
  engine.config.remote = peer.fingerprint(FingerprintHash::kSha256);
  engine.configure();
  peer.start(engine.now);
  exchange(engine, {{kClient, &peer}});
  ASSERT_EQ(engine.recorder.keys.size(), 1U);
  peer.renegotiate(engine.now);
  std::vector<Bytes> hello = peer.take_sent();
  ASSERT_FALSE(hello.empty());
  ASSERT_EQ(hello[0][4], 1);  // with the association's keys
  for (const Bytes& bytes : hello) engine.deliver(bytes, kClient);
  const auto answers = engine.recorder.take_sent();
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_EQ(answers[0].bytes[0], 21);  // no_renegotiation
  engine.pass(Seconds{60});
  EXPECT_EQ(engine.recorder.keys.size(), 1U);
  EXPECT_EQ(engine.state(), DtlsState::kEstablished);
  EXPECT_TRUE(engine.recorder.take_sent().empty());
}

TEST(Refusals, no_resumption_and_no_tickets) {
  Engine engine;
  PlainPeer peer({});
  engine.config.remote = peer.fingerprint(FingerprintHash::kSha256);
  engine.configure();
  engine.deliver(hello_of(peer, engine.now), kClient);
  const Bytes flight = engine.recorder.take_sent().at(0).bytes;
  // Record and message header, version, random: then the length of the session id.
  ASSERT_GT(flight.size(), 60U);
  EXPECT_EQ(flight[13], 2);
  EXPECT_EQ(flight[13 + 12 + 34], 0);
}

}  // namespace
}  // namespace turnpike::dtls_testing
