// The portable back-end: one UDP socket per port, an epoll set of its own behind a single
// descriptor. Needs no privilege. Receives one datagram per readable socket and turn: at the rate
// of a call there is never a second one, and asking for it costs a system call. A port that keeps
// sending to one address does so through a twin socket connected to it (connected_twin.h).
#pragma once

#include <memory>

#include "relay/io/udp_io.h"

namespace turnpike {

/// `sessions_max`: slots that tags may name. `connect_after`: datagrams in a row to one address
/// after which a connected socket sends them; 0 = never. Twins leave a quarter of the descriptor
/// limit to others. Null when the kernel gives no epoll descriptor.
std::unique_ptr<UdpIo> make_sockets_io(std::uint32_t sessions_max, std::uint32_t connect_after);

}  // namespace turnpike
