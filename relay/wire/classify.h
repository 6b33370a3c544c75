// What a datagram is, by its first bytes (RFC 7983, with RTP and RTCP apart by RFC 5761 section 4).
#pragma once

#include <cstddef>
#include <cstdint>

namespace turnpike {

enum class PacketKind : std::uint8_t { kStun, kDtls, kRtp, kRtcp, kUnknown };

/// RFC 7983 section 7: 0-3 STUN, 20-63 DTLS, 128-191 RTP or RTCP. Of the latter, a second byte of
/// 192-223 is an RTCP packet type (RFC 5761 section 4); RTP may not use payload types 64-95 then.
inline PacketKind classify(const std::uint8_t* data, std::size_t length) {
  if (length < 2) return PacketKind::kUnknown;
  const std::uint8_t first = data[0];
  if (first >= 128 && first <= 191) {
    return data[1] >= 192 && data[1] <= 223 ? PacketKind::kRtcp : PacketKind::kRtp;
  }
  if (first <= 3) return PacketKind::kStun;
  if (first >= 20 && first <= 63) return PacketKind::kDtls;
  return PacketKind::kUnknown;
}

}  // namespace turnpike
