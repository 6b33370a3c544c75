// Both ends of a measurement over two HTTP/2 engines, and each end against one that does anything.
#include "control/zone/measure.h"

#include <gtest/gtest.h>

namespace turnpike::zone {
namespace {

using State = MeasureReport::State;

constexpr Http2Limits kLimits{.streams_max = 2, .stream_window_bytes = 1 << 20};

/// A path of so many bytes each way in a tick, between a core and an edge.
class MeasurePath : public ::testing::Test {
 protected:
  void start(const MeasureOptions& options) { core_.emplace(options, 1, now_); }

  void pass(Http2& from, Http2& to, std::string& on_the_way, std::size_t most) {
    tls::WipedText bytes;
    ASSERT_TRUE(from.produce(bytes, 65536));
    if (on_the_way.size() < 400000) on_the_way += bytes;  // as much as sockets hold
    const std::string piece = on_the_way.substr(0, most);
    on_the_way.erase(0, piece.size());
    ASSERT_TRUE(to.receive(piece, now_));
  }
  void tick() {
    now_ += kMeasureTick;
    core_->on_tick(&core_streams_, now_);
    if (edge_answers_) edge_.on_tick(edge_streams_, now_);
    // What the library has buffered is taken over as long as the path takes it.
    for (int turn = 0; turn < 8; ++turn) {
      pass(core_streams_, edge_streams_, to_edge_, up_ / 8);
      pass(edge_streams_, core_streams_, to_core_, down_ / 8);
      for (const StreamEvent& event : edge_streams_.take_events()) {
        if (edge_answers_) known_ = edge_.take(edge_streams_, event, now_) && known_;
      }
      for (const StreamEvent& event : core_streams_.take_events()) {
        ended_ = ended_ || event.kind == StreamEvent::Kind::kEnded;
        core_->take(core_streams_, event, now_);
      }
    }
  }
  void run() {
    for (int i = 0; i < 20000 && core_->is_running(); ++i) tick();
  }
  static double mbit(const MeasuredWay& way) {
    return static_cast<double>(way.bytes) * 8e3 / static_cast<double>(way.time.count());
  }

  Instant now_{Seconds{1000}};
  Http2 core_streams_{Http2::Side::kOpens, kLimits};
  Http2 edge_streams_{Http2::Side::kAccepts, kLimits};
  std::optional<Measurement> core_;
  MeasuredEnd edge_{std::make_shared<Pace>(kMeasureBytesPerSecondMax)};
  std::string to_edge_;
  std::string to_core_;
  std::size_t up_ = 1 << 20;
  std::size_t down_ = 1 << 20;
  bool edge_answers_ = true;
  bool known_ = true;
  bool ended_ = false;
};

TEST_F(MeasurePath, a_wide_path_carries_what_was_asked_for_and_no_more) {
  start({.seconds = 3, .mbit = 20});
  run();
  const MeasureReport& report = core_->report();
  ASSERT_EQ(report.state, State::kDone) << report.trouble;
  EXPECT_NEAR(mbit(report.sent), 20, 1);
  EXPECT_NEAR(mbit(report.received), 20, 1);
  EXPECT_EQ(core_streams_.stream_count(), 0U);
  tick();
  EXPECT_EQ(edge_streams_.stream_count(), 0U);
}

TEST_F(MeasurePath, each_way_is_told_apart) {
  up_ = 10000;   // 8 Mbit/s
  down_ = 5000;  // 4 Mbit/s
  start({.seconds = 4, .mbit = 100});
  run();
  const MeasureReport& report = core_->report();
  ASSERT_EQ(report.state, State::kDone) << report.trouble;
  EXPECT_NEAR(mbit(report.sent), 8, 0.5);
  EXPECT_NEAR(mbit(report.received), 4, 0.3);
}

TEST_F(MeasurePath, round_trips_belong_to_their_phase) {
  start({.seconds = 1, .mbit = 1});
  core_->add_round_trip(Milliseconds{3});
  core_->add_round_trip(Milliseconds{1});
  core_->add_round_trip(Milliseconds{2});
  for (int i = 0; i < 110; ++i) tick();
  core_->add_round_trip(Milliseconds{9});
  run();
  const MeasureReport& report = core_->report();
  EXPECT_EQ(report.idle.count, 3U);
  EXPECT_EQ(report.idle.median, Milliseconds{2});
  EXPECT_EQ(report.idle.longest, Milliseconds{3});
  EXPECT_EQ(report.sent.round_trips.count, 1U);
  EXPECT_EQ(report.sent.round_trips.longest, Milliseconds{9});
  EXPECT_EQ(report.received.round_trips.count, 0U);
}

TEST_F(MeasurePath, a_gigabyte_is_the_end) {
  up_ = down_ = 8 << 20;
  start({.seconds = kMeasureSecondsMax, .mbit = kMeasureMbitMax});
  run();
  const MeasureReport& report = core_->report();
  ASSERT_EQ(report.state, State::kDone) << report.trouble;
  EXPECT_LE(report.sent.bytes, kMeasureBytesMax);
  EXPECT_GT(report.sent.bytes, kMeasureBytesMax * 9 / 10);
  EXPECT_LE(report.received.bytes, kMeasureBytesMax);
  EXPECT_LT(report.received.time, Seconds{kMeasureSecondsMax});
  // The connection gives no more of them.
  tick();
  ended_ = false;
  const StreamId more = core_streams_.open("source:1000");
  ASSERT_NE(more, 0);
  for (int i = 0; i < 100; ++i) tick();
  EXPECT_TRUE(ended_);
}

TEST_F(MeasurePath, an_edge_that_says_nothing_is_given_up) {
  edge_answers_ = false;
  start({});
  run();
  EXPECT_EQ(core_->report().state, State::kFailed);
  EXPECT_NE(core_->report().trouble.find("nothing came"), std::string::npos);
}

TEST_F(MeasurePath, an_edge_of_another_version_is_told) {
  edge_answers_ = false;
  start({});
  while (edge_streams_.stream_count() == 0) tick();
  edge_streams_.refuse(1, 404);
  run();
  EXPECT_EQ(core_->report().state, State::kFailed);
  EXPECT_NE(core_->report().trouble.find("version"), std::string::npos);
}

std::string report_of(std::uint64_t bytes, std::uint64_t time_us) {
  std::string text;
  for (const std::uint64_t value : {bytes, time_us}) {
    for (unsigned shift = 64; shift > 0; shift -= 8)
      text += static_cast<char>(value >> (shift - 8));
  }
  return text;
}

TEST_F(MeasurePath, reports_that_cannot_be_end_it) {
  for (const std::string& bad :
       {report_of(std::uint64_t{1} << 40, 1000), report_of(0, 1000), report_of(100, 0),
        report_of(100, std::uint64_t{1} << 60), report_of(200, 1000) + report_of(100, 2000)}) {
    core_.emplace(MeasureOptions{}, 1, now_);
    Http2 streams(Http2::Side::kOpens, kLimits);
    for (int i = 0; i < 120; ++i) core_->on_tick(&streams, now_ += kMeasureTick);
    core_->take(streams, {StreamEvent::Kind::kAccepted, 1, {}, 0}, now_);
    for (int i = 0; i < 20; ++i) core_->on_tick(&streams, now_ += kMeasureTick);
    for (const char byte : bad) {
      const StreamEvent piece{StreamEvent::Kind::kData, 1, tls::WipedText(1, byte), 0};
      core_->take(streams, piece, now_);
    }
    EXPECT_EQ(core_->report().state, State::kFailed) << bad.size();
    EXPECT_NE(core_->report().trouble.find("cannot be"), std::string::npos);
  }
}

TEST_F(MeasurePath, the_edge_gives_only_what_there_is) {
  start({});
  core_->fail("only the edge is asked here");
  for (const char* target : {"sip", "source", "source:", "source:0", "source:-1", "source:1x",
                             "source:62500001", "source:99999999999999999999", "sinks"}) {
    known_ = true;
    const StreamId stream = core_streams_.open(target);
    ASSERT_NE(stream, 0) << target;
    tick();
    EXPECT_FALSE(known_) << target;
    EXPECT_EQ(edge_streams_.stream_count(), 0U) << target;
  }
}

TEST_F(MeasurePath, an_edge_takes_no_more_than_its_rate_and_sends_no_more_than_its_time) {
  start({});
  core_->fail("only the edge is asked here");
  const StreamId sink = core_streams_.open("sink");
  const StreamId source = core_streams_.open("source:1000");
  const Instant began = now_;
  tick();
  std::uint64_t offered = 0;
  up_ = 4 << 20;  // 3.4 Gbit/s
  for (int i = 0; i < 200; ++i) {
    const std::string much(1 << 20, 'x');
    if (core_streams_.unsent(sink) < much.size()) {
      core_streams_.write(sink, much);
      offered += much.size();
    }
    tick();
  }
  const std::chrono::duration<double> passed = now_ - began;
  const double taken = static_cast<double>(offered - core_streams_.unsent(sink));
  EXPECT_LT(taken, passed.count() * 62.5e6 + (4 << 20));
  core_streams_.reset(sink);
  while (!ended_ && now_ - began < Seconds{100}) tick();
  EXPECT_LT(now_ - began, Seconds{60}) << source;
}

/// The connection of a core that wants all that it can get, and its edge's end.
struct Greedy {
  explicit Greedy(const std::shared_ptr<Pace>& pace) : end(pace) {
    for (int i = 0; i < 2; ++i) EXPECT_NE(core.open("source:62500000"), 0);
  }

  void tick(Instant now) {
    end.on_tick(edge, now);
    for (int turn = 0; turn < 16; ++turn) {
      for (const bool down : {false, true}) {
        tls::WipedText bytes;
        EXPECT_TRUE((down ? edge : core).produce(bytes, 1 << 20));
        EXPECT_TRUE((down ? core : edge).receive(bytes, now));
      }
      for (const StreamEvent& event : edge.take_events()) end.take(edge, event, now);
      for (const StreamEvent& event : core.take_events()) {
        received += event.text.size();
        core.consumed(event.stream, event.text.size());
      }
    }
  }

  Http2 core{Http2::Side::kOpens, kLimits};
  Http2 edge{Http2::Side::kAccepts, kLimits};
  MeasuredEnd end;
  std::uint64_t received = 0;
};

TEST(MeasuredEnds, all_of_a_node_share_one_pace) {
  const auto pace = std::make_shared<Pace>(kMeasureBytesPerSecondMax);
  Greedy one(pace);
  Greedy other(pace);
  Instant now{Seconds{1000}};
  for (int i = 0; i < 100; ++i) {
    now += kMeasureTick;
    one.tick(now);
    other.tick(now);
  }
  const std::uint64_t all = one.received + other.received;
  EXPECT_GT(all, kMeasureBytesPerSecondMax * 8 / 10) << "of one second";
  EXPECT_LT(all, kMeasureBytesPerSecondMax * 11 / 10);
}

}  // namespace
}  // namespace turnpike::zone
