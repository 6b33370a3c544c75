// What stands around the packets between a TURN client and its server (RFC 8656 sections 11, 12).
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "bench/load/stun.h"

namespace turnpike::bench {

enum class Framing : std::uint8_t { kNone, kChannelData, kIndication };

/// In front of packets of so many bytes to `peer`. `channel` is for kChannelData.
std::vector<std::uint8_t> header_to(const sockaddr_in& peer, Framing framing, std::uint16_t channel,
                                    std::uint32_t packet_bytes);

/// What a server gave its client.
struct Framed {
  stun::Bytes packet;
  stun::Bytes origin;  ///< names the peer: the channel, or the transport address
};
/// Nothing when the datagram is not in such a frame.
std::optional<Framed> unframed(stun::Bytes datagram, Framing framing);
/// What names the peer in one's own header.
stun::Bytes origin_in(stun::Bytes header, Framing framing);

}  // namespace turnpike::bench
