// One leg of a session: what the API and the records of calls say alike.
#pragma once

#include <nlohmann/json.hpp>

#include "control/call/call_service.h"
#include "turnpike/stats.h"

namespace turnpike::api {

/// Its addresses as they are in use, keys, and what went through it.
nlohmann::ordered_json leg_figures(const call::LegSummary& summary, const LegStats& leg);

}  // namespace turnpike::api
