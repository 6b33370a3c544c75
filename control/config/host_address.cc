// Hides: asking the kernel for the source address it would choose.
#include "control/config/host_address.h"

#include <cstring>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace turnpike::config {
namespace {

// Any address behind the default route does; these are reserved for documentation (RFC 5737,
// RFC 3849), so that no host has a route of its own for them. Connecting UDP sends no packet.
constexpr const char* kFarAway4 = "198.51.100.1";
constexpr const char* kFarAway6 = "2001:db8::1";
constexpr std::uint16_t kDiscardPort = 9;

template <typename Sockaddr>
bool source_towards(Sockaddr& address) {
  const int fd = socket(address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  socklen_t size = sizeof address;
  void* const generic = &address;
  const bool known = connect(fd, static_cast<const sockaddr*>(generic), size) == 0 &&
                     getsockname(fd, static_cast<sockaddr*>(generic), &size) == 0;
  close(fd);
  return known;
}

Result<IpAddress> source4() {
  sockaddr_storage storage{};
  sockaddr_in far{};
  far.sin_family = AF_INET;
  far.sin_port = htons(kDiscardPort);
  inet_pton(AF_INET, kFarAway4, &far.sin_addr);
  std::memcpy(&storage, &far, sizeof far);
  if (!source_towards(storage)) return Error{"this host has no IPv4 default route"};
  std::memcpy(&far, &storage, sizeof far);
  char text[INET_ADDRSTRLEN] = {};
  inet_ntop(AF_INET, &far.sin_addr, text, sizeof text);
  return parse_ip(text);
}

Result<IpAddress> source6() {
  sockaddr_storage storage{};
  sockaddr_in6 far{};
  far.sin6_family = AF_INET6;
  far.sin6_port = htons(kDiscardPort);
  inet_pton(AF_INET6, kFarAway6, &far.sin6_addr);
  std::memcpy(&storage, &far, sizeof far);
  if (!source_towards(storage)) return Error{"this host has no default route"};
  std::memcpy(&far, &storage, sizeof far);
  char text[INET6_ADDRSTRLEN] = {};
  inet_ntop(AF_INET6, &far.sin6_addr, text, sizeof text);
  return parse_ip(text);
}

}  // namespace

Result<IpAddress> default_route_address() {
  Result<IpAddress> address = source4();
  return address ? address : source6();
}

}  // namespace turnpike::config
