// How far a handshake came, when nothing comes any more: flights of RFC 6347 section 4.2.4.
#include <string>

#include <gtest/gtest.h>

#include "tests/unit/dtls/line.h"

namespace turnpike::dtls_testing {
namespace {

constexpr long kSmallMtu = 256;  // flights of several datagrams

std::string words_of(const Engine& engine) {
  return describe(engine.failure(), engine.flights());
}

/// An engine that is given up by its remote end after so much as `talk` lets through.
template <typename Talk>
Engine& given_up(Engine& engine, DtlsRole role, const PlainPeer& peer, Talk talk) {
  engine.config.role = role;
  engine.config.remote = peer.fingerprint(FingerprintHash::kSha256);
  engine.configure(kClient);
  talk();
  engine.pass(Handshakes::kPatience * 2);
  return engine;
}

std::vector<Bytes> sent_by(Engine& engine) {
  std::vector<Bytes> all;
  for (auto& sent : engine.recorder.take_sent()) all.push_back(std::move(sent.bytes));
  return all;
}

TEST(Flights, server_that_has_heard_the_client_hello_only) {
  Engine engine;
  PlainPeer client({});
  given_up(engine, DtlsRole::kPassive, client,
           [&] { engine.deliver(hello_of(client, engine.now), kClient); });
  EXPECT_EQ(engine.flights(), (DtlsFlights{4, 1}));
  EXPECT_EQ(
      words_of(engine),
      "timeout at flight 4: we sent ServerHello to ServerHelloDone and heard ClientHello only");
  EXPECT_EQ(engine.recorder.changes.back().flights, engine.flights());
}

TEST(Flights, server_with_cookies_that_has_heard_the_client_hello_only) {
  Engine engine;
  engine.ice = false;
  PlainPeer client({});
  given_up(engine, DtlsRole::kPassive, client, [&] {
    engine.deliver(hello_of(client, engine.now), kClient);
    for (const Bytes& bytes : sent_by(engine)) client.deliver(bytes, engine.now);
    for (const Bytes& bytes : client.take_sent()) engine.deliver(bytes, kClient);
  });
  EXPECT_EQ(engine.failure(), DtlsFailure::kTimeout);
  EXPECT_EQ(engine.flights(), (DtlsFlights{4, 3}));
}

TEST(Flights, client_that_does_not_come_back_with_the_cookie) {
  Engine engine;
  engine.ice = false;
  PlainPeer client({});
  given_up(engine, DtlsRole::kPassive, client,
           [&] { engine.deliver(hello_of(client, engine.now), kClient); });
  EXPECT_EQ(engine.failure(), DtlsFailure::kNoClientHello);
  EXPECT_EQ(words_of(engine),
            "remote end has not begun its handshake; timeout at flight 2: "
            "we sent HelloVerifyRequest and heard ClientHello only");
}

TEST(Flights, client_that_says_nothing) {
  Engine engine;
  PlainPeer client({});
  given_up(engine, DtlsRole::kPassive, client, [] {});
  EXPECT_EQ(engine.flights(), DtlsFlights{});
  EXPECT_EQ(words_of(engine), "remote end has not begun its handshake");
}

TEST(Flights, server_that_has_heard_a_part_of_the_answer) {
  Engine engine;
  PlainPeer client({.mtu = kSmallMtu});
  given_up(engine, DtlsRole::kPassive, client, [&] {
    engine.deliver(hello_of(client, engine.now), kClient);
    for (const Bytes& bytes : sent_by(engine)) client.deliver(bytes, engine.now);
    const std::vector<Bytes> answer = client.take_sent();
    ASSERT_GT(answer.size(), 1U);
    engine.deliver(answer[0], kClient);
  });
  EXPECT_EQ(words_of(engine),
            "timeout at flight 4: we sent ServerHello to ServerHelloDone and heard only a part of "
            "Certificate to Finished");
}

TEST(Flights, client_that_has_heard_nothing) {
  Engine engine;
  PlainPeer server({.server = true});
  given_up(engine, DtlsRole::kActive, server, [] {});
  EXPECT_EQ(words_of(engine), "timeout at flight 1: we sent ClientHello and heard nothing");
}

TEST(Flights, client_that_has_been_asked_for_a_cookie) {
  Engine engine;
  PlainPeer server({.server = true});
  const Bytes ask = {3, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 7, 0xfe, 0xff, 4, 1, 2, 3, 4};
  given_up(engine, DtlsRole::kActive, server,
           [&] { engine.deliver(plain_record(22, ask, 0), kClient); });
  EXPECT_EQ(words_of(engine),
            "timeout at flight 3: we sent ClientHello with a cookie and heard HelloVerifyRequest "
            "only");
}

TEST(Flights, client_that_has_heard_a_part_of_the_answer_and_all_of_it) {
  for (const bool all : {false, true}) {
    Engine engine;
    PlainPeer server({.server = true, .mtu = kSmallMtu});
    given_up(engine, DtlsRole::kActive, server, [&] {
      for (const Bytes& bytes : sent_by(engine)) server.deliver(bytes, engine.now);
      std::vector<Bytes> answer = server.take_sent();
      ASSERT_GT(answer.size(), 1U);
      if (!all) answer.resize(1);
      for (const Bytes& bytes : answer) engine.deliver(bytes, kClient);
    });
    EXPECT_EQ(engine.flights(), (all ? DtlsFlights{5, 4} : DtlsFlights{1, 4}));
  }
}

TEST(Flights, are_forgotten_with_another_failure) {
  Engine engine;
  PlainPeer client({});
  given_up(engine, DtlsRole::kPassive, client,
           [&] { engine.deliver(hello_of(client, engine.now), kClient); });
  ASSERT_EQ(engine.failure(), DtlsFailure::kTimeout);
  engine.config.association = 2;
  engine.config.identity += 1;
  engine.configure(kClient);
  EXPECT_EQ(engine.failure(), DtlsFailure::kNoIdentity);
  EXPECT_EQ(engine.flights(), DtlsFlights{});
}

}  // namespace
}  // namespace turnpike::dtls_testing
