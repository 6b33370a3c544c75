// Sends the log's lines to a syslog receiver, one datagram each: on this host through a unix
// socket, or over UDP (RFC 5426). Hides: the socket, and finding a receiver again that was
// restarted. Never waits: what the receiver does not take at once is lost and counted.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>

#include <spdlog/sinks/base_sink.h>

#include "control/log/syslog_target.h"

namespace turnpike::log {

class SyslogSink : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit SyslogSink(SyslogTarget target);
  ~SyslogSink() override;
  SyslogSink(const SyslogSink&) = delete;
  SyslogSink& operator=(const SyslogSink&) = delete;

  /// Messages that the receiver did not get, as far as the kernel tells. Any thread may ask.
  std::uint64_t lost() const { return lost_.load(std::memory_order_relaxed); }

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override;
  void flush_() override {}

 private:
  bool open();
  void shut();
  bool send(const std::string& message);

  const SyslogTarget target_;
  const std::string host_name_;
  int descriptor_ = -1;
  std::chrono::steady_clock::time_point open_again_at_{};
  std::uint32_t sequence_ = 0;
  std::atomic<std::uint64_t> lost_{0};
};

}  // namespace turnpike::log
