// ChannelData messages of TURN (RFC 8656 section 12.4): four bytes in front of the data.
//
//  |      channel number (0x4000-0x7FFF)      |      length of data      |  data ...
//
// RFC 8656 ends the numbers at 0x4FFF, so that DTLS and RTP fit beside them. Clients of RFC 5766
// take any up to 0x7FFF, and nothing but STUN comes to a TURN server beside ChannelData.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "relay/core/bytes.h"

namespace turnpike {

constexpr std::size_t kChannelHeaderBytes = 4;
constexpr std::uint16_t kChannelMin = 0x4000;
constexpr std::uint16_t kChannelMax = 0x7FFF;

/// Whether a message is ChannelData by its first byte: 64-127.
inline bool is_channel_data(std::uint8_t first) {
  return (first & 0xc0U) == 0x40;
}

struct ChannelData {
  std::uint16_t channel = 0;
  std::uint16_t length = 0;  ///< of the data, without padding
};

/// Reads the header of a whole datagram or stream message. What follows the data is padding, which
/// is ignored (RFC 8656 section 12.5).
inline std::optional<ChannelData> read_channel_data(std::span<const std::uint8_t> message) {
  if (message.size() < kChannelHeaderBytes || !is_channel_data(message[0])) return std::nullopt;
  const ChannelData found{read_be16(message.data()), read_be16(message.data() + 2)};
  if (found.length > message.size() - kChannelHeaderBytes) return std::nullopt;
  return found;
}

inline void write_channel_header(std::uint8_t* at, const ChannelData& header) {
  write_be16(at, header.channel);
  write_be16(at + 2, header.length);
}

}  // namespace turnpike
