// DTLS clients of TURN before they are up: cookies, limits and what the thread of handshakes has,
// without sockets.
#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <poll.h>

#include "relay/dtls/records.h"
#include "relay/turn_dtls.h"
#include "tests/unit/relay/client_hello.h"
#include "tests/unit/relay/relay_with_turn.h"

namespace turnpike::test {
namespace {

using turn::Drop;
using turn::StreamClose;

using Bytes = std::vector<std::uint8_t>;

SocketAddress client_at(std::uint32_t number, std::uint16_t port = 5000) {
  return {IpAddress::v4(45, static_cast<std::uint8_t>(number >> 16),
                        static_cast<std::uint8_t>(number >> 8), static_cast<std::uint8_t>(number)),
          port};
}

std::shared_ptr<const TlsServerContext> context() {
  const Identity identity = make_identity("turn.example");
  auto made = TlsServerContext::make(identity.certificate, identity.private_key, "stun.turn",
                                     TlsOver::kDatagrams);
  return made ? *made : nullptr;
}

template <typename Condition>
bool soon(Condition condition) {
  for (int i = 0; i < 500 && !condition(); ++i) poll(nullptr, 0, 10);
  return condition();
}

/// Associations of one shard without the thread: handshakes that begin do not go on.
class TurnDtlsTest : public testing::Test {
 protected:
  void SetUp() override { make(8); }

  void make(std::uint32_t half_open_max) {
    shared_ = std::make_shared<turn::Shared>();
    TurnDtls::Setup setup{
        .associations_max = 100,
        .half_open_max = half_open_max,
        .shard = 0,
        .thread = &thread_,
        .gate = turn::SourceGate(shared_, SipHashKey{1}, 50),
        .half_open_gate = turn::SourceGate(shared_, SipHashKey{2}, TurnDtls::kHalfOpenPerSourceMax),
        .key = SipHashKey{3}};
    dtls_.emplace(std::move(setup), counters_,
                  TurnDtls::Handlers{.send =
                                         [this](std::span<const Send> sends) {
                                           for (const Send& one : sends) keep(one);
                                         },
                                     .has_allocation = [](const SocketTag&) { return false; },
                                     .closed = [](const SocketTag&) {}});
  }

  void keep(const Send& send) {
    sent_.emplace_back(send.data, send.data + send.length);
    sent_to_ = send.destination;
  }

  /// What answers one datagram; nothing: empty.
  Bytes answer(const SocketAddress& from, const Bytes& datagram) {
    sent_.clear();
    Batch in;
    Packet& packet = *in.next();
    std::copy(datagram.begin(), datagram.end(), packet.data);
    packet.length = static_cast<std::uint32_t>(datagram.size());
    packet.source = from;
    packet.tag = shared_tag(0);
    messages_.clear();
    dtls_->receive(packet, 0, messages_, now_);
    dtls_->reap(now_);
    return sent_.empty() ? Bytes{} : sent_.front();
  }
  Bytes cookie_for(const SocketAddress& from, std::uint8_t random = 1) {
    const Bytes request = answer(from, client_hello({}, random));
    EXPECT_EQ(sent_to_, from);
    if (request.size() < 28) return {};
    return {request.begin() + 28, request.end()};
  }
  void shake(const SocketAddress& from, std::uint8_t random = 1) {
    const Bytes cookie = cookie_for(from, random);
    EXPECT_EQ(answer(from, client_hello(cookie, random)), Bytes{});
  }
  std::uint64_t closes(StreamClose why) const {
    return counters_.closes[static_cast<std::size_t>(why)].value();
  }
  std::uint64_t drops(Drop why) const {
    return counters_.drops[static_cast<std::size_t>(why)].value();
  }

  TurnDtlsThread thread_{1, [](std::size_t) {}};
  std::shared_ptr<turn::Shared> shared_;
  turn::Counters counters_;
  std::optional<TurnDtls> dtls_;
  Batch messages_;
  std::vector<Bytes> sent_;
  SocketAddress sent_to_;
  Instant now_{Seconds{1000}};
};

using SecurityOfTurnDtls = TurnDtlsTest;

TEST_F(SecurityOfTurnDtls, T13_hello_without_cookie_keeps_nothing_and_gets_no_more_than_it_sent) {
  const Bytes hello = client_hello();
  for (std::uint32_t i = 0; i < 20000; ++i) {
    const Bytes reply = answer(client_at(i), hello);
    ASSERT_FALSE(reply.empty());
    ASSERT_LT(reply.size(), hello.size());
  }
  EXPECT_EQ(dtls_->size(), 0U);
  EXPECT_EQ(dtls_->next_deadline(), Instant::max());
  EXPECT_EQ(counters_.cookies.value(), 20000U);
  EXPECT_EQ(thread_.room(0), TurnDtlsThread::kRequestsMax) << "the thread is asked for nothing";
}

TEST_F(SecurityOfTurnDtls, T13_a_cookie_is_good_for_its_address_and_hello_alone) {
  const Bytes cookie = cookie_for(client_at(1));
  ASSERT_EQ(cookie.size(), kCookieBytes);
  EXPECT_FALSE(answer(client_at(2), client_hello(cookie)).empty()) << "another address";
  EXPECT_FALSE(answer(client_at(1, 5001), client_hello(cookie)).empty()) << "another port";
  EXPECT_FALSE(answer(client_at(1), client_hello(cookie, 2)).empty()) << "another ClientHello";
  Bytes damaged = cookie;
  damaged.back() ^= 1;
  EXPECT_FALSE(answer(client_at(1), client_hello(damaged)).empty());
  EXPECT_EQ(dtls_->size(), 0U);
  now_ += 2 * CookieSecrets::kLife;
  EXPECT_FALSE(answer(client_at(1), client_hello(cookie)).empty()) << "too old";
  EXPECT_EQ(dtls_->size(), 0U);
  shake(client_at(1));
  EXPECT_EQ(dtls_->size(), 1U);
}

TEST_F(SecurityOfTurnDtls, T13_what_is_no_hello_of_an_unknown_source_is_dropped) {
  Bytes finished = client_hello();
  finished[4] = 1;  // epoch
  Bytes key_exchange = client_hello();
  key_exchange[13] = 16;
  Bytes later_fragment = client_hello();
  later_fragment[21] = 1;  // its offset
  const Bytes alert = {21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 40};
  Bytes data = {23, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 1, 0, 40};
  data.resize(53);
  for (const Bytes& one : {finished, key_exchange, later_fragment, alert, data}) {
    EXPECT_TRUE(answer(client_at(1), one).empty());
  }
  EXPECT_EQ(drops(Drop::kNoAssociation), 5U);
  for (const Bytes& one : {Bytes{}, Bytes{22}, binding(), Bytes(1500, 0xff)}) {
    EXPECT_TRUE(answer(client_at(1), one).empty());
  }
  EXPECT_EQ(drops(Drop::kMalformed), 4U);
  EXPECT_EQ(dtls_->size(), 0U);
}

TEST_F(SecurityOfTurnDtls, T13_handshakes_of_a_source_are_bounded) {
  make(100);
  for (std::uint16_t i = 0; i < 20; ++i) {
    shake(client_at(1, static_cast<std::uint16_t>(6000 + i)));
  }
  EXPECT_EQ(dtls_->half_open(), TurnDtls::kHalfOpenPerSourceMax);
  EXPECT_EQ(closes(StreamClose::kSourceFull), 4U);
  shake(client_at(2));
  EXPECT_EQ(dtls_->half_open(), TurnDtls::kHalfOpenPerSourceMax + 1) << "another source";
}

TEST_F(SecurityOfTurnDtls, T13_handshakes_of_all_are_bounded_and_the_oldest_goes) {
  for (std::uint32_t i = 0; i < 12; ++i) shake(client_at(i));
  EXPECT_EQ(dtls_->half_open(), 8U);
  EXPECT_EQ(dtls_->size(), 8U);
  EXPECT_EQ(closes(StreamClose::kTlsTimeout), 4U);
}

TEST_F(SecurityOfTurnDtls, T13_handshakes_that_do_not_go_on_end_and_leave_nothing) {
  for (int round = 0; round < 3; ++round) {
    for (std::uint16_t i = 0; i < 8; ++i) {
      shake(client_at(1, static_cast<std::uint16_t>(6000 + i)));
    }
    ASSERT_EQ(dtls_->half_open(), 8U);
    ASSERT_NE(dtls_->next_deadline(), Instant::max());
    now_ += TurnDtls::kHandshakeMax + Seconds{1};
    dtls_->on_deadline(now_);
    ASSERT_EQ(dtls_->size(), 0U);
    ASSERT_EQ(dtls_->next_deadline(), Instant::max());
  }
  EXPECT_EQ(closes(StreamClose::kTlsTimeout), 24U);
  EXPECT_EQ(closes(StreamClose::kSourceFull), 0U) << "those that ended count on";
  EXPECT_EQ(shared_->connections.load(), 0U);
}

TEST_F(SecurityOfTurnDtls, T13_a_source_begins_few_handshakes_in_a_second) {
  for (std::uint8_t i = 1; i <= 100; ++i) shake(client_at(1), i);
  EXPECT_EQ(drops(Drop::kHandshakeRate), 80U);
  EXPECT_EQ(closes(StreamClose::kClient), 19U) << "the last one goes on";
  EXPECT_EQ(dtls_->half_open(), 1U);
  shake(client_at(2));
  EXPECT_EQ(dtls_->half_open(), 2U) << "another source";
  now_ += Seconds{1};
  for (std::uint8_t i = 101; i <= 120; ++i) shake(client_at(1), i);
  EXPECT_EQ(drops(Drop::kHandshakeRate), 90U);
}

TEST_F(SecurityOfTurnDtls, T13_a_handshake_passes_on_few_datagrams_in_a_second) {
  shake(client_at(1));
  const std::size_t room = thread_.room(0);
  Bytes more = client_hello();
  more[13] = 16;  // ClientKeyExchange
  for (int i = 0; i < 50; ++i) EXPECT_TRUE(answer(client_at(1), more).empty());
  EXPECT_EQ(thread_.room(0), room - TurnDtls::kDatagramsPerSecondMax);
  EXPECT_EQ(drops(Drop::kHandshakeRate), 50U - TurnDtls::kDatagramsPerSecondMax);
  now_ += Seconds{1};
  EXPECT_TRUE(answer(client_at(1), more).empty());
  EXPECT_EQ(thread_.room(0), room - TurnDtls::kDatagramsPerSecondMax - 1);
}

TEST_F(SecurityOfTurnDtls, T13_datagrams_of_some_leave_room_for_the_handshakes_of_others) {
  make(100);
  Bytes more = client_hello();
  more[13] = 16;
  for (std::uint32_t i = 0; i < 10; ++i) {
    shake(client_at(i));
    for (int k = 0; k < 20; ++k) EXPECT_TRUE(answer(client_at(i), more).empty());
  }
  EXPECT_EQ(dtls_->half_open(), 10U);
  EXPECT_GT(drops(Drop::kOverload), 0U);
  EXPECT_GE(thread_.room(0), TurnDtls::kRoomForOthers - 10);
}

TEST_F(SecurityOfTurnDtls, T13_who_may_not_come_in_makes_nobody_go) {
  make(20);
  for (std::uint32_t i = 0; i < 4; ++i) shake(client_at(100 + i));
  for (std::uint16_t i = 0; i < 16; ++i) {
    shake(client_at(1, static_cast<std::uint16_t>(6000 + i)));
  }
  ASSERT_EQ(dtls_->half_open(), 20U);
  shake(client_at(1, 7000));
  EXPECT_EQ(closes(StreamClose::kSourceFull), 1U);
  EXPECT_EQ(closes(StreamClose::kTlsTimeout), 0U) << "the oldest has gone for nobody";
  EXPECT_EQ(dtls_->half_open(), 20U);
  shake(client_at(2));
  EXPECT_EQ(closes(StreamClose::kTlsTimeout), 1U);
}

TEST_F(SecurityOfTurnDtls, T13_no_end_of_a_handshake_is_lost_where_the_queue_is_full) {
  make(100);
  for (std::uint32_t i = 0; i < 100; ++i) shake(client_at(i));
  ASSERT_EQ(dtls_->half_open(), 100U);
  now_ += TurnDtls::kHandshakeMax + Seconds{1};
  dtls_->on_deadline(now_);
  ASSERT_EQ(dtls_->size(), 0U);
  ASSERT_EQ(thread_.room(0), 0U);
  shake(client_at(1));
  EXPECT_EQ(drops(Drop::kOverload), 1U);
  EXPECT_EQ(dtls_->size(), 0U) << "while the thread is to be told of ends nothing begins";
  ASSERT_TRUE(thread_.use(context()));
  thread_.start();
  ASSERT_TRUE(soon([this] { return thread_.room(0) == TurnDtlsThread::kRequestsMax; }));
  EXPECT_TRUE(soon([this] {
    dtls_->take_results(now_);
    return thread_.handshakes() == 0;
  }));
}

TEST_F(TurnDtlsTest, a_hello_once_more_is_the_same_handshake) {
  const Bytes hello = client_hello(cookie_for(client_at(1)));
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(answer(client_at(1), hello).empty());
  EXPECT_EQ(dtls_->size(), 1U);
  shake(client_at(1), 2);
  EXPECT_EQ(dtls_->size(), 1U) << "another ClientHello takes its place";
  EXPECT_EQ(closes(StreamClose::kClient), 1U);
}

/// The thread alone; the test is its shard.
class TurnDtlsThreadTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(thread_.use(context())); }

  void ask(DtlsAsk what, std::uint32_t slot, std::uint32_t generation, const Bytes& datagram) {
    DtlsRequest request;
    request.ask = what;
    request.client = {kDtlsSlot | slot, generation, Side::kA, Component::kRtp};
    request.length = static_cast<std::uint32_t>(datagram.size());
    std::copy(datagram.begin(), datagram.end(), request.data.begin());
    ASSERT_TRUE(soon([this] { return thread_.room(0) != 0; }));
    ASSERT_TRUE(thread_.push(0, request));
  }
  bool is_done() { return thread_.room(0) == TurnDtlsThread::kRequestsMax; }
  /// Takes the results that are there.
  void take() {
    for (const DtlsResult* one; (one = thread_.next_result(0)) != nullptr;) {
      if (one->answer == DtlsAnswer::kFailed) failed_.push_back(one->why);
      if (one->answer == DtlsAnswer::kDatagram) {
        datagrams_.emplace_back(one->data.begin(), one->data.begin() + one->length);
      }
      if (one->answer == DtlsAnswer::kUp) up_.reset(one->association);
      thread_.pop_result(0);
    }
  }

  TurnDtlsThread thread_{1, [](std::size_t) {}};
  std::vector<StreamClose> failed_;
  std::vector<Bytes> datagrams_;
  std::unique_ptr<DtlsAssociation> up_;
};

using SecurityOfTurnDtlsThread = TurnDtlsThreadTest;

const Bytes kHello = client_hello(Bytes(kCookieBytes, 7));

TEST_F(SecurityOfTurnDtlsThread, T13_a_place_has_one_handshake) {
  for (std::uint32_t generation = 0; generation < 100; ++generation) {
    ask(DtlsAsk::kBegin, 5, generation, kHello);
  }
  thread_.start();
  ASSERT_TRUE(soon([this] { return is_done() && thread_.handshakes() != 0; }));
  EXPECT_EQ(thread_.handshakes(), 1U) << "whose ends were not told";
  ask(DtlsAsk::kEnd, 5, 98, {});
  ask(DtlsAsk::kBegin, 6, 0, kHello);
  EXPECT_TRUE(soon([this] { return thread_.handshakes() == 2; })) << "an old end ends nothing";
  ask(DtlsAsk::kEnd, 5, 99, {});
  EXPECT_TRUE(soon([this] { return thread_.handshakes() == 1; }));
}

TEST_F(SecurityOfTurnDtlsThread, T13_handshakes_of_all_shards_are_bounded) {
  thread_.start();
  for (std::uint32_t slot = 0; slot < TurnDtlsThread::kHandshakesMax + 20; ++slot) {
    ask(DtlsAsk::kBegin, slot, 0, kHello);
  }
  EXPECT_TRUE(
      soon([this] { return is_done() && thread_.handshakes() == TurnDtlsThread::kHandshakesMax; }));
}

TEST_F(SecurityOfTurnDtlsThread, T13_what_is_no_hello_begins_nothing) {
  thread_.start();
  for (std::uint32_t slot = 0; slot < 3; ++slot) ask(DtlsAsk::kBegin, slot, 0, Bytes(slot, 22));
  ASSERT_TRUE(soon([this] {
    take();
    return failed_.size() == 3;
  }));
  for (const StreamClose why : failed_) EXPECT_EQ(why, StreamClose::kTlsFailed);
  EXPECT_EQ(thread_.handshakes(), 0U);
}

/// Flights of a client, one datagram each.
class Flights final : public DatagramOut {
 public:
  void datagram(std::span<const std::uint8_t> bytes) override {
    all.emplace_back(bytes.begin(), bytes.end());
  }
  std::vector<Bytes> all;
};

// Where the shard has no room for it the client, who has our last flight, is not forgotten.
TEST_F(TurnDtlsThreadTest, an_association_waits_until_its_shard_has_room) {
  const Instant now{Seconds{1000}};
  DtlsAssociation client(DtlsCertificate::make(), DtlsRole::kActive);
  Flights flights;
  client.start(now, flights);
  ASSERT_EQ(flights.all.size(), 1U);
  std::span<const std::uint8_t> rest(flights.all[0]);
  DtlsRecord hello;
  ASSERT_TRUE(take_record(rest, hello));
  std::array<std::uint8_t, kHelloVerifyBytesMax> verify;
  const std::size_t bytes = write_hello_verify(hello, Bytes(kCookieBytes, 7), verify);
  flights.all.clear();
  client.handle(std::span(verify).first(bytes), now, flights);
  ASSERT_EQ(flights.all.size(), 1U);
  thread_.start();
  ask(DtlsAsk::kBegin, 1, 0, flights.all[0]);
  ASSERT_TRUE(soon([this] { return is_done() && thread_.handshakes() == 1; }));
  take();
  flights.all.clear();
  for (const Bytes& one : datagrams_) {
    rest = one;
    for (DtlsRecord record; take_record(rest, record);) client.handle(record.whole, now, flights);
  }
  ASSERT_FALSE(flights.all.empty());
  // Results that nobody takes, then the client's last flight.
  for (std::uint32_t slot = 2; slot < 2 + TurnDtlsThread::kResultsMax; ++slot) {
    ask(DtlsAsk::kBegin, slot, 0, {});
  }
  for (const Bytes& one : flights.all) ask(DtlsAsk::kDatagram, 1, 0, one);
  ASSERT_TRUE(soon([this] { return is_done(); }));
  EXPECT_EQ(up_, nullptr);
  EXPECT_TRUE(soon([this] {
    take();
    return up_ != nullptr && thread_.handshakes() == 0;
  }));
}

}  // namespace
}  // namespace turnpike::test
