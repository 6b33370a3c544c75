// Asks by netlink (sock_diag(7)) for exactly one socket.
#include "control/zone/socket_owner.h"

#include <algorithm>
#include <array>
#include <cstring>

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace turnpike::zone {
namespace {

struct Request {
  nlmsghdr header{};
  inet_diag_req_v2 body{};
};

Request request_for(const SocketAddress& local, const SocketAddress& remote) {
  Request request;
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  request.header.nlmsg_flags = NLM_F_REQUEST;
  request.body.sdiag_family = local.ip.is_v6() ? AF_INET6 : AF_INET;
  request.body.sdiag_protocol = IPPROTO_TCP;
  request.body.idiag_states = ~0U;
  inet_diag_sockid& id = request.body.id;
  id.idiag_sport = htons(local.port);
  id.idiag_dport = htons(remote.port);
  std::memcpy(id.idiag_src, local.ip.bytes.data(), sizeof id.idiag_src);
  std::memcpy(id.idiag_dst, remote.ip.bytes.data(), sizeof id.idiag_dst);
  id.idiag_cookie[0] = INET_DIAG_NOCOOKIE;
  id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
  return request;
}

std::optional<uid_t> ask(int fd, const Request& request) {
  if (::send(fd, &request, sizeof request, 0) != static_cast<ssize_t>(sizeof request)) return {};
  // The kernel answers inside the call above: nothing is waited for.
  std::array<char, 4096> bytes{};
  const ssize_t size = ::recv(fd, bytes.data(), bytes.size(), MSG_DONTWAIT);
  nlmsghdr header{};
  inet_diag_msg answer{};
  if (size < static_cast<ssize_t>(sizeof header + sizeof answer)) return {};
  std::memcpy(&header, bytes.data(), sizeof header);
  if (header.nlmsg_type != SOCK_DIAG_BY_FAMILY) return {};
  std::memcpy(&answer, bytes.data() + NLMSG_HDRLEN, sizeof answer);
  if (answer.idiag_inode == 0) return {};
  return answer.idiag_uid;
}

}  // namespace

std::optional<uid_t> owner_of(const SocketAddress& local, const SocketAddress& remote) {
  const int fd = ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
  if (fd < 0) return {};
  const auto owner = ask(fd, request_for(local, remote));
  ::close(fd);
  return owner;
}

}  // namespace turnpike::zone
