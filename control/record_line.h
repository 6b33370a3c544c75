// The record of a call that has ended, for billing and quality: one line of JSON (docs/records.md).
// Never a key, SDP or anything else that is secret.
#pragma once

#include <array>
#include <chrono>
#include <map>
#include <string>

#include "control/call/call_service.h"
#include "control/diagnosis/diagnosis.h"
#include "turnpike/stats.h"

namespace turnpike {

/// Raised when a field changes its meaning or goes; new fields do not raise it.
constexpr int kCallRecordVersion = 1;
/// How every record begins.
constexpr const char* kCallRecordBegin = "{\"version\":";

struct CallEnd {
  std::string node;
  call::CallSummary call;
  std::string why;
  const std::map<SessionId, SessionStats>& stats;
  const std::array<diagnosis::Verdict, 2>& verdicts;
};

/// Without the line's end.
std::string call_record(const CallEnd& end);

}  // namespace turnpike
