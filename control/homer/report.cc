#include "control/homer/report.h"

#include <algorithm>
#include <cmath>

#include <nlohmann/json.hpp>

namespace turnpike::homer {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kReceiverReport = 201;         // RFC 3550 section 12.1
constexpr std::int32_t kLostMax = 0x7fffff;  // 24 bits with a sign

double rounded(double value) {
  return std::round(value * 1000) / 1000;
}

/// What a remote end named may be no UTF-8: replaced, never thrown.
std::string text_of(const Json& json) {
  return json.dump(-1, ' ', true, Json::error_handler_t::replace);
}

}  // namespace

std::string_view sip_call_id(std::string_view call_id) {
  return call_id.substr(0, call_id.find(','));
}

std::uint8_t fraction_lost(const StreamStats& stream, const Reported& before) {
  if (stream.packets < before.packets || stream.packets_lost <= before.packets_lost) return 0;
  const std::uint64_t lost = stream.packets_lost - before.packets_lost;
  const std::uint64_t expected = stream.packets - before.packets + lost;
  return static_cast<std::uint8_t>(std::min<std::uint64_t>(lost * 256 / expected, 255));
}

std::string receiver_report(const StreamStats& stream, const Reported& before) {
  const auto lost = std::min<std::uint32_t>(stream.packets_lost, kLostMax);
  return text_of({{"type", kReceiverReport},
                  {"ssrc", 0},
                  {"report_count", 1},
                  {"report_blocks",
                   {{{"source_ssrc", stream.ssrc},
                     {"fraction_lost", fraction_lost(stream, before)},
                     {"packets_lost", lost},
                     {"ia_jitter", stream.jitter},
                     {"lsr", 0},
                     {"dlsr", 0}}}}});
}

std::string final_report(const StreamStats& stream, const StreamEnd& end) {
  const double rate = end.clock_rate_hz == 0 ? 8000.0 : end.clock_rate_hz;
  const auto since =
      std::chrono::duration_cast<std::chrono::milliseconds>(end.when.time_since_epoch());
  Json json{{"CORRELATION_ID", end.call_id},
            {"RTP_SIP_CALL_ID", end.call_id},
            {"TYPE", "FINAL"},
            {"REPORT_TS", static_cast<double>(since.count()) / 1000},
            {"SSRC", stream.ssrc},
            {"PARTY", index_of(end.side)},
            {"SRC_IP", to_string(end.ends.remote.ip)},
            {"SRC_PORT", end.ends.remote.port},
            {"DST_IP", to_string(end.ends.local.ip)},
            {"DST_PORT", end.ends.local.port},
            {"CODEC_PT", stream.payload_type},
            {"CLOCK", static_cast<std::uint32_t>(rate)},
            {"TOTAL_PK", stream.packets},
            {"EXPECTED_PK", stream.packets + stream.packets_lost},
            {"PACKET_LOSS", stream.packets_lost},
            {"TL_BYTE", stream.bytes},
            {"JITTER", rounded(stream.jitter * 1000.0 / rate)}};
  if (const StreamQuality& quality = stream.quality; quality.samples != 0) {
    json["MEAN_JITTER"] = rounded(quality.average.jitter_us / 1000.0);
    json["MOS"] = quality.average.mos_hundredths / 100.0;
    json["MEAN_MOS"] = quality.average.mos_hundredths / 100.0;
    json["MIN_MOS"] = quality.lowest.mos_hundredths / 100.0;
    if (quality.average.round_trip_us != 0) {
      json["ROUND_TRIP"] = rounded(quality.average.round_trip_us / 1000.0);
    }
  }
  json["VERDICT"] = end.verdict;
  json["WHY"] = end.why;
  return text_of(json);
}

}  // namespace turnpike::homer
