// Records of ended calls in the file that [records] names. Hides: the file's thread, what is said
// when the disk is full.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "control/call/call_service.h"
#include "control/diagnosis/diagnosis.h"
#include "control/log/log.h"
#include "control/log/record_file.h"
#include "turnpike/stats.h"

namespace turnpike {

class CallRecords {
 public:
  /// `log` outlives this.
  CallRecords(std::string node, log::Log& log) : node_(std::move(node)), log_(log) {}

  /// Writes to this file from now on; opens it anew when it is the same.
  void set(log::RecordFileOptions options);
  /// As CallService::Environment::ended.
  void end(const call::CallSummary& call, const std::string& why,
           const std::map<SessionId, SessionStats>& stats,
           const std::array<diagnosis::Verdict, 2>& verdicts);
  /// Tells in the log when the file cannot be written, once, and when it can again.
  void on_tick();

  log::RecordFile::Counters counters() const {
    return file_ ? file_->counters() : log::RecordFile::Counters{};
  }

 private:
  const std::string node_;
  log::Log& log_;
  bool enabled_ = false;
  std::unique_ptr<log::RecordFile> file_;  // once it was wanted
  bool troubled_ = false;
};

}  // namespace turnpike
