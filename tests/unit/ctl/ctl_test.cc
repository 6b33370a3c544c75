// turnpikectl: text from answers, and what the program says when nobody answers.
#include <cstdio>
#include <cstdlib>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include "control/ctl/print.h"

namespace turnpike::ctl {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

const std::string kSessions = R"({"sessions": [
  {"id": "0-1-1", "kind": "audio", "call_id": "abc@host", "from_tag": "f1", "to_tag": "t1",
        "answered": true,
   "age_seconds": 75.5},
  {"id": "1-22-3", "kind": "video", "call_id": "evil\u001b[2J\u009b", "from_tag": "f", "to_tag": "",
   "answered": false, "age_seconds": 3675}]})";

const std::string kSession =
    R"({"id": "0-1-1", "kind": "audio", "call_id": "abc@host", "from_tag": "f1",
  "to_tag": "t1", "answered": true, "age_seconds": 5, "legs": {
  "a": {"interface": "outside", "local": "192.0.2.1:36000", "remote": "198.51.100.7:4000",
        "suite": "AEAD_AES_128_GCM", "packets_received": 500, "bytes_received": 86000,
        "rtcp_received": 2, "packets_sent": 499,
        "bytes_sent": 85000, "rtcp_sent": 1, "source_moves": 0, "last_packet_age_seconds": 0.02,
        "drops": [{"reason": "auth_failed", "packets": 3, "meaning": "tag does not verify"}],
        "streams": [{"ssrc": 305419896, "payload_type": 8, "packets": 500, "bytes": 86000,
          "packets_lost": 7, "jitter_timestamp_units": 12, "rtcp_packets": 2,
          "replays": 4, "auth_failures": 6,
          "rollover_counter": 0, "first_packet_age_seconds": 5, "last_packet_age_seconds": 0.02}]},
  "b": {"interface": "inside", "local": "192.0.2.1:36002", "remote": null, "suite": "none",
        "packets_received": 0, "bytes_received": 0, "rtcp_received": 0, "packets_sent": 0,
        "bytes_sent": 0, "rtcp_sent": 0, "source_moves": 0, "last_packet_age_seconds": null,
        "drops": [], "streams": []}}})";

TEST(CtlPrint, sessions_are_a_table) {
  const auto text = print_sessions(kSessions);
  ASSERT_TRUE(text);
  EXPECT_EQ(*text,
            "ID      KIND   AGE      STATE     CALL-ID     FROM-TAG  TO-TAG\n"
            "0-1-1   audio  1:15     answered  abc@host    f1        t1\n"
            "1-22-3  video  1:01:15  offered   evil?[2J??  f         -\n");
  EXPECT_EQ(*print_sessions(R"({"sessions": []})"), "no sessions\n");
}

TEST(CtlPrint, session_tells_legs_streams_and_drops) {
  const auto text = print_session(kSession);
  ASSERT_TRUE(text);
  EXPECT_THAT(*text, HasSubstr("leg A (made the offer), last packet 0.0 s ago\n"
                               "  outside, 192.0.2.1:36000 to 198.51.100.7:4000, SRTP "
                               "AEAD_AES_128_GCM\n"
                               "  received  500 packets, 86000 bytes, 2 RTCP\n"));
  EXPECT_THAT(*text, HasSubstr("  stream 305419896: payload type 8, 500 packets, 7 lost, jitter 12 "
                               "timestamp units, 4 replayed, 6 not authentic, last "
                               "0.0 s ago\n"));
  EXPECT_THAT(*text, HasSubstr("  dropped 3: tag does not verify (auth_failed)\n"));
  EXPECT_THAT(*text, HasSubstr("leg B (answered), last packet never\n"
                               "  inside, 192.0.2.1:36002 to nowhere, plain RTP\n"));
}

TEST(CtlPrint, session_tells_how_ice_and_dtls_stand) {
  std::string body = kSession;
  const std::string suite = "\"suite\": \"none\",";
  body.replace(body.find(suite), suite.size(), suite + R"("keying": "DTLS",
    "ice": {"state": "checking", "role": "controlled", "consent_seconds_left": null,
      "pairs": [{"local": "192.0.2.1:36000", "remote": "203.0.113.9:4321", "component": "rtp",
                 "type": "host",
                 "state": "in progress", "selected": false}]},
    "dtls": {"state": "waiting", "last_failure": {"reason": "timeout", "meaning": "no answer"}},)");
  const auto text = print_session(body);
  ASSERT_TRUE(text);
  EXPECT_THAT(*text, HasSubstr("to nowhere, SRTP by DTLS, no key yet\n"
                               "  ICE checking, we are controlled\n"
                               "    rtp 192.0.2.1:36000 to 203.0.113.9:4321 (host): in progress\n"
                               "  DTLS waiting; last failure: no answer (timeout)\n"));
}

TEST(CtlPrint, session_tells_why_there_is_no_audio) {
  std::string body = kSession;
  const std::string suite = "\"suite\": \"none\",";
  body.replace(body.find(suite), suite.size(), suite + R"(
    "verdicts": {"received": {"verdict": "wrong_source", "meaning": "from elsewhere",
                              "evidence": "5 packets", "remedy": "Mend it."},
                 "sent": {"verdict": "healthy", "meaning": "media passes", "evidence": "",
                          "remedy": ""}},)");
  const auto text = print_session(body);
  ASSERT_TRUE(text);
  EXPECT_THAT(*text, HasSubstr("  from it   wrong_source: from elsewhere (5 packets)\n"
                               "            Mend it.\n"
                               "  to it     healthy: media passes\n"));
}

TEST(CtlPrint, session_of_an_edge_tells_whose_keys_pass) {
  std::string body = kSession;
  const std::string suite = "\"suite\": \"none\",";
  body.replace(body.find(suite), suite.size(), suite + "\"keying\": \"keyless: dtls\",");
  const std::string local = "\"local\": \"192.0.2.1:36002\"";
  body.replace(body.find(local), local.size(), "\"local\": null");
  EXPECT_THAT(*print_session(body),
              HasSubstr("  inside, over the zone, SRTP of others, passed on (keyless: dtls)\n"));
}

TEST(CtlPrint, sessions_of_a_call) {
  EXPECT_THAT(*sessions_of_call(kSessions, "abc@host"), ElementsAre("0-1-1"));
  EXPECT_THAT(*sessions_of_call(kSessions, "abc"), IsEmpty());
}

TEST(CtlPrint, sessions_of_every_pass_of_a_call) {
  const std::string passes = R"({"sessions": [{"id": "0-1-1", "call_id": "abc@host,11"},
    {"id": "0-1-2", "call_id": "abc@host,22"}, {"id": "0-1-3", "call_id": "abc@hosts,33"},
    {"id": "0-1-4", "call_id": "z,abc@host"}]})";
  EXPECT_THAT(*sessions_of_call(passes, "abc@host"), ElementsAre("0-1-1", "0-1-2"));
  EXPECT_THAT(*sessions_of_call(passes, "abc@host,22"), ElementsAre("0-1-2"));
}

TEST(CtlPrint, answers_of_another_version_are_said_so) {
  for (const char* body : {"", "{}", "[]", "nonsense", "{\"sessions\": 5}",
                           "{\"sessions\": [{\"id\": 1}]}", "{\"sessions\": [5]}"}) {
    EXPECT_FALSE(print_sessions(body)) << body;
    EXPECT_FALSE(print_session(body)) << body;
    EXPECT_FALSE(print_status(body)) << body;
  }
  EXPECT_FALSE(sessions_of_call("5", "x"));
}

TEST(CtlPrint, failures) {
  EXPECT_EQ(print_failure(R"({"error": "there is no such session"})"), "there is no such session");
  EXPECT_EQ(print_failure("<html>"), "the request was refused");
}

struct Outcome {
  int code = -1;
  std::string text;
};

Outcome turnpikectl(const std::string& arguments) {
  Outcome outcome;
  FILE* pipe = popen((std::string(TURNPIKECTL) + " " + arguments + " 2>&1").c_str(), "r");
  char bytes[4096];
  std::size_t got = 0;
  while ((got = fread(bytes, 1, sizeof bytes, pipe)) > 0) outcome.text.append(bytes, got);
  outcome.code = WEXITSTATUS(pclose(pipe));
  return outcome;
}

TEST(CtlProgram, says_when_the_daemon_is_not_running) {
  const Outcome outcome = turnpikectl("--socket /nonexistent/api.sock status");
  EXPECT_EQ(outcome.code, 1);
  EXPECT_EQ(outcome.text,
            "turnpikectl: turnpiked is not running: nothing answers on /nonexistent/api.sock (No "
            "such file or directory); start it, or name its socket with --socket\n");
}

TEST(CtlProgram, output_that_cannot_be_written_is_a_failure) {
  for (const char* arguments : {"--version", "--help"}) {
    // The shell puts standard error where the text is read from, then standard output elsewhere.
    FILE* pipe =
        popen((std::string(TURNPIKECTL) + " " + arguments + " 2>&1 >/dev/full").c_str(), "r");
    char bytes[4096] = {};
    const std::size_t got = fread(bytes, 1, sizeof bytes - 1, pipe);
    EXPECT_EQ(WEXITSTATUS(pclose(pipe)), 1) << arguments;
    EXPECT_THAT(std::string(bytes, got), HasSubstr("cannot be written")) << arguments;
  }
  EXPECT_EQ(std::system(TURNPIKECTL " --version >&- 2>&- <&-"), 0) << "closed is as good as null";
}

TEST(CtlProgram, wrong_use_is_exit_code_2) {
  EXPECT_EQ(turnpikectl("").code, 2);
  EXPECT_EQ(turnpikectl("stauts").code, 2);
  EXPECT_EQ(turnpikectl("session").code, 2);
  EXPECT_EQ(turnpikectl("--help").code, 0);
  EXPECT_THAT(turnpikectl("--version").text, HasSubstr("turnpikectl "));
}

}  // namespace
}  // namespace turnpike::ctl
