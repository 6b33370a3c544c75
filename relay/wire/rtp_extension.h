// Header extensions of RTP (RFC 8285): elements of one and of two bytes' header, found by id.
// Is not: what an element means.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "relay/core/bytes.h"
#include "relay/wire/rtp.h"

namespace turnpike {

constexpr bool has_rtp_extension(const std::uint8_t* packet) {
  return (packet[0] & 0x10U) != 0;
}

/// The data of the first element with this id (1 to 255), or nothing: no extension, another form
/// than those of RFC 8285, no such element, or one that does not fit. `header` is what parse_rtp
/// read of the packet; nothing beyond it is looked at.
///
///   one byte:  | id (4) | length - 1 (4) | data …    0xBEDE; id 0 is padding, 15 ends
///   two bytes: | id (8) | length (8)     | data …    0x100x; id 0 is padding
inline std::span<const std::uint8_t> find_rtp_extension(const std::uint8_t* packet,
                                                        const RtpHeader& header, std::uint8_t id) {
  if (!has_rtp_extension(packet) || id == 0) return {};
  const std::size_t begin = kRtpHeaderBytes + std::size_t{4} * (packet[0] & 0x0fU);
  const std::size_t end = header.header_bytes;
  if (begin + 4 > end) return {};
  const std::uint16_t profile = read_be16(packet + begin);
  const bool two_bytes = (profile & 0xfff0U) == 0x1000;
  if (!two_bytes && profile != 0xbede) return {};
  std::size_t at = begin + 4;
  while (at < end) {
    if (packet[at] == 0) {  // padding, one byte in both forms
      ++at;
      continue;
    }
    const std::uint8_t found = two_bytes ? packet[at] : packet[at] >> 4;
    if (!two_bytes && found == 15) return {};
    if (two_bytes && at + 2 > end) return {};
    const std::size_t length = two_bytes ? packet[at + 1] : std::size_t{packet[at] & 0x0fU} + 1;
    at += two_bytes ? 2 : 1;
    if (length > end - at) return {};
    if (found == id) return {packet + at, length};
    at += length;
  }
  return {};
}

}  // namespace turnpike
