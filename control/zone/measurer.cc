#include "control/zone/measurer.h"

#include <utility>

namespace turnpike::zone {
namespace {

constexpr Milliseconds kAskInterval{100};
// Of a bulk connection: both ways and what goes before them.
constexpr Seconds kLongestUse{2 * kMeasureSecondsMax + 60};

}  // namespace

Measurer::Measurer(loop::EventLoop& loop, Links links, std::shared_ptr<Pace> pace)
    : links_(std::move(links)),
      pace_(std::move(pace)),
      timer_(loop, [this] { on_tick(); }),
      end_(pace_) {}

void Measurer::start(const MeasureOptions& options, std::uint64_t id) {
  measurement_.emplace(options, id, loop::EventLoop::now());
  const Link* const signalling = links_.signalling();
  round_trips_ = signalling == nullptr ? 0 : signalling->connection().round_trips();
  timer_.start(kMeasureTick, kMeasureTick);
}

void Measurer::on_up() {
  up_since_ = loop::EventLoop::now();
  end_ = MeasuredEnd(pace_);
  timer_.start(kMeasureTick, kMeasureTick);
}

void Measurer::on_down(const std::string& why) {
  timer_.stop();
  if (measurement_) measurement_->fail(why);
}

bool Measurer::take(Link& link, const StreamEvent& event) {
  bool known = true;
  link.use_streams([&](Http2& streams) {
    const Instant at = loop::EventLoop::now();
    if (measurement_) {
      measurement_->take(streams, event, at);
    } else {
      known = end_.take(streams, event, at);
    }
  });
  return known;
}

void Measurer::on_tick() {
  const Instant at = loop::EventLoop::now();
  if (is_running()) watch_round_trips(at);
  // Asked for again each time: what was sent may have ended the link.
  if (links_.bulk() != nullptr) {
    links_.bulk()->use_streams([&](Http2& streams) {
      if (measurement_) {
        measurement_->on_tick(&streams, at);
      } else {
        end_.on_tick(streams, at);
      }
    });
  }
  const bool over = measurement_ ? !is_running() : at - up_since_ >= kLongestUse;
  if (!over) return;
  timer_.stop();
  links_.hang_up();
}

void Measurer::watch_round_trips(Instant at) {
  Link* const signalling = links_.signalling();
  if (signalling == nullptr) return measurement_->fail("the zone connection went down meanwhile");
  const Connection& connection = signalling->connection();
  if (round_trips_ < connection.round_trips()) {
    measurement_->add_round_trip(connection.round_trip());
  }
  round_trips_ = connection.round_trips();
  if (at - asked_ < kAskInterval) return;
  asked_ = at;
  signalling->ask_round_trip();
}

}  // namespace turnpike::zone
