#include "control/call_records.h"

#include "control/record_line.h"

namespace turnpike {

void CallRecords::set(log::RecordFileOptions options) {
  options.line_begin = kCallRecordBegin;
  enabled_ = !options.path.empty();
  if (file_) return file_->reopen(std::move(options));
  if (enabled_) file_ = std::make_unique<log::RecordFile>(std::move(options));
}

void CallRecords::keep_in(Relay& relay, std::size_t kept_max) {
  relay_ = &relay;
  kept_max_ = kept_max;
}

void CallRecords::forget(std::uint64_t key) {
  if (relay_ != nullptr) relay_->erase_record(key);
}

bool CallRecords::adopt(std::uint64_t key, const std::string& bytes) {
  if (!bytes.starts_with(kCallRecordBegin)) return false;
  if (enabled_) {
    kept_.push_back({file_->write_unless_there(bytes), key});
  } else {
    forget(key);
  }
  return true;
}

void CallRecords::end(const call::CallSummary& call, const std::string& why,
                      const std::map<SessionId, SessionStats>& stats,
                      const std::array<diagnosis::Verdict, 2>& verdicts) {
  settle();
  if (!enabled_) return forget(call.record_key);
  std::string line =
      call_record({.node = node_, .call = call, .why = why, .stats = stats, .verdicts = verdicts});
  // Before the file has it: a death between the two leaves it here or in both, never in none.
  const bool has_room = relay_ != nullptr && kept_.size() < kept_max_;
  const bool is_kept = has_room && relay_->store_record(call.record_key, line);
  const std::uint64_t ticket = file_->write(std::move(line));
  if (is_kept) {
    kept_.push_back({ticket, call.record_key});
  } else {
    forget(call.record_key);
  }
}

void CallRecords::settle() {
  if (kept_.empty()) return;
  const std::uint64_t done = file_->done();
  for (; !kept_.empty() && kept_.front().ticket <= done; kept_.pop_front()) {
    forget(kept_.front().key);
  }
}

void CallRecords::finish() {
  if (file_) file_->finish();
  settle();
  relay_ = nullptr;
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
