#include "control/call_records.h"

#include <chrono>

#include "control/loop/event_loop.h"
#include "control/record_line.h"

namespace turnpike {

void CallRecords::set(log::RecordFileOptions options) {
  options.line_begin = kCallRecordBegin;
  enabled_ = !options.path.empty();
  if (file_) return file_->reopen(std::move(options));
  if (enabled_) file_ = std::make_unique<log::RecordFile>(std::move(options));
}

void CallRecords::end(const call::CallSummary& call, const std::string& why,
                      const std::map<SessionId, SessionStats>& stats,
                      const std::array<diagnosis::Verdict, 2>& verdicts) {
  if (!enabled_) return;
  file_->write(call_record({.node = node_,
                            .call = call,
                            .why = why,
                            .stats = stats,
                            .verdicts = verdicts,
                            .now = loop::EventLoop::now(),
                            .date = std::chrono::system_clock::now()}));
}

void CallRecords::on_tick() {
  if (!enabled_) {
    troubled_ = false;  // nothing works again: nothing is written any more
    return;
  }
  const std::string trouble = file_->trouble();
  if (trouble.empty() == !troubled_) return;
  troubled_ = !trouble.empty();
  if (!troubled_) return log_.info("records_written", {{"lost", file_->counters().lost}});
  log_.error("records_lost", {{"reason", trouble},
                              {"lost", file_->counters().lost},
                              {"hint",
                               "make room, or name another file and reload; each call's "
                               "record is tried anew"}});
}

}  // namespace turnpike
