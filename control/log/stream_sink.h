// Writes the log's lines to a descriptor whose reader may stall. Hides: how long a line waits for
// room, and what becomes of the rest of a line that was written in part.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>

#include <spdlog/sinks/base_sink.h>

namespace turnpike::log {

/// A line waits kPatience for room, the lines after it not at all until there is room again: those
/// are lost and counted.
class StreamSink : public spdlog::sinks::base_sink<std::mutex> {
 public:
  static constexpr int kPatienceMilliseconds = 500;

  /// `descriptor` is not closed.
  explicit StreamSink(int descriptor) : descriptor_(descriptor) {}

  /// Lines that did not reach the reader, or not whole. Any thread may ask.
  std::uint64_t lost() const { return lost_.load(std::memory_order_relaxed); }

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override;
  void flush_() override {}

 private:
  bool write_all(std::string_view text);
  bool has_room();

  int descriptor_;
  bool stalled_ = false;
  bool in_line_ = false;  ///< the last line was written in part
  std::atomic<std::uint64_t> lost_{0};
};

}  // namespace turnpike::log
