// Which of a socket's addresses a datagram leaves from or has come to (ip(7), IP_PKTINFO): one
// socket plays thousands of hosts.
#pragma once

#include <array>
#include <cstdint>

#include <sys/socket.h>

namespace turnpike::bench {

/// The control message for it.
class SourceAddress {
 public:
  /// `ip` in network order. The object outlives the send; nothing is set for 0.
  void put(msghdr& header, std::uint32_t ip);

 private:
  alignas(cmsghdr) std::array<std::uint8_t, 32> control_{};
};

/// Makes the kernel tell to which address datagrams came. Ends the program when it does not.
void tell_destinations(int fd);
/// That, in network order; 0: not told.
std::uint32_t destination_of(msghdr& header);

}  // namespace turnpike::bench
