// Bindings between a core and an edge: who may move a flow, and who may not.
#include "relay/mux/binding.h"

#include <vector>

#include <gtest/gtest.h>

#include "relay/mux/edge_flows.h"

namespace turnpike::mux {
namespace {

const SocketAddress kCore{IpAddress::v4(192, 0, 2, 1), 40000};
const SocketAddress kMoved{IpAddress::v4(192, 0, 2, 1), 41000};
const SocketAddress kStranger{IpAddress::v4(198, 51, 100, 66), 1234};

BindingKey key_of(std::uint8_t seed) {
  BindingKey key{};
  key.fill(seed);
  return key;
}

using Datagram = std::vector<std::uint8_t>;

class Binding : public ::testing::Test {
 protected:
  Datagram request() {
    BindingBuffer buffer;
    const stun::Bytes bytes = core.request(now, transaction(), buffer);
    return {bytes.begin(), bytes.end()};
  }
  struct Reply {
    BindingOutcome outcome;
    Datagram datagram;
  };
  Reply to_edge(const Datagram& datagram, const SocketAddress& from) {
    BindingBuffer buffer;
    const auto message = stun::Message::parse(datagram);
    EXPECT_TRUE(message);
    const EdgeBinding::Answer answer = edge.handle(*message, from, now, buffer);
    return {answer.outcome, {answer.datagram.begin(), answer.datagram.end()}};
  }
  bool to_core(const Datagram& datagram) {
    const auto message = stun::Message::parse(datagram);
    EXPECT_TRUE(message);
    return core.handle(*message, now);
  }
  stun::TransactionId transaction() {
    stun::TransactionId id{};
    id[0] = ++serial;
    return id;
  }
  // Requests and answers until the core has nothing to ask at this moment.
  void bind(const SocketAddress& from) {
    while (core.next_deadline() <= now) to_core(to_edge(request(), from).datagram);
  }

  Instant now{Seconds(1000)};
  CoreBinding core{7, key_of(1), now};
  EdgeBinding edge{7, key_of(1), key_of(9)};
  std::uint8_t serial = 0;
};

TEST_F(Binding, a_core_binds_after_its_address_has_proven_itself) {
  const Datagram first = request();
  const Reply challenge = to_edge(first, kCore);
  EXPECT_EQ(challenge.outcome, BindingOutcome::kChallenged);
  EXPECT_LE(challenge.datagram.size(), first.size());
  EXPECT_FALSE(edge.address(now).is_set()) << "nothing goes to an address that has proven nothing";
  ASSERT_TRUE(to_core(challenge.datagram));
  EXPECT_FALSE(core.is_bound(now));
  EXPECT_EQ(core.next_deadline(), now);
  now += Milliseconds(20);
  const Datagram second = request();
  now += Milliseconds(30);
  const Reply success = to_edge(second, kCore);
  EXPECT_EQ(success.outcome, BindingOutcome::kMoved);
  EXPECT_LE(success.datagram.size(), second.size());
  EXPECT_EQ(edge.address(now), kCore);
  ASSERT_TRUE(to_core(success.datagram));
  EXPECT_TRUE(core.is_bound(now));
  EXPECT_EQ(core.mapped(), kCore);
  EXPECT_EQ(core.round_trip(), Milliseconds(30));
}

TEST_F(Binding, is_asked_for_again_every_ten_seconds_and_ends_without) {
  bind(kCore);
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(core.next_deadline(), now + kBindingInterval);
    now = core.next_deadline();
    const Reply reply = to_edge(request(), kCore);
    EXPECT_EQ(reply.outcome, BindingOutcome::kRefreshed);
    ASSERT_TRUE(to_core(reply.datagram));
  }
  now += kBindingLifetime - Nanoseconds(1);
  EXPECT_EQ(edge.address(now), kCore);
  EXPECT_TRUE(core.is_bound(now));
  now += Nanoseconds(1);
  EXPECT_FALSE(edge.address(now).is_set());
  EXPECT_FALSE(core.is_bound(now));
}

TEST_F(Binding, unanswered_requests_come_more_and_more_seldom) {
  Nanoseconds pause{0};
  for (std::uint32_t i = 0; i < 12; ++i) {
    const Instant before = now;
    request();
    EXPECT_EQ(core.unanswered(), i);
    EXPECT_GE(core.next_deadline() - before, pause);
    pause = core.next_deadline() - before;
    now = core.next_deadline();
  }
  EXPECT_EQ(pause, Seconds(8));
  bind(kCore);
  EXPECT_EQ(core.unanswered(), 0U);
  EXPECT_TRUE(core.is_bound(now));
}

TEST_F(Binding, another_address_of_the_core_is_bound_within_two_round_trips) {
  bind(kCore);
  now += Seconds(3);
  BindingBuffer buffer;
  const stun::Bytes hint = edge.hint(transaction(), buffer);
  ASSERT_TRUE(to_core({hint.begin(), hint.end()}));
  EXPECT_EQ(core.next_deadline(), now);
  const Reply challenge = to_edge(request(), kMoved);
  EXPECT_EQ(challenge.outcome, BindingOutcome::kChallenged);
  EXPECT_EQ(edge.address(now), kCore) << "until the new one has proven itself";
  ASSERT_TRUE(to_core(challenge.datagram));
  EXPECT_EQ(to_edge(request(), kMoved).outcome, BindingOutcome::kMoved);
  EXPECT_EQ(edge.address(now), kMoved);
}

TEST_F(Binding, hints_make_the_core_ask_once_a_second_at_most) {
  bind(kCore);
  int requests = 0;
  for (int i = 0; i < 500; ++i) {
    BindingBuffer buffer;
    const stun::Bytes hint = edge.hint(transaction(), buffer);
    to_core({hint.begin(), hint.end()});
    if (core.next_deadline() <= now) {
      ++requests;
      bind(kCore);
    }
    now += Milliseconds(10);
  }
  EXPECT_LE(requests, 6);
  EXPECT_GE(requests, 4);
}

TEST_F(Binding, another_number_with_the_same_key_goes_on_counting) {
  bind(kCore);
  EdgeBinding again(9, key_of(1), key_of(9));
  core.renumber(9, now);
  EXPECT_EQ(core.next_deadline(), now);
  const Datagram asked = request();
  BindingBuffer buffer;
  EXPECT_EQ(again.handle(*stun::Message::parse(asked), kCore, now, buffer).outcome,
            BindingOutcome::kChallenged);
  EXPECT_EQ(to_edge(asked, kCore).outcome, BindingOutcome::kUnknownFlow);
  core.renumber(7, now);
  EXPECT_EQ(to_edge(request(), kCore).outcome, BindingOutcome::kRefreshed);
}

TEST_F(Binding, a_replayed_request_changes_nothing) {
  const Datagram first = request();
  ASSERT_TRUE(to_core(to_edge(first, kCore).datagram));
  const Datagram second = request();
  ASSERT_EQ(to_edge(second, kCore).outcome, BindingOutcome::kMoved);
  for (const Datagram& replayed : {first, second}) {
    for (const SocketAddress& from : {kCore, kStranger}) {
      const Reply reply = to_edge(replayed, from);
      EXPECT_EQ(reply.outcome, BindingOutcome::kReplayed);
      EXPECT_TRUE(reply.datagram.empty());
    }
  }
  EXPECT_EQ(edge.address(now), kCore);
}

TEST_F(Binding, a_request_that_was_kept_back_serves_nobody_else) {
  bind(kCore);
  now = core.next_deadline();
  const Datagram caught = request();  // never arrives
  const Reply reply = to_edge(caught, kStranger);
  EXPECT_EQ(reply.outcome, BindingOutcome::kChallenged);
  EXPECT_EQ(edge.address(now), kCore);
  // Nor does the nonce of the challenge help who has no key: the next one is the core's.
  now = core.next_deadline();
  EXPECT_EQ(to_edge(request(), kCore).outcome, BindingOutcome::kRefreshed);
}

TEST_F(Binding, a_nonce_is_its_addresss_own_and_grows_old) {
  ASSERT_TRUE(to_core(to_edge(request(), kCore).datagram));
  EXPECT_EQ(to_edge(request(), kMoved).outcome, BindingOutcome::kChallenged);
  EXPECT_FALSE(edge.address(now).is_set());
  now += Seconds(61);
  EXPECT_EQ(to_edge(request(), kCore).outcome, BindingOutcome::kChallenged);
  EXPECT_FALSE(edge.address(now).is_set());
}

TEST_F(Binding, without_the_key_nothing_happens) {
  CoreBinding stranger(7, key_of(2), now);
  BindingBuffer buffer;
  const stun::Bytes forged = stranger.request(now, transaction(), buffer);
  EXPECT_EQ(to_edge({forged.begin(), forged.end()}, kStranger).outcome,
            BindingOutcome::kNotAuthentic);
  CoreBinding other_flow(8, key_of(1), now);
  const stun::Bytes wrong = other_flow.request(now, transaction(), buffer);
  EXPECT_EQ(to_edge({wrong.begin(), wrong.end()}, kCore).outcome, BindingOutcome::kUnknownFlow);

  EdgeBinding impostor(7, key_of(2), key_of(9));
  const Datagram asked = request();
  const EdgeBinding::Answer answer =
      impostor.handle(*stun::Message::parse(asked), kCore, now, buffer);
  EXPECT_TRUE(answer.datagram.empty());
  const stun::Bytes hint = impostor.hint(transaction(), buffer);
  EXPECT_FALSE(to_core({hint.begin(), hint.end()}));
  EXPECT_FALSE(edge.address(now).is_set());
}

TEST_F(Binding, an_answer_to_an_earlier_request_is_none) {
  const Datagram first = request();
  const Reply late = to_edge(first, kCore);
  now = core.next_deadline();
  request();
  EXPECT_FALSE(to_core(late.datagram));
}

TEST_F(Binding, every_changed_bit_is_refused) {
  const Datagram good = request();
  constexpr std::size_t kFingerprintBytes = 8;  // behind the code: says nothing
  for (std::size_t bit = 0; bit < (good.size() - kFingerprintBytes) * 8; ++bit) {
    Datagram forged = good;
    forged[bit / 8] = static_cast<std::uint8_t>(forged[bit / 8] ^ (1U << bit % 8));
    const auto message = stun::Message::parse(forged);
    if (!message) continue;
    BindingBuffer buffer;
    const EdgeBinding::Answer answer = edge.handle(*message, kCore, now, buffer);
    EXPECT_TRUE(answer.datagram.empty()) << bit;
  }
}

// ---- All flows of an edge

class Flows : public ::testing::Test {
 protected:
  static FlowKeys keys_of(std::uint8_t seed) {
    FlowKeys keys;
    keys.to_edge.fill(seed);
    keys.to_core.fill(static_cast<std::uint8_t>(seed + 1));
    keys.binding = key_of(seed);
    return keys;
  }
  void bind(FlowNumber number, std::uint8_t seed, const SocketAddress& from, std::uint32_t port) {
    CoreBinding core(number, key_of(seed), now);
    for (int i = 0; i < 2; ++i) {
      BindingBuffer buffer;
      BindingBuffer reply;
      stun::TransactionId id{};
      id[0] = static_cast<std::uint8_t>(i);
      const stun::Bytes request = core.request(now, id, buffer);
      const auto answer = flows.handle_binding(request, from, port, now, reply);
      ASSERT_FALSE(answer.datagram.empty());
      ASSERT_TRUE(core.handle(*stun::Message::parse(answer.datagram), now));
    }
    ASSERT_TRUE(core.is_bound(now));
  }

  Instant now{Seconds(1000)};
  EdgeFlows flows{key_of(77)};
};

TEST_F(Flows, each_has_its_own_keys_and_address) {
  const FlowNumber a = *flows.add(keys_of(10), now);
  const FlowNumber b = *flows.add(keys_of(20), now);
  EXPECT_NE(a, b);
  EXPECT_FALSE(flows.route(a, now).address.is_set());
  bind(a, 10, kCore, 3);
  EXPECT_EQ(flows.route(a, now).address, kCore);
  EXPECT_EQ(flows.route(a, now).port, 3U);
  EXPECT_EQ(*flows.route(a, now).key, keys_of(10).to_core);
  EXPECT_EQ(flows.report(a, now).address, kCore);
  EXPECT_FALSE(flows.route(b, now).address.is_set());
  EXPECT_FALSE(flows.route(a, now + kBindingLifetime).address.is_set());

  std::vector<std::uint8_t> datagram(kHeaderBytes + 10);
  Header header;
  header.flow = a;
  write_header(keys_of(10).to_edge, header, 10, datagram.data());
  EXPECT_EQ(flows.judge(a, datagram), EdgeFlows::Verdict::kRight);
  EXPECT_EQ(flows.judge(b, datagram), EdgeFlows::Verdict::kWrongTag);
  EXPECT_EQ(flows.judge(0, datagram), EdgeFlows::Verdict::kNoFlow);
  EXPECT_EQ(flows.judge(0xffff, datagram), EdgeFlows::Verdict::kNoFlow);
}

TEST_F(Flows, the_number_of_a_removed_one_rests_for_a_while) {
  const FlowNumber first = *flows.add(keys_of(10), now);
  flows.remove(first, now);
  EXPECT_EQ(flows.route(first, now).key, nullptr);
  EXPECT_NE(*flows.add(keys_of(20), now), first);
  for (std::size_t i = 2; i < EdgeFlows::kFlowsMax; ++i) {
    ASSERT_NE(*flows.add(keys_of(1), now + EdgeFlows::kRetirement), first) << "all others first";
  }
  EXPECT_EQ(*flows.add(keys_of(30), now + EdgeFlows::kRetirement), first);
  EXPECT_FALSE(flows.route(first, now).address.is_set());
}

TEST_F(Flows, are_bounded) {
  for (std::size_t i = 0; i < EdgeFlows::kFlowsMax; ++i) ASSERT_TRUE(flows.add(keys_of(1), now));
  EXPECT_FALSE(flows.add(keys_of(1), now));
}

TEST_F(Flows, a_hint_is_given_once_a_second) {
  const FlowNumber number = *flows.add(keys_of(10), now);
  BindingBuffer buffer;
  EXPECT_FALSE(flows.hint(number, now, {}, buffer).empty());
  EXPECT_TRUE(flows.hint(number, now + Milliseconds(999), {}, buffer).empty());
  EXPECT_FALSE(flows.hint(number, now + Seconds(1), {}, buffer).empty());
  EXPECT_TRUE(flows.hint(99, now, {}, buffer).empty());
}

TEST_F(Flows, what_is_no_binding_is_refused) {
  BindingBuffer buffer;
  const std::vector<std::uint8_t> junk(40, 0x17);
  EXPECT_EQ(flows.handle_binding(junk, kStranger, 0, now, buffer).outcome,
            BindingOutcome::kMalformed);
  CoreBinding core(5, key_of(1), now);
  BindingBuffer request;
  EXPECT_EQ(flows.handle_binding(core.request(now, {}, request), kCore, 0, now, buffer).outcome,
            BindingOutcome::kUnknownFlow);
}

}  // namespace
}  // namespace turnpike::mux
