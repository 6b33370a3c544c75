// Where the relay's media ports are: by local address and shard.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "turnpike/address.h"

namespace turnpike {

class Relay;

/// The ports of one local address that one shard may use. Counts are of ports, not of pairs; what
/// they do not sum up to waits to be taken over after a restart.
struct PortSliceUsage {
  std::string interfaces;  ///< names, ", " between: those that have the address
  IpAddress local;
  std::uint16_t shard = 0;
  std::uint16_t port_min = 0;  ///< 0, also the last: this shard has none
  std::uint16_t port_max = 0;
  std::uint32_t taken = 0;
  std::uint32_t free = 0;
  std::uint32_t quarantined = 0;  ///< were taken lately, and are given to nobody yet
  std::uint32_t of_others = 0;    ///< could not be bound; tried again after a while
};

/// By address in the order of the configuration, then by shard. `relay` is one of Relay::start.
std::vector<PortSliceUsage> port_usage(const Relay& relay);

}  // namespace turnpike
