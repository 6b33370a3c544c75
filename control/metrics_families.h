// What the figures are collected in: families of metrics, each with its values. Hides: the metrics
// library. Private to the files of control/metrics.h.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include "control/call_quality.h"
#include "control/ng/server.h"
#include "turnpike/handshake_stats.h"
#include "turnpike/stats.h"
#include "turnpike/time.h"
#include "turnpike/turn.h"

namespace turnpike::metrics {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

inline double number(std::uint64_t value) {
  return static_cast<double>(value);
}

inline double seconds(Nanoseconds value) {
  return std::chrono::duration_cast<std::chrono::duration<double>>(value).count();
}

/// Collects families; add() calls after a family belong to it.
class Families {
 public:
  Families& counter(const char* name, const char* help) {
    return open(name, help, MetricType::Counter);
  }
  Families& gauge(const char* name, const char* help) {
    return open(name, help, MetricType::Gauge);
  }
  Families& histogram(const char* name, const char* help) {
    return open(name, help, MetricType::Histogram);
  }

  Families& add(double value, const char* label = nullptr, std::string_view text = {}) {
    ClientMetric& metric = labelled(label, text);
    if (families_.back().type == MetricType::Counter) {
      metric.counter.value = value;
    } else {
      metric.gauge.value = value;
    }
    return *this;
  }
  Families& add(std::uint64_t value, const char* label = nullptr, std::string_view text = {}) {
    return add(number(value), label, text);
  }
  using Labels = std::vector<ClientMetric::Label>;
  Families& add(double value, Labels labels) {
    add(value);
    families_.back().metric.back().label = std::move(labels);
    return *this;
  }

  void add(const ng::DurationHistogram& durations, const char* label, std::string_view text) {
    fill(labelled(label, text).histogram, ng::kDurationBounds, durations.buckets,
         seconds(durations.sum));
  }
  void add_connect_times(const std::vector<const ShardCounters*>& shards) {
    std::array<std::uint64_t, kIceConnectDurations.size() + 1> buckets{};
    std::uint64_t sum_us = 0;
    for (const ShardCounters* shard : shards) {
      for (std::size_t i = 0; i < buckets.size(); ++i) {
        buckets[i] += shard->ice_connect_durations[i].value();
      }
      sum_us += shard->ice_connect_us.value();
    }
    fill(labelled(nullptr, {}).histogram, kIceConnectDurations, buckets, number(sum_us) / 1e6);
  }
  void add(const HandshakeCounters& handshakes) {
    std::array<std::uint64_t, kHandshakeDurations.size() + 1> buckets{};
    for (std::size_t i = 0; i < buckets.size(); ++i) buckets[i] = handshakes.durations[i].value();
    fill(labelled(nullptr, {}).histogram, kHandshakeDurations, buckets,
         number(handshakes.duration_us.value()) / 1e6);
  }

  void add(const std::vector<const turn::RelayLatency*>& latencies) {
    std::array<std::uint64_t, turn::kRelayLatencies.size() + 1> buckets{};
    std::uint64_t sum_ns = 0;
    for (const turn::RelayLatency* latency : latencies) {
      for (std::size_t i = 0; i < buckets.size(); ++i) buckets[i] += latency->buckets[i].value();
      sum_ns += latency->sum_ns.value();
    }
    fill(labelled(nullptr, {}).histogram, turn::kRelayLatencies, buckets, number(sum_ns) / 1e9);
  }

  void add(const QualityHistogram& quality, const MeasureInfo& info, std::string_view side) {
    fill(labelled("side", side).histogram, info.bounds, quality.buckets, quality.sum);
  }

  std::string text() const { return prometheus::TextSerializer().Serialize(families_); }

 private:
  Families& open(const char* name, const char* help, MetricType type) {
    families_.push_back(MetricFamily{name, help, type, {}});
    return *this;
  }
  static double bound(double value) { return value; }
  static double bound(Nanoseconds value) { return seconds(value); }
  static void fill(ClientMetric::Histogram& histogram, const auto& bounds, const auto& buckets,
                   double sum) {
    for (std::size_t i = 0; i < bounds.size(); ++i) {
      histogram.sample_count += buckets[i];
      histogram.bucket.push_back({histogram.sample_count, bound(bounds[i])});
    }
    histogram.sample_count += buckets.back();
    histogram.sample_sum = sum;
  }
  ClientMetric& labelled(const char* label, std::string_view text) {
    ClientMetric& metric = families_.back().metric.emplace_back();
    if (label != nullptr) metric.label.push_back({label, std::string(text)});
    return metric;
  }

  std::vector<MetricFamily> families_;
};

}  // namespace turnpike::metrics
