#include "control/zone/measure.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

namespace turnpike::zone {
namespace {

constexpr std::string_view kSink = "sink";
constexpr std::string_view kSource = "source:";
constexpr Milliseconds kIdleTime{1000};
constexpr Seconds kPatience{10};              // for the first bytes of a phase
constexpr std::size_t kQueueBytes = 1 << 20;  // written to a stream and not taken over yet
constexpr std::size_t kBlockBytes = 16384;    // at once, of HTTP/2's frame
constexpr Milliseconds kBurst{50};            // ticks may come late
constexpr unsigned kStatusNotFound = 404;

/// Writes bytes that mean nothing, `most` of them or as many as the queue allows; how many.
std::size_t send_some(Http2& streams, StreamId stream, std::uint64_t most) {
  static const std::string kBlock(kBlockBytes, '.');
  const std::uint64_t queued = streams.unsent(stream);
  const std::size_t count = std::min(most, queued < kQueueBytes ? kQueueBytes - queued : 0);
  for (std::size_t left = count; left > 0; left -= std::min(left, kBlockBytes)) {
    streams.write(stream, std::string_view(kBlock).substr(0, left));
  }
  return count;
}

std::string number_bytes(std::uint64_t value) {
  std::string bytes;
  for (unsigned shift = 64; shift > 0; shift -= 8) {
    bytes += static_cast<char>(value >> (shift - 8) & 0xff);
  }
  return bytes;
}

std::uint64_t number_of(std::string_view bytes) {
  std::uint64_t value = 0;
  for (const char byte : bytes) value = value << 8 | static_cast<unsigned char>(byte);
  return value;
}

/// Bytes a second of "source:RATE"; unset: it is none.
std::optional<std::uint64_t> rate_of(std::string_view target) {
  if (!target.starts_with(kSource)) return std::nullopt;
  target.remove_prefix(kSource.size());
  std::uint64_t rate = 0;
  const auto [end, error] = std::from_chars(target.data(), target.data() + target.size(), rate);
  const bool whole = error == std::errc() && end == target.data() + target.size();
  const bool fits = whole && rate >= 1 && rate <= kMeasureBytesPerSecondMax;
  return fits ? std::optional(rate) : std::nullopt;
}

}  // namespace

std::size_t Pace::room(Instant now) {
  const double most = static_cast<double>(bytes_per_second_) * kBurst.count() / 1000;
  if (counted_ != Instant{}) {
    const std::chrono::duration<double> passed = now - counted_;
    left_ = std::min(most, left_ + passed.count() * static_cast<double>(bytes_per_second_));
  }
  counted_ = now;
  return static_cast<std::size_t>(left_);
}

// The core's end.

Measurement::Measurement(const MeasureOptions& options, std::uint64_t id, Instant now)
    : phase_began_(now), pace_(options.bytes_per_second()) {
  report_.state = MeasureReport::State::kRunning;
  report_.id = id;
  report_.options = options;
  report_.at = now;
}

void Measurement::fail(const std::string& why) {
  if (!is_running()) return;
  report_.state = MeasureReport::State::kFailed;
  report_.trouble = why;
}

RoundTrips Measurement::round_trips() {
  std::vector<Nanoseconds> all = std::exchange(round_trips_, {});
  if (all.empty()) return {};
  std::sort(all.begin(), all.end());
  return {static_cast<std::uint32_t>(all.size()), all[all.size() / 2], all.back()};
}

void Measurement::begin(Http2& streams, Phase phase, Instant now) {
  phase_ = phase;
  phase_began_ = now;
  first_byte_ = {};
  const bool sends = phase == Phase::kSending;
  stream_ = streams.open(sends ? std::string(kSink)
                               : std::string(kSource) +
                                     std::to_string(report_.options.bytes_per_second()));
  if (stream_ == 0) fail("the edge lets no stream be opened");
}

void Measurement::on_tick(Http2* streams, Instant now) {
  if (!is_running() || streams == nullptr) return;
  if (phase_ == Phase::kIdle) {
    if (now - phase_began_ < kIdleTime) return;
    report_.idle = round_trips();
    return begin(*streams, Phase::kSending, now);
  }
  if (first_byte_ == Instant{}) {
    if (now - phase_began_ >= kPatience) fail("nothing came from the edge for 10 s");
    return;
  }
  if (phase_ == Phase::kSending) {
    const std::uint64_t most = std::min(pace_.room(now), kMeasureBytesMax - written_);
    const std::size_t count = send_some(*streams, stream_, most);
    pace_.use(count);
    written_ += count;
  }
  const std::uint64_t bytes = phase_ == Phase::kSending ? written_ : report_.received.bytes;
  const bool over = now - first_byte_ >= Seconds{report_.options.seconds};
  if (over || bytes >= kMeasureBytesMax) go_on(*streams, now);
}

void Measurement::go_on(Http2& streams, Instant now) {
  streams.reset(stream_);
  if (phase_ == Phase::kReceiving) {
    report_.received.round_trips = round_trips();
    report_.state = MeasureReport::State::kDone;
    return;
  }
  report_.sent.round_trips = round_trips();
  if (report_.sent.bytes == 0) return fail("nothing of what was sent has arrived at the edge");
  begin(streams, Phase::kReceiving, now);
}

void Measurement::take(Http2& streams, const StreamEvent& event, Instant now) {
  if (!is_running() || event.stream != stream_) return;
  switch (event.kind) {
    case StreamEvent::Kind::kAccepted:
      if (phase_ == Phase::kSending) {
        first_byte_ = now;
        round_trips_.clear();
      }
      return;
    case StreamEvent::Kind::kRefused:
      return fail("the edge knows no such measurement; its version is another one");
    case StreamEvent::Kind::kData:
      streams.consumed(stream_, event.text.size());
      if (phase_ == Phase::kSending) return take_report(event.text);
      if (first_byte_ == Instant{}) {
        first_byte_ = now;
        round_trips_.clear();
      }
      report_.received.bytes += event.text.size();
      report_.received.time = now - first_byte_;
      return;
    case StreamEvent::Kind::kEnded:
    case StreamEvent::Kind::kReset:
      if (report_.received.bytes >= kMeasureBytesMax) return;
      return fail("the edge ended the measurement");
    case StreamEvent::Kind::kOpened:
    case StreamEvent::Kind::kDrained:
    case StreamEvent::Kind::kPong:
      return;
  }
}

// What it says must be possible: it is another program.
void Measurement::take_report(std::string_view bytes) {
  report_bytes_ += bytes;
  while (report_bytes_.size() >= kReportBytes) {
    const std::uint64_t count = number_of(std::string_view(report_bytes_).substr(0, 8));
    const std::uint64_t time_us = number_of(std::string_view(report_bytes_).substr(8, 8));
    report_bytes_.erase(0, kReportBytes);
    const bool grows = count > report_.sent.bytes && count <= written_;
    constexpr std::uint64_t kLongest = std::uint64_t{1'000'000} * 600;
    if (!grows || time_us == 0 || time_us > kLongest) {
      return fail("the edge reports what cannot be");
    }
    report_.sent.bytes = count;
    report_.sent.time = std::chrono::microseconds(time_us);
  }
}

// The edge's end.

bool MeasuredEnd::take(Http2& streams, const StreamEvent& event, Instant now) {
  if (event.kind == StreamEvent::Kind::kOpened) {
    const auto rate = rate_of(event.text);
    if (!rate && event.text != kSink) {
      streams.refuse(event.stream, kStatusNotFound);
      return false;
    }
    streams.accept(event.stream);
    streams_.emplace(
        event.stream,
        Stream{.is_source = rate.has_value(), .pace = Pace(rate.value_or(0)), .began = now});
    return true;
  }
  const auto found = streams_.find(event.stream);
  if (found == streams_.end()) return true;
  if (event.kind == StreamEvent::Kind::kData) {
    take_data(streams, event.stream, found->second, event.text.size(), now);
  } else if (event.kind == StreamEvent::Kind::kEnded) {
    streams.end(event.stream);
    streams_.erase(found);
  } else if (event.kind == StreamEvent::Kind::kReset) {
    streams_.erase(found);
  }
  return true;
}

void MeasuredEnd::take_data(Http2& streams, StreamId id, Stream& stream, std::size_t size,
                            Instant now) {
  stream.unconsumed += size;
  if (stream.is_source) return;  // what nobody wants to have is not let go on
  if (stream.first_byte == Instant{}) stream.first_byte = stream.reported = now;
  stream.bytes += size;
  if (now - stream.reported < kReportInterval) return;
  stream.reported = now;
  const auto time = std::chrono::duration_cast<std::chrono::microseconds>(now - stream.first_byte);
  streams.write(
      id, number_bytes(stream.bytes) + number_bytes(static_cast<std::uint64_t>(time.count())));
}

// Nobody gets more of this node's time than the paces say, whatever the other end does.
void MeasuredEnd::on_tick(Http2& streams, Instant now) {
  for (auto entry = streams_.begin(); entry != streams_.end();) {
    auto& [id, stream] = *entry;
    const std::size_t room = pace_->room(now);
    if (!stream.is_source) {
      const std::size_t count = std::min({room, stream.unconsumed, kMeasureBytesMax - taken_});
      streams.consumed(id, count);
      stream.unconsumed -= count;
      pace_->use(count);
      taken_ += count;
      ++entry;
      continue;
    }
    const bool over =
        sent_ >= kMeasureBytesMax || now - stream.began >= Seconds{kMeasureSecondsMax} + kPatience;
    if (over) {
      streams.end(id);
      entry = streams_.erase(entry);
      continue;
    }
    const std::uint64_t most = std::min({room, stream.pace.room(now), kMeasureBytesMax - sent_});
    const std::size_t count = send_some(streams, id, most);
    stream.pace.use(count);
    pace_->use(count);
    sent_ += count;
    ++entry;
  }
}

}  // namespace turnpike::zone
