// What "auto" means in the configuration: the address that this host uses by default.
#pragma once

#include "turnpike/address.h"
#include "turnpike/result.h"

namespace turnpike::config {

/// The source address of packets that take the IPv4 default route, or the IPv6 one when there is
/// no IPv4 one. Asks the kernel's routing table and sends nothing. Fails when there is neither.
Result<IpAddress> default_route_address();

}  // namespace turnpike::config
