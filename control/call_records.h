// Records of ended calls in the file that [records] names. Hides: the file's thread, what is said
// when the disk is full, and that a line outlives the process until it is in the file.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>

#include "control/call/call_service.h"
#include "control/diagnosis/diagnosis.h"
#include "control/log/log.h"
#include "control/log/record_file.h"
#include "turnpike/relay.h"
#include "turnpike/stats.h"

namespace turnpike {

class CallRecords {
 public:
  /// `log` outlives this.
  CallRecords(std::string node, log::Log& log) : node_(std::move(node)), log_(log) {}

  /// Where a line stays until it is in the file, so that a process after this one finds it;
  /// `relay` is used until finish(). At most so many lines.
  void keep_in(Relay& relay, std::size_t kept_max);
  /// Writes to this file from now on; opens it anew when it is the same.
  void set(log::RecordFileOptions options);
  bool enabled() const { return enabled_; }
  /// As CallService::Environment::adopt_end: writes the line unless it is in the file already.
  bool adopt(std::uint64_t key, const std::string& bytes);
  /// As CallService::Environment::ended; the blob of the call is this one's from now on.
  void end(const call::CallSummary& call, const std::string& why,
           const std::map<SessionId, SessionStats>& stats,
           const std::array<diagnosis::Verdict, 2>& verdicts);
  /// Tells in the log when the file cannot be written, once, and when it can again.
  void on_tick();
  /// Forgets the lines that are in the file. Call it often.
  void settle();
  /// Waits for the file, for a second at most; what is still not in it stays kept. The last call.
  void finish();

  log::RecordFile::Counters counters() const {
    return file_ ? file_->counters() : log::RecordFile::Counters{};
  }

 private:
  struct Kept {
    std::uint64_t ticket = 0;  // of RecordFile
    std::uint64_t key = 0;
  };

  void forget(std::uint64_t key);

  const std::string node_;
  log::Log& log_;
  bool enabled_ = false;
  std::unique_ptr<log::RecordFile> file_;  // once it was wanted
  bool troubled_ = false;
  Relay* relay_ = nullptr;
  std::size_t kept_max_ = 0;
  std::deque<Kept> kept_;  // lines on their way to the file, oldest first
};

}  // namespace turnpike
