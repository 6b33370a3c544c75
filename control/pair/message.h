// What the nodes of a pair tell each other about their shared flows, as bytes. Pure: no state.
//
//   offer   = 1(1) count(2) { shard(1) to_edge(16) to_core(16) binding(32) }   core to edge
//   numbers = 2(1) count(2) { shard(1) number(2) port(2) }                     edge to core
//
// In network order. A message must be used up exactly, and name each shard once. It holds keys:
// whoever has it wipes it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "turnpike/flow.h"

namespace turnpike::pair {

/// A flow that the core is going to bind from its shard.
struct OfferedFlow {
  std::uint8_t shard = 0;
  FlowKeys keys;
};

/// The edge's answer for it.
struct NumberedFlow {
  std::uint8_t shard = 0;
  FlowNumber number = 0;   ///< 0: the edge has no room for it
  std::uint16_t port = 0;  ///< of the edge, to be bound at
};

/// Shards of a core that may have flows: their number is one byte in every header.
constexpr std::size_t kShardsMax = 256;

std::string write(const std::vector<OfferedFlow>& flows);
std::string write(const std::vector<NumberedFlow>& flows);

/// Unset: damaged, or the other message.
std::optional<std::vector<OfferedFlow>> read_offer(std::string_view message);
std::optional<std::vector<NumberedFlow>> read_numbers(std::string_view message);

}  // namespace turnpike::pair
