// How calls sounded, as distributions: each stream of audio of a call that has ended counts once,
// with the averages of its quality samples. Is not: one call (record_line.h).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>

#include "turnpike/ids.h"
#include "turnpike/stats.h"

namespace turnpike {

enum class Measure : std::uint8_t {
  kLoss,       ///< share of packets, 0-1
  kJitter,     ///< seconds
  kRoundTrip,  ///< seconds, between both ends; only where RTCP told
  kMos,        ///< 1-4.5
  kCount
};
constexpr std::size_t kMeasureCount = static_cast<std::size_t>(Measure::kCount);
constexpr std::size_t kQualityBoundCount = 10;

struct MeasureInfo {
  const char* metric;
  const char* help;
  std::array<double, kQualityBoundCount> bounds;  ///< upper ones
};
constexpr std::array<MeasureInfo, kMeasureCount> kMeasures = {{
    {"turnpike_stream_loss_ratio",
     "Share of packets that an audio stream lost on its way to us, by the side that sent it.",
     {0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5}},
    {"turnpike_stream_jitter_seconds",
     "Interarrival jitter of an audio stream (RFC 3550), by the side that sent it.",
     {0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.04, 0.06, 0.1, 0.2}},
    {"turnpike_stream_round_trip_seconds",
     "Round trip between both ends of an audio stream, where RTCP told it.",
     {0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 1.0}},
    {"turnpike_stream_mos",
     "Mean opinion score (ITU-T G.107, simplified) of an audio stream, by the side that sent it.",
     {1.5, 2.0, 2.6, 3.1, 3.6, 3.8, 4.0, 4.2, 4.3, 4.4}},
}};

/// `buckets`: not cumulative; the last one is above every bound.
struct QualityHistogram {
  std::array<std::uint64_t, kQualityBoundCount + 1> buckets{};
  double sum = 0;
};

class CallQuality {
 public:
  /// Streams that were shorter than a sample are left out.
  void end(const std::map<SessionId, SessionStats>& stats);
  const QualityHistogram& of(Measure measure, Side side) const {
    return histograms_[index_of(side)][static_cast<std::size_t>(measure)];
  }

 private:
  void add(Measure measure, Side side, double value);

  std::array<std::array<QualityHistogram, kMeasureCount>, 2> histograms_{};
};

}  // namespace turnpike
