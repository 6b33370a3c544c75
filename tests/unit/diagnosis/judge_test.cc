// Each finding from the facts that make it, and that it is not found where it does not belong.
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/diagnosis/diagnosis.h"

namespace turnpike::diagnosis {
namespace {

using testing::HasSubstr;

const SocketAddress kCaller{IpAddress::v4(198, 51, 100, 10), 30000};
const SocketAddress kCallee{IpAddress::v4(10, 20, 0, 10), 20000};
const SocketAddress kStranger{IpAddress::v4(192, 0, 2, 66), 4000};

class Judge : public ::testing::Test {
 protected:
  // A call that is healthy both ways.
  Judge() {
    signalled.answered = signalled.accepted = true;
    signalled.since = now - Seconds{30};
    signalled.legs[0].remote = kCaller;
    signalled.legs[1].remote = kCallee;
    for (LegSignalling& leg : signalled.legs) leg.payload_types = {1, 0};
    for (LegStats& leg : stats.legs) {
      leg.packets_received = leg.packets_sent = 1000;
      media_at(leg, now - Milliseconds{20});
      leg.stream_count = 1;
      leg.streams[0].packets = leg.streams[0].payload_run = 1000;
      leg.streams[0].bytes = 172 * 1000;
      leg.streams[0].payload_run_bytes = 160 * 1000;
      leg.streams[0].last_packet = leg.streams[0].last_rtp = leg.last_packet;
    }
    a.evidence.destination = kCaller;
    b.evidence.destination = kCallee;
  }
  static void media_at(LegStats& leg, Instant then) {
    leg.last_packet = leg.last_carried = leg.last_rtp = leg.last_rtp_carried = then;
  }
  void silence_a() {
    a.packets_received = 0;
    media_at(a, Instant{});
    a.stream_count = 0;
  }
  void drop_at_a(DropReason reason, std::uint32_t count) {
    a.drops[static_cast<std::size_t>(reason)] = count;
  }
  LegVerdicts of(Side side) const { return judge(signalled, stats, now)[index_of(side)]; }
  std::string from_a() const { return std::string(of(Side::kA).received.info().id); }
  std::string to_a() const { return std::string(of(Side::kA).sent.info().id); }
  std::string to_b() const { return std::string(of(Side::kB).sent.info().id); }
  std::string evidence() const { return of(Side::kA).received.evidence; }

  Instant now{Seconds{5000}};
  Signalling signalled;
  SessionStats stats;
  LegStats& a = stats.legs[0];
  LegStats& b = stats.legs[1];
};

TEST_F(Judge, a_call_that_is_well_is_healthy_both_ways) {
  for (const Side side : {Side::kA, Side::kB}) {
    EXPECT_EQ(of(side).received.info().id, "healthy");
    EXPECT_EQ(of(side).sent.info().id, "healthy");
    EXPECT_EQ(of(side).worse().info().weight, Weight::kFine);
  }
}

TEST_F(Judge, nothing_at_all) {
  silence_a();
  EXPECT_EQ(from_a(), "never_received");
  EXPECT_EQ(to_b(), "nothing_to_send");
  EXPECT_EQ(to_a(), "healthy");
  EXPECT_THAT(evidence(), HasSubstr("1000 packets sent to 198.51.100.10:30000"));
  signalled.since = now - Seconds{1};
  EXPECT_EQ(from_a(), "too_early");
}

TEST_F(Judge, stopped_says_since_when) {
  media_at(a, now - Milliseconds{7300});
  EXPECT_EQ(from_a(), "stopped");
  EXPECT_THAT(evidence(), HasSubstr("the last 7.3 s ago"));
  media_at(a, now - Milliseconds{4900});
  EXPECT_EQ(from_a(), "healthy") << "a pause";
}

TEST_F(Judge, rtcp_alone) {
  silence_a();
  a.rtcp_received = 5;
  a.last_packet = now - Seconds{1};
  EXPECT_EQ(from_a(), "only_rtcp");
  EXPECT_EQ(to_b(), "nothing_to_send");
}

TEST_F(Judge, rtcp_does_not_hide_that_rtp_has_stopped) {
  media_at(a, now - Seconds{12});
  a.rtcp_received = 5;
  a.last_packet = a.last_carried = now - Seconds{1};
  EXPECT_EQ(from_a(), "only_rtcp");
  EXPECT_THAT(evidence(), HasSubstr("5 packets of RTCP, the last 1.0 s ago; of RTP 1000 packets, "
                                    "the last 12.0 s ago"));
  EXPECT_EQ(to_b(), "nothing_to_send");
  a.evidence.refused = 49;
  a.evidence.refused_last = now - Seconds{2};
  EXPECT_EQ(from_a(), "only_rtcp") << "strays of long ago and one of now";
  EXPECT_THAT(evidence(), HasSubstr("49 packets from another source, the last 2.0 s ago"));
  a.evidence.refused = 50;
  EXPECT_EQ(from_a(), "wrong_source") << "RTP comes from elsewhere, RTCP does not";
}

TEST_F(Judge, wrong_key) {
  silence_a();
  signalled.legs[0].protection = Protection::kSdes;
  a.evidence.unverified = 40;
  a.evidence.unverified_source = kCaller;
  a.evidence.unverified_last = now;
  EXPECT_EQ(from_a(), "auth_failed");
  EXPECT_THAT(evidence(), HasSubstr("40 packets from 198.51.100.10:30000"));
  a.evidence.unencrypted = 39;
  EXPECT_EQ(from_a(), "rtp_where_srtp_is_due");
}

TEST_F(Judge, wrong_key_since_a_rekey) {
  media_at(a, now - Seconds{20});
  a.evidence.received_before_keys = 1000;
  a.evidence.unverified = 40;
  a.evidence.unverified_last = now;
  EXPECT_EQ(from_a(), "auth_failed_since_rekey");
  ++a.packets_received;
  EXPECT_EQ(from_a(), "auth_failed");
}

TEST_F(Judge, what_a_stranger_sends_into_a_call_that_is_well_is_no_finding) {
  a.evidence.unverified = 100000;
  a.evidence.unverified_last = now;
  a.evidence.refused_last = now;
  drop_at_a(DropReason::kAuthFailed, 100000);
  EXPECT_EQ(from_a(), "healthy");
}

TEST_F(Judge, wrong_source) {
  silence_a();
  a.evidence.refused_source = kStranger;
  a.evidence.refused_last = now - Seconds{1};
  a.evidence.refused = 49;
  EXPECT_EQ(from_a(), "wrong_source");
  EXPECT_THAT(evidence(), HasSubstr("49 packets"));
  EXPECT_THAT(evidence(), HasSubstr("from 192.0.2.66:4000, expected 198.51.100.10:30000"));
  EXPECT_THAT(evidence(), HasSubstr("policy strict"));
}

TEST_F(Judge, srtp_on_a_plain_leg) {
  for (const std::uint64_t tag : {4U, 10U, 16U}) {
    a.streams[0].payload_run_bytes = (160 + tag) * 1000;
    EXPECT_EQ(from_a(), "srtp_where_rtp_is_due") << tag;
  }
  EXPECT_THAT(evidence(), HasSubstr("payloads of 176 bytes, which are audio and 16 more"));
  a.streams[0].payload_run = 49;
  a.streams[0].payload_run_bytes = 176U * 49;
  EXPECT_EQ(from_a(), "healthy") << "too few";
  a.streams[0].payload_run = 1000;
  a.streams[0].payload_run_bytes = 176 * 1000;
  signalled.legs[0].protection = Protection::kSdes;
  EXPECT_EQ(from_a(), "healthy") << "there the tag belongs";
}

TEST_F(Judge, muted) {
  silence_a();
  signalled.legs[0].sends = false;
  signalled.legs[0].direction = "recvonly";
  EXPECT_EQ(from_a(), "muted_by_sdp");
  EXPECT_EQ(evidence(), "its end says recvonly");
  EXPECT_EQ(to_b(), "muted_by_sdp");
  signalled.legs[0].sends = true;
  signalled.legs[1].receives = false;
  signalled.legs[1].direction = "held";
  EXPECT_EQ(evidence(), "the other end says held");
}

TEST_F(Judge, not_answered_and_rejected) {
  silence_a();
  signalled.accepted = false;
  EXPECT_EQ(from_a(), "rejected");
  signalled.answered = false;
  EXPECT_EQ(from_a(), "not_answered");
}

TEST_F(Judge, dtls_and_ice) {
  silence_a();
  signalled.legs[0].protection = Protection::kDtls;
  a.transport.dtls = DtlsState::kFailed;
  a.transport.dtls_failure = DtlsFailure::kFingerprint;
  EXPECT_EQ(from_a(), "dtls_not_done");
  EXPECT_THAT(evidence(), HasSubstr("fingerprint_mismatch"));
  EXPECT_EQ(to_a(), "dtls_not_done") << "nor can anything be sent";
  a.transport.dtls_failure = DtlsFailure::kTimeout;
  a.transport.dtls_flights = {4, 1};
  EXPECT_EQ(from_a(), "dtls_not_done");
  EXPECT_THAT(evidence(), HasSubstr("timeout at flight 4: we sent ServerHello to ServerHelloDone "
                                    "and heard ClientHello only (timeout)"));
  a.transport.dtls = DtlsState::kClosed;
  EXPECT_EQ(from_a(), "dtls_closed");
  signalled.legs[0].ice = true;
  a.transport.ice = IceState::kChecking;
  EXPECT_EQ(from_a(), "ice_not_connected");
  a.transport.ice = IceState::kLost;
  EXPECT_EQ(from_a(), "consent_lost");
}

TEST_F(Judge, unreachable_and_nat) {
  silence_a();
  a.evidence.destination = {IpAddress::v4(192, 168, 1, 5), 4000};
  signalled.legs[0].from = IpAddress::v4(198, 51, 100, 7);
  EXPECT_EQ(from_a(), "never_received") << "ours, as it named a public address";
  signalled.legs[0].remote = a.evidence.destination;
  EXPECT_EQ(from_a(), "one_way_nat");
  signalled.legs[0].from = IpAddress::v4(192, 168, 9, 9);
  EXPECT_EQ(from_a(), "never_received") << "its signalling comes from inside too";
  a.evidence.sends_refused = 3;
  a.evidence.send_error_last = now - Seconds{1};
  EXPECT_EQ(from_a(), "unreachable");
  EXPECT_EQ(to_a(), "unreachable");
  EXPECT_THAT(evidence(), HasSubstr("port refused 3 times"));
}

TEST_F(Judge, an_old_unreachable_is_no_finding_once_media_flows) {
  a.evidence.sends_refused = 3;
  a.evidence.send_error_last = now - Seconds{25};
  EXPECT_EQ(from_a(), "healthy");
  EXPECT_EQ(to_a(), "healthy");
}

TEST_F(Judge, drops_of_ours_and_of_form) {
  drop_at_a(DropReason::kQueueFull, 5);
  EXPECT_EQ(from_a(), "healthy") << "few";
  drop_at_a(DropReason::kQueueFull, 500);
  EXPECT_EQ(from_a(), "dropped_here");
  EXPECT_THAT(evidence(), HasSubstr("queue_full 500"));
  drop_at_a(DropReason::kQueueFull, 0);
  silence_a();
  drop_at_a(DropReason::kUnknownProtocol, 7);
  EXPECT_EQ(from_a(), "not_understood");
  drop_at_a(DropReason::kUnexpectedDtls, 3);
  EXPECT_EQ(from_a(), "dtls_not_agreed");
}

TEST_F(Judge, strays_of_a_call_that_was_well_are_no_cause_of_its_silence) {
  media_at(a, now - Seconds{8});
  for (const DropReason reason : {DropReason::kUnknownProtocol, DropReason::kQueueFull,
                                  DropReason::kUnexpectedDtls, DropReason::kUnexpectedStun}) {
    drop_at_a(reason, 10);
    EXPECT_EQ(from_a(), "stopped") << "one in a hundred";
    drop_at_a(reason, 11);
    EXPECT_NE(from_a(), "stopped");
    drop_at_a(reason, 0);
  }
  drop_at_a(DropReason::kUnknownProtocol, 4);
  EXPECT_THAT(evidence(), HasSubstr("dropped: unknown_protocol 4"));
  silence_a();
  EXPECT_EQ(from_a(), "never_received") << "a scanner";
}

TEST_F(Judge, what_came_from_elsewhere_must_be_recent_and_more_than_a_stray) {
  media_at(a, now - Seconds{60});
  a.evidence.refused_last = now - Seconds{1};
  a.evidence.refused = 1;
  EXPECT_EQ(from_a(), "stopped");
  EXPECT_THAT(evidence(), HasSubstr("1 packet from another source, the last 1.0 s ago"));
  a.evidence.refused = 10;
  EXPECT_EQ(from_a(), "stopped") << "one in a hundred of what was accepted";
  a.evidence.refused = 11;
  EXPECT_EQ(from_a(), "wrong_source");
  a.evidence.refused_last = now - Seconds{10};
  EXPECT_EQ(from_a(), "stopped");
}

TEST_F(Judge, what_did_not_verify_must_be_recent_and_more_than_a_stray) {
  media_at(a, now - Seconds{60});
  a.evidence.unverified_last = now - Seconds{1};
  a.evidence.unverified = 4;
  EXPECT_EQ(from_a(), "stopped");
  EXPECT_THAT(evidence(), HasSubstr("4 packets did not verify, the last 1.0 s ago"));
  a.evidence.unverified = 10;
  EXPECT_EQ(from_a(), "stopped") << "one in a hundred of what verified";
  a.evidence.unverified = 11;
  EXPECT_EQ(from_a(), "auth_failed");
  a.evidence.unverified_last = now - Seconds{10};
  EXPECT_EQ(from_a(), "stopped");
}

TEST_F(Judge, strays_do_not_explain_that_somebody_is_muted) {
  silence_a();
  signalled.legs[0].protection = Protection::kSdes;
  a.rtcp_received = 2;
  a.last_packet = now - Seconds{1};
  a.evidence.unverified = a.evidence.refused = 5;
  a.evidence.unverified_last = a.evidence.refused_last = now - Seconds{2};
  EXPECT_EQ(from_a(), "only_rtcp") << "RTCP verified after them, with the same keys";
  EXPECT_THAT(evidence(), HasSubstr("5 packets did not verify, the last 2.0 s ago"));
}

TEST_F(Judge, an_old_unreachable_is_no_cause_of_a_later_silence) {
  media_at(a, now - Seconds{8});
  a.evidence.sends_refused = 3;
  a.evidence.send_error_last = now - Seconds{9};
  EXPECT_EQ(from_a(), "unreachable");
  a.evidence.send_error_last = now - Seconds{25};
  EXPECT_EQ(from_a(), "stopped");
  EXPECT_THAT(evidence(), HasSubstr("undeliverable 25.0 s ago"));
}

TEST_F(Judge, what_lies_before_the_payload_is_no_tag) {
  for (const std::uint64_t extra : {4U, 8U, 10U, 16U}) {
    a.streams[0].bytes = (172 + extra) * 1000;
    EXPECT_EQ(from_a(), "healthy") << extra;
  }
  a.streams[0].payload_run_bytes = 168 * 1000;
  EXPECT_EQ(from_a(), "healthy") << "21 ms";
}

TEST_F(Judge, comfort_noise_is_no_wrong_payload_type) {
  for (const unsigned type : {13U, 19U}) {
    a.streams[0].payload_type = static_cast<std::uint8_t>(type);
    EXPECT_EQ(from_a(), "healthy") << type;
    EXPECT_THAT(evidence(), HasSubstr("comfort noise in the newest 1000 packets"));
  }
  a.streams[0].payload_type = 14;
  EXPECT_EQ(from_a(), "payload_type");
}

// An m-line whose port is another one's: what did not verify there may have been its own.
TEST_F(Judge, a_rider_shows_what_its_transport_saw) {
  silence_a();
  signalled.legs[0].rides = true;
  a.transport_accepted = 1000;
  a.carrier_drops[static_cast<std::size_t>(DropReason::kNotInBundle)] = 10;
  EXPECT_EQ(from_a(), "never_received") << "one in a hundred of what the transport took";
  a.carrier_drops[static_cast<std::size_t>(DropReason::kNotInBundle)] = 700;
  EXPECT_EQ(from_a(), "not_understood");
  EXPECT_THAT(evidence(), HasSubstr("not_in_bundle 700"));
  a.carrier_drops[static_cast<std::size_t>(DropReason::kNotInBundle)] = 0;
  a.carrier_drops[static_cast<std::size_t>(DropReason::kStreamLimit)] = 700;
  EXPECT_EQ(from_a(), "never_received") << "of the other m-line: that is known";
  signalled.legs[0].protection = Protection::kDtls;
  a.transport.dtls = DtlsState::kEstablished;
  a.evidence.unverified = 40;
  a.evidence.unverified_last = now;
  a.evidence.received_before_keys = 900;
  EXPECT_EQ(from_a(), "auth_failed");
  EXPECT_THAT(evidence(), HasSubstr("1000 verified"));
  a.evidence.received_before_keys = 1000;
  EXPECT_EQ(from_a(), "auth_failed_since_rekey");
  a.evidence.received_before_keys = 0;
  a.transport_accepted = 100000;
  a.evidence.unverified = 900;
  EXPECT_EQ(from_a(), "never_received") << "few against what the other m-lines send";
}

TEST_F(Judge, the_line_that_has_the_transport_is_not_blamed_for_all_of_it) {
  silence_a();
  signalled.legs[0].protection = Protection::kDtls;
  a.transport.dtls = DtlsState::kEstablished;
  a.evidence.unverified = 60;
  a.evidence.unverified_last = now;
  EXPECT_EQ(from_a(), "auth_failed") << "it was its own";
  a.transport_accepted = 100000;
  EXPECT_EQ(from_a(), "never_received") << "strays beside what the other m-lines send";
  a.evidence.unverified = 1001;
  EXPECT_EQ(from_a(), "auth_failed");
}

TEST_F(Judge, who_has_no_keys_judges_the_transport_of_a_bundle_only) {
  silence_a();
  for (LegSignalling& leg : signalled.legs) {
    leg.protection = Protection::kPassed;
    leg.rides = true;
  }
  EXPECT_EQ(from_a(), "shared_transport");
  EXPECT_EQ(to_a(), "shared_transport");
  signalled.accepted = false;
  EXPECT_EQ(from_a(), "rejected");
  signalled.accepted = true;
  for (LegSignalling& leg : signalled.legs) leg.rides = false;
  EXPECT_EQ(from_a(), "never_received") << "the one that has the transport";
}

TEST_F(Judge, ice_without_a_valid_check_is_no_fault_while_media_passes) {
  signalled.legs[0].ice = true;
  a.transport.ice = IceState::kChecking;
  EXPECT_EQ(to_a(), "healthy");
  media_at(a, now - Seconds{6});
  EXPECT_EQ(to_a(), "ice_not_connected") << "nobody knows whether it arrives";
  media_at(a, now);
  media_at(b, now - Seconds{6});
  EXPECT_EQ(to_a(), "ice_not_connected");
}

TEST_F(Judge, payload_type_that_nobody_takes) {
  a.streams[0].payload_type = 96;
  EXPECT_EQ(from_a(), "payload_type");
  EXPECT_THAT(evidence(), HasSubstr("payload type 96 in the newest 1000 packets"));
  a.streams[0].payload_run = 49;
  EXPECT_EQ(from_a(), "healthy") << "it may be an event";
  a.streams[0].payload_run = 50;
  EXPECT_EQ(from_a(), "payload_type");
  signalled.legs[1].payload_types = {1, std::uint64_t{1} << 32U};
  EXPECT_EQ(from_a(), "healthy");
}

TEST_F(Judge, what_arrives_and_cannot_go_on) {
  b.last_carried = b.last_rtp_carried = Instant{};
  a.evidence.destination = SocketAddress{};
  EXPECT_EQ(of(Side::kB).received.info().id, "healthy") << "we hear it";
  EXPECT_EQ(to_a(), "no_destination");
  signalled.legs[0].protection = Protection::kSdes;
  EXPECT_EQ(to_a(), "no_keys");
}

TEST_F(Judge, what_control_has_switched_off) {
  signalled.legs[0].blocked = true;
  drop_at_a(DropReason::kBlocked, 12);
  EXPECT_EQ(from_a(), "healthy");
  EXPECT_THAT(evidence(), HasSubstr("go no further: block media"));
  EXPECT_EQ(to_b(), "blocked_by_command");
  EXPECT_THAT(of(Side::kB).sent.evidence, HasSubstr("blocked_by_command 12"));
  EXPECT_EQ(to_a(), "healthy");
  signalled.legs[0].blocked = false;
  EXPECT_EQ(to_b(), "healthy") << "that was before";
  signalled.legs[0].silenced = true;
  drop_at_a(DropReason::kSilenced, 7);
  EXPECT_EQ(to_b(), "silenced_by_command");
  EXPECT_THAT(of(Side::kB).sent.evidence, HasSubstr("dropped: 7 of other payload types"));
  silence_a();
  EXPECT_EQ(to_b(), "nothing_to_send") << "nor would there be without it";
}

TEST_F(Judge, the_kernel_refuses) {
  b.drops[static_cast<std::size_t>(DropReason::kSendFailed)] = 500;
  EXPECT_EQ(to_a(), "send_failed");
}

TEST_F(Judge, a_call_that_ended_well_is_healthy_long_afterwards) {
  now += Seconds{60};
  EXPECT_EQ(from_a(), "stopped");
  const auto verdicts = judge_after_goodbye(signalled, stats, now);
  EXPECT_EQ(verdicts[0].worse().info().id, "healthy");
  media_at(a, b.last_packet - Seconds{30});
  EXPECT_EQ(judge_after_goodbye(signalled, stats, now)[0].received.info().id, "stopped");
}

TEST(Findings, identifiers_are_unique_and_faults_have_a_remedy) {
  std::set<std::string_view> ids;
  for (const FindingInfo& info : kFindings) {
    EXPECT_TRUE(ids.insert(info.id).second) << info.id;
    EXPECT_FALSE(info.text.empty());
    EXPECT_EQ(info.remedy.empty(), info.weight == Weight::kFine) << info.id;
  }
}

TEST(Findings, private_networks) {
  for (const char* text : {"10.1.2.3", "172.16.0.1", "172.31.255.1", "192.168.0.1", "100.64.0.1",
                           "169.254.1.1", "fd00::1", "fe80::1"}) {
    EXPECT_TRUE(is_private(*parse_ip(text))) << text;
  }
  for (const char* text : {"172.32.0.1", "100.128.0.1", "11.0.0.1", "2001:db8::1", "fec0::1"}) {
    EXPECT_FALSE(is_private(*parse_ip(text))) << text;
  }
  EXPECT_FALSE(is_private(IpAddress{}));
}

}  // namespace
}  // namespace turnpike::diagnosis
