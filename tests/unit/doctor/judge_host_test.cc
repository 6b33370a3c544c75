// Verdicts about the host, from facts that a test makes up.
#include <cerrno>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/doctor/judge.h"

namespace turnpike::doctor {
namespace {

using testing::HasSubstr;
using namespace std::chrono_literals;

Finding only(const Report& report) {
  EXPECT_EQ(report.findings().size(), 1U) << to_text(report);
  return report.findings().empty() ? Finding{} : report.findings().front();
}

Finding judged(void (*judge)(const ClockFacts&, Report&), const ClockFacts& facts) {
  Report report;
  judge(facts, report);
  return only(report);
}

DaemonState running(pid_t pid = 100) {
  DaemonState daemon;
  daemon.has_api = daemon.running = true;
  daemon.pid = pid;
  daemon.state = "running";
  return daemon;
}

TEST(DoctorHost, daemon_runs_or_does_not_or_cannot_be_asked) {
  Report report;
  judge_daemon(running(), "/run/api.sock", report);
  judge_daemon(DaemonState{.has_api = true, .trouble = "turnpiked is not running"}, "x", report);
  judge_daemon(DaemonState{}, "", report);
  judge_daemon(DaemonState{.has_api = true, .forbidden = true}, "x", report);
  ASSERT_EQ(report.findings().size(), 4U);
  EXPECT_EQ(report.findings()[3].verdict, Verdict::kWarning);
  EXPECT_EQ(report.findings()[3].mend, "run doctor as root");
  EXPECT_EQ(report.findings()[0].verdict, Verdict::kOk);
  EXPECT_EQ(report.findings()[1].verdict, Verdict::kFailed);
  EXPECT_EQ(report.findings()[1].saw, "turnpiked is not running");
  EXPECT_EQ(report.findings()[2].verdict, Verdict::kWarning);
}

TEST(DoctorHost, a_daemon_that_shows_itself_elsewhere_makes_it_unclear) {
  Report report;
  judge_daemon(DaemonState{.has_api = true, .trouble = "no", .signs = {"one", "two"}}, "x", report);
  ASSERT_EQ(report.findings().size(), 1U);
  EXPECT_EQ(report.findings()[0].verdict, Verdict::kUnclear);
  EXPECT_EQ(report.findings()[0].saw, "nobody answers on x, but one, two");
  EXPECT_THAT(report.findings()[0].mend, HasSubstr("--config"));
  EXPECT_THAT(to_text(report), HasSubstr("UNCLEAR  daemon: nobody"));
  EXPECT_THAT(to_text(report), HasSubstr("0 failed, 1 unclear, 0 warnings, 0 ok\n"));
  EXPECT_THAT(to_json(report), HasSubstr("\"verdict\": \"unclear\""));
}

TEST(DoctorHost, clock_is_right_unkept_or_behind) {
  ClockFacts clock;
  clock.now = pki::WallTime(1000000s);
  clock.kernel_asked = clock.synchronized = true;
  clock.error_max = 12ms;
  EXPECT_EQ(judged(judge_clock, clock).verdict, Verdict::kOk);
  EXPECT_THAT(judged(judge_clock, clock).saw, HasSubstr("wrong by 12 ms at most"));
  clock.synchronized = false;
  EXPECT_EQ(judged(judge_clock, clock).verdict, Verdict::kWarning);
  clock.kernel_asked = false;
  EXPECT_THAT(judged(judge_clock, clock).saw, HasSubstr("does not tell"));
  clock.newest_file = "/etc/turnpike/node.pem";
  clock.newest_file_time = clock.now + 119s;
  EXPECT_EQ(judged(judge_clock, clock).verdict, Verdict::kWarning);
  clock.newest_file_time = clock.now + 121s;
  EXPECT_EQ(judged(judge_clock, clock).verdict, Verdict::kFailed);
  EXPECT_THAT(judged(judge_clock, clock).mend, HasSubstr("the clock is behind"));
}

TEST(DoctorHost, files_that_cannot_be_read_are_told_one_by_one) {
  Report report;
  judge_files({{"a", "/a", 0}, {"b", "/b", EACCES}, {"c", "/c", ENOENT}}, "turnpike", report);
  ASSERT_EQ(report.findings().size(), 3U);
  EXPECT_THAT(report.findings()[0].saw, HasSubstr("/b (b): Permission denied, for the account"));
  EXPECT_THAT(report.findings()[0].mend, HasSubstr("give turnpike the right"));
  EXPECT_EQ(report.findings()[1].saw, "/c (c): No such file or directory");
  EXPECT_EQ(report.findings()[2].verdict, Verdict::kOk);
  EXPECT_EQ(report.count(Verdict::kFailed), 2U);
}

Finding listener(const ListenerFacts& facts, const DaemonState& daemon) {
  Report report;
  judge_listener(facts, daemon, report);
  return only(report);
}

TEST(DoctorHost, a_port_is_ours_free_or_taken) {
  ListenerFacts facts{.key = "zone.dmz.listen",
                      .address = *parse_socket_address("192.0.2.10:7001"),
                      .program = "turnpiked"};
  const DaemonState stopped{.has_api = true};
  EXPECT_THAT(listener(facts, stopped).saw, HasSubstr("is free for turnpiked"));
  EXPECT_EQ(listener(facts, running()).verdict, Verdict::kFailed);
  EXPECT_THAT(listener(facts, running()).saw, HasSubstr("turnpiked does not wait at"));
  facts.bind_error = EADDRNOTAVAIL;
  EXPECT_THAT(listener(facts, stopped).saw, HasSubstr("this host has no such address"));
  facts.bind_error = EACCES;
  EXPECT_EQ(listener(facts, stopped).verdict, Verdict::kWarning);
  facts.bind_error = EADDRINUSE;
  EXPECT_EQ(listener(facts, stopped).verdict, Verdict::kFailed);
  facts.bind_error = 0;
  facts.held = true;
  facts.holder = {100, "turnpiked"};
  EXPECT_EQ(listener(facts, running(100)).verdict, Verdict::kOk);
  EXPECT_EQ(listener(facts, running(101)).verdict, Verdict::kFailed) << "another turnpiked";
  facts.holder = {7, "nginx"};
  EXPECT_THAT(listener(facts, stopped).saw, HasSubstr("is taken by nginx (process 7)"));
  facts.holder = {8, "turnpike-holder"};
  EXPECT_EQ(listener(facts, stopped).verdict, Verdict::kFailed);
  facts.is_udp = true;
  EXPECT_EQ(listener(facts, stopped).verdict, Verdict::kOk) << "it keeps what the next one takes";
  facts.holder = {};
  EXPECT_EQ(listener(facts, running()).verdict, Verdict::kWarning);
  EXPECT_EQ(listener(facts, stopped).verdict, Verdict::kFailed);
  EXPECT_EQ(listener(facts, {.has_api = true, .forbidden = true}).verdict, Verdict::kWarning);
}

TEST(DoctorHost, the_sip_server_should_wait_whatever_the_daemon_does) {
  ListenerFacts facts{.key = "sip.tls_port",
                      .address = *parse_socket_address("192.0.2.10:5061"),
                      .program = "kamailio"};
  EXPECT_THAT(listener(facts, DaemonState{}).mend, HasSubstr("journalctl -u turnpike-sip"));
  facts.held = true;
  facts.holder = {5, "kamailio"};
  EXPECT_EQ(listener(facts, running()).verdict, Verdict::kOk);
}

TEST(DoctorHost, media_ports_may_be_held_by_others) {
  MediaPortFacts ports{.port_min = 36000, .port_max = 36999};
  Report report;
  judge_media_ports(ports, report);
  EXPECT_EQ(only(report).verdict, Verdict::kOk);
  ports.strangers = {{*parse_socket_address("192.0.2.10:36004"), {9, "named"}}};
  ports.unbindable = {"192.0.2.10:36000: Permission denied"};
  ports.reservation_advice = "reserve them; sysctl so and so";
  Report bad;
  judge_media_ports(ports, bad);
  EXPECT_EQ(bad.count(Verdict::kWarning), 2U);
  EXPECT_EQ(bad.count(Verdict::kFailed), 1U);
  EXPECT_THAT(to_text(bad), HasSubstr("192.0.2.10:36004 by named (process 9)"));
  EXPECT_THAT(to_text(bad), HasSubstr("-> sysctl so and so"));
}

TEST(DoctorHost, limits_are_compared_with_what_may_be_needed) {
  Report good;
  judge_limits({.files_needed = 10,
                .files_max = 10,
                .of_daemon = true,
                .buffer_wanted_bytes = 5,
                .buffer_given_bytes = 5},
               good);
  judge_limits({.of_daemon = true}, good);
  EXPECT_EQ(good.count(Verdict::kOk), 4U);
  Report bad;
  judge_limits({.files_needed = 11,
                .files_max = 10,
                .of_daemon = false,
                .buffer_wanted_bytes = 6,
                .buffer_given_bytes = 5},
               bad);
  EXPECT_EQ(bad.count(Verdict::kWarning), 2U);
  EXPECT_THAT(to_text(bad), HasSubstr("sysctl net.core.rmem_max=6"));
}

TEST(DoctorHost, holder_ng_and_sip_server) {
  DaemonState daemon = running();
  Report report;
  judge_holder("/h", daemon, {}, report);
  daemon.holder_connected = true;
  judge_holder("/h", daemon, {}, report);
  judge_holder("/h", DaemonState{}, {ENOENT, false}, report);
  judge_holder("/h", DaemonState{}, {}, report);
  judge_ng("/ng", "", report);
  judge_ng("/ng", "no reply in time", report);
  ListenerFacts target{.key = "t", .address = *parse_socket_address("127.0.0.1:7201")};
  judge_sip_target(target, report);
  target.held = true;
  judge_sip_target(target, report);
  target.holder = {4, "asterisk"};
  judge_sip_target(target, report);
  target.program = "kamailio";
  judge_sip_target(target, report);
  std::string verdicts;
  for (const Finding& one : report.findings()) {
    verdicts += one.verdict == Verdict::kOk ? "." : "F";
  }
  EXPECT_EQ(verdicts, "F.F..FF..F");
  EXPECT_THAT(report.findings().back().saw, HasSubstr("is taken by asterisk (process 4)"));
}

TEST(DoctorReport, text_and_json_hold_the_same) {
  Report report;
  report.ok("clock", "fine");
  report.sentence(Verdict::kWarning, "files", "FILE: ends soon; renew it; today");
  report.failed("zone", "evil \x1b[2J name", "do something");
  EXPECT_EQ(to_text(report),
            "ok       clock: fine\n"
            "warning  files: FILE: ends soon\n"
            "         -> renew it; today\n"
            "FAILED   zone: evil ?[2J name\n"
            "         -> do something\n"
            "1 failed, 0 unclear, 1 warnings, 1 ok\n");
  const std::string json = to_json(report);
  EXPECT_THAT(json, HasSubstr("\"failed\": 1"));
  EXPECT_THAT(json, HasSubstr("\"verdict\": \"warning\""));
  EXPECT_THAT(json, HasSubstr("evil \\u001b[2J name"));
}

}  // namespace
}  // namespace turnpike::doctor
