// What a capture server is told of a stream.
#include "control/homer/report.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace turnpike::homer {
namespace {

using nlohmann::json;

StreamStats stream(std::uint64_t packets, std::uint32_t lost) {
  StreamStats stats;
  stats.ssrc = 0xdeadbeef;
  stats.payload_type = 8;
  stats.packets = packets;
  stats.packets_lost = lost;
  stats.bytes = packets * 172;
  stats.jitter = 160;
  return stats;
}

StreamEnd ending() {
  StreamEnd end;
  end.call_id = "a@b";
  end.side = Side::kB;
  end.ends = {*parse_socket_address("192.0.2.1:36000"), *parse_socket_address("10.0.0.9:4000")};
  end.clock_rate_hz = 8000;
  end.verdict = "healthy";
  end.why = "deleted";
  end.when = std::chrono::system_clock::time_point(std::chrono::milliseconds(1'700'000'000'250));
  return end;
}

TEST(HomerReport, fraction_lost_is_that_since_the_report_before) {
  EXPECT_EQ(fraction_lost(stream(100, 0), {}), 0);
  EXPECT_EQ(fraction_lost(stream(75, 25), {}), 64);
  EXPECT_EQ(fraction_lost(stream(1075, 50), {1000, 25}), 64);
  EXPECT_EQ(fraction_lost(stream(1100, 25), {1000, 25}), 0);
  EXPECT_EQ(fraction_lost(stream(1000, 100), {1000, 0}), 255) << "all of it: 256 does not fit";
  EXPECT_EQ(fraction_lost(stream(1000, 10), {1000, 20}), 0) << "late ones came after all";
  EXPECT_EQ(fraction_lost(stream(10, 5), {1000, 0}), 0) << "a new stream of an old number";
  EXPECT_EQ(fraction_lost(stream(0, 0), {}), 0);
}

TEST(HomerReport, a_receiver_report_is_that_of_rtcp_as_json) {
  const json report = json::parse(receiver_report(stream(75, 25), {}));
  EXPECT_EQ(report, (json{{"type", 201},
                          {"ssrc", 0},
                          {"report_count", 1},
                          {"report_blocks", json::array({{{"source_ssrc", 0xdeadbeef},
                                                          {"fraction_lost", 64},
                                                          {"packets_lost", 25},
                                                          {"ia_jitter", 160},
                                                          {"lsr", 0},
                                                          {"dlsr", 0}}})}}));
  const json most = json::parse(receiver_report(stream(1, 0xffffffff), {}));
  EXPECT_EQ(most["report_blocks"][0]["packets_lost"], 0x7fffff) << "24 bits with a sign";
}

TEST(HomerReport, the_final_one_tells_totals_and_addresses) {
  const json report = json::parse(final_report(stream(75, 25), ending()));
  EXPECT_EQ(report["TYPE"], "FINAL");
  EXPECT_EQ(report["CORRELATION_ID"], "a@b");
  EXPECT_EQ(report["SSRC"], 0xdeadbeef);
  EXPECT_EQ(report["PARTY"], 1);
  EXPECT_EQ(report["SRC_IP"], "10.0.0.9");
  EXPECT_EQ(report["SRC_PORT"], 4000);
  EXPECT_EQ(report["DST_IP"], "192.0.2.1");
  EXPECT_EQ(report["DST_PORT"], 36000);
  EXPECT_EQ(report["TOTAL_PK"], 75);
  EXPECT_EQ(report["EXPECTED_PK"], 100);
  EXPECT_EQ(report["PACKET_LOSS"], 25);
  EXPECT_EQ(report["JITTER"], 20.0) << "milliseconds";
  EXPECT_EQ(report["REPORT_TS"], 1'700'000'000.25);
  EXPECT_EQ(report["VERDICT"], "healthy");
  EXPECT_FALSE(report.contains("MOS")) << "shorter than a sample, or no audio";
}

TEST(HomerReport, audio_has_a_mean_opinion_score) {
  StreamStats one = stream(1000, 0);
  one.quality.samples = 4;
  one.quality.average = {.mos_hundredths = 411, .jitter_us = 1500, .round_trip_us = 42000};
  one.quality.lowest.mos_hundredths = 350;
  const json report = json::parse(final_report(one, ending()));
  EXPECT_EQ(report["MOS"], 4.11);
  EXPECT_EQ(report["MIN_MOS"], 3.5);
  EXPECT_EQ(report["MEAN_JITTER"], 1.5);
  EXPECT_EQ(report["ROUND_TRIP"], 42.0);
}

TEST(HomerReport, what_a_remote_end_named_stays_one_value) {
  StreamEnd end = ending();
  end.call_id = "x\",\"TYPE\":\"forged\n\xff@b";
  const std::string text = final_report(stream(1, 0), end);
  EXPECT_EQ(json::parse(text)["TYPE"], "FINAL");
  EXPECT_EQ(text.find('\n'), std::string::npos);
}

TEST(HomerReport, a_pass_of_the_sidecar_is_no_part_of_the_call_id) {
  EXPECT_EQ(sip_call_id("a@b,z9hG4bK1"), "a@b");
  EXPECT_EQ(sip_call_id("a@b"), "a@b");
  EXPECT_EQ(sip_call_id(""), "");
}

}  // namespace
}  // namespace turnpike::homer
