// The TURN server's figures and allocations as JSON. Private to this folder.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "control/api/http_server.h"
#include "turnpike/time.h"
#include "turnpike/turn.h"

namespace turnpike::api {

struct TurnFigures {
  std::uint64_t allocations = 0;
  std::uint64_t allocations_max = 0;
  std::vector<const turn::Counters*> shards;
  std::vector<std::string> realms;  ///< names by turn::Realm::figures
};

Response turn_response(const TurnFigures& figures, const std::vector<turn::AllocationReport>& list,
                       Instant now);

}  // namespace turnpike::api
