// Looks at the host. Blocks, for seconds at most; asks nothing of other hosts.
#pragma once

#include <string>
#include <vector>

#include "control/config/host.h"
#include "control/config/settings.h"
#include "control/doctor/facts.h"
#include "control/doctor/sockets.h"

namespace turnpike::doctor {

/// `files`: whose times are compared with the clock.
ClockFacts look_at_clock(const std::vector<FileFacts>& files);
/// Tries to open each file as `account`: that of this process, or any if this process is root's.
void try_files(const std::string& account, std::vector<FileFacts>& files);
/// Whether `address` is waited at, by whom, or could be.
void look_at_listener(const std::vector<BoundSocket>& sockets, ListenerFacts& listener);
MediaPortFacts look_at_media_ports(const config::Settings& settings, const config::Host& host,
                                   const std::vector<BoundSocket>& sockets);
/// `daemon`: its process, 0 when it does not run.
LimitFacts look_at_limits(const config::Settings& settings, const config::Host& host, pid_t daemon);

/// Connects and hangs up.
ConnectFacts try_tcp(const SocketAddress& address);
/// The holder, which speaks in packets.
ConnectFacts try_holder(const std::string& path);

/// The socket, connected and non-blocking, or -1. `from`: this end's address.
int connect_tcp(const SocketAddress& address, ConnectFacts& facts, SocketAddress& from);

/// Why a DNS name has no address here; empty: it has one.
std::string resolve_trouble(const std::string& name);

}  // namespace turnpike::doctor
