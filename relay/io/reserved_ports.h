// The kernel's port lists as text ("36000-59999,61000"), as in net.ipv4.ip_local_reserved_ports.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace turnpike {

/// True when every port of [port_min, port_max] is in the list.
bool covers(std::string_view list, std::uint16_t port_min, std::uint16_t port_max);

/// The list with [port_min, port_max] added, sorted and without overlaps. Damaged entries are
/// left out.
std::string with_ports(std::string_view list, std::uint16_t port_min, std::uint16_t port_max);

}  // namespace turnpike
