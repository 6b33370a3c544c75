// What a path between two nodes carries: bytes over a bulk connection, first to the other end, then
// from it, and the round trips of signalling meanwhile. Two engines, one for each end: streams, the
// time and round trips in; bytes and figures out. Is not: connections and timers (measurer.h).
//
// The core opens one stream after the other:
//   "sink"          what it sends is thrown away; about every kReportInterval while bytes come, the
//                   edge answers with 16 bytes: how many have come, and microseconds since the
//                   first
//   "source:RATE"   the edge sends, RATE bytes a second at most, until the stream is reset
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "control/zone/http2.h"
#include "turnpike/time.h"

namespace turnpike::zone {

inline constexpr std::uint32_t kMeasureSecondsMax = 30;
inline constexpr std::uint32_t kMeasureMbitMax = 500;
inline constexpr std::uint64_t kMeasureBytesPerSecondMax = std::uint64_t{kMeasureMbitMax} * 125000;
inline constexpr std::uint64_t kMeasureBytesMax = std::uint64_t{1} << 30;  // each way
inline constexpr Milliseconds kMeasureTick{10};
inline constexpr Milliseconds kReportInterval{100};
inline constexpr std::size_t kReportBytes = 16;

struct MeasureOptions {
  std::uint32_t seconds = 5;  ///< each way; 1 to kMeasureSecondsMax
  std::uint32_t mbit = 100;   ///< a second, at most; 1 to kMeasureMbitMax

  std::uint64_t bytes_per_second() const { return std::uint64_t{mbit} * 125000; }
};

struct MeasureBegun {
  std::string peer;      ///< "ZONE/PEER"
  std::uint64_t id = 0;  ///< counts up from 1
};

/// Round trips of signalling: keep-alives whose answer came in a phase.
struct RoundTrips {
  std::uint32_t count = 0;
  Nanoseconds median{};
  Nanoseconds longest{};
};

struct MeasuredWay {
  std::uint64_t bytes = 0;  ///< that arrived
  Nanoseconds time{};       ///< from the first of them to the last
  RoundTrips round_trips;
};

struct MeasureReport {
  enum class State : std::uint8_t { kNone, kRunning, kDone, kFailed };
  State state = State::kNone;
  std::uint64_t id = 0;
  std::string trouble;  ///< why it failed
  MeasureOptions options;
  Instant at{};  ///< when it began
  RoundTrips idle;
  MeasuredWay sent;
  MeasuredWay received;
};

/// Lets so many bytes a second pass, and no more at once than a few ticks bring.
class Pace {
 public:
  explicit Pace(std::uint64_t bytes_per_second) : bytes_per_second_(bytes_per_second) {}
  /// How many may pass now.
  std::size_t room(Instant now);
  void use(std::size_t bytes) { left_ -= static_cast<double>(bytes); }

 private:
  std::uint64_t bytes_per_second_;
  double left_ = 0;
  Instant counted_{};
};

/// The core's end. Its time begins with the constructor; the connection may come later.
class Measurement {
 public:
  Measurement(const MeasureOptions& options, std::uint64_t id, Instant now);

  /// `streams` is of the bulk connection; null: it is not up yet.
  void on_tick(Http2* streams, Instant now);
  void take(Http2& streams, const StreamEvent& event, Instant now);
  void add_round_trip(Nanoseconds round_trip) { round_trips_.push_back(round_trip); }
  void fail(const std::string& why);
  bool is_running() const { return report_.state == MeasureReport::State::kRunning; }
  const MeasureReport& report() const { return report_; }

 private:
  enum class Phase : std::uint8_t { kIdle, kSending, kReceiving };

  void begin(Http2& streams, Phase phase, Instant now);
  void take_report(std::string_view bytes);
  void go_on(Http2& streams, Instant now);
  RoundTrips round_trips();

  MeasureReport report_;
  Phase phase_ = Phase::kIdle;
  Instant phase_began_{};
  Instant first_byte_{};  // of the phase, sent or received; unset: none yet
  StreamId stream_ = 0;
  Pace pace_;
  std::uint64_t written_ = 0;
  std::string report_bytes_;  // the beginning of one
  std::vector<Nanoseconds> round_trips_;
};

/// The edge's end of one connection. A core has two streams at a time at most (limits of the
/// connection); all of them together bring and get kMeasureBytesMax each way.
class MeasuredEnd {
 public:
  /// `pace` is of all ends of this node: what they send and take is this node's time.
  explicit MeasuredEnd(std::shared_ptr<Pace> pace) : pace_(std::move(pace)) {}

  /// False: the other end has asked for what is not there.
  bool take(Http2& streams, const StreamEvent& event, Instant now);
  void on_tick(Http2& streams, Instant now);

 private:
  struct Stream {
    bool is_source = false;
    Pace pace;  // of a source
    Instant began{};
    std::uint64_t bytes = 0;  // of a sink: that came
    std::size_t unconsumed = 0;
    Instant first_byte{};
    Instant reported{};
  };

  void take_data(Http2& streams, StreamId id, Stream& stream, std::size_t size, Instant now);

  std::shared_ptr<Pace> pace_;
  std::map<StreamId, Stream> streams_;
  std::uint64_t sent_ = 0;
  std::uint64_t taken_ = 0;
};

}  // namespace turnpike::zone
