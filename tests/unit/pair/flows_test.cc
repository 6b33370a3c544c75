// Edge and core agree on their flows over a channel that comes and goes.
#include "control/pair/flows.h"

#include <set>

#include <gtest/gtest.h>

namespace turnpike::pair {
namespace {

/// What the relay was told.
class FakeFlows : public Flows {
 public:
  Result<FlowNumber> add_flow(const FlowKeys& keys) override {
    if (full) return Error{"too many flows"};
    added[++last] = keys;
    return last;
  }
  void remove_flow(FlowNumber number) override { added.erase(number); }
  FlowReport edge_report(FlowNumber number) const override {
    FlowReport report;
    if (added.contains(number)) report.address = {IpAddress::v4(10, 0, 0, 1), number};
    return report;
  }
  Result<void> set_flow(const CoreFlow& flow) override {
    if (refuses) return Error{"cannot reach"};
    set.push_back(flow);
    return {};
  }
  FlowReport core_report(std::uint16_t, std::uint16_t shard) const override {
    FlowReport report;
    report.round_trip = Milliseconds(shard + 1);
    return report;
  }

  std::map<FlowNumber, FlowKeys> added;
  std::vector<CoreFlow> set;
  FlowNumber last = 0;
  bool full = false;
  bool refuses = false;
};

const IpAddress kEdge = IpAddress::v4(192, 0, 2, 10);
constexpr const char* kCoreName = "dmz/core-1";  // at the edge
constexpr const char* kEdgeName = "dmz/edge-1";  // at the core

class PairFlowsTest : public ::testing::Test {
 protected:
  PairFlowsTest() {
    start_edge();
    start_core();
  }
  PairFlows::Environment environment(bool at_edge) {
    return {.random_bytes =
                [this](void* buffer, std::size_t size) {
                  auto* const bytes = static_cast<std::uint8_t*>(buffer);
                  std::fill(bytes, bytes + size, ++randomness);
                },
            .send =
                [this, at_edge](const std::string&, std::string_view message) {
                  if (!channel) return false;
                  ++messages;
                  if (at_edge) {  // as on a channel: after what asked for it
                    answers.emplace_back(message);
                  } else {
                    EXPECT_TRUE(edge->on_message(kCoreName, message));
                  }
                  return true;
                },
            .changed =
                [this, at_edge](const std::string& peer) {
                  EXPECT_TRUE(at_edge);
                  ++changes;
                  // What goes away still stands while sessions are told.
                  known_when_told = edge_flows.added.size();
                  EXPECT_EQ(peer, kCoreName);
                },
            .warn = [this](const std::string& peer,
                           const std::string& what) { warnings += peer + ": " + what + "\n"; }};
  }
  void start_edge() {
    ++edge_epoch;
    edge_flows = FakeFlows{};
    edge = std::make_unique<PairFlows>(
        edge_flows, PairRole::kEdge, 2,
        std::vector<PeerConfig>{{"dmz/core-0", {}, {36000}}, {kCoreName, {}, {36000, 36001}}},
        environment(true));
  }
  void start_core() {
    ++core_epoch;
    core_flows = FakeFlows{};
    core = std::make_unique<PairFlows>(
        core_flows, PairRole::kCore, 3,
        std::vector<PeerConfig>{{"dmz/edge-0", IpAddress::v4(192, 0, 2, 9), {}},
                                {kEdgeName, kEdge, {}}},
        environment(false));
  }
  void connect() {
    channel = true;
    edge->on_channel(kCoreName, core_epoch);
    core->on_channel(kEdgeName, edge_epoch);
    deliver();
  }
  void tick(Instant now) {
    core->on_tick(now);
    deliver();
  }
  void deliver() {
    for (const std::string& answer : std::exchange(answers, {})) {
      EXPECT_TRUE(core->on_message(kEdgeName, answer));
    }
  }

  FakeFlows edge_flows;
  FakeFlows core_flows;
  std::unique_ptr<PairFlows> edge;
  std::unique_ptr<PairFlows> core;
  std::uint64_t edge_epoch = 10;
  std::uint64_t core_epoch = 20;
  std::uint8_t randomness = 0;
  bool channel = false;
  int messages = 0;
  std::vector<std::string> answers;
  int changes = 0;
  std::size_t known_when_told = 0;
  std::string warnings;
};

TEST_F(PairFlowsTest, each_shard_of_the_core_gets_a_flow) {
  EXPECT_EQ(edge->flow_to(kCoreName, 0), 0U);
  connect();
  ASSERT_EQ(core_flows.set.size(), 3U);
  std::set<FlowNumber> numbers;
  for (std::uint16_t shard = 0; shard < 3; ++shard) {
    const CoreFlow& flow = core_flows.set[shard];
    EXPECT_EQ(flow.edge, 1U) << "the place among the peers";
    EXPECT_EQ(flow.shard, shard);
    EXPECT_EQ(flow.remote.ip, kEdge);
    EXPECT_EQ(flow.number, edge->flow_to(kCoreName, shard));
    EXPECT_EQ(flow.keys.binding, edge_flows.added.at(flow.number).binding);
    EXPECT_EQ(flow.keys.to_core, edge_flows.added.at(flow.number).to_core);
    numbers.insert(flow.number);
  }
  EXPECT_EQ(numbers.size(), 3U);
  EXPECT_NE(core_flows.set[0].remote.port, core_flows.set[1].remote.port) << "ports are shared out";
  EXPECT_NE(core_flows.set[0].keys.to_edge, core_flows.set[1].keys.to_edge);
  EXPECT_EQ(core->flow_to(kEdgeName, 2), 1U);
  EXPECT_EQ(edge->flow_to("dmz/core-0", 0), 0U) << "another peer";
  EXPECT_EQ(edge->flow_to("other/core-1", 0), 0U);
  EXPECT_EQ(changes, 1);
  EXPECT_EQ(edge->report(kCoreName).size(), 3U);
  EXPECT_TRUE(edge->report(kCoreName)[2].report.address.is_set());
  EXPECT_EQ(core->report(kEdgeName)[2].report.round_trip, Milliseconds(3));
}

TEST_F(PairFlowsTest, a_channel_that_comes_back_changes_nothing) {
  connect();
  const auto before = edge_flows.added;
  connect();
  EXPECT_EQ(messages, 4);
  EXPECT_EQ(edge_flows.last, 3U);
  EXPECT_EQ(edge_flows.added.size(), before.size());
  EXPECT_EQ(core_flows.set.size(), 3U);
  EXPECT_EQ(changes, 1);
}

TEST_F(PairFlowsTest, after_a_restart_of_either_end_all_flows_are_new) {
  connect();
  const FlowKeys first = core_flows.set[0].keys;
  start_edge();
  connect();
  EXPECT_EQ(edge_flows.added.size(), 3U);
  ASSERT_EQ(core_flows.set.size(), 6U);
  EXPECT_NE(core_flows.set[3].keys.binding, first.binding)
      << "an older edge's keys are worth nothing";
  EXPECT_EQ(changes, 2);
  start_core();
  connect();
  EXPECT_EQ(edge_flows.added.size(), 3U) << "the flows of the process before are gone";
  EXPECT_EQ(edge_flows.last, 6U);
  EXPECT_EQ(edge->flow_to(kCoreName, 0), 4U);
  EXPECT_EQ(changes, 3);
  EXPECT_EQ(known_when_told, 6U) << "nobody else had the old numbers before sessions were told";
}

TEST_F(PairFlowsTest, a_full_edge_and_a_socket_that_cannot_be_had_are_told) {
  edge_flows.full = true;
  connect();
  EXPECT_TRUE(core_flows.set.empty());
  EXPECT_NE(warnings.find("dmz/core-1: too many flows"), std::string::npos) << warnings;
  EXPECT_NE(warnings.find("dmz/edge-1: not every flow could be had"), std::string::npos)
      << warnings;
  edge_flows.full = false;
  core_flows.refuses = true;
  connect();
  EXPECT_NE(warnings.find("dmz/edge-1: cannot reach"), std::string::npos) << warnings;
  core_flows.refuses = false;
  connect();
  EXPECT_EQ(core_flows.set.size(), 3U) << "with the next channel it is tried again";
}

TEST_F(PairFlowsTest, what_could_not_be_had_is_asked_for_again) {
  edge_flows.full = true;
  Instant now{Seconds{100}};
  tick(now);
  connect();
  const int before = messages;
  tick(now += Seconds{9});
  EXPECT_EQ(messages, before) << "not at once";
  edge_flows.full = false;
  tick(now += Seconds{2});
  EXPECT_EQ(core_flows.set.size(), 3U);
  EXPECT_EQ(messages, before + 2);
  for (int i = 0; i < 100; ++i) tick(now += Seconds{1});
  EXPECT_EQ(messages, before + 2) << "and not when all is there";
}

TEST_F(PairFlowsTest, fewer_flows_with_the_same_keys_are_told_before_a_number_is_free) {
  connect();
  const CoreFlow kept = core_flows.set[0];
  ASSERT_TRUE(edge->on_message(kCoreName, write({OfferedFlow{0, kept.keys}})));
  EXPECT_EQ(changes, 2);
  EXPECT_EQ(known_when_told, 3U);
  EXPECT_EQ(edge_flows.added.size(), 1U);
  EXPECT_EQ(edge->flow_to(kCoreName, 0), kept.number);
  EXPECT_EQ(edge->flow_to(kCoreName, 1), 0U) << "never the number of a flow that is gone";
}

TEST_F(PairFlowsTest, one_peer_does_not_take_the_room_of_others) {
  std::vector<OfferedFlow> many(PairFlows::kFlowsOfPeerMax + 1);
  for (std::size_t i = 0; i < many.size(); ++i) many[i].shard = static_cast<std::uint8_t>(i);
  EXPECT_FALSE(edge->on_message(kCoreName, write(many)));
  EXPECT_TRUE(edge_flows.added.empty());
}

TEST_F(PairFlowsTest, numbers_that_nobody_asked_for_are_refused) {
  connect();
  EXPECT_FALSE(core->on_message(kEdgeName, write({NumberedFlow{0, 9, 36005}})));
  EXPECT_EQ(core_flows.set.size(), 3U);
}

TEST_F(PairFlowsTest, bound_is_said_of_a_shard) {
  connect();
  EXPECT_TRUE(edge->is_bound(kCoreName, -1));
  EXPECT_TRUE(edge->is_bound(kCoreName, 2));
  EXPECT_FALSE(edge->is_bound(kCoreName, 3));
  EXPECT_FALSE(core->is_bound(kEdgeName, 0)) << "this relay says so";
}

TEST_F(PairFlowsTest, a_peer_with_the_wrong_part_or_no_name_is_not_heard) {
  connect();
  EXPECT_FALSE(core->on_message(kEdgeName, write(std::vector<OfferedFlow>{})));
  EXPECT_FALSE(core->on_message("dmz/stranger", write({NumberedFlow{0, 1, 1}})));
  EXPECT_FALSE(edge->on_message(kCoreName, write(std::vector<NumberedFlow>{})));
  EXPECT_FALSE(edge->on_message(kCoreName, "\1"));
  EXPECT_FALSE(edge->on_message("dmz/stranger", write({OfferedFlow{}})));
  EXPECT_EQ(edge_flows.added.size(), 3U);
}

}  // namespace
}  // namespace turnpike::pair
