// What an ICMP message says of a datagram that was sent: neither I/O nor engine.
#pragma once

#include <cstdint>

#include "relay/core/packet.h"
#include "turnpike/address.h"

namespace turnpike {

struct IcmpError {
  SocketTag tag;       ///< of the socket that the datagram left by
  SocketAddress peer;  ///< where it was to go
  std::uint8_t type = 0;
  std::uint8_t code = 0;
  std::uint32_t mtu = 0;  ///< of the link that it did not fit; 0: that is not the reason
};

}  // namespace turnpike
