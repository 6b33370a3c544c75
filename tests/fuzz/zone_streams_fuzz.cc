// What two sound ends of a zone connection may do with their streams, in any order and with any
// delay: the input are the steps. Nothing is lost, doubled or mixed up; ends and resets are told
// once and last; a window bounds what a slow reader holds up; neither end finds fault with the
// other; at rest nothing is left over.
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "control/zone/http2.h"

namespace {

using namespace turnpike;  // the harness is about nothing else
using namespace turnpike::zone;

constexpr std::uint32_t kStreamsMax = 6;
constexpr std::uint32_t kWindowBytes = 5000;
constexpr std::size_t kStepsMax = 400;

void require(bool condition) {
  if (!condition) std::abort();
}

/// One end's part in a stream.
struct Part {
  std::size_t written = 0;
  std::size_t received = 0;
  std::size_t unconsumed = 0;
  bool known = false;  // it has opened the stream, or was told of it
  bool answered = false;
  bool ended = false;       // by this end
  bool heard_end = false;   // of the other end
  bool broken_off = false;  // reset or refused, by this end
  bool gone = false;        // told so, or by itself
};

class Ends {
 public:
  void run(std::span<const std::uint8_t> steps);

 private:
  static constexpr std::size_t kOpener = 0;
  static constexpr std::size_t kAcceptor = 1;
  using Stream = std::array<Part, 2>;

  void step(std::uint8_t what, std::uint8_t which);
  void act(std::size_t end, std::uint8_t action, StreamId id, Stream& stream, std::uint8_t amount);
  void open();
  void write(std::size_t end, StreamId id, Part& part, std::size_t size);
  void take_output(std::size_t end, std::size_t enough);
  void deliver(std::size_t to, std::size_t size);
  void take_events(std::size_t end);
  void take(std::size_t end, const StreamEvent& event);
  void consume(std::size_t end, StreamId id, Part& part, std::size_t size);
  void come_to_rest();
  bool move_everything();
  static char pattern(std::size_t end, StreamId id, std::size_t at) {
    return static_cast<char>(at * 7 + static_cast<std::size_t>(id) * 3 + end);
  }

  std::array<Http2, 2> ends_{
      Http2{Http2::Side::kOpens, {.streams_max = kStreamsMax, .stream_window_bytes = kWindowBytes}},
      Http2{Http2::Side::kAccepts,
            {.streams_max = kStreamsMax, .stream_window_bytes = kWindowBytes, .opens_burst = 1000}},
  };
  std::array<std::string, 2> on_the_way_;  // to each end
  std::map<StreamId, Stream> streams_;
  // Before the ends know each other's settings RFC 9113's own hold (section 6.9.2).
  std::size_t window_bytes_ = 65535;
  Instant now_{Seconds{1}};
};

void Ends::open() {
  const StreamId id = ends_[kOpener].open("sip");
  if (id == 0) return;
  require(!streams_.contains(id));
  streams_[id][kOpener].known = true;
}

void Ends::write(std::size_t end, StreamId id, Part& part, std::size_t size) {
  std::string bytes;
  for (std::size_t i = 0; i < size; ++i) bytes += pattern(end, id, part.written + i);
  ends_[end].write(id, bytes);
  if (!part.gone && !part.ended) part.written += size;
}

void Ends::consume(std::size_t end, StreamId id, Part& part, std::size_t size) {
  size = std::min(size, part.unconsumed);
  ends_[end].consumed(id, size);
  part.unconsumed -= size;
}

void Ends::act(std::size_t end, std::uint8_t action, StreamId id, Stream& stream,
               std::uint8_t amount) {
  Part& part = stream[end];
  if (!part.known) return;
  switch (action) {
    case 0:
      if (end == kOpener || part.answered || part.gone) return;
      part.answered = true;
      return ends_[end].accept(id);
    case 1:
      if (end == kOpener || part.answered || part.gone) return;
      part.answered = part.broken_off = true;
      return ends_[end].refuse(id, 404);
    case 2:
      return write(end, id, part, std::size_t{amount} * 30);
    case 3:
      ends_[end].end(id);
      if (!part.gone) part.ended = true;
      return;
    case 4:
      ends_[end].reset(id);
      if (!part.gone) part.broken_off = part.gone = true;
      return;
    default:
      return consume(end, id, part, std::size_t{amount} * 40);
  }
}

void Ends::take_output(std::size_t end, std::size_t enough) {
  tls::WipedText bytes;
  require(ends_[end].produce(bytes, enough));
  on_the_way_[1 - end] += bytes;
  take_events(end);  // that something was taken over
}

void Ends::deliver(std::size_t to, std::size_t size) {
  const std::string piece = on_the_way_[to].substr(0, size);
  on_the_way_[to].erase(0, piece.size());
  require(ends_[to].receive(piece, now_));
  require(ends_[to].reason() == Reason::kNone);
  take_events(to);
}

void Ends::take_events(std::size_t end) {
  for (const StreamEvent& event : ends_[end].take_events()) take(end, event);
}

void Ends::take(std::size_t end, const StreamEvent& event) {
  using Kind = StreamEvent::Kind;
  if (event.kind == Kind::kPong) return;
  require(streams_.contains(event.stream));
  Part& ours = streams_[event.stream][end];
  const Part& theirs = streams_[event.stream][1 - end];
  require(!ours.gone);
  switch (event.kind) {
    case Kind::kOpened:
      require(end == kAcceptor && !ours.known && event.text == "sip");
      ours.known = true;
      break;
    case Kind::kAccepted:
      require(end == kOpener && theirs.answered && !ours.answered);
      ours.answered = true;
      break;
    case Kind::kRefused:
      require(end == kOpener && theirs.broken_off && event.number == 404);
      ours.gone = true;
      break;
    case Kind::kData:
      require(ours.known && !ours.heard_end && !event.text.empty());
      for (const char byte : event.text) {
        require(byte == pattern(1 - end, event.stream, ours.received++));
      }
      ours.unconsumed += event.text.size();
      require(ours.received <= theirs.written && ours.unconsumed <= window_bytes_);
      break;
    case Kind::kEnded:
      require(!ours.heard_end);
      require(theirs.broken_off || (theirs.ended && ours.received == theirs.written));
      ours.heard_end = true;
      break;
    case Kind::kReset:
      require(theirs.broken_off || ours.broken_off);
      ours.gone = true;
      break;
    case Kind::kDrained:
      require(ours.written > 0);
      break;
    case Kind::kPong:
      break;
  }
}

void Ends::step(std::uint8_t what, std::uint8_t which) {
  const std::size_t end = which & 1U;
  now_ += Milliseconds{1};
  switch (what % 8) {
    case 0:
      return open();
    case 1:
      return take_output(end, std::size_t{1} + std::size_t{which} * 64);
    case 2:
    case 3:
      return deliver(end, std::size_t{1} + std::size_t{which} * 32);
    case 4:
      return ends_[end].ping(which);
    default:
      break;
  }
  if (streams_.empty()) return;
  auto stream = streams_.begin();
  for (std::size_t skip = (which >> 1) % streams_.size(); skip > 0; --skip) ++stream;
  act(end, static_cast<std::uint8_t>(what / 8 % 6), stream->first, stream->second, which);
}

bool Ends::move_everything() {
  bool moved = false;
  for (const std::size_t end : {kOpener, kAcceptor}) {
    for (auto& [id, stream] : streams_) consume(end, id, stream[end], kWindowBytes);
    take_output(end, std::size_t{1} << 20);
  }
  for (const std::size_t end : {kOpener, kAcceptor}) {
    moved = moved || !on_the_way_[end].empty();
    deliver(end, on_the_way_[end].size());
  }
  return moved;
}

// Every reader reads, every stream gets its answer: then all has arrived, and both ends agree.
void Ends::come_to_rest() {
  while (move_everything()) continue;
  for (auto& [id, stream] : streams_) act(kAcceptor, 0, id, stream, 0);
  while (move_everything()) continue;
  std::size_t open = 0;
  for (const auto& [id, stream] : streams_) {
    const bool broken_off = stream[kOpener].broken_off || stream[kAcceptor].broken_off;
    for (const std::size_t end : {kOpener, kAcceptor}) {
      require(ends_[end].unsent(id) == 0);
      if (broken_off) continue;
      require(stream[end].received == stream[1 - end].written);
      require(stream[end].heard_end == stream[1 - end].ended);
    }
    if (!broken_off && !(stream[kOpener].ended && stream[kAcceptor].ended)) ++open;
  }
  require(ends_[kOpener].stream_count() == open && ends_[kAcceptor].stream_count() == open);
}

void Ends::run(std::span<const std::uint8_t> steps) {
  if (steps.empty() || steps.front() < 128) {
    while (move_everything()) continue;
    window_bytes_ = kWindowBytes;
  }
  const std::size_t count = std::min(steps.size() / 2, kStepsMax);
  for (std::size_t i = 0; i < count; ++i) step(steps[2 * i], steps[2 * i + 1]);
  come_to_rest();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Ends().run({data, size});
  return 0;
}
