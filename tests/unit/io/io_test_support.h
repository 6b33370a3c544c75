// Loopback addresses that no other test process uses, and small UDP helpers.
#pragma once

#include <chrono>
#include <string>

#include "relay/io/port_pool.h"
#include "turnpike/address.h"
#include "turnpike/config.h"
#include "turnpike/time.h"

namespace turnpike::io_test {

/// 127.x.y.`last`, with x and y by process id: parallel runs do not meet.
IpAddress loopback(unsigned last);
IpAddress loopback_v6();

/// One interface "outside" with loopback(1), ports [port_min, port_max], quarantine 5 s.
RelayConfig small_config(std::uint16_t port_min, std::uint16_t port_max);

/// A point on a made-up time axis.
inline Instant at(double seconds) {
  return Instant{std::chrono::duration_cast<Nanoseconds>(std::chrono::duration<double>(seconds))};
}

/// An unbound or bound UDP socket that closes itself; -1 when it could not be had.
class UdpSocket {
 public:
  explicit UdpSocket(const IpAddress& ip, std::uint16_t port = 0);
  ~UdpSocket();
  UdpSocket(const UdpSocket&) = delete;
  UdpSocket& operator=(const UdpSocket&) = delete;
  int fd() const { return fd_; }
  bool bound() const { return fd_ >= 0; }
  bool send_to(const SocketAddress& to, const std::string& payload) const;
  /// connect(2), so that ICMP errors come back.
  bool connect_to(const SocketAddress& to) const;

 private:
  int fd_ = -1;
};

/// One datagram without waiting; empty when there is none.
std::string receive(int fd);
/// One datagram, waiting up to 2 s.
std::string receive_soon(int fd);
/// Bytes of receive memory that the kernel accounts to the socket (SO_MEMINFO).
std::uint32_t receive_memory(int fd);
std::size_t open_descriptors();

/// acquire() on shard 0, interface 0, IPv4.
Result<PortPair> acquire(PortPool& pool, Instant now);

}  // namespace turnpike::io_test
