// Who waits on which port of this host, as the kernel's tables in /proc say.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "control/doctor/facts.h"
#include "turnpike/address.h"

namespace turnpike::doctor {

struct BoundSocket {
  SocketAddress address;  ///< 0.0.0.0 or ::, when it takes every address
  bool is_udp = false;
  std::uint64_t inode = 0;
};

/// Lines of /proc/net/tcp (those that listen), tcp6, udp and udp6. Other text gives nothing.
std::vector<BoundSocket> parse_socket_table(std::string_view text, bool is_udp);
/// All of this network namespace.
std::vector<BoundSocket> read_bound_sockets();
struct TcpConnection {
  SocketAddress local;
  SocketAddress remote;
  std::uint64_t inode = 0;
};

/// Lines of /proc/net/tcp and tcp6: connections that are up or being opened.
std::vector<TcpConnection> parse_connections(std::string_view text);
/// All of this network namespace.
std::vector<TcpConnection> read_connections();
/// The one that a connection or datagram to `address` would reach; nullptr when there is none.
const BoundSocket* find_bound(const std::vector<BoundSocket>& sockets, const SocketAddress& address,
                              bool is_udp);
/// Whose sockets these are, by inode. Those that this account may not see are missing.
std::map<std::uint64_t, Process> holders_of(const std::vector<std::uint64_t>& inodes);

}  // namespace turnpike::doctor
