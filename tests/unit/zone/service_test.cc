// Two services in one process on loopback: what they carry, refuse and tell.
#include "tests/unit/zone/service_fixture.h"

namespace turnpike::zone {
namespace {

TEST_F(ZoneService, comes_up_and_tells_who_is_there) {
  start();
  const ZoneReport at_edge = edge_->report()[0];
  const ZoneReport at_core = core_->report()[0];
  EXPECT_EQ(at_edge.peers[0].node, "core-1");
  EXPECT_EQ(at_core.peers[0].node, "edge-1");
  EXPECT_EQ(at_edge.peers[0].certificate.dns_names[0], "core.example.com");
  EXPECT_EQ(at_core.certificate.subject, "CN=core");
  EXPECT_EQ(at_edge.waiting, 0U);
  for (const ConnectionReport& one : at_core.peers[0].connections) {
    EXPECT_TRUE(one.up);
    EXPECT_EQ(one.connected, 1U);
    EXPECT_EQ(one.address, to_string(edge_config_.zones[0].listen));
  }
  EXPECT_TRUE(wait_for([this] {
    const PeerReport peer = core_->report()[0].peers[0];
    return peer.connections[0].round_trip.count() > 0 && peer.connections[1].round_trip.count() > 0;
  }));
  EXPECT_NE(notes_.find("zone_up TLSv1.3"), std::string::npos) << notes_;
}

TEST_F(ZoneService, carries_bytes_from_either_end_to_the_other) {
  start();
  for (const SocketAddress& door : {edge_door(), core_door()}) {
    Caller caller(loop_, door);
    caller.tcp->write("REGISTER sip:example.com SIP/2.0\r\n");
    EXPECT_TRUE(wait_for([&] { return caller.received.size() == 34; })) << caller.received;
    caller.tcp->end();
    EXPECT_TRUE(wait_for([&] { return caller.ended; }));
    EXPECT_EQ(caller.received, "REGISTER sip:example.com SIP/2.0\r\n");
    EXPECT_FALSE(caller.broken);
  }
  EXPECT_EQ(core_echo_.received(), 34U);
  EXPECT_EQ(edge_echo_.received(), 34U);
  EXPECT_TRUE(wait_for([this] {
    return edge_->report()[0].peers[0].connections[0].streams == 0 &&
           core_->report()[0].peers[0].connections[0].streams == 0;
  }));
  EXPECT_EQ(core_->report()[0].streams_opened, 2U);
}

TEST_F(ZoneService, carries_much_and_in_order) {
  start();
  Caller caller(loop_, edge_door());
  std::string much;
  for (int i = 0; i < 3000000; ++i) much += static_cast<char>((i * 31) >> 3);
  caller.tcp->write(much);
  caller.tcp->end();
  EXPECT_TRUE(wait_for([&] { return caller.ended; }));
  EXPECT_TRUE(caller.received == much) << caller.received.size();
}

TEST_F(ZoneService, a_reader_that_stalls_holds_the_writer_up_and_nobody_else) {
  core_echo_.stalls = true;
  core_echo_.echoes = false;
  start();
  Caller writer(loop_, edge_door());
  writer.tcp->write(std::string(64 << 20, 'x'));
  // The writer's own queue stops shrinking once everything between is full.
  std::size_t last = 0;
  EXPECT_TRUE(wait_for([&, same = 0]() mutable {
    const std::size_t left = writer.tcp->bytes_unsent();
    same = left == last ? same + 1 : 0;
    last = left;
    return same > 100;
  }));
  EXPECT_GT(last, 32U << 20);
  EXPECT_TRUE(is_up());
  core_echo_.stalls = false;
  Caller other(loop_, edge_door());
  other.tcp->write("past it");
  EXPECT_TRUE(wait_for([&] { return core_echo_.received() == 7; }));
  core_echo_.connections()[0]->resume_reading();
  EXPECT_TRUE(wait_for([&] { return core_echo_.received() == 7 + (64U << 20); }, Seconds{60}));
}

TEST_F(ZoneService, a_reset_is_carried_over) {
  start();
  {
    Caller caller(loop_, edge_door());
    caller.tcp->write("x");
    ASSERT_TRUE(wait_for([&] { return caller.received == "x"; }));
    caller.tcp->reset_on_close();
  }
  EXPECT_TRUE(wait_for([this] { return core_echo_.broken == 1; }));
  Caller caller(loop_, edge_door());
  caller.tcp->write("y");
  ASSERT_TRUE(wait_for([&] { return caller.received == "y"; }));
  core_echo_.connections().back()->reset_on_close();
  core_echo_.connections().pop_back();
  EXPECT_TRUE(wait_for([&] { return caller.broken; }));
}

TEST_F(ZoneService, a_target_that_refuses_resets_the_caller) {
  core_config_.zones[0].peers[0].sip_target = free_address(loop_);
  start();
  Caller caller(loop_, edge_door());
  EXPECT_TRUE(wait_for([&] { return caller.broken; }));
  EXPECT_EQ(core_->report()[0].stream_refusals.not_connected, 1U);
}

TEST_F(ZoneService, a_target_that_is_not_offered_resets_the_caller) {
  core_config_.zones[0].peers[0].sip_target = {};
  start();
  Caller caller(loop_, edge_door());
  EXPECT_TRUE(wait_for([&] { return caller.broken; }));
  EXPECT_EQ(core_->report()[0].stream_refusals.unknown_target, 1U);
}

TEST_F(ZoneService, another_account_gets_nothing) {
  edge_config_.sip_user = "nobody";
  start();
  Caller caller(loop_, edge_door());
  EXPECT_TRUE(wait_for([&] { return caller.broken || caller.ended; }));
  EXPECT_EQ(edge_->report()[0].stream_refusals.wrong_account, 1U);
  EXPECT_EQ(core_echo_.connections().size(), 0U);
}

TEST_F(ZoneService, a_socket_that_was_closed_belongs_to_nobody) {
  start();
  {
    const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(edge_door().port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ASSERT_EQ(::connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to), 0);
    ASSERT_EQ(::write(fd, "INVITE", 6), 6);
    ::close(fd);
  }
  EXPECT_TRUE(wait_for([this] { return edge_->report()[0].stream_refusals.wrong_account == 1; }));
  EXPECT_EQ(core_echo_.received(), 0U);
}

TEST_F(ZoneService, local_connections_are_reset_while_the_peer_is_down) {
  start_edge();
  Caller caller(loop_, edge_door());
  EXPECT_TRUE(wait_for([&] { return caller.broken || caller.ended; }));
  EXPECT_EQ(edge_->report()[0].stream_refusals.peer_down, 1U);
}

TEST_F(ZoneService, the_core_comes_back_after_the_edge_was_restarted) {
  start();
  Caller caller(loop_, core_door());
  caller.tcp->write("x");
  ASSERT_TRUE(wait_for([&] { return caller.received == "x"; }));
  edge_.reset();
  EXPECT_TRUE(wait_for([&] { return caller.broken; }));
  EXPECT_TRUE(wait_for([this] { return !core_->report()[0].peers[0].connections[0].up; }));
  EXPECT_EQ(core_->report()[0].peers[0].connections[0].last_trouble.reason, Reason::kClosedThere);
  start_edge();
  EXPECT_TRUE(wait_for([this] { return is_up(); })) << notes_;
  EXPECT_EQ(core_->report()[0].peers[0].connections[0].connected, 2U);
}

TEST_F(ZoneService, the_edge_takes_the_newer_connection_of_a_restarted_core) {
  start();
  const std::uint64_t epoch = edge_->report()[0].peers[0].epoch;
  core_.reset();
  start_core();
  EXPECT_TRUE(wait_for([&] { return is_up() && edge_->report()[0].peers[0].epoch != epoch; }));
}

TEST_F(ZoneService, two_cores_with_the_same_name_are_told_at_both_ends) {
  start();
  ServiceConfig copy = core_config_;
  copy.zones[0].peers[0].sip_listen = {};
  auto second = Service::start(loop_, copy, callbacks());
  ASSERT_TRUE(second);
  EXPECT_TRUE(wait_for([&] {
    const auto ended = [](Service& node) {
      return node.report()[0].ended.at(static_cast<std::size_t>(Reason::kTakenInTurns));
    };
    return ended(*edge_) >= 2 && ended(*core_) >= 1 && ended(**second) >= 1;
  })) << notes_;
  EXPECT_NE(notes_.find("take the connection from each other"), std::string::npos) << notes_;
}

TEST_F(ZoneService, a_wrong_password_is_visible_at_both_ends_and_slowed_down) {
  core_config_.zones[0].password_file = "open says me";
  start_edge();
  start_core();
  EXPECT_TRUE(wait_for([this] { return refused(*core_, Reason::kWrongPassword) >= 1; }));
  EXPECT_TRUE(wait_for([this] { return refused(*edge_, Reason::kWrongPassword) >= 1; }));
  EXPECT_FALSE(edge_->report()[0].peers[0].connections[0].up);
  EXPECT_EQ(notes_.find("sesame"), std::string::npos);
  EXPECT_EQ(notes_.find("says me"), std::string::npos);
}

TEST_F(ZoneService, a_wrong_password_pauses_its_peer_and_no_other_behind_the_same_address) {
  authority_.issue("second", {.common_name = "second", .alternative_names = "DNS:second.example"});
  PeerConfig second = edge_config_.zones[0].peers[0];
  second.name = "c2";
  second.tls_name = "second.example";
  second.sip_listen = {};
  edge_config_.zones[0].peers.push_back(second);
  edge_config_.zones[0].admission.password_pause_min = Seconds{60};
  ServiceConfig sound = core_config_;
  core_config_.zones[0].password_file = "open says me";
  start_edge();
  start_core();
  EXPECT_TRUE(wait_for([this] { return refused(*edge_, Reason::kWrongPassword) >= 1; }));
  // The same peer is not heard, even with the right password, and is told why; the other one is.
  core_.reset();
  core_config_.zones[0].password_file = "password";
  start_core();
  EXPECT_TRUE(wait_for([this] { return refused(*core_, Reason::kAfterWrongPassword) >= 1; }));
  EXPECT_GE(refused(*edge_, Reason::kAfterWrongPassword), 1U);
  sound.zones[0].tls.certificate_file = authority_.path("second.pem");
  sound.zones[0].tls.private_key_file = authority_.path("second.key");
  sound.zones[0].peers[0].sip_listen = {};
  auto other = Service::start(loop_, sound, callbacks());
  ASSERT_TRUE(other);
  EXPECT_TRUE(wait_for([this] { return edge_->report()[0].peers[1].up; })) << notes_;
  EXPECT_FALSE(edge_->report()[0].peers[0].up);
}

TEST_F(ZoneService, a_certificate_of_another_name_is_refused_with_its_reason) {
  edge_config_.zones[0].peers[0].tls_name = "somebody.example.com";
  start_edge();
  start_core();
  EXPECT_TRUE(wait_for([this] { return refused(*edge_, of(tls::Refusal::kWrongName)) >= 1; }));
  EXPECT_TRUE(wait_for([this] { return refused(*core_, of(tls::Refusal::kRefusedByPeer)) >= 1; }));
  const Trouble trouble = edge_->report()[0].last_refusal;
  EXPECT_NE(trouble.detail.find("wanted somebody.example.com, it has core.example.com"),
            std::string::npos)
      << trouble.detail;
}

TEST_F(ZoneService, plain_text_is_refused_with_its_reason) {
  start_edge();
  Caller caller(loop_, edge_config_.zones[0].listen);
  caller.tcp->write("GET / HTTP/1.1\r\n\r\n");
  EXPECT_TRUE(wait_for([&] { return caller.ended || caller.broken; }));
  EXPECT_EQ(refused(*edge_, of(tls::Refusal::kNotTls)), 1U);
}

TEST_F(ZoneService, who_says_nothing_is_ended) {
  edge_config_.zones[0].handshake_timeout = Milliseconds{200};
  start_edge();
  Caller caller(loop_, edge_config_.zones[0].listen);
  EXPECT_TRUE(wait_for([&] { return caller.ended || caller.broken; }));
  EXPECT_EQ(refused(*edge_, Reason::kTooSlow), 1U);
  caller.tcp.reset();
  EXPECT_TRUE(wait_for([this] { return edge_->report()[0].waiting == 0; }));
}

TEST_F(ZoneService, waiting_connections_are_limited) {
  edge_config_.zones[0].admission.waiting_per_source_max = 3;
  start_edge();
  std::vector<std::unique_ptr<Caller>> callers;
  for (int i = 0; i < 5; ++i) {
    callers.push_back(std::make_unique<Caller>(loop_, edge_config_.zones[0].listen));
  }
  EXPECT_TRUE(wait_for([this] { return refused(*edge_, Reason::kTooManyFromSource) == 2; }));
  EXPECT_EQ(edge_->report()[0].waiting, 3U);
}

TEST_F(ZoneService, an_edge_that_is_not_there_is_unreachable) {
  start_core();
  EXPECT_TRUE(wait_for([this] { return refused(*core_, Reason::kUnreachable) >= 3; }));
  const ConnectionReport one = core_->report()[0].peers[0].connections[0];
  EXPECT_EQ(one.last_trouble.detail, "Connection refused");
}

TEST_F(ZoneService, a_reload_reaches_new_connections_and_leaves_live_ones) {
  start();
  const std::string before = core_->report()[0].peers[0].certificate.sha256;
  Caller caller(loop_, core_door());
  caller.tcp->write("x");
  ASSERT_TRUE(wait_for([&] { return caller.received == "x"; }));
  authority_.issue("edge",
                   {.common_name = "edge renewed", .alternative_names = "DNS:edge.example.com"});
  edge_->reload();
  EXPECT_NE(notes_.find("zone_files_loaded"), std::string::npos);
  EXPECT_EQ(edge_->report()[0].certificate.subject, "CN=edge renewed");
  caller.tcp->write("y");
  EXPECT_TRUE(wait_for([&] { return caller.received == "xy"; }));
  EXPECT_EQ(core_->report()[0].peers[0].certificate.sha256, before);
  core_.reset();
  start_core();
  EXPECT_TRUE(wait_for([this] { return is_up(); }));
  EXPECT_EQ(core_->report()[0].peers[0].certificate.subject, "CN=edge renewed");
}

TEST_F(ZoneService, a_reload_of_broken_files_keeps_what_was_there) {
  start();
  ASSERT_EQ(::truncate(authority_.path("edge.key").c_str(), 10), 0);
  edge_->reload();
  const ZoneReport report = edge_->report()[0];
  EXPECT_NE(report.files_trouble.find("edge.key"), std::string::npos);
  EXPECT_EQ(report.certificate.subject, "CN=edge");
  core_.reset();
  start_core();
  EXPECT_TRUE(wait_for([this] { return is_up(); }));
}

TEST_F(ZoneService, files_that_cannot_be_read_are_told_and_may_come_later) {
  password_ = "";
  start_edge();
  start_core();
  EXPECT_NE(core_->report()[0].files_trouble.find("no password"), std::string::npos);
  Caller caller(loop_, edge_config_.zones[0].listen);
  EXPECT_TRUE(wait_for([&] { return refused(*edge_, Reason::kNoFiles) == 1; }));
  password_ = "open sesame";
  edge_->reload();
  core_->reload();
  EXPECT_TRUE(wait_for([this] { return is_up(); })) << notes_;
  EXPECT_EQ(core_->report()[0].files_trouble, "");
}

}  // namespace
}  // namespace turnpike::zone
