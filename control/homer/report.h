// What is said of a stream, as JSON that capture servers know: a report in the form of an RTCP
// receiver report while a call is up, and the quality of the whole stream at its end. Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "control/call/leg_ends.h"
#include "turnpike/stats.h"

namespace turnpike::homer {

/// Of reports.
struct Counters {
  std::uint64_t sent = 0;
  std::uint64_t lost = 0;  ///< too many in a second, not taken by the kernel, or without figures
};

/// How far a stream was when it was reported last.
struct Reported {
  std::uint64_t packets = 0;
  std::uint32_t packets_lost = 0;
};

/// "CALL-ID,PASS" of the SIP sidecar without its pass: what the phones call it. There is no comma
/// in a Call-ID (RFC 3261 section 25.1).
std::string_view sip_call_id(std::string_view call_id);

/// Loss since `before` in parts of 256 (RFC 3550 appendix A.3).
std::uint8_t fraction_lost(const StreamStats& stream, const Reported& before);

/// A receiver report (type 201) on the stream as it reaches this node, with one block. `ssrc` of
/// who reports is 0: this node sends no RTCP of its own. Jitter in units of the RTP clock.
std::string receiver_report(const StreamStats& stream, const Reported& before);

struct StreamEnd {
  std::string_view call_id;  ///< as in SIP
  Side side = Side::kA;      ///< who sent the stream; A made the first offer
  call::LegEnds ends;
  std::uint32_t clock_rate_hz = 0;
  std::string_view verdict;  ///< on its leg
  std::string_view why;      ///< the call ended
  std::chrono::system_clock::time_point when{};
};

/// Totals, jitter in milliseconds, and for audio the mean opinion score, by the names that RTP
/// agents of Homer give them; TYPE is "FINAL".
std::string final_report(const StreamStats& stream, const StreamEnd& end);

}  // namespace turnpike::homer
