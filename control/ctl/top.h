// Which sessions carry most, lose most: figures of all sessions twice, and the difference.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

#include "turnpike/result.h"

namespace turnpike::ctl {

/// What /v1/sessions?figures=true said of one session, both legs together.
struct TopFigures {
  std::string kind;
  std::string call_id;
  std::uint64_t received = 0;  ///< packets, from both ends
  std::uint64_t lost = 0;
  std::uint64_t dropped = 0;
  double jitter_ms = 0;  ///< of the leg where it is larger
};

/// By session ID.
using TopSnapshot = std::map<std::string, TopFigures>;

struct TopPage {
  std::size_t sessions = 0;
  std::string last;  ///< its last session's ID: the next page begins after it
};
/// Adds one page of the list. Fails as print_sessions does.
Result<TopPage> add_page(const std::string& body, TopSnapshot& snapshot);

/// A table of at most `limit` sessions that are in both, ordered by "packets", "loss", "jitter" or
/// "drops" of the time between, the largest first. As JSON: the same as an array.
std::string print_top(const TopSnapshot& before, const TopSnapshot& after, double seconds,
                      const std::string& order, std::size_t limit, bool json);

}  // namespace turnpike::ctl
