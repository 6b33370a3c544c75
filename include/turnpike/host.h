// What the relay needs from the host it runs on, asked for and checked at start-up.
#pragma once

#include <cstdint>
#include <string>

#include "turnpike/result.h"

namespace turnpike {

/// Raises this process's limit of open descriptors to at least `wanted`: the soft limit up to the
/// hard one, and the hard one too where permitted. Never lowers anything. Returns the soft limit
/// that now holds, which may be less.
std::uint64_t raise_descriptor_limit(std::uint64_t wanted);

/// Keeps the kernel from giving ports [port_min, port_max] to programs that ask for any port:
/// adds them to net.ipv4.ip_local_reserved_ports (which holds for IPv6 too), keeping what it names
/// already. Does nothing when they are reserved or outside the ephemeral range anyhow.
/// The error says what to set when we may not.
Result<void> reserve_port_range(std::uint16_t port_min, std::uint16_t port_max);

/// The same question without changing anything; the text says what to set. Empty: all is well.
std::string port_range_advice(std::uint16_t port_min, std::uint16_t port_max);

}  // namespace turnpike
