// A plan of phases as what one stream sends: so many packets, so far apart.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "bench/load/traffic.h"

namespace turnpike::bench {

constexpr std::int64_t kSecondNs = 1'000'000'000;
constexpr std::size_t kWarmUp = SIZE_MAX;

/// A phase, or the warm-up, as a piece of every stream's sequence of packets.
struct Span {
  std::uint32_t begin = 0;         ///< index of its first packet
  std::uint32_t count = 0;         ///< packets of each stream
  std::uint32_t first_second = 0;  ///< of these, those of the first second
  double interval_ns = 0;          ///< between two packets of a stream
  std::size_t phase = kWarmUp;     ///< index in the plan
};

/// The warm-up, where there is one, and the phases. Ends the program when a stream would need more
/// packets than it has sequence numbers.
std::vector<Span> spans_of(const TrafficPlan& plan, std::size_t streams);

}  // namespace turnpike::bench
