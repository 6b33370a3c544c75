// Lines of the log about one call: what was agreed on, silence, its end with figures.
#pragma once

#include <array>
#include <map>
#include <string>

#include "control/call/call_service.h"
#include "control/diagnosis/diagnosis.h"
#include "control/log/log.h"
#include "turnpike/stats.h"

namespace turnpike {

/// The parameters are those of CallService::Environment.
class CallLog {
 public:
  /// `log` outlives this.
  explicit CallLog(log::Log& log) : log_(log) {}

  void what(log::Level level, const call::CallSummary& call, const std::string& what);
  void end(const call::CallSummary& call, const std::string& why,
           const std::map<SessionId, SessionStats>& stats,
           const std::array<diagnosis::Verdict, 2>& verdicts);
  void silence(const call::CallSummary& call, const call::SessionSummary& session, Side side,
               const diagnosis::Verdict& verdict);

 private:
  log::Log& log_;
};

}  // namespace turnpike
