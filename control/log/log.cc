// The log on top of spdlog's asynchronous logger.
#include "control/log/log.h"

#include <algorithm>
#include <array>
#include <future>
#include <map>
#include <thread>

#include <spdlog/async.h>
#include <spdlog/sinks/systemd_sink.h>
#include <unistd.h>

#include "control/log/stream_sink.h"
#include "control/log/syslog_sink.h"

namespace turnpike::log {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kQueueLines = 8192;
constexpr std::int64_t kBurstLines = 10;
constexpr std::chrono::seconds kLinePeriod{1};
constexpr std::chrono::seconds kLastWordsMax{1};
constexpr std::array<std::string_view, 4> kLevelNames{"debug", "info", "warning", "error"};
constexpr std::array<spdlog::level::level_enum, 4> kSpdlogLevels{
    spdlog::level::debug, spdlog::level::info, spdlog::level::warn, spdlog::level::err};

void append_value(std::string& line, std::string_view value) {
  constexpr std::string_view kHex = "0123456789abcdef";
  const bool cut = value.size() > kValueBytesMax;
  value = value.substr(0, kValueBytesMax);
  const bool plain = !value.empty() && !cut && std::all_of(value.begin(), value.end(), [](char c) {
    return c > ' ' && c < 0x7f && c != '"' && c != '=' && c != '\\';
  });
  if (plain) {
    line += value;
    return;
  }
  line += '"';
  for (const char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      line += {'\\', c};
    } else if (byte < 0x20 || byte >= 0x7f) {
      line += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
    } else {
      line += c;
    }
  }
  line += cut ? "...\"" : "\"";
}

/// Ten lines at once, then one a second.
struct Repetition {
  std::int64_t tokens = kBurstLines;
  Clock::time_point refilled{};
  std::uint64_t suppressed = 0;

  bool take(Clock::time_point now) {
    const auto periods = (now - refilled) / kLinePeriod;
    if (periods > 0) {
      tokens = std::min<std::int64_t>(kBurstLines, tokens + periods);
      refilled = tokens == kBurstLines ? now : refilled + periods * kLinePeriod;
    }
    if (tokens == 0) return false;
    --tokens;
    return true;
  }
};

}  // namespace

std::string_view name_of(Level level) {
  return kLevelNames[static_cast<std::size_t>(level)];
}

std::optional<Level> parse_level(std::string_view name) {
  const auto found = std::find(kLevelNames.begin(), kLevelNames.end(), name);
  if (found == kLevelNames.end()) return std::nullopt;
  return static_cast<Level>(found - kLevelNames.begin());
}

std::string logfmt(std::string_view event, Fields fields) {
  std::string line = "event=";
  append_value(line, event);
  for (const Field& field : fields) {
    line += ' ';
    line += field.key();
    line += '=';
    append_value(line, field.value());
  }
  return line;
}

struct Log::State {
  Options options;
  std::shared_ptr<spdlog::details::thread_pool> writer;
  std::shared_ptr<spdlog::logger> logger;
  std::shared_ptr<StreamSink> stream;  // unset with the journal
  std::vector<std::shared_ptr<SyslogSink>> syslog;
  std::map<std::string, Repetition, std::less<>> repetitions;  // by event: literals, so bounded
  Counters counters;

  void open() {
    std::vector<spdlog::sink_ptr> sinks;
    if (options.target == Target::kJournal) {
      sinks.push_back(std::make_shared<spdlog::sinks::systemd_sink_mt>("turnpiked"));
      sinks.back()->set_pattern("%v");
    } else {
      stream = std::make_shared<StreamSink>(options.descriptor);
      sinks.push_back(stream);
    }
    for (const SyslogTarget& target : options.syslog) {
      syslog.push_back(std::make_shared<SyslogSink>(target));
      sinks.push_back(syslog.back());
    }
    writer = std::make_shared<spdlog::details::thread_pool>(kQueueLines, 1);
    logger = std::make_shared<spdlog::async_logger>("turnpiked", sinks.begin(), sinks.end(), writer,
                                                    spdlog::async_overflow_policy::overrun_oldest);
    logger->set_level(spdlog::level::debug);
    logger->flush_on(spdlog::level::debug);
  }

  /// The pool's end waits for its thread, and that perhaps for a reader who has stopped reading:
  /// then it is left behind, as the process ends anyway.
  void close() {
    std::promise<void> closed;
    const std::future<void> end = closed.get_future();
    std::thread([logger = std::move(logger), writer = std::move(writer),
                 closed = std::move(closed)]() mutable {
      logger.reset();
      writer.reset();
      closed.set_value();
    }).detach();
    end.wait_for(kLastWordsMax);
  }

  /// False when the line is one too many; `suppressed` tells how many were before this one.
  bool admit(Level level, std::string_view event, std::uint64_t& suppressed) {
    if (level < Level::kWarning) return true;
    auto found = repetitions.find(event);
    if (found == repetitions.end()) {
      found = repetitions.emplace(std::string(event), Repetition{}).first;
      found->second.refilled = options.clock();
    }
    Repetition& repetition = found->second;
    if (!repetition.take(options.clock())) {
      ++repetition.suppressed;
      ++counters.suppressed;
      return false;
    }
    suppressed = std::exchange(repetition.suppressed, 0);
    return true;
  }

  void put(Level level, const std::string& text) {
    const std::string line = "level=" + std::string(name_of(level)) + ' ' + text;
    ++counters.lines;
    if (options.capture) {
      options.capture(level, line);
    } else {
      // The line is an argument, never a format string: it holds bytes from outside.
      logger->log(kSpdlogLevels[static_cast<std::size_t>(level)], "{}", line);
    }
  }
};

Log::Log(Options options) : state_(std::make_unique<State>()) {
  state_->options = std::move(options);
  if (!state_->options.clock) state_->options.clock = [] { return Clock::now(); };
  if (!state_->options.capture) state_->open();
}

Log::~Log() {
  if (state_->writer) state_->close();
}

void Log::write(Level level, std::string_view event, Fields fields) {
  State& state = *state_;
  if (level < state.options.level) return;
  std::uint64_t suppressed = 0;
  if (!state.admit(level, event, suppressed)) return;
  std::string text = logfmt(event, fields);
  if (suppressed > 0) text += " suppressed=" + std::to_string(suppressed);
  state.put(level, text);
}

void Log::audit(std::string_view event, Fields fields) {
  state_->put(Level::kInfo, logfmt(event, fields));
}

void Log::set_level(Level level) {
  state_->options.level = level;
}

Level Log::level() const {
  return state_->options.level;
}

Log::Counters Log::counters() const {
  Counters counters = state_->counters;
  if (state_->writer) counters.lost = state_->writer->overrun_counter();
  if (state_->stream) counters.lost += state_->stream->lost();
  for (const auto& sink : state_->syslog) counters.syslog_lost += sink->lost();
  return counters;
}

}  // namespace turnpike::log
