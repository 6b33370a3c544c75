// A UDP socket of a test: a client or an inside peer on loopback.
#pragma once

#include <cstdint>
#include <vector>

#include <poll.h>
#include <unistd.h>

#include "relay/io/sockaddr.h"
#include "turnpike/address.h"
#include "turnpike/time.h"

namespace turnpike::test {

class UdpPeer {
 public:
  explicit UdpPeer(const IpAddress& ip) {
    fd_ = socket(ip.is_v4() ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    sockaddr_storage address;
    socklen_t bytes = to_sockaddr({ip, 1}, address);
    // Port 1 only made the address "set"; 0 lets the kernel choose.
    (ip.is_v4() ? reinterpret_cast<sockaddr_in&>(address).sin_port
                : reinterpret_cast<sockaddr_in6&>(address).sin6_port) = 0;
    if (bind(fd_, reinterpret_cast<sockaddr*>(&address), bytes) != 0) return;
    bytes = sizeof address;
    getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &bytes);
    local_ = from_sockaddr(address);
  }
  ~UdpPeer() { close(fd_); }
  UdpPeer(const UdpPeer&) = delete;
  UdpPeer& operator=(const UdpPeer&) = delete;

  const SocketAddress& local() const { return local_; }

  void send(const std::vector<std::uint8_t>& bytes, const SocketAddress& to) const {
    sockaddr_storage address;
    const socklen_t length = to_sockaddr(to, address);
    static_cast<void>(sendto(fd_, bytes.data(), bytes.size(), 0,
                             reinterpret_cast<const sockaddr*>(&address), length));
  }

  struct Received {
    std::vector<std::uint8_t> bytes;
    SocketAddress from;
  };
  /// Waits for a datagram; empty bytes after `limit`.
  Received receive(Milliseconds limit = Milliseconds(5000)) const {
    Received received;
    pollfd wait{fd_, POLLIN, 0};
    if (poll(&wait, 1, static_cast<int>(limit.count())) <= 0) return received;
    received.bytes.resize(2048);
    sockaddr_storage from{};
    socklen_t from_bytes = sizeof from;
    const ssize_t length = recvfrom(fd_, received.bytes.data(), received.bytes.size(), 0,
                                    reinterpret_cast<sockaddr*>(&from), &from_bytes);
    received.bytes.resize(length < 0 ? 0 : static_cast<std::size_t>(length));
    received.from = from_sockaddr(from);
    return received;
  }

 private:
  int fd_ = -1;
  SocketAddress local_;
};

}  // namespace turnpike::test
