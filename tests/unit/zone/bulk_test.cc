// The bulk connection between two services in one process, and the measurement that uses it.
#include "tests/unit/zone/service_fixture.h"

namespace turnpike::zone {
namespace {

using ZoneBulk = ZoneService;

/// Something between core and edge: as many connections as signalling needs come through, others
/// get no answer, or that of `other`.
class Way {
 public:
  Way(loop::EventLoop& loop, const SocketAddress& edge) {
    listener_ = *loop::TcpListener::listen(loop, loopback(0), [this, &loop, edge](int fd) {
      connections_.push_back(loop::TcpConnection::adopt(loop, fd));
      if (++arrived_ > 2) return other(*connections_.back());
      auto* const from = connections_.back().get();
      connections_.push_back(std::move(*loop::TcpConnection::dial(loop, edge)));
      auto* const to = connections_.back().get();
      join(from, to);
      join(to, from);
    });
  }
  SocketAddress address() const { return listener_.local_address(); }

  std::function<void(loop::TcpConnection&)> other = [](loop::TcpConnection&) {};

 private:
  static void join(loop::TcpConnection* from, loop::TcpConnection* to) {
    from->start({.on_data = [to](std::string_view bytes) { to->write(bytes); },
                 .on_end = [to] { to->end(); },
                 .on_broken = [to](const std::string&) { to->end(); }});
  }

  loop::TcpListener listener_;
  int arrived_ = 0;
  std::vector<std::unique_ptr<loop::TcpConnection>> connections_;
};

TEST_F(ZoneBulk, bulk_has_a_connection_of_its_own_and_only_while_it_is_used) {
  start();
  EXPECT_FALSE(edge_->measure("", {})) << "the core dials";
  EXPECT_FALSE(core_->measure("dmz/nobody", {}));
  EXPECT_FALSE(core_->report()[0].peers[0].bulk);
  const auto begun = core_->measure("", {.seconds = 1, .mbit = 40});
  ASSERT_TRUE(begun) << begun.error().message;
  EXPECT_EQ(begun->peer, "dmz/e1");
  EXPECT_FALSE(core_->measure("e1", {})) << "one at a time";
  ASSERT_TRUE(wait_for([this] {
    const auto bulk = edge_->report()[0].peers[0].bulk;
    return bulk && bulk->up && bulk->bytes_received > 1000000;
  })) << core_->report()[0].peers[0].measured.trouble
      << notes_;
  EXPECT_TRUE(is_up());
  ASSERT_TRUE(wait_for([this] {
    return core_->report()[0].peers[0].measured.state != MeasureReport::State::kRunning;
  }));
  const MeasureReport report = core_->report()[0].peers[0].measured;
  EXPECT_EQ(report.trouble, "");
  EXPECT_EQ(report.id, begun->id);
  EXPECT_GT(report.idle.count, 3U);
  for (const MeasuredWay& way : {report.sent, report.received}) {
    EXPECT_GT(way.bytes, 1000000U);
    EXPECT_LT(static_cast<double>(way.bytes), 40e6 / 8 * 1.5);
    EXPECT_GT(way.round_trips.count, 1U);
  }
  // Signalling has seen nothing of it, and what is over is no trouble.
  EXPECT_TRUE(wait_for([this] { return !edge_->report()[0].peers[0].bulk; }));
  EXPECT_TRUE(wait_for([this] { return !core_->report()[0].peers[0].bulk; }));
  const ZoneReport at_edge = edge_->report()[0];
  EXPECT_EQ(at_edge.peers[0].connections[0].connected, 1U);
  EXPECT_LT(at_edge.peers[0].connections[0].bytes_received, 100000U);
  EXPECT_EQ(at_edge.ended.at(static_cast<std::size_t>(Reason::kClosedThere)), 0U);
  // A core that does not know of the last one comes too soon.
  core_.reset();
  start_core();
  ASSERT_TRUE(wait_for([this] { return is_up(); }));
  ASSERT_TRUE(core_->measure("e1", {.seconds = 1}));
  ASSERT_TRUE(wait_for([this] {
    return core_->report()[0].peers[0].measured.state != MeasureReport::State::kRunning;
  }));
  EXPECT_NE(core_->report()[0].peers[0].measured.trouble.find("connects too often"),
            std::string::npos)
      << core_->report()[0].peers[0].measured.trouble;
  EXPECT_EQ(refused(*edge_, Reason::kTooOften), 1U);
  EXPECT_TRUE(is_up());
  // One that does waits.
  const auto again = core_->measure("e1", {.seconds = 1});
  ASSERT_TRUE(again);
  EXPECT_EQ(again->id, 2U);
  EXPECT_FALSE(
      wait_for([this] { return core_->report()[0].peers[0].bulk.has_value(); }, Seconds{1}));
  EXPECT_EQ(core_->report()[0].peers[0].measured.state, MeasureReport::State::kRunning);
  EXPECT_TRUE(wait_for([this] {
    const auto bulk = core_->report()[0].peers[0].bulk;
    return bulk && bulk->up;
  }));
}

TEST_F(ZoneBulk, a_bulk_connection_that_is_refused_is_no_trouble_of_the_zone) {
  // As many arrivals as signalling needs.
  edge_config_.zones[0].admission.arrivals_burst = 2;
  edge_config_.zones[0].admission.arrivals_per_second = 0;
  start();
  ASSERT_TRUE(core_->measure("e1", {.seconds = 1}));
  ASSERT_TRUE(wait_for([this] {
    return core_->report()[0].peers[0].measured.state != MeasureReport::State::kRunning;
  }));
  const ZoneReport at_core = core_->report()[0];
  EXPECT_EQ(at_core.peers[0].measured.trouble.find("the bulk connection to 127.0.0.1:"), 0U)
      << at_core.peers[0].measured.trouble;
  EXPECT_EQ(at_core.refused, decltype(at_core.refused){});
  EXPECT_EQ(at_core.last_refusal.reason, Reason::kNone);
}

TEST_F(ZoneBulk, an_edge_that_knows_no_bulk_connection_is_named) {
  Way way(loop_, edge_config_.zones[0].listen);
  core_config_.zones[0].peers[0].address = way.address();
  std::unique_ptr<Connection> older;
  // It ends the handshake when it reads what the connection is for, and does not tell why.
  way.other = [&](loop::TcpConnection& tcp) {
    ConnectionOptions options;
    options.hello.role = Role::kEdge;
    options.hello.zone = "dmz";
    options.peer_rule.names = {"core.example.com"};
    const Credentials credentials{*tls::Context::load(edge_config_.zones[0].tls),
                                  std::make_shared<const Secret>(password_)};
    older = std::make_unique<Connection>(options, credentials, loop::EventLoop::now());
    tcp.start({.on_data = [&](std::string_view bytes) {
      older->receive(bytes, loop::EventLoop::now());
      if (older->phase() == Connection::Phase::kChallenge) older->close(Reason::kBadMessage);
      tcp.write(older->take_output(65536));
      if (older->phase() == Connection::Phase::kClosed) tcp.end();
    }});
  };
  start();
  ASSERT_TRUE(core_->measure("e1", {.seconds = 1}));
  ASSERT_TRUE(wait_for([this] {
    return core_->report()[0].peers[0].measured.state != MeasureReport::State::kRunning;
  }));
  const ZoneReport at_core = core_->report()[0];
  EXPECT_NE(at_core.peers[0].measured.trouble.find("an edge of an older version"),
            std::string::npos)
      << at_core.peers[0].measured.trouble;
  EXPECT_EQ(at_core.refused, decltype(at_core.refused){});
}

TEST_F(ZoneBulk, a_measurement_that_fails_hangs_up) {
  Way way(loop_, edge_config_.zones[0].listen);
  core_config_.zones[0].peers[0].address = way.address();
  start();
  ASSERT_TRUE(core_->measure("e1", {.seconds = 30, .mbit = 1}));
  ASSERT_TRUE(wait_for([this] { return core_->report()[0].peers[0].bulk.has_value(); }));
  edge_.reset();  // signalling ends, the bulk connection is being dialled for long yet
  ASSERT_TRUE(wait_for([this] {
    return core_->report()[0].peers[0].measured.state == MeasureReport::State::kFailed;
  }));
  EXPECT_FALSE(core_->report()[0].peers[0].bulk);
}

TEST_F(ZoneBulk, a_measurement_ends_with_its_connection) {
  start();
  ASSERT_TRUE(core_->measure("e1", {.seconds = 30, .mbit = 1}));
  ASSERT_TRUE(wait_for([this] {
    const auto bulk = core_->report()[0].peers[0].bulk;
    return bulk && bulk->up;
  }));
  edge_.reset();
  ASSERT_TRUE(wait_for([this] {
    return core_->report()[0].peers[0].measured.state == MeasureReport::State::kFailed;
  }));
  EXPECT_FALSE(core_->measure("e1", {})) << "the peer is down";
}

}  // namespace
}  // namespace turnpike::zone
