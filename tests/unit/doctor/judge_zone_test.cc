// Verdicts about the zone's peers, from facts that a test makes up.
#include <cerrno>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/doctor/judge.h"
#include "control/doctor/words.h"

namespace turnpike::doctor {
namespace {

using testing::HasSubstr;
using testing::Not;
using zone::Reason;
using namespace std::chrono_literals;

const pki::WallTime kNow{1000000000s};

ProbeFacts probe(Stage stage, Reason reason = Reason::kNone, const std::string& detail = "") {
  ProbeFacts facts;
  facts.to = *parse_socket_address("192.0.2.10:7001");
  facts.from = *parse_socket_address("10.20.0.10:4711");
  facts.stage = stage;
  facts.heard = true;
  facts.reason = reason;
  facts.detail = detail;
  facts.certificate.subject = "CN=edge";
  facts.certificate.dns_names = {"edge.example.com"};
  facts.certificate.not_after = kNow + 24h * 30;
  facts.tls = "TLSv1.3 TLS_AES_256_GCM_SHA384";
  facts.node = "edge-1";
  facts.round_trip = 1500us;
  return facts;
}

Report judged(const ProbeFacts& facts, const PeerState* state = nullptr,
              const ZoneState* zone_state = nullptr) {
  config::ZoneSection zone;
  zone.name = "dmz";
  config::ZonePeerSection peer;
  peer.name = "e1";
  Report report;
  judge_probe(zone, peer, facts, zone_state, state, kNow, report);
  return report;
}

/// The only failure: "check | saw | mend".
std::string failure(const Report& report) {
  std::string text;
  for (const Finding& one : report.findings()) {
    if (one.verdict == Verdict::kFailed) text += one.check + " | " + one.saw + " | " + one.mend;
  }
  return text;
}

PeerState peer_state(const std::string& first, const std::string& second) {
  PeerState state;
  state.name = "e1";
  for (const std::string& reason : {first, second}) {
    ConnectionState one;
    one.last_error.reason = reason;
    one.last_error.meaning = "meaning of " + reason;
    state.connections.push_back(one);
  }
  return state;
}

TEST(DoctorZone, a_connection_that_comes_up_is_told_step_by_step) {
  const Report report = judged(probe(Stage::kDone));
  EXPECT_EQ(to_text(report),
            "ok       zone dmz, edge e1: connect: 192.0.2.10:7001 takes connections from "
            "10.20.0.10\n"
            "ok       zone dmz, edge e1: TLS: TLSv1.3 TLS_AES_256_GCM_SHA384\n"
            "ok       zone dmz, edge e1: certificate: CN=edge, names edge.example.com, ends in 30 "
            "days\n"
            "ok       zone dmz, edge e1: password: both ends have proved that they know it\n"
            "ok       zone dmz, edge e1: HTTP/2: answers, round trip 1.5 ms, calls itself edge-1\n"
            "0 failed, 0 unclear, 0 warnings, 5 ok\n");
}

TEST(DoctorZone, a_certificate_that_ends_soon_is_a_warning) {
  ProbeFacts facts = probe(Stage::kDone);
  facts.certificate.not_after = kNow + 24h * 13;
  EXPECT_THAT(to_text(judged(facts)),
              HasSubstr("warning  zone dmz, edge e1: certificate: CN=edge"));
}

TEST(DoctorZone, tcp_that_fails_is_told_apart) {
  ProbeFacts facts = probe(Stage::kConnect);
  facts.connect = {ETIMEDOUT, true};
  EXPECT_THAT(failure(judged(facts)), HasSubstr("nothing answers at 192.0.2.10:7001 | the firewall "
                                                "must let this node connect to it (core to edge, "
                                                "TCP 7001)"));
  facts.connect = {ECONNREFUSED, false};
  EXPECT_THAT(failure(judged(facts)), HasSubstr("start turnpiked on the edge"));
  facts.connect = {EHOSTUNREACH, false};
  EXPECT_THAT(failure(judged(facts)), HasSubstr("there is no way to 192.0.2.10:7001"));
  facts.connect = {EMFILE, false};
  EXPECT_THAT(failure(judged(facts)), HasSubstr("this host's network"));
}

TEST(DoctorZone, who_refuses_whose_certificate_is_told) {
  const auto by_us = failure(judged(probe(Stage::kTls, zone::of(tls::Refusal::kWrongName),
                                          "CN=x: wanted edge.example.com, it has x")));
  EXPECT_THAT(by_us,
              HasSubstr("zone dmz, edge e1: certificate | the other end's certificate is for "
                        "another name (CN=x: wanted edge.example.com, it has x) | correct "
                        "the peer's tls_name"));
  const auto by_them =
      failure(judged(probe(Stage::kChallenge, zone::of(tls::Refusal::kRefusedByPeer),
                           "its alert says: certificate expired")));
  EXPECT_THAT(by_them, HasSubstr("zone dmz, edge e1: TLS | the other end refused this node"));
  EXPECT_THAT(by_them, HasSubstr("renew this node's certificate"));
}

TEST(DoctorZone, each_reason_has_something_to_do) {
  for (std::size_t i = 1; i < zone::kReasonCount; ++i) {
    const auto reason = static_cast<Reason>(i);
    for (const zone::Role other : {zone::Role::kEdge, zone::Role::kCore}) {
      EXPECT_FALSE(mend_of(reason, other, "").empty()) << zone::info_of(i).label;
    }
    EXPECT_EQ(reason_of(zone::info_of(i).label), reason);
  }
  EXPECT_EQ(reason_of("no such reason"), Reason::kNone);
}

TEST(DoctorZone, a_wrong_password_is_the_step_that_fails) {
  const Report report = judged(probe(Stage::kChallenge, Reason::kWrongPassword));
  EXPECT_THAT(failure(report), HasSubstr("zone dmz, edge e1: password | the user or the password"));
  EXPECT_EQ(report.count(Verdict::kOk), 3U) << "connect, TLS and certificate were well";
  EXPECT_THAT(failure(judged(probe(Stage::kChallenge, Reason::kWrongZone))),
              HasSubstr("zone handshake"));
  EXPECT_THAT(failure(judged(probe(Stage::kStreams, Reason::kSilent))), HasSubstr("HTTP/2"));
}

TEST(DoctorZone, where_our_own_try_says_nothing_the_daemon_is_the_witness) {
  ProbeFacts facts = probe(Stage::kTls, zone::of(tls::Refusal::kClosedEarly));
  facts.heard = false;
  EXPECT_THAT(failure(judged(facts)), HasSubstr("hangs up at once, without a word of TLS"));
  const PeerState state = peer_state("closed_early", "wrong_password");
  EXPECT_THAT(failure(judged(facts, &state)),
              HasSubstr("turnpiked was told: meaning of wrong_password"));
  const PeerState vague = peer_state("closed_early", "broken");
  EXPECT_THAT(failure(judged(facts, &vague)), HasSubstr("run doctor on the edge"));
  ZoneState zone;
  EXPECT_THAT(failure(judged(facts, &vague, &zone)), HasSubstr("run doctor on the edge"));
  zone.wrong_passwords = 2;
  EXPECT_THAT(failure(judged(facts, &vague, &zone)),
              HasSubstr("it has refused turnpiked 2 times before: the user or the password"));
  // What we see ourselves goes before what was once.
  EXPECT_THAT(failure(judged(probe(Stage::kTls, zone::of(tls::Refusal::kExpired)), &state)),
              HasSubstr("has expired"));
}

TEST(DoctorZone, a_daemon_without_a_connection_that_could_be_is_a_warning) {
  const PeerState state = peer_state("unreachable", "");
  const Report report = judged(probe(Stage::kDone), &state);
  EXPECT_EQ(report.count(Verdict::kWarning), 1U);
  EXPECT_THAT(to_text(report), HasSubstr("but turnpiked has none; it was told: meaning of "
                                         "unreachable"));
}

TEST(DoctorZone, a_peer_that_is_up) {
  PeerState peer = peer_state("", "");
  peer.up = true;
  peer.address = "192.0.2.10:7001";
  peer.subject = "CN=edge";
  peer.certificate_days = 20;
  peer.connections[0].tls = "TLSv1.3 X";
  peer.connections[0].round_trip_ms = 0.25;
  Report report;
  judge_peer_up("dmz", peer, report);
  EXPECT_THAT(to_text(report), HasSubstr("ok       zone dmz, peer e1: up, 192.0.2.10:7001, TLSv1.3 "
                                         "X, round trip 0.2 ms\n"));
  peer.certificate_days = 2;
  judge_peer_up("dmz", peer, report);
  EXPECT_EQ(report.count(Verdict::kWarning), 1U);
}

TEST(DoctorZone, a_peer_that_two_nodes_are_in_turns) {
  PeerState peer = peer_state("taken_in_turns", "");
  peer.up = true;
  peer.connections[0].last_error.detail = "the other one is at 192.0.2.7:40000";
  peer.connections[0].last_error.age_seconds = 3;
  Report report;
  judge_peer_up("dmz", peer, report);
  EXPECT_EQ(report.count(Verdict::kFailed), 1U);
  EXPECT_THAT(to_text(report), HasSubstr("192.0.2.7:40000"));
  EXPECT_THAT(to_text(report), HasSubstr("each core needs a certificate with a name of its own"));
  peer.connections[0].last_error.age_seconds = 300;
  Report later;
  judge_peer_up("dmz", peer, later);
  EXPECT_EQ(later.count(Verdict::kFailed), 0U) << "it is over";
}

Finding flows(double since_seconds, const std::vector<FlowFacts>& facts) {
  config::ZoneSection zone;
  zone.name = "dmz";
  zone.flow_port_min = 36000;
  zone.flow_port_max = 36011;
  PeerState peer = peer_state("", "");
  peer.since_seconds = since_seconds;
  peer.flows = facts;
  Report report;
  judge_flows(zone, peer, report);
  return report.findings().at(0);
}

TEST(DoctorZone, udp_passes_between_the_nodes_or_does_not) {
  EXPECT_EQ(flows(0, {{true, true}, {true, true}}).verdict, Verdict::kOk);
  EXPECT_EQ(flows(1, {{true, false}}).verdict, Verdict::kWarning) << "it may not have had the time";
  const Finding closed = flows(9, {{true, true}, {true, false}});
  EXPECT_EQ(closed.verdict, Verdict::kFailed);
  EXPECT_EQ(closed.saw, "1 of 2 flows are bound");
  EXPECT_THAT(closed.mend, HasSubstr("UDP ports 36000-36011"));
  EXPECT_THAT(flows(9, {{false, false}}).saw, HasSubstr("no flows are agreed"));
  EXPECT_EQ(flows(9, {}).verdict, Verdict::kFailed);
}

std::string missing(const ZoneState& zone_state, const PeerState& peer) {
  config::ZoneSection zone;
  zone.name = "dmz";
  zone.listen = *parse_socket_address("192.0.2.10:7001");
  config::ZonePeerSection section;
  section.name = "c1";
  Report report;
  judge_peer_missing(zone, section, zone_state, peer, report);
  return failure(report);
}

TEST(DoctorZone, a_core_that_is_missing) {
  ZoneState zone;
  PeerState peer = peer_state("", "");
  EXPECT_THAT(missing(zone, peer), HasSubstr("has not connected | start turnpiked on the core"));
  peer.connections[1].last_error = {"silent", "has not answered", "", "10.20.0.10:1", 30};
  EXPECT_THAT(missing(zone, peer), HasSubstr("is not connected any more: has not answered, 30 s"));
  zone.last_refusal = {"expired", "its certificate has expired", "CN=c", "10.20.0.10:2", 60};
  EXPECT_THAT(missing(zone, peer), Not(HasSubstr("expired"))) << "that was before";
  zone.last_refusal.age_seconds = 3;
  EXPECT_THAT(missing(zone, peer),
              HasSubstr("last refusal: its certificate has expired (CN=c), 3 s ago, 10.20.0.10:2 | "
                        "renew the certificate on the core"));
}

}  // namespace
}  // namespace turnpike::doctor
