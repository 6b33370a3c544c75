// The daemon's log: one line per event, as `ts=… level=… event=… key=value …` (logfmt).
// Hides: the logging library, the thread that writes, escaping, the limit on repeated warnings.
// Used by the control thread only; the relay does not log. A line never waits for the disk: when
// the writer falls behind, the oldest lines are lost and counted; when the reader of standard
// output stalls, so are the lines that find no room there.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "control/config/secret.h"
#include "control/log/syslog_target.h"
#include "turnpike/address.h"

namespace turnpike::log {

enum class Level : std::uint8_t { kDebug = 0, kInfo = 1, kWarning = 2, kError = 3 };
enum class Target : std::uint8_t { kStdout, kJournal };

/// One key=value of a line. Keys are literals of our own; values may come from anywhere: they are
/// escaped and cut to kValueBytesMax. A Secret cannot become a value.
class Field {
 public:
  Field(std::string_view key, std::string_view value) : key_(key), value_(value) {}
  Field(std::string_view key, const std::string& value) : key_(key), value_(value) {}
  Field(std::string_view key, const char* value) : key_(key), value_(value) {}
  Field(std::string_view key, bool value) : key_(key), value_(value ? "true" : "false") {}
  template <typename T>
  requires std::is_integral_v<T> Field(std::string_view key, T value)
      : key_(key), value_(std::to_string(value)) {}
  Field(std::string_view key, const SocketAddress& value) : key_(key), value_(to_string(value)) {}
  Field(std::string_view key, const Secret& value) = delete;

  std::string_view key() const { return key_; }
  const std::string& value() const { return value_; }

 private:
  std::string_view key_;
  std::string value_;
};
using Fields = std::initializer_list<Field>;

/// "debug", "info", "warning", "error".
std::string_view name_of(Level level);
/// Unset: there is no such level.
std::optional<Level> parse_level(std::string_view name);

constexpr std::size_t kValueBytesMax = 512;

/// "event=call_end call_id=abc@host reason=\"no media\"": control bytes and anything that is not
/// ASCII become \xNN, so that a line stays a line and a terminal shows what was logged.
std::string logfmt(std::string_view event, Fields fields);

struct Options {
  Level level = Level::kInfo;  ///< less important lines are not written
  Target target = Target::kStdout;
  int descriptor = 1;                  ///< what kStdout writes to; tests have their own
  std::vector<SyslogTarget> syslog{};  ///< where lines go as well
  /// For tests: takes each line, without its time, at once instead of the target.
  std::function<void(Level, const std::string& line)> capture;
  /// Clock of the limit on repeated warnings; default steady_clock.
  std::function<std::chrono::steady_clock::time_point()> clock;
};

class Log {
 public:
  explicit Log(Options options);
  ~Log();  ///< writes what is queued, for a second at most
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  void debug(std::string_view event, Fields fields = {}) { write(Level::kDebug, event, fields); }
  void info(std::string_view event, Fields fields = {}) { write(Level::kInfo, event, fields); }
  /// Warnings and errors of one event name are limited: ten at once, then one a second; the next
  /// line that is written says how many were `suppressed`.
  void warning(std::string_view event, Fields fields = {}) {
    write(Level::kWarning, event, fields);
  }
  void error(std::string_view event, Fields fields = {}) { write(Level::kError, event, fields); }
  void write(Level level, std::string_view event, Fields fields);
  /// Who did what: at level info, but written whatever the level is, and never suppressed.
  void audit(std::string_view event, Fields fields);

  void set_level(Level level);
  Level level() const;

  struct Counters {
    std::uint64_t lines = 0;        ///< handed to the writer
    std::uint64_t suppressed = 0;   ///< by the limit on repeated warnings
    std::uint64_t lost = 0;         ///< because the writer fell behind or had no room
    std::uint64_t syslog_lost = 0;  ///< not taken by a syslog receiver
  };
  Counters counters() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace turnpike::log
