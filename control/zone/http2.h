// One HTTP/2 connection (RFC 9113) that carries byte streams: each is a CONNECT request (section
// 8.5) whose :authority names what is wanted at the other end. An engine: bytes in, bytes and
// events out. Hides: nghttp2.
//
// Flow control is by stream: what was received counts until consumed() says that it was passed on,
// so a stream whose reader is slow holds up itself only. The connection's own window is always
// given back at once.
//
// Streams may carry keys: what went through is not left in memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "control/tls/wiped_text.h"
#include "control/zone/reason.h"
#include "turnpike/time.h"

namespace turnpike::zone {

using StreamId = std::int32_t;  // of HTTP/2: odd, counting up

struct StreamEvent {
  enum class Kind : std::uint8_t {
    kOpened,    ///< by the other end; `text` is what it wants
    kAccepted,  ///< the other end has taken what we opened
    kRefused,   ///< the other end has not; the stream is gone
    kData,      ///< `text` are the bytes
    kEnded,     ///< the other end sends no more
    kReset,     ///< gone before both ends had ended it
    kDrained,   ///< everything that was written has been taken over
    kPong,      ///< an answer to ping()
  };
  Kind kind = Kind::kData;
  StreamId stream = 0;
  tls::WipedText text;
  std::uint64_t number = 0;  ///< kRefused: HTTP status; kPong: what ping() was given
};

struct Http2Limits {
  std::uint32_t streams_max = 256;            ///< open at a time
  std::uint32_t stream_window_bytes = 65535;  ///< received and not consumed, for each stream
  std::uint32_t opens_burst = 400;            ///< streams opened at once, …
  std::uint32_t opens_per_second = 100;       ///< … and in the long run
  std::uint32_t header_bytes_max = 4096;      ///< of one request
};

class Http2 {
 public:
  enum class Side : std::uint8_t { kOpens, kAccepts };

  Http2(Side side, const Http2Limits& limits);
  ~Http2();
  Http2(const Http2&) = delete;
  Http2& operator=(const Http2&) = delete;

  /// Takes bytes of the other end. False: the connection is of no use any more.
  bool receive(std::string_view bytes, Instant now);
  /// Appends what is to be sent, frame by frame until `bytes` has `enough` or nothing is left.
  /// False as above.
  bool produce(tls::WipedText& bytes, std::size_t enough);
  std::vector<StreamEvent> take_events();

  /// Why receive() or produce() gave false: kBadHttp2, kTooManyStreams or kClosedThere.
  Reason reason() const;
  const std::string& detail() const;

  /// Only on the side that opens. 0: as many are open as the other end allows.
  StreamId open(std::string_view target);
  /// Only on the other side, once for each kOpened. `status` is of HTTP, 400 or more.
  void accept(StreamId stream);
  void refuse(StreamId stream, unsigned status);

  /// All of these do nothing when the stream is gone.
  void write(StreamId stream, std::string_view bytes);
  void end(StreamId stream);
  void reset(StreamId stream);
  void consumed(StreamId stream, std::size_t bytes);

  /// What was written and not taken over yet.
  std::size_t unsent(StreamId stream) const;
  std::size_t stream_count() const;
  void ping(std::uint64_t number);
  /// Tells the other end that no more is to come, and why where it cannot know that.
  void shut_down(Reason reason);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace turnpike::zone
