// What of the host matters to a configuration: addresses, port reservations, limits, cores.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "control/call/network.h"
#include "control/config/findings.h"
#include "control/config/settings.h"
#include "turnpike/address.h"

namespace turnpike::config {

struct Host {
  std::vector<IpAddress> addresses;     ///< of all its network interfaces
  std::vector<call::Network> networks;  ///< by position in `addresses`: what it is connected to
  std::string port_advice;              ///< what to reserve (turnpike/host.h); empty: all is well
  std::uint64_t open_files_max = 0;     ///< hard RLIMIT_NOFILE
  unsigned cores = 1;                   ///< that this process may run on

  static Host read(const Settings& settings);
};

/// Whether a socket of this host can be bound to the address.
bool has_address(const Host& host, const IpAddress& ip);

/// Reports what of the host will probably hinder these settings, as warnings that name keys.
void check_host(const Settings& settings, const Host& host, Findings& findings);

/// One sentence for each configured address that the host does not have: "interface.outside:
/// 192.0.2.10 is not an address of this host; …".
std::vector<std::string> missing_addresses(const Settings& settings, const Host& host);

/// One sentence for each interface of which the host has no address: nothing can work there.
std::vector<std::string> interfaces_without_address(const Settings& settings, const Host& host);

/// File descriptors that the daemon may need under these settings.
std::uint64_t open_files_needed(const Settings& settings);

}  // namespace turnpike::config
