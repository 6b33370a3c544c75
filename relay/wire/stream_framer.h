// Where messages begin and end in a stream of STUN and ChannelData (RFC 8489 section 6.2.2, RFC
// 8656 section 12.5): a STUN header says how much follows; ChannelData is padded to four bytes.
// Hides: the arithmetic of both headers. Is not: a buffer; who reads the stream keeps the bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace turnpike {

struct StreamFrame {
  enum class Kind : std::uint8_t {
    kIncomplete,  ///< `bytes` are needed at least, from the message's beginning
    kMessage,     ///< a whole message of `bytes` with padding, of which `message_bytes` are its own
    kBroken,      ///< neither STUN nor ChannelData, or too long: nothing later can be found
  };
  Kind kind = Kind::kBroken;
  std::size_t bytes = 0;
  std::size_t message_bytes = 0;
};

/// What `unread`, the bytes of a stream from the beginning of a message on, begins with.
/// `message_bytes_max` is the longest that is taken, padding included.
StreamFrame frame_stream(std::span<const std::uint8_t> unread, std::size_t message_bytes_max);

}  // namespace turnpike
