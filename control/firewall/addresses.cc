// Which of this host's addresses its packets to an edge bear.
#include <sys/socket.h>
#include <unistd.h>

#include "control/firewall/rules.h"
#include "control/loop/socket_address.h"

namespace turnpike::firewall {
namespace {

/// Connecting UDP sends no packet. Unset when there is no way there.
IpAddress source_towards(const SocketAddress& far) {
  sockaddr_storage address = loop::to_sockaddr(far);
  socklen_t size = loop::length_of(address);
  const int fd = ::socket(address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return {};
  const bool known = ::connect(fd, loop::as_sockaddr(address), size) == 0 &&
                     ::getsockname(fd, loop::as_sockaddr(address), &size) == 0;
  ::close(fd);
  return known ? loop::from_sockaddr(loop::as_sockaddr(address)).ip : IpAddress{};
}

}  // namespace

std::vector<std::string> addresses_towards_edges(const config::Settings& settings) {
  std::vector<std::string> own;
  for (const config::ZoneSection& zone : settings.zones) {
    for (const config::ZonePeerSection& peer : zone.peers) {
      if (!peer.address.is_set()) continue;
      if (const IpAddress ip = source_towards(peer.address); ip.is_set()) {
        own.push_back(to_string(ip));
      }
    }
  }
  return own;
}

}  // namespace turnpike::firewall
