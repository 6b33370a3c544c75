#include "bench/load/framing.h"

#include <array>

namespace turnpike::bench {
namespace {

constexpr std::size_t kChannelHeaderBytes = 4;
constexpr std::size_t kChannelNumberBytes = 2;
constexpr std::size_t kAttributeHeaderBytes = 4;
constexpr std::size_t kAddressBytes = 8;  // IPv4

}  // namespace

std::vector<std::uint8_t> header_to(const sockaddr_in& peer, Framing framing, std::uint16_t channel,
                                    std::uint32_t packet_bytes) {
  if (framing == Framing::kNone) return {};
  if (framing == Framing::kChannelData) {
    return {static_cast<std::uint8_t>(channel >> 8), static_cast<std::uint8_t>(channel),
            static_cast<std::uint8_t>(packet_bytes >> 8), static_cast<std::uint8_t>(packet_bytes)};
  }
  // A server does not look at the transaction of an indication.
  stun::Message message(stun::kSendIndication, {});
  message.add(stun::kXorPeerAddress, peer);
  const std::size_t header_bytes = message.bytes().size() + kAttributeHeaderBytes;
  message.add(stun::kData, stun::Bytes(std::vector<std::uint8_t>(packet_bytes)));
  return {message.bytes().begin(), message.bytes().begin() + std::ptrdiff_t(header_bytes)};
}

std::optional<Framed> unframed(stun::Bytes datagram, Framing framing) {
  if (framing == Framing::kNone) return Framed{datagram, {}};
  if (framing == Framing::kChannelData) {
    if (datagram.size() < kChannelHeaderBytes) return std::nullopt;
    const std::size_t length = (std::size_t{datagram[2]} << 8) | datagram[3];
    const stun::Bytes rest = datagram.subspan(kChannelHeaderBytes);
    if (length > rest.size()) return std::nullopt;  // what is more is padding
    return Framed{rest.first(length), datagram.first(kChannelNumberBytes)};
  }
  if (!stun::is_message(datagram) || stun::type_of(datagram) != stun::kDataIndication) {
    return std::nullopt;
  }
  const stun::Bytes packet = stun::attribute(datagram, stun::kData);
  const stun::Bytes peer = stun::attribute(datagram, stun::kXorPeerAddress);
  if (packet.empty() || peer.empty()) return std::nullopt;
  return Framed{packet, peer};
}

stun::Bytes origin_in(stun::Bytes header, Framing framing) {
  switch (framing) {
    case Framing::kNone:
      break;
    case Framing::kChannelData:
      return header.first(kChannelNumberBytes);
    case Framing::kIndication:
      return header.subspan(stun::kHeaderBytes + kAttributeHeaderBytes, kAddressBytes);
  }
  return {};
}

}  // namespace turnpike::bench
