// What a bulk connection to one peer is used for: the measurement of the path. Hides: its timer,
// and which end this node is. Is not: the connection itself (zone.h), nor the figures (measure.h).
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "control/loop/watchers.h"
#include "control/zone/link.h"
#include "control/zone/measure.h"

namespace turnpike::zone {

class Measurer {
 public:
  struct Links {
    /// Those that are up; null: none is.
    std::function<Link*()> bulk;
    std::function<Link*()> signalling;
    /// Closes the bulk link, also one that is still being dialled.
    std::function<void()> hang_up;
  };

  /// `pace`: as of MeasuredEnd.
  Measurer(loop::EventLoop& loop, Links links, std::shared_ptr<Pace> pace);

  /// Of the core: begins; the bulk connection is to be dialled.
  void start(const MeasureOptions& options, std::uint64_t id);
  /// The bulk connection is up.
  void on_up();
  /// It is down, or cannot be had: why, with which connection it was.
  void on_down(const std::string& why);
  /// An event of its streams. False: the peer has asked for what is not there.
  bool take(Link& link, const StreamEvent& event);

  bool is_running() const { return measurement_ && measurement_->is_running(); }
  MeasureReport report() const { return measurement_ ? measurement_->report() : MeasureReport{}; }

 private:
  void on_tick();
  void watch_round_trips(Instant at);

  Links links_;
  std::shared_ptr<Pace> pace_;
  loop::Timer timer_;
  std::optional<Measurement> measurement_;  // of the core; the last one is kept
  MeasuredEnd end_;                         // of the edge
  Instant up_since_{};
  Instant asked_{};
  std::uint64_t round_trips_ = 0;  // of signalling, seen
};

}  // namespace turnpike::zone
