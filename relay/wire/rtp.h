// RTP headers (RFC 3550 section 5.1) and RTCP compounds (section 6.1): bounds first, then fields.
//
//   0                   1                   2                   3
//  |V=2|P|X|  CC   |M|     PT      |       sequence number         |
//  |                           timestamp                           |
//  |                             SSRC                              |
//  |                        CSRC (0-15 of them)                    |
//  |  extension: profile (16)      |      length in words (16)     |
#pragma once

#include <cstddef>
#include <cstdint>

#include "relay/core/bytes.h"

namespace turnpike {

constexpr std::size_t kRtpHeaderBytes = 12;
constexpr std::size_t kRtcpHeaderBytes = 8;  // header and SSRC of the sender

struct RtpHeader {
  std::uint8_t payload_type = 0;
  std::uint16_t sequence = 0;
  std::uint32_t timestamp = 0;
  std::uint32_t ssrc = 0;
  std::uint32_t header_bytes = 0;  ///< with CSRCs and extension
};

/// Reads the header; false when version or lengths do not add up. Padding is not looked at: in
/// SRTP it is encrypted.
inline bool parse_rtp(const std::uint8_t* data, std::size_t length, RtpHeader& out) {
  if (length < kRtpHeaderBytes || (data[0] >> 6) != 2) return false;
  std::size_t bytes = kRtpHeaderBytes + std::size_t{4} * (data[0] & 0x0fU);
  if ((data[0] & 0x10U) != 0) {
    if (length < bytes + 4) return false;
    bytes += 4 + std::size_t{4} * read_be16(data + bytes + 2);
  }
  if (length < bytes) return false;
  out.payload_type = data[1] & 0x7fU;
  out.sequence = read_be16(data + 2);
  out.timestamp = read_be32(data + 4);
  out.ssrc = read_be32(data + 8);
  out.header_bytes = static_cast<std::uint32_t>(bytes);
  return true;
}

inline void write_rtp_sequence(std::uint8_t* data, std::uint16_t sequence) {
  write_be16(data + 2, sequence);
}

/// The SSRC of the first packet of a compound; the caller has checked kRtcpHeaderBytes.
inline std::uint32_t rtcp_sender_ssrc(const std::uint8_t* data) {
  return read_be32(data + 4);
}

/// Whether a decrypted RTCP datagram is a compound that adds up: every packet has version 2 and a
/// known type range, lengths end exactly at the end, only the last is padded (RFC 3550 appendix
/// A.2). Reduced-size compounds (RFC 5506) may begin with any type.
inline bool rtcp_compound_is_valid(const std::uint8_t* data, std::size_t length) {
  if (length < kRtcpHeaderBytes || length % 4 != 0) return false;
  std::size_t at = 0;
  while (at < length) {
    if (length - at < 4 || (data[at] >> 6) != 2) return false;
    if (data[at + 1] < 192 || data[at + 1] > 223) return false;
    const std::size_t bytes = (std::size_t{read_be16(data + at + 2)} + 1) * 4;
    if (bytes > length - at) return false;
    const bool padded = (data[at] & 0x20U) != 0;
    if (padded && at + bytes != length) return false;
    at += bytes;
  }
  return true;
}

}  // namespace turnpike
