// `turnpikectl zone`: what people read.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/ctl/print.h"

namespace turnpike::ctl {
namespace {

using testing::HasSubstr;

const std::string kZone = R"({"zones": [{
  "name": "dmz", "kind": "uc", "role": "edge", "state": "down", "listen": "192.0.2.10:7001",
  "domains": ["example.com"],
  "certificate": {"subject": "CN=edge", "names": ["edge.example.com"], "sha256": "ab",
                  "expires_epoch_seconds": 1, "expires_in_days": 20.7},
  "files_trouble": null, "handshakes_waiting": 0, "streams_opened": 3,
  "streams_refused": {"peer_down": 2, "wrong_account": 0, "too_many": 0, "unknown_target": 0,
                      "not_connected": 0},
  "refused": [{"reason": "wrong_name", "count": 4, "meaning": "is for another name"}],
  "ended": [],
  "last_refusal": {"reason": "wrong_name", "meaning": "is for another name",
                   "detail": "wanted a, it has b\u001b[2J", "address": "10.0.0.1:99",
                   "age_seconds": 2.5},
  "peers": [{"name": "c1", "tls_name": "core.example.com", "address": null, "node": "core-1",
    "state": "down", "since_seconds": 75,
    "certificate": {"subject": "CN=core", "names": [], "sha256": "cd", "expires_epoch_seconds": 1,
                    "expires_in_days": -3.4},
    "connections": [
     {"purpose": "signalling, opened by the core", "state": "up", "since_seconds": 75,
      "address": "10.0.0.1:4", "tls": "TLSv1.3 X", "round_trip_ms": 12.34, "streams": 1,
      "bytes_received": 10, "bytes_sent": 20, "connected": 1, "last_error": null},
     {"purpose": "signalling, opened by the edge", "state": "down", "since_seconds": 5,
      "address": null, "tls": null, "round_trip_ms": null, "streams": 0, "bytes_received": 0,
      "bytes_sent": 0, "connected": 0,
      "last_error": {"reason": "silent", "meaning": "has not answered", "detail": "",
                     "address": null, "age_seconds": 5}}],
    "flows": [
     {"core_shard": 0, "number": 1, "state": "bound", "address": "10.0.0.1:9",
      "round_trip_ms": 0.26, "unanswered": 0},
     {"core_shard": 1, "number": 2, "state": "not bound", "address": null,
      "round_trip_ms": null, "unanswered": 9}]}]}]})";

TEST(CtlZones, tell_peers_certificates_and_errors) {
  const auto text = print_zones(kZone);
  ASSERT_TRUE(text);
  EXPECT_EQ(*text,
            "zone dmz, kind uc: down, this node is the edge, listens on 192.0.2.10:7001\n"
            "  certificate: CN=edge, names edge.example.com, ends in 20 days\n"
            "  domains: example.com\n"
            "  streams: 3 opened, refused: 2 peer_down\n"
            "  peer c1 (core.example.com): down, calls itself core-1\n"
            "    certificate: CN=core, names none, EXPIRED 3 days ago\n"
            "    signalling, opened by the core: up for 1:15, 10.0.0.1:4, TLSv1.3 X, round trip "
            "12.3 ms, 1 streams, 10 bytes received, 20 sent, connected 1 times\n"
            "    signalling, opened by the edge: down for 0:05, 0 bytes received, 0 sent, "
            "connected 0 times\n"
            "      last error: has not answered, 5.0 s ago\n"
            "    media: 1 of 2 flows bound, round trip 0.3 ms\n"
            "      no calls: the UDP ports of the edge are not reached from the core; look at the "
            "firewall's rule for them\n"
            "  refused 4: is for another name (wrong_name)\n"
            "  last refusal: is for another name (wanted a, it has b?[2J), 10.0.0.1:99, 2.5 s "
            "ago\n");
}

/// The answer about zones with this as the peer's measurement.
std::string with_measurement(const std::string& measurement) {
  std::string body = kZone;
  return body.insert(body.find("\"flows\""), "\"measurement\": " + measurement + ", ");
}

const std::string kFigures =
    R"(, "id": 7, "trouble": null, "age_seconds": 9.0, "seconds": 4, "mbit": 50,
  "idle": {"count": 9, "median_ms": 1.25, "longest_ms": 3.0},
  "sent": {"bytes": 5, "seconds": 4.0, "mbit_per_second": 49.96,
           "round_trips": {"count": 30, "median_ms": 2.0, "longest_ms": 40.5}},
  "received": {"bytes": 5, "seconds": 0.0, "mbit_per_second": null,
               "round_trips": {"count": 0, "median_ms": null, "longest_ms": null}}})";

TEST(CtlZones, a_measurement_is_waited_for_and_shown_as_a_table) {
  const auto text = [](const std::string& measurement) {
    return print_measurement(with_measurement(measurement), {"dmz/c1", 7}, false);
  };
  const auto begun = begun_measurement(R"({"peer": "dmz/c1", "id": 7, "seconds": 4, "mbit": 50})");
  EXPECT_EQ(begun->peer, "dmz/c1");
  EXPECT_EQ(begun->id, 7U);
  EXPECT_EQ(*text("{\"state\": \"running\"" + kFigures), "");
  EXPECT_EQ(*text("{\"state\": \"done\"" + kFigures),
            "dmz/c1, 50 Mbit/s at most, 4 s each way\n"
            "               GOODPUT      ROUND TRIP  LONGEST  TIMES\n"
            "idle           -            1.2 ms      3.0 ms   9\n"
            "to the edge    50.0 Mbit/s  2.0 ms      40.5 ms  30\n"
            "from the edge  -            -           -        0\n"
            "Round trips are those of the signalling connection.\n");
  EXPECT_THAT(text(R"({"state": "failed", "id": 7, "trouble": "gone\u001b"})").error().message,
              HasSubstr("failed: gone?"));
  EXPECT_FALSE(text("null"));
  for (const char* state : {"running", "done", "failed"}) {
    const std::string one = "{\"state\": \"" + std::string(state) + "\"" + kFigures;
    const auto another = print_measurement(with_measurement(one), {"dmz/c1", 6}, false);
    EXPECT_THAT(another.error().message, HasSubstr("has begun another one")) << state;
  }
  EXPECT_FALSE(print_measurement(kZone, {"dmz/c1", 0}, false)) << "an older turnpiked";
  EXPECT_FALSE(print_measurement(with_measurement("null"), {"dmz/c2", 7}, false));
}

TEST(CtlZones, none_is_said) {
  EXPECT_THAT(*print_zones(R"({"zones": []})"), HasSubstr("no zones"));
}

TEST(CtlZones, other_answers_are_refused) {
  EXPECT_FALSE(print_zones("{}"));
  EXPECT_FALSE(print_zones("nonsense"));
}

}  // namespace
}  // namespace turnpike::ctl
