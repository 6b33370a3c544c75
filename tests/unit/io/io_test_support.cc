// Loopback addresses by process id, /proc and socket options for the tests of relay/io.
#include "tests/unit/io/io_test_support.h"

#include <dirent.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "relay/io/sockaddr.h"

namespace turnpike::io_test {
IpAddress loopback(unsigned last) {
  const auto pid = static_cast<unsigned>(getpid());
  return IpAddress::v4(127, static_cast<std::uint8_t>(64 + pid / 250 % 128),
                       static_cast<std::uint8_t>(1 + pid % 250), static_cast<std::uint8_t>(last));
}

IpAddress loopback_v6() {
  IpAddress ip{{}, AddressFamily::kIpv6};
  ip.bytes[15] = 1;
  return ip;
}

RelayConfig small_config(std::uint16_t port_min, std::uint16_t port_max) {
  RelayConfig config;
  config.interfaces = {{"outside", {{loopback(1), loopback(1)}}}};
  config.port_min = port_min;
  config.port_max = port_max;
  config.port_quarantine = Seconds{5};
  return config;
}

UdpSocket::UdpSocket(const IpAddress& ip, std::uint16_t port) {
  fd_ = socket(ip.is_v4() ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_storage storage;
  const socklen_t size = to_sockaddr({ip, port}, storage);
  if (fd_ >= 0 && bind(fd_, as_sockaddr(storage), size) != 0) {
    close(fd_);
    fd_ = -1;
  }
}

UdpSocket::~UdpSocket() {
  if (fd_ >= 0) close(fd_);
}

bool UdpSocket::send_to(const SocketAddress& to, const std::string& payload) const {
  sockaddr_storage storage;
  const socklen_t size = to_sockaddr(to, storage);
  return sendto(fd_, payload.data(), payload.size(), 0, as_sockaddr(storage), size) ==
         static_cast<ssize_t>(payload.size());
}

bool UdpSocket::connect_to(const SocketAddress& to) const {
  sockaddr_storage storage;
  const socklen_t size = to_sockaddr(to, storage);
  return connect(fd_, as_sockaddr(storage), size) == 0;
}

std::string receive(int fd) {
  char buffer[2048];
  const auto got = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
  return got < 0 ? std::string() : std::string(buffer, static_cast<std::size_t>(got));
}

std::string receive_soon(int fd) {
  pollfd watched{fd, POLLIN, 0};
  return poll(&watched, 1, 2000) == 1 ? receive(fd) : std::string();
}

std::uint32_t receive_memory(int fd) {
  std::uint32_t memory[SK_MEMINFO_VARS] = {};
  socklen_t size = sizeof memory;
  if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, memory, &size) != 0) return ~0U;
  return memory[SK_MEMINFO_RMEM_ALLOC];
}

std::size_t open_descriptors() {
  std::size_t count = 0;
  DIR* directory = opendir("/proc/self/fd");
  if (directory == nullptr) return 0;
  while (readdir(directory) != nullptr) ++count;
  closedir(directory);
  return count - 3;  // ".", ".." and the directory itself
}

Result<PortPair> acquire(PortPool& pool, Instant now) {
  OpenFailure failure{};
  return pool.acquire(0, 0, AddressFamily::kIpv4, 46, now, failure);
}

}  // namespace turnpike::io_test
