// Which m-lines' legs ride on which transport (RFC 9143): an index over what the legs'
// configuration says, kept by the process and not in the arena. A leg rides on one transport at
// most.
#pragma once

#include <cstdint>
#include <vector>

#include "relay/media/state.h"
#include "turnpike/ids.h"

namespace turnpike::media {

class Lines {
 public:
  explicit Lines(std::uint32_t sessions)
      : first_(std::size_t{sessions} * 2, kNoLine), next_(std::size_t{sessions} * 2, kNoLine) {}

  /// Slot of the first session whose leg rides on this one; kNoLine when none does.
  std::uint32_t first(std::uint32_t transport, Side side) const {
    return first_[index(transport, side)];
  }
  std::uint32_t next(std::uint32_t line, Side side) const { return next_[index(line, side)]; }
  unsigned count(std::uint32_t transport, Side side) const {
    unsigned n = 0;
    for (std::uint32_t i = first(transport, side); i != kNoLine; i = next(i, side)) ++n;
    return n;
  }

  void add(std::uint32_t transport, Side side, std::uint32_t line) {
    next_[index(line, side)] = first_[index(transport, side)];
    first_[index(transport, side)] = line;
  }
  void remove(std::uint32_t transport, Side side, std::uint32_t line) {
    std::uint32_t* place = &first_[index(transport, side)];
    while (*place != kNoLine && *place != line) place = &next_[index(*place, side)];
    if (*place == line) *place = next_[index(line, side)];
    next_[index(line, side)] = kNoLine;
  }

 private:
  static std::size_t index(std::uint32_t slot, Side side) {
    return std::size_t{slot} * 2 + index_of(side);
  }

  std::vector<std::uint32_t> first_;  // by transport's leg
  std::vector<std::uint32_t> next_;   // by line's leg
};

}  // namespace turnpike::media
