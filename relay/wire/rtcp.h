// Of whose streams an RTCP compound speaks: report blocks and feedback (RFC 3550 section 6.4,
// RFC 4585 section 6, RFC 5104 section 4). What sender reports and feedback say is not looked at.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "relay/core/bytes.h"

namespace turnpike {
namespace rtcp_detail {

constexpr std::size_t kReportBlockBytes = 24;
constexpr std::size_t kFeedbackHeaderBytes = 12;

/// Calls visit for SSRCs from `at` on, each `step` bytes, at most `count` of them.
template <typename Visit>
bool visit_list(const std::uint8_t* packet, std::size_t bytes, std::size_t at, std::size_t step,
                std::size_t count, Visit&& visit) {
  for (; count != 0 && at + 4 <= bytes; --count, at += step) {
    if (visit(read_be32(packet + at))) return true;
  }
  return false;
}

template <typename Visit>
bool visit_feedback(const std::uint8_t* packet, std::size_t bytes, Visit&& visit) {
  constexpr std::uint8_t kTransport = 205;  // as opposed to payload-specific, 206
  constexpr std::uint32_t kRemb = 0x52454d42;
  if (bytes < kFeedbackHeaderBytes) return false;
  const std::uint8_t format = packet[0] & 0x1fU;
  const bool transport = packet[1] == kTransport;
  const std::uint32_t media = read_be32(packet + 8);
  if (media != 0 && visit(media)) return true;
  // TMMBR, TMMBN and FIR name their senders in entries of eight bytes.
  if (transport ? format == 3 || format == 4 : format == 4) {
    return visit_list(packet, bytes, kFeedbackHeaderBytes, 8, bytes, visit);
  }
  // The receiver's estimate of browsers: "REMB", a count in the next byte, SSRCs.
  if (!transport && format == 15 && bytes >= 20 && read_be32(packet + 12) == kRemb) {
    return visit_list(packet, bytes, 20, 4, packet[16], visit);
  }
  return false;
}

}  // namespace rtcp_detail

/// What a report block says that a round trip is made of (RFC 3550 section 6.4.1).
struct ReportBlock {
  std::uint32_t ssrc = 0;         ///< whose packets it is about
  std::uint32_t last_report = 0;  ///< LSR; 0: none came
  std::uint32_t delay_since = 0;  ///< DLSR, in 1/65536 s
};

/// Calls visit(ReportBlock) for each block of the compound, which is one that
/// rtcp_compound_is_valid.
template <typename Visit>
void visit_report_blocks(const std::uint8_t* data, std::size_t length, Visit&& visit) {
  for (std::size_t at = 0; at + 4 <= length;) {
    const std::uint8_t* packet = data + at;
    const std::size_t bytes = std::min((std::size_t{read_be16(packet + 2)} + 1) * 4, length - at);
    const std::size_t first = packet[1] == 200 ? 28 : packet[1] == 201 ? 8 : bytes;
    const std::size_t count = packet[0] & 0x1fU;
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t block = first + i * rtcp_detail::kReportBlockBytes;
      if (block + rtcp_detail::kReportBlockBytes > bytes) break;
      visit(ReportBlock{read_be32(packet + block), read_be32(packet + block + 16),
                        read_be32(packet + block + 20)});
    }
    at += bytes;
  }
}

/// Calls visit(ssrc) for each SSRC that the compound reports on or asks something of, until visit
/// returns true; returns whether it did. The compound is one that rtcp_compound_is_valid.
template <typename Visit>
bool visit_rtcp_targets(const std::uint8_t* data, std::size_t length, Visit&& visit) {
  using namespace rtcp_detail;
  for (std::size_t at = 0; at + 4 <= length;) {
    const std::uint8_t* packet = data + at;
    const std::size_t bytes = std::min((std::size_t{read_be16(packet + 2)} + 1) * 4, length - at);
    const std::size_t count = packet[0] & 0x1fU;
    bool found = false;
    switch (packet[1]) {
      case 200:  // SR
        found = visit_list(packet, bytes, 28, kReportBlockBytes, count, visit);
        break;
      case 201:  // RR
        found = visit_list(packet, bytes, 8, kReportBlockBytes, count, visit);
        break;
      case 205:
      case 206:
        found = visit_feedback(packet, bytes, visit);
        break;
      default:
        break;
    }
    if (found) return true;
    at += bytes;
  }
  return false;
}

}  // namespace turnpike
