#include "control/call_quality.h"

#include <algorithm>

namespace turnpike {

void CallQuality::end(const std::map<SessionId, SessionStats>& stats) {
  for (const auto& [id, session] : stats) {
    for (const Side side : {Side::kA, Side::kB}) {
      const LegStats& leg = session.legs[index_of(side)];
      const std::size_t count = std::min<std::size_t>(leg.stream_count, leg.streams.size());
      for (std::size_t i = 0; i < count; ++i) {
        const StreamQuality& quality = leg.streams[i].quality;
        if (quality.samples == 0) continue;
        const QualitySample& average = quality.average;
        add(Measure::kLoss, side, average.loss_hundredths / 10000.0);
        add(Measure::kJitter, side, average.jitter_us / 1e6);
        add(Measure::kMos, side, average.mos_hundredths / 100.0);
        if (average.round_trip_us == 0) continue;
        add(Measure::kRoundTrip, side, average.round_trip_us / 1e6);
      }
    }
  }
}

void CallQuality::add(Measure measure, Side side, double value) {
  const auto index = static_cast<std::size_t>(measure);
  const auto& bounds = kMeasures[index].bounds;
  QualityHistogram& histogram = histograms_[index_of(side)][index];
  const auto bucket = std::lower_bound(bounds.begin(), bounds.end(), value) - bounds.begin();
  ++histogram.buckets[static_cast<std::size_t>(bucket)];
  histogram.sum += value;
}

}  // namespace turnpike
