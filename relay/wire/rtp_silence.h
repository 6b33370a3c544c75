// Silence in place of what was said, for codecs where a constant byte is silence (ITU-T G.711).
#pragma once

#include <cstdint>
#include <cstring>

#include "relay/wire/rtp.h"

namespace turnpike {

/// Makes the payload of a packet that parse_rtp() has read silent; its length stays. False, and the
/// packet as it was, when that cannot be done: only PCMU and PCMA under their static payload types
/// (RFC 3551 section 6), and comfort noise, which is left as it is (RFC 3389).
inline bool make_silent(std::uint8_t* packet, std::size_t length, const RtpHeader& header) {
  constexpr std::uint8_t kPcmu = 0;
  constexpr std::uint8_t kPcma = 8;
  constexpr std::uint8_t kComfortNoise = 13;
  constexpr std::uint8_t kComfortNoiseBefore = 19;  // reserved since, and still in use
  const std::uint8_t type = header.payload_type;
  if (type == kComfortNoise || type == kComfortNoiseBefore) return true;
  if ((type != kPcmu && type != kPcma) || length < header.header_bytes) return false;
  std::size_t end = length;
  // The last byte counts the padding (RFC 3550 section 5.1), and stays what it is.
  if ((packet[0] & 0x20U) != 0 && length > header.header_bytes) {
    const std::size_t padding = packet[length - 1];
    if (padding == 0 || padding > length - header.header_bytes) return false;
    end -= padding;
  }
  std::memset(packet + header.header_bytes, type == kPcmu ? 0xff : 0xd5, end - header.header_bytes);
  return true;
}

}  // namespace turnpike
