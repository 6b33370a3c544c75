// The bytes of one connection, in and out, without waiting: what TCP and TLS have in common. Is
// not: messages; who reads finds where they begin and end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace turnpike {

enum class StreamState : std::uint8_t {
  kMoved,   ///< `bytes` have gone in or out, at least one
  kWait,    ///< nothing can now; later, when the descriptor says so
  kEnded,   ///< the other end has closed its side in order
  kFailed,  ///< reset, broken, or not what it should be
};

struct StreamMoved {
  StreamState state = StreamState::kFailed;
  std::size_t bytes = 0;
};

class ByteStream {
 public:
  ByteStream() = default;
  /// Closes, and tells the other end.
  virtual ~ByteStream() = default;
  ByteStream(const ByteStream&) = delete;
  ByteStream& operator=(const ByteStream&) = delete;

  virtual int fd() const = 0;
  virtual StreamMoved read(std::span<std::uint8_t> into) = 0;
  /// What was not taken is offered again, at the same place or another, with more behind it or not.
  virtual StreamMoved write(std::span<const std::uint8_t> bytes) = 0;
  /// Tells the other end that nothing more comes; what it says is read on. False: later, when there
  /// is room.
  virtual bool end_writing() = 0;
  /// The last read() has left bytes that the descriptor says nothing of any more.
  virtual bool has_read_ahead() const { return false; }
};

}  // namespace turnpike
