// What the other end of a zone connection may send: the messages of the handshake, then HTTP/2.
// The first byte chooses what the rest is for. Any bytes are taken or refused; a message that is
// taken has one form; pieces make no difference; memory stays within the limits.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "control/zone/challenge.h"
#include "control/zone/http2.h"
#include "control/zone/measure.h"

namespace {

using namespace turnpike;  // the harness is about nothing else
using namespace turnpike::zone;

void require(bool condition) {
  if (!condition) std::abort();
}

void read_messages(std::string_view bytes) {
  bool bad = false;
  const auto frame = first_message(bytes, bad);
  require(!(frame && bad));
  if (!frame) return;
  require(frame->body.size() + kMessageHeaderBytes == frame->size && frame->size <= bytes.size());
  const std::string_view message = bytes.substr(0, frame->size);
  if (frame->type == MessageType::kHello) {
    const auto hello = read_hello(frame->body);
    if (hello && hello->version == kProtocolVersion) require(write(*hello) == message);
  } else if (frame->type == MessageType::kProof) {
    const auto proof = read_proof(frame->body);
    if (proof) require(write(*proof) == message);
  } else {
    static_cast<void>(read_refusal(frame->body));
  }
}

Challenge make(bool dials) {
  Hello ours;
  ours.role = dials ? Role::kCore : Role::kEdge;
  ours.zone = "z";
  return {dials, ours, std::make_shared<const Secret>("p"), {}};
}

void run_challenge(bool dials, std::string_view bytes) {
  Challenge whole = make(dials);
  std::string text(bytes);
  text.erase(0, whole.receive(text));
  Challenge pieces = make(dials);
  std::string kept;
  for (const char byte : bytes) {
    kept += byte;
    kept.erase(0, pieces.receive(kept));
  }
  require(whole.state() == pieces.state() && whole.reason() == pieces.reason());
  require(whole.take_output() == pieces.take_output());
  require(whole.state() != Challenge::State::kPassed);  // nobody guesses a tag of 256 bits
  if (whole.state() == Challenge::State::kRunning) {
    require(text.size() < kMessageHeaderBytes + kMessageBodyBytesMax);
  }
}

void run_http2(Http2::Side side, std::string_view bytes) {
  Http2 http2(side, {.streams_max = 8, .opens_burst = 100, .opens_per_second = 10});
  StreamId ours = 0;
  if (side == Http2::Side::kOpens) ours = http2.open("sip");
  constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  Instant now{Seconds{1}};
  if (side == Http2::Side::kAccepts) http2.receive(kPreface, now);
  std::size_t data = 0;
  for (std::size_t at = 0; at < bytes.size(); at += 50) {
    now += Milliseconds{5};
    if (!http2.receive(bytes.substr(at, 50), now)) break;
    for (const StreamEvent& event : http2.take_events()) {
      if (event.kind == StreamEvent::Kind::kOpened && event.stream % 3 == 0) {
        http2.refuse(event.stream, 404);
      } else if (event.kind == StreamEvent::Kind::kOpened) {
        http2.accept(event.stream);
        http2.write(event.stream, "answer");
      } else if (event.kind == StreamEvent::Kind::kData) {
        data += event.text.size();
        http2.consumed(event.stream, event.text.size());
      } else if (event.kind == StreamEvent::Kind::kEnded) {
        http2.end(event.stream);
      }
    }
    tls::WipedText out;
    http2.produce(out, 65536);
    require(http2.stream_count() <= 9);
  }
  require(data <= bytes.size());
  http2.write(ours, "x");
  http2.reset(ours);
  http2.shut_down(Reason::kReplaced);
}

/// What a bulk connection brings: HTTP/2 to the edge's end, answers of any kind to the core's.
void run_measured_end(std::string_view bytes) {
  Http2 http2(Http2::Side::kAccepts, {.streams_max = 2, .stream_window_bytes = 1 << 20});
  constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  Instant now{Seconds{1}};
  http2.receive(kPreface, now);
  MeasuredEnd end(std::make_shared<Pace>(kMeasureBytesPerSecondMax));
  for (std::size_t at = 0; at < bytes.size(); at += 50) {
    now += Milliseconds{20};
    if (!http2.receive(bytes.substr(at, 50), now)) break;
    for (const StreamEvent& event : http2.take_events()) end.take(http2, event, now);
    end.on_tick(http2, now);
    for (StreamId id = 1; id < 100; id += 2) require(http2.unsent(id) <= 1 << 20);
    tls::WipedText out;
    http2.produce(out, 65536);
  }
}

void run_measurement(std::string_view bytes) {
  Http2 http2(Http2::Side::kOpens, {.streams_max = 2, .stream_window_bytes = 1 << 20});
  Instant now{Seconds{1}};
  Measurement measurement({.seconds = 1, .mbit = 1}, 1, now);
  now += Seconds{2};
  measurement.on_tick(&http2, now);
  for (std::size_t at = 0; at + 1 < bytes.size(); at += 20) {
    const auto what = static_cast<unsigned char>(bytes[at]);
    const auto kind = static_cast<StreamEvent::Kind>(what % 8);
    const StreamId stream = what < 128 ? 1 : 3;
    measurement.take(http2, {kind, stream, tls::WipedText(bytes.substr(at + 1, 19)), 404}, now);
    measurement.on_tick(&http2, now += Milliseconds{30});
    tls::WipedText out;
    http2.produce(out, 65536);
    const MeasureReport& report = measurement.report();
    require(report.sent.bytes <= 1000000 &&
            (report.sent.bytes == 0) == (report.sent.time.count() == 0));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  std::string text;
  for (std::size_t i = 1; i < size; ++i) text += static_cast<char>(data[i]);
  switch (data[0] % 7) {
    case 0:
      read_messages(text);
      break;
    case 1:
      run_challenge(true, text);
      break;
    case 2:
      run_challenge(false, text);
      break;
    case 3:
      run_http2(Http2::Side::kAccepts, text);
      break;
    case 4:
      run_http2(Http2::Side::kOpens, text);
      break;
    case 5:
      run_measured_end(text);
      break;
    default:
      run_measurement(text);
  }
  return 0;
}
